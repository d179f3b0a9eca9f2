//! `salus person`: the people who read. A person's file holds their signing key and their TLS
//! credential; the ledger learns a random party id and a public key.

use crate::args::{PersonCommand, Place};
use crate::files::{load, store};
use crate::init::party;
use crate::layout::Layout;
use crate::output::{Failure, Report};
use crate::session::{Session, link, rng};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_client::drive::now;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_link::{Authority, Caller, ClientTls, Consortium, Credential, Subject};
use salus_wire::ids::{PartyId, TimeMs, TimeSpan};
use salus_wire::release::ShareBytes;
use salus_wire::tx::PartyKind;
use salus_wire::{Code, Role, Roles, Tx, TxBody};
use serde_json::json;
use std::path::Path;

const DAY_MS: u64 = 86_400_000;
/// Milliseconds before now from which a registration holds, for block times that lag.
const BACKDATE_MS: u64 = 60_000;

/// What a person's file holds. Secret.
#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) struct PersonFile {
    pub(crate) party: PartyId,
    pub(crate) key: ShareBytes,
    certificate: String,
    tls_key: String,
}

impl PersonFile {
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(salus_crypto::secret::Secret::from_bytes(*self.key.0.danger_expose()))
    }

    /// Opens a session as this person.
    pub(crate) fn session(&self, place: &Place) -> Result<Session, Failure> {
        Session::open(Layout::new(&place.dir), place.member, self.credential()?)
    }

    /// Calls members as this person, with no client in between.
    pub(crate) fn caller(&self, consortium: &Consortium) -> Result<Caller, Failure> {
        let tls = ClientTls::new(self.credential()?).map_err(|error| link(&error))?;
        Caller::new(&tls, &consortium.endpoints()).map_err(|error| link(&error))
    }

    fn credential(&self) -> Result<Credential, Failure> {
        Credential::from_pem(self.certificate.clone(), self.tls_key.clone()).map_err(|error| link(&error))
    }
}

/// What is registered.
pub(crate) struct Registration<'a> {
    pub(crate) kind: PartyKind,
    pub(crate) roles: Roles,
    /// The file for a new second factor, if there is to be one.
    pub(crate) second: Option<&'a Path>,
}

/// Runs the command.
pub(crate) async fn run(command: &PersonCommand) -> Result<Report, Failure> {
    match command {
        PersonCommand::Register { place, out, days, roles, second_factor, application } => {
            let roles: Vec<Role> = roles.iter().map(|role| Role::from(*role)).collect();
            let kind = if *application { PartyKind::Application } else { PartyKind::Person };
            let who = Registration { kind, roles: Roles::of(&roles), second: second_factor.as_deref() };
            register(place, out, *days, &who).await
        }
        PersonCommand::Revoke { place, party } => revoke(place, *party).await,
    }
}

async fn register(place: &Place, out: &Path, days: u64, who: &Registration<'_>) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let party = enlist_as(&session, out, days, who).await?;
    let second = who.second.map(|path| {
        format!("their second factor is in `{}`; keep it apart from the other file", path.display())
    });
    Ok(Report::new(json!({ "party": party.to_string(), "file": out, "second_factor": who.second }))
        .line(format!("registered party {party}"))
        .line(format!("their keys are in `{}`; whoever holds it can read as them", out.display()))
        .lines(second))
}

/// Registers a new person without a role.
pub(crate) async fn enlist(session: &Session, out: &Path, days: u64) -> Result<PartyId, Failure> {
    let who = Registration { kind: PartyKind::Person, roles: Roles::NONE, second: None };
    enlist_as(session, out, days, &who).await
}

/// Registers a new person or application and writes their file, before the ledger is asked.
pub(crate) async fn enlist_as(
    session: &Session,
    out: &Path,
    days: u64,
    who: &Registration<'_>,
) -> Result<PartyId, Failure> {
    let mut rng = rng()?;
    let now = now();
    let party = party(&mut rng);
    let key = SigningKey::generate(&mut rng);
    let home = session.layout.member(session.home.get());
    let authority = authority(&home.key("authority.pem"), &home.key("authority.key"))?;
    let credential = authority.issue(&Subject::Person(party), &[], now).map_err(|error| link(&error))?;
    let file = PersonFile {
        party,
        key: ShareBytes(key.seed_for_storage()),
        certificate: credential.chain_pem().to_owned(),
        tls_key: credential.danger_key_pem().to_owned(),
    };
    store(out, &file)?;
    let second = who.second.map(|path| second_factor(path, &mut rng)).transpose()?;
    let body = TxBody::RegisterIdentity {
        party,
        kind: who.kind,
        member: session.home,
        key: key.public_key(),
        validity: validity(now, days)?,
        roles: who.roles,
        second,
    };
    session.submit(&Tx::sign(session.chain(), body, &session.registrar()?)).await?;
    Ok(party)
}

/// Writes a new second factor and gives its public key.
fn second_factor(path: &Path, rng: &mut impl CryptoRng) -> Result<PublicKey, Failure> {
    let key = SigningKey::generate(rng);
    store(path, &ShareBytes(key.seed_for_storage()))?;
    Ok(key.public_key())
}

/// Reads a key file such as a second factor's.
pub(crate) fn key_file(path: &Path) -> Result<SigningKey, Failure> {
    let seed: ShareBytes = load(path)?;
    Ok(SigningKey::from_seed(seed.0))
}

async fn revoke(place: &Place, party: PartyId) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let body = TxBody::RevokeIdentity { party };
    let committed = session.submit(&Tx::sign(session.chain(), body, &session.registrar()?)).await?;
    let height = committed.at.height;
    Ok(Report::new(json!({ "party": party.to_string(), "height": height.get() }))
        .line(format!("revoked party {party} at height {height}")))
}

/// A span from a little before now to `days` after.
pub(crate) fn validity(now: TimeMs, days: u64) -> Result<TimeSpan, Failure> {
    let from = TimeMs::new(now.get().saturating_sub(BACKDATE_MS));
    TimeSpan::new(from, now.plus_ms(days.saturating_mul(DAY_MS)))
        .ok_or_else(|| Failure::new(Code::Usage, "the registration would hold for no time"))
}

/// A member's certificate authority.
pub(crate) fn authority(certificate: &Path, key: &Path) -> Result<Authority, Failure> {
    let (certificate, key) = (crate::files::read_text(certificate)?, crate::files::read_text(key)?);
    Authority::from_pem(&certificate, &key).map_err(|error| link(&error))
}

/// Reads a person's file.
pub(crate) fn person(path: &Path) -> Result<PersonFile, Failure> {
    load(path)
}
