//! A device in the hands of somebody who has its file: it signs what it likes and sends it as it
//! likes, properly or byte by byte.

use super::consortium::Consortium;
use borsh::BorshDeserialize;
use salus_client::drive::now;
use salus_clinical::{Decimal, Reading, Value, frame, kind};
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_gateway::device_client::Settled;
use salus_gateway::{DeviceClient, DeviceError, Dialect};
use salus_link::tls::{Outgoing, TrustedAuthority};
use salus_link::{Authority, Credential, DeviceTls, Subject};
use salus_wire::{Code, DeviceId, MemberIndex, Sequence, TimeMs};
use std::net::SocketAddr;
use tokio::net::TcpStream;

const GATEWAY_NAME: &str = "gateway.salus";

/// The device's file, as `salus device enrol` writes it.
#[derive(BorshDeserialize)]
struct File {
    device: DeviceId,
    key: [u8; 32],
    member: MemberIndex,
    _enrolment: Digest,
    _next_sequence: u64,
    certificate: String,
    tls_key: String,
    gateway: String,
    gateway_authority: String,
}

pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) at: SocketAddr,
    pub(crate) path: String,
    pub(crate) tls: DeviceTls,
    seed: [u8; 32],
}

impl Device {
    /// Enrols a device for the patient `patient.wallet` and takes it up.
    pub(crate) fn enrol(consortium: &Consortium, name: &str) -> Self {
        let (path, wallet) = (consortium.people(name), consortium.people("patient.wallet"));
        consortium.salus(&["device", "enrol", "--wallet", &wallet, "--out", &path]);
        let bytes = std::fs::read(&path).unwrap();
        let file: File = salus_wire::decode(&bytes, bytes.len()).unwrap();
        let own = Credential::from_pem(file.certificate, file.tls_key).unwrap();
        let authority = TrustedAuthority { member: file.member, certificate_pem: file.gateway_authority };
        let tls = DeviceTls::new(&own, &authority, GATEWAY_NAME).unwrap();
        let at = file.gateway.parse().unwrap();
        Self { id: file.device, at, path, tls, seed: file.key }
    }

    pub(crate) fn key(&self) -> SigningKey {
        SigningKey::from_seed(Secret::from_bytes(self.seed))
    }

    /// A heart rate of now.
    pub(crate) fn beat(&self, sequence: u64) -> Vec<u8> {
        self.beat_at(sequence, now(), 72)
    }

    pub(crate) fn beat_at(&self, sequence: u64, at: TimeMs, rate: i64) -> Vec<u8> {
        signed(&self.key(), self.id, sequence, at, rate)
    }

    pub(crate) async fn connect(&self, dialect: Dialect) -> Result<DeviceClient, DeviceError> {
        DeviceClient::connect(&self.at.to_string(), &self.tls, self.id, dialect).await
    }

    /// A TLS connection on which nothing was said.
    pub(crate) async fn raw(&self) -> Outgoing {
        self.tls.connect(TcpStream::connect(self.at).await.unwrap()).await.unwrap()
    }
}

pub(crate) fn signed(key: &SigningKey, device: DeviceId, sequence: u64, at: TimeMs, rate: i64) -> Vec<u8> {
    let value = Value::Quantity(Decimal::whole(rate));
    let reading = Reading::new(kind::find("8867-4").unwrap(), at, value).unwrap();
    frame::sign(key, device, Sequence::new(sequence), reading)
}

/// The authority of member 0, as its keys' folder holds it.
pub(crate) fn authority(consortium: &Consortium) -> Authority {
    let keys = consortium.dir.join("keys/member-0");
    let read = |name: &str| std::fs::read_to_string(keys.join(name)).unwrap();
    Authority::from_pem(&read("authority.pem"), &read("authority.key")).unwrap()
}

/// The device's side of TLS for a certificate of `issuer`, towards a gateway of `trusted`.
pub(crate) fn tls_of(issuer: &Authority, trusted: &Authority, device: DeviceId) -> DeviceTls {
    let own = issuer.issue(&Subject::Device(device), &[], now()).unwrap();
    let certificate_pem = trusted.certificate_pem().to_owned();
    let trusted = TrustedAuthority { member: MemberIndex::new(0), certificate_pem };
    DeviceTls::new(&own, &trusted, GATEWAY_NAME).unwrap()
}

/// Sends one frame and waits for what becomes of it.
pub(crate) async fn settle(client: &mut DeviceClient, frame: Vec<u8>) -> Settled {
    client.publish(frame).await.unwrap();
    client.settle().await.unwrap().unwrap()
}

/// Sends a frame that must be kept.
pub(crate) async fn kept(client: &mut DeviceClient, frame: Vec<u8>) {
    assert_eq!(settle(client, frame).await.result, Ok(()));
}

/// The code with which a frame is refused; its answer says what to do next.
pub(crate) async fn refused(client: &mut DeviceClient, frame: Vec<u8>) -> Code {
    let nack = settle(client, frame).await.result.unwrap_err();
    let code = nack.code.unwrap();
    assert!(nack.text.contains(code.what()) && nack.text.contains(code.next_step()), "{nack:?}");
    code
}
