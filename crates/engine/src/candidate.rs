//! A block as members vote on it: header, transactions and what became of each, with the digests
//! that were computed on the way in.
//!
//! Promises that a [`Candidate`] that was decoded is bounded, canonical, and what its header
//! commits to: header and body cannot be mixed, so the header's digest names the whole. Refuses to
//! know whether the block is valid on its parent; [`crate::judge`] decides that.
//!
//! The outcomes travel with the block, though every member computes them itself, so that a
//! follower of an old block need not execute from there.

use crate::scheme::{Payload, payload};
use borsh::BorshDeserialize;
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error as CodecError, Read, Write};
use commonware_consensus::types::Height;
use commonware_consensus::{Block as EngineBlock, BoundedBlock, Heightable};
use commonware_cryptography::Digestible;
use salus_crypto::digest::Digest;
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::limits::{BLOCK_BYTES_MAX, BLOCK_TXS_MAX, TX_BYTES_MAX};
use salus_wire::rpc::FinalBlock;
use salus_wire::{Header, Tx, encode};
use std::io::Read as _;
use std::sync::Arc;

/// Bytes of one encoded outcome: a tag and, for a refusal, its code.
const OUTCOME_BYTES_MAX: usize = 3;
/// Bytes of one candidate: a block, the count of outcomes, and the outcomes.
pub(crate) const CANDIDATE_BYTES_MAX: usize =
    BLOCK_BYTES_MAX.saturating_add(4).saturating_add(BLOCK_TXS_MAX.saturating_mul(OUTCOME_BYTES_MAX));

/// A block with its outcomes. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    block: Arc<FinalBlock>,
    digest: Digest,
    tx_digests: Vec<Digest>,
    size: usize,
}

/// Why a block and its outcomes are not what their header commits to. The sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCandidate {
    /// More bytes than a block may have.
    #[error("the block is larger than its limit")]
    TooLarge,
    /// A transaction has more bytes than one may have.
    #[error("a transaction of the block is larger than its limit")]
    TxTooLarge,
    /// There is not one outcome for each transaction.
    #[error("the block has another number of outcomes than of transactions")]
    Outcomes,
    /// The header commits to other transactions.
    #[error("the header commits to other transactions")]
    Transactions,
    /// The header commits to other outcomes.
    #[error("the header commits to other outcomes")]
    Receipts,
}

impl Candidate {
    /// Takes a block apart from its bytes and checks it against its own header.
    ///
    /// # Errors
    /// [`BadCandidate`], the first that applies.
    pub(crate) fn new(block: FinalBlock) -> Result<Self, BadCandidate> {
        let txs = &block.block.transactions;
        let sizes: Vec<usize> = txs.iter().map(|tx| encode(tx).len()).collect();
        if sizes.iter().any(|size| *size > TX_BYTES_MAX) {
            return Err(BadCandidate::TxTooLarge);
        }
        let size = encode(&block).len();
        if size > CANDIDATE_BYTES_MAX {
            return Err(BadCandidate::TooLarge);
        }
        if block.outcomes.len() != txs.len() {
            return Err(BadCandidate::Outcomes);
        }
        let tx_digests: Vec<Digest> = txs.iter().map(Tx::digest).collect();
        let header = &block.block.header;
        if transactions_root(&tx_digests) != header.transactions {
            return Err(BadCandidate::Transactions);
        }
        if receipts_root(&tx_digests, &block.outcomes) != header.receipts {
            return Err(BadCandidate::Receipts);
        }
        let digest = header.digest();
        let inner = Inner { block: Arc::new(block), digest, tx_digests, size };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The header.
    pub(crate) fn header(&self) -> &Header {
        &self.inner.block.block.header
    }

    /// The block and its outcomes.
    pub(crate) fn block(&self) -> &Arc<FinalBlock> {
        &self.inner.block
    }

    /// The transactions.
    pub(crate) fn transactions(&self) -> &[Tx] {
        &self.inner.block.block.transactions
    }

    /// The digests of the transactions, in their order.
    pub(crate) fn tx_digests(&self) -> &[Digest] {
        &self.inner.tx_digests
    }

    /// The digest of the header.
    pub(crate) fn header_digest(&self) -> Digest {
        self.inner.digest
    }
}

impl Write for Candidate {
    fn write(&self, buf: &mut impl BufMut) {
        buf.put_slice(&encode(&*self.inner.block));
    }
}

impl EncodeSize for Candidate {
    fn encode_size(&self) -> usize {
        self.inner.size
    }
}

impl Read for Candidate {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        // Borsh marks its own end, so the engine finds the next field where this one stops. The
        // limit holds before anything is allocated for it.
        let limit = u64::try_from(CANDIDATE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut reader = bytes::Buf::reader(buf).take(limit);
        let block = FinalBlock::deserialize_reader(&mut reader)
            .map_err(|_| CodecError::Invalid("Candidate", "not a canonical block"))?;
        Self::new(block).map_err(|bad| CodecError::Wrapped("Candidate", bad.into()))
    }
}

impl Digestible for Candidate {
    type Digest = Payload;

