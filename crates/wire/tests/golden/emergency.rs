//! What is prepared for an emergency, asked for in one, and said in its review.

use crate::keys::secret;
use crate::sample::*;
use salus_wire::MemberIndex;
use salus_wire::consent::Reason;
use salus_wire::emergency::{
    EmergencyDeposit, EmergencyUse, Glass, GlassRequest, GlassTerms, LookHeader, LookShare, LookShares,
    NextLooks, Review, ReviewsRequest, Verdict,
};
use salus_wire::limits::EMERGENCY_KIT_BYTES;

pub(crate) fn all() -> Vec<Golden> {
    let review = Review {
        access: access_tag(1),
        requester: party(2),
        officer: party(3),
        verdict: Verdict::Unjustified,
        signature: signature(4),
    };
    vec![
        golden("look-header", "LookHeader", &header()).list(100, 64, "hashes of shares").list(
            100 + 4 + 64 + 32,
            818,
            "bytes of kit",
        ),
        golden("look-shares", "LookShares", &LookShares(list(vec![look()]))).list(0, 32, "looks"),
        golden("next-looks", "NextLooks", &NextLooks(list(vec![look()]))).list(0, 8, "looks"),
        golden("review", "Review", &review).wrong(64, 2, "an unknown verdict"),
    ]
}

fn header() -> LookHeader {
    LookHeader {
        card: digest(1),
        grant: grant_tag(2),
        place: 0x0304,
        access: access_tag(3),
        threshold: 0x0506,
        share_hashes: list(vec![digest(4), digest(5)]),
        key_commitment: digest(6),
        kit: blob(EMERGENCY_KIT_BYTES, 7),
    }
}

fn look() -> LookShare {
    LookShare { header: header(), signature: signature(8), share: secret(9) }
}

pub(crate) fn deposit() -> EmergencyDeposit {
    EmergencyDeposit {
        grant: grant_tag(1),
        custodian: MemberIndex::new(0x0102),
        sealed: sealed(2),
        signature: signature(3),
    }
}

pub(crate) fn glass_request() -> GlassRequest {
    let terms = GlassTerms {
        custodian: MemberIndex::new(0x0102),
        nonce: [1; 16],
        sent: time(1),
        requester: party(2),
        key: key(3),
        reason: Reason::Unreachable,
        card: secret(4),
        reader: kem_key(5),
    };
    GlassRequest { terms, signature: signature(6), second: signature(7) }
}

pub(crate) fn glass() -> Glass {
    Glass {
        custodian: MemberIndex::new(0x0102),
        requester: party(1),
        sealed: sealed(2),
        signature: signature(3),
    }
}

pub(crate) fn reviews_request() -> ReviewsRequest {
    ReviewsRequest {
        custodian: MemberIndex::new(0x0102),
        nonce: [1; 16],
        sent: time(1),
        officer: party(2),
        key: key(3),
        signature: signature(4),
    }
}

pub(crate) fn emergency_use() -> EmergencyUse {
    EmergencyUse {
        at: time(1),
        requester: party(2),
        card: digest(3),
        access: access_tag(4),
        reason: Reason::Danger,
    }
}
