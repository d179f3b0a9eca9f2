//! One observation: what was measured, when, and the value.
//!
//! Promises that a [`Reading`] is a known kind with a value of the right form at a possible time,
//! and that a [`Sample`] (a reading with the device that made it) comes only out of a leaf. Refuses
//! to know whose body was measured.

use crate::decimal::Decimal;
use crate::error::Reject;
use crate::kind::{Form, Kind};
use salus_wire::{DataClass, DeviceId, Sequence, TimeMs};
use std::num::NonZeroU32;

/// Times before this are relative by RFC 8428 section 4.5.3 (2^28 seconds), hence refused.
pub const TIME_MIN: TimeMs = TimeMs::new((1 << 28) * 1_000);
/// Times from this on (10000-01-01T00:00:00Z) are refused.
pub const TIME_END: TimeMs = TimeMs::new(253_402_300_800_000);
/// Samples of one waveform reading.
pub const WAVEFORM_SAMPLES_MAX: usize = 32_000;
/// The greatest numerator and denominator of a sampling rate.
pub const RATE_MAX: u32 = 1_000_000;

/// Samples in a number of seconds, exactly: 360 Hz is 360 in 1, and has no whole period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    samples: NonZeroU32,
    seconds: NonZeroU32,
}

/// Evenly spaced samples: value = (sample - origin) * scale, in the kind's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waveform {
    rate: Rate,
    scale: Decimal,
    origin: i32,
    samples: Vec<i16>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One number in the kind's unit.
    Quantity(Decimal),
    /// Evenly spaced samples from the reading's time on.
    Waveform(Waveform),
}

/// One observation, known and well formed, but not yet signed or verified by anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    kind: &'static Kind,
    effective: TimeMs,
    value: Value,
}

/// A reading and the device that made it. It has no public constructor: it comes out of a leaf, and
/// counts only inside a [`Verified`](salus_proof::Verified).
#[derive(Debug, PartialEq, Eq)]
pub struct Sample {
    pub(crate) device: DeviceId,
    pub(crate) sequence: Sequence,
    pub(crate) reading: Reading,
}

impl Rate {
    /// `samples` in `seconds`.
    ///
    /// # Errors
    /// [`Reject::Waveform`] when either is 0 or above [`RATE_MAX`].
    pub fn new(samples: u32, seconds: u32) -> Result<Self, Reject> {
        let bounded = |number: u32| {
            NonZeroU32::new(number).filter(|number| number.get() <= RATE_MAX).ok_or(Reject::Waveform)
        };
        Ok(Self { samples: bounded(samples)?, seconds: bounded(seconds)? })
    }

    /// The numerator, in samples.
    #[must_use]
    pub const fn samples(self) -> u32 {
        self.samples.get()
    }

    /// The denominator, in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.seconds.get()
    }
}

impl Waveform {
    /// The waveform.
    ///
    /// # Errors
    /// [`Reject::Waveform`] without samples or with more than [`WAVEFORM_SAMPLES_MAX`];
    /// [`Reject::Number`] for a scale of zero or less.
    pub fn new(rate: Rate, scale: Decimal, origin: i32, samples: Vec<i16>) -> Result<Self, Reject> {
        if samples.is_empty() || samples.len() > WAVEFORM_SAMPLES_MAX {
            return Err(Reject::Waveform);
        }
        if scale.mantissa() <= 0 {
            return Err(Reject::Number);
        }
        Ok(Self { rate, scale, origin, samples })
    }

    /// How often it was sampled.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// The size of one step of a sample, in the kind's unit.
    #[must_use]
    pub const fn scale(&self) -> Decimal {
        self.scale
    }

    /// The sample that means zero.
    #[must_use]
    pub const fn origin(&self) -> i32 {
        self.origin
    }

    /// The samples, as the converter gave them.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

impl Reading {
    /// A reading of `kind` at `effective`, device time.
    ///
    /// # Errors
    /// [`Reject::UnitUnknown`] when the value has another form than the kind; [`Reject::Time`] when
    /// the time is before [`TIME_MIN`] or not before [`TIME_END`].
    pub fn new(kind: &'static Kind, effective: TimeMs, value: Value) -> Result<Self, Reject> {
        match (kind.form(), &value) {
            (Form::Quantity { .. }, Value::Quantity(_)) | (Form::Waveform, Value::Waveform(_)) => {}
            (Form::Quantity { .. }, Value::Waveform(_)) | (Form::Waveform, Value::Quantity(_)) => {
                return Err(Reject::UnitUnknown);
            }
        }
        if effective < TIME_MIN || effective >= TIME_END {
            return Err(Reject::Time);
        }
        Ok(Self { kind, effective, value })
    }

    /// What was observed.
    #[must_use]
    pub const fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The class of data, hence the key, under which it is kept.
    #[must_use]
    pub const fn class(&self) -> DataClass {
        self.kind.class()
    }

    /// Device time of the measurement, or of the first sample.
    #[must_use]
    pub const fn effective(&self) -> TimeMs {
        self.effective
    }

    /// What was measured.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the value is one that a living patient may have. Implausible readings are kept.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        match &self.value {
            Value::Quantity(value) => self.kind.is_plausible(*value),
            Value::Waveform(_) => true,
        }
    }
}

impl Sample {
    /// The device that signed it.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's own count of its frames.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// What it read.
    #[must_use]
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind;

    const NOON: TimeMs = TimeMs::new(1_700_000_000_000);

    fn quantity() -> Value {
        Value::Quantity(Decimal::whole(72))
    }

    fn waveform(samples: usize) -> Result<Waveform, Reject> {
        Waveform::new(Rate::new(360, 1)?, Decimal::new(5, -3)?, 1024, vec![0; samples])
    }

    #[test]
    fn form_and_time_are_checked() {
        let heart_rate = kind::find("8867-4").unwrap();
        let ecg = kind::find("131330").unwrap();
        let check = |kind, at, value, expected: Option<Reject>| {
            assert_eq!(Reading::new(kind, at, value).err(), expected);
        };
        check(heart_rate, NOON, quantity(), None);
        check(ecg, NOON, Value::Waveform(waveform(1).unwrap()), None);
        check(ecg, NOON, quantity(), Some(Reject::UnitUnknown));
        check(heart_rate, NOON, Value::Waveform(waveform(1).unwrap()), Some(Reject::UnitUnknown));
        check(heart_rate, TIME_MIN, quantity(), None);
        check(heart_rate, TimeMs::new(TIME_MIN.get() - 1), quantity(), Some(Reject::Time));
        check(heart_rate, TimeMs::new(TIME_END.get() - 1), quantity(), None);
        check(heart_rate, TIME_END, quantity(), Some(Reject::Time));
    }

    #[test]
    fn waveforms_are_bounded() {
        assert!(waveform(WAVEFORM_SAMPLES_MAX).is_ok());
        assert_eq!(waveform(0), Err(Reject::Waveform));
        assert_eq!(waveform(WAVEFORM_SAMPLES_MAX + 1), Err(Reject::Waveform));
        for (samples, seconds) in [(0, 1), (1, 0), (RATE_MAX + 1, 1), (1, RATE_MAX + 1)] {
            assert_eq!(Rate::new(samples, seconds), Err(Reject::Waveform));
        }
        let rate = Rate::new(360, 1).unwrap();
        assert_eq!(Waveform::new(rate, Decimal::whole(0), 0, vec![1]), Err(Reject::Number));
        assert_eq!(Waveform::new(rate, Decimal::whole(-1), 0, vec![1]), Err(Reject::Number));
    }
}
