//! What data a grant, an access or a request is about, why it is wanted, and in which role.
//!
//! A set that may not exist cannot be built or decoded: an empty one, one with unknown elements, and
//! one that puts a sensitive class together with another, so that no general grant can ever open
//! what is sensitive.

use crate::ids::TimeSpan;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::io::{Error, ErrorKind, Read};
use std::str::FromStr;

/// Codes that one [`Codes`] can list.
pub const CODES_MAX: usize = 8;

/// A class of data with keys of its own, so that *minimum necessary* (45 CFR 164.502(b)) is a
/// matter of keys and not of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum DataClass {
    /// Single vital signs: heart rate, oxygen saturation, temperature, blood pressure.
    Vitals = 0,
    /// Waveforms: ECG and the like.
    Waveform = 1,
    /// Glucose, in blood or tissue.
    Glucose = 2,
    /// Mental health. Sensitive.
    MentalHealth = 3,
    /// Treatment of substance use, under 42 CFR Part 2. Sensitive.
    SubstanceUse = 4,
    /// Reproductive health. Sensitive.
    ReproductiveHealth = 5,
}

/// HL7 v3 `PurposeOfUse` codes that a request may state
/// (`http://terminology.hl7.org/CodeSystem/v3-ActReason`). Legal proceedings are not among them
/// (42 CFR 2.12(d)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Purpose {
    /// `TREAT`: treatment.
    Treatment = 0,
    /// `HPAYMT`: payment.
    Payment = 1,
    /// `HOPERAT`: operations.
    Operations = 2,
    /// `HRESCH`: research.
    Research = 3,
    /// `PATRQT`: the patient asks.
    PatientRequest = 4,
    /// `ETREAT`: emergency treatment.
    Emergency = 5,
    /// `PUBHLTH`: public health.
    PublicHealth = 6,
}

/// What a person does at the member that registered them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Role {
    /// Physicians.
    Physician = 0,
    /// Nurses.
    Nurse = 1,
    /// Pharmacists.
    Pharmacist = 2,
    /// Laboratory and imaging staff.
    Technician = 3,
    /// Billing and administration.
    Administrator = 4,
    /// Researchers.
    Researcher = 5,
    /// Those who review accesses.
    PrivacyOfficer = 6,
}

/// A set of data classes: bit i stands for the class with discriminant i. Never empty; a sensitive
/// class stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize)]
pub struct Classes(u16);

/// A set of purposes of use: bit i stands for the purpose with discriminant i. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize)]
pub struct Purposes(u16);

/// A set of roles: bit i stands for the role with discriminant i. May be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize)]
pub struct Roles(u16);

/// The kind of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ObservationCode {
    /// LOINC: the number before the hyphen; the check digit follows from it.
    Loinc(u32) = 0,
    /// ISO/IEEE 11073-10101: the code within its partition, as one number.
    Mdc(u32) = 1,
}

/// Which kinds of observation of a class.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Codes {
    /// Every one.
    All = 0,
    /// These alone: from 1 to [`CODES_MAX`], in ascending order, none twice. Made by [`Codes::only`].
    Only(CodeList) = 1,
}

/// A list of codes in its one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize)]
pub struct CodeList(Vec<ObservationCode>);

/// What data.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Scope {
    /// Of which classes.
    pub classes: Classes,
    /// Of which kinds among them.
    pub codes: Codes,
    /// Measured when.
    pub span: TimeSpan,
}

/// Text that names nothing of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a LOINC code with its check digit, nor `mdc:` and a number")]
pub struct BadCode;

impl DataClass {
    /// Every class, in order of discriminant.
    pub const ALL: &'static [Self] = &[
        Self::Vitals,
        Self::Waveform,
        Self::Glucose,
        Self::MentalHealth,
        Self::SubstanceUse,
        Self::ReproductiveHealth,
    ];

    /// What a general grant can open.
    pub const ORDINARY: &'static [Self] = &[Self::Vitals, Self::Waveform, Self::Glucose];

    /// Whether it takes a grant of its own.
    #[must_use]
    pub const fn is_sensitive(self) -> bool {
        self.bit() & Classes::SENSITIVE != 0
    }

    /// What people and policies call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vitals => "vitals",
            Self::Waveform => "waveform",
            Self::Glucose => "glucose",
            Self::MentalHealth => "mental-health",
            Self::SubstanceUse => "substance-use",
            Self::ReproductiveHealth => "reproductive-health",
        }
    }

    /// The notice that goes with every disclosure of this class: for substance use the one of 42 CFR 2.32.
    #[must_use]
    pub const fn notice(self) -> Option<&'static str> {
        match self {
            Self::SubstanceUse => {
                Some("42 CFR part 2 prohibits unauthorized use or disclosure of these records.")
            }
            Self::Vitals | Self::Waveform | Self::Glucose | Self::MentalHealth | Self::ReproductiveHealth => {
                None
            }
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Vitals => 1,
            Self::Waveform => 1 << 1,
            Self::Glucose => 1 << 2,
            Self::MentalHealth => 1 << 3,
            Self::SubstanceUse => 1 << 4,
            Self::ReproductiveHealth => 1 << 5,
        }
    }
}

