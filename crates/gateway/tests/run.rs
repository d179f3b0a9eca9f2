//! A whole gateway between a device and four members that are real servers with real keys: what is
//! acknowledged is anchored, opens again to the same frames, and survives members and the gateway
//! going away.
#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../../client/tests/roads/world/certificate.rs"]
mod certificate;
#[cfg(test)]
#[path = "../../client/tests/roads/world/trie.rs"]
mod trie;

#[cfg(test)]
mod tests {
    use crate::certificate::certificate;
    use crate::trie::Trie;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_clinical::{Decimal, Reading, Value, frame, kind, segment};
    use salus_crypto::Secret;
    use salus_crypto::at_rest::MachineKey;
    use salus_crypto::chain::ChainSeed;
    use salus_crypto::digest::Digest;
    use salus_crypto::kem::KemSecretKey;
    use salus_crypto::sign::SigningKey;
    use salus_fragment::{
        CheckedFragment, CheckedShare, Fragment, OpeningEpoch, Quorum, check, open, verify_share,
    };
    use salus_gateway::registry::{self, Assigned, Enrolled};
    use salus_gateway::{DeviceClient, Dialect, GatewayConfig, GatewayError};
    use salus_link::tls::TrustedAuthority;
    use salus_link::{
        Authority, Consortium, Credential, DeviceTls, Limits, MemberPlace, ServerTls, Subject, serve,
    };
    use salus_store::key_file;
    use salus_wire::genesis::GenesisMember;
    use salus_wire::manifest::held_message;
    use salus_wire::release::{Deposit, EpochShare, EpochShares, envelope_info};
    use salus_wire::rpc::{Committed, Put, PutSegment, Refusal, Request, Response, Values};
    use salus_wire::state::{AnchorRecord, CertifiedChain, IdentityRecord, Standing, Tip};
    use salus_wire::tx::{Assignment, Enrolment, Held, PartyKind, enrolment_commitment};
    use salus_wire::{
        BatchNumber, Blob, Code, DeviceId, FragmentIndex, Genesis, GrantTag, Header, List, MemberIndex,
        Outcome, PartyId, Roles, SegmentIndex, Sequence, StateKey, StateProof, StateValue, TimeMs, TimeSpan,
        Tx, TxBody, View, decode, encode, namespaces,
    };
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::SocketAddr;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tempfile::TempDir;
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    const MEMBERS: u16 = 4;
    const PARTY: PartyId = PartyId::new([3; 16]);
    const DEVICE: DeviceId = DeviceId::new([1; 16]);
    const SOON: Duration = Duration::from_secs(60);

    fn secret(n: u8) -> Secret<32> {
        Secret::from_bytes([n; 32])
    }

    fn device_key() -> SigningKey {
        SigningKey::from_seed(secret(77))
    }

    /// What the members hold between them.
    #[derive(Default)]
    struct Ledger {
        state: BTreeMap<StateKey, StateValue>,
        anchored: BTreeMap<BatchNumber, salus_crypto::digest::Digest>,
        stored: BTreeMap<MemberIndex, Vec<(BatchNumber, PutSegment)>>,
        shares: BTreeMap<MemberIndex, Vec<EpochShare>>,
    }

    struct World {
        folder: TempDir,
        consortium: Consortium,
        authorities: Vec<Authority>,
        services: Vec<SigningKey>,
        places: Vec<SocketAddr>,
        ledger: Arc<Mutex<Ledger>>,
        now: TimeMs,
    }

