//! A wallet is lost and comes back, with real processes: too few guardians open nothing, a veto ends a case for
//! good, a custodian is away, and the lost wallet is dead afterwards, whoever has it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "bad_input/consortium.rs"]
mod consortium;
#[path = "bad_input/until.rs"]
mod until;

use consortium::{Consortium, MEMBERS, SOON};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use until::until;

const SECONDS: u64 = 3;
/// Block time within which a case can be vetoed.
const DELAY: &str = "20s";
/// Away when the wallet comes back.
const AWAY: usize = 3;

struct Scene {
    consortium: Consortium,
    party: String,
}

impl Scene {
    /// A patient of member 0 with three seconds of waveform and three guardians, and a person who may read it.
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        for member in 0..MEMBERS {
            let path = consortium.dir.join(format!("member-{member}/node.toml"));
            let text = std::fs::read_to_string(&path).unwrap();
            // Above what it has in tables.
            std::fs::write(&path, format!("recovery_delay_ms_min = 1000\n{text}")).unwrap();
        }
        consortium.start().await;
        let person = consortium.people("nurse.person");
        let registered = consortium.salus(&["person", "register", "--member", "1", "--out", &person]);
        let party = registered["party"].as_str().unwrap().to_owned();
        let scene = Self { consortium, party };
        scene.salus(&["patient", "new", "--out", &scene.file("old.wallet")]);
        scene.stream("old.wallet", "monitor.device");
        scene.grant("old.wallet", "old.grant");
        scene.until_read("old.grant", SECONDS).await;
        scene
    }

    fn file(&self, name: &str) -> String {
        self.consortium.people(name)
    }

    fn salus(&self, words: &[&str]) -> Value {
        self.consortium.salus(words)
    }

    /// What a command says that may be refused.
    fn try_salus(&self, words: &[&str]) -> Value {
        serde_json::from_slice(&self.consortium.try_salus(words).stdout).unwrap()
    }

    fn stream(&self, wallet: &str, device: &str) {
        let (wallet, device) = (self.file(wallet), self.file(device));
        self.salus(&["device", "enrol", "--wallet", &wallet, "--out", &device, "--no-treatment"]);
        self.salus(&["device", "stream", "--device", &device, "--seconds", &SECONDS.to_string()]);
    }

    fn grant(&self, wallet: &str, out: &str) {
        let (wallet, out) = (self.file(wallet), self.file(out));
        self.salus(&["grant", "create", "--wallet", &wallet, "--to", &self.party, "--out", &out]);
    }

    fn read(&self, grant: &str) -> Value {
        let (person, grant) = (self.file("nurse.person"), self.file(grant));
        self.try_salus(&["read", "--person", &person, "--grant", &grant])
    }

    async fn until_read(&self, grant: &str, readings: u64) {
        until("all of it is read", SOON, async || (self.read(grant)["readings"] == readings).then_some(()))
            .await;
    }

    fn prepare(&self) -> Value {
        let wallet = self.file("old.wallet");
        let guardians = [1, 2, 3].map(|n| self.file(&format!("{n}.guardian")));
        let mut words = vec!["recovery", "prepare", "--wallet", &wallet, "--needed", "2", "--delay", DELAY];
        for guardian in &guardians {
            words.extend(["--guardian", guardian]);
        }
        self.salus(&words)
    }

    /// Makes a new wallet; gives what the guardians are told.
    fn start(&self, wallet: &str, ask: &str) -> String {
        let made = Command::new(env!("CARGO_BIN_EXE_salus"))
            .args(["--json", "recovery", "start", "--out", &self.file(wallet), "--ask", &self.file(ask)])
            .output()
            .unwrap();
        assert!(made.status.success());
        let value: Value = serde_json::from_slice(&made.stdout).unwrap();
        value["fingerprint"].as_str().unwrap().to_owned()
    }

    /// Has a guardian approve what they were told of; gives the approval's file and what was said.
    fn try_approve(&self, guardian: u8, ask: &str, told: &str) -> (String, Value) {
        let out = self.file(&format!("{guardian}.{ask}.approval"));
        let (guardian, ask) = (self.file(&format!("{guardian}.guardian")), self.file(ask));
        let mut words = vec!["recovery", "approve", "--guardian", &guardian, "--ask", &ask];
        words.extend(["--fingerprint", told, "--out", &out]);
        let said = self.try_salus(&words);
        (out, said)
    }

    fn approve(&self, guardian: u8, ask: &str, told: &str) -> String {
        let (out, said) = self.try_approve(guardian, ask, told);
        assert!(said["error"].is_null(), "{said}");
        out
    }

    fn open_case(&self, wallet: &str, approvals: &[String]) -> Value {
        let wallet = self.file(wallet);
        let mut words = vec!["recovery", "open", "--wallet", &wallet];
        for approval in approvals {
            words.extend(["--approval", approval]);
        }
        self.try_salus(&words)
    }

    fn finish(&self, wallet: &str) -> Value {
        self.try_salus(&["recovery", "finish", "--wallet", &self.file(wallet)])
    }

    fn veto(&self, wallet: &str) -> Value {
        self.try_salus(&["recovery", "veto", "--wallet", &self.file(wallet)])
    }

    fn notice(&self, of: &str, wallet: &str) -> usize {
        let list = self.salus(&[of, "list", "--wallet", &self.file(wallet)]);
        list["notice"].as_array().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_wallet_comes_back_and_is_dead_for_whoever_has_it() {
    let mut scene = Scene::open().await;
    let prepared = scene.prepare();
    assert_eq!((&prepared["custodians"], &prepared["guardians"]), (&4.into(), &3.into()), "{prepared}");
    assert_eq!(scene.notice("grant", "old.wallet"), 0);

    a_deceived_pair_of_guardians_is_vetoed(&scene);
    the_patients_new_wallet_comes_in_its_place(&mut scene).await;
    the_lost_one_is_dead(&scene);
    the_new_one_has_it_all(&mut scene).await;
    nobody_has_it_destroyed(&scene).await;
    scene.consortium.all_run();
}

/// Somebody deceives two guardians; one alone was not enough. The patient sees it, vetoes, and reads on.
fn a_deceived_pair_of_guardians_is_vetoed(scene: &Scene) {
    let told = scene.start("thief.wallet", "thief");
    let (unwritten, wrong) = scene.try_approve(1, "thief", "0123456789abcdef0123");
    assert_eq!((&wrong["error"], Path::new(&unwritten).exists()), (&"SAL-2043".into(), false));
    let one = scene.approve(1, "thief", &told.to_uppercase());
    assert_eq!(scene.open_case("thief.wallet", std::slice::from_ref(&one))["error"], "SAL-2043");
    assert_eq!(scene.open_case("thief.wallet", &[one.clone(), one.clone()])["error"], "SAL-2043");
    let two = scene.approve(2, "thief", &told);
    let opened = scene.open_case("thief.wallet", &[one, two]);
    assert_eq!(opened["replacing"][0]["stage"], "open", "{opened}");
    assert_eq!((scene.notice("grant", "old.wallet"), scene.notice("access", "old.wallet")), (1, 1));
    assert_eq!(scene.finish("thief.wallet")["error"], "SAL-2041");
    let vetoed = scene.veto("old.wallet");
    assert_eq!(vetoed["cases"], serde_json::json!([1]), "{vetoed}");
    assert_eq!(scene.finish("thief.wallet")["error"], "SAL-2042");
    assert_eq!(scene.notice("grant", "old.wallet"), 0);
    assert_eq!(scene.read("old.grant")["readings"], SECONDS);
}

/// The wallet is lost. Two guardians approve the patient's new one; it waits, and sees that it does.
async fn the_patients_new_wallet_comes_in_its_place(scene: &mut Scene) {
    let told = scene.start("new.wallet", "mine");
    let (two, three) = (scene.approve(2, "mine", &told), scene.approve(3, "mine", &told));
    let opened = scene.open_case("new.wallet", &[three.clone(), two]);
    // Once more with less than enough: what stands on the ledger stays what is asked for.
    assert_eq!(scene.open_case("new.wallet", &[three])["replacing"], opened["replacing"]);
    assert_eq!(opened["replacing"][1]["stage"], "open", "{opened}");
    assert_eq!(scene.finish("new.wallet")["error"], "SAL-2041");
    scene.grant("old.wallet", "hasty.grant");
    assert_eq!(scene.read("hasty.grant")["error"], "SAL-2044");
    let status = scene.salus(&["recovery", "status", "--guardian", &scene.file("1.guardian")]);
    assert_eq!(
        (&status["cases"][0]["stage"], &status["cases"][1]["stage"]),
        (&"vetoed".into(), &"open".into())
    );
    scene.consortium.stop(&format!("member-{AWAY}")).await;
    let finished = until("the delay is over", SOON, async || {
        let finished = scene.finish("new.wallet");
        (finished["error"] != "SAL-2041").then_some(finished)
    })
    .await;
    assert!(finished["error"].is_null(), "{finished}");
    assert_eq!(scene.salus(&["recovery", "status", "--wallet", &scene.file("new.wallet")])["done"], true);
}

/// What the lost wallet granted is dead, and what a thief grants with it opens nothing; nor can they veto.
fn the_lost_one_is_dead(scene: &Scene) {
    assert_eq!(scene.read("old.grant")["error"], "SAL-2044");
    scene.grant("old.wallet", "thief.grant");
    assert_eq!(scene.read("thief.grant")["error"], "SAL-2044");
    assert_eq!(scene.veto("old.wallet")["error"], "SAL-1005");
    assert_eq!(scene.notice("grant", "old.wallet"), 1);
    assert_eq!(scene.finish("thief.wallet")["error"], "SAL-2042");
}

/// The new wallet has it all, old readings and new ones, and the list of who read.
async fn the_new_one_has_it_all(scene: &mut Scene) {
    scene.grant("new.wallet", "new.grant");
    scene.until_read("new.grant", SECONDS).await;
    scene.consortium.start_member(AWAY);
    scene.stream("new.wallet", "second.device");
    scene.until_read("new.grant", 2 * SECONDS).await;
    let list = scene.salus(&["access", "list", "--wallet", &scene.file("new.wallet")]);
    let accesses = |grant: &Value| grant["accesses"].as_array().unwrap().len();
    assert!(accesses(&list["grants"][0]) >= 2, "{list}");
    assert!(accesses(&list["before"][0]["grants"][0]) >= 2, "{list}");
    let account = scene.salus(&["access", "account", "--wallet", &scene.file("new.wallet")]);
    let under = account["disclosures"][0]["grants"].as_str().unwrap();
    assert!(under.starts_with("1 ") && under.contains("before-1:"), "{account}");
}

/// Who was away hears of it, and no thief can have the data destroyed.
async fn nobody_has_it_destroyed(scene: &Scene) {
    until("everybody knows", SOON, async || {
        (scene.finish("new.wallet")["faults"] == Value::Array(Vec::new())).then_some(())
    })
    .await;
    let order =
        ["erase", "order", "--wallet", &scene.file("old.wallet"), "--out", &scene.file("thief.order")];
    assert_eq!(scene.try_salus(&order)["error"], "SAL-2044");
    let order = ["erase", "order", "--wallet", &scene.file("new.wallet"), "--out", &scene.file("my.order")];
    assert_eq!(scene.try_salus(&order)["error"], "SAL-2044");
    assert_eq!(scene.read("new.grant")["readings"], 2 * SECONDS);
}