impl Purpose {
    /// Every purpose, in order of discriminant.
    pub const ALL: &'static [Self] = &[
        Self::Treatment,
        Self::Payment,
        Self::Operations,
        Self::Research,
        Self::PatientRequest,
        Self::Emergency,
        Self::PublicHealth,
    ];

    /// Its code in HL7 v3 `ActReason`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::Payment => "HPAYMT",
            Self::Operations => "HOPERAT",
            Self::Research => "HRESCH",
            Self::PatientRequest => "PATRQT",
            Self::Emergency => "ETREAT",
            Self::PublicHealth => "PUBHLTH",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Treatment => 1,
            Self::Payment => 1 << 1,
            Self::Operations => 1 << 2,
            Self::Research => 1 << 3,
            Self::PatientRequest => 1 << 4,
            Self::Emergency => 1 << 5,
            Self::PublicHealth => 1 << 6,
        }
    }
}

impl Role {
    /// Every role, in order of discriminant.
    pub const ALL: &'static [Self] = &[
        Self::Physician,
        Self::Nurse,
        Self::Pharmacist,
        Self::Technician,
        Self::Administrator,
        Self::Researcher,
        Self::PrivacyOfficer,
    ];

    /// What people and policies call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Physician => "physician",
            Self::Nurse => "nurse",
            Self::Pharmacist => "pharmacist",
            Self::Technician => "technician",
            Self::Administrator => "administrator",
            Self::Researcher => "researcher",
            Self::PrivacyOfficer => "privacy-officer",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Physician => 1,
            Self::Nurse => 1 << 1,
            Self::Pharmacist => 1 << 2,
            Self::Technician => 1 << 3,
            Self::Administrator => 1 << 4,
            Self::Researcher => 1 << 5,
            Self::PrivacyOfficer => 1 << 6,
        }
    }
}

impl Classes {
    const KNOWN: u16 = 0b11_1111;
    const SENSITIVE: u16 = 0b11_1000;

    /// All that is not sensitive.
    pub const ORDINARY: Self = Self(Self::KNOWN & !Self::SENSITIVE);

    /// The set of these classes, or `None` when it would be empty or put a sensitive class together
    /// with another.
    #[must_use]
    pub fn of(classes: &[DataClass]) -> Option<Self> {
        Self::from_bits(classes.iter().fold(0, |bits, class| bits | class.bit()))
    }

    fn from_bits(bits: u16) -> Option<Self> {
        let known = bits != 0 && bits & !Self::KNOWN == 0;
        let alone = bits & Self::SENSITIVE == 0 || bits.is_power_of_two();
        (known && alone).then_some(Self(bits))
    }

    /// Whether `class` is in the set.
    #[must_use]
    pub const fn contains(self, class: DataClass) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The classes in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = DataClass> {
        DataClass::ALL.iter().copied().filter(move |class| self.contains(*class))
    }
}

impl Purposes {
    const KNOWN: u16 = 0b111_1111;

    /// This purpose alone.
    #[must_use]
    pub const fn only(purpose: Purpose) -> Self {
        Self(purpose.bit())
    }

    /// The set of these purposes, or `None` when it would be empty.
    #[must_use]
    pub fn of(purposes: &[Purpose]) -> Option<Self> {
        let bits = purposes.iter().fold(0, |bits, purpose| bits | purpose.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Whether `purpose` is in the set.
    #[must_use]
    pub const fn contains(self, purpose: Purpose) -> bool {
        self.0 & purpose.bit() != 0
    }

    /// The purposes in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Purpose> {
        Purpose::ALL.iter().copied().filter(move |purpose| self.contains(*purpose))
    }
}

impl Roles {
    const KNOWN: u16 = 0b111_1111;

    /// No role.
    pub const NONE: Self = Self(0);

    /// The set of these roles.
    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | role.bit()))
    }

    /// Whether `role` is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether no role is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.contains(*role))
    }
}

impl Codes {
    /// These kinds alone, or `None` for none and for more than [`CODES_MAX`].
    #[must_use]
    pub fn only(codes: &[ObservationCode]) -> Option<Self> {
        let mut sorted = codes.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        CodeList::new(sorted).map(Self::Only)
    }

