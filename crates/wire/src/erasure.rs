//! Erasure: a patient's order that everything under one grant chain be destroyed, the requests with which it
//! is carried to every member, and what stands on the ledger of who has obeyed (`docs/adr/0013-erasure.md`).
//!
//! On the ledger an order is an entry of the patient's own grant chain, and looks like a grant: of the same
//! length, under the next tag, and its commitment holds the chain's link there. Only who holds the chain's seed knows
//! that link when the tag is taken, so that is the authority.

use crate::bounded::List;
use crate::codec::encode;
use crate::ids::{ChainId, GrantTag, MemberIndex, PartyId, TimeMs};
use crate::limits::ERASED_EPOCHS_MAX;
use crate::namespaces;
use crate::release::ShareBytes;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::Link;
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::{KemPublicKey, Sealed};
use salus_crypto::sign::{PublicKey, Signature};

/// A patient's order, as it stands sealed on the ledger. Padded like a grant.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Erasure {
    /// 32 random bytes, so that the commitment to this body cannot be guessed.
    pub salt: [u8; 32],
    /// The gateway whose data is to be destroyed.
    pub writer: PartyId,
    /// The digest of the ephemeral public key to which custodians seal their shares for the last time.
    pub reader: Digest,
    /// The key that commits this order and signs every request under it, used for nothing else.
    pub one_time: PublicKey,
}

/// Who held something and says that it is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Holder {
    /// A member: its store and its custodian.
    Member(MemberIndex) = 0,
    /// The gateway that wrote.
    Writer(PartyId) = 1,
}

/// A patient's client carries an order to one member.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct EraseRequest {
    /// What is asked, and the evidence for it.
    pub terms: EraseTerms,
    /// By the order's one-time key over the terms, under [`namespaces::ERASE_REQUEST`].
    pub signature: Signature,
}

/// The signed part of an [`EraseRequest`]. It holds a link of a secret chain: only ever sent inside TLS to a
/// member.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct EraseTerms {
    /// The member asked, so that one member's request is no use at another.
    pub custodian: MemberIndex,
    /// Fresh for each request.
    pub nonce: [u8; 16],
    /// The requester's clock.
    pub sent: TimeMs,
    /// The key that signs this request and committed the order.
    pub one_time: PublicKey,
    /// Where the order stands on its chain, from 1.
    pub index: u16,
    /// The chain's link there; its tag is the order.
    pub link: ShareBytes,
    /// Opens the order's sealed body.
    pub body_key: ShareBytes,
    /// The ephemeral key that the order names.
    pub reader: KemPublicKey,
    /// What to do now.
    pub step: EraseStep,
}

/// The steps by which a member obeys. From the first on, whichever it is, the chain is closed at this member:
/// it takes nothing more for it and releases nothing under any grant of it.
#[derive(BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum EraseStep {
    /// Give the shares once more, sealed to the order's key: only whoever can put the epoch keys together can
    /// say under which locators the fragments lie.
    Shares {
        /// Skip this many epochs.
        skip: u32,
    } = 0,
    /// Destroy the fragments of these epochs.
    Fragments(List<ErasedEpoch, ERASED_EPOCHS_MAX>) = 1,
    /// Destroy every share, and record on the ledger that nothing is left.
    Finish = 2,
}

/// An epoch whose fragments are to be destroyed.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct ErasedEpoch {
    /// The epoch's locator key. It finds fragments, of the chain ordered and its writer only, and opens nothing.
    pub locators: ShareBytes,
    /// How many segments some store is known to have had, 0 when that is not known.
    pub segments: u32,
}

/// A member's answer to a step.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EraseAnswer {
    /// To [`EraseStep::Shares`].
    Shares(Box<ErasedShares>),
    /// To [`EraseStep::Fragments`], once they are gone: of each epoch asked, one more than the number of the
    /// last segment that this store had.
    Fragments(List<u32, ERASED_EPOCHS_MAX>),
    /// To [`EraseStep::Finish`], once the receipt is final.
    Finished,
}

/// The shares of an erased chain, a last time.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ErasedShares {
    /// Who gives them.
    pub custodian: MemberIndex,
    /// Under which order.
    pub order: GrantTag,
    /// Encoded [`crate::release::EpochShares`] in ascending order of span and epoch, sealed to the order's key
    /// with [`erased_info`] as the info.
    pub sealed: Sealed,
    /// Epochs beyond this page.
    pub remaining: u32,
    /// By the member's service key over the fields above, under [`namespaces::ERASED_SHARES`].
    pub signature: Signature,
}

/// SHA-256 under [`namespaces::ERASURE`] of what stands for the chain's link at the order's place
/// ([`Link::mark`]) and the encoded order: no grant,
/// whatever it says, has the same, and nobody who did not hold the chain's seed when the tag was taken has made it
/// ([`crate::tx::grant_commitment`]).
#[must_use]
pub fn erasure_commitment(link: &Link, erasure: &Erasure) -> Digest {
    sha256(namespaces::ERASURE, &[link.mark().as_bytes(), &encode(erasure)])
}

/// What a patient's client signs over a request, under [`namespaces::ERASE_REQUEST`].
#[must_use]
pub fn erase_message(chain: ChainId, terms: &EraseTerms) -> Vec<u8> {
    encode(&(chain, terms))
}

/// The HPKE info of shares that are given a last time: bound to consortium, custodian and order.
#[must_use]
pub fn erased_info(chain: ChainId, custodian: MemberIndex, order: GrantTag) -> Vec<u8> {
    let context = sha256(namespaces::ERASED_INFO, &[&encode(&(chain, custodian, order))]);
    context.as_bytes().to_vec()
}

/// What a custodian signs over its answer, under [`namespaces::ERASED_SHARES`].
#[must_use]
pub fn erased_message(
    chain: ChainId,
    custodian: MemberIndex,
    order: GrantTag,
    sealed: &Sealed,
    remaining: u32,
) -> Vec<u8> {
    encode(&(chain, custodian, order, sealed, remaining))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::Grant;
    use crate::decode;
    use crate::limits::GRANT_PLAIN_BYTES;
    use salus_crypto::secret::Secret;
    use salus_crypto::sign::SigningKey;

    #[test]
    fn an_order_fits_where_a_grant_does_and_is_none() {
        let one_time = SigningKey::from_seed(Secret::from_bytes([1; 32])).public_key();
        let order = Erasure { salt: [1; 32], writer: PartyId::new([2; 16]), reader: Digest::ZERO, one_time };
        let plain = encode(&order);
        assert!(plain.len() <= GRANT_PLAIN_BYTES);
        assert!(decode::<Grant>(&plain, GRANT_PLAIN_BYTES).is_err());
        assert_eq!(decode::<Erasure>(&plain, GRANT_PLAIN_BYTES), Ok(order));
    }
}
