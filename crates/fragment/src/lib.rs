//! Seals a segment into fragments, checks a fragment, and opens a segment from any k of them.
//!
//! Promises: whoever holds fewer than t key shares, or no key at all, learns of a segment only its
//! padded length (INV-2); a fragment that was not checked cannot be opened, because
//! [`CheckedFragment`] has one private constructor (INV-6); what goes wrong is blamed on the store,
//! the custodian or the writer that caused it, never guessed. Refuses to know what the plaintext
//! means, where fragments are kept, what time it is and where randomness comes from.
//!
//! The rooms, in reading order: [`layout`] says how long things are; [`epoch`] holds the key of one
//! writer, patient, class and hour, and its shares; [`locators`] name its segments; [`look`] what opens a grant in an
//! emergency; [`recovery`] what gives a lost wallet back; [`seal`](mod@seal) cuts; [`check`](mod@check)
//! checks; [`open`](mod@open) puts together. `spec/segment.md` is the same for a stranger.
#![forbid(unsafe_code)]

pub mod check;
pub mod epoch;
pub mod layout;
pub mod locators;
pub mod look;
pub mod open;
pub mod recovery;
pub mod seal;

mod erasure;
mod error;
mod keys;
mod namespaces;

pub use check::{CheckedFragment, Fragment, Quorum, check};
pub use epoch::{CheckedShare, EpochTerms, OpeningEpoch, SealingEpoch, verify_share};
pub use error::{BadFragment, Contradiction, NotEnough, OpenError, SealError, ShareFault};
pub use locators::{LocatorKey, Locators};
pub use look::{CheckedLook, LookPlace, open_kit, open_tag, prepare, verify_look};
pub use open::{LeafProof, OpenedSegment, SegmentKey, open};
pub use recovery::{
    RecoveryParts, RecoveryPlan, guardians_key, is_custodians, is_guardians, open_package, prepare_recovery,
};
pub use seal::{Draft, SealedSegment, seal, seal_nothing};
