//! Tests of policies: what is refused before anybody asks, what the rest allows, and that it is decided on
//! any stack.

mod allowed;
mod model;
mod refused;

use super::{Clause, Policy, PolicyDenied};
use crate::judge::{Ask, Named};
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_wire::state::{IdentityRecord, Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{
    Classes, Codes, DataClass, Height, MemberIndex, ObservationCode, PartyId, Purpose, Role, Roles, Scope,
    TimeMs, TimeSpan,
};

/// The policy that the documents start from.
const HOSPITAL: &str = include_str!("../../../../docs/examples/hospital.cedar");

fn parse(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap()
}

fn clause(name: &str) -> Clause {
    Clause::new(name).unwrap()
}

fn identity(kind: PartyKind, roles: &[Role]) -> IdentityRecord {
    IdentityRecord {
        kind,
        member: MemberIndex::new(1),
        key: SigningKey::from_seed(Secret::from_bytes([1; 32])).public_key(),
        validity: TimeSpan::new(TimeMs::new(0), TimeMs::new(u64::MAX)).unwrap(),
        roles: Roles::of(roles),
        second: None,
        since: Tip { height: Height::new(1), time: TimeMs::new(1) },
        standing: Standing::Active,
    }
}

/// What is asked, in the product's terms.
struct Question {
    identity: IdentityRecord,
    scope: Scope,
    purpose: Purpose,
    hour: u64,
    named: Named,
}

impl Question {
    fn of(kind: PartyKind, roles: &[Role]) -> Self {
        let span = TimeSpan::new(TimeMs::new(0), TimeMs::new(1)).unwrap();
        Self {
            identity: identity(kind, roles),
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span },
            purpose: Purpose::Treatment,
            hour: 12,
            named: if kind == PartyKind::Person { Named::Person } else { Named::Application },
        }
    }

    fn about(mut self, classes: &[DataClass], codes: &[ObservationCode]) -> Self {
        self.scope.classes = Classes::of(classes).unwrap();
        self.scope.codes = Codes::only(codes).unwrap_or(Codes::All);
        self
    }

    fn ask(&self, policy: &Policy) -> Result<Vec<Clause>, PolicyDenied> {
        let ask = Ask {
            party: PartyId::new([3; 16]),
            identity: &self.identity,
            scope: &self.scope,
            purpose: self.purpose,
            // Some day, and some minutes past the hour.
            at: TimeMs::new((5 * 24 + self.hour) * 3_600_000 + 1_234_567),
        };
        policy.allows(&ask, self.named)
    }
}
