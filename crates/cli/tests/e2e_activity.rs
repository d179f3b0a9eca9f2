//! The review of who looks at what, with real processes: every custodian remembers whom it let in before it
//! gives a share, the officer of their member finds out from all of them, and nobody else does.

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

const SECONDS: u64 = 2;

/// What a command says that needs no consortium.
fn offline(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_salus")).arg("--json").args(words).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The accesses that enough custodians tell.
fn sure(rows: &[Value]) -> Vec<&Value> {
    rows.iter().filter(|row| row["confirmed"] == true).map(|row| &row["access"]).collect()
}

struct Ward {
    consortium: Consortium,
}

impl Ward {
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        Self { consortium }
    }

    fn file(&self, name: &str) -> String {
        self.consortium.people(name)
    }

    fn register(&self, name: &str, member: &str, role: &str) -> String {
        let out = self.file(&format!("{name}.person"));
        let register = ["person", "register", "--member", member, "--out", &out, "--role", role];
        self.consortium.salus(&register)["party"].as_str().unwrap().to_owned()
    }

    /// A patient whose ward's nurses may read.
    fn admit(&self, name: &str) {
        let file = |what: &str| self.file(&format!("{name}.{what}"));
        let (wallet, device, grant) = (file("wallet"), file("device"), file("grant"));
        self.consortium.salus(&["patient", "new", "--out", &wallet]);
        self.consortium.salus(&["device", "enrol", "--no-treatment", "--wallet", &wallet, "--out", &device]);
        let seconds = SECONDS.to_string();
        self.consortium.salus(&["device", "stream", "--device", &device, "--seconds", &seconds]);
        let create = ["grant", "create", "--wallet", &wallet, "--to-role", "1/nurse", "--out", &grant];
        self.consortium.salus(&create);
    }

    fn try_read(&self, who: &str, whom: &str) -> Value {
        let (person, grant) = (self.file(&format!("{who}.person")), self.file(&format!("{whom}.grant")));
        let read = ["read", "--member", "1", "--person", &person, "--grant", &grant];
        serde_json::from_slice(&self.consortium.try_salus(&read).stdout).unwrap()
    }

    /// The tags of accesses until everything is read.
    async fn read(&self, who: &str, whom: &str) {
        until("all of it is read", SOON, async || {
            (self.try_read(who, whom)["readings"] == SECONDS).then_some(())
        })
        .await;
    }

    fn activity(&self, officer: &str, member: &str, words: &[&str]) -> Value {
        let person = self.file(&format!("{officer}.person"));
        let activity = [&["activity"], words, &["--member", member, "--person", &person]].concat();
        serde_json::from_slice(&self.consortium.try_salus(&activity).stdout).unwrap()
    }

    fn listed(&self) -> Vec<Value> {
        let list = self.activity("officer", "1", &["list", "--days", "2"]);
        list["activity"].as_array().unwrap().clone()
    }

    /// How many accesses of somebody the patient sees.
    fn accesses(&self, whom: &str, by: &str) -> usize {
        let wallet = self.file(&format!("{whom}.wallet"));
        let list = self.consortium.salus(&["access", "list", "--wallet", &wallet]);
        let accesses = list["grants"][0]["accesses"].as_array().unwrap();
        accesses.iter().filter(|access| access["requester"] == *by).count()
    }

    /// The names under which records of activity know a patient.
    fn name(&self, whom: &str) -> String {
        let grant = self.file(&format!("{whom}.grant"));
        offline(&["activity", "name", "--grant", &grant])["patient"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_reviews_what_their_own_people_looked_at() {
    let mut ward = Ward::open().await;
    let nurse = ward.register("nurse", "1", "nurse");
    ward.register("clerk", "1", "administrator");
    ward.register("officer", "1", "privacy-officer");
    ward.register("foreigner", "2", "privacy-officer");
    ward.admit("ada");
    ward.admit("bob");
    ward.read("nurse", "ada").await;
    ward.read("nurse", "bob").await;

    // Who is refused was let in nowhere, and is not remembered.
    assert_eq!(ward.try_read("clerk", "ada")["error"], "SAL-2019");
    let listed = ward.listed();
    assert!(listed.iter().all(|row| row["requester"] == *nurse && row["named_as"] == "role"), "{listed:?}");
    assert!(listed.iter().all(|row| row["confirmed"] == true && row["purpose"] == "TREAT"), "{listed:?}");
    for whom in ["ada", "bob"] {
        let theirs = listed.iter().filter(|row| row["patient"] == *ward.name(whom)).count();
        // Whoever asks before the keys are there is let in, and given nothing.
        assert!((1..=ward.accesses(whom, &nurse)).contains(&theirs), "{theirs} accesses to {whom}");
    }

    // The officer of another member hears of their own people only; a nurse hears of nobody.
    let foreign = ward.activity("foreigner", "2", &["list"]);
    assert_eq!(foreign["activity"], serde_json::json!([]), "{foreign}");
    let denied = ward.activity("nurse", "1", &["list"]);
    assert_eq!(denied["error"], "SAL-2035", "{denied}");

    // What is remembered is there after a restart, also with one custodian away, and nobody reads it on a disk.
    ward.consortium.stop("member-3").await;
    ward.consortium.stop("member-0").await;
    ward.consortium.start_member(0);
    until("all of it is told again", SOON, async || (sure(&ward.listed()) == sure(&listed)).then_some(()))
        .await;
    let folder = ward.consortium.dir.join("member-0/data/activity");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let needle = hex::decode(&nurse).unwrap();
        assert!(bytes.windows(needle.len()).all(|window| window != needle));
        files += usize::from(!bytes.is_empty());
    }
    assert!(files > 0);
    ward.queued(&nurse);
}

impl Ward {
    /// A watched record becomes a finding, which only an officer closes, once.
    fn queued(&self, nurse: &str) {
        let (patients, people) = (self.file("patients.csv"), self.file("people.csv"));
        let (ada, bob) = (self.name("ada"), self.name("bob"));
        let table = format!("patient,surname,party,watched\n{ada},Lovelace,,yes\n{bob},Nightingale,,\n");
        std::fs::write(&patients, table).unwrap();
        std::fs::write(&people, format!("party,surname\n{nurse},nightingale\n")).unwrap();
        let queue = self.file("review.queue");
        let review =
            ["review", "--days", "2", "--queue", &queue, "--patients", &patients, "--people", &people];
        assert_eq!(self.activity("officer", "1", &review)["new"], 2);
        assert_eq!(self.activity("officer", "1", &review)["new"], 0, "they are on the queue already");
        let shown = |words: &[&str]| offline(&[&["activity", "queue", "--queue", &queue], words].concat());
        let open = shown(&[]);
        let reasons: Vec<&Value> =
            open["findings"].as_array().unwrap().iter().map(|found| &found["reasons"]).collect();
        assert!(reasons.contains(&&serde_json::json!(["watched record"])), "{open}");
        assert!(reasons.contains(&&serde_json::json!(["same surname"])), "{open}");
        let finding = open["findings"][0]["finding"].as_str().unwrap();
        let close = ["close", "--queue", &queue, "--finding", finding, "--verdict", "explained"];
        assert_eq!(self.activity("clerk", "1", &close)["error"], "SAL-2035");
        assert_eq!(self.activity("officer", "1", &close)["closed"], finding);
        assert_eq!(self.activity("officer", "1", &close)["error"], "SAL-1005");
        assert_eq!(
            (&shown(&[])["open"], shown(&["--all"])["findings"].as_array().unwrap().len()),
            (&1.into(), 2)
        );
    }
}
