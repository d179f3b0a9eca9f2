//! Authenticated connections between the endpoints of a consortium.
//!
//! TLS 1.3 with both sides certified and the post-quantum hybrid X25519MLKEM768; a request and
//! response protocol in bounded frames inside it; and the certificates that make it work. This
//! crate knows who is at the other end and how much it may send. What is asked, and whether it is
//! allowed, is for the rooms on either side.
#![forbid(unsafe_code)]

pub mod consortium;
pub mod error;
pub mod frame;
pub mod lobby;
pub mod peer;
pub mod pki;
pub mod places;
pub mod quota;
pub mod server;
pub mod tls;

pub use consortium::{Consortium, MemberPlace};
pub use error::LinkError;
pub use lobby::Lobby;
pub use peer::{Caller, Endpoint, Peer};
pub use pki::{Authority, Credential, Subject};
pub use places::{Place, Places};
pub use quota::Quota;
pub use server::{Limits, serve};
pub use tls::{ClientTls, DeviceTls, PeerCert, ServerTls};
