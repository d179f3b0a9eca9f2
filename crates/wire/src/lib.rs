//! Every byte that Salus signs, hashes, stores or sends, in one canonical encoding.
//!
//! The encoding is [Borsh](https://borsh.io) with every list and blob bounded before it is
//! allocated, and nothing left over at the end. Two different values never share an encoding and
//! one value never has two. This crate knows shapes and limits; it decides nothing.
#![forbid(unsafe_code)]

pub mod activity;
pub mod block;
pub mod bounded;
pub mod code;
pub mod codec;
pub mod consent;
pub mod emergency;
pub mod erasure;
pub mod genesis;
pub mod ids;
pub mod limits;
pub mod manifest;
pub mod namespaces;
pub mod receipt;
pub mod recovery;
pub mod release;
pub mod rpc;
pub mod scope;
pub mod state;
pub mod tx;

pub use block::{Block, Header, Outcome};
pub use bounded::{Blob, List};
pub use code::{Blame, Code};
pub use codec::{DecodeError, decode, encode};
pub use consent::{Deny, Grant, Grantee, Intent, Reason};
pub use erasure::{Erasure, Holder};
pub use genesis::{Faults, Genesis, GenesisMember};
pub use ids::{
    AccessTag, BatchNumber, ChainId, DeviceId, EpochId, FragmentIndex, GrantTag, Height, Locator,
    MemberIndex, PartyId, SegmentIndex, Sequence, StreamId, TimeMs, TimeSpan, View,
};
pub use manifest::{Descriptor, Geometry, Manifest};
pub use receipt::Receipt;
pub use scope::{Classes, Codes, DataClass, ObservationCode, Purpose, Purposes, Role, Roles, Scope};
pub use state::{ProvenItem, StateKey, StateProof, StateValue, Terminal};
pub use tx::{Tx, TxBody, Urgency};