    /// Whether `code` is in the set.
    #[must_use]
    pub fn contains(&self, code: ObservationCode) -> bool {
        match self {
            Self::All => true,
            Self::Only(list) => list.0.binary_search(&code).is_ok(),
        }
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(_), Self::Only(list)) => list.0.iter().all(|code| self.contains(*code)),
        }
    }

    /// The kinds listed; none for [`Codes::All`].
    #[must_use]
    pub fn listed(&self) -> &[ObservationCode] {
        match self {
            Self::All => &[],
            Self::Only(list) => &list.0,
        }
    }
}

impl CodeList {
    fn new(codes: Vec<ObservationCode>) -> Option<Self> {
        let fits = !codes.is_empty() && codes.len() <= CODES_MAX;
        (fits && codes.is_sorted_by(|a, b| a < b)).then_some(Self(codes))
    }
}

impl Scope {
    /// Whether all of `other` lies within.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.classes.covers(other.classes) && self.codes.covers(&other.codes) && self.span.covers(&other.span)
    }

    /// Whether something of this class, this kind and a time within `span` lies within.
    #[must_use]
    pub fn meets(&self, class: DataClass, code: ObservationCode, span: &TimeSpan) -> bool {
        self.classes.contains(class) && self.codes.contains(code) && self.span.overlaps(span)
    }
}

/// The check digit of a LOINC number: Luhn's, over the digits before the hyphen (LOINC Users' Guide).
fn loinc_check_digit(number: u32) -> u32 {
    let mut rest = number;
    let mut sum = 0_u32;
    for weight in [2, 1].into_iter().cycle().take(10) {
        let product = (rest % 10).saturating_mul(weight);
        sum = sum.saturating_add(product / 10).saturating_add(product % 10);
        rest /= 10;
    }
    (10_u32.saturating_sub(sum % 10)) % 10
}

impl fmt::Display for ObservationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loinc(number) => write!(f, "{number}-{}", loinc_check_digit(*number)),
            Self::Mdc(number) => write!(f, "mdc:{number}"),
        }
    }
}

impl FromStr for ObservationCode {
    type Err = BadCode;

    fn from_str(text: &str) -> Result<Self, BadCode> {
        let code = match text.strip_prefix("mdc:") {
            Some(number) => Self::Mdc(number.parse().map_err(|_| BadCode)?),
            None => Self::Loinc(text.split_once('-').ok_or(BadCode)?.0.parse().map_err(|_| BadCode)?),
        };
        if code.to_string() == text { Ok(code) } else { Err(BadCode) }
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

impl BorshDeserialize for Classes {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let bits = u16::deserialize_reader(reader)?;
        Self::from_bits(bits).ok_or_else(|| invalid("no set of classes"))
    }
}

impl BorshDeserialize for Purposes {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let bits = u16::deserialize_reader(reader)?;
        let known = bits != 0 && bits & !Self::KNOWN == 0;
        known.then_some(Self(bits)).ok_or_else(|| invalid("no set of purposes"))
    }
}

impl BorshDeserialize for Roles {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let bits = u16::deserialize_reader(reader)?;
        (bits & !Self::KNOWN == 0).then_some(Self(bits)).ok_or_else(|| invalid("an unknown role"))
    }
}

impl BorshDeserialize for Codes {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        match u8::deserialize_reader(reader)? {
            0 => Ok(Self::All),
            1 => CodeList::deserialize_reader(reader).map(Self::Only),
            _ => Err(invalid("an unknown variant")),
        }
    }
}