    impl World {
        async fn new() -> Self {
            let now = salus_client::drive::now();
            let mut rng = StdRng::seed_from_u64(1);
            let authorities: Vec<_> =
                (0..MEMBERS).map(|i| Authority::generate(MemberIndex::new(i), now).unwrap()).collect();
            let mut places = Vec::new();
            for _ in 0..MEMBERS {
                places.push(TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
            }
            let entry = |i: u16| {
                let n = u8::try_from(i).unwrap();
                let key = |role: u8| SigningKey::from_seed(secret(10 * role + n)).public_key();
                GenesisMember {
                    name: Blob::new(vec![b'a' + n]).unwrap(),
                    consensus: key(1),
                    registrar: key(2),
                    service: key(3),
                    custodian: kem(i).public_key(),
                    authority: authorities[usize::from(i)].fingerprint(),
                }
            };
            let members = List::new((0..MEMBERS).map(entry).collect()).unwrap();
            let genesis = Genesis { name: Blob::new(b"test".to_vec()).unwrap(), time: now, members };
            let place = |i: usize| MemberPlace {
                name: format!("m{i}"),
                peers: "127.0.0.1:1".to_owned(),
                rpc: places[i].to_string(),
                authority: authorities[i].certificate_pem().to_owned(),
            };
            let members = (0..usize::from(MEMBERS)).map(place).collect();
            let consortium = Consortium::new(genesis, members).unwrap();
            let services = (0..4).map(|n| SigningKey::from_seed(secret(30 + n))).collect();
            let _ = &mut rng;
            let folder = tempfile::tempdir().unwrap();
            Self { folder, consortium, authorities, services, places, ledger: Arc::default(), now }
        }

        /// Starts one member's server at its place.
        async fn member(self: &Arc<Self>, index: u16) -> JoinHandle<()> {
            let own = Subject::Member(MemberIndex::new(index));
            let own = self.authorities[usize::from(index)].issue(&own, &[], self.now).unwrap();
            let tls = ServerTls::endpoints(&own, &self.consortium.authorities()).unwrap();
            let listener = TcpListener::bind(self.places[usize::from(index)]).await.unwrap();
            let world = Arc::clone(self);
            let handler = move |_, request| {
                let world = Arc::clone(&world);
                async move { world.answer(MemberIndex::new(index), request) }
            };
            tokio::spawn(serve(listener, tls, Limits::default(), handler))
        }

        fn answer(&self, me: MemberIndex, request: Request) -> Response {
            match request {
                Request::Read(keys) => {
                    let ledger = self.ledger.lock().unwrap();
                    let values = keys.iter().map(|key| ledger.state.get(key).cloned()).collect();
                    Response::Values(Values { at: self.tip(), values: List::new(values).unwrap() })
                }
                Request::Submit(tx) => self.submit(&tx),
                Request::Prove(keys) => Response::Proof(Box::new(self.prove(&keys))),
                Request::Put(put) => self.put(me, *put),
                Request::Deposit(deposit) => self.deposit(me, &deposit),
                _ => Response::Refused(Refusal::bare(Code::NotReady)),
            }
        }

        /// Under a header that three members sign.
        fn prove(&self, keys: &[StateKey]) -> StateProof {
            let state = &self.ledger.lock().unwrap().state;
            let trie = Trie::of(state);
            let items = keys.iter().map(|key| trie.prove(*key, state.get(key).cloned())).collect();
            let head = Header {
                chain: self.consortium.chain(),
                height: self.tip().height,
                view: View::new(1),
                parent_view: View::new(0),
                parent: Digest::ZERO,
                proposer: MemberIndex::new(0),
                time: self.now,
                transactions: Digest::ZERO,
                receipts: Digest::ZERO,
                state: trie.root(),
            };
            let consensus: Vec<_> = (10..14).map(|n| SigningKey::from_seed(secret(n))).collect();
            let signed = certificate(&head, self.consortium.faults(), &consensus);
            let headers = List::new(vec![head]).unwrap();
            let chain = CertifiedChain { headers, certificate: Blob::new(signed).unwrap() };
            StateProof { chain, items: List::new(items).unwrap() }
        }

        fn tip(&self) -> Tip {
            Tip { height: salus_wire::Height::new(1), time: self.now }
        }

        fn submit(&self, tx: &Tx) -> Response {
            let mut ledger = self.ledger.lock().unwrap();
            let at = self.tip();
            let (key, value) = match &tx.body {
                TxBody::RegisterIdentity { party, kind, member, key, validity, roles, second } => {
                    let standing = Standing::Active;
                    let record = IdentityRecord {
                        kind: *kind,
                        member: *member,
                        key: *key,
                        validity: *validity,
                        roles: *roles,
                        second: *second,
                        since: at,
                        standing,
                    };
                    (StateKey::Identity(*party), StateValue::Identity(record))
                }
                TxBody::Anchor { gateway, batch, root, held } => {
                    assert!(held.len() >= 3, "an anchor with too few receipts");
                    for receipt in held.iter() {
                        let message =
                            held_message(self.consortium.chain(), *gateway, *batch, *root, receipt.store);
                        let key = self.services[usize::from(receipt.store.get())].public_key();
                        key.verify(namespaces::HELD, &message, &receipt.signature).unwrap();
                    }
                    ledger.anchored.insert(*batch, *root);
                    (
                        StateKey::Anchor(*gateway, *batch),
                        StateValue::Anchor(AnchorRecord { root: *root, since: at }),
                    )
                }
                _ => panic!("another transaction than a gateway submits"),
            };
            if ledger.state.contains_key(&key) {
                return Response::Refused(Refusal::bare(Code::AlreadyExists));
            }
            ledger.state.insert(key, value);
            Response::Committed(Committed { at, outcome: Outcome::Applied })
        }

        fn put(&self, me: MemberIndex, put: Put) -> Response {
            let leaves: Vec<_> = put.segments.iter().map(|segment| segment.manifest.digest()).collect();
            let root = salus_crypto::merkle::root(&leaves);
            for segment in put.segments.iter() {
                let fragment = Fragment::from_bytes(segment.fragment.to_vec());
                check(&segment.manifest, FragmentIndex::new(me.get()), fragment).unwrap();
            }
            let mut ledger = self.ledger.lock().unwrap();
            let shelf = ledger.stored.entry(me).or_default();
            shelf.extend(put.segments.into_vec().into_iter().map(|segment| (put.batch, segment)));
            let key = &self.services[usize::from(me.get())];
            Response::Held(Held::sign(self.consortium.chain(), put.gateway, put.batch, root, me, key))
        }

        fn deposit(&self, me: MemberIndex, deposit: &Deposit) -> Response {
            let chain = self.consortium.chain();
            let info = envelope_info(chain, deposit.writer, me);
            for envelope in deposit.envelopes.iter() {
                let plain = kem(me.get()).open(&info, &[], &envelope.sealed).unwrap();
                let EpochShares(shares) = decode(&plain, 1 << 20).unwrap();
                let key = signing_key().public_key();
                for share in shares.iter() {
                    verify_share(chain, self.consortium.faults(), &key, me, share).unwrap();
                }
                self.ledger.lock().unwrap().shares.entry(me).or_default().extend(shares.into_vec());
            }
            Response::Deposited
        }

        /// Writes everything that `salus init` and `salus device enrol` would.
        fn prepare(&self) -> GatewayConfig {
            let at = |name: &str| self.folder.path().join(name);
            std::fs::write(at("consortium.toml"), self.consortium.to_toml().unwrap()).unwrap();
            for (name, key) in
                [("machine.key", secret(50)), ("signing.key", signing_key().seed_for_storage())]
            {
                key_file::create(&at(name), &key).unwrap();
            }
            let names = ["gateway.salus".to_owned()];
            let own = self.authorities[0].issue(&Subject::Gateway(PARTY), &names, self.now).unwrap();
            std::fs::write(at("gateway.pem"), own.chain_pem()).unwrap();
            private(&at("gateway.key"), own.danger_key_pem());
            let body = TxBody::RegisterIdentity {
                party: PARTY,
                kind: PartyKind::Gateway,
                member: MemberIndex::new(0),
                key: signing_key().public_key(),
                validity: self.span(),
                roles: Roles::NONE,
                second: None,
            };
            let registrar = SigningKey::from_seed(secret(20));
            std::fs::write(
                at("registration.tx"),
                encode(&Tx::sign(self.consortium.chain(), body, &registrar)),
            )
            .unwrap();
            self.enrol(&at("data").join("registry"));
            GatewayConfig {
                party: PARTY,
                member: MemberIndex::new(0),
                consortium_file: at("consortium.toml"),
                registration_file: at("registration.tx"),
                data_dir: at("data"),
                listen_mqtt: "127.0.0.1:0".parse().unwrap(),
                tls_cert_file: at("gateway.pem"),
                tls_key_file: at("gateway.key"),
                machine_key_file: at("machine.key"),
                signing_key_file: at("signing.key"),
                cadence_ms: 50,
                anchors: salus_gateway::batch::Anchors::WhenNeeded,
                clock_behind_ms_max: 60_000,
                clock_ahead_ms_max: 60_000,
                queue_bytes_max: 10_000_000,
                connections_max: 8,
                device_frames_per_s: std::num::NonZeroU32::new(1_000).unwrap(),
            }
        }

        fn span(&self) -> TimeSpan {
            TimeSpan::new(TimeMs::new(self.now.get() - 1_000_000), self.now.plus_ms(1_000_000)).unwrap()
        }

        fn enrol(&self, folder: &Path) {
            let enrolment = Enrolment { salt: [1; 32], device: DEVICE, key: device_key().public_key() };
            let chain = ChainSeed::new(secret(60));
            let assignment = Assignment {
                salt: [2; 32],
                enrolment: enrolment_commitment(&enrolment),
                grants: chain.anchor(),
                writer: PARTY,
                validity: self.span(),
                sensitivity: None,
            };
            let grant_tags = List::new(chain.tags().into_iter().map(GrantTag).collect()).unwrap();
            let assignments = List::new(vec![Assigned { assignment, grant_tags }]).unwrap();
            let key = MachineKey::new(secret(50));
            registry::add(folder, &key, &Enrolled { enrolment, assignments }, &mut StdRng::seed_from_u64(3))
                .unwrap();
        }

        async fn connect(&self, at: SocketAddr) -> DeviceClient {
            let own = self.authorities[0].issue(&Subject::Device(DEVICE), &[], self.now).unwrap();
            let certificate_pem = self.authorities[0].certificate_pem().to_owned();
            let authority = TrustedAuthority { member: MemberIndex::new(0), certificate_pem };
            let tls = DeviceTls::new(&own, &authority, "gateway.salus").unwrap();
            loop {
                if let Ok(client) = DeviceClient::connect(&at.to_string(), &tls, DEVICE, Dialect::V5).await {
                    return client;
                }
                tokio::task::yield_now().await;
            }
        }

        fn beat(&self, sequence: u64) -> Vec<u8> {
            let value = Value::Quantity(Decimal::whole(72));
            let at = self.now.plus_ms(sequence);
            let reading = Reading::new(kind::find("8867-4").unwrap(), at, value).unwrap();
            frame::sign(&device_key(), DEVICE, Sequence::new(sequence), reading)
        }

        /// The frames that can be read back from what `stores` hold of anchored batches and what all
        /// custodians were given: an independent reader.
        fn readable(&self, stores: &[u16]) -> BTreeSet<Vec<u8>> {
            let ledger = self.ledger.lock().unwrap();
            let mut epochs: BTreeMap<_, Vec<CheckedShare>> = BTreeMap::new();
            for (custodian, shares) in &ledger.shares {
                for share in shares {
                    let copy = decode::<EpochShare>(&encode(share), 1 << 20).unwrap();
                    let key = signing_key().public_key();
                    let faults = self.consortium.faults();
                    let share =
                        CheckedShare::check(self.consortium.chain(), faults, &key, *custodian, copy).unwrap();
                    epochs.entry(share.header().epoch).or_default().push(share);
                }
            }
            let mut frames = BTreeSet::new();
            for shares in epochs.into_values().filter(|shares| shares.len() >= 3) {
                let epoch = OpeningEpoch::combine(shares).unwrap();
                for index in (0..).map(SegmentIndex::new) {
                    let Some(leaves) = read_segment(&ledger, &epoch, index, stores) else { break };
                    frames.extend(leaves);
                }
            }
            frames
        }

        async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
            let waiting = async {
                while !done(self) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
        }
    }

