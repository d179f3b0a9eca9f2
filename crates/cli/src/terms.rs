//! What a patient says on the command line, as the terms of a grant.

use crate::args::{ClassArg, PurposeArg, RoleAt, TermsArgs};
use crate::files::read_at_most;
use crate::output::Failure;
use crate::session::Session;
use clap::ValueEnum;
use salus_client::grant::GrantTerms;
use salus_clinical::fhir::{Actor, ConsentTerms, consent};
use salus_crypto::digest::Digest;
use salus_wire::consent::{DENIES_MAX, Deny, Grantee};
use salus_wire::ids::{MemberIndex, PartyId, TimeMs, TimeSpan};
use salus_wire::scope::CODES_MAX;
use salus_wire::tx::PartyKind;
use salus_wire::{Classes, Code, Codes, DataClass, List, ObservationCode, Purpose, Purposes, Role, Scope};

const HOUR_MS: u64 = 3_600_000;

/// Whom a grant is for.
#[derive(Clone, Copy)]
enum To {
    /// Whatever the ledger says that it is.
    Party(PartyId),
    Person(PartyId),
    Application(PartyId),
    Role(MemberIndex, Role),
    /// In an emergency, whoever treats the patient who carries this card.
    Emergency(Digest),
}

/// What a grant is to say.
pub(crate) struct Wish {
    to: To,
    scope: Scope,
    purposes: Purposes,
    validity: TimeSpan,
    denies: List<Deny, DENIES_MAX>,
    /// The consent that says all this, as the patient keeps it.
    pub(crate) consent: Option<ConsentTerms>,
}

impl Wish {
    /// A day of the future and an hour of the past, for treatment, of ordinary classes.
    pub(crate) fn treatment(to: PartyId, classes: &[DataClass], now: TimeMs) -> Result<Self, Failure> {
        let classes = Classes::of(classes).ok_or_else(|| usage("no such classes can be granted together"))?;
        let (span, validity) = spans(now, 1, 24)?;
        Ok(Self {
            to: To::Party(to),
            scope: Scope { classes, codes: Codes::All, span },
            purposes: Purposes::only(Purpose::Treatment),
            validity,
            denies: List::empty(),
            consent: None,
        })
    }

