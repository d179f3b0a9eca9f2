//! Verified readings, written for people and programs.
//!
//! Promises that nothing but a [`Verified`] [`Sample`] is ever written out (INV-6): there is no
//! other argument to these functions. Refuses to write anything about the patient, whom it does not
//! know.

use crate::reading::{Reading, Sample, Value, Waveform};
use salus_proof::Verified;
use salus_wire::ObservationCode;
use std::fmt::Write;

/// One line for a terminal: time in milliseconds since 1970, kind, value and unit.
#[must_use]
pub fn line(sample: &Verified<Sample>) -> String {
    reading_line(sample.get().reading())
}

/// One JSON object on one line (RFC 8259). Decimals are written as numbers with their precision.
#[must_use]
pub fn json(sample: &Verified<Sample>) -> String {
    sample_json(sample.get())
}

fn reading_line(reading: &Reading) -> String {
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

fn sample_json(sample: &Sample) -> String {
    let reading = sample.reading();
    let kind = reading.kind();
    let system = match kind.code() {
        ObservationCode::Loinc(_) => "http://loinc.org",
        ObservationCode::Mdc(_) => "urn:iso:std:iso:11073:10101",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::kind;
    use crate::reading::Rate;
    use salus_wire::{DeviceId, Sequence, TimeMs};

    fn sample(name: &str, value: Value) -> Sample {
        let time = TimeMs::new(1_700_000_000_123);
        let reading = Reading::new(kind::find(name).unwrap(), time, value).unwrap();
        Sample { device: DeviceId::new([7; 16]), sequence: Sequence::new(41), reading }
    }

    fn quantity(mantissa: i64, exponent: i8) -> Sample {
        sample("8867-4", Value::Quantity(Decimal::new(mantissa, exponent).unwrap()))
    }

    fn ecg() -> Sample {
        let (rate, scale) = (Rate::new(360, 1).unwrap(), Decimal::new(5, -3).unwrap());
        sample("131330", Value::Waveform(Waveform::new(rate, scale, 1024, vec![955, -1]).unwrap()))
    }

    #[test]
    fn lines_are_for_people() {
        let check = |sample: Sample, text: &str| assert_eq!(reading_line(sample.reading()), text);
        check(quantity(720, -1), "1700000000123 Heart rate: 72.0 /min");
        check(quantity(400, 0), "1700000000123 Heart rate: 400 /min (implausible)");
        check(ecg(), "1700000000123 MDC_ECG_ELEC_POTL_II: 2 samples at 360 per 1 s, 0.005 mV each");
    }

    #[test]
    fn json_keeps_precision_and_every_sample() {
        assert_eq!(
            sample_json(&quantity(720, -1)),
            r#"{"device":"07070707070707070707070707070707","sequence":41,"time_ms":1700000000123,"system":"http://loinc.org","code":"8867-4","display":"Heart rate","unit":"/min","plausible":true,"value":72.0}"#
        );
        assert!(
            sample_json(&ecg())
                .ends_with(r#""rate":[360,1],"scale":0.005,"origin":1024,"samples":[955,-1]}"#)
        );
    }
}
