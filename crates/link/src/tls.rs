//! TLS 1.3 as Salus uses it, and who is at the other end.
//!
//! Between Salus's own endpoints the key exchange is X25519MLKEM768 and nothing else, both sides
//! show certificates, and a server is believed to be member i only under member i's own authority.
//! Devices are offered the same first and may fall back to X25519. There are no tickets and no
//! resumption: every connection is certified anew.

use crate::error::LinkError;
use crate::pki::{Credential, Subject, certificate_from_pem, member_name};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use salus_wire::MemberIndex;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The protocol that Salus's endpoints speak inside TLS.
const ALPN: &[u8] = b"salus/1";

/// A certified connection that came in.
pub type Incoming = tokio_rustls::server::TlsStream<TcpStream>;
/// A certified connection that went out.
pub type Outgoing = tokio_rustls::client::TlsStream<TcpStream>;

/// Who is at the other end, as the certificate says and an authority vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerCert {
    member: MemberIndex,
    subject: Subject,
}

impl PeerCert {
    /// The member whose authority vouches.
    #[must_use]
    pub const fn member(&self) -> MemberIndex {
        self.member
    }

    /// For whom it vouches.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        self.subject
    }
}

/// One member's authority, as the consortium file names it.
#[derive(Clone, Debug)]
pub struct TrustedAuthority {
    /// Whose it is.
    pub member: MemberIndex,
    /// Its certificate in PEM.
    pub certificate_pem: String,
}

/// The accepting side of a listener.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    verifiers: Arc<Vec<(MemberIndex, Arc<dyn ClientCertVerifier>)>>,
    devices: bool,
}

/// The calling side towards members.
#[derive(Clone)]
pub struct ClientTls {
    credential: Arc<Credential>,
}

/// The calling side of a device towards its gateway.
#[derive(Clone)]
pub struct DeviceTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl ServerTls {
    /// A listener for Salus's own endpoints: members, gateways and persons of any of `authorities`.
    ///
    /// # Errors
    /// [`LinkError`] when the credential or an authority is not usable.
    pub fn endpoints(own: &Credential, authorities: &[TrustedAuthority]) -> Result<Self, LinkError> {
        Self::build(own, authorities, hybrid_only(), vec![ALPN.to_vec()], false)
    }

    /// A listener for the devices that one member enrolled.
    ///
    /// # Errors
    /// [`LinkError`] when the credential or the authority is not usable.
    pub fn devices(own: &Credential, authority: &TrustedAuthority) -> Result<Self, LinkError> {
        Self::build(own, std::slice::from_ref(authority), hybrid_first(), Vec::new(), true)
    }

    fn build(
        own: &Credential,
        authorities: &[TrustedAuthority],
        groups: Vec<&'static dyn SupportedKxGroup>,
        alpn: Vec<Vec<u8>>,
        devices: bool,
    ) -> Result<Self, LinkError> {
        let provider = provider(groups);
        let all = verifier(authorities, &provider)?;
        let mut verifiers = Vec::with_capacity(authorities.len());
        for authority in authorities {
            verifiers.push((authority.member, verifier(std::slice::from_ref(authority), &provider)?));
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(LinkError::Configuration)?
            .with_client_cert_verifier(all)
            .with_single_cert(own.chain()?, own.key()?)
            .map_err(LinkError::Configuration)?;
        config.alpn_protocols = alpn;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), verifiers: Arc::new(verifiers), devices })
    }

    /// Completes the handshake and says who called. The caller bounds its time.
    ///
    /// # Errors
    /// The network's or the handshake's failure, or a certificate of the wrong role.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<(Incoming, PeerCert)> {
        let _ = stream.set_nodelay(true);
        let stream = self.acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = self.identify(chain).map_err(std::io::Error::other)?;
        Ok((stream, peer))
    }

    /// Which of the authorities vouches, and for whom. The TLS library has checked that one does;
    /// a member's authority cannot vouch for another member's node.
    fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<PeerCert, LinkError> {
        let (own, intermediates) = chain.split_first().ok_or(LinkError::BadSubject)?;
        let subject = Subject::of(own)?;
        let now = UnixTime::now();
        let vouching = self.verifiers.iter().find(|(member, verifier)| {
            let other = matches!(subject, Subject::Member(named) if named != *member);
            !other && verifier.verify_client_cert(own, intermediates, now).is_ok()
        });
        let is_device = matches!(subject, Subject::Device(_));
        match vouching {
            Some((member, _)) if is_device == self.devices => Ok(PeerCert { member: *member, subject }),
            _ => Err(LinkError::BadSubject),
        }
    }
}