    fn read_segment(
        ledger: &Ledger,
        epoch: &OpeningEpoch,
        index: SegmentIndex,
        stores: &[u16],
    ) -> Option<Vec<Vec<u8>>> {
        let locator = epoch.locator(index);
        let mut fragments: Vec<CheckedFragment> = Vec::new();
        let mut manifest = None;
        for store in stores.iter().map(|store| MemberIndex::new(*store)) {
            let shelf = ledger.stored.get(&store).into_iter().flatten();
            let mut here = shelf.filter(|(batch, segment)| {
                segment.manifest.locator == locator && ledger.anchored.contains_key(batch)
            });
            if let Some((_, segment)) = here.next() {
                let fragment = Fragment::from_bytes(segment.fragment.to_vec());
                fragments.push(check(&segment.manifest, FragmentIndex::new(store.get()), fragment).unwrap());
                manifest = Some(segment.manifest.clone());
            }
        }
        let manifest = manifest?;
        let quorum = Quorum::gather(&manifest, fragments).ok()?;
        let key = epoch.segment_key(index, &manifest).unwrap();
        let opened = open(&manifest, quorum, key).unwrap();
        let leaves = segment::unpack(opened.plaintext()).unwrap();
        Some(leaves.into_iter().map(|leaf| leaf.frame.into_vec()).collect())
    }

