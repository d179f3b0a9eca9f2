//! What members leak opens nothing while it is less than the threshold of key shares: one custodian's whole
//! disk with all its keys, the fragments of every store, and both together with one share too few. With
//! one more share everything opens, so that the rest is no accident of the test.

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
use consortium::{Consortium, MEMBERS, SOON};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::Wallet;
use salus_clinical::segment::unpack;
use salus_crypto::chain::{ChainAnchor, ChainSeed};
use salus_crypto::secret::Secret;
use salus_crypto::sharing::{self, Share, ShareIndex, Threshold};
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_fragment::{
    CheckedShare, EpochTerms, Fragment, OpenError, OpenedSegment, OpeningEpoch, Quorum, SealingEpoch,
    ShareFault, check, open,
};
use salus_store::{Fragments, Shares, key_file};
use salus_wire::limits::{EPOCHS_PER_ENVELOPE_MAX, RPC_BYTES_MAX};
use salus_wire::release::{EpochHeader, EpochShare};
use salus_wire::rpc::Fetched;
use salus_wire::{ChainId, EpochId, Faults, Locator, Manifest, MemberIndex, SegmentIndex, decode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use until::until;

const SECONDS: usize = 5;
/// Segments that an epoch of this test has at most.
const SEGMENTS_MAX: u32 = 64;
/// Shares that somebody makes up for the one that is missing.
const GUESSES: u8 = 64;
/// Bytes of plaintext that are looked for, and how far apart.
const WINDOW: usize = 16;
const STEP: usize = 97;

/// The disks and key files of all members, of which a test takes what was leaked.
struct Disks {
    dir: PathBuf,
    chain: ChainId,
    faults: Faults,
    writer: PublicKey,
    /// More than a thief has: files are named by a keyed hash of it.
    grants: ChainAnchor,
    _consortium: Consortium,
}

impl Disks {
    /// Streams, sees everything kept by everybody, and stops all processes.
    async fn written() -> Self {
        let mut consortium = Consortium::build();
        consortium.start().await;
        let (wallet, device) = (consortium.people("patient.wallet"), consortium.people("monitor.device"));
        let (person, grant) = (consortium.people("nurse.person"), consortium.people("nurse.grant"));
        consortium.salus(&["patient", "new", "--out", &wallet]);
        consortium.salus(&["device", "enrol", "--wallet", &wallet, "--out", &device, "--no-treatment"]);
        let nurse = consortium.salus(&["person", "register", "--out", &person]);
        let party = nurse["party"].as_str().unwrap();
        consortium.salus(&["grant", "create", "--wallet", &wallet, "--to", party, "--out", &grant]);
        consortium.salus(&["device", "stream", "--device", &device, "--seconds", &SECONDS.to_string()]);
        until("everything is read and everybody holds some of it", SOON, async || {
            let read = consortium.try_salus(&["read", "--person", &person, "--grant", &grant]);
            let read: Value = serde_json::from_slice(&read.stdout).ok()?;
            let kept = |member: usize| {
                let data = consortium.dir.join(format!("member-{member}/data"));
                (files(&data.join("custodian")).len(), files(&data.join("store/seg")).len())
            };
            let first = kept(0);
            let alike = first.0 > 0 && first.1 > 0 && (1..MEMBERS).all(|member| kept(member) == first);
            (read["readings"] == SECONDS && alike).then_some(())
        })
        .await;
        for name in consortium.names() {
            consortium.stop(&name).await;
        }
        Self::of(consortium)
    }

    fn of(consortium: Consortium) -> Self {
        let dir = consortium.dir.clone();
        let text = std::fs::read_to_string(dir.join("consortium.toml")).unwrap();
        let parsed = salus_link::Consortium::parse(&text).unwrap();
        let writer = key_file::read(&dir.join("keys/gateway-0/signing.key")).unwrap();
        let wallet = std::fs::read(dir.join("people/patient.wallet")).unwrap();
        let wallet: Wallet = decode(&wallet, RPC_BYTES_MAX).unwrap();
        Self {
            dir,
            chain: parsed.chain(),
            faults: parsed.faults(),
            writer: SigningKey::from_seed(writer).public_key(),
            grants: wallet.chain().anchor(),
            _consortium: consortium,
        }
    }

    fn data(&self, member: u16) -> PathBuf {
        self.dir.join(format!("member-{member}/data"))
    }

    /// Every share that a member holds, opened with its machine key by the code that serves it.
    async fn shares(&self, member: u16) -> Vec<EpochShare> {
        let data = self.data(member);
        let key = self.dir.join(format!("keys/member-{member}/machine.key"));
        let machine = key_file::read_machine_key(&key, &data).unwrap();
        let shares = Shares::open(&data.join("custodian"), machine).await.unwrap();
        let page = shares.page(&self.grants, |_| true, 0, EPOCHS_PER_ENVELOPE_MAX).await.unwrap();
        assert!(page.remaining == 0 && !page.shares.is_empty());
        assert_eq!(page.shares.len(), usize::try_from(shares.count()).unwrap(), "of this patient all");
        page.shares
    }

    /// The shares of these members, by epoch.
    async fn leaked(&self, members: &[u16]) -> BTreeMap<EpochId, Vec<CheckedShare>> {
        let mut epochs: BTreeMap<EpochId, Vec<CheckedShare>> = BTreeMap::new();
        for member in members {
            for share in self.shares(*member).await {
                let (epoch, at) = (share.header.epoch, MemberIndex::new(*member));
                let share = CheckedShare::check(self.chain, self.faults, &self.writer, at, share).unwrap();
                epochs.entry(epoch).or_default().push(share);
            }
        }
        epochs
    }

    /// What the stores of these members serve, by locator.
    async fn fragments(&self, members: &[u16]) -> BTreeMap<Locator, Vec<Fetched>> {
        let mut segments: BTreeMap<Locator, Vec<Fetched>> = BTreeMap::new();
        for member in members {
            let store = self.data(*member).join("store");
            let fragments = Fragments::open(&store).await.unwrap();
            for file in files(&store.join("seg")) {
                let kept: Fetched = decode(&std::fs::read(file).unwrap(), RPC_BYTES_MAX).unwrap();
                let served = fragments.fetch(&kept.manifest.locator).await.unwrap().unwrap();
                segments.entry(served.manifest.locator).or_default().push(served);
            }
        }
        segments
    }
}

/// Every file in a folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.unwrap().path())).collect()
}

