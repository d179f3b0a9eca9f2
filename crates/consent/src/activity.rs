//! The review of who looks at what: a privacy officer asks, a custodian tells what it released to the people of
//! the officer's member, and of nobody else. ADR 17.

use crate::denied::Denied;
use crate::desk::Desk;
use crate::glass::{is_officer, registered};
use crate::judge::{Named, ensure};
use crate::view::FinalView;
use salus_crypto::sign::PublicKey;
use salus_wire::activity::{ActivityRequest, ActivityTerms, NamedAs, activity_message};
use salus_wire::{MemberIndex, PartyId, StateKey, TimeMs, namespaces};

/// A privacy officer's question, signed by the key it names and asked just now.
#[must_use = "an admitted question is not decided yet"]
pub struct AdmittedActivity {
    officer: PartyId,
    key: PublicKey,
    day: u32,
    skip: u32,
}

/// Evidence that an officer may know what one member's people looked at, and the page they ask for.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "nothing is told yet"]
pub struct ActivityPermit {
    /// Whose people.
    pub member: MemberIndex,
    /// Days of UTC since 1970-01-01.
    pub day: u32,
    /// Rows of an earlier page.
    pub skip: u32,
}

impl Desk {
    /// Admits a question: signature, addressee, age and replay, before any other work.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn admit_activity(
        &mut self,
        request: &ActivityRequest,
        now: TimeMs,
    ) -> Result<AdmittedActivity, Denied> {
        let ActivityRequest { terms, signature } = request;
        let message = activity_message(self.chain(), terms);
        terms.key.verify(namespaces::ACTIVITY, &message, signature).map_err(|_| Denied::RequestSignature)?;
        let ActivityTerms { custodian, nonce, sent, officer, key, day, skip } = *terms;
        self.just_now(custodian, key, nonce, sent, now)?;
        Ok(AdmittedActivity { officer, key, day, skip })
    }
}

impl AdmittedActivity {
    /// The state entries that the decision needs.
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        vec![StateKey::Identity(self.officer)]
    }

    /// Decides by who asks: a registered privacy officer.
    ///
    /// # Errors
    /// The first clause that does not hold.
    pub fn decide(self, view: &FinalView, now: TimeMs) -> Result<ActivityPermit, Denied> {
        view.fresh(now)?;
        let identity = registered(view, self.officer, &self.key)?;
        ensure(is_officer(identity), Denied::NotAnOfficer)?;
        Ok(ActivityPermit { member: identity.member, day: self.day, skip: self.skip })
    }
}

impl From<Named> for NamedAs {
    fn from(named: Named) -> Self {
        match named {
            Named::Person => Self::Person,
            Named::Role(_) => Self::Role,
            Named::Application => Self::Application,
            Named::Emergency(_) => Self::Emergency,
        }
    }
}