    /// All that a ward measures from now on, for treatment, to a role of its member.
    pub(crate) fn ward(member: MemberIndex, role: Role, days: u64, now: TimeMs) -> Result<Self, Failure> {
        let (span, validity) = spans(now, 1, days.saturating_mul(24))?;
        Ok(Self {
            to: To::Role(member, role),
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span },
            purposes: Purposes::only(Purpose::Treatment),
            validity,
            denies: List::empty(),
            consent: None,
        })
    }

    /// All of some classes, to whoever treats the bearer of a card in an emergency.
    pub(crate) fn emergency(
        card: Digest,
        classes: Classes,
        (back_hours, hours): (u64, u64),
        now: TimeMs,
    ) -> Result<Self, Failure> {
        let (span, validity) = spans(now, back_hours, hours)?;
        Ok(Self {
            to: To::Emergency(card),
            scope: Scope { classes, codes: Codes::All, span },
            purposes: Purposes::only(Purpose::Emergency),
            validity,
            denies: List::empty(),
            consent: None,
        })
    }

    /// What the command line says, or the consent that it names. `writer` is the gateway of the wallet.
    pub(crate) fn of(args: &TermsArgs, writer: PartyId, now: TimeMs) -> Result<Self, Failure> {
        if let Some(path) = &args.consent {
            return Self::of_consent(&read_at_most(path, consent::BYTES_MAX)?, writer);
        }
        let to = match (args.to, args.to_role) {
            (Some(party), _) => To::Party(party),
            (None, Some(RoleAt { member, role })) => To::Role(MemberIndex::new(member), role),
            (None, None) => return Err(usage("the grant names nobody")),
        };
        let denies: Result<Vec<Deny>, Failure> = args.denies.iter().map(|rule| deny(rule, now)).collect();
        let many = |_| usage(format!("a grant takes at most {DENIES_MAX} rules of denial"));
        let (span, validity) = spans(now, args.back_hours, args.hours)?;
        Ok(Self {
            to,
            scope: Scope {
                classes: classes(&args.classes)?.ok_or_else(|| usage("the grant names no class"))?,
                codes: codes(&args.codes)?.unwrap_or(Codes::All),
                span,
            },
            purposes: purposes(&args.purposes).ok_or_else(|| usage("the grant names no purpose"))?,
            validity,
            denies: List::new(denies?).map_err(many)?,
            consent: None,
        })
    }

    fn of_consent(json: &[u8], writer: PartyId) -> Result<Self, Failure> {
        let terms =
            consent::read(json).map_err(|refused| Failure::new(Code::ConsentRefused, refused.to_string()))?;
        let parts = terms.parts();
        if parts.writer != writer {
            return Err(usage("the consent names another custodian than the gateway of this wallet"));
        }
        let to = match parts.actor {
            Actor::Person(party) => To::Person(party),
            Actor::Application(party) => To::Application(party),
            Actor::Role { member, role } => To::Role(member, role),
        };
        Ok(Self {
            to,
            scope: parts.scope.clone(),
            purposes: parts.purposes,
            validity: parts.validity,
            denies: parts.denies.clone(),
            consent: Some(terms),
        })
    }

    /// The terms, with the grantee as a proof shows them.
    pub(crate) async fn terms(&self, session: &Session) -> Result<GrantTerms, Failure> {
        Ok(GrantTerms {
            grantee: self.grantee(session).await?,
            scope: self.scope.clone(),
            purposes: self.purposes,
            validity: self.validity,
            denies: self.denies.clone(),
        })
    }

    async fn grantee(&self, session: &Session) -> Result<Grantee, Failure> {
        let (party, kind) = match self.to {
            To::Role(member, role) => {
                let known = member.get() < session.consortium.faults().members();
                return known
                    .then_some(Grantee::Role { member, role })
                    .ok_or_else(|| usage(format!("the consortium has no member {member}")));
            }
            To::Emergency(card) => return Ok(Grantee::Emergency { card }),
            To::Party(party) => (party, None),
            To::Person(party) => (party, Some(PartyKind::Person)),
            To::Application(party) => (party, Some(PartyKind::Application)),
        };
        let identity = session.identity(party).await?;
        if kind.is_some_and(|kind| kind != identity.kind) {
            return Err(usage("the ledger knows the grantee as something else than the consent says"));
        }
        match identity.kind {
            PartyKind::Person => Ok(Grantee::Person { party, key: identity.key }),
            PartyKind::Application => Ok(Grantee::Application { party, key: identity.key }),
            PartyKind::Gateway => Err(usage("gateways do not read")),
        }
    }
}

/// When it must have been measured, and when the grant holds.
fn spans(now: TimeMs, back_hours: u64, hours: u64) -> Result<(TimeSpan, TimeSpan), Failure> {
    let before = |hours: u64| TimeMs::new(now.get().saturating_sub(hours.saturating_mul(HOUR_MS)));
    let until = now.plus_ms(hours.saturating_mul(HOUR_MS));
    // Block time may lag behind this clock.
    let spans = TimeSpan::new(before(back_hours), until).zip(TimeSpan::new(before(1), until));
    spans.ok_or_else(|| usage("the grant would cover no time"))
}

/// The set of classes named on the command line; `None` when none is.
pub(crate) fn classes(args: &[ClassArg]) -> Result<Option<Classes>, Failure> {
    let classes: Vec<DataClass> = args.iter().map(|class| DataClass::from(*class)).collect();
    match Classes::of(&classes) {
        None if !classes.is_empty() => {
            Err(usage("a sensitive class takes a grant, and a read, of its own: name no other with it"))
        }
        classes => Ok(classes),
    }
}

/// The kinds named on the command line; `None` when none is.
pub(crate) fn codes(args: &[ObservationCode]) -> Result<Option<Codes>, Failure> {
    match Codes::only(args) {
        None if !args.is_empty() => Err(usage(format!("at most {CODES_MAX} kinds can be named"))),
        codes => Ok(codes),
    }
}