/// As many fragments of a segment as rebuild its ciphertext.
fn quorum(segment: &[Fetched]) -> Option<Quorum> {
    let manifest = &segment[0].manifest;
    let checked = segment.iter().map(|fetched| {
        check(manifest, fetched.index, Fragment::from_bytes(fetched.fragment.to_vec())).unwrap()
    });
    Quorum::gather(manifest, checked.collect()).ok()
}

/// Opens a segment at whatever place of the epoch it stands.
fn opened(epoch: &OpeningEpoch, segment: &[Fetched]) -> Option<OpenedSegment> {
    let manifest: &Manifest = &segment[0].manifest;
    (0..SEGMENTS_MAX).map(SegmentIndex::new).find_map(|index| match epoch.segment_key(index, manifest) {
        Ok(key) => Some(open(manifest, quorum(segment)?, key).unwrap()),
        Err(OpenError::Mixed) => None,
        Err(error) => panic!("{error}"),
    })
}

/// A member, and the bytes of its share.
type Raw = (u16, [u8; 32]);

/// Whether this many shares, taken for enough, make the key to which the writer is bound.
fn makes_the_key(header: &EpochHeader, shares: &[Raw]) -> bool {
    let together = Threshold::new(u16::try_from(shares.len()).unwrap()).unwrap();
    let share = |(member, bytes): &Raw| {
        Share::from_parts(ShareIndex::new(member + 1).unwrap(), Secret::from_bytes(*bytes))
    };
    let shares: Vec<Share> = shares.iter().map(share).collect();
    let key = sharing::combine(together, &shares).unwrap();
    sharing::key_commitment(header.epoch.as_bytes(), &key) == header.key_commitment
}

/// An epoch with the terms of this one, of a key that somebody made up.
fn made_up(disks: &Disks, header: &EpochHeader) -> OpeningEpoch {
    let rng = &mut StdRng::seed_from_u64(1);
    let writer = SigningKey::generate(rng);
    let terms = EpochTerms {
        writer: header.writer,
        class: header.class,
        code: header.code,
        span: header.span,
        grants: ChainSeed::generate(rng).anchor(),
    };
    let shares = SealingEpoch::generate(terms, rng).shares(disks.chain, disks.faults, &writer, rng);
    let checked = (0..).map(MemberIndex::new).zip(shares).map(|(at, share)| {
        CheckedShare::check(disks.chain, disks.faults, &writer.public_key(), at, share).unwrap()
    });
    OpeningEpoch::combine(checked.collect()).unwrap()
}

/// The header of the one epoch of these shares, and each with its custodian.
async fn one_epoch(disks: &Disks, members: &[u16]) -> (EpochHeader, Vec<Raw>) {
    let mut header = None;
    let mut shares = Vec::new();
    for member in members {
        let all = disks.shares(*member).await;
        let first = all.iter().min_by_key(|share| share.header.epoch).unwrap();
        shares.push((*member, *first.share.0.danger_expose()));
        assert!(header.is_none_or(|other| other == first.header), "all hold shares of the same epochs");
        header = Some(first.header.clone());
    }
    (header.unwrap(), shares)
}

