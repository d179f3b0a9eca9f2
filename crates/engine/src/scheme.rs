//! The one place that chooses how votes are signed and blocks are named, and that turns our keys
//! and digests into the engine's and back.
//!
//! Promises that nothing else in the crate repeats these choices: a different scheme is a change to
//! this file and to `spec/certificate.md`. Refuses to know what is voted on.

use crate::error::EngineError;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::simplex::scheme::ed25519;
use commonware_consensus::simplex::types::Context;
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519 as keys;
use commonware_utils::ordered::Set;
use salus_crypto::secret::Secret;
use salus_crypto::sign::PublicKey;
use salus_wire::{ChainId, Genesis, MemberIndex, namespaces};

/// How members sign votes: one Ed25519 signature each, so that a liar can be named.
pub(crate) type Scheme = ed25519::Scheme;
/// A member as the engine knows it, in votes and on its links.
pub(crate) type PeerKey = keys::PublicKey;
/// What the engine votes on: the digest of a header.
pub(crate) type Payload = commonware_cryptography::sha256::Digest;
/// Where in the protocol a block is proposed or checked.
pub(crate) type Round = Context<Payload, PeerKey>;

/// A header's digest as the engine carries it.
pub(crate) fn payload(digest: salus_crypto::digest::Digest) -> Payload {
    commonware_cryptography::sha256::Digest(*digest.as_bytes())
}

/// The engine's payload as a digest of ours.
pub(crate) fn digest(payload: Payload) -> salus_crypto::digest::Digest {
    salus_crypto::digest::Digest::from_bytes(payload.0)
}

/// What stands before the engine's own suffix in everything a vote signs: it binds the consortium.
pub(crate) fn vote_namespace(chain: ChainId) -> Vec<u8> {
    let mut bytes = namespaces::FINALITY.as_str().as_bytes().to_vec();
    bytes.extend(chain.0.as_bytes());
    bytes
}

/// The members' consensus keys, by member and in the engine's own order (ascending bytes).
#[derive(Clone)]
pub(crate) struct Roster {
    by_member: Vec<PeerKey>,
}

impl Roster {
    /// Takes the keys from genesis.
    ///
    /// # Errors
    /// [`EngineError::MemberKey`] for a key that is no point of the curve,
    /// [`EngineError::KeyTwice`] when two members share one.
    pub(crate) fn of(genesis: &Genesis) -> Result<Self, EngineError> {
        let mut by_member = Vec::new();
        for (index, member) in (0..).map(MemberIndex::new).zip(genesis.members.iter()) {
            let key = peer_key(&member.consensus).ok_or(EngineError::MemberKey { member: index })?;
            if by_member.contains(&key) {
                return Err(EngineError::KeyTwice { member: index });
            }
            by_member.push(key);
        }
        Ok(Self { by_member })
    }

    /// The key of a member.
    pub(crate) fn key(&self, member: MemberIndex) -> Option<&PeerKey> {
        self.by_member.get(usize::from(member.get()))
    }

    /// The member that holds a key.
    pub(crate) fn member(&self, key: &PeerKey) -> Option<MemberIndex> {
        (0..)
            .map(MemberIndex::new)
            .zip(&self.by_member)
            .find(|(_, known)| *known == key)
            .map(|(member, _)| member)
    }

    /// All keys in ascending order: the order of signers in a certificate.
    pub(crate) fn set(&self) -> Set<PeerKey> {
        Set::from_iter_dedup(self.by_member.iter().cloned())
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.by_member.len()
    }
}

/// The signing key of a seed.
///
/// # Errors
/// [`EngineError::OwnKey`]; 32 bytes are always a seed, so this does not happen.
pub(crate) fn signer(seed: &Secret<32>) -> Result<keys::PrivateKey, EngineError> {
    // The engine keeps its own zeroising copy; ours is wiped when the caller drops it.
    keys::PrivateKey::decode(Copying(seed.danger_expose().as_slice())).map_err(|_| EngineError::OwnKey)
}

/// The scheme with which this member votes.
///
/// # Errors
/// [`EngineError::OwnKey`] when the key is not this member's.
pub(crate) fn voting(
    chain: ChainId,
    roster: &Roster,
    me: MemberIndex,
    key: keys::PrivateKey,
) -> Result<Scheme, EngineError> {
    if roster.key(me) != Some(&key.public_key()) {
        return Err(EngineError::OwnKey);
    }
    Scheme::signer(&vote_namespace(chain), roster.set(), key).ok_or(EngineError::OwnKey)
}

/// A consensus key as the engine knows it; `None` for bytes that are no key.
pub(crate) fn peer_key(key: &PublicKey) -> Option<PeerKey> {
    PeerKey::decode(Copying(key.as_bytes().as_slice())).ok()
}