impl ClientTls {
    /// Calls as `own`.
    ///
    /// # Errors
    /// [`LinkError`] when the credential is not usable.
    pub fn new(own: Credential) -> Result<Self, LinkError> {
        own.chain()?;
        own.key()?;
        Ok(Self { credential: Arc::new(own) })
    }

    /// The connector to one member: its authority alone is believed, for its name alone.
    pub(crate) fn towards(
        &self,
        authority: &TrustedAuthority,
    ) -> Result<(TlsConnector, ServerName<'static>), LinkError> {
        let mut config = client_config(&self.credential, authority, hybrid_only())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from(member_name(authority.member)).map_err(|_| LinkError::BadSubject)?;
        Ok((TlsConnector::from(Arc::new(config)), name))
    }
}

impl DeviceTls {
    /// A device's side: `own` is its credential, `authority` its member's, `name` the gateway's.
    ///
    /// # Errors
    /// [`LinkError`] when the credential, authority or name is not usable.
    pub fn new(own: &Credential, authority: &TrustedAuthority, name: &str) -> Result<Self, LinkError> {
        let config = client_config(own, authority, hybrid_first())?;
        let name = ServerName::try_from(name.to_owned()).map_err(|_| LinkError::BadSubject)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Completes the handshake over a fresh connection. The caller bounds its time.
    ///
    /// # Errors
    /// The network's or the handshake's failure.
    pub async fn connect(&self, stream: TcpStream) -> std::io::Result<Outgoing> {
        let _ = stream.set_nodelay(true);
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn hybrid_only() -> Vec<&'static dyn SupportedKxGroup> {
    vec![kx_group::X25519MLKEM768]
}

fn hybrid_first() -> Vec<&'static dyn SupportedKxGroup> {
    vec![kx_group::X25519MLKEM768, kx_group::X25519]
}

fn provider(kx_groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        kx_groups,
        ..default_provider()
    })
}

fn roots(authorities: &[TrustedAuthority]) -> Result<Arc<RootCertStore>, LinkError> {
    let mut store = RootCertStore::empty();
    for authority in authorities {
        store.add(certificate_from_pem(&authority.certificate_pem)?).map_err(LinkError::Configuration)?;
    }
    if store.is_empty() {
        return Err(LinkError::NoAuthority);
    }
    Ok(Arc::new(store))
}

fn verifier(
    authorities: &[TrustedAuthority],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, LinkError> {
    WebPkiClientVerifier::builder_with_provider(roots(authorities)?, Arc::clone(provider))
        .build()
        .map_err(|_| LinkError::NoAuthority)
}

fn client_config(
    own: &Credential,
    authority: &TrustedAuthority,
    groups: Vec<&'static dyn SupportedKxGroup>,
) -> Result<ClientConfig, LinkError> {
    let mut config = ClientConfig::builder_with_provider(provider(groups))
        .with_protocol_versions(&[&TLS13])
        .map_err(LinkError::Configuration)?
        .with_root_certificates(roots(std::slice::from_ref(authority))?)
        .with_client_auth_cert(own.chain()?, own.key()?)
        .map_err(LinkError::Configuration)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}
