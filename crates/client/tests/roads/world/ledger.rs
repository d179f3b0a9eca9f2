//! The consortium's one ledger: blocks, their state, and certificates by a quorum of members.

use super::certificate::certificate;
use super::trie::Trie;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::kem::KemPublicKey;
use salus_crypto::{Digest, PublicKey, Secret, SigningKey};
use salus_ledger::{Moment, ReadSet, admit, apply, check_signatures, genesis_state, reads};
use salus_proof::TrustPolicy;
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::genesis::Faults;
use salus_wire::state::{CertifiedChain, Tip};
use salus_wire::{
    Blob, ChainId, Code, Genesis, GenesisMember, Header, Height, List, MemberIndex, Outcome, StateKey,
    StateProof, StateValue, TimeMs, Tx, View,
};
use std::collections::BTreeMap;

/// The time of genesis.
pub(crate) const START: TimeMs = TimeMs::new(1_790_000_000_000);
/// Milliseconds between blocks.
const BLOCK_MS: u64 = 400;

pub(crate) type Entries = BTreeMap<StateKey, StateValue>;

/// Keys of one role of the members, in order.
pub(crate) fn keys(role: u8, members: u8) -> Vec<SigningKey> {
    (0..members).map(|member| key(role, member)).collect()
}

pub(crate) fn key(role: u8, number: u8) -> SigningKey {
    let mut seed = [role; 32];
    seed[0] = number;
    SigningKey::from_seed(Secret::from_bytes(seed))
}

pub(crate) struct Ledger {
    consensus: Vec<SigningKey>,
    pub(crate) registrar: Vec<SigningKey>,
    pub(crate) service: Vec<SigningKey>,
    pub(crate) chain: ChainId,
    pub(crate) faults: Faults,
    pub(crate) policy: TrustPolicy,
    entries: Entries,
    head: Header,
}

impl Ledger {
    pub(crate) fn of(members: u8) -> Self {
        let (consensus, registrar, service) = (keys(1, members), keys(2, members), keys(3, members));
        let member = |index: usize| GenesisMember {
            name: Blob::default(),
            consensus: consensus[index].public_key(),
            registrar: registrar[index].public_key(),
            service: service[index].public_key(),
            custodian: KemPublicKey::from_slice(&[8; 1216]).expect("the right length"),
            authority: Digest::ZERO,
        };
        let members = List::new((0..usize::from(members)).map(member).collect()).expect("few members");
        let genesis = Genesis { name: Blob::default(), time: START, members };
        let entries: Entries = genesis_state(&genesis).into_iter().collect();
        let (chain, faults) = (genesis.chain(), genesis.faults().expect("there are members"));
        let head = first(chain, Trie::of(&entries).root());
        let policy = TrustPolicy::from_genesis(&genesis).expect("distinct keys");
        Self { consensus, registrar, service, chain, faults, policy, entries, head }
    }

    pub(crate) fn tip(&self) -> Tip {
        Tip { height: self.head.height, time: self.head.time }
    }

    pub(crate) fn service_keys(&self) -> Vec<PublicKey> {
        self.service.iter().map(SigningKey::public_key).collect()
    }

    pub(crate) fn values(&self, keys: &[StateKey]) -> Vec<Option<StateValue>> {
        keys.iter().map(|key| self.entries.get(key).cloned()).collect()
    }

    /// What a node says of a transaction before it is ordered.
    pub(crate) fn admit(&self, tx: &Tx) -> Result<(), Code> {
        admit(&self.read_set(std::slice::from_ref(tx)), self.moment(), tx)
    }

    /// One more block.
    pub(crate) fn block(&mut self, txs: &[Tx]) -> Vec<Outcome> {
        check_signatures(self.chain, txs, &self.service_keys(), &mut StdRng::seed_from_u64(1))
            .expect("every signature is good");
        let moment = self.moment();
        let applied = apply(&self.read_set(txs), moment, txs);
        self.entries.extend(applied.changes);
        let digests: Vec<Digest> = txs.iter().map(Tx::digest).collect();
        self.head = Header {
            height: moment.height,
            view: View::new(self.head.view.get() + 2),
            parent_view: self.head.view,
            parent: self.head.digest(),
            time: moment.time,
            transactions: transactions_root(&digests),
            receipts: receipts_root(&digests, &applied.outcomes),
            state: Trie::of(&self.entries).root(),
            ..self.head.clone()
        };
        applied.outcomes
    }

    /// A block in which every transaction takes effect.
    pub(crate) fn apply(&mut self, txs: &[Tx]) {
        let outcomes = self.block(txs);
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    }

    pub(crate) fn prove(&self, keys: &[StateKey]) -> StateProof {
        let trie = Trie::of(&self.entries);
        let items = keys.iter().map(|key| trie.prove(*key, self.entries.get(key).cloned())).collect();
        let headers = List::new(vec![self.head.clone()]).expect("one header");
        let certificate =
            Blob::new(certificate(&self.head, self.faults, &self.consensus)).expect("few members");
        StateProof {
            chain: CertifiedChain { headers, certificate },
            items: List::new(items).expect("few keys"),
        }
    }

    fn moment(&self) -> Moment {
        let height = Height::new(self.head.height.get() + 1);
        Moment { chain: self.chain, faults: self.faults, height, time: self.head.time.plus_ms(BLOCK_MS) }
    }

    fn read_set(&self, txs: &[Tx]) -> ReadSet {
        let keys = txs.iter().flat_map(|tx| reads(&tx.body, self.faults));
        keys.map(|key| (key, self.entries.get(&key).cloned())).collect()
    }
}

fn first(chain: ChainId, state: Digest) -> Header {
    Header {
        chain,
        height: Height::new(0),
        view: View::new(0),
        parent_view: View::new(0),
        parent: Digest::ZERO,
        proposer: MemberIndex::new(0),
        time: START,
        transactions: Digest::ZERO,
        receipts: Digest::ZERO,
        state,
    }
}
