//! A consortium of four by hand: fixed keys, and blocks that commit to what they hold.

use crate::oracle::{Broken, Ledger, Oracle, PatientNo, Seen, Setup};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::{Secret, SigningKey};
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::limits::{GRANT_BODY_BYTES, INTENT_BODY_BYTES};
use salus_wire::rpc::FinalBlock;
use salus_wire::{
    AccessTag, Blob, Block, ChainId, Code, Genesis, GenesisMember, GrantTag, Header, Height, List,
    MemberIndex, Outcome, TimeMs, Tx, TxBody, View,
};
use std::sync::Arc;

pub(crate) const MEMBERS: u8 = 4;
pub(crate) const PATIENT: PatientNo = PatientNo(0);

/// A key by role and number.
pub(crate) fn key(role: u8, number: u8) -> SigningKey {
    let mut seed = [role; 32];
    seed[0] = number;
    SigningKey::from_seed(Secret::from_bytes(seed))
}

pub(crate) fn genesis() -> Genesis {
    let mut rng = StdRng::from_seed([5; 32]);
    let members = (0..MEMBERS).map(|member| GenesisMember {
        name: Blob::new(vec![member]).unwrap(),
        consensus: key(1, member).public_key(),
        registrar: key(2, member).public_key(),
        service: key(3, member).public_key(),
        custodian: KemSecretKey::generate(&mut rng).public_key(),
        authority: Digest::from_bytes([member; 32]),
    });
    Genesis {
        name: Blob::new(b"trial".to_vec()).unwrap(),
        time: TimeMs::new(1_000),
        members: List::new(members.collect()).unwrap(),
    }
}

pub(crate) fn grant_tag(n: u8) -> GrantTag {
    GrantTag(ChainTag::from_digest(Digest::from_bytes([n; 32])))
}

pub(crate) fn access_tag(n: u8) -> AccessTag {
    AccessTag(ChainTag::from_digest(Digest::from_bytes([n; 32])))
}

fn body<const MAX: usize>(role: u8, n: u8, bytes: usize) -> Blob<MAX> {
    Blob::new([vec![role], vec![n; bytes - 1]].concat()).unwrap()
}

pub(crate) fn grant(chain: ChainId, n: u8) -> Tx {
    let commitment = Digest::from_bytes([n.wrapping_add(100); 32]);
    let body = TxBody::CommitGrant { tag: grant_tag(n), commitment, body: body(7, n, GRANT_BODY_BYTES) };
    Tx::sign(chain, body, &key(7, n))
}

pub(crate) fn withdrawal(chain: ChainId, n: u8) -> Tx {
    Tx::sign(chain, TxBody::RevokeGrant { tag: grant_tag(n) }, &key(7, n))
}

pub(crate) fn access(chain: ChainId, n: u8) -> Tx {
    let commitment = Digest::from_bytes([n.wrapping_add(200); 32]);
    let body = TxBody::RecordAccess { tag: access_tag(n), commitment, body: body(8, n, INTENT_BODY_BYTES) };
    Tx::sign(chain, body, &key(8, n))
}

/// Makes blocks, each on the last.
pub(crate) struct Maker {
    pub(crate) chain: ChainId,
    pub(crate) ledger: Ledger,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self { chain: genesis().chain(), ledger: Ledger::new(&genesis()) }
    }

    /// The next block, `after_ms` later than the last one, with transactions and what becomes of them.
    pub(crate) fn next(&mut self, after_ms: u64, txs: Vec<(Tx, Outcome)>) -> Arc<FinalBlock> {
        let block = self.draft(after_ms, txs);
        self.ledger.apply(&block).unwrap();
        Arc::new(block)
    }

    /// The same, without putting it on the chain.
    pub(crate) fn draft(&self, after_ms: u64, txs: Vec<(Tx, Outcome)>) -> FinalBlock {
        let last = self.ledger.head_header();
        let (txs, outcomes): (Vec<Tx>, Vec<Outcome>) = txs.into_iter().unzip();
        let mut header = Header {
            height: last.height.next().unwrap(),
            parent: last.digest(),
            time: last.time.plus_ms(after_ms),
            view: View::new(last.view.get() + 2),
            parent_view: last.view,
            ..last.clone()
        };
        let digests: Vec<Digest> = txs.iter().map(Tx::digest).collect();
        header.transactions = transactions_root(&digests);
        header.receipts = receipts_root(&digests, &outcomes);
        let (transactions, outcomes) = (List::new(txs).unwrap(), List::new(outcomes).unwrap());
        let mut made = FinalBlock { block: Block { header, transactions }, outcomes };
        let mut after = self.ledger.clone();
        if after.execute(&made).is_ok() {
            made.block.header.state = after.state_root();
        }
        made
    }
}

