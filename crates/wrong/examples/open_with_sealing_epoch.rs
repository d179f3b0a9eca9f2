//! Wrong: opens a segment with the key that its gateway sealed it with.
//!
//! EXPECT: E0599 no method named `segment_key` found for reference `&SealingEpoch`
#![forbid(unsafe_code)]

use salus_fragment::{OpenError, SealingEpoch, SegmentKey};
use salus_wire::{Manifest, SegmentIndex};

/// Takes an opening key out of a sealing one.
///
/// # Errors
/// None that anybody would see.
pub fn open_with_sealing_epoch(
    epoch: &SealingEpoch,
    index: SegmentIndex,
    manifest: &Manifest,
) -> Result<SegmentKey, OpenError> {
    epoch.segment_key(index, manifest) // wrong
}
