//! The payload of a frame: one SenML record (RFC 8428) in CBOR, and only what `spec/frame.md` lists.
//!
//! Promises that every field is there exactly once, that nothing else is, and that numbers are
//! integers or decimal fractions (RFC 8949 section 3.4.4), never floating point. Refuses to judge
//! the order and length of what it reads: the frame is encoded again and compared.

use crate::decimal::Decimal;
use crate::error::Reject;
use crate::kind;
use crate::reading::{Rate, Reading, Value, WAVEFORM_SAMPLES_MAX, Waveform};
use ciborium::Value as Cbor;
use salus_wire::TimeMs;

/// RFC 8428 table 4: the integer labels.
const NAME: u8 = 0;
const UNIT: u8 = 1;
const VALUE: u8 = 2;
const TIME: u8 = 6;
const DATA: u8 = 8;
/// Labels of ours. The underscore says that whoever does not understand them must refuse the
/// record (RFC 8428 section 4.4).
const RATE: &str = "rate_";
const SCALE: &str = "scale_";
const ORIGIN: &str = "origin_";

/// RFC 8949 section 3.4.4: a decimal fraction, `[exponent, mantissa]`.
const DECIMAL_TAG: u64 = 4;
/// Times are whole milliseconds, written as decimal fractions of a second.
const TIME_EXPONENT: i8 = -3;

/// The fields of a record as they are met, in whatever order.
#[derive(Default)]
struct Fields {
    name: Option<Cbor>,
    unit: Option<Cbor>,
    value: Option<Cbor>,
    time: Option<Cbor>,
    data: Option<Cbor>,
    rate: Option<Cbor>,
    scale: Option<Cbor>,
    origin: Option<Cbor>,
}

/// The SenML pack of one reading. Map keys stand in the order of RFC 8949 section 4.2.1.
pub(crate) fn write(reading: &Reading) -> Cbor {
    let kind = reading.kind();
    let head = [(label(NAME), text(kind.name())), (label(UNIT), text(kind.unit()))];
    let time = (label(TIME), fraction_of(reading.effective().get().into(), TIME_EXPONENT));
    let fields: Vec<(Cbor, Cbor)> = match reading.value() {
        Value::Quantity(value) => {
            let value = (label(VALUE), decimal(*value));
            head.into_iter().chain([value, time]).collect()
        }
        Value::Waveform(waveform) => head.into_iter().chain([time]).chain(write_waveform(waveform)).collect(),
    };
    Cbor::Array(vec![Cbor::Map(fields)])
}

fn write_waveform(waveform: &Waveform) -> [(Cbor, Cbor); 4] {
    let bytes: Vec<u8> = waveform.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let rate = waveform.rate();
    [
        (label(DATA), Cbor::Bytes(bytes)),
        (text(RATE), Cbor::Array(vec![rate.samples().into(), rate.seconds().into()])),
        (text(SCALE), decimal(waveform.scale())),
        (text(ORIGIN), waveform.origin().into()),
    ]
}

/// Reads the SenML pack of one reading.
pub(crate) fn read(pack: Cbor) -> Result<Reading, Reject> {
    let fields = Fields::of(one_record(pack)?)?;
    let name = as_text(fields.name)?;
    let kind = kind::find(&name).ok_or(Reject::KindUnknown)?;
    if as_text(fields.unit)? != kind.unit() {
        return Err(Reject::UnitUnknown);
    }
    let effective = read_time(fields.time)?;
    let value = match (fields.value, fields.data, fields.rate, fields.scale, fields.origin) {
        (Some(value), None, None, None, None) => Value::Quantity(read_decimal(value)?),
        (None, Some(data), Some(rate), Some(scale), Some(origin)) => {
            let origin = integer(&origin).ok_or(Reject::Number)?;
            let waveform =
                Waveform::new(read_rate(rate)?, read_decimal(scale)?, origin, read_samples(data)?)?;
            Value::Waveform(waveform)
        }
        _ => return Err(Reject::Payload),
    };
    Reading::new(kind, effective, value)
}

