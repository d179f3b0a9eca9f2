//! What a client's step machine asks of members, and what it is told. Values only.

use salus_wire::ids::MemberIndex;
use salus_wire::release::{ReleaseRequest, Released};
use salus_wire::rpc::{Committed, Fetch, Fetched, Refusal, Values};
use salus_wire::{Height, StateKey, StateProof, Tx};

/// Which question an answer belongs to. Drivers hand it back untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// A question for one member.
pub struct Ask {
    /// Comes back with the answer.
    pub id: AskId,
    /// Who is asked.
    pub to: MemberIndex,
    /// What is asked.
    pub what: What,
}

/// The kinds of question.
pub enum What {
    /// Order a transaction.
    Submit(Box<Tx>),
    /// Have a transaction become final, whoever must be asked beside this member. Its answer is proven,
    /// and a refusal is what more members say than can lie.
    Settle(Box<Tx>),
    /// Say when you have applied the block at this height, or that it takes too long.
    Reach(Height),
    /// Release key shares.
    Release(ReleaseRequest),
    /// Give a fragment.
    Fetch(Fetch),
    /// Give state entries, unproven.
    Read(Vec<StateKey>),
    /// Prove state entries and absences.
    Prove(Vec<StateKey>),
}

/// An answer from one member.
pub struct Told {
    /// The question's.
    pub id: AskId,
    /// Who answered, or should have.
    pub from: MemberIndex,
    /// What they said.
    pub what: Result<Answer, Silence>,
}

/// The kinds of answer.
pub enum Answer {
    /// To [`What::Submit`] and [`What::Settle`].
    Committed(Committed),
    /// To [`What::Reach`].
    Reached,
    /// To [`What::Release`].
    Released(Box<Released>),
    /// To [`What::Fetch`].
    Fetched(Box<Fetched>),
    /// To [`What::Read`].
    Values(Values),
    /// To [`What::Prove`].
    Proof(Box<StateProof>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The member said no.
    Refused(Refusal),
    /// The member could not be reached, was too slow, or answered nonsense.
    Unreachable,
    /// Nothing came so far. The same question is answered once more, later, for good.
    Slow,
}
