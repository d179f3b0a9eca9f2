//! The listener and the caller over loopback: who is let in, what strangers and garbage cost.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, NamedGroup, RootCertStore};
    use salus_link::frame::{Budget, CallId, first_byte, read_rest, write_frame};
    use salus_link::tls::TrustedAuthority;
    use salus_link::{
        Authority, Caller, ClientTls, Credential, DeviceTls, Endpoint, Limits, LinkError, PeerCert,
        ServerTls, Subject, serve,
    };
    use salus_wire::rpc::{Refusal, Request, Response};
    use salus_wire::{Code, DeviceId, Height, MemberIndex, PartyId, TimeMs};
    use std::future::Future;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsConnector;

    const NOW: TimeMs = TimeMs::new(1_790_000_000_000);
    const SOON: Duration = Duration::from_secs(10);

    /// Two members' authorities, and whatever else a test needs made.
    struct Pki([Authority; 2]);

    impl Pki {
        fn new() -> Self {
            Self([0, 1].map(|i| Authority::generate(MemberIndex::new(i), NOW).unwrap()))
        }

        fn issue(&self, authority: usize, subject: Subject) -> Credential {
            self.0[authority].issue(&subject, &["localhost".to_owned()], NOW).unwrap()
        }

        fn trusted(&self, member: u16) -> TrustedAuthority {
            let pem = self.0[usize::from(member)].certificate_pem().to_owned();
            TrustedAuthority { member: MemberIndex::new(member), certificate_pem: pem }
        }

        fn all(&self) -> Vec<TrustedAuthority> {
            vec![self.trusted(0), self.trusted(1)]
        }

        fn node(&self, member: u16) -> ServerTls {
            let own = self.issue(usize::from(member), Subject::Member(MemberIndex::new(member)));
            ServerTls::endpoints(&own, &self.all()).unwrap()
        }

        fn caller(&self, own: Credential, at: SocketAddr) -> Caller {
            let endpoint = Endpoint { authority: self.trusted(0), address: at.to_string() };
            Caller::new(&ClientTls::new(own).unwrap(), &[endpoint]).unwrap()
        }
    }

    fn person() -> Subject {
        Subject::Person(PartyId::new([7; 16]))
    }

    async fn start<H, F>(tls: ServerTls, limits: Limits, handler: H) -> (SocketAddr, JoinHandle<()>)
    where
        H: Fn(PeerCert, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        (at, tokio::spawn(serve(listener, tls, limits, handler)))
    }

    /// Answers with a refusal whose retry hint is the height asked for.
    async fn echo(_: PeerCert, request: Request) -> Response {
        match request {
            Request::Follow(height) => {
                let retry_after_ms = u32::try_from(height.get()).unwrap();
                Response::Refused(Refusal::busy(Code::NotReady, retry_after_ms))
            }
            _ => Response::Refused(Refusal::bare(Code::NotFound)),
        }
    }

    fn hint(response: Response) -> u32 {
        match response {
            Response::Refused(refusal) => refusal.retry_after_ms,
            _ => panic!("not an echo"),
        }
    }

    async fn ask(caller: &Caller, height: u64) -> Result<u32, LinkError> {
        let request = Request::Follow(Height::new(height));
        caller.peer(MemberIndex::new(0)).unwrap().call(&request, SOON).await.map(hint)
    }

    /// A TLS client of the test's own making, so that it can offer what Salus never would.
    fn stranger(
        pki: &Pki,
        own: Option<&Credential>,
        group: &'static dyn rustls::crypto::SupportedKxGroup,
    ) -> TlsConnector {
        let mut provider = default_provider();
        provider.kx_groups = vec![group];
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki.0[0].certificate_pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.chain_pem().as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(own.danger_key_pem().as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"salus/1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    /// Whether the listener speaks to this client at all: TLS 1.3 tells a client of a refused
    /// certificate only after the client believes the handshake done.
    async fn is_served(connector: &TlsConnector, at: SocketAddr) -> Option<NamedGroup> {
        let name = ServerName::try_from("member-0.salus").unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        let mut stream = connector.connect(name, stream).await.ok()?;
        let request = write_frame(CallId::new(1), &Request::Follow(Height::new(5))).unwrap();
        stream.write_all(&request).await.ok()?;
        stream.flush().await.ok()?;
        let first = first_byte(&mut stream).await.ok()??;
        let frame = read_rest(&mut stream, first, &Budget::new(0), SOON).await.ok()?;
        assert_eq!(frame.id, CallId::new(1));
        stream.get_ref().1.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name)
    }

    #[tokio::test]
    async fn both_sides_know_each_other_and_calls_are_answered() {
        let pki = Pki::new();
        let (at, _server) = start(pki.node(0), Limits::default(), |peer, _| async move {
            assert_eq!((peer.member(), peer.subject()), (MemberIndex::new(1), person()));
            Response::Deposited
        })
        .await;
        let caller = pki.caller(pki.issue(1, person()), at);
        let answer = caller.peer(MemberIndex::new(0)).unwrap().call(&Request::Status, SOON).await;
        assert!(matches!(answer, Ok(Response::Deposited)));
        assert!(matches!(caller.peer(MemberIndex::new(1)), Err(LinkError::UnknownMember { .. })));
    }

    #[tokio::test]
    async fn only_certified_hybrid_clients_are_served() {
        let pki = Pki::new();
        let (at, _server) = start(pki.node(0), Limits::default(), echo).await;
        let good = pki.issue(1, person());
        let hybrid = kx_group::X25519MLKEM768;
        assert_eq!(
            is_served(&stranger(&pki, Some(&good), hybrid), at).await,
            Some(NamedGroup::X25519MLKEM768)
        );
        let foreign = Pki::new().issue(0, person());
        let device = pki.issue(0, Subject::Device(DeviceId::new([1; 16])));
        let usurper = pki.issue(1, Subject::Member(MemberIndex::new(0)));
        let cases = [
            ("no certificate", None, hybrid),
            ("an unknown authority", Some(&foreign), hybrid),
            ("a device", Some(&device), hybrid),
            ("a node certified by another member", Some(&usurper), hybrid),
            ("a classical key exchange", Some(&good), kx_group::X25519),
        ];
        for (who, own, group) in cases {
            assert_eq!(is_served(&stranger(&pki, own, group), at).await, None, "{who}");
        }
    }

    #[tokio::test]
    async fn a_server_is_believed_only_under_its_own_authority() {
        let pki = Pki::new();
        for (authority, member) in [(1, 0), (1, 1), (0, 1)] {
            let own = pki.issue(authority, Subject::Member(MemberIndex::new(member)));
            let tls = ServerTls::endpoints(&own, &pki.all()).unwrap();
            let (at, _server) = start(tls, Limits::default(), echo).await;
            let refused = ask(&pki.caller(pki.issue(0, person()), at), 1).await;
            assert!(matches!(refused, Err(LinkError::Unreachable { .. })), "{authority} {member}");
        }
    }

    #[tokio::test]
    async fn devices_prefer_the_hybrid_and_only_devices_are_let_in() {
        let pki = Pki::new();
        let gateway = pki.issue(0, Subject::Gateway(PartyId::new([3; 16])));
        let tls = ServerTls::devices(&gateway, &pki.trusted(0)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let device = Subject::Device(DeviceId::new([1; 16]));
        for (authority, subject, ok) in [(0, device, true), (1, device, false), (0, person(), false)] {
            let own = pki.issue(authority, subject);
            let client = DeviceTls::new(&own, &pki.trusted(0), "localhost").unwrap();
            let dial = async { client.connect(TcpStream::connect(at).await.unwrap()).await };
            let accept = async { tls.accept(listener.accept().await.unwrap().0).await };
            let (connected, accepted) = tokio::join!(dial, accept);
            assert_eq!(accepted.as_ref().ok().map(|(_, peer)| peer.subject()), ok.then_some(subject));
            if ok {
                let group = connected.unwrap().get_ref().1.negotiated_key_exchange_group().unwrap().name();
                assert_eq!(group, NamedGroup::X25519MLKEM768);
            }
        }
    }

    #[tokio::test]
    async fn many_calls_share_a_connection_and_are_answered_out_of_order() {
        const CALLS: u64 = 20;
        let pki = Pki::new();
        let last_came = Arc::new(Notify::new());
        let (at, _server) = start(pki.node(0), Limits::default(), move |peer, request| {
            let last_came = Arc::clone(&last_came);
            async move {
                match request {
                    Request::Follow(height) if height.get() == CALLS - 1 => last_came.notify_one(),
                    Request::Follow(height) if height.get() == 0 => last_came.notified().await,
                    _ => {}
                }
                echo(peer, request).await
            }
        })
        .await;
        let caller = pki.caller(pki.issue(0, person()), at);
        let mut calls = tokio::task::JoinSet::new();
        for i in 0..CALLS {
            let caller = caller.clone();
            calls.spawn(async move { (i, ask(&caller, i).await.unwrap()) });
        }
        while let Some(answered) = calls.join_next().await {
            let (asked, answer) = answered.unwrap();
            assert_eq!(asked, u64::from(answer));
        }
    }

    #[tokio::test]
    async fn garbage_and_silence_cost_a_stranger_its_connection_and_nobody_else() {
        let pki = Pki::new();
        let limits = Limits {
            handshakes: 4,
            handshake_within: Duration::from_millis(200),
            frame_within: Duration::from_millis(200),
            ..Limits::default()
        };
        let (at, _server) = start(pki.node(0), limits, echo).await;
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0xff; 70_000], b"\x16\x03\x01\xff\xff"]
        {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let _ = stream.write_all(garbage).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        let mut silent = Vec::new();
        for _ in 0..limits.handshakes {
            silent.push(TcpStream::connect(at).await.unwrap());
        }
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed at its deadline");
        }
        assert_eq!(ask(&pki.caller(pki.issue(0, person()), at), 4).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn garbage_inside_tls_ends_that_connection_or_is_refused() {
        let pki = Pki::new();
        let limits = Limits { frame_within: Duration::from_millis(200), ..Limits::default() };
        let (at, _server) = start(pki.node(0), limits, echo).await;
        let own = pki.issue(0, person());
        let connector = stranger(&pki, Some(&own), kx_group::X25519MLKEM768);
        let name = ServerName::try_from("member-0.salus").unwrap();
        for garbage in [&[0xff; 64][..], &[0; 64], &[100, 0, 0, 0, 1]] {
            let mut stream =
                connector.connect(name.clone(), TcpStream::connect(at).await.unwrap()).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            stream.flush().await.unwrap();
            assert!(!matches!(first_byte(&mut stream).await, Ok(Some(_))));
        }
        let mut stream = connector.connect(name, TcpStream::connect(at).await.unwrap()).await.unwrap();
        stream.write_all(&write_frame(CallId::new(9), &[0xee_u8; 40]).unwrap()).await.unwrap();
        stream.flush().await.unwrap();
        let first = first_byte(&mut stream).await.unwrap().unwrap();
        let frame = read_rest(&mut stream, first, &Budget::new(0), SOON).await.unwrap();
        let answer = salus_wire::decode::<Response>(&frame.body, 1024).unwrap();
        assert!(matches!(answer, Response::Refused(refusal) if refusal.code == Code::Malformed));
    }

    #[tokio::test]
    async fn a_caller_survives_the_death_of_the_member_and_finds_it_again() {
        let pki = Pki::new();
        let (at, server) = start(pki.node(0), Limits::default(), echo).await;
        let caller = pki.caller(pki.issue(0, person()), at);
        assert_eq!(ask(&caller, 1).await.unwrap(), 1);
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        assert!(ask(&caller, 2).await.is_err());
        let listener = TcpListener::bind(at).await.unwrap();
        let _server = tokio::spawn(serve(listener, pki.node(0), Limits::default(), echo));
        let found = async {
            loop {
                match ask(&caller, 3).await {
                    Ok(answer) => return answer,
                    Err(LinkError::BackingOff { .. }) => tokio::task::yield_now().await,
                    Err(other) => assert_eq!(other.code(), Code::Unreachable),
                }
            }
        };
        assert_eq!(tokio::time::timeout(SOON, found).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_member_that_never_answers_is_given_up_in_time() {
        let pki = Pki::new();
        let (at, _server) =
            start(pki.node(0), Limits::default(), |_, _| std::future::pending::<Response>()).await;
        let caller = pki.caller(pki.issue(0, person()), at);
        let peer = caller.peer(MemberIndex::new(0)).unwrap();
        let answer = peer.call(&Request::Status, Duration::from_millis(500)).await;
        assert!(matches!(answer, Err(LinkError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn connections_over_the_limit_are_closed() {
        let pki = Pki::new();
        let limits = Limits { connections: 1, ..Limits::default() };
        let (at, _server) = start(pki.node(0), limits, echo).await;
        let first = pki.caller(pki.issue(0, person()), at);
        assert_eq!(ask(&first, 1).await.unwrap(), 1);
        assert!(matches!(ask(&pki.caller(pki.issue(0, person()), at), 2).await, Err(LinkError::Lost { .. })));
        assert_eq!(ask(&first, 3).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn one_subject_cannot_shut_the_others_out() {
        let pki = Pki::new();
        let limits = Limits { connections: 6, connections_each: 2, ..Limits::default() };
        let (at, _server) = start(pki.node(0), limits, echo).await;
        let callers: Vec<Caller> = (0..3).map(|_| pki.caller(pki.issue(0, person()), at)).collect();
        assert_eq!(ask(&callers[0], 1).await.unwrap(), 1);
        assert_eq!(ask(&callers[1], 2).await.unwrap(), 2);
        assert!(matches!(ask(&callers[2], 3).await, Err(LinkError::Lost { .. })));
        let other = Subject::Person(PartyId::new([9; 16]));
        assert_eq!(ask(&pki.caller(pki.issue(0, other), at), 4).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn those_of_one_member_cannot_shut_the_others_out() {
        let pki = Pki::new();
        let limits = Limits { connections: 4, ..Limits::default() };
        let (at, _server) = start(pki.node(0), limits, echo).await;
        let issued =
            |member: usize, n: u8| pki.caller(pki.issue(member, Subject::Person(PartyId::new([n; 16]))), at);
        let greedy: Vec<Caller> = (0..3).map(|n| issued(0, n)).collect();
        assert_eq!(ask(&greedy[0], 1).await.unwrap(), 1);
        assert_eq!(ask(&greedy[1], 2).await.unwrap(), 2);
        assert!(matches!(ask(&greedy[2], 3).await, Err(LinkError::Lost { .. })));
        assert_eq!(ask(&issued(1, 9), 4).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn silent_strangers_give_way_to_a_caller() {
        let pki = Pki::new();
        // The strangers could stay for as long as the test takes.
        let limits = Limits { handshakes: 2, handshake_within: SOON * 10, ..Limits::default() };
        let (at, _server) = start(pki.node(0), limits, echo).await;
        let mut silent = TcpStream::connect(at).await.unwrap();
        let own = pki.caller(pki.issue(0, person()), at);
        let served = async {
            // Until the stranger has had its fair time the caller is turned away.
            while ask(&own, 5).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, served).await.unwrap();
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "it gave way");
    }
}
