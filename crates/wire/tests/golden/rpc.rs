//! Remote calls, a request and a response of every kind.

use crate::activity;
use crate::data::{manifest, place};
use crate::emergency;
use crate::ledger::{block, certified, state_proof, tx};
use crate::sample::*;
use salus_wire::rpc::{
    Committed, Fetch, FetchTerms, Fetched, FinalBlock, Put, PutSegment, Refusal, Request, Response, Status,
    Values,
};
use salus_wire::tx::Held;
use salus_wire::{
    BatchNumber, ChainId, Code, FragmentIndex, Height, Locator, MemberIndex, Outcome, StateKey, StateValue,
    TxBody,
};

pub(crate) fn all() -> Vec<Golden> {
    requests().into_iter().chain(responses()).collect()
}

fn requests() -> Vec<Golden> {
    let keys = || list(vec![StateKey::Tip, StateKey::Grant(grant_tag(1))]);
    let revoke = tx(TxBody::RevokeGrant { tag: grant_tag(1) });
    let terms = FetchTerms {
        store: MemberIndex::new(0x0102),
        access: access_tag(1),
        locator: Locator::new([2; 32]),
        sent: time(1),
    };
    let [tags, looks] = emergency::glass_requests();
    let fetch = Request::Fetch(Fetch { terms, signature: signature(3) });
    vec![
        golden("request-status", "Request", &Request::Status).wrong(0, 17, "no request"),
        golden("request-submit", "Request", &Request::Submit(Box::new(revoke))),
        golden("request-read", "Request", &Request::Read(keys())).list(1, 4_096, "keys"),
        golden("request-prove", "Request", &Request::Prove(keys())).list(1, 4_096, "keys"),
        golden("request-follow", "Request", &Request::Follow(Height::new(0x0102))),
        golden("request-certified", "Request", &Request::Certified(Height::new(0x0102))),
        golden("request-put", "Request", &Request::Put(Box::new(put()))).list(27, 256, "segments").list(
            1 + put_fragment(),
            4_259_840,
            "bytes of fragment",
        ),
        golden("request-fetch", "Request", &fetch),
        golden("request-deposit", "Request", &Request::Deposit(Box::new(crate::keys::deposit()))).list(
            19,
            256,
            "envelopes",
        ),
        golden("request-release", "Request", &Request::Release(crate::keys::release_request())),
        golden("request-prepare", "Request", &Request::Prepare(Box::new(emergency::deposit()))),
        golden("request-find-looks", "Request", &Request::BreakGlass(tags)).wrong(
            1 + 2 + 16 + 8 + 16 + 32,
            3,
            "an unknown reason",
        ),
        golden("request-break-glass", "Request", &Request::BreakGlass(looks)).list(1_325, 8, "looks").list(
            1_325 + 4 + 32,
            32,
            "tags before",
        ),
        golden("request-reviews", "Request", &Request::Reviews(emergency::reviews_request())),
        golden("request-activity", "Request", &Request::Activity(activity::request())),
    ]
}

fn responses() -> Vec<Golden> {
    let committed = |outcome| Response::Committed(Committed { at: tip(1), outcome });
    let values = list(vec![Some(StateValue::Tip(tip(1))), None]);
    let values = Response::Values(Values { at: tip(2), values });
    let final_block = FinalBlock { block: block(), outcomes: list(vec![Outcome::Refused(Code::Revoked)]) };
    let held = Held { store: MemberIndex::new(0x0102), signature: signature(1) };
    let refusal = Refusal { code: Code::CustodianBusy, detail: blob(5, 0x61), retry_after_ms: 0x0102_0304 };
    vec![
        golden("response-status", "Response", &Response::Status(status())).wrong(0, 18, "no response"),
        golden("response-committed", "Response", &committed(Outcome::Applied)),
        golden("response-values", "Response", &values).list(17, 4_096, "values").wrong(
            21,
            2,
            "neither a value nor none",
        ),
        golden("response-proof", "Response", &Response::Proof(Box::new(state_proof()))),
        golden("response-blocks", "Response", &Response::Blocks(list(vec![final_block])))
            .list(1, 64, "blocks")
            .list(5 + 194 + 4 + 129, 4_096, "outcomes"),
        golden("response-certified", "Response", &Response::Certified(Box::new(certified()))),
        golden("response-held", "Response", &Response::Held(held)),
        golden("response-fragment", "Response", &Response::Fragment(Box::new(fetched()))).list(
            1 + 625 + 2,
            4_259_840,
            "bytes of fragment",
        ),
        golden("response-deposited", "Response", &Response::Deposited),
        golden("response-released", "Response", &Response::Released(Box::new(crate::keys::released()))),
        golden("response-prepared", "Response", &Response::Prepared),
        golden("response-glass", "Response", &Response::Glass(Box::new(emergency::glass()))),
        golden("response-reviews", "Response", &Response::Reviews(list(vec![emergency::emergency_use()])))
            .list(1, 1_024, "uses"),
        golden("response-activity", "Response", &Response::Activity(activity::page()))
            .list(1, 4_096, "rows")
            .wrong(1 + 4 + activity::ROW - 1, 4, "an unknown way to be named"),
        golden("response-refused", "Response", &Response::Refused(refusal))
            .list(3, 256, "bytes of detail")
            .wrong(1, 0, "no code"),
    ]
}

fn put() -> Put {
    Put {
        gateway: party(1),
        batch: BatchNumber::new(2),
        store: MemberIndex::new(3),
        segments: list(vec![PutSegment { manifest: manifest(), fragment: blob(6, 4) }]),
        signature: signature(5),
    }
}

/// Where the first fragment's length stands: gateway, batch, store, count of segments, manifest.
fn put_fragment() -> usize {
    16 + 8 + 2 + 4 + salus_wire::encode(&manifest()).len()
}

fn fetched() -> Fetched {
    Fetched { manifest: manifest(), index: FragmentIndex::new(0x0102), fragment: blob(6, 4), place: place() }
}

fn status() -> Status {
    Status {
        member: MemberIndex::new(1),
        chain: ChainId(digest(2)),
        head: tip(3),
        state: digest(4),
        now: time(5),
        peers: 6,
        waiting: 7,
        fragments: 8,
        epochs: 9,
    }
}
