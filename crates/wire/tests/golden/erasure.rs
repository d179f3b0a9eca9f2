//! Orders of erasure, the requests under them, and what stands on the ledger of who has obeyed.

use crate::ledger::tx;
use crate::sample::*;
use salus_wire::erasure::{
    EraseAnswer, EraseRequest, EraseStep, EraseTerms, ErasedEpoch, ErasedShares, Erasure, Holder,
};
use salus_wire::release::ShareBytes;
use salus_wire::rpc::{Request, Response};
use salus_wire::state::DestructionRecord;
use salus_wire::{MemberIndex, StateKey, StateValue, TxBody};

/// Where the step of a request stands: custodian, nonce, sent, key, index, link, body key, reader.
const STEP: usize = 2 + 16 + 8 + 32 + 2 + 32 + 32 + 1_216;

pub(crate) fn all() -> Vec<Golden> {
    let erasure = Erasure { salt: [1; 32], writer: party(2), reader: digest(3), one_time: key(4) };
    let member = Holder::Member(MemberIndex::new(0x0102));
    let done = |holder| tx(TxBody::RecordDestruction { order: grant_tag(1), holder, label: digest(2) });
    let key = StateKey::Destruction(grant_tag(1), member);
    let value = StateValue::Destruction(DestructionRecord { label: digest(1), since: tip(2) });
    let mut all = vec![
        golden("erasure", "Erasure", &erasure),
        golden("tx-record-destruction", "Tx", &done(member)).wrong(33, 2, "a holder of no kind"),
        golden("tx-record-destruction-writer", "Tx", &done(Holder::Writer(party(3)))),
        golden("key-destruction", "StateKey", &key).wrong(33, 2, "a holder of no kind"),
        golden("value-destruction", "StateValue", &value),
    ];
    all.extend(requests());
    all.extend(answers());
    all
}

fn secret(n: u8) -> ShareBytes {
    salus_wire::decode(&[n; 32], 32).expect("any 32 bytes are a secret")
}

fn request(step: EraseStep) -> Request {
    let terms = EraseTerms {
        custodian: MemberIndex::new(0x0102),
        nonce: [1; 16],
        sent: time(1),
        one_time: key(2),
        index: 0x0304,
        link: secret(3),
        body_key: secret(4),
        reader: kem_key(5),
        step,
    };
    Request::Erase(EraseRequest { terms, signature: signature(6) })
}

fn requests() -> Vec<Golden> {
    let epoch = ErasedEpoch { locators: secret(7), segments: 0x0102_0304 };
    let fragments = EraseStep::Fragments(list(vec![epoch]));
    vec![
        golden("request-erase-shares", "Request", &request(EraseStep::Shares { skip: 0x0102_0304 })).wrong(
            1 + STEP,
            3,
            "no step",
        ),
        golden("request-erase-fragments", "Request", &request(fragments)).list(2 + STEP, 64, "epochs"),
        golden("request-erase-finish", "Request", &request(EraseStep::Finish)),
    ]
}

fn answers() -> Vec<Golden> {
    let shares = ErasedShares {
        custodian: MemberIndex::new(0x0102),
        order: grant_tag(1),
        sealed: sealed(2),
        remaining: 3,
        signature: signature(4),
    };
    let answer = |answer| Response::Erased(answer);
    vec![
        golden("response-erased-shares", "Response", &answer(EraseAnswer::Shares(Box::new(shares)))),
        golden("response-erased-fragments", "Response", &answer(EraseAnswer::Fragments(list(vec![1, 2]))))
            .list(2, 64, "counts"),
        golden("response-erased", "Response", &answer(EraseAnswer::Finished)).wrong(1, 3, "no answer"),
    ]
}