    fn digest(&self) -> Payload {
        payload(self.inner.digest)
    }
}

impl Heightable for Candidate {
    fn height(&self) -> Height {
        Height::new(self.header().height.get())
    }
}

impl EngineBlock for Candidate {
    fn parent(&self) -> Payload {
        payload(self.header().parent)
    }
}

impl BoundedBlock for Candidate {
    fn max_encode_size((): &()) -> usize {
        CANDIDATE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{consortium, enrolment};
    use commonware_codec::{DecodeExt as _, Encode as _};
    use salus_wire::{Block, List, Outcome};

    fn candidate() -> FinalBlock {
        let world = consortium(4);
        let txs: Vec<Tx> = (0..3).map(|n| enrolment(&world, n)).collect();
        let digests: Vec<Digest> = txs.iter().map(Tx::digest).collect();
        let outcomes = vec![Outcome::Applied; txs.len()];
        let mut header = crate::genesis::header(&world.genesis).unwrap();
        header.transactions = transactions_root(&digests);
        header.receipts = receipts_root(&digests, &outcomes);
        FinalBlock {
            block: Block { header, transactions: List::new(txs).unwrap() },
            outcomes: List::new(outcomes).unwrap(),
        }
    }

    #[test]
    fn a_candidate_survives_its_encoding() {
        let before = Candidate::new(candidate()).unwrap();
        let bytes = before.encode();
        assert_eq!(bytes.len(), before.encode_size());
        let after = Candidate::decode(bytes).unwrap();
        assert_eq!(after.digest(), before.digest());
        assert_eq!(after.block(), before.block());
    }

    #[test]
    fn header_and_body_cannot_be_mixed() {
        let good = candidate();
        let mut other = good.clone();
        other.block.transactions = List::new(good.block.transactions[..2].to_vec()).unwrap();
        other.outcomes = List::new(good.outcomes[..2].to_vec()).unwrap();
        assert_eq!(Candidate::new(other).unwrap_err(), BadCandidate::Transactions);
        let mut other = good.clone();
        other.outcomes = List::new(vec![Outcome::Refused(salus_wire::Code::AlreadyExists); 3]).unwrap();
        assert_eq!(Candidate::new(other).unwrap_err(), BadCandidate::Receipts);
        let mut other = good;
        other.outcomes = List::empty();
        assert_eq!(Candidate::new(other).unwrap_err(), BadCandidate::Outcomes);
    }

    #[test]
    fn truncated_and_flipped_bytes_are_refused() {
        let bytes = Candidate::new(candidate()).unwrap().encode();
        for cut in (0..bytes.len()).step_by(7) {
            assert!(Candidate::decode(bytes.slice(..cut)).is_err());
        }
        // Behind the header every byte is committed to by it.
        let header = encode(&candidate().block.header).len();
        for at in (header..bytes.len()).step_by(11) {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            assert!(Candidate::decode(bytes::Bytes::from(flipped)).is_err(), "byte {at}");
        }
    }
}
