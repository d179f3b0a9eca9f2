//! What grants say, held by real custodians: roles, classes, kinds, denials, replacement. Each refusal is
//! coded, and what is sensitive opens only under a grant of its own, with its notice.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "bad_input/consortium.rs"]
mod consortium;
#[path = "bad_input/until.rs"]
mod until;

use consortium::{Consortium, SOON};
use serde_json::Value;
use until::until;

/// Lead II, the kind of the recording that comes with Salus.
const LEAD_II: &str = "mdc:131330";
const SECONDS: u64 = 3;

struct Ward {
    consortium: Consortium,
    wallet: String,
}

impl Ward {
    /// A patient whose monitor, and a device of a substance use programme, have sent three seconds each.
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        let wallet = consortium.people("patient.wallet");
        consortium.salus(&["patient", "new", "--out", &wallet]);
        let ward = Self { consortium, wallet };
        ward.stream("monitor.device", &["--no-treatment", "--within", "1s"]);
        ward.stream("programme.device", &["--sensitivity", "substance-use", "--no-treatment"]);
        ward
    }

    fn stream(&self, name: &str, options: &[&str]) {
        let device = self.consortium.people(name);
        let enrol = ["device", "enrol", "--wallet", &self.wallet, "--out", &device];
        self.consortium.salus(&[&enrol, options].concat());
        let seconds = SECONDS.to_string();
        self.consortium.salus(&["device", "stream", "--device", &device, "--seconds", &seconds]);
    }

    /// Registers somebody with a member; gives their party id.
    fn register(&self, name: &str, options: &[&str]) -> String {
        let file = self.consortium.people(name);
        let person = self.consortium.salus(&[&["person", "register", "--out", &file], options].concat());
        person["party"].as_str().unwrap().to_owned()
    }

    fn grant(&self, name: &str, options: &[&str]) -> u64 {
        let file = self.consortium.people(name);
        let create = ["grant", "create", "--wallet", &self.wallet, "--out", &file];
        self.consortium.salus(&[&create, options].concat())["index"].as_u64().unwrap()
    }

    fn try_read(&self, person: &str, grant: &str, options: &[&str]) -> Value {
        let (person, grant) = (self.consortium.people(person), self.consortium.people(grant));
        let read = ["read", "--person", &person, "--grant", &grant];
        let output = self.consortium.try_salus(&[&read, options].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Reads until everything of one device is there.
    async fn read(&self, person: &str, grant: &str, options: &[&str]) -> Value {
        self.read_of(1, person, grant, options).await
    }

    /// Reads until everything of so many devices is there.
    async fn read_of(&self, devices: u64, person: &str, grant: &str, options: &[&str]) -> Value {
        until("all of it is read", SOON, async || {
            let result = self.try_read(person, grant, options);
            assert!(result["error"].is_null() || result["error"] == "SAL-2018", "{result}");
            (result["readings"] == devices * SECONDS).then_some(result)
        })
        .await
    }

    /// The accounting holds every access of the list, once, with its recipient.
    fn accounts(&self, accesses: &Value, nurse: &str) {
        let count = |grant: &Value| grant["accesses"].as_array().unwrap().len();
        let listed: usize = accesses["grants"].as_array().unwrap().iter().map(count).sum();
        let csv = self.consortium.people("accounting.csv");
        let words = ["access", "account", "--wallet", &self.wallet, "--csv", &csv];
        let each = self.consortium.salus(&[&words[..], &["--each"]].concat());
        assert_eq!(each["disclosures"].as_array().unwrap().len(), listed);
        assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), listed + 1);
        let series = self.consortium.salus(&words);
        let series = series["disclosures"].as_array().unwrap();
        let times = |entry: &Value| entry["times"].as_str().unwrap().parse::<usize>().unwrap();
        assert_eq!(series.iter().map(times).sum::<usize>(), listed);
        let sensitive = series.iter().find(|entry| entry["description"] == "substance-use").unwrap();
        assert_eq!(
            (sensitive["recipient"].as_str(), sensitive["roles"].as_str()),
            (Some(nurse), Some("nurse"))
        );
        assert!(!sensitive["organisation"].as_str().unwrap().is_empty());
        let required = self.consortium.salus(&[&words[..], &["--required"]].concat());
        assert_eq!(required["disclosures"].as_array().unwrap().len(), 0);
    }

    fn refused(&self, person: &str, grant: &str, options: &[&str]) -> String {
        self.try_read(person, grant, options)["error"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_opens_what_it_says_to_whom_it_says_and_nothing_else() {
    let ward = Ward::open().await;
    let nurse = ward.register("nurse.person", &["--role", "nurse"]);
    ward.register("other.person", &["--role", "nurse", "--member", "1"]);
    ward.register("clerk.person", &["--role", "administrator"]);
    let app = ward.register("monitor.app", &["--application"]);

    // A role at a member, not everybody who is called the same elsewhere.
    ward.grant("ward.grant", &["--to-role", "0/nurse"]);
    let whole = ward.read("nurse.person", "ward.grant", &[]).await;
    assert!(whole["notice"].is_null());
    assert_eq!(ward.refused("other.person", "ward.grant", &["--member", "1"]), "SAL-2019");
    assert_eq!(ward.refused("clerk.person", "ward.grant", &[]), "SAL-2019");

    // A general grant opens nothing that is sensitive; a grant of its own does, with the notice.
    ward.grant("programme.grant", &["--to", &nurse, "--class", "substance-use"]);
    let sensitive = ward.read("nurse.person", "programme.grant", &[]).await;
    assert_eq!(
        sensitive["notice"],
        "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
    );
    let both = ["grant", "create", "--wallet", &ward.wallet, "--to", &nurse, "--out", "none"];
    let both = [&both[..], &["--class", "waveform", "substance-use"]].concat();
    assert_eq!(ward.consortium.try_salus(&both).status.code(), Some(2));

    // Kinds are a matter of keys: custodians hold none for another kind under this grant.
    ward.grant("rate.grant", &["--to", &app, "--code", "8867-4"]);
    assert_eq!(ward.refused("monitor.app", "rate.grant", &[]), "SAL-2018");
    ward.grant("lead.grant", &["--to", &app, "--code", LEAD_II]);
    ward.read("monitor.app", "lead.grant", &[]).await;

    // A denial outranks the permission: of everything it is a refusal, of a part it is held back.
    let party = format!("party={nurse}");
    ward.grant("denied.grant", &["--to-role", "0/nurse", "--deny", &party]);
    assert_eq!(ward.refused("nurse.person", "denied.grant", &[]), "SAL-2022");
    let lead = format!("code={LEAD_II}");
    let part = ward.grant("part.grant", &["--to", &nurse, "--deny", &lead]);
    assert_eq!(ward.refused("nurse.person", "part.grant", &[]), "SAL-2018");
    let explain = ["grant", "explain", "--grant", &ward.consortium.people("denied.grant"), "--party", &nurse];
    let explained = ward.consortium.try_salus(&explain);
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(explained["error"], "SAL-2022");
    let explain = ["grant", "explain", "--grant", &ward.consortium.people("part.grant"), "--party", &nurse];
    assert_eq!(ward.consortium.salus(&explain)["held_back"][0]["codes"][0], LEAD_II);

    // What replaces a grant takes its place on the chain, and the old one opens nothing.
    let (index, file) = (part.to_string(), ward.consortium.people("narrow.grant"));
    let replace = ["grant", "replace", "--wallet", &ward.wallet, "--index", &index, "--to", &nurse];
    let replaced = ward.consortium.salus(&[&replace[..], &["--class", "waveform", "--out", &file]].concat());
    assert_eq!(replaced["index"], part + 1);
    ward.read("nurse.person", "narrow.grant", &[]).await;
    assert_eq!(ward.refused("nurse.person", "part.grant", &[]), "SAL-2009");

    // The patient sees each grant as it is, and every access with its person.
    let grants = ward.consortium.salus(&["grant", "list", "--wallet", &ward.wallet]);
    assert_eq!(grants["grants"].as_array().unwrap().len(), usize::try_from(part).unwrap() + 1);
    assert_eq!(grants["grants"][0]["grantee"], "every nurse of member 0");
    assert_eq!(grants["grants"][1]["terms"]["classes"][0], "substance-use");
    let accesses = ward.consortium.salus(&["access", "list", "--wallet", &ward.wallet]);
    let first = &accesses["grants"][0]["accesses"][0];
    assert_eq!((first["requester"].as_str(), first["purpose"].as_str()), (Some(&*nurse), Some("TREAT")));
    ward.accounts(&accesses, &nurse);
}

/// The consent of the vectors, with this person, gateway and purposes; nothing is denied.
fn consent(person: &str, writer: &str) -> Value {
    let mut consent: Value =
        serde_json::from_str(include_str!("../../../vectors/consent/good/person.json")).unwrap();
    let provision = &mut consent["provision"];
    provision["actor"][0]["reference"]["identifier"]["value"] = person.into();
    provision["actor"][1]["reference"]["identifier"]["value"] = writer.into();
    provision["dataPeriod"] = serde_json::json!({ "start": "2026-01-01T00:00:00.000Z" });
    provision["period"] =
        serde_json::json!({ "start": "2026-01-01T00:00:00.000Z", "end": "2199-12-31T23:59:59.999Z" });
    provision.as_object_mut().unwrap().remove("provision");
    consent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fhir_consent_becomes_a_grant_and_comes_back_as_it_was() {
    let ward = Ward::open().await;
    let nurse = ward.register("nurse.person", &["--role", "nurse"]);
    // The ward that collects the data may treat, by a grant that the patient sees.
    ward.stream("second.device", &[]);
    ward.read_of(2, "nurse.person", "second.device.nurse.grant", &[]).await;
    let seen = ward.consortium.salus(&["grant", "list", "--wallet", &ward.wallet]);
    assert_eq!(seen["grants"][1]["grantee"], "every nurse of member 0");
    let config: toml::Table =
        std::fs::read_to_string(ward.consortium.dir.join("gateway-0/gateway.toml")).unwrap().parse().unwrap();
    let writer = config["party"].as_str().unwrap();
    let given = consent(&nurse, writer);
    let file = ward.consortium.people("consent.json");
    let keep = |value: &Value| std::fs::write(&file, value.to_string()).unwrap();
    keep(&given);
    let index = ward.grant("fhir.grant", &["--consent", &file]).to_string();
    ward.read_of(2, "nurse.person", "fhir.grant", &[]).await;
    let back = ["grant", "consent", "--wallet", &ward.wallet, "--index", &index];
    assert_eq!(ward.consortium.salus(&back), given);

    // What cannot be kept is refused by its name, and nothing is granted.
    let mut unknown = given.clone();
    unknown["provision"]["provision"] = serde_json::json!([{ "type": "permit" }]);
    keep(&unknown);
    let out = ward.consortium.people("none.grant");
    let create = ["grant", "create", "--wallet", &ward.wallet, "--out", &out, "--consent", &file];
    let refused: Value = serde_json::from_slice(&ward.consortium.try_salus(&create).stdout).unwrap();
    assert_eq!(refused["error"], "SAL-5012");
    assert!(refused["detail"].as_str().unwrap().contains("Consent.provision.provision[0]"), "{refused}");
    // A person is not an application, and another gateway is not this one.
    let mut app = given.clone();
    app["provision"]["actor"][0]["reference"]["type"] = "Device".into();
    for other in [app, consent(&nurse, &nurse)] {
        keep(&other);
        assert_eq!(ward.consortium.try_salus(&create).status.code(), Some(2));
    }
    ward.consortium.salus(&["grant", "revoke", "--wallet", &ward.wallet, "--index", &index]);
    let gone: Value = serde_json::from_slice(&ward.consortium.try_salus(&back).stdout).unwrap();
    assert_eq!(gone["error"], "SAL-2009");
}
