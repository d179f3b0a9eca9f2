//! Genesis, and what is sealed into or committed to on the ledger.

use crate::sample::*;
use salus_wire::consent::{Intent, IntentTerms, Vouching};
use salus_wire::tx::{Assignment, Enrolment};
use salus_wire::{
    Classes, Codes, DataClass, Deny, DeviceId, Genesis, GenesisMember, Grant, Grantee, ObservationCode,
    Purpose, Purposes, Reason, Role, Scope,
};

/// The same intent, with a second factor.
fn in_an_emergency() -> Intent {
    let mut intent = intent();
    intent.terms.vouching = Vouching::BreakGlass(Reason::Danger);
    intent.second = Some(signature(7));
    intent
}

pub(crate) fn all() -> Vec<Golden> {
    let enrolment = Enrolment { salt: [1; 32], device: DeviceId::new([2; 16]), key: key(3) };
    let assignment = Assignment {
        salt: [1; 32],
        enrolment: digest(2),
        grants: chain_anchor(3),
        writer: party(4),
        validity: span(),
        sensitivity: Some(DataClass::SubstanceUse),
    };
    vec![
        golden("genesis", "Genesis", &genesis())
            .list(0, 64, "bytes of name")
            .list(4 + 5 + 8, 64, "members")
            .list(4 + 5 + 8 + 4, 64, "bytes of name"),
        golden("grant", "Grant", &grant())
            .wrong(48, 4, "an unknown grantee")
            .wrong(97, 0, "no class")
            .wrong(97, 9, "a sensitive class with another")
            .wrong(98, 1, "an unknown class")
            .wrong(99, 2, "neither all codes nor some")
            .list(100, 8, "codes")
            .wrong(104, 2, "a code of no system")
            .wrong(104, 1, "codes out of order")
            .wrong(122, 0, "an empty span")
            .wrong(130, 0, "no purpose")
            .wrong(131, 1, "an unknown purpose")
            .wrong(140, 0, "an empty validity")
            .list(148, 4, "denials")
            .wrong(152, 2, "neither somebody nor everybody"),
        golden("grant-to-role", "Grant", &to_role()).wrong(51, 7, "an unknown role"),
        golden("grant-of-a-successor", "Grant", &of_a_successor()),
        golden("intent", "Intent", &intent()).wrong(48, 2, "an unknown voucher").wrong(
            100,
            7,
            "an unknown purpose",
        ),
        golden("intent-emergency", "Intent", &in_an_emergency()).wrong(49, 3, "an unknown reason"),
        golden("enrolment", "Enrolment", &enrolment),
        golden("assignment", "Assignment", &assignment),
    ]
}

fn genesis() -> Genesis {
    let member = |n| GenesisMember {
        name: blob(4, n),
        consensus: key(n),
        registrar: key(n + 1),
        service: key(n + 2),
        custodian: kem_key(n + 3),
        authority: digest(n + 4),
    };
    Genesis { name: blob(5, 0x61), time: time(1), members: list(vec![member(0x10), member(0x20)]) }
}

pub(crate) fn grant() -> Grant {
    Grant {
        salt: [1; 32],
        writer: party(2),
        grantee: Grantee::Person { party: party(3), key: key(4) },
        scope: Scope {
            classes: Classes::of(&[DataClass::Vitals, DataClass::Waveform]).expect("not empty"),
            codes: Codes::only(&[ObservationCode::Loinc(8_867), ObservationCode::Loinc(59_408)])
                .expect("two"),
            span: span(),
        },
        purposes: Purposes::of(&[Purpose::Treatment, Purpose::PatientRequest]).expect("not empty"),
        validity: span(),
        denies: list(vec![
            Deny {
                party: Some(party(8)),
                purposes: Purposes::of(&[Purpose::Research]),
                classes: Classes::of(&[DataClass::Waveform]),
                codes: Codes::only(&[ObservationCode::Mdc(131_329)]).expect("one"),
                span: Some(span()),
            },
            Deny { party: None, purposes: None, classes: None, codes: Codes::All, span: None },
        ]),
        lane: chain_anchor(6),
        one_time: key(7),
        data: None,
    }
}

/// Of a wallet that came in the place of a lost one.
fn of_a_successor() -> Grant {
    Grant { data: Some(chain_anchor(9)), ..to_role() }
}

fn to_role() -> Grant {
    Grant {
        grantee: Grantee::Role { member: salus_wire::MemberIndex::new(0x0102), role: Role::Nurse },
        scope: Scope {
            classes: Classes::of(&[DataClass::SubstanceUse]).expect("not empty"),
            codes: Codes::All,
            span: span(),
        },
        denies: list(Vec::new()),
        ..grant()
    }
}

fn intent() -> Intent {
    let terms = IntentTerms {
        salt: [1; 32],
        requester: party(2),
        vouching: Vouching::Requester,
        grant: grant_tag(3),
        scope: Scope {
            classes: Classes::of(&[DataClass::Waveform]).expect("not empty"),
            codes: Codes::All,
            span: span(),
        },
        purpose: Purpose::Research,
        valid_ms: 60_000,
        reader: digest(4),
        one_time: key(5),
    };
    Intent { terms, signature: signature(6), second: None }
}
