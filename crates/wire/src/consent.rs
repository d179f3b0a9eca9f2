//! What a grant and an access say once opened. On the ledger both are sealed and padded.

use crate::bounded::List;
use crate::ids::{GrantTag, MemberIndex, PartyId, TimeSpan};
use crate::scope::{Classes, Codes, DataClass, ObservationCode, Purpose, Purposes, Role, Scope};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::{PublicKey, Signature};

/// Rules of denial in one grant.
pub const DENIES_MAX: usize = 4;

/// Who may read under a grant.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Grantee {
    /// One person.
    Person {
        /// Who.
        party: PartyId,
        /// The key with which they sign intents under this grant.
        key: PublicKey,
    } = 0,
    /// Every person whom a member has registered in a role.
    Role {
        /// The member.
        member: MemberIndex,
        /// The role.
        role: Role,
    } = 1,
    /// One application.
    Application {
        /// Which.
        party: PartyId,
        /// The key with which it signs intents under this grant.
        key: PublicKey,
    } = 2,
    /// In an emergency, every physician and nurse of any member who has a second factor and says why
    /// ([`Vouching::BreakGlass`]), for emergency treatment and nothing else.
    Emergency {
        /// The patient's card, by name ([`crate::emergency::card_name`]).
        card: Digest,
    } = 3,
}

/// Why somebody reads in an emergency without the patient's word. It is weighed by a person, in the review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Reason {
    /// The patient cannot consent: unconscious, or without the capacity to decide.
    Incapable = 0,
    /// Life or limb is in danger, and there is no time to ask.
    Danger = 1,
    /// The patient is treated and their wallet cannot be reached.
    Unreachable = 2,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Incapable, Self::Danger, Self::Unreachable];

    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incapable => "incapable",
            Self::Danger => "danger",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What a grant does not permit, though the rest of it would: a denial outranks every permission. A
/// part that is absent matches everything.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Deny {
    /// Only when this party asks.
    pub party: Option<PartyId>,
    /// Only for these purposes.
    pub purposes: Option<Purposes>,
    /// Only data of these classes.
    pub classes: Option<Classes>,
    /// Only data of these kinds.
    pub codes: Codes,
    /// Only data measured then. An epoch of keys that lies partly within is denied as a whole.
    pub span: Option<TimeSpan>,
}

/// A patient's permission, as it stands sealed on the ledger. Padded to
/// [`crate::limits::GRANT_PLAIN_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// 32 random bytes, so that the commitment to this body cannot be guessed.
    pub salt: [u8; 32],
    /// The gateway whose data this opens.
    pub writer: PartyId,
    /// Who may read.
    pub grantee: Grantee,
    /// What may be read.
    pub scope: Scope,
    /// For which purposes.
    pub purposes: Purposes,
    /// Block time during which this grant opens anything.
    pub validity: TimeSpan,
    /// What it does not open after all.
    pub denies: List<Deny, DENIES_MAX>,
    /// The anchor of the one lane on which every access under this grant stands.
    pub lane: ChainAnchor,
    /// The key that commits and may revoke this grant, used for nothing else.
    pub one_time: PublicKey,
    /// The chain under which the data lies that this opens, when it is not the grant's own: that of a wallet that
    /// was lost, in whose place this one has come (ADR 16).
    pub data: Option<ChainAnchor>,
}

/// Which key vouches for the person who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Vouching {
    /// The requester's own registered key.
    Requester = 0,
    /// The requester's own registered key and their second factor, in an emergency (break-glass; 45 CFR
    /// 164.312(a)(2)(ii)).
    BreakGlass(Reason) = 1,
}

/// What a reader is about to do, as it stands sealed on the ledger before it is done. Padded to
/// [`crate::limits::INTENT_PLAIN_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Intent {
    /// What is intended.
    pub terms: IntentTerms,
    /// By the requester's registered key, over the terms.
    pub signature: Signature,
    /// By the requester's registered second factor, over the terms; only with [`Vouching::BreakGlass`].
    pub second: Option<Signature>,
}

/// The signed part of an [`Intent`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IntentTerms {
    /// 32 random bytes, so that the commitment to this body cannot be guessed.
    pub salt: [u8; 32],
    /// Who asks.
    pub requester: PartyId,
    /// Which key vouches for them.
    pub vouching: Vouching,
    /// The grant under which they ask.
    pub grant: GrantTag,
    /// What they ask for.
    pub scope: Scope,
    /// For what purpose.
    pub purpose: Purpose,
    /// Milliseconds of block time for which this may be used; more than
    /// [`crate::limits::ACCESS_VALID_MS_MAX`] counts as that.
    pub valid_ms: u32,
    /// The digest of the ephemeral public key to which custodians re-seal.
    pub reader: Digest,
    /// The key that signs the access record and every request under it.
    pub one_time: PublicKey,
}

