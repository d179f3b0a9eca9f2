//! Wrong: writes a sample for a person although nothing about it was proved.
//!
//! EXPECT: E0308 expected `&Verified<Sample>`, found `&Sample`
#![forbid(unsafe_code)]

use salus_clinical::{Sample, render};

/// Writes whatever was claimed.
pub fn render_unverified_sample(sample: &Sample) -> String {
    render::line(sample) // wrong
}
