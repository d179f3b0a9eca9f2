//! What can be observed: one table of kinds, each with its one unit, form and class of data.
//!
//! Promises that a kind has one unit, so that no number is ever read in another one, and that its
//! class (hence its key) follows from the kind alone. Refuses to convert units and to drop what
//! looks implausible: a strange heart rate may be a true one, so it is only marked.

use crate::decimal::Decimal;
use salus_wire::DataClass;
use std::cmp::Ordering;

/// Who gives out the names of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// LOINC, `http://loinc.org`: a number, a hyphen and a check digit.
    Loinc,
    /// ISO/IEEE 11073-10101, `urn:iso:std:iso:11073:10101`: a bare number.
    Mdc,
}

/// What a value of a kind looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One number, with the bounds outside which it is marked implausible.
    Quantity {
        /// The least plausible value.
        low: Decimal,
        /// The greatest plausible value.
        high: Decimal,
    },
    /// Evenly spaced samples.
    Waveform,
}

/// A kind of observation. There are only those of [`ALL`].
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    system: System,
    display: &'static str,
    unit: &'static str,
    class: DataClass,
    form: Form,
}

/// Every kind, in order of name. `spec/frame.md` holds the same table; a test compares them.
pub const ALL: &[Kind] = &[
    waveform("131329", "MDC_ECG_ELEC_POTL_I", "mV"),
    waveform("131330", "MDC_ECG_ELEC_POTL_II", "mV"),
    waveform("131389", "MDC_ECG_ELEC_POTL_III", "mV"),
    vital("59408-5", "Oxygen saturation in arterial blood by pulse oximetry", "%", 50, 100),
    vital("8310-5", "Body temperature", "Cel", 25, 45),
    vital("8462-4", "Diastolic blood pressure", "mm[Hg]", 10, 200),
    vital("8480-6", "Systolic blood pressure", "mm[Hg]", 30, 300),
    vital("8867-4", "Heart rate", "/min", 20, 300),
    vital("9279-1", "Respiratory rate", "/min", 2, 100),
];

const fn vital(name: &'static str, display: &'static str, unit: &'static str, low: i64, high: i64) -> Kind {
    let form = Form::Quantity { low: Decimal::whole(low), high: Decimal::whole(high) };
    Kind { name, system: System::Loinc, display, unit, class: DataClass::Vitals, form }
}

const fn waveform(name: &'static str, display: &'static str, unit: &'static str) -> Kind {
    Kind { name, system: System::Mdc, display, unit, class: DataClass::Waveform, form: Form::Waveform }
}

/// The kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

impl Kind {
    /// Its name within its system.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Who gives out the name.
    #[must_use]
    pub const fn system(&self) -> System {
        self.system
    }

    /// What people call it.
    #[must_use]
    pub const fn display(&self) -> &'static str {
        self.display
    }

    /// Its one unit, in UCUM.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        self.unit
    }

    /// The class of data, hence the key, under which it is kept.
    #[must_use]
    pub const fn class(&self) -> DataClass {
        self.class
    }

    /// What its values look like.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Whether a quantity lies within the plausible bounds of this kind, both included.
    #[must_use]
    pub fn is_plausible(&self, value: Decimal) -> bool {
        match self.form {
            Form::Quantity { low, high } => {
                value.compare(low) != Ordering::Less && value.compare(high) != Ordering::Greater
            }
            Form::Waveform => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_distinct() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
        for kind in ALL {
            assert_eq!(find(kind.name()), Some(kind));
        }
        assert_eq!(find("8867-5"), None);
    }

    #[test]
    fn loinc_check_digits_hold() {
        // LOINC Users' Guide, appendix: Luhn over the digits before the hyphen.
        for kind in ALL.iter().filter(|kind| kind.system == System::Loinc) {
            let (number, check) = kind.name.split_once('-').unwrap();
            let sum: u32 = number
                .chars()
                .rev()
                .zip([2, 1].into_iter().cycle())
                .map(|(digit, weight)| digit.to_digit(10).unwrap() * weight)
                .map(|product| product / 10 + product % 10)
                .sum();
            assert_eq!(((10 - sum % 10) % 10).to_string(), check, "{}", kind.name);
        }
    }

    #[test]
    fn the_specification_lists_the_same_kinds() {
        let spec = include_str!("../../../spec/frame.md");
        for kind in ALL {
            let row = format!("| `{}` | {} | `{}` |", kind.name(), kind.display(), kind.unit());
            assert!(spec.contains(&row), "spec/frame.md lacks {row}");
        }
    }

    #[test]
    fn plausibility_marks_bounds() {
        let heart_rate = find("8867-4").unwrap();
        assert!(heart_rate.is_plausible(Decimal::whole(20)) && heart_rate.is_plausible(Decimal::whole(300)));
        assert!(
            !heart_rate.is_plausible(Decimal::whole(19)) && !heart_rate.is_plausible(Decimal::whole(301))
        );
        assert!(!heart_rate.is_plausible(Decimal::new(3_000_001, -4).unwrap()));
    }
}
