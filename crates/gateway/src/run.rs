//! The composition of one gateway, and its life from start to end. Everything that touches the
//! system's files and sockets is opened here.

use crate::batch::{Machine, Setup};
use crate::config::GatewayConfig;
use crate::deliveries::Deliveries;
use crate::desk::{Desk, Tolerance};
use crate::epochs::Members;
use crate::error::GatewayError;
use crate::follow::Follower;
use crate::forget::Forgetter;
use crate::intake::{Intake, intake};
use crate::mqtt::door;
use crate::pipeline::{self, Pipeline};
use crate::quarantine::{Shelf, quarantine};
use crate::registry::Registry;
use crate::stragglers::Stragglers;
use salus_client::drive::now;
use salus_client::{ClientError, Consortium as Client};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_link::tls::TrustedAuthority;
use salus_link::{Caller, ClientTls, Consortium, Credential, ServerTls, Subject};
use salus_proof::{Proven, TrustPolicy};
use salus_store::key_file;
use salus_store::queue::{self, QueueError};
use salus_wire::ids::{ChainId, MemberIndex, PartyId};
use salus_wire::limits::TX_BYTES_MAX;
use salus_wire::state::Standing;
use salus_wire::tx::PartyKind;
use salus_wire::{Blame, Code, Outcome, StateKey, StateValue, Tx, TxBody, decode};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Between looks at the registry's folder.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Between tries to find a member that answers.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Withdrawals that the pipeline has not heard of yet.
const TURNS_MAX: usize = 64;
/// From being told to end until connections are cut.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// What the files of the configuration hold.
struct Loaded {
    consortium: Consortium,
    credential: Credential,
    machine_key: Arc<MachineKey>,
    signing_key: SigningKey,
    authority: TrustedAuthority,
}

/// Runs a gateway until `shutdown` resolves, or until it fails. Devices are served from the start,
/// whether or not the consortium can be reached: what they send waits in the queue.
///
/// # Errors
/// [`GatewayError`]: it did not start, or a part of it without which it must not go on has ended.
pub async fn run(config: GatewayConfig, shutdown: impl Future<Output = ()>) -> Result<(), GatewayError> {
    let loaded = load(&config)?;
    let tls = ServerTls::devices(&loaded.credential, &loaded.authority).map_err(GatewayError::Tls)?;
    let address = config.listen_mqtt;
    let listener =
        TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })?;
    let machine_key = Arc::clone(&loaded.machine_key);
    let limits = queue_limits(&config);
    let (queue, reader) = queue::open(config.queue_folder(), Arc::clone(&machine_key), limits).await?;
    let registry = Registry::new(config.registry_folder(), Arc::clone(&machine_key), config.party);
    let registry = Arc::new(registry);
    registry.refresh()?;
    let (intake, checker) = intake(queue.clone(), Arc::clone(&registry));
    let (quarantine, ring, shelf) =
        quarantine(config.quarantine_folder(), Arc::clone(&machine_key), Arc::clone(&registry));
    let held = Held { intake: intake.clone(), queue: queue.clone(), shelf };
    let (close, open) = watch::channel(true);
    let tolerance = Tolerance { behind_ms: config.clock_behind_ms_max, ahead_ms: config.clock_ahead_ms_max };
    let desk = Desk {
        registry: Arc::clone(&registry),
        intake,
        quarantine,
        tolerance,
        machine_key: Arc::clone(&machine_key),
        clock: now,
        open,
    };
    let inner = inner(&config, loaded, queue.clone(), &registry)?;
    let (turns, heard) = mpsc::channel(TURNS_MAX);
    let forgetter = inner.forgetter(&config, &registry, held)?;
    let follower = inner.follower(&config, registry.clone(), turns.clone());
    let registration = register(&config, inner.client.clone(), inner.policy.clone(), inner.public_key);
    tracing::info!(party = %config.party, %address, devices = registry.len(), "the gateway waits for devices");
    let mut front = JoinSet::new();
    let limits = door::Limits {
        connections_max: config.connections_max,
        device_frames_per_s: config.device_frames_per_s,
    };
    front.spawn(door::serve(listener, tls, limits, Arc::new(desk)));
    let mut checking = JoinSet::new();
    checking.spawn(checker.run());
    let mut keeping = JoinSet::new();
    keeping.spawn(ring.run());
    let ended = tokio::select! {
        ended = pipeline::run(inner.pipeline, reader, heard) => ended,
        Some(ended) = checking.join_next() => ended.map_err(|_| GatewayError::Lost)?.map_err(GatewayError::from),
        () = queue.stopped() => Err(GatewayError::Queue(QueueError::Stopped)),
        () = follower.run() => Err(GatewayError::Lost),
        error = registration => Err(error),
        error = refresh(&registry, &turns) => Err(error),
        () = forgetter.run() => Err(GatewayError::Lost),
        _ = front.join_next() => Err(GatewayError::Lost),
        () = shutdown => Ok(()),
    };
    tracing::info!(party = %config.party, "the gateway stops");
    // Devices are told to go, once what they sent is answered; the rest they keep.
    close.send_replace(false);
    let _ = timeout(GOODBYE_WITHIN, front.join_next()).await;
    ended
}