fn purposes(args: &[PurposeArg]) -> Option<Purposes> {
    let purposes: Vec<Purpose> = args.iter().map(|purpose| Purpose::from(*purpose)).collect();
    Purposes::of(&purposes)
}

/// One rule of denial: `party=ID,purpose=NAME,class=NAME,code=CODE,hours=FROM..UNTIL`, each part at
/// most once but for codes.
fn deny(rule: &str, now: TimeMs) -> Result<Deny, Failure> {
    let mut deny = Deny { party: None, purposes: None, classes: None, codes: Codes::All, span: None };
    let mut codes = Vec::new();
    for part in rule.split(',') {
        let wrong = || usage(format!("`{part}` is no part of a rule of denial; see --help"));
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let again = match name {
            "party" => deny.party.replace(value.parse().map_err(|_| wrong())?).is_some(),
            "purpose" => {
                let purpose = PurposeArg::from_str(value, false).map_err(|_| wrong())?;
                deny.purposes.replace(Purposes::only(purpose.into())).is_some()
            }
            "class" => {
                let class = ClassArg::from_str(value, false).map_err(|_| wrong())?;
                let class = Classes::of(&[class.into()]).ok_or_else(wrong)?;
                deny.classes.replace(class).is_some()
            }
            "code" => {
                codes.push(value.parse().map_err(|_| wrong())?);
                false
            }
            "hours" => deny.span.replace(hours(value, now).ok_or_else(wrong)?).is_some(),
            _ => return Err(wrong()),
        };
        if again {
            return Err(usage(format!("`{name}` stands twice in a rule of denial")));
        }
    }
    deny.codes = self::codes(&codes)?.unwrap_or(Codes::All);
    Ok(deny)
}

/// `FROM..UNTIL`, in hours before now.
fn hours(text: &str, now: TimeMs) -> Option<TimeSpan> {
    let (from, until) = text.split_once("..")?;
    let before = |hours: &str| {
        let hours: u64 = hours.parse().ok()?;
        Some(TimeMs::new(now.get().saturating_sub(hours.saturating_mul(HOUR_MS))))
    };
    TimeSpan::new(before(from)?, before(until)?)
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs::new(100 * HOUR_MS);

    #[test]
    fn a_rule_of_denial_says_what_its_parts_say() {
        let rule = "party=01010101010101010101010101010101,purpose=research,class=waveform,code=8867-4,\
                    code=mdc:131329,hours=10..2";
        let deny = deny(rule, NOW).ok().unwrap();
        assert_eq!(deny.party, Some(PartyId::new([1; 16])));
        assert_eq!(deny.purposes, Purposes::of(&[Purpose::Research]));
        assert_eq!(deny.classes, Classes::of(&[DataClass::Waveform]));
        assert_eq!(deny.codes.listed(), [ObservationCode::Loinc(8_867), ObservationCode::Mdc(131_329)]);
        let span = TimeSpan::new(TimeMs::new(90 * HOUR_MS), TimeMs::new(98 * HOUR_MS));
        assert_eq!(deny.span, span);
    }

    #[test]
    fn a_rule_of_denial_that_is_not_understood_is_refused() {
        for rule in [
            "",
            "party",
            "party=1",
            "purpose=profit",
            "class=everything",
            "code=8867-5",
            "hours=2..10",
            "hours=2",
            "colour=red",
            "class=vitals,class=vitals",
            "purpose=treat,",
        ] {
            let refused = deny(rule, NOW).err().map(|failure| failure.code);
            assert_eq!(refused, Some(Code::Usage), "{rule}");
        }
        let many: Vec<String> = (1..=9).map(|code| format!("code=mdc:{code}")).collect();
        assert!(deny(&many.join(","), NOW).is_err());
    }

    #[test]
    fn a_sensitive_class_stands_alone() {
        assert!(classes(&[ClassArg::Vitals, ClassArg::SubstanceUse]).is_err());
        assert!(classes(&[ClassArg::SubstanceUse]).is_ok_and(|classes| classes.is_some()));
        assert!(classes(&[]).is_ok_and(|classes| classes.is_none()));
    }
}
