//! The words for people, purposes and data: what grants are given for, and reads asked for.

use clap::{Args, ValueEnum};
use salus_wire::ids::PartyId;
use salus_wire::{DataClass, ObservationCode, Purpose, Role};
use std::path::PathBuf;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ClassArg {
    Vitals,
    Waveform,
    Glucose,
    /// Sensitive: only in a grant of its own.
    MentalHealth,
    /// Sensitive, under 42 CFR Part 2: only in a grant of its own.
    SubstanceUse,
    /// Sensitive: only in a grant of its own.
    ReproductiveHealth,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SensitivityArg {
    MentalHealth,
    SubstanceUse,
    ReproductiveHealth,
}

impl From<SensitivityArg> for DataClass {
    fn from(class: SensitivityArg) -> Self {
        match class {
            SensitivityArg::MentalHealth => Self::MentalHealth,
            SensitivityArg::SubstanceUse => Self::SubstanceUse,
            SensitivityArg::ReproductiveHealth => Self::ReproductiveHealth,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    Physician,
    Nurse,
    Pharmacist,
    Technician,
    Administrator,
    Researcher,
    PrivacyOfficer,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PurposeArg {
    Treat,
    Payment,
    Operations,
    Research,
    PatientRequest,
    Emergency,
    PublicHealth,
}

impl From<ClassArg> for DataClass {
    fn from(class: ClassArg) -> Self {
        match class {
            ClassArg::Vitals => Self::Vitals,
            ClassArg::Waveform => Self::Waveform,
            ClassArg::Glucose => Self::Glucose,
            ClassArg::MentalHealth => Self::MentalHealth,
            ClassArg::SubstanceUse => Self::SubstanceUse,
            ClassArg::ReproductiveHealth => Self::ReproductiveHealth,
        }
    }
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Physician => Self::Physician,
            RoleArg::Nurse => Self::Nurse,
            RoleArg::Pharmacist => Self::Pharmacist,
            RoleArg::Technician => Self::Technician,
            RoleArg::Administrator => Self::Administrator,
            RoleArg::Researcher => Self::Researcher,
            RoleArg::PrivacyOfficer => Self::PrivacyOfficer,
        }
    }
}

impl From<PurposeArg> for Purpose {
    fn from(purpose: PurposeArg) -> Self {
        match purpose {
            PurposeArg::Treat => Self::Treatment,
            PurposeArg::Payment => Self::Payment,
            PurposeArg::Operations => Self::Operations,
            PurposeArg::Research => Self::Research,
            PurposeArg::PatientRequest => Self::PatientRequest,
            PurposeArg::Emergency => Self::Emergency,
            PurposeArg::PublicHealth => Self::PublicHealth,
        }
    }
}

/// What a grant says.
#[derive(Args)]
pub(crate) struct TermsArgs {
    /// The party id of the person or application that may read.
    #[arg(long, required_unless_present_any = ["to_role", "consent"], conflicts_with = "to_role")]
    pub(crate) to: Option<PartyId>,
    /// Instead: whoever a member has registered in a role, such as 0/nurse.
    #[arg(long, value_name = "MEMBER/ROLE")]
    pub(crate) to_role: Option<RoleAt>,
    /// What may be read. A sensitive class takes a grant of its own.
    #[arg(long = "class", value_enum, num_args = 1.., default_values = ["vitals", "waveform"])]
    pub(crate) classes: Vec<ClassArg>,
    /// Only these kinds of it, such as 8867-4 (LOINC) or mdc:131329 (ISO/IEEE 11073); at most 8.
    #[arg(long = "code", num_args = 1..)]
    pub(crate) codes: Vec<ObservationCode>,
    /// For what it may be read.
    #[arg(long = "purpose", value_enum, num_args = 1.., default_values = ["treat"])]
    pub(crate) purposes: Vec<PurposeArg>,
    /// Hours before now from which readings may be read.
    #[arg(long, default_value_t = 24)]
    pub(crate) back_hours: u64,
    /// Hours for which the grant holds.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    pub(crate) hours: u64,
    /// What may not be read after all: parts of `party=ID,purpose=NAME,class=NAME,code=CODE,hours=FROM..UNTIL`
    /// (hours before now), joined by commas; what is left out matches everything. A denial outranks
    /// every permission. At most 4.
    #[arg(long = "deny", value_name = "RULE")]
    pub(crate) denies: Vec<String>,
    /// Instead of all of the above: what a FHIR R4 Consent says, a JSON file of the profile of
    /// spec/consent.md. It is kept in the wallet.
    #[arg(long, conflicts_with_all = ["to", "to_role", "classes", "codes", "purposes", "back_hours", "hours", "denies"])]
    pub(crate) consent: Option<PathBuf>,
}

/// A role at a member.
#[derive(Clone, Copy)]
pub(crate) struct RoleAt {
    pub(crate) member: u16,
    pub(crate) role: Role,
}

impl std::str::FromStr for RoleAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        let wanted = || format!("not a member and a role, such as 0/nurse; roles are {}", names.join(", "));
        let (member, name) = text.split_once('/').ok_or_else(wanted)?;
        let role = Role::ALL.iter().copied().find(|role| role.name() == name).ok_or_else(wanted)?;
        Ok(Self { member: member.parse().map_err(|_| wanted())?, role })
    }
}
