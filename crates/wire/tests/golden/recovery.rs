//! What is prepared for recovery, how a case stands on the ledger, and what a new wallet asks and is given.

use crate::keys::secret;
use crate::sample::*;
use salus_wire::limits::RECOVERY_PACKAGE_BYTES;
use salus_wire::recovery::{
    Approval, Case, CasePlace, RecoverRequest, RecoverTerms, Recovered, Recovery, RecoveryDeposit,
    RecoveryPackage, RecoveryPart, RecoveryTerms,
};
use salus_wire::rpc::{Request, Response};
use salus_wire::state::{CaseRecord, Standing};
use salus_wire::{MemberIndex, StateKey, StateValue, TxBody};

/// Where the guardians of terms stand: name, two chains, delay, how many are needed.
const GUARDIANS: usize = 32 + 64 + 8 + 2;

pub(crate) fn all() -> Vec<Golden> {
    let recovery = Recovery { salt: [1; 32], terms: digest(2), one_time: key(3) };
    let wallet = RecoveryPackage {
        writer: party(1),
        seed: secret(2),
        data: chain_anchor(3),
        before: list(vec![secret(4)]),
    };
    let part = RecoveryPart {
        index: 0x0102,
        link: secret(1),
        body_key: secret(2),
        terms: terms(),
        share: secret(3),
    };
    let record = CaseRecord {
        commitment: digest(1),
        veto: key(2),
        since: tip(1),
        standing: Standing::Revoked(tip(2)),
    };
    let open = TxBody::OpenCase { case: digest(1), veto: key(2), commitment: digest(3) };
    let deposit = RecoveryDeposit {
        entry: grant_tag(1),
        custodian: MemberIndex::new(0x0102),
        sealed: sealed(2),
        signature: signature(3),
    };
    let request = RecoverRequest { terms: recover_terms(), signature: signature(9) };
    let recovered =
        Recovered { custodian: MemberIndex::new(0x0102), sealed: sealed(1), signature: signature(2) };
    let places = GUARDIANS + 4 + 64;
    let package = places + 4 + 64 + 4 + 64 + 32;
    let custodians = package + 4 + RECOVERY_PACKAGE_BYTES + 2;
    vec![
        golden("recovery", "Recovery", &recovery),
        golden("recovery-terms", "RecoveryTerms", &terms())
            .list(GUARDIANS, 16, "guardians")
            .list(places, 8, "places")
            .list(places + 4 + 64, 16, "hashes of guardians' shares")
            .list(package, 434, "bytes of package")
            .list(custodians, 64, "hashes of custodians' shares"),
        golden("recovery-package", "RecoveryPackage", &wallet).list(80, 8, "seeds"),
        golden("recovery-part", "RecoveryPart", &part),
        golden("recovery-case", "Case", &case()),
        golden("tx-open-case", "Tx", &crate::ledger::tx(open)),
        golden("tx-veto-case", "Tx", &crate::ledger::tx(TxBody::VetoCase { case: digest(1) })),
        golden("key-case", "StateKey", &StateKey::Case(digest(1))),
        golden("value-case", "StateValue", &StateValue::Case(record)).wrong(81, 2, "a third standing"),
        golden("request-keep-recovery", "Request", &Request::KeepRecovery(Box::new(deposit))),
        golden("request-recover", "Request", &Request::Recover(request)).list(
            1 + 2 + 16 + 8 + 32 + 138,
            16,
            "approvals",
        ),
        golden("response-recovery-kept", "Response", &Response::RecoveryKept),
        golden("response-recovered", "Response", &Response::Recovered(Box::new(recovered))),
    ]
}

fn terms() -> RecoveryTerms {
    RecoveryTerms {
        name: digest(1),
        chain: chain_anchor(2),
        data: chain_anchor(3),
        delay_ms: 0x0102_0304,
        needed: 2,
        guardians: list(vec![key(4), key(5)]),
        places: list(vec![CasePlace {
            opener: key(9),
            veto: key(10),
            guardian_hashes: list(vec![digest(6), digest(7)]),
            guardian_key: digest(8),
            package: blob(RECOVERY_PACKAGE_BYTES, 14),
        }]),
        threshold: 3,
        share_hashes: list(vec![digest(11), digest(12)]),
        custodian_key: digest(13),
    }
}

fn case() -> Case {
    Case {
        salt: [1; 32],
        name: digest(2),
        place: 0x0102,
        successor: chain_anchor(3),
        reader: digest(4),
        asked: time(5),
    }
}

fn recover_terms() -> RecoverTerms {
    RecoverTerms {
        custodian: MemberIndex::new(0x0102),
        nonce: [1; 16],
        sent: time(2),
        opener: key(3),
        case: case(),
        approvals: list(vec![Approval { guardian: 0x0102, signature: signature(4) }]),
        reader: kem_key(5),
    }
}
