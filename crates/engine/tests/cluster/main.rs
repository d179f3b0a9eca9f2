//! The engine as a whole: real links, real disks, four members, and one that dies and comes back.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod consortium;

use consortium::{Consortium, MEMBERS, handles};
use futures::future::join_all;
use salus_crypto::digest::Digest;
use salus_engine::{Config, Engine, EngineError, Handle, Head};
use salus_proof::{Proven, TrustPolicy};
use salus_wire::{Code, Height, MemberIndex, Outcome, StateKey, Tx};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A bound on everything that should happen at all.
const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it should have happened by now")
}

/// Submits each transaction through one of the members in turn, all at once.
async fn submit_all(members: &[Handle], txs: Vec<Tx>) -> Height {
    let submitted = txs.into_iter().enumerate().map(|(n, tx)| {
        let member = members[n % members.len()].clone();
        async move { member.submit(tx).await.unwrap() }
    });
    let committed = soon(join_all(submitted)).await;
    assert!(committed.iter().all(|committed| committed.outcome == Outcome::Applied));
    committed.iter().map(|committed| committed.at.height).max().unwrap()
}

async fn all_reach(members: &[Handle], height: Height) -> Vec<Head> {
    soon(join_all(members.iter().map(|member| async move { member.reached(height).await.unwrap() }))).await
}

/// Every member holds the same block at every height up to `height`.
async fn agree(members: &[Handle], height: Height) {
    all_reach(members, height).await;
    for at in 0..=height.get() {
        let at = Height::new(at);
        let blocks =
            join_all(members.iter().map(|member| async move { member.block(at).await.unwrap().unwrap() }))
                .await;
        assert!(blocks.windows(2).all(|pair| pair[0] == pair[1]), "height {at}");
    }
}

fn key(n: u8) -> StateKey {
    StateKey::Enrolment(Digest::from_bytes([n; 32]))
}

/// A member proves to a stranger that one entry is there and another is not.
async fn proves(policy: &TrustPolicy, member: &Handle, present: u8, absent: u8) {
    let proof = soon(member.prove(vec![key(present), key(absent)])).await.unwrap();
    let state = salus_proof::state::verify(policy, &proof).unwrap();
    assert!(matches!(state.get(&key(present)), Proven::Present(_)));
    assert!(matches!(state.get(&key(absent)), Proven::Absent));
}

#[test]
fn members_order_keep_and_prove_and_one_that_died_catches_up() {
    let consortium = Consortium::new();
    let policy = TrustPolicy::from_genesis(&consortium.genesis).unwrap();
    let mut engines: Vec<Engine> = (0..MEMBERS).map(|member| consortium.start(member)).collect();
    let members = handles(&engines);
    runtime().block_on(async {
        let mut follower = members[1].follow();
        let height = submit_all(&members, (0..40).map(|n| consortium.enrolment(n)).collect()).await;
        agree(&members, height).await;
        proves(&policy, &members[2], 7, 200).await;
        let followed = soon(follower.recv()).await.unwrap();
        assert!(followed.block.header.height >= Height::new(1));

        // The same again, and a stranger's, are refused with their reason.
        let again = soon(members[3].submit(consortium.enrolment(7))).await;
        assert_eq!(again.unwrap_err().code, Code::AlreadyExists);
        let mut forged = consortium.enrolment(201);
        forged.signature = consortium.enrolment(202).signature;
        assert_eq!(soon(members[3].submit(forged)).await.unwrap_err().code, Code::BadSignature);

        // Whoever helped to make a revocation final had recorded it before (P2).
        let (commit, revoke, tag) = consortium.grant(1);
        submit_all(&members[..1], vec![commit]).await;
        submit_all(&members[..1], vec![revoke]).await;
        let told = consortium.refusals.iter().filter(|refusals| refusals.holds(tag)).count();
        assert!(told >= 3, "a quorum of members had to be told, {told} were");
    });

    // One member dies; the others go on.
    engines.pop().unwrap().stop();
    let members = handles(&engines);
    let behind = runtime()
        .block_on(async { submit_all(&members, (40..60).map(|n| consortium.enrolment(n)).collect()).await });

    // It comes back on what its disk holds, catches up, and takes part again.
    engines.push(consortium.start(MEMBERS - 1));
    let members = handles(&engines);
    runtime().block_on(async {
        all_reach(&members, behind).await;
        let height = submit_all(&members[3..], (60..70).map(|n| consortium.enrolment(n)).collect()).await;
        agree(&members, height).await;
        proves(&policy, &members[3], 65, 200).await;
        // Every height is certified, the ones it fetched too.
        for at in 1..=height.get() {
            let chain = soon(members[3].certified(Height::new(at))).await.unwrap();
            let header = salus_proof::chain::verify(&policy, &chain).unwrap();
            assert_eq!(header.header().height, Height::new(at));
        }
        assert_eq!(soon(members[0].certified(Height::new(u64::MAX))).await.unwrap_err().code, Code::NotFound);
    });

    // All of them stop and start again on the same folders.
    let heads: Vec<Head> = members.iter().map(Handle::head).collect();
    engines.into_iter().for_each(Engine::stop);
    assert_eq!(members[0].clone().head(), heads[0], "a handle outlives its engine harmlessly");
    let engines: Vec<Engine> = (0..MEMBERS).map(|member| consortium.start(member)).collect();
    let members = handles(&engines);
    runtime().block_on(async {
        let height = submit_all(&members, (70..80).map(|n| consortium.enrolment(n)).collect()).await;
        assert!(heads.iter().all(|head| head.height < height));
        agree(&members, height).await;
    });
}

