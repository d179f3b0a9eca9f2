//! What custodians remember of releases, asked for by a privacy officer.

use crate::sample::*;
use salus_wire::activity::{
    Activity, ActivityPage, ActivityRequest, ActivityTerms, NamedAs, SignOff, SignOffTerms, Verdict,
};
use salus_wire::{Classes, MemberIndex, Purpose};

pub(crate) fn all() -> Vec<Golden> {
    vec![golden("sign-off", "SignOff", &sign_off()).wrong(16 + 33 + 4 + 32 + 16 + 8, 2, "an unknown verdict")]
}

/// Bytes of a row.
pub(crate) const ROW: usize = 8 + 16 + 2 + 32 + 32 + 1 + 2 + 1;

pub(crate) fn request() -> ActivityRequest {
    let terms = ActivityTerms {
        custodian: MemberIndex::new(0x0102),
        nonce: [1; 16],
        sent: time(1),
        officer: party(2),
        key: key(3),
        day: 0x0102_0304,
        skip: 0x0506_0708,
    };
    ActivityRequest { terms, signature: signature(4) }
}

pub(crate) fn sign_off() -> SignOff {
    let terms = SignOffTerms {
        requester: party(1),
        patient: Some(digest(2)),
        day: 0x0102_0304,
        about: digest(6),
        officer: party(3),
        at: time(4),
        verdict: Verdict::Unexplained,
    };
    SignOff { terms, signature: signature(5) }
}

pub(crate) fn page() -> ActivityPage {
    let row = Activity {
        at: time(1),
        requester: party(2),
        member: MemberIndex::new(0x0102),
        patient: digest(3),
        access: access_tag(4),
        purpose: Purpose::Emergency,
        classes: Classes::ORDINARY,
        named: NamedAs::Emergency,
    };
    ActivityPage { rows: list(vec![row]), remaining: 0x0102_0304 }
}
