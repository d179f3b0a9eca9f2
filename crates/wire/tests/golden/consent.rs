//! Genesis, and what is sealed into or committed to on the ledger.

use crate::sample::*;
use salus_wire::consent::{Intent, IntentTerms, Vouching};
use salus_wire::tx::{Assignment, Enrolment};
use salus_wire::{Classes, DataClass, DeviceId, Genesis, GenesisMember, Grant, Purpose, Purposes};

pub(crate) fn all() -> Vec<Golden> {
    let enrolment = Enrolment { salt: [1; 32], device: DeviceId::new([2; 16]), key: key(3) };
    let assignment = Assignment {
        salt: [1; 32],
        enrolment: digest(2),
        grants: chain_anchor(3),
        writer: party(4),
        validity: span(),
    };
    vec![
        golden("genesis", "Genesis", &genesis())
            .list(0, 64, "bytes of name")
            .list(4 + 5 + 8, 64, "members")
            .list(4 + 5 + 8 + 4, 64, "bytes of name"),
        golden("grant", "Grant", &grant())
            .wrong(96, 0, "no class")
            .wrong(96, 4, "an unknown class")
            .wrong(113, 0, "no purpose")
            .wrong(113, 0x20, "an unknown purpose")
            .wrong(105, 0, "an empty span"),
        golden("intent", "Intent", &intent()).wrong(48, 1, "an unknown voucher").wrong(
            98,
            5,
            "an unknown purpose",
        ),
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

fn grant() -> Grant {
    Grant {
        salt: [1; 32],
        writer: party(2),
        grantee: party(3),
        grantee_key: key(4),
        classes: Classes::of(&[DataClass::Vitals, DataClass::Waveform]).expect("not empty"),
        span: span(),
        purposes: Purposes::of(&[Purpose::Treatment, Purpose::PatientRequest]).expect("not empty"),
        expires: time(5),
        lane: chain_anchor(6),
        one_time: key(7),
    }
}

fn intent() -> Intent {
    let terms = IntentTerms {
        salt: [1; 32],
        requester: party(2),
        vouching: Vouching::Person,
        grant: grant_tag(3),
        classes: Classes::of(&[DataClass::Waveform]).expect("not empty"),
        span: span(),
        purpose: Purpose::Research,
        valid_ms: 60_000,
        reader: digest(4),
        one_time: key(5),
    };
    Intent { terms, signature: signature(6) }
}
