//! Key shares on their way.

use crate::sample::*;
use salus_wire::release::{
    Deposit, Envelope, EpochHeader, EpochShare, EpochShares, ReleaseRequest, ReleaseTerms, Released,
    ShareBytes,
};
use salus_wire::{Classes, Codes, DataClass, EpochId, MemberIndex, ObservationCode, Scope};

const EPOCH_HEADER: usize = 16 + 16 + 1 + 5 + 16 + 32 + 2 + 4 + 2 * 32 + 32;
const SEALED: usize = 1 + 1120 + 4 + 20;

pub(crate) fn all() -> Vec<Golden> {
    let shares = EpochShares(list(vec![share(1), share(2)]));
    let hashes = 16 + 16 + 1 + 5 + 16 + 32 + 2;
    vec![
        golden("epoch-header", "EpochHeader", &epoch_header(1))
            .list(hashes, 64, "share hashes")
            .wrong(32, 6, "an unknown class")
            .wrong(33, 2, "a code of no system"),
        golden("epoch-shares", "EpochShares", &shares).list(0, 64, "epochs").list(
            4 + EPOCH_HEADER + 64 + 32 + hashes,
            64,
            "share hashes",
        ),
        golden("deposit", "Deposit", &deposit()).list(18, 256, "envelopes").list(
            18 + 4 + 1121,
            1_048_592,
            "bytes of ciphertext",
        ),
        golden("release-request", "ReleaseRequest", &release_request()).wrong(1374, 0, "no class"),
        golden("released", "Released", &released()).list(34 + SEALED - 24, 1_048_592, "bytes of ciphertext"),
    ]
}

pub(crate) fn secret(n: u8) -> ShareBytes {
    salus_wire::decode(&[n; 32], 32).expect("any 32 bytes are a secret")
}

fn epoch_header(n: u8) -> EpochHeader {
    EpochHeader {
        epoch: EpochId::new([n; 16]),
        writer: party(2),
        class: DataClass::Waveform,
        code: ObservationCode::Mdc(131_329),
        span: span(),
        grants: chain_anchor(3),
        threshold: 0x0102,
        share_hashes: list(vec![digest(4), digest(5)]),
        key_commitment: digest(6),
    }
}

fn share(n: u8) -> EpochShare {
    EpochShare { header: epoch_header(n), signature: signature(7), share: secret(8) }
}

pub(crate) fn deposit() -> Deposit {
    Deposit {
        writer: party(1),
        custodian: MemberIndex::new(0x0102),
        envelopes: list(vec![Envelope { sealed: sealed(2) }]),
        signature: signature(3),
    }
}

pub(crate) fn release_request() -> ReleaseRequest {
    let terms = ReleaseTerms {
        custodian: MemberIndex::new(0x0102),
        nonce: [1; 16],
        sent: time(1),
        one_time: key(2),
        access_index: 0x0304,
        access_link: secret(3),
        grant_index: 0x0506,
        grant_link: secret(4),
        grant_body_key: secret(5),
        reader: kem_key(6),
        scope: Scope {
            classes: Classes::of(&[DataClass::Vitals]).expect("not empty"),
            codes: Codes::only(&[ObservationCode::Loinc(8_867)]).expect("one"),
            span: span(),
        },
        skip: 7,
    };
    ReleaseRequest { terms, signature: signature(8) }
}

pub(crate) fn released() -> Released {
    Released {
        custodian: MemberIndex::new(0x0102),
        access: access_tag(1),
        sealed: sealed(2),
        remaining: 3,
        signature: signature(4),
    }
}
