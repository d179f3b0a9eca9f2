//! Wrong: opens fragments as stores served them, without checking one against the manifest.
//!
//! EXPECT: E0308 expected `Vec<CheckedFragment>`, found `Vec<Fragment>`
#![forbid(unsafe_code)]

use salus_fragment::{Fragment, OpenedSegment, Quorum, SegmentKey, open};
use salus_wire::Manifest;
use std::error::Error;

/// Opens whatever was served.
///
/// # Errors
/// As gathering and opening.
pub fn open_unchecked_fragments(
    manifest: &Manifest,
    served: Vec<Fragment>,
    key: SegmentKey,
) -> Result<OpenedSegment, Box<dyn Error>> {
    let quorum = Quorum::gather(manifest, served)?; // wrong
    Ok(open(manifest, quorum, key)?)
}