/// Fewer shares than the threshold open no epoch; what they make, taken for enough or filled up with made-up
/// ones, is not its key.
async fn assert_closed(disks: &Disks, members: &[u16]) {
    let need = usize::from(disks.faults.key_threshold());
    assert!(members.len() < need);
    for shares in disks.leaked(members).await.into_values() {
        let have = shares.len();
        let refused = OpeningEpoch::combine(shares);
        assert!(matches!(refused, Err(ShareFault::TooFew { have: h, need: n }) if (h, n) == (have, need)));
    }
    let (header, shares) = one_epoch(disks, members).await;
    assert!(!makes_the_key(&header, &shares));
    let others: Vec<u16> = (0..disks.faults.members()).filter(|member| !members.contains(member)).collect();
    for guess in 0..GUESSES {
        let guessed = others.iter().take(need - members.len()).map(|other| (*other, [guess; 32]));
        let filled: Vec<Raw> = shares.iter().copied().chain(guessed).collect();
        assert_eq!(filled.len(), need);
        assert!(!makes_the_key(&header, &filled));
    }
}

/// Everything that opens with the shares of these members; each reading is one that was sent.
async fn readings(disks: &Disks, members: &[u16]) -> (usize, Vec<Vec<u8>>) {
    let all: Vec<u16> = (0..disks.faults.members()).collect();
    let segments = disks.fragments(&all).await;
    let epochs: Vec<OpeningEpoch> = disks
        .leaked(members)
        .await
        .into_values()
        .map(|shares| OpeningEpoch::combine(shares).unwrap())
        .collect();
    let mut plaintexts = Vec::new();
    let mut frames = 0;
    for segment in segments.values() {
        let opened = epochs.iter().find_map(|epoch| opened(epoch, segment)).unwrap();
        let leaves = unpack(opened.plaintext()).unwrap();
        opened.prove(&leaves).unwrap();
        frames += leaves.len();
        plaintexts.extend(leaves.into_iter().map(|leaf| leaf.frame.to_vec()));
        plaintexts.push(opened.plaintext().to_vec());
    }
    (frames, plaintexts)
}

/// Windows of what is secret, in which not every byte is the same.
fn windows(secrets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let all = secrets.iter().flat_map(|secret| secret.windows(WINDOW).step_by(STEP));
    all.filter(|window| window.iter().any(|byte| *byte != window[0])).map(<[u8]>::to_vec).collect()
}

/// No file below the folder holds a window.
fn assert_nowhere(search: &AhoCorasick, folder: &Path) -> usize {
    let files = files(folder);
    for file in &files {
        assert!(search.find(&std::fs::read(file).unwrap()).is_none(), "in {}", file.display());
    }
    files.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fewer_members_than_the_threshold_leak_opens_nothing() {
    let disks = Disks::written().await;
    let (f, t) = (disks.faults.tolerated(), disks.faults.key_threshold());
    assert_eq!((f, t), (1, 3));

    // The control: with t shares and the fragments, every reading is there, whoever the t are.
    for members in [[0, 1, 2], [3, 0, 2], [1, 2, 3]] {
        let (header, shares) = one_epoch(&disks, &members).await;
        assert!(makes_the_key(&header, &shares));
        assert_eq!(readings(&disks, &members).await.0, SECONDS);
    }
    let (_, plaintexts) = readings(&disks, &[0, 1, 2]).await;
    let secrets = windows(&plaintexts);
    assert!(secrets.len() > 20, "{} windows", secrets.len());
    let search = AhoCorasick::new(&secrets).unwrap();
    assert!(plaintexts.iter().all(|plaintext| search.find(plaintext).is_some()));

    // A custodian leaks its shares, its whole disk and every key it has.
    for member in 0..disks.faults.members() {
        assert_closed(&disks, &[member]).await;
        for segment in disks.fragments(&[member]).await.values() {
            assert!(quorum(segment).is_none(), "one fragment rebuilds no ciphertext");
        }
    }

    // Every store leaks every fragment, and everything else on its disk: the ciphertext is whole.
    let mut searched = 0;
    for member in 0..disks.faults.members() {
        searched += assert_nowhere(&search, &disks.data(member));
    }
    assert!(searched > 40, "only {searched} files were searched");
    let (header, _) = one_epoch(&disks, &[0]).await;
    let wrong = made_up(&disks, &header);
    let all: Vec<u16> = (0..disks.faults.members()).collect();
    for segment in disks.fragments(&all).await.values() {
        assert!(quorum(segment).is_some());
        assert!(opened(&wrong, segment).is_none());
    }

    // Both, with all the shares of 2f members: one too few.
    for members in [[0, 1], [0, 3], [2, 3]] {
        assert_eq!(u16::try_from(members.len()).unwrap(), 2 * f);
        assert_closed(&disks, &members).await;
    }
}
