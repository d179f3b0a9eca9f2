//! The room where a segment is sealed and cut.
//!
//! Promises that each sealing attempt has a key of its own, drawn from fresh randomness, so that no
//! nonce is ever used twice even after a crash; that lengths are padded to a size class; that the
//! manifest commits to every byte, to the key and to every reading. Refuses to know what the
//! readings say.

use crate::epoch::SealingEpoch;
use crate::error::SealError;
use crate::layout::{SIZE_CLASS_MIN, fragment_len, size_class};
use crate::{check::Fragment, erasure, keys};
use rand_core::CryptoRng;
use salus_crypto::chunked::{seal_chunks, sealed_len};
use salus_crypto::digest::{Digest, ciphertext_hash, fragment_hash};
use salus_crypto::{Secret, merkle, sharing};
use salus_planted::{Bug, is};
use salus_wire::limits::{DESCRIPTOR_BYTES, SEGMENT_BYTES_MAX, SEGMENT_LEAVES_MAX};
use salus_wire::manifest::Suite;
use salus_wire::receipt::Leaf;
use salus_wire::{
    Blob, Descriptor, DeviceId, Geometry, List, Locator, Manifest, SegmentIndex, Sequence, StreamId, TimeMs,
};

/// A segment before it is sealed: readings of one stream, in order.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Its place within the epoch: from 0, without gaps, each used once.
    pub index: SegmentIndex,
    /// The series of observations.
    pub stream: StreamId,
    /// The device that signed the readings.
    pub device: DeviceId,
    /// First and last sequence number within.
    pub sequences: (Sequence, Sequence),
    /// Device time of the first and the last reading.
    pub times: (TimeMs, TimeMs),
    /// The readings, encoded; taken so that padding need not copy them.
    pub plaintext: Vec<u8>,
    /// The readings, each of which can be proved alone.
    pub leaves: &'a [Leaf],
}

/// A sealed segment: what everybody may know, and one fragment for each member.
#[derive(Debug)]
pub struct SealedSegment {
    /// What everybody may know.
    pub manifest: Manifest,
    /// In order of index.
    pub fragments: Vec<Fragment>,
}

/// Pads, seals and cuts `draft` under the epoch's key.
///
/// # Errors
/// [`SealError`], always the caller's fault: nothing to seal, too much, or readings from outside
/// the epoch's span.
pub fn seal(
    epoch: &SealingEpoch,
    geometry: Geometry,
    draft: Draft<'_>,
    rng: &mut impl CryptoRng,
) -> Result<SealedSegment, SealError> {
    admit(epoch, &draft)?;
    let mut seal_random = [0; 32];
    if !is(Bug::SealRandomReused) {
        rng.fill_bytes(&mut seal_random);
    }
    let locator = epoch.locator(draft.index);
    let key = keys::segment(epoch.key(), &seal_random, &locator);
    let leaves = merkle::root(&leaf_digests(&key, draft.leaves));
    let mut manifest = Manifest {
        suite: Suite::V1,
        locator,
        geometry,
        ciphertext_len: 0,
        ciphertext: Digest::ZERO,
        fragments: List::empty(),
        seal_random,
        key_commitment: sharing::key_commitment(locator.as_bytes(), &key),
        leaves,
        descriptor: Blob::default(),
    };
    let descriptor_key = keys::descriptor(epoch.key(), &seal_random, &locator);
    let binding = keys::binding(&manifest);
    manifest.descriptor = keys::seal_descriptor(&descriptor_key, &binding, &describe(epoch, &draft)?)
        .ok_or(SealError::TooLarge { bytes: draft.plaintext.len() })?;
    let ciphertext = encrypt(&key, &binding, draft.plaintext);
    let fragments = cut(&mut manifest, &ciphertext)?;
    Ok(SealedSegment { manifest, fragments })
}

/// A segment of nothing, of the smallest size class: random where another is sealed, under a locator that no key
/// names. Nobody can open it, and nobody without the key of another can tell the two apart but by length. It is what
/// a gateway brings to stores when it has nothing to bring and must not show that.
///
/// # Errors
/// [`SealError::Geometry`].
pub fn seal_nothing(geometry: Geometry, rng: &mut impl CryptoRng) -> Result<SealedSegment, SealError> {
    let mut ciphertext = vec![0; sealed_len(SIZE_CLASS_MIN)];
    rng.fill_bytes(&mut ciphertext);
    let mut descriptor = vec![0; DESCRIPTOR_BYTES];
    rng.fill_bytes(&mut descriptor);
    let mut manifest = Manifest {
        suite: Suite::V1,
        locator: Locator::new(random(rng)),
        geometry,
        ciphertext_len: 0,
        ciphertext: Digest::ZERO,
        fragments: List::empty(),
        seal_random: random(rng),
        key_commitment: Digest::from_bytes(random(rng)),
        leaves: Digest::from_bytes(random(rng)),
        descriptor: Blob::new(descriptor).map_err(|_| SealError::Geometry)?,
    };
    let fragments = cut(&mut manifest, &ciphertext)?;
    Ok(SealedSegment { manifest, fragments })
}

