//! Key shares on their way: deposited by a writer, released by a custodian to one reader.

use crate::bounded::List;
use crate::codec::encode;
use crate::ids::{AccessTag, ChainId, EpochId, GrantTag, MemberIndex, PartyId, TimeMs, TimeSpan};
use crate::limits::{DEPOSIT_ENVELOPES_MAX, EPOCHS_PER_ENVELOPE_MAX, MEMBERS_MAX};
use crate::namespaces;
use crate::scope::{DataClass, ObservationCode, Scope};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::{KemPublicKey, Sealed};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, Signature};
use std::io::{Read, Write};

/// What is the same in every custodian's share of one epoch key. It names the writer's fault when
/// t shares that match their hashes do not make the committed key, and the custodian's fault when
/// a share does not match its hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochHeader {
    /// The epoch.
    pub epoch: EpochId,
    /// The gateway that writes under it.
    pub writer: PartyId,
    /// What class of data it holds.
    pub class: DataClass,
    /// What kind of observation it holds.
    pub code: ObservationCode,
    /// Device times that may lie in it.
    pub span: TimeSpan,
    /// The one grant chain that can open it.
    pub grants: ChainAnchor,
    /// t, the shares that open it.
    pub threshold: u16,
    /// The hash of each custodian's share, by member.
    pub share_hashes: List<Digest, MEMBERS_MAX>,
    /// Commitment to the epoch key.
    pub key_commitment: Digest,
}

/// One custodian's share of one epoch key. Never outside a seal.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct EpochShare {
    /// What all shares of the epoch agree on.
    pub header: EpochHeader,
    /// By the writer's key over the header, under [`namespaces::EPOCH`].
    pub signature: Signature,
    /// The share's 32 bytes. Its index is the custodian's member index plus one.
    pub share: ShareBytes,
}

/// Secret bytes in transit: wiped on drop, never printed.
#[derive(Debug)]
pub struct ShareBytes(pub Secret<32>);

impl BorshSerialize for ShareBytes {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.0.danger_expose().serialize(writer)
    }
}

impl BorshDeserialize for ShareBytes {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        <[u8; 32]>::deserialize_reader(reader).map(|bytes| Self(Secret::from_bytes(bytes)))
    }
}

/// The plaintext of an envelope, and of a release: shares of several epochs.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct EpochShares(pub List<EpochShare, EPOCHS_PER_ENVELOPE_MAX>);

/// A writer's shares for one custodian, sealed to its X-Wing key.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Envelope {
    /// Encoded [`EpochShares`], sealed with [`envelope_info`] as the info.
    pub sealed: Sealed,
}

/// A writer brings envelopes to one custodian.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Deposit {
    /// The gateway.
    pub writer: PartyId,
    /// The custodian's member.
    pub custodian: MemberIndex,
    /// The envelopes.
    pub envelopes: List<Envelope, DEPOSIT_ENVELOPES_MAX>,
    /// By the writer's key over the fields above, under [`namespaces::DEPOSIT`].
    pub signature: Signature,
}

/// A reader asks one custodian for its shares under a final access.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct ReleaseRequest {
    /// What is asked, and the evidence for it.
    pub terms: ReleaseTerms,
    /// By the access's one-time key over the terms, under [`namespaces::RELEASE_REQUEST`].
    pub signature: Signature,
}

/// The signed part of a [`ReleaseRequest`]. It holds links of secret chains: only ever sent inside
/// TLS to a custodian.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct ReleaseTerms {
    /// The custodian asked, so that one custodian's request is no use at another.
    pub custodian: MemberIndex,
    /// Fresh for each request.
    pub nonce: [u8; 16],
    /// The requester's clock.
    pub sent: TimeMs,
    /// The key that signs this request and the access record.
    pub one_time: PublicKey,
    /// Where the access stands on its lane, from 1.
    pub access_index: u16,
    /// The lane's link there; its tag is the access.
    pub access_link: ShareBytes,
    /// Where the grant stands on its chain, from 1.
    pub grant_index: u16,
    /// The chain's link there; its tag is the grant.
    pub grant_link: ShareBytes,
    /// Opens the grant's sealed body.
    pub grant_body_key: ShareBytes,
    /// The ephemeral key to which shares are re-sealed.
    pub reader: KemPublicKey,
    /// What is wanted, within the intent.
    pub scope: Scope,
    /// Skip this many matching epochs (a long history is asked for in pages).
    pub skip: u32,
}

/// A custodian's answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Released {
    /// Who released.
    pub custodian: MemberIndex,
    /// Under which access.
    pub access: AccessTag,
    /// Encoded [`EpochShares`] in ascending order of span and epoch, sealed to the reader's key
    /// with [`release_info`] as the info.
    pub sealed: Sealed,
    /// Matching epochs beyond this page.
    pub remaining: u32,
    /// By the member's service key over the fields above, under [`namespaces::RELEASED`].
    pub signature: Signature,
}

/// The HPKE info of an envelope: bound to consortium, writer and custodian.
#[must_use]
pub fn envelope_info(chain: ChainId, writer: PartyId, custodian: MemberIndex) -> Vec<u8> {
    let context = sha256(namespaces::ENVELOPE, &[&encode(&(chain, writer, custodian))]);
    context.as_bytes().to_vec()
}

/// The HPKE info of a release: bound to consortium, custodian and access.
#[must_use]
pub fn release_info(chain: ChainId, custodian: MemberIndex, access: AccessTag) -> Vec<u8> {
    let context = sha256(namespaces::RELEASE, &[&encode(&(chain, custodian, access))]);
    context.as_bytes().to_vec()
}

/// What a writer signs over an epoch header, under [`namespaces::EPOCH`].
#[must_use]
pub fn epoch_message(chain: ChainId, header: &EpochHeader) -> Vec<u8> {
    encode(&(chain, header))
}

/// What a writer signs over a deposit, under [`namespaces::DEPOSIT`].
#[must_use]
pub fn deposit_message(
    chain: ChainId,
    writer: PartyId,
    custodian: MemberIndex,
    envelopes: &List<Envelope, DEPOSIT_ENVELOPES_MAX>,
) -> Vec<u8> {
    encode(&(chain, writer, custodian, envelopes))
}

/// What a reader signs over a request, under [`namespaces::RELEASE_REQUEST`].
#[must_use]
pub fn release_request_message(chain: ChainId, terms: &ReleaseTerms) -> Vec<u8> {
    encode(&(chain, terms))
}

/// What a custodian signs over its answer, under [`namespaces::RELEASED`].
#[must_use]
pub fn released_message(
    chain: ChainId,
    custodian: MemberIndex,
    access: AccessTag,
    sealed: &Sealed,
    remaining: u32,
) -> Vec<u8> {
    encode(&(chain, custodian, access, sealed, remaining))
}

/// The digest by which an intent names the reader's ephemeral key.
#[must_use]
pub fn reader_digest(reader: &KemPublicKey) -> Digest {
    sha256(namespaces::KEM_KEY, &[&encode(reader)])
}

/// The bytes under which a custodian remembers a grant it must refuse (P2).
#[must_use]
pub fn refusal_entry(grant: &GrantTag) -> Vec<u8> {
    encode(grant)
}
