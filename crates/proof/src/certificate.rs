//! Finality certificates: that a quorum of members voted to make one header final.
//!
//! Promises to accept exactly the canonical bytes of `spec/certificate.md`, for exactly the header
//! given, with at least n - f distinct members' signatures, every one of which verifies. Refuses to
//! know which engine made them: the format is decoded here on its own, and a test of the engine's
//! room holds the two together.

use crate::error::Unproven;
use crate::policy::TrustPolicy;
use salus_crypto::{Digest, Signature};
use salus_planted::{Bug, is};
use salus_wire::limits::{CERTIFICATE_BYTES_MAX, MEMBERS_MAX};
use salus_wire::{ChainId, Header, namespaces};

/// The kind of vote that makes a block final.
const VOTE_KIND: &[u8] = b"_FINALIZE";

/// The engine counts epochs of membership; there is only the first.
const EPOCH: u64 = 0;

/// Checks that `certificate` makes `header` final.
///
/// # Errors
/// An [`Unproven`] whose name begins with "certificate".
pub fn verify(policy: &TrustPolicy, header: &Header, certificate: &[u8]) -> Result<(), Unproven> {
    let certificate = Certificate::decode(certificate)?;
    let proposal = Proposal::of(header);
    if certificate.proposal != proposal {
        return Err(Unproven::CertificateOther);
    }
    if certificate.bits != u64::from(policy.faults().members()) {
        return Err(Unproven::CertificateMembers);
    }
    let few = policy.faults().tolerated().max(1);
    let needed = if is(Bug::LiarsCertify) { few } else { policy.faults().quorum() };
    if certificate.votes.len() < usize::from(needed) {
        return Err(Unproven::CertificateQuorum);
    }
    let message = vote_message(policy.chain(), &proposal);
    certificate.votes.iter().try_for_each(|(signer, signature)| {
        let key = policy.signers().get(*signer).ok_or(Unproven::CertificateMembers)?;
        key.verify_raw(&message, signature).map_err(|_| Unproven::CertificateSignature)
    })
}

/// What a vote is about.
#[derive(PartialEq, Eq)]
struct Proposal {
    epoch: u64,
    view: u64,
    parent_view: u64,
    payload: Digest,
}

impl Proposal {
    fn of(header: &Header) -> Self {
        Self {
            epoch: EPOCH,
            view: header.view.get(),
            parent_view: header.parent_view.get(),
            payload: header.digest(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for number in [self.epoch, self.view, self.parent_view] {
            put_varint(&mut bytes, number);
        }
        bytes.extend(self.payload.as_bytes());
        bytes
    }
}

/// The length of the namespace, the namespace, the proposal. The namespace is made of ours, the
/// chain's id and the kind of vote.
fn vote_message(chain: ChainId, proposal: &Proposal) -> Vec<u8> {
    let namespace =
        [namespaces::FINALITY.as_str().as_bytes(), chain.0.as_bytes().as_slice(), VOTE_KIND].concat();
    let mut message = Vec::with_capacity(128);
    put_varint(&mut message, u64::try_from(namespace.len()).unwrap_or(u64::MAX));
    message.extend(namespace);
    message.extend(proposal.encode());
    message
}

/// A decoded certificate: canonical, but not yet believed.
struct Certificate {
    proposal: Proposal,
    /// How many members the bitmap speaks of.
    bits: u64,
    /// Signers, ascending and distinct, each with its signature.
    votes: Vec<(usize, Signature)>,
}

impl Certificate {
    fn decode(bytes: &[u8]) -> Result<Self, Unproven> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(Unproven::CertificateMalformed);
        }
        let mut rest = Rest(bytes);
        let certificate = Self::read(&mut rest).ok_or(Unproven::CertificateMalformed)?;
        if rest.0.is_empty() { Ok(certificate) } else { Err(Unproven::CertificateMalformed) }
    }

    fn read(rest: &mut Rest<'_>) -> Option<Self> {
        let proposal = Proposal {
            epoch: rest.varint(u64::BITS)?,
            view: rest.varint(u64::BITS)?,
            parent_view: rest.varint(u64::BITS)?,
            payload: Digest::from_bytes(rest.array()?),
        };
        let bits = u64::from_be_bytes(rest.array()?);
        let signers = rest.bitmap(bits)?;
        let count = rest.varint(u32::BITS)?;
        if usize::try_from(count).ok()? != signers.len() {
            return None;
        }
        let votes: Option<Vec<_>> =
            signers.into_iter().map(|signer| Some((signer, Signature::from_bytes(rest.array()?)))).collect();
        Some(Self { proposal, bits, votes: votes? })
    }
}

/// What is left to decode. Every read that finds too little, or a form that is not canonical, is
/// `None`.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    /// Seven bits per byte, least significant group first, in the fewest bytes.
    fn varint(&mut self, width: u32) -> Option<u64> {
        let mut value = 0_u64;
        let mut shift = 0_u32;
        loop {
            let [byte] = self.array()?;
            let group = u64::from(byte & 0x7f);
            let room = width.checked_sub(shift)?;
            let overflows = room < 7 && group >> room != 0;
            let needless = shift > 0 && byte == 0;
            if overflows || needless {
                return None;
            }
            value |= group.checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
            shift = shift.checked_add(7)?;
        }
    }

    /// The places of the set bits among `bits`, least significant bit of the first byte first; the
    /// bits that fill up the last byte must be zero.
    fn bitmap(&mut self, bits: u64) -> Option<Vec<usize>> {
        let bits = usize::try_from(bits).ok().filter(|bits| *bits <= MEMBERS_MAX)?;
        let (map, tail) = self.0.split_at_checked(bits.div_ceil(8))?;
        self.0 = tail;
        let places = map.iter().flat_map(|byte| (0..8_u32).map(move |place| (byte >> place) & 1 == 1));
        let set: Vec<usize> = places.enumerate().filter(|(_, set)| *set).map(|(place, _)| place).collect();
        set.last().is_none_or(|last| *last < bits).then_some(set)
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or(0));
}
