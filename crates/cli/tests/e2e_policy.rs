//! An institution's own policy, held by real custodians: beside a grant that permits, and only for the
//! people whom that institution registered. What is mistyped does not get as far as the ledger.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "bad_input/consortium.rs"]
mod consortium;
#[path = "bad_input/until.rs"]
mod until;

use consortium::{Consortium, SOON};
use serde_json::Value;
use std::process::Command;
use until::until;

const EXAMPLE: &str = include_str!("../../../docs/examples/hospital.cedar");

struct Hospital {
    consortium: Consortium,
    wallet: String,
}

impl Hospital {
    /// A patient whose monitor has sent a second.
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        let wallet = consortium.people("patient.wallet");
        consortium.salus(&["patient", "new", "--out", &wallet]);
        let device = consortium.people("monitor.device");
        consortium.salus(&["device", "enrol", "--wallet", &wallet, "--out", &device, "--no-treatment"]);
        consortium.salus(&["device", "stream", "--device", &device, "--seconds", "1"]);
        Self { consortium, wallet }
    }

    fn register(&self, name: &str, options: &[&str]) -> String {
        let file = self.consortium.people(name);
        let person = self.consortium.salus(&[&["person", "register", "--out", &file], options].concat());
        person["party"].as_str().unwrap().to_owned()
    }

    /// A grant to somebody of everything ordinary, for treatment and for research.
    fn grant(&self, name: &str, to: &str) {
        let file = self.consortium.people(name);
        let create = ["grant", "create", "--wallet", &self.wallet, "--out", &file, "--to", to];
        self.consortium.salus(&[&create[..], &["--purpose", "treat", "research"]].concat());
    }

    fn said(&self, words: &[&str]) -> Value {
        serde_json::from_slice(&self.consortium.try_salus(words).stdout).unwrap()
    }

    fn try_read(&self, person: &str, grant: &str, options: &[&str]) -> Value {
        let (person, grant) = (self.consortium.people(person), self.consortium.people(grant));
        self.said(&[&["read", "--person", &person, "--grant", &grant], options].concat())
    }

    fn refused(&self, person: &str, grant: &str, options: &[&str]) -> String {
        self.try_read(person, grant, options)["error"].as_str().unwrap().to_owned()
    }

    /// Reads until the second is there.
    async fn read(&self, person: &str, grant: &str, options: &[&str]) {
        until("it is read", SOON, async || {
            let result = self.try_read(person, grant, options);
            assert!(result["error"].is_null() || result["error"] == "SAL-2018", "{result}");
            (result["readings"] == 1).then_some(())
        })
        .await;
    }

    /// Writes a policy's file.
    fn policy(&self, name: &str, text: &str) -> String {
        let file = self.consortium.people(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    fn explain(&self, party: &str, options: &[&str]) -> Value {
        self.said(&[&["policy", "explain", "--party", party], options].concat())
    }
}

/// Checks a file; it takes no consortium.
fn check(file: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_salus")).args(["--json", "policy", "check", file]).output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_takes_from_what_a_patient_grants() {
    let hospital = Hospital::open().await;
    let nurse = hospital.register("nurse.person", &["--role", "nurse"]);
    let clerk = hospital.register("clerk.person", &["--role", "administrator"]);
    let other = hospital.register("other.person", &["--role", "nurse", "--member", "1"]);
    for (name, party) in [("nurse.grant", &nurse), ("clerk.grant", &clerk), ("other.grant", &other)] {
        hospital.grant(name, party);
    }
    let research = ["--purpose", "research"];

    // Without a policy, what grants allow is allowed.
    hospital.read("nurse.person", "nurse.grant", &research).await;
    hospital.read("clerk.person", "clerk.grant", &[]).await;
    assert_eq!(hospital.explain(&nurse, &research)["version"], Value::Null);
    assert_eq!(hospital.said(&["policy", "show"])["error"], "SAL-1005");

    // A typo would forbid nothing: it is refused before it is sent.
    let typo = hospital.policy("typo.cedar", &EXAMPLE.replacen("HRESCH", "HRSCH", 1));
    for refused in [check(&typo), hospital.said(&["policy", "publish", &typo])] {
        assert_eq!(refused["error"], "SAL-5014");
        assert!(refused["detail"].as_str().unwrap().contains("clause `no-research`: `HRSCH`"), "{refused}");
    }
    assert_eq!(hospital.said(&["policy", "show"])["error"], "SAL-1005");

    // The example: the ward may treat, nobody may do research, whatever the patient signed.
    let example = hospital.policy("hospital.cedar", EXAMPLE);
    assert_eq!(check(&example)["clauses"].as_array().unwrap().len(), 6);
    let foreseen = hospital.explain(&nurse, &["--file", &example, "--purpose", "research"]);
    assert_eq!(foreseen["error"], "SAL-2028");
    assert_eq!(hospital.consortium.salus(&["policy", "publish", &example])["version"], 1);
    hospital.read("nurse.person", "nurse.grant", &[]).await;
    assert_eq!(hospital.refused("nurse.person", "nurse.grant", &research), "SAL-2028");
    assert_eq!(hospital.refused("clerk.person", "clerk.grant", &[]), "SAL-2028");
    // Another institution's people are that institution's.
    hospital.read("other.person", "other.grant", &[&research[..], &["--member", "1"]].concat()).await;

    // Each is told the clause, and the patient sees what was refused as well.
    let allowed = hospital.explain(&nurse, &[]);
    assert_eq!((&allowed["clauses"][0], &allowed["version"]), (&"ward".into(), &1.into()));
    let denied = hospital.explain(&nurse, &research);
    assert!(denied["detail"].as_str().unwrap().contains("`no-research`"), "{denied}");
    assert_eq!(hospital.explain(&clerk, &[])["error"], "SAL-2028");
    let shown = hospital.said(&["policy", "show", "--member", "0"]);
    assert_eq!((shown["text"].as_str(), &shown["valid"]), (Some(EXAMPLE), &true.into()));

    // The next version takes the place of the last.
    let open = hospital.policy("open.cedar", "@id(\"all\") permit (principal, action, resource);");
    assert_eq!(hospital.consortium.salus(&["policy", "publish", &open])["version"], 2);
    hospital.read("nurse.person", "nurse.grant", &research).await;
    hospital.read("clerk.person", "clerk.grant", &[]).await;
}
