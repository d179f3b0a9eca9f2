//! Erasure, end to end, with real processes: a patient orders, one member is away, one lies and keeps its disk,
//! one is set back to a backup from before. What was ordered destroyed is gone for good, what was another
//! patient's is still there, and nobody can tell that the patient ever was.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "bad_input/consortium.rs"]
mod consortium;
#[path = "bad_input/until.rs"]
mod until;

use aho_corasick::AhoCorasick;
use consortium::{Consortium, SOON};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::{ChainAnchor, ChainSeed};
use salus_crypto::secret::Secret;
use salus_crypto::sign::PublicKey;
use salus_fragment::{CheckedShare, Fragment, OpeningEpoch, Quorum, ShareFault, check};
use salus_gateway::registry;
use salus_store::queue::file::{FileNumber, Scanned, scan};
use salus_store::queue::row::Record;
use salus_store::{Fragments, Shares, key_file};
use salus_wire::tx::{assignment_commitment, enrolment_commitment};
use salus_wire::{DeviceId, FragmentIndex, Locator, MemberIndex, SegmentIndex};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use until::until;

const SECONDS: u64 = 3;
const MEMBERS: usize = 4;
/// Away while the order is given.
const AWAY: usize = 2;
/// Signs that everything is destroyed, and has kept a copy of its disk.
const LIAR: usize = 3;
/// Set back to a backup afterwards.
const RESTORED: usize = 1;

/// Everything about a patient that must be nowhere afterwards.
struct Traces {
    anchor: ChainAnchor,
    device: DeviceId,
    /// By name, the bytes to search for.
    needles: Vec<(&'static str, Vec<u8>)>,
}

struct Ward {
    consortium: Consortium,
    backups: PathBuf,
    writer_key: PublicKey,
}

impl Ward {
    async fn open() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        let backups = consortium.dir.parent().unwrap().join("backups");
        std::fs::create_dir(&backups).unwrap();
        let key = key_file::read(&consortium.dir.join("keys/gateway-0/signing.key")).unwrap();
        let writer_key = salus_crypto::sign::SigningKey::from_seed(key).public_key();
        Self { consortium, backups, writer_key }
    }

    /// A patient whose monitor sends three seconds, and a grant of it to a party; waits until all is kept.
    async fn admit(&self, name: &str, party: &str) -> Traces {
        let file = |what: &str| self.consortium.people(&format!("{name}.{what}"));
        let (wallet, device) = (file("wallet"), file("device"));
        self.consortium.salus(&["patient", "new", "--out", &wallet]);
        self.consortium.salus(&["device", "enrol", "--no-treatment", "--wallet", &wallet, "--out", &device]);
        let seconds = SECONDS.to_string();
        self.consortium.salus(&["device", "stream", "--device", &device, "--seconds", &seconds]);
        self.consortium.salus(&[
            "grant",
            "create",
            "--wallet",
            &wallet,
            "--to",
            party,
            "--out",
            &file("grant"),
        ]);
        self.whole(name).await;
        self.traces(name)
    }

    /// What is searched for: also what only sealed files hold, opened with the gateway's own key.
    fn traces(&self, name: &str) -> Traces {
        let file = |what: &str| std::fs::read(self.consortium.people(&format!("{name}.{what}"))).unwrap();
        let (wallet, file) = (file("wallet"), file("device"));
        let seed: [u8; 32] = wallet[16..48].try_into().unwrap();
        let chain = ChainSeed::new(Secret::from_bytes(seed));
        let device = DeviceId::new(file[..16].try_into().unwrap());
        let folder = self.consortium.dir.join("gateway-0/data/registry");
        let enrolled = registry::get(&folder, &self.gateway_key(), device).unwrap();
        let assignment = &enrolled.assignments[0].assignment;
        assert_eq!(assignment.grants, chain.anchor());
        let needles = vec![
            ("the device", device.as_bytes().to_vec()),
            ("the device's key", enrolled.enrolment.key.as_bytes().to_vec()),
            ("the chain's seed", seed.to_vec()),
            ("the chain's anchor", chain.anchor().as_bytes().to_vec()),
            ("a link of the chain", chain.link(1).to_secret().danger_expose().to_vec()),
            ("the enrolment's salt", enrolled.enrolment.salt.to_vec()),
            ("the assignment's salt", assignment.salt.to_vec()),
        ];
        // The ledger's commitments are there, and say nothing without the salts.
        let ledger = self.ledger();
        for commitment in [enrolment_commitment(&enrolled.enrolment), assignment_commitment(assignment)] {
            assert!(ledger.contains(&commitment.to_string()));
        }
        Traces { anchor: chain.anchor(), device, needles }
    }

