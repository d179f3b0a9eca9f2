//! The words that a policy may compare, and with what.

use salus_wire::{DataClass, ObservationCode, Purpose, Role};
use std::str::FromStr;

/// How a grant names whoever it permits.
pub(super) const NAMINGS: &[&str] = &["person", "role", "application", "emergency"];

/// Words that can be compared with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vocabulary {
    /// `resource.class`.
    Class,
    /// `resource.kind`.
    Kind,
    /// `context.purpose`.
    Purpose,
    /// `context.named`.
    Naming,
    /// `principal.roles`.
    Role,
}

impl Vocabulary {
    /// Whether `word` is one of them.
    pub(super) fn knows(self, word: &str) -> bool {
        match self {
            Self::Class => DataClass::ALL.iter().any(|class| class.name() == word),
            Self::Kind => ObservationCode::from_str(word).is_ok(),
            Self::Purpose => Purpose::ALL.iter().any(|purpose| purpose.code() == word),
            Self::Naming => NAMINGS.contains(&word),
            Self::Role => Role::ALL.iter().any(|role| role.name() == word),
        }
    }

    /// What they are, for whoever wrote another.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Class => "the classes of data",
            Self::Kind => "the kinds of observation, such as `8867-4` or `mdc:131330`",
            Self::Purpose => "the purposes, such as `TREAT`",
            Self::Naming => "`person`, `role`, `application` and `emergency`",
            Self::Role => "the roles",
        }
    }
}
