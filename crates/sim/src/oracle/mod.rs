//! What must hold, whatever happens: INV-1 to INV-6 and P1 to P3, checked at every step by code
//! that shares no predicate with the product.
//!
//! The oracle sees what an observer above all members could see ([`Seen`]), keeps its own plain
//! model of the ledger ([`Ledger`]), and names the promise that is broken ([`Broken`]). It asks the
//! product nothing: of the product it uses the shapes and encodings of `salus-wire`, and of
//! `salus-crypto` digests, Merkle roots and the check of a signature.
//!
//! The rooms, in reading order: [`ledger`] models the state with [`rules`] and [`tree`];
//! [`agreement`] holds one history (INV-4); [`kept`] holds what was acknowledged against what is read
//! (INV-1, INV-2, INV-6); [`chains`] knows what the ledger hides; [`seen`] judges releases and reads
//! (INV-5, P1 to P3), [`listing`] the lists shown to patients, [`register`] the order in which a grant's
//! ends are seen; [`nameless`] looks at the bytes (INV-3); [`recovery`] at progress; [`watch`] joins them.

mod agreement;
mod chains;
mod kept;
mod ledger;
mod listing;
mod nameless;
mod recovery;
mod register;
mod rules;
mod seen;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

pub use ledger::Ledger;
pub use watch::{Oracle, Setup, Summary};

use salus_wire::rpc::FinalBlock;
use salus_wire::{AccessTag, Code, DeviceId, GrantTag, Height, MemberIndex, Sequence};
use std::sync::Arc;

/// A patient, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatientNo(pub u16);

/// A read under way, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadNo(pub u32);

/// What happened. Times are those of the world, which no member's clock need follow.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A device signed a reading and began to send it.
    Offered {
        /// Whose reading it is.
        patient: PatientNo,
        /// The device.
        device: DeviceId,
        /// The device's own count.
        sequence: Sequence,
        /// The bytes that it signed.
        frame: Vec<u8>,
    },
    /// A gateway acknowledged it.
    Acknowledged {
        /// The device.
        device: DeviceId,
        /// The device's own count.
        sequence: Sequence,
    },
    /// An honest member applied a final block; each life of a member begins anew at the block after
    /// the one that its state held, so that a block can be seen twice from one member.
    Applied {
        /// Which member.
        member: MemberIndex,
        /// In which of its lives, from 0.
        life: u32,
        /// The block, with what became of its transactions.
        block: Arc<FinalBlock>,
    },
    /// An honest member stands at this head after a restart.
    Restarted {
        /// Which member.
        member: MemberIndex,
        /// The life that begins.
        life: u32,
        /// The last block that its state holds.
        height: Height,
    },
    /// An honest member that begins another life found that it refuses these grants.
    Recalled {
        /// Which member.
        member: MemberIndex,
        /// All that its journal holds.
        grants: Vec<GrantTag>,
    },
    /// An honest member has recorded the refusal of these grants, and may vote for a block that
    /// withdraws them from now on.
    MayVote {
        /// Which member.
        member: MemberIndex,
        /// What it refuses for ever.
        grants: Vec<GrantTag>,
    },
    /// An honest custodian gave out key shares, its own head being at `head`.
    Released {
        /// Which member.
        member: MemberIndex,
        /// Under which access.
        access: AccessTag,
        /// Under which grant.
        grant: GrantTag,
        /// The head on which it decided.
        head: Height,
    },
    /// A patient's grant was asked to be committed; from now on it may be final. In the order of the
    /// patient's one chain.
    Granting {
        /// Whose.
        patient: PatientNo,
        /// The grant.
        grant: GrantTag,
    },
    /// It was told to be final at `at`, or refused.
    Granted {
        /// Whose.
        patient: PatientNo,
        /// The grant.
        grant: GrantTag,
        /// The block, or why not.
        at: Result<Height, Code>,
    },
    /// A patient began to withdraw a grant.
    Withdrawing {
        /// Whose.
        patient: PatientNo,
        /// The grant.
        grant: GrantTag,
    },
    /// The withdrawal was told to be final at `at`.
    Withdrawn {
        /// Whose.
        patient: PatientNo,
        /// The grant.
        grant: GrantTag,
        /// The block.
        at: Height,
    },
    /// A reader is about to submit an access at this tag; from now on it may be final. In the order of
    /// the grant's lane.
    Intended {
        /// Whose data.
        patient: PatientNo,
        /// Under which grant.
        grant: GrantTag,
        /// The access.
        access: AccessTag,
    },
    /// A reader began to read under a grant.
    Reading {
        /// The read that begins.
        read: ReadNo,
        /// Whose data.
        patient: PatientNo,
        /// Under which grant.
        grant: GrantTag,
    },
    /// A read ended: the access it used, and the frames it gave, in order; or why it gave none.
    Read {
        /// The read that ends.
        read: ReadNo,
        /// What it gave.
        outcome: Result<ReadOutcome, Code>,
    },
    /// A patient was shown a list that is complete as of `at`: the grants in order, each with its
    /// accesses in order.
    Listed {
        /// Whose.
        patient: PatientNo,
        /// As of which block.
        at: Height,
        /// The list.
        grants: Vec<(GrantTag, Vec<AccessTag>)>,
    },
}

/// What a read gave.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    /// Under which access.
    pub access: AccessTag,
    /// Which was final at.
    pub at: Height,
    /// The device, the sequence and the bytes that the device signed.
    pub frames: Vec<(DeviceId, Sequence, Vec<u8>)>,
    /// Whether nothing is known to be missing from it.
    pub complete: bool,
    /// Whether the reader asked for everything that was ever measured.
    pub everything: bool,
}

/// A promise that does not hold, and how it was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{promise} broken at {at_ms} ms: {how}")]
pub struct Broken {
    /// Which: `INV-1` … `INV-6`, `P1` … `P3`, `recovery`; or `driver`, when the history itself
    /// makes no sense.
    pub promise: &'static str,
    /// When in the world's time.
    pub at_ms: u64,
    /// What was seen.
    pub how: String,
}