    fn ledger(&self) -> String {
        self.consortium.salus(&["ledger"]).to_string()
    }

    fn gateway_key(&self) -> MachineKey {
        let dir = &self.consortium.dir;
        key_file::read_machine_key(&dir.join("keys/gateway-0/machine.key"), &dir.join("gateway-0/data"))
            .unwrap()
    }

    fn try_read(&self, name: &str) -> Value {
        let (person, grant) =
            (self.consortium.people("nurse.person"), self.consortium.people(&format!("{name}.grant")));
        let output = self.consortium.try_salus(&["read", "--person", &person, "--grant", &grant]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn whole(&self, name: &str) {
        until("all of it is read", SOON, async || {
            let result = self.try_read(name);
            assert!(result["error"].is_null() || result["error"] == "SAL-2018", "{result}");
            (result["readings"] == SECONDS).then_some(())
        })
        .await;
    }

    fn order(&self, options: &[&str]) -> Value {
        let (wallet, out) = (self.consortium.people("ada.wallet"), self.consortium.people("ada.order"));
        self.consortium.salus(&[&["erase", "order", "--wallet", &wallet, "--out", &out], options].concat())
    }

    fn status(&self) -> Value {
        self.consortium.salus(&["erase", "status", "--wallet", &self.consortium.people("ada.wallet")])
    }

    fn data(&self, member: usize) -> PathBuf {
        self.consortium.dir.join(format!("member-{member}/data"))
    }

    /// Waits until every member holds its share and its fragment of everything: what is acknowledged is with
    /// `n - f` of them, and the rest follows.
    async fn everywhere(&self, traces: [&Traces; 2]) {
        until("every member holds all", SOON, async || {
            let held: Vec<BTreeSet<_>> = (0..MEMBERS).map(|member| self.fragments_of(member)).collect();
            let shares = |traces: &&Traces| {
                (0..MEMBERS).all(|member| self.folder(member, &self.data(member), &traces.anchor).exists())
            };
            (held.windows(2).all(|pair| pair[0] == pair[1]) && traces.iter().all(shares)).then_some(())
        })
        .await;
    }

    fn fragments_of(&self, member: usize) -> BTreeSet<OsString> {
        let names = std::fs::read_dir(self.data(member).join("store/seg")).into_iter().flatten();
        names.map(|entry| entry.unwrap().file_name()).collect()
    }

    /// Copies the disk of a member that stands still, and starts it again.
    async fn back_up(&mut self, member: usize) {
        self.consortium.stop(&format!("member-{member}")).await;
        copy(&self.data(member), &self.backups.join(member.to_string()));
        self.consortium.start_member(member);
        let consortium = &self.consortium;
        until("the member is back", SOON, async || (consortium.height(member) > 0).then_some(())).await;
    }

    /// Where this member keeps the shares of a chain.
    fn folder(&self, member: usize, data: &Path, anchor: &ChainAnchor) -> PathBuf {
        let key = self.consortium.dir.join(format!("keys/member-{member}/machine.key"));
        let key = key_file::read_machine_key(&key, data).unwrap();
        data.join("custodian/share").join(key.label(&[b"chain", anchor.as_bytes()]).to_string())
    }

    fn shares_at(&self, member: usize, data: &Path) -> impl Future<Output = Shares> + use<> {
        let key = self.consortium.dir.join(format!("keys/member-{member}/machine.key"));
        let (key, data) = (key_file::read_machine_key(&key, data).unwrap(), data.join("custodian"));
        async move { Shares::open(&data, key).await.unwrap() }
    }

    /// The shares of a chain on a disk, by epoch, as a thief with the machine's key finds them.
    async fn found(&self, member: usize, data: &Path, anchor: &ChainAnchor) -> Vec<CheckedShare> {
        let consortium = std::fs::read_to_string(self.consortium.dir.join("consortium.toml")).unwrap();
        let consortium = salus_link::Consortium::parse(&consortium).unwrap();
        let (chain, faults) = (consortium.chain(), consortium.faults());
        let page = self.shares_at(member, data).await.page(anchor, |_| true, 0, 64).await.unwrap();
        let custodian = MemberIndex::new(u16::try_from(member).unwrap());
        let check = |share| CheckedShare::check(chain, faults, &self.writer_key, custodian, share).unwrap();
        page.shares.into_iter().map(check).collect()
    }

    /// Where the patient's fragments lay: put together from three backups, which are one too many to be lost.
    async fn locators(&self, anchor: &ChainAnchor) -> Vec<Locator> {
        let mut shares = Vec::new();
        for member in [0, RESTORED, LIAR] {
            shares.extend(self.found(member, &self.backups.join(member.to_string()), anchor).await);
        }
        assert_eq!(shares.len(), 3, "one epoch, three shares");
        for member in [0, RESTORED, LIAR] {
            assert!(self.folder(member, &self.backups.join(member.to_string()), anchor).exists());
        }
        let epoch = OpeningEpoch::combine(shares).unwrap();
        let store = Fragments::open(&self.backups.join("0/store")).await.unwrap();
        let mut locators = Vec::new();
        for index in 0.. {
            let locator = epoch.locator(SegmentIndex::new(index));
            if !store.holds(&locator).await.unwrap() {
                break;
            }
            locators.push(locator);
        }
        assert!(!locators.is_empty());
        locators
    }

    /// Neither shares nor fragments of the patient are on this disk.
    fn nothing_at(&self, member: usize, anchor: &ChainAnchor, locators: &[Locator]) {
        let data = self.data(member);
        assert!(!self.folder(member, &data, anchor).exists(), "shares at member {member}");
        for locator in locators {
            let path = data.join("store/seg").join(locator.to_string());
            assert!(!path.exists(), "a fragment at member {member}");
        }
    }

    async fn until_nothing_at(&self, member: usize, anchor: &ChainAnchor) {
        until("what was restored is destroyed again", SOON, async || {
            (!self.folder(member, &self.data(member), anchor).exists()).then_some(())
        })
        .await;
    }

    /// Puts the backup in place of the disk that there is, and starts the member.
    async fn restore(&mut self, member: usize, with_record: bool) {
        self.consortium.stop(&format!("member-{member}")).await;
        std::fs::remove_dir_all(self.data(member)).unwrap();
        copy(&self.backups.join(member.to_string()), &self.data(member));
        if !with_record {
            let record = self.consortium.dir.join(format!("keys/member-{member}/machine.erasures"));
            std::fs::remove_file(record).unwrap();
        }
        self.consortium.start_member(member);
        let consortium = &self.consortium;
        until("the member is back", SOON, async || (consortium.height(member) > 0).then_some(())).await;
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// With one liar's whole disk nothing opens: one share of three, one fragment of two.
async fn the_liar_has_nothing_that_opens(ward: &Ward, anchor: &ChainAnchor, locators: &[Locator]) {
    let kept = ward.backups.join(LIAR.to_string());
    let shares = ward.found(LIAR, &kept, anchor).await;
    assert_eq!(shares.len(), 1, "the liar has kept its share");
    let opened = OpeningEpoch::combine(shares);
    assert!(matches!(opened, Err(ShareFault::TooFew { have: 1, need: 3 })), "{opened:?}");
    let store = Fragments::open(&kept.join("store")).await.unwrap();
    for locator in locators {
        let fetched = store.fetch(locator).await.unwrap().unwrap();
        let index = FragmentIndex::new(u16::try_from(LIAR).unwrap());
        let fragment = Fragment::from_bytes(fetched.fragment.to_vec());
        let good = check(&fetched.manifest, index, fragment).unwrap();
        assert!(Quorum::gather(&fetched.manifest, vec![good]).is_err());
    }
}

/// The gateway's files hold nothing of the device or the chain, read with the gateway's own key.
fn the_gateway_knows_nothing(ward: &Ward, traces: &Traces) {
    let data = ward.consortium.dir.join("gateway-0/data");
    let key = ward.gateway_key();
    assert!(registry::get(&data.join("registry"), &key, traces.device).is_err());
    let mut records = 0;
    for entry in std::fs::read_dir(data.join("queue")).unwrap() {
        let path = entry.unwrap().path();
        let Some(number) = path.file_name().and_then(|name| name.to_str()).and_then(FileNumber::parse) else {
            continue;
        };
        let Scanned::Intact { records: found, .. } = scan(&key, number, &std::fs::read(&path).unwrap())
        else {
            panic!("a file of the queue is damaged");
        };
        for record in found {
            records += 1;
            match record {
                Record::Row(row) => {
                    assert_ne!(row.arrival.device, traces.device);
                    assert_ne!(row.arrival.route.grants, traces.anchor);
                }
                Record::Checkpoint(checkpoint) => {
                    assert!(checkpoint.devices.iter().all(|(device, _)| *device != traces.device));
                }
                Record::Started(_) | Record::DoneBelow(_) => {}
            }
        }
    }
    assert!(records > 0, "the queue has files");
}

/// No file of any machine, log or record, and no entry of the ledger, holds one of these, raw or in hexadecimal.
fn nothing_names(ward: &Ward, traces: &Traces) {
    let forms = |needle: &Vec<u8>| [needle.clone(), hex::encode(needle).into_bytes()];
    let names: Vec<&'static str> = traces.needles.iter().flat_map(|(what, _)| [*what; 2]).collect();
    let needles = AhoCorasick::new(traces.needles.iter().flat_map(|(_, needle)| forms(needle))).unwrap();
    let hit = |bytes: &[u8]| needles.find(bytes).map(|found| names[found.pattern().as_usize()]);
    // The search finds what is there: the device's own file holds its id.
    assert_eq!(hit(&std::fs::read(ward.consortium.people("ada.device")).unwrap()), Some("the device"));
    let mut searched = 0;
    search(&ward.consortium.dir, &hit, &mut searched);
    assert!(searched > 50, "only {searched} files were searched");
    assert_eq!(hit(ward.ledger().as_bytes()), None, "on the ledger");
}

fn search(folder: &Path, hit: &dyn Fn(&[u8]) -> Option<&'static str>, searched: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("people") {
            continue;
        }
        if path.is_dir() {
            search(&path, hit, searched);
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert_eq!(hit(&bytes), None, "in {}", path.display());
            *searched += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_patient_has_destroyed_is_gone_for_good_and_nothing_tells_of_it() {
    let mut ward = Ward::open().await;
    let nurse = ward.consortium.people("nurse.person");
    let nurse =
        ward.consortium.salus(&["person", "register", "--out", &nurse])["party"].as_str().unwrap().to_owned();
    let ada = ward.admit("ada", &nurse).await;
    let bob = ward.admit("bob", &nurse).await;
    ward.everywhere([&ada, &bob]).await;
    for member in [0, RESTORED, LIAR] {
        ward.back_up(member).await;
    }
    let locators = ward.locators(&ada.anchor).await;

    // One member is away: too few can hold a share for anything to open, and who is missing is said.
    ward.consortium.stop(&format!("member-{AWAY}")).await;
    let ordered = ward.order(&[]);
    assert_eq!(
        (&ordered["irrecoverable"], &ordered["complete"], &ordered["writer_missing"]),
        (&true.into(), &false.into(), &true.into()),
        "{ordered}"
    );
    assert_eq!(ordered["missing"], serde_json::json!([AWAY]));
    for member in [0, RESTORED, LIAR] {
        ward.nothing_at(member, &ada.anchor, &locators);
    }
    assert_eq!(ward.try_read("ada")["error"], "SAL-2009");
    ward.whole("bob").await;

    // The patient grants nothing more, and sees the order for what it is.
    let wallet = ward.consortium.people("ada.wallet");
    let create = ["grant", "create", "--wallet", &wallet, "--to", &nurse, "--out", "none.grant"];
    let refused: Value = serde_json::from_slice(&ward.consortium.try_salus(&create).stdout).unwrap();
    assert_eq!(refused["error"], "SAL-2023");
    let listed = ward.consortium.salus(&["grant", "list", "--wallet", &wallet]);
    assert_eq!(listed["grants"][1]["erasure"], true, "{listed}");

    // The gateway forgets, while it runs, and signs.
    let order = ward.consortium.people("ada.order");
    let forgotten = ward.consortium.salus(&["erase", "forget", "--order", &order]);
    assert_eq!(forgotten["assignments"], 1);
    until("the gateway signs", SOON, async || ward.status()["writer_missing"].as_bool().filter(|gone| !gone))
        .await;
    assert_eq!(ward.status()["complete"], false, "a receipt is missing");

    // Who was away is back, and obeys.
    ward.consortium.start_member(AWAY);
    until("everybody has signed", SOON, async || ward.order(&[])["complete"].as_bool().filter(|all| *all))
        .await;
    assert_eq!(ward.status()["missing"], serde_json::json!([]));
    ward.nothing_at(AWAY, &ada.anchor, &locators);

    // A backup brings nothing back: by the record beside the machine key; and without it, by the ledger alone.
    ward.restore(RESTORED, true).await;
    ward.until_nothing_at(RESTORED, &ada.anchor).await;
    ward.nothing_at(RESTORED, &ada.anchor, &locators);
    ward.restore(RESTORED, false).await;
    ward.until_nothing_at(RESTORED, &ada.anchor).await;

    the_liar_has_nothing_that_opens(&ward, &ada.anchor, &locators).await;
    let end = ward.order(&["--and-wallet"]);
    assert_eq!(end["wallet_destroyed"], true, "{end}");
    assert!(!Path::new(&wallet).exists() && !Path::new(&order).exists());
    the_gateway_knows_nothing(&ward, &ada);
    nothing_names(&ward, &ada);
    ward.whole("bob").await;
    ward.consortium.all_run();
}
