//! A block's effect: transactions in order, each seeing what the earlier ones did.
//!
//! Promises one outcome per transaction, changes sorted by key, and that the tip is always among
//! them. Refuses to check signatures: [`crate::check_signatures`] does that, once for the block.

use crate::read::{ReadSet, View};
use crate::rules::effect;
use salus_wire::state::{StateKey, StateValue, Tip};
use salus_wire::{ChainId, Code, Faults, GrantTag, Height, Outcome, TimeMs, Tx, TxBody};

/// Where and when a block stands. Its time is the only time that the rules know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The consortium.
    pub chain: ChainId,
    /// How many members there are, and how many may lie.
    pub faults: Faults,
    /// The block's height.
    pub height: Height,
    /// The block's time.
    pub time: TimeMs,
}

/// What a block does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a block has an effect only once its changes are written"]
pub struct Applied {
    /// Entries as they stand after the block, ascending by key, each key once.
    pub changes: Vec<(StateKey, StateValue)>,
    /// What became of each transaction, in the order of the block.
    pub outcomes: Vec<Outcome>,
}

impl Moment {
    pub(crate) const fn tip(&self) -> Tip {
        Tip { height: self.height, time: self.time }
    }
}

/// Applies the transactions of one block. `before` must hold what [`crate::reads`] names for each
/// of them; a transaction whose entries are missing is refused as [`Code::Internal`].
pub fn apply(before: &ReadSet, moment: Moment, txs: &[Tx]) -> Applied {
    let mut view = View::new(before);
    let mut outcomes = Vec::with_capacity(txs.len());
    for tx in txs {
        outcomes.push(match effect(&view, &moment, tx) {
            Ok((key, value)) => {
                view.write(key, value);
                Outcome::Applied
            }
            Err(code) => Outcome::Refused(code),
        });
    }
    view.write(StateKey::Tip, StateValue::Tip(moment.tip()));
    Applied { changes: view.into_changes(), outcomes }
}

/// Whether `tx` would be applied alone, by the same rules as [`apply`].
///
/// # Errors
/// The code with which a block would refuse it.
pub fn admit(before: &ReadSet, moment: Moment, tx: &Tx) -> Result<(), Code> {
    effect(&View::new(before), &moment, tx).map(drop)
}

/// The grants that a block withdrew, in its order: what custodians must refuse from now on (P2).
#[must_use]
pub fn revoked(txs: &[Tx], outcomes: &[Outcome]) -> Vec<GrantTag> {
    txs.iter()
        .zip(outcomes)
        .filter_map(|(tx, outcome)| match (&tx.body, outcome) {
            (TxBody::RevokeGrant { tag }, Outcome::Applied) => Some(*tag),
            _ => None,
        })
        .collect()
}