impl Deny {
    /// Whether it says anything to this party and purpose.
    #[must_use]
    pub fn concerns(&self, party: PartyId, purpose: Purpose) -> bool {
        self.party.is_none_or(|denied| denied == party)
            && self.purposes.is_none_or(|denied| denied.contains(purpose))
    }

    /// Whether it matches something of this class, this kind and a time within `span`.
    #[must_use]
    pub fn meets(&self, class: DataClass, code: ObservationCode, span: &TimeSpan) -> bool {
        self.classes.is_none_or(|denied| denied.contains(class))
            && self.codes.contains(code)
            && self.span.is_none_or(|denied| denied.overlaps(span))
    }

    /// Whether it matches all of `scope`.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.classes.is_none_or(|denied| denied.covers(scope.classes))
            && self.codes.covers(&scope.codes)
            && self.span.is_none_or(|denied| denied.covers(&scope.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;
    use crate::ids::TimeMs;
    use crate::limits::{GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES};
    use crate::scope::CODES_MAX;
    use salus_crypto::chain::ChainSeed;
    use salus_crypto::secret::Secret;
    use salus_crypto::sign::SigningKey;

    fn span() -> TimeSpan {
        TimeSpan::new(TimeMs::new(1), TimeMs::new(2)).unwrap()
    }

    fn codes() -> Codes {
        let codes: Vec<ObservationCode> = (1..).take(CODES_MAX).map(ObservationCode::Mdc).collect();
        Codes::only(&codes).unwrap()
    }

    fn key() -> PublicKey {
        SigningKey::from_seed(Secret::from_bytes([1; 32])).public_key()
    }

    #[test]
    fn the_longest_bodies_fit() {
        let party = PartyId::new([1; 16]);
        let scope = Scope { classes: Classes::ORDINARY, codes: codes(), span: span() };
        let deny = Deny {
            party: Some(party),
            purposes: Purposes::of(&[Purpose::Research]),
            classes: Some(Classes::ORDINARY),
            codes: codes(),
            span: Some(span()),
        };
        let grant = Grant {
            salt: [0; 32],
            writer: party,
            grantee: Grantee::Person { party, key: key() },
            scope: scope.clone(),
            purposes: Purposes::of(Purpose::ALL).unwrap(),
            validity: span(),
            denies: List::new(vec![deny; DENIES_MAX]).unwrap(),
            lane: ChainSeed::new(Secret::from_bytes([1; 32])).anchor(),
            one_time: key(),
            data: Some(ChainSeed::new(Secret::from_bytes([2; 32])).anchor()),
        };
        assert!(encode(&grant).len() <= GRANT_PLAIN_BYTES);
        let terms = IntentTerms {
            salt: [0; 32],
            requester: party,
            vouching: Vouching::BreakGlass(Reason::Danger),
            grant: GrantTag(ChainSeed::new(Secret::from_bytes([1; 32])).link(1).tag()),
            scope,
            purpose: Purpose::Treatment,
            valid_ms: 1,
            reader: Digest::ZERO,
            one_time: key(),
        };
        let signature = Signature::from_bytes([0; 64]);
        let intent = Intent { terms, signature, second: Some(signature) };
        assert!(encode(&intent).len() <= INTENT_PLAIN_BYTES);
    }

    #[test]
    fn a_part_that_a_denial_leaves_out_matches_everything() {
        let party = PartyId::new([1; 16]);
        let heart = ObservationCode::Loinc(8_867);
        let scope = Scope { classes: Classes::ORDINARY, codes: Codes::All, span: span() };
        let all = Deny { party: None, purposes: None, classes: None, codes: Codes::All, span: None };
        assert!(all.concerns(party, Purpose::Research) && all.covers(&scope));
        assert!(all.meets(DataClass::Vitals, heart, &span()));
        let one = Deny { party: Some(PartyId::new([2; 16])), ..all.clone() };
        assert!(!one.concerns(party, Purpose::Research));
        let research = Deny { purposes: Purposes::of(&[Purpose::Research]), ..all.clone() };
        assert!(research.concerns(party, Purpose::Research) && !research.concerns(party, Purpose::Treatment));
        let waves = Deny { classes: Classes::of(&[DataClass::Waveform]), ..all.clone() };
        assert!(!waves.meets(DataClass::Vitals, heart, &span()) && !waves.covers(&scope));
        let code = Deny { codes: Codes::only(&[heart]).unwrap(), ..all.clone() };
        assert!(code.meets(DataClass::Vitals, heart, &span()) && !code.covers(&scope));
        let later = Deny { span: TimeSpan::new(TimeMs::new(2), TimeMs::new(3)), ..all };
        assert!(!later.meets(DataClass::Vitals, heart, &span()) && !later.covers(&scope));
    }
}
