//! What can be observed: one table of kinds, each with its one unit, form and class of data.
//!
//! Promises that a kind has one unit, so that no number is ever read in another one, and that its
//! class (hence its key) follows from the kind alone. Refuses to convert units and to drop what
//! looks implausible: a strange heart rate may be a true one, so it is only marked.

use crate::decimal::Decimal;
use salus_wire::{DataClass, ObservationCode};
use std::cmp::Ordering;

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
    code: ObservationCode,
    display: &'static str,
    unit: &'static str,
    class: DataClass,
    form: Form,
}

/// Every kind, in order of name. `spec/frame.md` holds the same table; a test compares them.
pub const ALL: &[Kind] = &[
    waveform("131329", 131_329, "MDC_ECG_ELEC_POTL_I"),
    waveform("131330", 131_330, "MDC_ECG_ELEC_POTL_II"),
    waveform("131389", 131_389, "MDC_ECG_ELEC_POTL_III"),
    quantity("2339-0", 2_339, "Glucose in blood", "mg/dL", (10, 1_000)).of(DataClass::Glucose),
    quantity("55283-6", 55_283, "Fetal heart rate", "/min", (40, 300)).of(DataClass::ReproductiveHealth),
    quantity("59408-5", 59_408, "Oxygen saturation in arterial blood by pulse oximetry", "%", (50, 100)),
    quantity("8310-5", 8_310, "Body temperature", "Cel", (25, 45)),
    quantity("8462-4", 8_462, "Diastolic blood pressure", "mm[Hg]", (10, 200)),
    quantity("8480-6", 8_480, "Systolic blood pressure", "mm[Hg]", (30, 300)),
    quantity("8867-4", 8_867, "Heart rate", "/min", (20, 300)),
    quantity("9279-1", 9_279, "Respiratory rate", "/min", (2, 100)),
];

/// A vital sign, unless its class is said to be another.
const fn quantity(
    name: &'static str,
    number: u32,
    display: &'static str,
    unit: &'static str,
    (low, high): (i64, i64),
) -> Kind {
    let form = Form::Quantity { low: Decimal::whole(low), high: Decimal::whole(high) };
    Kind { name, code: ObservationCode::Loinc(number), display, unit, class: DataClass::Vitals, form }
}

const fn waveform(name: &'static str, number: u32, display: &'static str) -> Kind {
    let (class, form) = (DataClass::Waveform, Form::Waveform);
    Kind { name, code: ObservationCode::Mdc(number), display, unit: "mV", class, form }
}

/// The kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

impl Kind {
    const fn of(self, class: DataClass) -> Self {
        Self { class, ..self }
    }

    /// Its name within its system.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> ObservationCode {
        self.code
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

    /// The class of data, hence the key, under which it is kept, unless its device is assigned with a
    /// sensitive one.
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
    fn names_are_those_of_the_codes() {
        for kind in ALL {
            let shown = kind.code.to_string();
            assert_eq!(shown.strip_prefix("mdc:").unwrap_or(&shown), kind.name);
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
