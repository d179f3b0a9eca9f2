//! From acts to transactions, made by the product's own code: wallets, readers, registrars.
//!
//! Promises that an observer could not tell them from those of a real consortium, unless a [`Leak`] is planted.

use crate::error::LinkageError;
use crate::region::{Act, Encounter, World};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt, SeedableRng};
use salus_client::ask::What;
use salus_client::grant::GrantTerms;
use salus_client::{GrantFile, ReadPlan, Reader, Wallet};
use salus_crypto::{Digest, SigningKey};
use salus_proof::TrustPolicy;
use salus_wire::consent::Grantee;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::tx::{Assignment, Enrolment, assignment_commitment, enrolment_commitment};
use salus_wire::{
    Blob, ChainId, Classes, Codes, DeviceId, Faults, List, MemberIndex, PartyId, Purpose, Purposes, Role,
    Scope, TimeMs, TimeSpan, Tx, TxBody, decode, encode,
};
use std::collections::BTreeMap;

/// A mistake planted in the transactions, to see that the measure finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// None.
    Nothing,
    /// Sealed grants are as long as the patient's name, so to say. The ledger would refuse them.
    BodyLength,
    /// A patient signs all grants with one key.
    ReusedKey,
}

/// The consortium in which a region lives.
pub struct Consortium {
    /// Its name.
    pub chain: ChainId,
    /// How many members, and how many may lie.
    pub faults: Faults,
    /// Each member's registrar.
    pub registrars: Vec<SigningKey>,
    policy: TrustPolicy,
}

/// Makes the transactions of a world, one for each of its events, in their order.
///
/// # Errors
/// [`LinkageError`] when the product would not make one.
pub fn transactions(world: &World, leak: Leak, seed: u64) -> Result<(Consortium, Vec<Tx>), LinkageError> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    let consortium = Consortium::draw(world.region.members, &mut rng)?;
    let mut maker = Maker {
        world,
        consortium,
        leak,
        rng,
        wallets: BTreeMap::new(),
        files: BTreeMap::new(),
        devices: BTreeMap::new(),
        lanes: BTreeMap::new(),
    };
    let txs: Result<Vec<Tx>, LinkageError> =
        world.events.iter().map(|event| maker.make(event.encounter, event.act)).collect();
    Ok((maker.consortium, txs?))
}

impl Consortium {
    fn draw(members: u16, rng: &mut StdRng) -> Result<Self, LinkageError> {
        let chain = ChainId(Digest::from_bytes(rng.random()));
        let faults = Faults::for_members(members.into()).ok_or(LinkageError::Region)?;
        let keys = |rng: &mut StdRng| (0..members).map(|_| SigningKey::generate(rng)).collect::<Vec<_>>();
        let registrars = keys(rng);
        let voters = keys(rng).iter().map(SigningKey::public_key).collect();
        let policy = TrustPolicy::new(chain, voters).map_err(|_| LinkageError::Region)?;
        Ok(Self { chain, faults, registrars, policy })
    }
}

/// A device or a grant of an encounter.
type Place = (usize, usize);

struct Maker<'a> {
    world: &'a World,
    consortium: Consortium,
    leak: Leak,
    rng: StdRng,
    /// By patient and gateway, with the key that a leak reuses.
    wallets: BTreeMap<(usize, u16), Wallet>,
    files: BTreeMap<Place, GrantFile>,
    devices: BTreeMap<Place, Digest>,
    lanes: BTreeMap<Place, u16>,
}