/// The salted digest of each leaf, in order; the salts come from the segment key.
pub(crate) fn leaf_digests(key: &Secret<32>, leaves: &[Leaf]) -> Vec<Digest> {
    (0_u32..).zip(leaves).map(|(index, leaf)| leaf.digest(&keys::leaf_salt(key, index))).collect()
}

fn admit(epoch: &SealingEpoch, draft: &Draft<'_>) -> Result<(), SealError> {
    let bytes = draft.plaintext.len();
    if bytes == 0 || draft.leaves.is_empty() {
        return Err(SealError::Empty);
    }
    if bytes > SEGMENT_BYTES_MAX {
        return Err(SealError::TooLarge { bytes });
    }
    if draft.leaves.len() > SEGMENT_LEAVES_MAX {
        return Err(SealError::TooManyLeaves { leaves: draft.leaves.len() });
    }
    let span = epoch.terms().span;
    if !span.contains(draft.times.0) || !span.contains(draft.times.1) {
        return Err(SealError::OutsideEpoch);
    }
    Ok(())
}

fn describe(epoch: &SealingEpoch, draft: &Draft<'_>) -> Result<Descriptor, SealError> {
    let bytes = draft.plaintext.len();
    let leaves = draft.leaves.len();
    Ok(Descriptor {
        index: draft.index,
        stream: draft.stream,
        class: epoch.terms().class,
        code: epoch.terms().code,
        device: draft.device,
        first_sequence: draft.sequences.0,
        last_sequence: draft.sequences.1,
        first_time: draft.times.0,
        last_time: draft.times.1,
        leaves: u32::try_from(leaves).map_err(|_| SealError::TooManyLeaves { leaves })?,
        plaintext_len: u32::try_from(bytes).map_err(|_| SealError::TooLarge { bytes })?,
    })
}

fn encrypt(key: &Secret<32>, binding: &[u8], mut plaintext: Vec<u8>) -> Vec<u8> {
    plaintext.resize(size_class(plaintext.len()), 0);
    seal_chunks(keys::content(key), binding, &plaintext)
}

fn cut(manifest: &mut Manifest, ciphertext: &[u8]) -> Result<Vec<Fragment>, SealError> {
    let geometry = manifest.geometry;
    manifest.ciphertext_len = u32::try_from(ciphertext.len()).map_err(|_| SealError::Geometry)?;
    manifest.ciphertext = ciphertext_hash(ciphertext);
    let shards = erasure::cut(ciphertext, geometry, fragment_len(geometry, ciphertext.len()))
        .map_err(|_| SealError::Geometry)?;
    let hashes = shards.iter().map(|shard| fragment_hash(shard)).collect();
    manifest.fragments = List::new(hashes).map_err(|_| SealError::Geometry)?;
    Ok(shards.into_iter().map(Fragment::from_bytes).collect())
}

