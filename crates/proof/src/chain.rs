//! Final headers: a certificate, and the headers that lead down from the one it is for.
//!
//! The engine may make a block final by making its child final, so a header is final when it is
//! the certified one or an ancestor of it. Promises that a [`FinalHeader`] is one of the policy's
//! consortium, on its one history (INV-4). Refuses to say whether it is the latest.

use crate::certificate;
use crate::error::Unproven;
use crate::policy::TrustPolicy;
use salus_wire::Header;
use salus_wire::state::{CertifiedChain, Tip};

/// A header that a quorum made final. Only [`verify`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct FinalHeader(Header);

impl FinalHeader {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.0
    }

    /// Its height and time.
    #[must_use]
    pub const fn tip(&self) -> Tip {
        Tip { height: self.0.height, time: self.0.time }
    }
}

/// Checks that the first header of `chain` is final.
///
/// # Errors
/// [`Unproven`] for no header, another consortium, a gap, or a certificate that does not hold.
pub fn verify(policy: &TrustPolicy, chain: &CertifiedChain) -> Result<FinalHeader, Unproven> {
    let (Some(first), Some(last)) = (chain.headers.first(), chain.headers.last()) else {
        return Err(Unproven::NoHeader);
    };
    if chain.headers.iter().any(|header| header.chain != policy.chain()) {
        return Err(Unproven::OtherChain);
    }
    let children = chain.headers.iter().skip(1);
    if !chain.headers.iter().zip(children).all(|(parent, child)| follows(parent, child)) {
        return Err(Unproven::BrokenChain);
    }
    certificate::verify(policy, last, &chain.certificate)?;
    Ok(FinalHeader(first.clone()))
}

fn follows(parent: &Header, child: &Header) -> bool {
    parent.height.next() == Some(child.height)
        && parent.view == child.parent_view
        && parent.view < child.view
        && parent.time < child.time
        && parent.digest() == child.parent
}
