//! Verified readings, written for people and programs.
//!
//! Promises that nothing but a [`Verified`] [`Sample`] is ever written out (INV-6): there is no
//! other argument to these functions. Refuses to write anything about the patient, whom it does not
//! know.

use crate::kind::System;
use crate::reading::{Sample, Value, Waveform};
use salus_proof::Verified;
use std::fmt::Write;

/// One line for a terminal: time in milliseconds since 1970, kind, value and unit.
#[must_use]
pub fn line(sample: &Verified<Sample>) -> String {
    let reading = sample.get().reading();
    let kind = reading.kind();
    let mark = if reading.is_plausible() { "" } else { " (implausible)" };
    let value = match reading.value() {
        Value::Quantity(value) => format!("{value} {}", kind.unit()),
        Value::Waveform(waveform) => format!(
            "{} samples at {} per {} s, {} {} each",
            waveform.samples().len(),
            waveform.rate().samples(),
            waveform.rate().seconds(),
            waveform.scale(),
            kind.unit()
        ),
    };
    format!("{} {}: {value}{mark}", reading.effective(), kind.display())
}

/// One JSON object on one line (RFC 8259). Decimals are written as numbers with their precision.
#[must_use]
pub fn json(sample: &Verified<Sample>) -> String {
    let sample = sample.get();
    let reading = sample.reading();
    let kind = reading.kind();
    let system = match kind.system() {
        System::Loinc => "http://loinc.org",
        System::Mdc => "urn:iso:std:iso:11073:10101",
    };
    let value = match reading.value() {
        Value::Quantity(value) => format!("\"value\":{value}"),
        Value::Waveform(waveform) => waveform_json(waveform),
    };
    format!(
        "{{\"device\":\"{}\",\"sequence\":{},\"time_ms\":{},\"system\":\"{system}\",\"code\":\"{}\",\
         \"display\":\"{}\",\"unit\":\"{}\",\"plausible\":{},{value}}}",
        sample.device(),
        sample.sequence(),
        reading.effective(),
        kind.name(),
        kind.display(),
        kind.unit(),
        reading.is_plausible(),
    )
}

fn waveform_json(waveform: &Waveform) -> String {
    let mut samples = String::with_capacity(waveform.samples().len().saturating_mul(6));
    for (index, sample) in waveform.samples().iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(samples, "{comma}{sample}");
    }
    format!(
        "\"rate\":[{},{}],\"scale\":{},\"origin\":{},\"samples\":[{samples}]",
        waveform.rate().samples(),
        waveform.rate().seconds(),
        waveform.scale(),
        waveform.origin(),
    )
}
