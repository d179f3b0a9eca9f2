//! A consortium in memory: one honest answer to every question, and all that it takes to ask.

mod certificate;
mod ledger;
mod members;
mod people;
mod runner;
mod trie;
mod writer;

pub(crate) use ledger::Ledger;
pub(crate) use members::{Custodian, Store};
pub(crate) use people::{READER, WRITER, span, terms};
pub(crate) use runner::{Reply, list, list_after, read, read_in_order};
pub(crate) use writer::{heart_rate, spoil_descriptor, waveform};

use salus_client::Wallet;
use salus_crypto::chain::ChainAnchor;
use salus_wire::TimeMs;
use salus_wire::receipt::Leaf;

/// Everything there is.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) custodians: Vec<Custodian>,
    pub(crate) stores: Vec<Store>,
    /// The patient's.
    pub(crate) wallet: Wallet,
    /// Whether a node orders what it would refuse, as when two submit at once.
    pub(crate) orders_blindly: bool,
    next_batch: u64,
    next_sequence: u64,
    seals: u64,
}

/// What is left of a world that has something to read.
pub(crate) struct Written {
    /// Anchored readings of the first epoch and of the second, in order of time.
    pub(crate) leaves: Vec<Leaf>,
    /// The grant's file.
    pub(crate) file: salus_client::GrantFile,
}

impl World {
    /// `members` organisations, one gateway, one reader, one patient, and nothing written.
    pub(crate) fn of(members: u8) -> Self {
        let ledger = Ledger::of(members);
        let indices = || (0..u16::from(members)).map(salus_wire::MemberIndex::new);
        let custodians = indices().map(|me| Custodian::new(ledger.chain, me)).collect();
        let stores = indices().map(|_| Store::default()).collect();
        let wallet = people::wallet();
        let mut world = Self {
            ledger,
            custodians,
            stores,
            wallet,
            orders_blindly: false,
            next_batch: 0,
            next_sequence: 0,
            seals: 0,
        };
        world.register();
        world
    }

    /// A world with a grant, two epochs (vital signs and ECG), and five segments in two batches.
    pub(crate) fn written(members: u8) -> (Self, Written) {
        let mut world = Self::of(members);
        let (_, file) = world.grant(people::terms());
        let mut vitals = world.epoch(salus_wire::DataClass::Vitals, 0);
        let mut ecg = world.epoch(salus_wire::DataClass::Waveform, 0);
        let first = vec![
            vitals.segment(&mut world, heart_rate(0, 5)),
            vitals.segment(&mut world, heart_rate(5, 1)),
            ecg.segment(&mut world, waveform(0, 2)),
        ];
        let second =
            vec![vitals.segment(&mut world, heart_rate(6, 3)), ecg.segment(&mut world, waveform(2, 2))];
        let mut leaves = world.put(first, true);
        leaves.extend(world.put(second, true));
        (world, Written { leaves, file })
    }

    /// The wall clock: a moment after the head.
    pub(crate) fn now(&self) -> TimeMs {
        self.ledger.tip().time.plus_ms(1_000)
    }

    /// The patient's chain.
    pub(crate) fn grants(&self) -> ChainAnchor {
        self.wallet.chain().anchor()
    }
}