impl Fields {
    fn of(record: Vec<(Cbor, Cbor)>) -> Result<Self, Reject> {
        let mut fields = Self::default();
        for (key, value) in record {
            let slot = fields.slot(&key).ok_or(Reject::Payload)?;
            if slot.replace(value).is_some() {
                return Err(Reject::Payload);
            }
        }
        Ok(fields)
    }

    fn slot(&mut self, key: &Cbor) -> Option<&mut Option<Cbor>> {
        match (integer::<u8>(key), key.as_text()) {
            (Some(NAME), _) => Some(&mut self.name),
            (Some(UNIT), _) => Some(&mut self.unit),
            (Some(VALUE), _) => Some(&mut self.value),
            (Some(TIME), _) => Some(&mut self.time),
            (Some(DATA), _) => Some(&mut self.data),
            (_, Some(RATE)) => Some(&mut self.rate),
            (_, Some(SCALE)) => Some(&mut self.scale),
            (_, Some(ORIGIN)) => Some(&mut self.origin),
            _ => None,
        }
    }
}

fn one_record(pack: Cbor) -> Result<Vec<(Cbor, Cbor)>, Reject> {
    let records = pack.into_array().map_err(|_| Reject::Payload)?;
    let [record] = <[Cbor; 1]>::try_from(records).map_err(|_| Reject::Payload)?;
    record.into_map().map_err(|_| Reject::Payload)
}

fn read_time(time: Option<Cbor>) -> Result<TimeMs, Reject> {
    let (mantissa, exponent) = fraction(time.ok_or(Reject::Payload)?)?;
    if exponent != TIME_EXPONENT {
        return Err(Reject::Number);
    }
    u64::try_from(mantissa).map(TimeMs::new).map_err(|_| Reject::Time)
}

fn read_decimal(value: Cbor) -> Result<Decimal, Reject> {
    let (mantissa, exponent) = fraction(value)?;
    Decimal::new(mantissa, exponent)
}

/// The mantissa and exponent of a decimal fraction.
fn fraction(value: Cbor) -> Result<(i64, i8), Reject> {
    let Cbor::Tag(DECIMAL_TAG, parts) = value else {
        return Err(Reject::Number);
    };
    let parts = parts.into_array().map_err(|_| Reject::Number)?;
    let [exponent, mantissa] = parts.as_slice() else {
        return Err(Reject::Number);
    };
    Ok((integer(mantissa).ok_or(Reject::Number)?, integer(exponent).ok_or(Reject::Number)?))
}

fn read_rate(value: Cbor) -> Result<Rate, Reject> {
    let parts = value.into_array().map_err(|_| Reject::Number)?;
    let [samples, seconds] = parts.as_slice() else {
        return Err(Reject::Number);
    };
    Rate::new(integer(samples).ok_or(Reject::Number)?, integer(seconds).ok_or(Reject::Number)?)
}

fn read_samples(value: Cbor) -> Result<Vec<i16>, Reject> {
    let bytes = value.into_bytes().map_err(|_| Reject::Payload)?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > WAVEFORM_SAMPLES_MAX {
        return Err(Reject::Waveform);
    }
    Ok(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

fn integer<T: TryFrom<ciborium::value::Integer>>(value: &Cbor) -> Option<T> {
    T::try_from(value.as_integer()?).ok()
}

fn as_text(value: Option<Cbor>) -> Result<String, Reject> {
    value.and_then(|value| value.into_text().ok()).ok_or(Reject::Payload)
}

fn label(label: u8) -> Cbor {
    Cbor::Integer(label.into())
}

fn text(text: &str) -> Cbor {
    Cbor::Text(text.to_owned())
}

fn decimal(value: Decimal) -> Cbor {
    fraction_of(value.mantissa().into(), value.exponent())
}

fn fraction_of(mantissa: ciborium::value::Integer, exponent: i8) -> Cbor {
    Cbor::Tag(DECIMAL_TAG, Box::new(Cbor::Array(vec![exponent.into(), Cbor::Integer(mantissa)])))
}
