//! Manifests, segments and receipts.

use crate::ledger::state_proof;
use crate::sample::*;
use salus_wire::manifest::Suite;
use salus_wire::receipt::{Leaf, ReceiptVersion};
use salus_wire::rpc::BatchPlace;
use salus_wire::{
    BatchNumber, DataClass, Descriptor, DeviceId, Faults, Geometry, Locator, Manifest, ObservationCode,
    Receipt, SegmentIndex, Sequence, StreamId,
};

pub(crate) fn all() -> Vec<Golden> {
    let descriptor = Descriptor {
        index: SegmentIndex::new(0x0102_0304),
        stream: StreamId::new([1; 16]),
        class: DataClass::Waveform,
        code: ObservationCode::Mdc(131_329),
        device: DeviceId::new([2; 16]),
        first_sequence: Sequence::new(3),
        last_sequence: Sequence::new(4),
        first_time: time(1),
        last_time: time(2),
        leaves: 5,
        plaintext_len: 6,
    };
    let leaf = 37 + 3;
    vec![
        golden("manifest", "Manifest", &manifest())
            .list(73, 64, "fragments")
            .list(73 + 4 + 128 + 96, 320, "bytes of descriptor")
            .wrong(0, 2, "an unknown suite")
            .wrong(33, 0, "no data fragment")
            .wrong(35, 63, "more fragments than members"),
        golden("descriptor", "Descriptor", &descriptor).wrong(20, 6, "an unknown class"),
        golden("leaf", "Leaf", &leaf_of_three()).list(32, 65_600, "bytes of frame"),
        golden("batch-place", "BatchPlace", &place()).list(32, 32, "siblings"),
        golden("receipt", "Receipt", &receipt())
            .list(33, 65_600, "bytes of frame")
            .list(leaf + 40, 32, "siblings")
            .wrong(0, 2, "an unknown version"),
    ]
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        suite: Suite::V1,
        locator: Locator::new([1; 32]),
        geometry: Geometry::for_faults(Faults::for_members(4).expect("few enough")),
        ciphertext_len: 0x0102_0304,
        ciphertext: digest(2),
        fragments: list(vec![digest(3), digest(4), digest(5), digest(6)]),
        seal_random: [7; 32],
        key_commitment: digest(8),
        leaves: digest(9),
        descriptor: blob(320, 10),
    }
}

pub(crate) fn place() -> BatchPlace {
    BatchPlace {
        gateway: party(1),
        batch: BatchNumber::new(2),
        index: 0x0102_0304,
        count: 0x1112_1314,
        path: list(vec![digest(3)]),
    }
}

fn leaf_of_three() -> Leaf {
    Leaf { device_key: key(1), frame: blob(3, 2) }
}

fn receipt() -> Receipt {
    Receipt {
        version: ReceiptVersion::V1,
        leaf: leaf_of_three(),
        salt: [3; 32],
        index: 0x0102_0304,
        count: 0x1112_1314,
        path: list(vec![digest(4), digest(5)]),
        manifest: manifest(),
        place: place(),
        anchor: state_proof(),
    }
}