fn random(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Writers that lie in ways that only a writer can: they hold the keys.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CheckedFragment, Quorum, check};
    use crate::epoch::{CheckedShare, EpochTerms, OpeningEpoch};
    use crate::error::{Contradiction, OpenError};
    use crate::open::open;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_crypto::chain::ChainSeed;
    use salus_crypto::{PublicKey, SigningKey};
    use salus_wire::{
        ChainId, DataClass, Faults, FragmentIndex, MemberIndex, ObservationCode, PartyId, TimeSpan, encode,
    };

    const START: TimeMs = TimeMs::new(1_000);

    struct Liar {
        epoch: SealingEpoch,
        faults: Faults,
        rng: StdRng,
        leaves: Vec<Leaf>,
    }

    fn liar() -> Liar {
        let mut rng = StdRng::seed_from_u64(1);
        let terms = EpochTerms {
            writer: PartyId::new([1; 16]),
            class: DataClass::Vitals,
            code: ObservationCode::Loinc(8_867),
            span: TimeSpan::new(START, START.plus_ms(1_000)).unwrap(),
            grants: ChainSeed::generate(&mut rng).anchor(),
        };
        let leaf = Leaf { device_key: PublicKey::from_bytes([3; 32]), frame: Blob::new(vec![1]).unwrap() };
        Liar {
            epoch: SealingEpoch::generate(terms, &mut rng),
            faults: Faults::for_members(4).unwrap(),
            rng,
            leaves: vec![leaf],
        }
    }

    impl Liar {
        fn sealed(&mut self) -> (SealedSegment, Descriptor) {
            let draft = Draft {
                index: SegmentIndex::new(0),
                stream: StreamId::new([2; 16]),
                device: DeviceId::new([3; 16]),
                sequences: (Sequence::new(1), Sequence::new(1)),
                times: (START, START),
                plaintext: vec![7; 900],
                leaves: &self.leaves,
            };
            let descriptor = describe(&self.epoch, &draft).unwrap();
            let geometry = Geometry::for_faults(self.faults);
            (seal(&self.epoch, geometry, draft, &mut self.rng).unwrap(), descriptor)
        }

        fn key_of(&self, manifest: &Manifest) -> Secret<32> {
            keys::segment(self.epoch.key(), &manifest.seal_random, &manifest.locator)
        }

        fn read(&mut self, sealed: SealedSegment) -> OpenError {
            let chain = ChainId(Digest::ZERO);
            let writer = SigningKey::generate(&mut self.rng);
            let shares = self.epoch.shares(chain, self.faults, &writer, &mut self.rng);
            let shares = (0..).map(MemberIndex::new).zip(shares).map(|(custodian, share)| {
                CheckedShare::check(chain, self.faults, &writer.public_key(), custodian, share).unwrap()
            });
            let epoch = OpeningEpoch::combine(shares.collect()).unwrap();
            let key = epoch.segment_key(SegmentIndex::new(0), &sealed.manifest).unwrap();
            let fragments: Vec<CheckedFragment> = (0..)
                .map(FragmentIndex::new)
                .zip(sealed.fragments)
                .map(|(index, fragment)| check(&sealed.manifest, index, fragment).unwrap())
                .collect();
            let quorum = Quorum::gather(&sealed.manifest, fragments).unwrap();
            open(&sealed.manifest, quorum, key).err().unwrap()
        }
    }

    #[test]
    fn a_segment_of_nothing_looks_like_a_small_one_and_is_another_each_time() {
        let mut liar = liar();
        let (meant, _) = liar.sealed();
        let nothing = [0; 2].map(|_| seal_nothing(meant.manifest.geometry, &mut liar.rng).unwrap());
        for one in &nothing {
            assert_eq!(encode(&one.manifest).len(), encode(&meant.manifest).len());
            assert_eq!(one.manifest.ciphertext_len, meant.manifest.ciphertext_len);
            assert_eq!(one.fragments.len(), meant.fragments.len());
            for (index, fragment) in (0..).map(FragmentIndex::new).zip(&one.fragments) {
                let bytes = fragment.as_bytes().to_vec();
                check(&one.manifest, index, Fragment::from_bytes(bytes)).unwrap();
            }
        }
        let [one, other] = nothing.map(|one| one.manifest);
        assert_ne!(one.locator, other.locator);
        assert_ne!(one.digest(), other.digest());
        assert_ne!(one.ciphertext, other.ciphertext);
    }

    #[test]
    fn a_descriptor_that_does_not_fit_its_epoch_is_the_writers_fault() {
        let check = |change: &dyn Fn(&mut Descriptor), contradiction| {
            let mut liar = liar();
            let (mut sealed, mut descriptor) = liar.sealed();
            change(&mut descriptor);
            let manifest = &mut sealed.manifest;
            let key = keys::descriptor(liar.epoch.key(), &manifest.seal_random, &manifest.locator);
            let binding = keys::binding(manifest);
            manifest.descriptor = keys::seal_descriptor(&key, &binding, &descriptor).unwrap();
            assert_eq!(liar.read(sealed), OpenError::Writer(contradiction));
        };
        check(&|descriptor| descriptor.index = SegmentIndex::new(1), Contradiction::Place);
        check(&|descriptor| descriptor.class = DataClass::Waveform, Contradiction::Place);
        check(&|descriptor| descriptor.code = ObservationCode::Mdc(8_867), Contradiction::Place);
        check(&|descriptor| descriptor.first_time = TimeMs::new(999), Contradiction::Place);
        check(&|descriptor| descriptor.last_time = TimeMs::new(2_000), Contradiction::Place);
        check(&|descriptor| descriptor.plaintext_len = 899, Contradiction::Padding);
        check(&|descriptor| descriptor.plaintext_len = 1_025, Contradiction::Padding);
        check(&|descriptor| descriptor.plaintext_len = u32::MAX, Contradiction::Padding);
    }

    #[test]
    fn a_ciphertext_under_another_key_or_binding_is_the_writers_fault() {
        for other_key in [false, true] {
            let mut liar = liar();
            let (mut sealed, _) = liar.sealed();
            let key = if other_key { Secret::from_bytes([0; 32]) } else { liar.key_of(&sealed.manifest) };
            let binding = if other_key { keys::binding(&sealed.manifest) } else { b"elsewhere".to_vec() };
            let ciphertext = encrypt(&key, &binding, vec![7; 900]);
            sealed.fragments = cut(&mut sealed.manifest, &ciphertext).unwrap();
            assert_eq!(liar.read(sealed), OpenError::Writer(Contradiction::Seal));
        }
    }

    #[test]
    fn hidden_bytes_in_the_padding_are_the_writers_fault() {
        for (len, at) in [(1_024, 1_023), (1_024, 900), (1_280, 0)] {
            let mut liar = liar();
            let (mut sealed, _) = liar.sealed();
            let mut plaintext = vec![0; len];
            plaintext[..900].fill(7);
            plaintext[at] |= 1;
            let (key, binding) = (liar.key_of(&sealed.manifest), keys::binding(&sealed.manifest));
            let ciphertext = seal_chunks(keys::content(&key), &binding, &plaintext);
            sealed.fragments = cut(&mut sealed.manifest, &ciphertext).unwrap();
            assert_eq!(liar.read(sealed), OpenError::Writer(Contradiction::Padding), "{len} {at}");
        }
    }
}