/// The parts of a member's folder that hold blocks, and what it has done with them; not its certificates
/// and its votes.
const OF_BLOCKS: [&str; 7] = [
    "blocks/blocks-heights",
    "blocks/blocks-keys",
    "blocks/blocks-metadata",
    "blocks/blocks-table",
    "blocks/blocks-values",
    "blocks/archive-application-metadata",
    "state",
];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Its disk kept certificates of blocks that it did not keep, as when a write of a block found no room:
/// the blocks come from the others, and it starts.
#[test]
fn a_member_that_lost_blocks_it_has_certificates_of_starts_again() {
    let consortium = Arc::new(Consortium::new());
    let mut engines: Vec<Engine> = (0..MEMBERS).map(|member| consortium.start(member)).collect();
    let order = |engines: &[Engine], from: u8| {
        let members = handles(engines);
        let txs = (from..from + 20).map(|n| consortium.enrolment(n)).collect();
        runtime().block_on(async {
            let height = submit_all(&members, txs).await;
            agree(&members, height).await;
        });
    };
    order(&engines, 0);
    engines.pop().unwrap().stop();
    let (dir, early) = (consortium.config(MEMBERS - 1).dir, tempfile::tempdir().unwrap());
    OF_BLOCKS.iter().for_each(|part| copy(&dir.join(part), &early.path().join(part)));
    engines.push(consortium.start(MEMBERS - 1));
    order(&engines, 20);
    engines.pop().unwrap().stop();
    for part in OF_BLOCKS {
        std::fs::remove_dir_all(dir.join(part)).unwrap();
        copy(&early.path().join(part), &dir.join(part));
    }
    for entry in std::fs::read_dir(dir.join("blocks")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("archive-cache") {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let again = Arc::clone(&consortium);
    std::thread::spawn(move || tell.send(again.start(MEMBERS - 1)).is_ok());
    engines.push(told.recv_timeout(PATIENCE).expect("it starts"));
    order(&engines, 40);
}

#[test]
fn a_configuration_that_contradicts_the_genesis_is_refused() {
    let consortium = Consortium::new();
    let refused = |change: fn(&mut Config), expected: fn(&EngineError) -> bool| {
        let mut config = consortium.config(0);
        change(&mut config);
        let error = Engine::start(config, consortium.refusals[0].clone()).err().expect("refused");
        assert!(expected(&error), "{error}");
    };
    refused(|c| c.members.truncate(3), |e| matches!(e, EngineError::Members { named: 3, members: 4 }));
    refused(|c| c.members.swap(0, 1), |e| matches!(e, EngineError::PeerKey { .. }));
    refused(|c| c.me = MemberIndex::new(1), |e| matches!(e, EngineError::OwnKey));
    refused(|c| c.pacing.gather = c.pacing.heartbeat, |e| matches!(e, EngineError::Pacing));
    refused(|c| c.dir = "/dev/null/x".into(), |e| matches!(e, EngineError::Folder { .. }));
    refused(|c| c.listen = ([192, 0, 2, 1], 1).into(), |e| matches!(e, EngineError::Listen { .. }));
}
