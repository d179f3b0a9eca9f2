//! The data plane alone, on one thread, in CPU time: seal and cut, rebuild and open, compress.

use super::figures::{Figure, Goal, real};
use super::process::thread_cpu_seconds;
use crate::output::Failure;
use crate::session::rng;
use crate::{ecg, files};
use rand_core::Rng;
use salus_clinical::{frame, segment};
use salus_crypto::chain::ChainSeed;
use salus_crypto::sign::SigningKey;
use salus_fragment::{
    CheckedShare, Draft, EpochTerms, Fragment, OpeningEpoch, Quorum, SealedSegment, SealingEpoch, check,
    open, seal,
};
use salus_wire::ids::{
    ChainId, DeviceId, FragmentIndex, MemberIndex, PartyId, SegmentIndex, Sequence, StreamId, TimeMs,
    TimeSpan,
};
use salus_wire::manifest::Geometry;
use salus_wire::receipt::Leaf;
use salus_wire::{Code, DataClass, Faults, ObservationCode};

/// Plaintext bytes of one segment in this measurement.
const SEGMENT_BYTES: usize = 1024 * 1024;
/// Segments sealed and opened.
const ROUNDS: u32 = 64;
/// Members of the measured geometry: 4 data fragments and 2 of parity.
const MEMBERS: usize = 6;
const GIGA: f64 = 1e9;
/// Any time will do.
const AT: TimeMs = TimeMs::new(1_700_000_000_000);

/// Measures the data plane.
pub(crate) fn measure() -> Result<Vec<Figure>, Failure> {
    let world = World::new()?;
    let (sealing, sealed) = world.seal_all()?;
    let healthy = world.open_all(&sealed, 0)?;
    let degraded = world.open_all(&sealed, 2)?;
    let (plain, signed) = compression()?;
    Ok(vec![
        Figure::new(
            "seal and cut, memory to 6 hashed fragments (4+2), opaque",
            sealing,
            "GB/CPU-s",
            Goal::AtLeast(1.8),
        ),
        Figure::plain("rebuild and open, all data fragments there", healthy, "GB/CPU-s"),
        Figure::new("rebuild and open, 2 of 6 lost", degraded, "GB/CPU-s", Goal::AtLeast(0.5)),
        Figure::new(
            "ECG at rest, before parity, 10 s frames, signatures included",
            signed,
            ": 1",
            Goal::AtLeast(3.2),
        ),
        Figure::plain("ECG at rest, before parity, 1 s frames, signatures included", plain, ": 1"),
    ])
}

struct World {
    faults: Faults,
    chain: ChainId,
    key: SigningKey,
    epoch: SealingEpoch,
    leaf: Leaf,
    plaintext: Vec<u8>,
}

impl World {
    fn new() -> Result<Self, Failure> {
        let mut rng = rng()?;
        let wrong = |what: &str| Failure::new(Code::Internal, what);
        let key = SigningKey::generate(&mut rng);
        let terms = EpochTerms {
            writer: PartyId::new([1; 16]),
            class: DataClass::Waveform,
            code: ObservationCode::Mdc(131_329),
            span: TimeSpan::new(AT, AT.plus_ms(1_000)).ok_or_else(|| wrong("empty span"))?,
            grants: ChainSeed::generate(&mut rng).anchor(),
        };
        let mut plaintext = vec![0; SEGMENT_BYTES];
        rng.fill_bytes(&mut plaintext);
        Ok(Self {
            faults: Faults::for_members(MEMBERS).ok_or_else(|| wrong("no such consortium"))?,
            chain: ChainId(salus_crypto::digest::Digest::ZERO),
            epoch: SealingEpoch::generate(terms, &mut rng),
            leaf: Leaf { device_key: key.public_key(), frame: salus_wire::Blob::default() },
            key,
            plaintext,
        })
    }