    fn kem(member: u16) -> KemSecretKey {
        KemSecretKey::from_seed(secret(40 + u8::try_from(member).unwrap()))
    }

    fn signing_key() -> SigningKey {
        SigningKey::from_seed(secret(51))
    }

    fn private(path: &Path, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A gateway running in the background, at an address of the test's choosing.
    async fn gateway(config: &GatewayConfig) -> (SocketAddr, JoinHandle<Result<(), GatewayError>>) {
        let at = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = GatewayConfig { listen_mqtt: at, ..config.clone() };
        (at, tokio::spawn(salus_gateway::run(config, std::future::pending())))
    }

    async fn publish_all(client: &mut DeviceClient, frames: impl Iterator<Item = Vec<u8>>) {
        let mut sent = 0;
        for frame in frames {
            client.publish(frame).await.unwrap();
            sent += 1;
        }
        while sent > 0 {
            assert_eq!(client.settle().await.unwrap().unwrap().result, Ok(()));
            sent -= 1;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_acknowledged_is_anchored_and_opens_again() {
        let world = Arc::new(World::new().await);
        let config = world.prepare();
        let mut members = Vec::new();
        for index in 0..3 {
            members.push(world.member(index).await);
        }
        let (at, gateway) = gateway(&config).await;
        let mut client = world.connect(at).await;
        publish_all(&mut client, (0..300).map(|n| world.beat(n))).await;
        let all: BTreeSet<_> = (0..300).map(|n| world.beat(n)).collect();
        world.until("with one member away", |world| world.readable(&[0, 1, 2]) == all).await;
        assert!(world.readable(&[3]).is_empty());
        members.push(world.member(3).await);
        world.until("once it is back", |world| world.readable(&[0, 3]) == all).await;
        world
            .until("its shares", |world| {
                world.ledger.lock().unwrap().shares.contains_key(&MemberIndex::new(3))
            })
            .await;
        assert!(world.ledger.lock().unwrap().state.contains_key(&StateKey::Identity(PARTY)));
        assert!(!gateway.is_finished());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frames_taken_while_nobody_could_be_reached_are_anchored_after_a_restart() {
        let world = Arc::new(World::new().await);
        let config = world.prepare();
        let (at, first) = gateway(&config).await;
        let mut client = world.connect(at).await;
        publish_all(&mut client, (0..40).map(|n| world.beat(n))).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let mut members = Vec::new();
        for index in 0..MEMBERS {
            members.push(world.member(index).await);
        }
        let second = loop {
            let (at, gateway) = gateway(&config).await;
            let early = timeout(Duration::from_millis(300), async {
                while !gateway.is_finished() {
                    tokio::task::yield_now().await;
                }
            });
            if early.await.is_err() {
                break (at, gateway);
            }
        };
        let mut client = world.connect(second.0).await;
        publish_all(&mut client, (30..60).map(|n| world.beat(n))).await;
        let all: BTreeSet<_> = (0..60).map(|n| world.beat(n)).collect();
        world.until("all frames", |world| world.readable(&[1, 2]) == all).await;
    }

    #[tokio::test]
    async fn a_gateway_with_another_certificate_or_key_among_its_data_does_not_start() {
        let world = World::new().await;
        let config = world.prepare();
        let other =
            world.authorities[0].issue(&Subject::Gateway(PartyId::new([9; 16])), &[], world.now).unwrap();
        let run = |config| salus_gateway::run(config, std::future::ready(()));
        let changed = |chain: &Credential| {
            let path = world.folder.path().join("other.pem");
            std::fs::write(&path, chain.chain_pem()).unwrap();
            GatewayConfig { tls_cert_file: path, ..config.clone() }
        };
        assert!(matches!(run(changed(&other)).await, Err(GatewayError::ForeignCertificate { .. })));
        std::fs::create_dir_all(&config.data_dir).unwrap();
        key_file::create(&config.data_dir.join("machine.key"), &secret(50)).unwrap();
        let among = GatewayConfig { machine_key_file: config.data_dir.join("machine.key"), ..config.clone() };
        assert!(matches!(run(among).await, Err(GatewayError::Store(_))));
        let nobody = GatewayConfig { member: MemberIndex::new(9), ..config };
        assert!(matches!(run(nobody).await, Err(GatewayError::NoSuchMember { member: 9 })));
    }
}
