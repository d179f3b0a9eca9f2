//! Who there is, with their keys, all drawn from the seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_client::Wallet;
use salus_clinical::{Decimal, Reading, Value, frame, kind};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_proof::TrustPolicy;
use salus_store::queue::Route;
use salus_wire::tx::PartyKind;
use salus_wire::{
    Blob, ChainId, DataClass, DeviceId, Faults, Genesis, GenesisMember, List, MemberIndex, ObservationCode,
    PartyId, Role, Roles, Sequence, StreamId, TimeMs, TimeSpan, Tx, TxBody,
};
use std::sync::Arc;

/// When every world begins.
pub const START: TimeMs = TimeMs::new(1_790_000_000_000);
/// What the readers' member allows them: everything but public health.
const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("not-public") forbid (principal, action, resource) when { context.purpose == "PUBHLTH" };
"#;

/// The keys of one organisation.
pub struct MemberKeys {
    /// Votes.
    pub consensus: Secret<32>,
    /// Registers.
    pub registrar: SigningKey,
    /// Signs for store and custodian.
    pub service: [u8; 32],
    /// Opens what is sealed to the custodian.
    pub custodian: [u8; 32],
    /// Seals at rest.
    pub machine: [u8; 32],
}

/// A patient with one device, who reports through the one gateway.
pub struct Patient {
    /// The patient's wallet.
    pub wallet: Wallet,
    /// Where the patient's grants end, by which key shares are found.
    pub grants: ChainAnchor,
    /// The device.
    pub device: DeviceId,
    /// Its key.
    pub device_key: SigningKey,
    /// What the device has signed and not seen acknowledged; it keeps that over a blackout.
    pub unsent: Option<Vec<u8>>,
    /// The next reading's number.
    pub next: u64,
}

/// Somebody who reads.
pub struct Reader {
    /// Registered as.
    pub party: PartyId,
    /// With this key.
    pub key: SigningKey,
}

/// Everybody.
pub struct Cast {
    /// What the consortium agreed on.
    pub genesis: Genesis,
    /// Its identity.
    pub chain: ChainId,
    /// Its bounds.
    pub faults: Faults,
    /// Whom to believe.
    pub policy: TrustPolicy,
    /// The members.
    pub members: Vec<MemberKeys>,
    /// The gateway, registered as.
    pub gateway: PartyId,
    /// With this key.
    pub gateway_key: [u8; 32],
    /// Seals the gateway's queue.
    pub gateway_machine: Arc<MachineKey>,
    /// Who reads.
    pub readers: Vec<Reader>,
}

/// A generator for one purpose, of one seed.
#[must_use]
pub fn dice(seed: u64, purpose: u64) -> StdRng {
    let mut bytes = [0; 32];
    let (first, rest) = bytes.split_at_mut(8);
    first.copy_from_slice(&seed.to_le_bytes());
    if let Some(second) = rest.first_chunk_mut::<8>() {
        *second = purpose.to_le_bytes();
    }
    StdRng::from_seed(bytes)
}

fn party(rng: &mut StdRng) -> PartyId {
    PartyId::new(rng.random())
}

/// A signing key from stored bytes.
#[must_use]
pub fn signing(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes(seed))
}

impl Cast {
    /// Everybody in a world of this seed.
    ///
    /// # Panics
    /// When a name is too long, which it is not.
    #[must_use]
    pub fn new(seed: u64, members: u16, readers: u16) -> Self {
        let mut rng = dice(seed, 1);
        let keys: Vec<MemberKeys> = (0..members)
            .map(|_| MemberKeys {
                consensus: Secret::random(&mut rng),
                registrar: SigningKey::generate(&mut rng),
                service: rng.random(),
                custodian: rng.random(),
                machine: rng.random(),
            })
            .collect();
        let entries = keys.iter().map(|keys| GenesisMember {
            name: Blob::new(b"a member".to_vec()).expect("short"),
            consensus: signing(*keys.consensus.danger_expose()).public_key(),
            registrar: keys.registrar.public_key(),
            service: signing(keys.service).public_key(),
            custodian: KemSecretKey::from_seed(Secret::from_bytes(keys.custodian)).public_key(),
            authority: Digest::from_bytes(keys.machine),
        });
        let genesis = Genesis {
            name: Blob::new(b"simulated".to_vec()).expect("short"),
            time: START,
            members: List::new(entries.collect()).expect("few"),
        };
        let policy = TrustPolicy::from_genesis(&genesis).expect("distinct keys");
        let readers =
            (0..readers).map(|_| Reader { party: party(&mut rng), key: SigningKey::generate(&mut rng) });
        Self {
            chain: genesis.chain(),
            faults: genesis.faults().expect("members"),
            policy,
            members: keys,
            readers: readers.collect(),
            gateway: party(&mut rng),
            gateway_key: rng.random(),
            gateway_machine: Arc::new(MachineKey::generate(&mut rng)),
            genesis,
        }
    }