impl BorshDeserialize for CodeList {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let codes = crate::List::<ObservationCode, CODES_MAX>::deserialize_reader(reader)?;
        Self::new(codes.into_vec()).ok_or_else(|| invalid("no ascending list of codes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TimeMs;
    use crate::{decode, encode};

    #[test]
    fn sets_refuse_emptiness_and_unknown_bits() {
        assert_eq!(Classes::of(&[]), None);
        assert_eq!(Purposes::of(&[]), None);
        assert!(decode::<Classes>(&[0, 0], 2).is_err());
        assert!(decode::<Classes>(&[0b100_0000, 0], 2).is_err());
        assert!(decode::<Purposes>(&[0, 0], 2).is_err());
        assert!(decode::<Purposes>(&[0b1000_0000, 0], 2).is_err());
        assert!(decode::<Roles>(&[0b1000_0000, 0], 2).is_err());
        assert_eq!(decode::<Roles>(&[0, 0], 2), Ok(Roles::NONE));
        let one = Classes::of(&[DataClass::Waveform]).unwrap();
        assert!(Classes::ORDINARY.covers(one) && !one.covers(Classes::ORDINARY));
        assert!(one.contains(DataClass::Waveform) && !one.contains(DataClass::Vitals));
    }

    #[test]
    fn every_known_bit_has_an_element_and_every_element_a_bit() {
        let classes = DataClass::ALL.iter().fold(0, |bits, class| bits | class.bit());
        assert_eq!(classes, Classes::KNOWN);
        assert_eq!(Purposes::of(Purpose::ALL).unwrap().0, Purposes::KNOWN);
        assert_eq!(Roles::of(Role::ALL).0, Roles::KNOWN);
        assert_eq!(Classes::of(DataClass::ORDINARY), Some(Classes::ORDINARY));
        assert!(Classes::ORDINARY.iter().eq(DataClass::ORDINARY.iter().copied()));
    }

    #[test]
    fn a_sensitive_class_stands_alone_in_every_set_there_is() {
        for bits in 0..=u16::MAX {
            let Ok(set) = decode::<Classes>(&encode(&bits), 2) else { continue };
            let sensitive = set.iter().filter(|class| class.is_sensitive()).count();
            assert!(sensitive == 0 || set.iter().count() == 1, "{bits:b}");
            assert_eq!(Classes::of(&set.iter().collect::<Vec<_>>()), Some(set));
        }
        for class in DataClass::ALL.iter().filter(|class| class.is_sensitive()) {
            assert!(!Classes::ORDINARY.contains(*class));
            assert!(Classes::of(&[*class]).is_some());
            assert_eq!(Classes::of(&[*class, DataClass::Vitals]), None);
        }
    }

    #[test]
    fn a_list_of_codes_has_one_form() {
        let (heart, ecg) = (ObservationCode::Loinc(8_867), ObservationCode::Mdc(131_329));
        let both = Codes::only(&[ecg, heart, ecg]).unwrap();
        assert_eq!(both, Codes::only(&[heart, ecg]).unwrap());
        assert_eq!(decode::<Codes>(&encode(&both), 64), Ok(both.clone()));
        assert!(Codes::All.covers(&both) && !both.covers(&Codes::All));
        assert!(both.covers(&Codes::only(&[ecg]).unwrap()) && !Codes::only(&[ecg]).unwrap().covers(&both));
        assert_eq!(Codes::only(&[]), None);
        let many: Vec<ObservationCode> = (0..9).map(ObservationCode::Mdc).collect();
        assert_eq!(Codes::only(&many), None);
        let list = |codes: &[ObservationCode]| encode(&(1_u8, codes.to_vec()));
        assert!(decode::<Codes>(&list(&[heart, ecg]), 64).is_ok());
        for refused in [&[][..], &[ecg, heart], &[heart, heart], &many] {
            assert!(decode::<Codes>(&list(refused), 64).is_err());
        }
    }

    #[test]
    fn codes_are_read_as_they_are_written() {
        for (text, code) in [
            ("8867-4", ObservationCode::Loinc(8_867)),
            ("59408-5", ObservationCode::Loinc(59_408)),
            ("mdc:131329", ObservationCode::Mdc(131_329)),
        ] {
            assert_eq!(text.parse(), Ok(code));
            assert_eq!(code.to_string(), text);
        }
        for text in ["8867-5", "8867", "08867-4", "mdc:0131329", "mdc:", "", "-4", "8867-4 ", "+8867-4"] {
            assert_eq!(text.parse::<ObservationCode>(), Err(BadCode), "{text}");
        }
    }

    #[test]
    fn a_scope_covers_only_what_all_its_parts_cover() {
        let span = |from, until| TimeSpan::new(TimeMs::new(from), TimeMs::new(until)).unwrap();
        let heart = ObservationCode::Loinc(8_867);
        let vitals = Classes::of(&[DataClass::Vitals]).unwrap();
        let all = Scope { classes: Classes::ORDINARY, codes: Codes::All, span: span(0, 100) };
        let part = Scope { classes: vitals, codes: Codes::only(&[heart]).unwrap(), span: span(10, 20) };
        assert!(all.covers(&part) && all.covers(&all) && !part.covers(&all));
        for wider in [
            Scope { classes: Classes::ORDINARY, ..part.clone() },
            Scope { codes: Codes::All, ..part.clone() },
            Scope { span: span(10, 21), ..part.clone() },
        ] {
            assert!(!part.covers(&wider));
        }
        assert!(part.meets(DataClass::Vitals, heart, &span(19, 30)));
        assert!(!part.meets(DataClass::Vitals, heart, &span(20, 30)));
        assert!(!part.meets(DataClass::Glucose, heart, &span(19, 30)));
        assert!(!part.meets(DataClass::Vitals, ObservationCode::Mdc(8_867), &span(19, 30)));
    }
}
