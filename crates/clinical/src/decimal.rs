//! Exact decimals: what a measurement is made of.
//!
//! Promises that "72", "72.0" and "7.2e1" stay three different statements of precision although
//! they compare as equal magnitudes, and that no binary fraction comes near them. Refuses to do
//! arithmetic.

use crate::error::Reject;
use std::cmp::Ordering;
use std::fmt;

/// The largest power of ten, either way, of a [`Decimal`].
pub const EXPONENT_MAX: i8 = 9;

/// `mantissa` times ten to the power of `exponent`. Equality is that of the two numbers written,
/// precision included; [`Decimal::compare`] compares magnitudes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    exponent: i8,
}

impl Decimal {
    /// The decimal.
    ///
    /// # Errors
    /// [`Reject::Number`] when the exponent is beyond [`EXPONENT_MAX`] either way.
    pub fn new(mantissa: i64, exponent: i8) -> Result<Self, Reject> {
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
            return Err(Reject::Number);
        }
        Ok(Self { mantissa, exponent })
    }

    /// A whole number.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self { mantissa: value, exponent: 0 }
    }

    /// The digits, with their sign.
    #[must_use]
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// The power of ten.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.exponent
    }

    /// Which of the two is larger; precision does not matter.
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        let low = self.exponent.min(other.exponent);
        self.scaled(low).cmp(&other.scaled(low))
    }

    /// The mantissa at a lower exponent. At most 2^63 times 10^18, well within an `i128`.
    fn scaled(self, exponent: i8) -> i128 {
        let steps = self.exponent.abs_diff(exponent);
        10_i128.saturating_pow(u32::from(steps)).saturating_mul(i128::from(self.mantissa))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let zeros = usize::from(self.exponent.unsigned_abs());
        if self.exponent >= 0 {
            // Zero has no magnitude to show: 0e3 is written 0.
            let zeros = if self.mantissa == 0 { 0 } else { zeros };
            return write!(f, "{sign}{digits}{}", "0".repeat(zeros));
        }
        let padded = format!("{digits:0>width$}", width = zeros.saturating_add(1));
        let (whole, fraction) = padded.split_at(padded.len().saturating_sub(zeros));
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(mantissa: i64, exponent: i8) -> Decimal {
        Decimal::new(mantissa, exponent).unwrap()
    }

    #[test]
    fn display_keeps_precision() {
        let check = |mantissa, exponent, text| assert_eq!(decimal(mantissa, exponent).to_string(), text);
        check(72, 0, "72");
        check(720, -1, "72.0");
        check(7, 1, "70");
        check(5, -2, "0.05");
        check(-5, -2, "-0.05");
        check(-123, -3, "-0.123");
        check(0, 3, "0");
        check(0, -2, "0.00");
        check(i64::MIN, -9, "-9223372036.854775808");
        check(i64::MAX, 9, "9223372036854775807000000000");
    }

    #[test]
    fn exponents_are_bounded() {
        assert_eq!(Decimal::new(1, 10), Err(Reject::Number));
        assert_eq!(Decimal::new(1, -10), Err(Reject::Number));
        assert_eq!(Decimal::new(1, i8::MIN), Err(Reject::Number));
    }

    #[test]
    fn magnitudes_compare_across_precisions() {
        assert_ne!(decimal(720, -1), decimal(72, 0));
        assert_eq!(decimal(720, -1).compare(decimal(72, 0)), Ordering::Equal);
        assert_eq!(decimal(-1, 9).compare(decimal(1, -9)), Ordering::Less);
        assert_eq!(decimal(i64::MAX, 9).compare(decimal(i64::MAX, -9)), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn display_agrees_with_compare(a in -10_000_i64..10_000, b in -10_000_i64..10_000, x in -4_i8..4, y in -4_i8..4) {
            let (left, right) = (decimal(a, x), decimal(b, y));
            // Small enough that a double holds both sides exactly up to a tiny error.
            let (l, r): (f64, f64) = (left.to_string().parse().unwrap(), right.to_string().parse().unwrap());
            prop_assert_eq!(left.compare(right), l.partial_cmp(&r).unwrap());
        }
    }
}
