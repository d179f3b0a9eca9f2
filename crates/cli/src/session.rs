//! A command's connection to a consortium: its file, its folder, and as whom it calls.

use crate::args::Place;
use crate::files::read_text;
use crate::layout::Layout;
use crate::output::Failure;
use rand::rngs::StdRng;
use salus_client::drive::entropy;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_link::{Caller, ClientTls, Consortium, Credential, LinkError};
use salus_proof::TrustPolicy;
use salus_wire::ids::{ChainId, MemberIndex, PartyId};
use salus_wire::rpc::Committed;
use salus_wire::state::IdentityRecord;
use salus_wire::{Code, StateKey, StateValue, Tx};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// See the head of this module.
pub(crate) struct Session {
    pub(crate) layout: Layout,
    pub(crate) consortium: Consortium,
    pub(crate) client: salus_client::Consortium,
    pub(crate) home: MemberIndex,
    /// How long each submitted transaction took to be final.
    pub(crate) finality: Mutex<Vec<Duration>>,
}

impl Session {
    /// Calls as the operator of a member.
    pub(crate) fn operator(place: &Place) -> Result<Self, Failure> {
        let layout = Layout::new(&place.dir);
        let keys = layout.member(place.member);
        let credential = credential(&keys.key("operator.pem"), &keys.key("operator.key"))?;
        Self::open(layout, place.member, credential)
    }

    /// Calls with a credential of one's own.
    pub(crate) fn open(layout: Layout, home: u16, credential: Credential) -> Result<Self, Failure> {
        let consortium = consortium(&layout)?;
        if usize::from(home) >= consortium.members().len() {
            return Err(Failure::new(Code::Usage, format!("there is no member {home}")));
        }
        let tls = ClientTls::new(credential).map_err(|error| link(&error))?;
        let caller = Caller::new(&tls, &consortium.endpoints()).map_err(|error| link(&error))?;
        Ok(Self {
            layout,
            consortium,
            client: salus_client::Consortium::new(caller),
            home: MemberIndex::new(home),
            finality: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.consortium.chain()
    }

    pub(crate) fn policy(&self) -> Result<TrustPolicy, Failure> {
        TrustPolicy::from_genesis(self.consortium.genesis())
            .map_err(|error| Failure::new(Code::ConfigInvalid, error.to_string()))
    }

    /// The registrar key of the home member.
    pub(crate) fn registrar(&self) -> Result<SigningKey, Failure> {
        signing_key(&self.layout.member(self.home.get()).key("registrar.key"))
    }

    /// Orders a transaction and sees proven that it took effect.
    pub(crate) async fn submit(&self, tx: &Tx) -> Result<Committed, Failure> {
        let started = Instant::now();
        let committed = self.client.settle(tx, self.home, &self.policy()?).await?;
        if let Ok(mut finality) = self.finality.lock() {
            finality.push(started.elapsed());
        }
        Ok(committed)
    }

    /// The registered key of a party, as a proof shows it: a grant to a key that one member made up
    /// would be a grant to that member.
    pub(crate) async fn identity_key(&self, party: PartyId) -> Result<PublicKey, Failure> {
        Ok(self.identity(party).await?.key)
    }

    /// A party's registration, as a proof shows it.
    pub(crate) async fn identity(&self, party: PartyId) -> Result<IdentityRecord, Failure> {
        let key = StateKey::Identity(party);
        match self.client.entry(key, self.home, &self.policy()?).await? {
            Some(StateValue::Identity(record)) => Ok(record),
            _ => Err(Failure::new(Code::NotFound, "no such party is registered")),
        }
    }
}

/// The consortium file of a folder.
pub(crate) fn consortium(layout: &Layout) -> Result<Consortium, Failure> {
    Consortium::parse(&read_text(&layout.consortium())?).map_err(|error| link(&error))
}

/// A TLS credential from its two files.
pub(crate) fn credential(chain: &Path, key: &Path) -> Result<Credential, Failure> {
    Credential::from_pem(read_text(chain)?, read_text(key)?).map_err(|error| link(&error))
}

/// A signing key from its file.
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let seed = salus_store::key_file::read(path)
        .map_err(|error| Failure::new(Code::FileUnreadable, error.to_string()))?;
    Ok(SigningKey::from_seed(seed))
}

/// This process's randomness.
pub(crate) fn rng() -> Result<StdRng, Failure> {
    Ok(entropy()?)
}

pub(crate) fn link(error: &LinkError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
