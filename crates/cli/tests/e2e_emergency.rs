//! Breaking the glass with real processes: the patient's own hospital and gateway are dead, the patient cannot
//! be asked, and a nurse of another hospital reads, seen by everybody who must see it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "bad_input/consortium.rs"]
mod consortium;
#[path = "bad_input/until.rs"]
mod until;

use consortium::{Consortium, SOON};
use serde_json::Value;
use std::time::{Duration, Instant};
use until::until;

const SECONDS: u64 = 3;
/// Within which data is there in an emergency.
const EMERGENCY: Duration = Duration::from_secs(30);

struct Scene {
    consortium: Consortium,
    wallet: String,
    card: String,
}

impl Scene {
    /// A patient of member 0 who is prepared, with three seconds of waveform; a nurse and an officer of
    /// member 1.
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        let (wallet, card) = (consortium.people("patient.wallet"), consortium.people("patient.card"));
        consortium.salus(&["patient", "new", "--out", &wallet]);
        let device = consortium.people("monitor.device");
        consortium.salus(&["device", "enrol", "--wallet", &wallet, "--out", &device, "--no-treatment"]);
        let seconds = SECONDS.to_string();
        consortium.salus(&["device", "stream", "--device", &device, "--seconds", &seconds]);
        let scene = Self { consortium, wallet, card };
        scene.prepare(&[]);
        scene.register("nurse", &["--role", "nurse"]);
        scene.register("clerk", &["--role", "administrator"]);
        scene.register("officer", &["--role", "privacy-officer"]);
        scene.until_all_is_kept().await;
        scene
    }

    /// Waits, as a reader with a grant, until everything that was sent is there.
    async fn until_all_is_kept(&self) {
        let (person, grant) = (self.person("nurse"), self.consortium.people("nurse.grant"));
        let create = ["grant", "create", "--wallet", &self.wallet, "--to-role", "1/nurse", "--out", &grant];
        self.consortium.salus(&create);
        until("all of it is read", SOON, async || {
            let read = ["read", "--person", &person, "--grant", &grant];
            let output = self.consortium.try_salus(&read);
            let result: Value = serde_json::from_slice(&output.stdout).unwrap();
            (result["readings"] == SECONDS).then_some(())
        })
        .await;
    }

    fn prepare(&self, options: &[&str]) -> Value {
        let prepare = ["emergency", "prepare", "--wallet", &self.wallet, "--card", &self.card];
        self.consortium.salus(&[&prepare[..], options].concat())
    }

    fn register(&self, name: &str, options: &[&str]) -> String {
        let (file, second) = (self.person(name), self.second(name));
        let register = ["person", "register", "--member", "1", "--out", &file, "--second-factor", &second];
        self.consortium.salus(&[&register[..], options].concat())["party"].as_str().unwrap().to_owned()
    }

    fn person(&self, name: &str) -> String {
        self.consortium.people(&format!("{name}.person"))
    }

    fn second(&self, name: &str) -> String {
        self.consortium.people(&format!("{name}.second"))
    }

    fn look(&self, who: &str, second: &str, card: &str) -> Value {
        let (person, second) = (self.person(who), self.second(second));
        let read = ["emergency", "read", "--member", "1", "--person", &person, "--second-factor", &second];
        let output =
            self.consortium.try_salus(&[&read[..], &["--card", card, "--reason", "incapable"]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn reviews(&self, options: &[&str]) -> Value {
        let person = self.person("officer");
        let reviews = ["emergency", "reviews", "--member", "1", "--person", &person];
        self.consortium.salus(&[&reviews[..], options].concat())
    }

    /// Accesses under the emergency grant, which is the first.
    fn accesses(&self) -> Vec<Value> {
        let list = self.consortium.salus(&["access", "list", "--wallet", &self.wallet, "--member", "1"]);
        list["grants"][0]["accesses"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn glass_breaks_while_the_patients_hospital_is_dead_and_everybody_sees_it() {
    let mut scene = Scene::open().await;
    scene.consortium.stop("gateway-0").await;
    scene.consortium.stop("member-0").await;

    let started = Instant::now();
    let read = scene.look("nurse", "nurse", &scene.card);
    assert_eq!(read["grants"][0]["readings"], SECONDS, "{read}");
    assert!(started.elapsed() < EMERGENCY, "{:?}", started.elapsed());
    assert_eq!(scene.look("nurse", "nurse", &scene.card)["grants"][0]["readings"], SECONDS);

    // Neither another role, nor one key alone, nor a card of nobody.
    assert_eq!(scene.look("clerk", "clerk", &scene.card)["error"], "SAL-2019");
    assert_eq!(scene.look("nurse", "clerk", &scene.card)["error"], "SAL-2030");
    let stranger = scene.consortium.people("stranger.card");
    write_card(&stranger);
    assert_eq!(scene.look("nurse", "nurse", &stranger)["error"], "SAL-2032");

    // The patient sees each look, with its purpose; who was refused left no record.
    let accesses = scene.accesses();
    assert_eq!(accesses.len(), 2);
    assert!(
        accesses.iter().all(|access| access["purpose"] == "ETREAT" && access["emergency"] == "incapable")
    );

    // The officer of the nurse's member sees each, closes them, and then none is open.
    let open = scene.reviews(&[]);
    assert_eq!(open["uses"].as_array().unwrap().len(), accesses.len(), "{open}");
    assert_eq!(open["overdue"], 0);
    let nurse = open["uses"][0]["requester"].as_str().unwrap().to_owned();
    let (officer, card) = (scene.person("officer"), scene.card.clone());
    let close = ["emergency", "close", "--member", "1", "--person", &officer, "--requester", &nurse];
    let one = open["uses"][0]["look"].as_str().unwrap();
    let justified = [&close[..], &["--verdict", "justified", "--look", one]].concat();
    assert_eq!(scene.consortium.salus(&justified)["closed"], 1);
    assert_eq!(scene.reviews(&[])["open"], accesses.len() - 1);
    scene.consortium.salus(&[&close[..], &["--verdict", "unjustified"]].concat());
    assert_eq!(scene.reviews(&[])["open"], 0);
    assert_eq!(scene.reviews(&["--all"])["uses"].as_array().unwrap().len(), accesses.len());
    // Nobody breaks glass any more for whom it was unjustified.
    assert_eq!(scene.look("nurse", "nurse", &card)["error"], "SAL-2034");
    scene.consortium.all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_renewed_and_its_grant_withdrawn_like_any_other() {
    let scene = Scene::open().await;
    // Run again it makes no other grant, unless told to.
    assert_eq!(scene.prepare(&[])["grant"], 1);
    let renewed = scene.prepare(&["--renew"]);
    assert_eq!((&renewed["grant"], &renewed["withdrawn"]), (&3.into(), &serde_json::json!([1])), "{renewed}");
    assert_eq!(scene.look("nurse", "nurse", &scene.card)["grants"].as_array().unwrap().len(), 1);
    scene.consortium.salus(&["grant", "revoke", "--wallet", &scene.wallet, "--index", "3"]);
    assert_eq!(scene.look("nurse", "nurse", &scene.card)["error"], "SAL-2032");
    let list = scene.consortium.salus(&["grant", "list", "--wallet", &scene.wallet]);
    assert_eq!(list["grants"][0]["grantee"], "every physician and nurse, in an emergency");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_when_looks_were_brought_gets_them_on_the_next_run() {
    let mut scene = Scene::open().await;
    scene.consortium.stop("member-3").await;
    let partly = scene.prepare(&["--renew"]);
    assert_eq!(
        (&partly["complete"], &partly["missing"]),
        (&false.into(), &serde_json::json!([3])),
        "{partly}"
    );
    assert_eq!(partly["custodians"], 3);
    scene.consortium.start_member(3);
    let whole = until("the other has its looks", SOON, async || {
        let whole = scene.prepare(&[]);
        (whole["complete"] == true).then_some(whole)
    })
    .await;
    assert_eq!(whole["grant"], partly["grant"], "{whole}");
    // The shares that it was brought fit those that the others had before: it stands in for one of them.
    scene.consortium.stop("member-0").await;
    assert_eq!(scene.look("nurse", "nurse", &scene.card)["grants"][0]["readings"], SECONDS);
}

/// A card that nobody prepared.
fn write_card(path: &str) {
    std::fs::write(path, [7; 32]).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
