//! Decides whether a key share may be released: the only room where a [`Permit`] is made.
//!
//! Pure and total: the ledger view, the clock and the refusals are arguments, and every error is a
//! denial. It refuses to know where the view came from, where shares lie and how they are sealed.
//!
//! # What revocation means (design 4.4)
//!
//! The ledger's order decides.
//!
//! - **P1.** An access ordered after the revocation of its grant gets no share from an honest
//!   custodian. [`decide`] requires the access to be final in the very view in which it reads the
//!   grant's standing, so that view holds every block up to the access, the revocation included;
//!   any revocation in the view denies.
//! - **P2.** A request that holds no honest share when the revocation becomes final never reaches
//!   the threshold t. A member records the refusal durably *before* it casts a vote that can make
//!   the block final ([`Refusals`]), and [`Permit::redeem`] asks again at the last moment, under
//!   the lock under which refusals are recorded. A final block has n - f votes, so at least n - 2f
//!   honest members refuse, and at most 2f < t can still release on an older view.
//! - **P3.** A request already under way dies with its expiry: an access opens nothing
//!   [`salus_wire::limits::ACCESS_VALID_MS_MAX`] of block time after its block, and a permit
//!   nothing [`PERMIT_MS_MAX`] after the decision.
//!
//! # The stages, in an order that types enforce
//!
//! 1. [`Desk::admit`]: signature, addressee, age, replay. Nothing is read before these hold.
//! 2. [`Admitted::reads`] names the state entries needed: the access, the grant, and every earlier
//!    tag of both chains. [`Admitted::open`] finds them in one final view and opens the two sealed
//!    bodies.
//! 3. [`Opened::reads`] names the requester, for [`Opened::introduce`]: by which member they were
//!    registered never changes, so that any view tells.
//! 4. [`Introduced::reads`] names the grant, the requester again and the policy of their member, for
//!    a view that is not older than the first. [`decide`] judges, and everything that can change on
//!    the ledger is judged at this one head. This is what takes long: no lock is needed for it.
//! 5. [`Decided::permit`] asks the refusals, and nothing else.
//! 6. [`Permit::redeem`] at the moment of release.
//!
//! Earlier tags are checked *all the way back*, not only the one before: a reader who could start
//! a lane at its fifth tag would hide it from a list that ends at the first absence. What was once
//! found without a gap is remembered, since entries never vanish.
#![forbid(unsafe_code)]

mod denied;
mod desk;
mod replay;
mod walked;

mod view;

mod opened;

mod judge;
mod policy;

mod decide;
/// Emergencies.
mod glass;
mod refusals;

/// What custodians tell of releases.
mod activity;
mod order;
mod recovery;

pub use activity::{ActivityPermit, AdmittedActivity};
pub use decide::{Decided, PERMIT_MS_MAX, Permit, Redeemed, decide};
pub use denied::Denied;
pub use desk::{Admitted, Desk};
pub use glass::{
    AdmittedGlass, AdmittedReviews, GlassPermit, GlassRedeemed, Look, is_settled, may_give, may_use,
    review_of, verdict,
};
pub use judge::{Ask, Grounds, Named, judge};
pub use opened::{Introduced, Opened};
pub use order::{AdmittedOrder, OrderDesk, Ordered, open_order};
pub use policy::{CLAUSE_BYTES_MAX, Clause, POLICY_KINDS_MAX, Policies, Policy, PolicyDenied, PolicyError};
pub use recovery::{
    AdmittedRecovery, PreparedRecovery, RecoveryPermit, RecoveryRedeemed, ShownPart, Stage, contested,
    in_charge, lets_stand, may_replace, open_recovery, recovery_reads, stages,
};
pub use refusals::Refusals;
pub use replay::REPLAY_MAX;
pub use view::FinalView;
pub use walked::WALKED_MAX;

#[cfg(test)]
mod tests;