    /// The gateway's public key.
    #[must_use]
    pub fn writer_key(&self) -> PublicKey {
        signing(self.gateway_key).public_key()
    }

    /// Each member's service key.
    #[must_use]
    pub fn service_keys(&self) -> Vec<PublicKey> {
        self.genesis.members.iter().map(|member| member.service).collect()
    }

    /// All members.
    pub fn indices(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        (0..self.faults.members()).map(MemberIndex::new)
    }

    /// Each reader's role, another for each.
    pub fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        Role::ALL.iter().copied().cycle().take(self.readers.len())
    }

    /// What says that the readers' member allows them everything but one purpose.
    #[must_use]
    pub fn policy(&self) -> Option<Tx> {
        let text = Blob::new(POLICY.as_bytes().to_vec()).ok()?;
        let body = TxBody::PublishPolicy { member: MemberIndex::new(0), version: 1, text };
        Some(Tx::sign(self.chain, body, &self.members.first()?.registrar))
    }

    /// What registers the gateway and the readers, and binds them.
    #[must_use]
    pub fn registrations(&self) -> Vec<Tx> {
        let gateway = (self.gateway, PartyKind::Gateway, self.writer_key());
        let people =
            self.readers.iter().map(|reader| (reader.party, PartyKind::Person, reader.key.public_key()));
        let roles = std::iter::once(Roles::NONE).chain(self.roles().map(|role| Roles::of(&[role])));
        let validity = TimeSpan::new(TimeMs::new(1), START.plus_ms(1 << 40)).expect("not empty");
        std::iter::once(gateway)
            .chain(people)
            .zip(roles)
            .filter_map(|((party, kind, key), roles)| {
                let member = MemberIndex::new(0);
                let body =
                    TxBody::RegisterIdentity { party, kind, member, key, validity, roles, second: None };
                Some(Tx::sign(self.chain, body, &self.members.first()?.registrar))
            })
            .chain(self.policy())
            .collect()
    }

    /// A patient, by number.
    #[must_use]
    pub fn patient(&self, seed: u64, number: u16) -> Patient {
        let mut rng = dice(seed, 1_000 + u64::from(number));
        let wallet = Wallet::generate(self.gateway, &mut rng);
        Patient {
            grants: wallet.chain().anchor(),
            wallet,
            device: DeviceId::new(rng.random()),
            device_key: SigningKey::generate(&mut rng),
            unsent: None,
            next: 0,
        }
    }
}

impl Patient {
    /// Where this patient's readings belong.
    #[must_use]
    pub fn route(&self) -> Route {
        let stream = self.device.as_bytes().first_chunk().copied().unwrap_or_default();
        Route {
            key: self.device_key.public_key(),
            grants: self.grants,
            class: DataClass::Vitals,
            code: ObservationCode::Loinc(8_867),
            stream: StreamId::new(stream),
        }
    }

    /// A heart rate, signed by the device.
    ///
    /// # Panics
    /// When the table of kinds lacks the heart rate.
    #[must_use]
    pub fn frame(&self, sequence: u64, at: TimeMs) -> Vec<u8> {
        let kind = kind::find("8867-4").expect("in the table");
        let value = Value::Quantity(Decimal::whole(60 + i64::try_from(sequence % 80).unwrap_or(0)));
        let reading = Reading::new(kind, at, value).expect("a plausible reading");
        frame::sign(&self.device_key, self.device, Sequence::new(sequence), reading)
    }
}
