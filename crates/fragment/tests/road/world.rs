//! A gateway, its members and a segment, made from one seed.

use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::ChainSeed;
use salus_crypto::{Digest, PublicKey, Secret, SigningKey};
use salus_fragment::{
    CheckedFragment, CheckedShare, Draft, EpochTerms, Fragment, OpeningEpoch, SealedSegment, SealingEpoch,
    check, seal,
};
use salus_wire::receipt::Leaf;
use salus_wire::release::EpochShare;
use salus_wire::{
    Blob, ChainId, DataClass, DeviceId, Faults, FragmentIndex, Geometry, Manifest, MemberIndex, PartyId,
    SegmentIndex, Sequence, StreamId, TimeMs, TimeSpan,
};

pub(crate) const CHAIN: ChainId = ChainId(Digest::ZERO);
pub(crate) const START: TimeMs = TimeMs::new(1_700_000_000_000);
pub(crate) const DEVICE: DeviceId = DeviceId::new([7; 16]);

/// Everything that a test needs of one writer.
pub(crate) struct World {
    pub(crate) faults: Faults,
    pub(crate) writer: SigningKey,
    pub(crate) epoch: SealingEpoch,
    pub(crate) rng: StdRng,
}

pub(crate) fn world(members: usize) -> World {
    let mut rng = StdRng::seed_from_u64(u64::try_from(members).expect("small"));
    let terms = EpochTerms {
        writer: PartyId::new([1; 16]),
        class: DataClass::Vitals,
        code: salus_wire::ObservationCode::Loinc(8_867),
        span: TimeSpan::new(START, START.plus_ms(3_600_000)).expect("an hour"),
        grants: ChainSeed::generate(&mut rng).anchor(),
    };
    World {
        faults: Faults::for_members(members).expect("few"),
        writer: SigningKey::from_seed(Secret::from_bytes([2; 32])),
        epoch: SealingEpoch::generate(terms, &mut rng),
        rng,
    }
}

pub(crate) fn leaves(count: u8) -> Vec<Leaf> {
    let key = PublicKey::from_bytes([3; 32]);
    (0..count).map(|at| Leaf { device_key: key, frame: Blob::new(vec![at; 40]).expect("short") }).collect()
}

pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 7 % 253).expect("a byte")).collect()
}

pub(crate) fn draft(index: u32, plaintext: Vec<u8>, leaves: &[Leaf]) -> Draft<'_> {
    Draft {
        index: SegmentIndex::new(index),
        stream: StreamId::new([4; 16]),
        device: DEVICE,
        sequences: (Sequence::new(10), Sequence::new(19)),
        times: (START, START.plus_ms(9_000)),
        plaintext,
        leaves,
    }
}

impl World {
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::for_faults(self.faults)
    }

    pub(crate) fn seal(&mut self, index: u32, len: usize) -> SealedSegment {
        let geometry = self.geometry();
        seal(&self.epoch, geometry, draft(index, plaintext(len), &leaves(10)), &mut self.rng).expect("sealed")
    }

    pub(crate) fn shares(&mut self) -> Vec<(MemberIndex, EpochShare)> {
        let shares = self.epoch.shares(CHAIN, self.faults, &self.writer, &mut self.rng);
        (0..).map(MemberIndex::new).zip(shares).collect()
    }

    pub(crate) fn check_share(&self, custodian: MemberIndex, share: EpochShare) -> CheckedShare {
        let writer = self.writer.public_key();
        CheckedShare::check(CHAIN, self.faults, &writer, custodian, share).expect("a good share")
    }

    pub(crate) fn opening(&mut self) -> OpeningEpoch {
        let shares = self.shares();
        let threshold = usize::from(self.faults.key_threshold());
        let checked = shares.into_iter().rev().take(threshold);
        let checked = checked.map(|(custodian, share)| self.check_share(custodian, share)).collect();
        OpeningEpoch::combine(checked).expect("enough")
    }
}

pub(crate) fn copy(fragment: &Fragment) -> Fragment {
    Fragment::from_bytes(fragment.as_bytes().to_vec())
}

pub(crate) fn checked(
    manifest: &Manifest,
    fragments: &[Fragment],
    indices: &[usize],
) -> Vec<CheckedFragment> {
    indices
        .iter()
        .map(|index| {
            let position = FragmentIndex::new(u16::try_from(*index).expect("small"));
            check(manifest, position, copy(&fragments[*index])).expect("a good fragment")
        })
        .collect()
}
