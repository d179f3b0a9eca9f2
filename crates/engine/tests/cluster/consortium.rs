//! Four members as four engines in this process, over loopback, each with its own folder.

use futures::future::BoxFuture;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::{Secret, SigningKey};
use salus_engine::{Config, Engine, Handle, Pacing, Peer, Watch, WatchFailed};
use salus_wire::limits::GRANT_BODY_BYTES;
use salus_wire::{Blob, Genesis, GenesisMember, GrantTag, List, MemberIndex, TimeMs, Tx, TxBody};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const MEMBERS: u8 = 4;

/// What the custodian of one member was told before its votes.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Vec<GrantTag>>);

impl Watch for Refusals {
    fn before_vote(&self, revoked: Vec<GrantTag>) -> BoxFuture<'_, Result<(), WatchFailed>> {
        self.0.lock().unwrap().extend(revoked);
        Box::pin(async { Ok(()) })
    }

    fn before_apply(&self, _: &[GrantTag]) {}
}

impl Refusals {
    pub(crate) fn holds(&self, tag: GrantTag) -> bool {
        self.0.lock().unwrap().contains(&tag)
    }
}

pub(crate) struct Consortium {
    pub(crate) genesis: Genesis,
    pub(crate) registrar: SigningKey,
    pub(crate) refusals: Vec<Arc<Refusals>>,
    peers: Vec<Peer>,
    folder: tempfile::TempDir,
}

fn key(role: u8, member: u8) -> SigningKey {
    SigningKey::from_seed(seed(role, member))
}

fn seed(role: u8, member: u8) -> Secret<32> {
    let mut seed = [role; 32];
    seed[0] = member;
    Secret::from_bytes(seed)
}

impl Consortium {
    pub(crate) fn new() -> Self {
        let mut rng = StdRng::from_seed([5; 32]);
        let members = (0..MEMBERS).map(|member| GenesisMember {
            name: Blob::new(vec![b'a' + member]).unwrap(),
            consensus: key(1, member).public_key(),
            registrar: key(2, member).public_key(),
            service: key(3, member).public_key(),
            custodian: KemSecretKey::generate(&mut rng).public_key(),
            authority: Digest::from_bytes([member; 32]),
        });
        let genesis = Genesis {
            name: Blob::new(b"trial".to_vec()).unwrap(),
            time: TimeMs::new(1_000),
            members: List::new(members.collect()).unwrap(),
        };
        let peers = free_addresses().into_iter().zip(genesis.members.iter());
        let peers = peers.map(|(address, member)| Peer { key: member.consensus, address }).collect();
        let refusals = (0..MEMBERS).map(|_| Arc::default()).collect();
        let folder = tempfile::tempdir().unwrap();
        Self { genesis, registrar: key(2, 0), refusals, peers, folder }
    }

    pub(crate) fn config(&self, member: u8) -> Config {
        Config {
            dir: self.folder.path().join(format!("member-{member}")),
            me: MemberIndex::new(u16::from(member)),
            members: self.peers.clone(),
            listen: self.peers[usize::from(member)].address,
            consensus_seed: seed(1, member),
            genesis: self.genesis.clone(),
            pacing: pacing(),
        }
    }

    pub(crate) fn start(&self, member: u8) -> Engine {
        let watch: Arc<Refusals> = Arc::clone(&self.refusals[usize::from(member)]);
        Engine::start(self.config(member), watch).unwrap()
    }

    /// An enrolment, numbered.
    pub(crate) fn enrolment(&self, n: u8) -> Tx {
        let body =
            TxBody::EnrolDevice { enrolment: Digest::from_bytes([n; 32]), member: MemberIndex::new(0) };
        Tx::sign(self.genesis.chain(), body, &self.registrar)
    }

    /// A grant, and its end.
    pub(crate) fn grant(&self, n: u8) -> (Tx, Tx, GrantTag) {
        let tag = GrantTag(ChainTag::from_digest(Digest::from_bytes([n; 32])));
        let body = Blob::new(vec![n; GRANT_BODY_BYTES]).unwrap();
        let commit = TxBody::CommitGrant { tag, commitment: Digest::from_bytes([n; 32]), body };
        let sign = |body| Tx::sign(self.genesis.chain(), body, &key(7, n));
        (sign(commit), sign(TxBody::RevokeGrant { tag }), tag)
    }
}

fn pacing() -> Pacing {
    Pacing {
        heartbeat: Duration::from_millis(200),
        gather: Duration::from_millis(2),
        slack: Duration::from_millis(400),
    }
}

pub(crate) fn handles(engines: &[Engine]) -> Vec<Handle> {
    engines.iter().map(Engine::handle).collect()
}

fn free_addresses() -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> =
        (0..MEMBERS).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}