impl Maker<'_> {
    fn make(&mut self, encounter: usize, act: Act) -> Result<Tx, LinkageError> {
        let stay = *self.world.encounters.get(encounter).ok_or(LinkageError::Wire)?;
        match act {
            Act::Enrol(device) => {
                let key = SigningKey::generate(&mut self.rng).public_key();
                let device_id = DeviceId::new(self.rng.random());
                let enrolment =
                    enrolment_commitment(&Enrolment { salt: self.rng.random(), device: device_id, key });
                self.devices.insert((encounter, device), enrolment);
                self.registrar(&stay, TxBody::EnrolDevice { enrolment, member: self.member(&stay) })
            }
            Act::Assign(device) => {
                let assignment = self.assignment(&stay, (encounter, device))?;
                self.registrar(&stay, TxBody::AssignDevice { assignment, member: self.member(&stay) })
            }
            Act::Retire(device) => {
                let enrolment = *self.devices.get(&(encounter, device)).ok_or(LinkageError::Wire)?;
                self.registrar(&stay, TxBody::RevokeDevice { enrolment })
            }
            Act::Grant(grant) => self.grant(&stay, (encounter, grant)),
            Act::Access(grant) => self.access(&stay, (encounter, grant)),
            Act::Withdraw(grant) => {
                let index = self.files.get(&(encounter, grant)).ok_or(LinkageError::Wire)?.index;
                let chain = self.consortium.chain;
                let tx = self.wallet(&stay).revoke(chain, index).ok_or(LinkageError::Wire)?;
                Ok(self.leaked(&stay, tx))
            }
        }
    }

    fn member(&self, stay: &Encounter) -> MemberIndex {
        MemberIndex::new(self.world.member(stay.gateway))
    }

    fn registrar(&self, stay: &Encounter, body: TxBody) -> Result<Tx, LinkageError> {
        let key = self.consortium.registrars.get(usize::from(self.world.member(stay.gateway)));
        Ok(Tx::sign(self.consortium.chain, body, key.ok_or(LinkageError::Region)?))
    }

    fn wallet(&mut self, stay: &Encounter) -> &mut Wallet {
        let Self { wallets, rng, .. } = self;
        let writer = gateway(stay.gateway);
        wallets.entry((stay.patient, stay.gateway)).or_insert_with(|| Wallet::generate(writer, rng))
    }

    fn assignment(&mut self, stay: &Encounter, place: Place) -> Result<Digest, LinkageError> {
        let enrolment = *self.devices.get(&place).ok_or(LinkageError::Wire)?;
        let grants = self.wallet(stay).chain().anchor();
        let (salt, validity) = (self.rng.random(), span(stay)?);
        let writer = gateway(stay.gateway);
        let assignment = Assignment { salt, enrolment, grants, writer, validity, sensitivity: None };
        Ok(assignment_commitment(&assignment))
    }

    fn grant(&mut self, stay: &Encounter, place: Place) -> Result<Tx, LinkageError> {
        let member = self.member(stay);
        let role = |role| Grantee::Role { member, role };
        let grantee = match place.1 {
            0 => role(Role::Physician),
            1 => role(Role::Nurse),
            _ => Grantee::Person {
                party: PartyId::new(self.rng.random()),
                key: SigningKey::generate(&mut self.rng).public_key(),
            },
        };
        let terms = GrantTerms {
            grantee,
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span: span(stay)? },
            purposes: Purposes::only(Purpose::Treatment),
            validity: span(stay)?,
            denies: List::empty(),
        };
        let chain = self.consortium.chain;
        let mut rng = StdRng::seed_from_u64(self.rng.next_u64());
        let wallet = self.wallet(stay);
        let pending = wallet.grant(chain, terms, &mut rng)?;
        let (tx, index) = (pending.tx.clone(), pending.file.index);
        let file = wallet.settled(index).ok_or(LinkageError::Wire)?;
        self.files.insert(place, file);
        Ok(self.leaked(stay, tx))
    }

    fn access(&mut self, stay: &Encounter, place: Place) -> Result<Tx, LinkageError> {
        let file = self.files.get(&place).ok_or(LinkageError::Wire)?;
        let grant: GrantFile = decode(&encode(file), RPC_BYTES_MAX).map_err(|_| LinkageError::Wire)?;
        let next_tag = self.lanes.entry(place).and_modify(|tag| *tag += 1).or_insert(1);
        let plan = ReadPlan {
            emergency: None,
            chain: self.consortium.chain,
            faults: self.consortium.faults,
            policy: self.consortium.policy.clone(),
            service_keys: Vec::new(),
            writer_key: SigningKey::generate(&mut self.rng).public_key(),
            requester: PartyId::new(self.rng.random()),
            key: SigningKey::generate(&mut self.rng),
            scope: grant.grant.scope.clone(),
            next_tag: *next_tag,
            grant,
            purpose: Purpose::Treatment,
            home: self.member(stay),
        };
        let (_, asks) = Reader::start(plan, &mut self.rng)?;
        let intended = asks.into_iter().find_map(|ask| match ask.what {
            What::Settle(tx) => Some(*tx),
            _ => None,
        });
        intended.ok_or(LinkageError::Wire)
    }

    /// Spoils a patient's transaction as the planted leak says.
    fn leaked(&self, stay: &Encounter, tx: Tx) -> Tx {
        let chain = self.consortium.chain;
        match (self.leak, tx.body) {
            (Leak::ReusedKey, body) => {
                let mut seed = [7; 32];
                seed.iter_mut().zip(stay.patient.to_le_bytes()).for_each(|(to, from)| *to = from);
                Tx::sign(chain, body, &SigningKey::from_seed(salus_crypto::Secret::from_bytes(seed)))
            }
            (Leak::BodyLength, TxBody::CommitGrant { tag, commitment, body }) => {
                let mut bytes = body.to_vec();
                bytes.truncate(bytes.len().saturating_sub(stay.patient % 64));
                let body = Blob::new(bytes).unwrap_or(body);
                Tx { body: TxBody::CommitGrant { tag, commitment, body }, ..tx }
            }
            (_, body) => Tx { body, ..tx },
        }
    }
}

/// The registered name of a gateway.
#[must_use]
pub fn gateway(number: u16) -> PartyId {
    let mut name = [0; 16];
    name.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
    PartyId::new(name)
}

fn span(stay: &Encounter) -> Result<TimeSpan, LinkageError> {
    let until = stay.until.saturating_add(30 * crate::number::DAY);
    TimeSpan::new(TimeMs::new(stay.from), TimeMs::new(until)).ok_or(LinkageError::Wire)
}
