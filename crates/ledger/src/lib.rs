//! The replicated state machine: what each transaction may do, and to which entry of the state.
//!
//! It promises that every member who applies the same block to the same state gets the same
//! changes and the same outcomes (INV-4): no clock, disk, randomness, float or unordered map takes
//! part. It promises to be total: a transaction is applied or refused with a code, and a refused
//! one changes nothing. It refuses to know how blocks are ordered, where the state is kept, how it
//! is proven, and whose data it is about (INV-3): it sees tags, commitments and keys.
//!
//! # Who may do what
//! | transaction | signer | first refusal that applies |
//! |---|---|---|
//! | register, enrol, assign | the member's registrar key | unknown signer, already exists |
//! | revoke a registration or enrolment | the registrar key of the member recorded in it | not found, unknown signer, revoked |
//! | anchor | the gateway's registered key, active and valid at block time | unknown signer, revoked, outside validity, already exists, the receipts' faults |
//! | commit grant, record access | the one-time key that the entry will name | malformed, already exists |
//! | publish policy | the member's registrar key | unknown signer, already exists, not found |
//! | revoke grant | the one-time key that the entry names | not found, unknown signer, revoked |
//!
//! # Replay
//! Every transaction either writes a key that only one transaction may ever write, or moves an
//! entry from active to revoked, or is the one next version of an entry. A copy is therefore refused for ever, and nothing need remember
//! which transactions were seen. Of two transactions for one key the first in ledger order wins.
//!
//! # Use
//! The engine asks [`reads`] which entries a transaction looks at, loads them into a [`ReadSet`],
//! checks signatures with [`check_signatures`], and calls [`apply`]. Later transactions of a block
//! see what earlier ones did.
//!
//! ```
//! use salus_crypto::{Digest, Secret, SigningKey};
//! use salus_ledger::{Moment, ReadSet, admit, apply, reads};
//! use salus_wire::state::{MemberRecord, StateKey, StateValue};
//! use salus_wire::{ChainId, Code, Faults, Height, MemberIndex, Outcome, TimeMs, Tx, TxBody};
//!
//! let chain = ChainId(Digest::ZERO);
//! let registrar = SigningKey::from_seed(Secret::from_bytes([7; 32]));
//! let member = MemberIndex::new(0);
//! let tx = Tx::sign(chain, TxBody::EnrolDevice { enrolment: Digest::ZERO, member }, &registrar);
//!
//! # let record = MemberRecord { consensus: tx.signer, registrar: tx.signer, service: tx.signer,
//! #     custodian: Digest::ZERO, authority: Digest::ZERO };
//! let faults = Faults::for_members(4).unwrap();
//! let state: ReadSet = reads(&tx.body, faults)
//!     .into_iter()
//!     .map(|key| match key {
//!         StateKey::Member(_) => (key, Some(StateValue::Member(record.clone()))),
//!         _ => (key, None), // nothing stands there yet
//!     })
//!     .collect();
//!
//! let moment = Moment { chain, faults, height: Height::new(9), time: TimeMs::new(1_000) };
//! assert_eq!(admit(&state, moment, &tx), Ok(()));
//! let applied = apply(&state, moment, &[tx.clone(), tx]);
//! assert_eq!(applied.outcomes, [Outcome::Applied, Outcome::Refused(Code::AlreadyExists)]);
//! assert_eq!(applied.changes.len(), 2); // the enrolment, and the tip of the ledger
//! ```
#![forbid(unsafe_code)]

mod apply;
mod genesis;
mod read;
mod rules;
mod signatures;

pub use apply::{Applied, Moment, admit, apply, revoked};
pub use genesis::genesis_state;
pub use read::{ReadSet, reads};
pub use signatures::{BadSignatures, check_signatures};

#[cfg(test)]
mod tests;
