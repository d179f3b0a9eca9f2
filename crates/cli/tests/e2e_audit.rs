//! One operation, one audit record: whatever becomes of a read once its intent is final, the patient's
//! proven list holds it exactly once. And while the ledger makes no blocks, nothing is released, although
//! every custodian answers.
//!
//! An operation is one run of `salus read`. One that was killed may have ended before its intent was
//! ordered, so it counts once or not at all, and never twice.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "bad_input/consortium.rs"]
mod consortium;
#[path = "bad_input/until.rs"]
mod until;

use consortium::{Consortium, MEMBERS, SOON, said};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use until::until;

const SECONDS: u64 = 3;
/// Readers at once on one lane.
const AT_ONCE: usize = 5;
/// Readers that are killed.
const KILLED: usize = 6;
/// For a read to give up when nothing becomes final: each of four members is asked three times, two
/// seconds apart, and has ten to answer.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(60);
/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

struct Ward {
    consortium: Consortium,
    wallet: String,
}

impl Ward {
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        let wallet = consortium.people("patient.wallet");
        let device = consortium.people("monitor.device");
        consortium.salus(&["patient", "new", "--out", &wallet]);
        consortium.salus(&["device", "enrol", "--wallet", &wallet, "--out", &device, "--no-treatment"]);
        consortium.salus(&["device", "stream", "--device", &device, "--seconds", &SECONDS.to_string()]);
        Self { consortium, wallet }
    }

    fn grant(&self, name: &str, options: &[&str]) -> String {
        let file = self.consortium.people(name);
        let create = ["grant", "create", "--wallet", &self.wallet, "--out", &file];
        self.consortium.salus(&[&create, options].concat())["index"].to_string()
    }

    fn words(&self, grant: &str) -> Vec<String> {
        let (person, grant) = (self.consortium.people("nurse.person"), self.consortium.people(grant));
        ["read", "--person", &person, "--grant", &grant].map(str::to_owned).to_vec()
    }

    /// Reads, whatever comes of it.
    fn read(&self, grant: &str, options: &[&str]) -> Value {
        let words = self.words(grant);
        let words: Vec<&str> = words.iter().map(String::as_str).chain(options.iter().copied()).collect();
        let output = self.consortium.try_salus(&words);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::String(said(&output)))
    }

    /// A read beside this test.
    fn reader(&self, grant: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_salus"))
            .arg("--json")
            .args(self.words(grant))
            .arg("--dir")
            .arg(&self.consortium.dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Accesses under each grant, in order, as the patient sees them proven; each is whole.
    fn accesses(&self) -> Vec<usize> {
        let list = self.consortium.salus(&["access", "list", "--wallet", &self.wallet]);
        assert_eq!(list["complete"], true);
        let count = |grant: &Value| {
            let accesses = grant["accesses"].as_array().unwrap();
            for (place, access) in (1..).zip(accesses) {
                assert_eq!(access["index"], place);
                assert!(access["requester"].is_string(), "{access}");
            }
            accesses.len()
        };
        list["grants"].as_array().unwrap().iter().map(count).collect()
    }

    /// How often custodians have released key shares so far.
    fn releases(&self) -> usize {
        let of =
            |member| self.consortium.log(&format!("member-{member}")).matches("released key shares").count();
        (0..MEMBERS).map(of).sum()
    }

    async fn stop_members(&mut self) {
        for member in 0..MEMBERS {
            self.consortium.stop(&format!("member-{member}")).await;
        }
    }

    /// Starts all members again; whoever calls them finds them, and they find each other or not.
    async fn start_members(&mut self, together: bool) {
        let file = if together { "consortium.toml" } else { "apart.toml" };
        for member in 0..MEMBERS {
            let config = self.consortium.dir.join(format!("member-{member}/node.toml"));
            name_consortium(&config, file);
            self.consortium.start_member(member);
        }
        until("every member answers", SOON, async || {
            (0..MEMBERS).all(|member| self.consortium.height(member) >= 1).then_some(())
        })
        .await;
    }
}

/// Has a member start from this consortium file.
fn name_consortium(config: &Path, file: &str) {
    let text = std::fs::read_to_string(config).unwrap();
    let mut config_now: toml::Table = text.parse().unwrap();
    config_now.insert("consortium_file".to_owned(), format!("../{file}").into());
    std::fs::write(config, config_now.to_string()).unwrap();
}

/// A consortium file by which no member finds another.
fn part(dir: &Path) {
    let text = std::fs::read_to_string(dir.join("consortium.toml")).unwrap();
    let mut file: toml::Table = text.parse().unwrap();
    for member in file["member"].as_array_mut().unwrap() {
        member["peers"] = NOWHERE.into();
    }
    std::fs::write(dir.join("apart.toml"), file.to_string()).unwrap();
}

/// A ward with grants to one nurse: 1 opens all, 2 denies them all, 3 is of a kind that nobody measured,
/// 4 is withdrawn.
async fn staged() -> Ward {
    let ward = Ward::open().await;
    let file = ward.consortium.people("nurse.person");
    let nurse = ward.consortium.salus(&["person", "register", "--out", &file]);
    let nurse = nurse["party"].as_str().unwrap().to_owned();
    let deny = format!("party={nurse}");
    ward.grant("all.grant", &["--to", &nurse]);
    ward.grant("denied.grant", &["--to", &nurse, "--deny", &deny]);
    ward.grant("rate.grant", &["--to", &nurse, "--code", "8867-4"]);
    let gone = ward.grant("gone.grant", &["--to", &nurse]);
    ward.consortium.salus(&["grant", "revoke", "--wallet", &ward.wallet, "--index", &gone]);
    ward
}

/// Reads until everything is there; how many reads that took.
async fn read_until_whole(ward: &Ward) -> usize {
    let mut reads = 0;
    until("all of it is read", SOON, async || {
        reads += 1;
        (ward.read("all.grant", &[])["readings"] == SECONDS).then_some(())
    })
    .await;
    reads
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_leaves_exactly_one_record_and_without_a_ledger_nothing_is_released() {
    let mut ward = staged().await;
    assert_eq!(ward.accesses(), [0; 4]);
    let first = read_until_whole(&ward).await;
    assert_eq!(ward.accesses(), [first, 0, 0, 0]);

    // A refusal after the intent is final is recorded as well as a success, one before it is not.
    for (grant, code) in
        [("denied.grant", "SAL-2022"), ("rate.grant", "SAL-2018"), ("gone.grant", "SAL-2009")]
    {
        for _ in 0..2 {
            assert_eq!(ward.read(grant, &[])["error"], code);
        }
    }
    assert_eq!(ward.read("all.grant", &["--purpose", "research"])["error"], "SAL-5008");
    assert_eq!(ward.read("all.grant", &["--receipt", "/nowhere/a"])["error"], "SAL-5002");
    assert_eq!(ward.accesses(), [first + 1, 2, 2, 2]);

    // Readers that meet on the lane each have a place of their own.
    let readers: Vec<Child> = (0..AT_ONCE).map(|_| ward.reader("all.grant")).collect();
    for reader in readers {
        let output = reader.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["readings"], SECONDS, "{result}");
    }
    let before = first + 1 + AT_ONCE;
    assert_eq!(ward.accesses(), [before, 2, 2, 2]);

    let before = killed_readers(&ward, before).await;
    without_a_ledger(&mut ward, before).await;
}

/// Readers that are killed and start again: each run once or not at all. Gives the number of records then.
async fn killed_readers(ward: &Ward, before: usize) -> usize {
    let mut finished = 0;
    for number in 0..KILLED {
        let mut reader = ward.reader("all.grant");
        // Each is killed a little later than the one before, by power or by Ctrl-C.
        let mut looks = 2 * number;
        until("it has had its time", SOON, async || {
            let over = looks == 0 || reader.try_wait().unwrap().is_some();
            looks = looks.saturating_sub(1);
            over.then_some(())
        })
        .await;
        let signal = if number % 2 == 0 { "-KILL" } else { "-INT" };
        let _ = Command::new("kill").args([signal, &reader.id().to_string()]).stderr(Stdio::null()).status();
        let status = reader.wait().unwrap();
        finished += usize::from(status.success());
        assert!(status.success() || status.signal().is_some() || status.code().is_some());
        assert_eq!(ward.read("all.grant", &[])["readings"], SECONDS);
    }
    // What a killed reader had sent is final before what its successor sent, or loses its tag to it.
    let after = ward.accesses()[0];
    let (least, most) = (before + KILLED + finished, before + 2 * KILLED);
    assert!((least..=most).contains(&after), "{after} is not from {least} to {most}");
    after
}

/// Every member answers and none finds another: nothing is released, and nothing recorded.
async fn without_a_ledger(ward: &mut Ward, before: usize) {
    assert!(ward.releases() >= 3 * (AT_ONCE + KILLED), "releases are logged");
    ward.stop_members().await;
    part(&ward.consortium.dir);
    ward.start_members(false).await;
    let (released, height) = (ward.releases(), highest(ward));
    let out = ward.consortium.people("none.ecg");
    let started = Instant::now();
    let refused = ward.read("all.grant", &["--waveform", &out, "--print"]);
    assert!(started.elapsed() < GIVES_UP_WITHIN, "it took {:?}", started.elapsed());
    assert!(refused["error"].as_str().is_some_and(|code| code.starts_with("SAL-")), "{refused}");
    assert!(refused["values"].is_null() && !Path::new(&out).exists());
    assert_eq!((ward.releases(), highest(ward)), (released, height), "nothing is released or final");

    ward.stop_members().await;
    ward.start_members(true).await;
    let again = read_until_whole(ward).await;
    assert_eq!(ward.accesses(), [before + again, 2, 2, 2]);
    assert!(ward.releases() > released);
}

fn highest(ward: &Ward) -> Option<u64> {
    (0..MEMBERS).map(|member| ward.consortium.height(member)).max()
}
