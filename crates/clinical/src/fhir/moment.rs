//! FHIR `dateTime` with its offset, and the milliseconds of ours.
//!
//! Promises that a time is read only when it says one instant: to the second or the millisecond, with
//! an offset. Refuses a bare date, which is another span in every time zone, finer fractions, which
//! could not be kept, and leap seconds, which our time has not. It knows no clock and no time zones.

use super::refused::Why;
use salus_wire::TimeMs;
use time::{Date, Month, OffsetDateTime};

/// The last millisecond that FHIR can write, 9999-12-31T23:59:59.999Z.
const LAST_MS: u64 = 253_402_300_799_999;
/// FHIR R4, datatypes: `dateTime`. An offset is at most 14 hours.
const OFFSET_MINUTES_MAX: i64 = 14 * 60;

/// What a `dateTime` says: all the milliseconds that match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The first.
    pub(super) first: TimeMs,
    /// The one after the last. FHIR R4, `Period.end`: an end includes whatever matches it, so one that
    /// is written to the second includes that whole second.
    pub(super) after: TimeMs,
}

/// Reads a `dateTime`.
pub(super) fn read(text: &str) -> Result<Moment, Why> {
    let mut rest = Scan(text.as_bytes());
    let day = rest.date().ok_or(Why::Time)?;
    let second = rest.clock().ok_or(Why::Time)?;
    let fraction = rest.fraction().ok_or(Why::Time)?;
    let offset = rest.offset().ok_or(Why::Time)?;
    let start = day_ms(day) + second * 1_000 - offset * 60_000 + fraction.unwrap_or(0);
    let first = u64::try_from(start).map_err(|_| Why::TimeRange)?;
    let after = first + if fraction.is_some() { 1 } else { 1_000 };
    let moment = Moment { first: TimeMs::new(first), after: TimeMs::new(after) };
    if after <= LAST_MS + 1 { Ok(moment) } else { Err(Why::TimeRange) }
}

/// The first millisecond that a `dateTime` with its offset says, or `None` when it is none.
#[must_use]
pub fn first_ms(text: &str) -> Option<TimeMs> {
    read(text).ok().map(|moment| moment.first)
}

/// The `dateTime` of a millisecond, in UTC, or `None` after the year 9999.
#[must_use]
pub fn write(time: TimeMs) -> Option<String> {
    let ms = i128::from(time.get());
    let at = OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).ok()?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, ms) = at.to_hms_milli();
    (time.get() <= LAST_MS).then(|| {
        let month = u8::from(month);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    })
}

/// The last millisecond before `until`.
pub(super) const fn last_before(until: TimeMs) -> TimeMs {
    TimeMs::new(until.get().saturating_sub(1))
}

fn day_ms(day: Date) -> i64 {
    i64::from(day.to_julian_day() - OffsetDateTime::UNIX_EPOCH.to_julian_day()) * 86_400_000
}

/// What is left to read.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn date(&mut self) -> Option<Date> {
        let year = self.number(4)?;
        self.expect(b'-')?;
        let month = self.number(2)?;
        self.expect(b'-')?;
        let day = self.number(2)?;
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
    }

    /// The seconds since midnight.
    fn clock(&mut self) -> Option<i64> {
        self.expect(b'T')?;
        let hour = self.number(2)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        self.expect(b':')?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second < 60).then_some((hour * 60 + minute) * 60 + second)
    }

    /// The milliseconds, or none when the time is written to the second.
    fn fraction(&mut self) -> Option<Option<i64>> {
        if self.expect(b'.').is_none() {
            return Some(None);
        }
        self.number(3).map(Some)
    }

    /// The minutes by which it is later than UTC. Nothing follows.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.next()? {
            b'Z' => return self.0.is_empty().then_some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hour = self.number(2)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        let minutes = hour * 60 + minute;
        (self.0.is_empty() && minute < 60 && minutes <= OFFSET_MINUTES_MAX).then_some(sign * minutes)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        head.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte.saturating_sub(b'0')))
        })
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        let (byte, rest) = self.0.split_first()?;
        (*byte == wanted).then(|| self.0 = rest)
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Seconds from a public calendar, not from this code.
    const KNOWN: &[(&str, u64, u64)] = &[
        ("1970-01-01T00:00:00Z", 0, 1_000),
        ("1970-01-01T00:00:00.000Z", 0, 1),
        ("1970-01-01T02:00:00+02:00", 0, 1_000),
        ("1969-12-31T19:00:00.001-05:00", 1, 2),
        ("2000-02-29T00:00:00Z", 951_782_400_000, 951_782_401_000),
        ("2023-11-14T22:13:20.123Z", 1_700_000_000_123, 1_700_000_000_124),
        ("2023-11-15T12:13:20.123+14:00", 1_700_000_000_123, 1_700_000_000_124),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000, 253_402_300_800_000),
        ("9999-12-31T23:59:59.999-00:00", 253_402_300_799_999, 253_402_300_800_000),
    ];

    const REFUSED: &[(&str, Why)] = &[
        ("2026", Why::Time),
        ("2026-01", Why::Time),
        ("2026-01-01", Why::Time),
        ("2026-01-01T10:00Z", Why::Time),
        ("2026-01-01T10:00:00", Why::Time),
        ("2026-01-01 10:00:00Z", Why::Time),
        ("2026-01-01t10:00:00z", Why::Time),
        ("2026-01-01T10:00:00.Z", Why::Time),
        ("2026-01-01T10:00:00.5Z", Why::Time),
        ("2026-01-01T10:00:00.1234Z", Why::Time),
        ("2026-01-01T24:00:00Z", Why::Time),
        ("2026-01-01T23:59:60Z", Why::Time),
        ("2026-02-29T00:00:00Z", Why::Time),
        ("2026-13-01T00:00:00Z", Why::Time),
        ("2026-00-01T00:00:00Z", Why::Time),
        ("+026-01-01T00:00:00Z", Why::Time),
        ("2026-01-01T10:00:00+14:01", Why::Time),
        ("2026-01-01T10:00:00+01:60", Why::Time),
        ("2026-01-01T10:00:00+0100", Why::Time),
        ("2026-01-01T10:00:00Z ", Why::Time),
        ("2026-01-01T10:00:00+01:00Z", Why::Time),
        ("\u{ff12}026-01-01T10:00:00Z", Why::Time),
        ("1969-12-31T23:59:59.999Z", Why::TimeRange),
        ("1970-01-01T00:00:00+00:01", Why::TimeRange),
        ("0000-01-01T00:00:00Z", Why::TimeRange),
        ("9999-12-31T23:59:59.999-00:01", Why::TimeRange),
    ];

    #[test]
    fn times_are_what_a_calendar_says() {
        for (text, first, after) in KNOWN {
            let said = Moment { first: TimeMs::new(*first), after: TimeMs::new(*after) };
            assert_eq!(read(text), Ok(said), "{text}");
        }
        assert_eq!(write(TimeMs::new(LAST_MS + 1)), None);
        assert_eq!(write(TimeMs::new(u64::MAX)), None);
    }

    #[test]
    fn what_says_no_one_instant_is_refused() {
        for (text, why) in REFUSED {
            assert_eq!(read(text), Err(*why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_is_written(ms in 0..=LAST_MS) {
            let moment = Moment { first: TimeMs::new(ms), after: TimeMs::new(ms + 1) };
            prop_assert_eq!(read(&write(TimeMs::new(ms)).unwrap()), Ok(moment));
        }
    }
}