    /// Gigabytes of plaintext a CPU second, and what came of it.
    fn seal_all(&self) -> Result<(f64, Vec<SealedSegment>), Failure> {
        let mut rng = rng()?;
        let leaves = [self.leaf.clone()];
        let mut sealed = Vec::new();
        let mut spent = 0.0;
        for index in 0..ROUNDS {
            let draft = Draft {
                index: SegmentIndex::new(index),
                stream: StreamId::new([2; 16]),
                device: DeviceId::new([3; 16]),
                sequences: (Sequence::new(1), Sequence::new(1)),
                times: (AT, AT),
                plaintext: self.plaintext.clone(),
                leaves: &leaves,
            };
            let started = thread_cpu_seconds();
            let segment = seal(&self.epoch, Geometry::for_faults(self.faults), draft, &mut rng)
                .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
            spent += thread_cpu_seconds() - started;
            sealed.push(segment);
        }
        Ok((self.throughput(spent), sealed))
    }

    /// Gigabytes of plaintext a CPU second, with the first `lost` data fragments missing.
    fn open_all(&self, sealed: &[SealedSegment], lost: usize) -> Result<f64, Failure> {
        let opening = self.opening()?;
        let mut spent = 0.0;
        for (index, segment) in (0_u32..).zip(sealed) {
            let numbered = (0_u16..).map(FragmentIndex::new).zip(&segment.fragments).skip(lost);
            let parts: Vec<(FragmentIndex, Vec<u8>)> = numbered
                .take(segment.manifest.geometry.data())
                .map(|(at, fragment)| (at, fragment.as_bytes().to_vec()))
                .collect();
            let started = thread_cpu_seconds();
            let bytes = self.open_one(&opening, SegmentIndex::new(index), segment, parts)?;
            spent += thread_cpu_seconds() - started;
            if bytes != self.plaintext {
                return Err(Failure::broken("what was opened is not what was sealed"));
            }
        }
        Ok(self.throughput(spent))
    }

    fn open_one(
        &self,
        opening: &OpeningEpoch,
        index: SegmentIndex,
        segment: &SealedSegment,
        parts: Vec<(FragmentIndex, Vec<u8>)>,
    ) -> Result<Vec<u8>, Failure> {
        let internal = |error: &dyn std::error::Error| Failure::new(Code::Internal, error.to_string());
        let manifest = &segment.manifest;
        let checked: Result<Vec<_>, _> =
            parts.into_iter().map(|(at, bytes)| check(manifest, at, Fragment::from_bytes(bytes))).collect();
        let quorum = Quorum::gather(manifest, checked.map_err(|error| internal(&error))?);
        let quorum = quorum.map_err(|error| internal(&error))?;
        let key = opening.segment_key(index, manifest).map_err(|error| internal(&error))?;
        let opened = open(manifest, quorum, key).map_err(|error| internal(&error))?;
        Ok(opened.plaintext().to_vec())
    }

    fn opening(&self) -> Result<OpeningEpoch, Failure> {
        let shares = self.epoch.shares(self.chain, self.faults, &self.key, &mut rng()?);
        let checked: Result<Vec<_>, _> = (0_u16..)
            .map(MemberIndex::new)
            .zip(shares)
            .map(|(at, share)| {
                CheckedShare::check(self.chain, self.faults, &self.key.public_key(), at, share)
            })
            .collect();
        checked
            .and_then(OpeningEpoch::combine)
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))
    }

    fn throughput(&self, seconds: f64) -> f64 {
        let bytes = real(u64::try_from(self.plaintext.len()).unwrap_or(0)) * f64::from(ROUNDS);
        bytes / seconds.max(f64::MIN_POSITIVE) / GIGA
    }
}

/// How well the real ECG packs in frames of 1 s and of 10 s, signatures and all.
fn compression() -> Result<(f64, f64), Failure> {
    Ok((packed(360)?, packed(3_600)?))
}

fn packed(frame_len: u32) -> Result<f64, Failure> {
    let samples = files::recording(None)?;
    let key = SigningKey::generate(&mut rng()?);
    let readings = ecg::waveforms(&samples, 360, frame_len, AT)?;
    let signed = (0_u64..).zip(readings).map(|(sequence, reading)| {
        frame::parse(&frame::sign(&key, DeviceId::new([3; 16]), Sequence::new(sequence), reading))
    });
    let frames: Result<Vec<_>, _> = signed.collect();
    let frames = frames.map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let plaintext = segment::pack(key.public_key(), &frames)
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    let raw = samples.len().saturating_mul(2);
    Ok(real(u64::try_from(raw).unwrap_or(0)) / real(u64::try_from(plaintext.len()).unwrap_or(1)))
}
