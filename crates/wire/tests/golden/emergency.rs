//! What is prepared for an emergency, asked for in one, and said in its review.

use crate::keys::secret;
use crate::sample::*;
use salus_wire::MemberIndex;
use salus_wire::consent::Reason;
use salus_wire::emergency::{
    EmergencyDeposit, EmergencyUse, Given, Glass, GlassAsk, GlassRequest, GlassTerms, LookAsk, LookHeader,
    LookShare, LookShares, Review, ReviewsRequest, ShownTag, Verdict,
};
use salus_wire::encode;
use salus_wire::limits::{EMERGENCY_KIT_BYTES, EMERGENCY_TAG_BYTES};

pub(crate) fn all() -> Vec<Golden> {
    let review = Review { look: digest(1), requester: party(2), verdict: Verdict::Unjustified };
    // The grant stands in full, between its tag and the rest.
    let terms = encode(&header().terms).len();
    let tag = 32 + terms + 2 + 32;
    let hashes = tag + 4 + EMERGENCY_TAG_BYTES + 2;
    let shown = ShownTag { grant: grant_tag(1), place: 0x0203, tag: blob(EMERGENCY_TAG_BYTES, 4) };
    vec![
        golden("look-header", "LookHeader", &header())
            .list(tag, 82, "bytes of sealed tag")
            .list(hashes, 64, "hashes of shares")
            .list(hashes + 4 + 64 + 32, 148, "bytes of kit"),
        golden("look-shares", "LookShares", &LookShares(list(vec![look()]))).list(0, 32, "looks"),
        golden("given-tags", "Given", &Given::Tags(list(vec![shown])))
            .list(1, 256, "tags")
            .wrong(0, 2, "a third"),
        golden("given-looks", "Given", &Given::Looks(list(vec![look()]))).list(1, 8, "looks"),
        golden("review", "Review", &review).wrong(48, 2, "an unknown verdict"),
    ]
}

fn header() -> LookHeader {
    LookHeader {
        grant: grant_tag(2),
        terms: crate::consent::grant(),
        place: 0x0304,
        look: digest(3),
        tag: blob(EMERGENCY_TAG_BYTES, 4),
        threshold: 0x0506,
        share_hashes: list(vec![digest(4), digest(5)]),
        key_commitment: digest(6),
        kit: blob(EMERGENCY_KIT_BYTES, 7),
        mark: digest(9),
    }
}

fn look() -> LookShare {
    LookShare { header: header(), signature: signature(8), share: secret(9) }
}

pub(crate) fn deposit() -> EmergencyDeposit {
    EmergencyDeposit {
        grant: grant_tag(1),
        custodian: MemberIndex::new(0x0102),
        card: key(4),
        sealed: sealed(2),
        signature: signature(3),
        card_signature: signature(5),
    }
}

/// Asks for the tags, and for looks.
pub(crate) fn glass_requests() -> [GlassRequest; 2] {
    let before = list(vec![access_tag(1), access_tag(2)]);
    let looks = list(vec![LookAsk { grant: grant_tag(1), before }]);
    [GlassAsk::Tags, GlassAsk::Looks(looks)].map(|ask| {
        let terms = GlassTerms {
            custodian: MemberIndex::new(0x0102),
            nonce: [1; 16],
            sent: time(1),
            requester: party(2),
            key: key(3),
            reason: Reason::Unreachable,
            card: key(4),
            reader: kem_key(5),
            ask,
        };
        GlassRequest { terms, signature: signature(6), second: signature(7), card: signature(8) }
    })
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
        look: digest(4),
        access: Some(access_tag(4)),
        reason: Reason::Danger,
    }
}
