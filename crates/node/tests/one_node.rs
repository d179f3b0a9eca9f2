//! A consortium of one real node: its engine, its disk and its door, called over real TLS, stopped
//! and started again. And the starts that must not succeed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{Signature, SigningKey};
use salus_link::{Authority, Caller, ClientTls, Consortium, Credential, MemberPlace, Subject};
use salus_node::cover::CoverRates;
use salus_node::limits::Rates;
use salus_node::{Node, NodeConfig, NodeError, run};
use salus_store::key_file;
use salus_wire::rpc::{Request, Response, Status};
use salus_wire::tx::PartyKind;
use salus_wire::{
    Blob, Code, Genesis, GenesisMember, Height, List, MemberIndex, Outcome, PartyId, Roles, StateKey,
    StateValue, TimeMs, TimeSpan, Tx, TxBody,
};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const ME: MemberIndex = MemberIndex::new(0);
const GATEWAY: PartyId = PartyId::new([4; 16]);
const WITHIN: Duration = Duration::from_secs(30);

struct Member {
    dir: tempfile::TempDir,
    config: NodeConfig,
    consortium: Consortium,
    authority: Authority,
    registrar: SigningKey,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn now() -> TimeMs {
    (salus_node::office::system_clock())()
}

fn key(dir: &Path, name: &str, n: u8) -> Secret<32> {
    let secret = Secret::from_bytes([n; 32]);
    key_file::create(&dir.join(name), &secret).unwrap();
    secret
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn credential(authority: &Authority, subject: &Subject) -> Credential {
    authority.issue(subject, &[], now()).unwrap()
}

fn member() -> Member {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let (consensus, service) = (key(at, "consensus.key", 1), key(at, "service.key", 2));
    let custodian = key(at, "custodian.key", 3);
    key(at, "machine.key", 4);
    let registrar = SigningKey::from_seed(Secret::from_bytes([5; 32]));
    let authority = Authority::generate(ME, now()).unwrap();
    let node = credential(&authority, &Subject::Member(ME));
    write(&at.join("node.pem"), node.chain_pem());
    write(&at.join("node.key"), node.danger_key_pem());
    let entry = GenesisMember {
        name: Blob::new(b"one".to_vec()).unwrap(),
        consensus: SigningKey::from_seed(consensus).public_key(),
        registrar: registrar.public_key(),
        service: SigningKey::from_seed(service).public_key(),
        custodian: KemSecretKey::from_seed(custodian).public_key(),
        authority: authority.fingerprint(),
    };
    let (listen_rpc, listen_peers) = (free_address(), free_address());
    let genesis = Genesis {
        name: Blob::new(b"trial".to_vec()).unwrap(),
        time: now(),
        members: List::new(vec![entry]).unwrap(),
    };
    let place = MemberPlace {
        name: "one".to_owned(),
        peers: listen_peers.to_string(),
        rpc: listen_rpc.to_string(),
        authority: authority.certificate_pem().to_owned(),
    };
    let consortium = Consortium::new(genesis, vec![place]).unwrap();
    std::fs::write(at.join("consortium.toml"), consortium.to_toml().unwrap()).unwrap();
    let config = NodeConfig {
        member: ME,
        consortium_file: at.join("consortium.toml"),
        data_dir: at.join("data"),
        listen_rpc,
        listen_peers,
        tls_cert_file: at.join("node.pem"),
        tls_key_file: at.join("node.key"),
        machine_key_file: at.join("machine.key"),
        activity_key_file: at.join("activity.key"),
        consensus_key_file: at.join("consensus.key"),
        service_key_file: at.join("service.key"),
        custodian_key_file: at.join("custodian.key"),
        erasures_dir: at.join("machine.erasures"),
        recovery_delay_ms_min: salus_wire::limits::RECOVERY_DELAY_MS_SAFE,
        rates: Rates::default(),
        cover: CoverRates::default(),
    };
    Member { dir, config, consortium, authority, registrar }
}

async fn start(member: &Member) -> (oneshot::Sender<()>, JoinHandle<Result<(), NodeError>>) {
    let (stop, stopped) = oneshot::channel();
    let node = Node::start(member.config.clone()).await.unwrap();
    (stop, tokio::spawn(node.until(async move { drop(stopped.await) })))
}

fn caller(member: &Member) -> Caller {
    let person = credential(&member.authority, &Subject::Person(PartyId::new([1; 16])));
    Caller::new(&ClientTls::new(person).unwrap(), &member.consortium.endpoints()).unwrap()
}

async fn call(caller: &Caller, request: Request) -> Response {
    caller.peer(ME).unwrap().call(&request, WITHIN).await.unwrap()
}

async fn status(caller: &Caller) -> Status {
    match call(caller, Request::Status).await {
        Response::Status(status) => status,
        _ => panic!("a status is answered with a status"),
    }
}

fn registration(member: &Member) -> Tx {
    let validity = TimeSpan::new(TimeMs::new(1), TimeMs::new(u64::MAX)).unwrap();
    let key = SigningKey::from_seed(Secret::from_bytes([6; 32])).public_key();
    let body = TxBody::RegisterIdentity {
        party: GATEWAY,
        kind: PartyKind::Gateway,
        member: ME,
        key,
        validity,
        roles: Roles::NONE,
        second: None,
    };
    Tx::sign(member.consortium.chain(), body, &member.registrar)
}

async fn is_registered(caller: &Caller) -> bool {
    let keys = List::new(vec![StateKey::Identity(GATEWAY)]).unwrap();
    match call(caller, Request::Read(keys)).await {
        Response::Values(values) => matches!(&values.values[..], [Some(StateValue::Identity(_))]),
        _ => panic!("a read is answered with values"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_orders_answers_stops_and_goes_on_where_it_was() {
    let member = member();
    let (stop, node) = start(&member).await;
    let caller = caller(&member);
    let first = status(&caller).await;
    assert_eq!((first.member, first.chain), (ME, member.consortium.chain()));
    assert!(!is_registered(&caller).await);

    let tx = registration(&member);
    let Response::Committed(committed) = call(&caller, Request::Submit(Box::new(tx.clone()))).await else {
        panic!("a submission is answered with its block");
    };
    assert_eq!(committed.outcome, Outcome::Applied);
    assert!(is_registered(&caller).await);
    let Response::Refused(refusal) = call(&caller, Request::Submit(Box::new(tx))).await else {
        panic!("a second registration is refused");
    };
    assert_eq!(refusal.code, Code::AlreadyExists);

    let below = Height::new(committed.at.height.get() - 1);
    let Response::Blocks(blocks) = call(&caller, Request::Follow(below)).await else {
        panic!("a follower is given blocks");
    };
    assert_eq!(blocks[0].block.header.height, committed.at.height);
    assert_eq!(&blocks[0].outcomes[..], [Outcome::Applied]);
    let keys = List::new(vec![StateKey::Identity(GATEWAY), StateKey::Tip]).unwrap();
    assert!(
        matches!(call(&caller, Request::Prove(keys)).await, Response::Proof(proof) if proof.items.len() == 2)
    );

    stop.send(()).unwrap();
    node.await.unwrap().unwrap();
    let (stop, node) = start(&member).await;
    let again = status(&caller).await;
    assert!(again.head.height >= committed.at.height);
    assert!(is_registered(&caller).await);
    stop.send(()).unwrap();
    node.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_over_its_rate_hears_when_to_come_again_and_can_still_withdraw() {
    let mut member = member();
    member.config.rates.submits = NonZeroU32::MIN;
    let (stop, node) = start(&member).await;
    let caller = caller(&member);
    let submit = async |tx: &Tx| call(&caller, Request::Submit(Box::new(tx.clone()))).await;
    let tx = registration(&member);
    assert!(matches!(submit(&tx).await, Response::Committed(_)));
    // A signature that nobody looked at is not said to be bad.
    let spoilt = Tx { signature: Signature::from_bytes([0; 64]), ..tx };
    let answers = futures::future::join_all((0..20).map(|_| submit(&spoilt))).await;
    let refusals: Vec<(Code, u32)> = answers.into_iter().map(refusal).collect();
    assert!(refusals.iter().any(|(code, _)| *code == Code::QuotaExceeded), "{refusals:?}");
    for (code, retry_after_ms) in refusals {
        let expected = if code == Code::QuotaExceeded { 1..=1_000 } else { 0..=0 };
        assert!(expected.contains(&retry_after_ms), "{code} {retry_after_ms}");
    }
    let end =
        Tx::sign(member.consortium.chain(), TxBody::RevokeIdentity { party: GATEWAY }, &member.registrar);
    assert!(matches!(submit(&end).await, Response::Committed(_)));
    stop.send(()).unwrap();
    node.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_cover_commits_grants_of_nothing_by_itself_and_stops() {
    let mut member = member();
    member.config.cover = CoverRates {
        grant_every_s: Some(1.try_into().unwrap()),
        access_every_s: Some(1.try_into().unwrap()),
    };
    let (stop, node) = start(&member).await;
    let caller = caller(&member);
    let mut above = Height::new(0);
    let mut covered = [false; 2];
    while covered != [true; 2] {
        let Response::Blocks(blocks) = call(&caller, Request::Follow(above)).await else {
            panic!("a follower is given blocks");
        };
        for block in blocks.iter() {
            above = block.block.header.height;
            assert!(block.outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
            for tx in block.block.transactions.iter() {
                covered[0] |= matches!(tx.body, TxBody::CommitGrant { .. });
                covered[1] |= matches!(tx.body, TxBody::RecordAccess { .. });
            }
        }
    }
    stop.send(()).unwrap();
    node.await.unwrap().unwrap();
}

fn refusal(response: Response) -> (Code, u32) {
    match response {
        Response::Refused(refusal) => (refusal.code, refusal.retry_after_ms),
        _ => panic!("it is refused"),
    }
}

async fn refused(config: NodeConfig) -> NodeError {
    run(config, std::future::pending()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_anothers_key_or_file_does_not_start() {
    let member = member();
    let at = member.dir.path();
    let config = || member.config.clone();
    key(at, "other.key", 9);
    let other = || at.join("other.key");
    for wrong in [
        NodeConfig { consensus_key_file: other(), ..config() },
        NodeConfig { service_key_file: other(), ..config() },
        NodeConfig { custodian_key_file: other(), ..config() },
    ] {
        assert!(matches!(refused(wrong).await, NodeError::ForeignKey { path } if path == other()));
    }
    let missing = refused(NodeConfig { consortium_file: at.join("none"), ..config() }).await;
    assert!(matches!(missing, NodeError::Unreadable { .. }));
    let nobody = refused(NodeConfig { member: MemberIndex::new(1), ..config() }).await;
    assert!(matches!(nobody, NodeError::NoSuchMember { member: 1 }));
    let garbage = refused(NodeConfig { consortium_file: other(), ..config() }).await;
    assert!(matches!(garbage, NodeError::Consortium { .. }));

    let person = credential(&member.authority, &Subject::Person(PartyId::new([1; 16])));
    write(&at.join("person.pem"), person.chain_pem());
    write(&at.join("person.key"), person.danger_key_pem());
    let foreign =
        NodeConfig { tls_cert_file: at.join("person.pem"), tls_key_file: at.join("person.key"), ..config() };
    assert!(matches!(refused(foreign).await, NodeError::ForeignCertificate { .. }));

    std::fs::create_dir_all(&member.config.data_dir).unwrap();
    key(&member.config.data_dir, "machine.key", 4);
    let among = member.config.data_dir.join("machine.key");
    let among = refused(NodeConfig { machine_key_file: among, ..config() }).await;
    assert!(matches!(among, NodeError::Store(salus_store::StoreError::KeyAmongData { .. })));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = refused(NodeConfig { listen_rpc: taken.local_addr().unwrap(), ..config() }).await;
    assert!(matches!(busy, NodeError::Listen { .. }));
}