fn queue_limits(config: &GatewayConfig) -> queue::Limits {
    let bytes_max = config.queue_bytes_max;
    let file_bytes_max = queue::Limits::default().file_bytes_max.min(bytes_max / 8);
    queue::Limits { bytes_max, file_bytes_max }
}

fn load(config: &GatewayConfig) -> Result<Loaded, GatewayError> {
    let consortium = read_text(&config.consortium_file)?;
    let consortium = Consortium::parse(&consortium)
        .map_err(|source| GatewayError::Consortium { path: config.consortium_file.clone(), source })?;
    let authority = consortium.authorities().into_iter().find(|authority| authority.member == config.member);
    let authority = authority.ok_or(GatewayError::NoSuchMember { member: config.member.get() })?;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|source| GatewayError::Unreadable { path: config.data_dir.clone(), source })?;
    let machine_key = key_file::read_machine_key(&config.machine_key_file, &config.data_dir)?;
    let signing_key = SigningKey::from_seed(key_file::read(&config.signing_key_file)?);
    let chain = read_text(&config.tls_cert_file)?;
    let key = key_file::read_text(&config.tls_key_file)?;
    let credential = Credential::from_pem(chain, key).map_err(GatewayError::Tls)?;
    if credential.subject().map_err(GatewayError::Tls)? != Subject::Gateway(config.party) {
        return Err(GatewayError::ForeignCertificate { path: config.tls_cert_file.clone() });
    }
    Ok(Loaded { consortium, credential, machine_key: Arc::new(machine_key), signing_key, authority })
}

fn read_text(path: &Path) -> Result<String, GatewayError> {
    std::fs::read_to_string(path).map_err(|source| GatewayError::Unreadable { path: path.to_owned(), source })
}

/// Where a running gateway holds what devices sent.
struct Held {
    intake: Intake,
    queue: queue::Queue,
    shelf: Shelf,
}

/// What faces the consortium.
struct Inner {
    pipeline: Pipeline,
    client: Client,
    caller: Caller,
    policy: TrustPolicy,
    public_key: PublicKey,
    members: u16,
    chain: ChainId,
}

fn inner(
    config: &GatewayConfig,
    loaded: Loaded,
    queue: queue::Queue,
    registry: &Arc<Registry>,
) -> Result<Inner, GatewayError> {
    let Loaded { consortium, credential, machine_key, signing_key, .. } = loaded;
    let genesis = consortium.genesis();
    let tls = ClientTls::new(credential).map_err(GatewayError::Tls)?;
    let caller = Caller::new(&tls, &consortium.endpoints()).map_err(GatewayError::Tls)?;
    let policy = TrustPolicy::from_genesis(genesis)
        .map_err(|_| GatewayError::NoSuchMember { member: config.member.get() })?;
    let indices: Vec<MemberIndex> = caller.peers().map(salus_link::Peer::member).collect();
    let members = Members {
        chain: consortium.chain(),
        faults: consortium.faults(),
        service_keys: genesis.members.iter().map(|member| member.service).collect(),
        custodians: genesis.members.iter().map(|member| member.custodian.clone()).collect(),
    };
    let public_key = signing_key.public_key();
    let (cadence_ms, anchors) = (config.cadence_ms, config.anchors);
    let setup = Setup { members, gateway: config.party, key: signing_key, cadence_ms, anchors };
    let client = Client::new(caller.clone());
    let pipeline = Pipeline {
        machine: Machine::new(setup),
        party: config.party,
        home: config.member,
        queue,
        caller: caller.clone(),
        consortium: client.clone(),
        policy: policy.clone(),
        deliveries: Deliveries::open(config.deposits_folder(), machine_key, &indices)?,
        stragglers: Stragglers::new(&indices),
        clock: now,
        registry: Arc::clone(registry),
    };
    let (chain, members) = (consortium.chain(), consortium.faults().members());
    Ok(Inner { pipeline, client, caller, policy, public_key, members, chain })
}