/// A run under way: blocks are made and told of as all members apply them.
pub(crate) struct Run {
    pub(crate) maker: Maker,
    pub(crate) oracle: Oracle,
    pub(crate) at_ms: u64,
}

impl Run {
    /// Nobody lies.
    pub(crate) fn new() -> Self {
        Self::with_liars(&[])
    }

    pub(crate) fn with_liars(liars: &[u16]) -> Self {
        let genesis = genesis();
        let faults = genesis.faults().unwrap();
        let liars = liars.iter().copied().map(MemberIndex::new).collect();
        let oracle = Oracle::new(Setup { genesis, faults, liars, view_timeout_ms: 1_000 });
        Self { maker: Maker::new(), oracle, at_ms: 0 }
    }

    pub(crate) fn see(&mut self, seen: Seen) -> Result<(), Broken> {
        self.at_ms += 1;
        self.oracle.see(self.at_ms, seen)
    }

    /// Something that breaks nothing.
    pub(crate) fn good(&mut self, seen: Seen) {
        let shown = format!("{seen:?}");
        assert_eq!(self.see(seen), Ok(()), "{shown}");
    }

    /// Something that breaks this promise.
    #[track_caller]
    pub(crate) fn breaks(&mut self, promise: &str, seen: Seen) {
        let broken = self.see(seen).expect_err("it breaks a promise");
        assert_eq!(broken.promise, promise, "{broken}");
    }

    /// A block of transactions that take effect, 10 ms later, applied by members 0 to 3.
    pub(crate) fn block(&mut self, txs: Vec<Tx>) -> Height {
        self.block_after(10, txs)
    }

    pub(crate) fn block_after(&mut self, after_ms: u64, txs: Vec<Tx>) -> Height {
        let block = self.make(after_ms, txs);
        (0..4).for_each(|member| self.good(applied(member, 0, &block)));
        block.block.header.height
    }

    /// A block of transactions that take effect, which nobody was seen to apply.
    pub(crate) fn make(&mut self, after_ms: u64, txs: Vec<Tx>) -> Arc<FinalBlock> {
        self.maker.next(after_ms, txs.into_iter().map(|tx| (tx, Outcome::Applied)).collect())
    }

    /// Grant `n` of the patient, asked for and final.
    pub(crate) fn granted(&mut self, n: u8) -> Height {
        self.good(Seen::Granting { patient: PATIENT, grant: grant_tag(n) });
        let at = self.block(vec![grant(self.maker.chain, n)]);
        self.good(Seen::Granted { patient: PATIENT, grant: grant_tag(n), at: Ok(at) });
        at
    }

    /// Access `n` under the grant, intended and final.
    pub(crate) fn accessed(&mut self, n: u8, under: u8) -> Height {
        self.good(intended(n, under));
        self.block(vec![access(self.maker.chain, n)])
    }

    /// The end of grant `n`, which three members refuse before it is final.
    pub(crate) fn withdrawn(&mut self, n: u8) -> Height {
        self.good(Seen::Withdrawing { patient: PATIENT, grant: grant_tag(n) });
        (0..3).for_each(|member| self.good(may_vote(member, n)));
        let at = self.block(vec![withdrawal(self.maker.chain, n)]);
        self.good(Seen::Withdrawn { patient: PATIENT, grant: grant_tag(n), at });
        at
    }
}

pub(crate) fn applied(member: u16, life: u32, block: &Arc<FinalBlock>) -> Seen {
    Seen::Applied { member: MemberIndex::new(member), life, block: Arc::clone(block) }
}

pub(crate) fn may_vote(member: u16, grant: u8) -> Seen {
    Seen::MayVote { member: MemberIndex::new(member), grants: vec![grant_tag(grant)] }
}

pub(crate) fn released(member: u16, access: u8, grant: u8, head: Height) -> Seen {
    let (access, grant) = (access_tag(access), grant_tag(grant));
    Seen::Released { member: MemberIndex::new(member), access, grant, head }
}

pub(crate) fn intended(access: u8, grant: u8) -> Seen {
    Seen::Intended { patient: PATIENT, grant: grant_tag(grant), access: access_tag(access) }
}

pub(crate) fn refused(tx: Tx, code: Code) -> (Tx, Outcome) {
    (tx, Outcome::Refused(code))
}