impl Inner {
    fn follower(
        &self,
        config: &GatewayConfig,
        registry: Arc<Registry>,
        turns: mpsc::Sender<ChainAnchor>,
    ) -> Follower {
        Follower {
            caller: self.caller.clone(),
            consortium: self.client.clone(),
            policy: self.policy.clone(),
            registry,
            party: config.party,
            home: config.member,
            members: self.members,
            turns,
            clock: now,
        }
    }

    fn forgetter(
        &self,
        config: &GatewayConfig,
        registry: &Arc<Registry>,
        held: Held,
    ) -> Result<Forgetter, GatewayError> {
        let Held { intake, queue, shelf } = held;
        // A second reading, because a key cannot be copied and the batch machine has the first.
        let key = SigningKey::from_seed(key_file::read(&config.signing_key_file)?);
        Ok(Forgetter {
            registry: Arc::clone(registry),
            intake,
            queue,
            shelf,
            consortium: self.client.clone(),
            policy: self.policy.clone(),
            chain: self.chain,
            party: config.party,
            home: config.member,
            key,
        })
    }
}

/// Reads the registry again and again; resolves only when it cannot be read.
async fn refresh(registry: &Arc<Registry>, turns: &mpsc::Sender<ChainAnchor>) -> GatewayError {
    loop {
        sleep(REFRESH_EVERY).await;
        let folder = Arc::clone(registry);
        let refreshed = tokio::task::spawn_blocking(move || folder.refresh()).await;
        for grants in registry.newly_erased() {
            tracing::info!("a patient's data is erased, nothing more is sealed for them");
            // Nobody seals any more when the gateway ends.
            let _ = turns.send(grants).await;
        }
        match refreshed {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the registry cannot be read, the last state of it holds")
            }
            Err(_) => return GatewayError::Lost,
        }
    }
}

/// Sees to it that the ledger knows this gateway; resolves only when it never will.
async fn register(
    config: &GatewayConfig,
    client: Client,
    policy: TrustPolicy,
    key: PublicKey,
) -> GatewayError {
    loop {
        match registered(config.party, config.member, &client, &policy, key).await {
            Ok(true) => return std::future::pending().await,
            Ok(false) => match submit(config, &client).await {
                Ok(()) => {}
                Err(error) => return error,
            },
            Err(GatewayError::Client(_)) => {}
            Err(error) => return error,
        }
        sleep(RETRY_EVERY).await;
    }
}

async fn registered(
    party: PartyId,
    home: MemberIndex,
    client: &Client,
    policy: &TrustPolicy,
    key: PublicKey,
) -> Result<bool, GatewayError> {
    let entry = StateKey::Identity(party);
    let state = client.proven(vec![entry], home, policy).await?;
    match state.get(&entry) {
        Proven::Present(StateValue::Identity(record)) => match record.standing {
            Standing::Active if record.kind == PartyKind::Gateway && record.key == key => Ok(true),
            Standing::Active => Err(GatewayError::Refused(Code::AlreadyExists)),
            Standing::Revoked(_) => Err(GatewayError::Refused(Code::Revoked)),
        },
        _ => Ok(false),
    }
}

/// Submits the member's registration of this gateway. What may pass is left to the next try.
async fn submit(config: &GatewayConfig, client: &Client) -> Result<(), GatewayError> {
    let path = &config.registration_file;
    let bytes =
        std::fs::read(path).map_err(|source| GatewayError::Unreadable { path: path.clone(), source })?;
    let tx: Tx =
        decode(&bytes, TX_BYTES_MAX).map_err(|_| GatewayError::BadRegistration { path: path.clone() })?;
    if !matches!(&tx.body, TxBody::RegisterIdentity { party, .. } if *party == config.party) {
        return Err(GatewayError::BadRegistration { path: path.clone() });
    }
    let refused = match client.submit(&tx, config.member).await {
        Ok(committed) => match committed.outcome {
            Outcome::Applied => None,
            Outcome::Refused(code) => Some(code),
        },
        Err(ClientError::Refused { code }) => Some(code),
        Err(_) => None,
    };
    match refused {
        Some(code) if code != Code::AlreadyExists && code.blame() == Blame::Caller => {
            Err(GatewayError::Refused(code))
        }
        _ => Ok(()),
    }
}
