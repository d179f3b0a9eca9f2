//! The secrets of one node, read from their files and held against the genesis: a node that runs
//! with another member's key, or with an old one, is stopped here and not by its peers.

use crate::config::NodeConfig;
use crate::error::NodeError;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_link::{Credential, Subject};
use salus_store::key_file;
use salus_wire::GenesisMember;
use std::path::Path;

/// Where activity is kept within the data folder.
pub(crate) const ACTIVITY_FOLDER: &str = "activity";

/// Everything secret that a node holds.
#[derive(Debug)]
pub struct Keys {
    /// Of the key that votes.
    pub consensus_seed: Secret<32>,
    /// Signs for store and custodian.
    pub service: SigningKey,
    /// Opens what writers seal to this custodian.
    pub custodian: KemSecretKey,
    /// Seals key shares at rest.
    pub machine: MachineKey,
    /// The same, for what is kept for emergencies.
    pub emergency: MachineKey,
    /// Seals what is remembered of releases.
    pub activity: MachineKey,
    /// The same, for what is kept for recoveries.
    pub recovery: MachineKey,
    /// The node's certificate and its key.
    pub tls: Credential,
}

impl Keys {
    /// Reads all key files. The data folder must exist.
    ///
    /// # Errors
    /// [`NodeError`] naming the file that is missing, exposed, malformed, or not this member's.
    pub fn load(config: &NodeConfig, member: &GenesisMember) -> Result<Self, NodeError> {
        let keys = Self {
            consensus_seed: key_file::read(&config.consensus_key_file)?,
            service: SigningKey::from_seed(key_file::read(&config.service_key_file)?),
            custodian: KemSecretKey::from_seed(key_file::read(&config.custodian_key_file)?),
            machine: key_file::read_machine_key(&config.machine_key_file, &config.data_dir)?,
            emergency: key_file::read_machine_key(&config.machine_key_file, &config.data_dir)?,
            activity: activity_key(config)?,
            recovery: key_file::read_machine_key(&config.machine_key_file, &config.data_dir)?,
            tls: credential(config)?,
        };
        let foreign = |path: &Path| Err(NodeError::ForeignKey { path: path.to_owned() });
        // A second reading, because the seed cannot be copied and the engine takes the first.
        let voting = SigningKey::from_seed(key_file::read(&config.consensus_key_file)?);
        if voting.public_key() != member.consensus {
            return foreign(&config.consensus_key_file);
        }
        if keys.service.public_key() != member.service {
            return foreign(&config.service_key_file);
        }
        if keys.custodian.public_key() != member.custodian {
            return foreign(&config.custodian_key_file);
        }
        Ok(keys)
    }
}

/// Made when there is nothing yet that it seals: nobody else needs to know it, and a lost one is not replaced.
fn activity_key(config: &NodeConfig) -> Result<MachineKey, NodeError> {
    let path = &config.activity_key_file;
    let sealed = std::fs::read_dir(config.data_dir.join(ACTIVITY_FOLDER));
    let nothing = sealed.map_or(true, |mut files| files.next().is_none());
    if !path.exists() && nothing {
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| NodeError::Lost)?;
        key_file::create(path, &Secret::random(&mut rng))?;
    }
    Ok(key_file::read_machine_key(path, &config.data_dir)?)
}

fn credential(config: &NodeConfig) -> Result<Credential, NodeError> {
    let path = &config.tls_cert_file;
    let chain = std::fs::read_to_string(path)
        .map_err(|source| NodeError::Unreadable { path: path.clone(), source })?;
    let key = key_file::read_text(&config.tls_key_file)?;
    let credential = Credential::from_pem(chain, key).map_err(NodeError::Tls)?;
    match credential.subject() {
        Ok(Subject::Member(member)) if member == config.member => Ok(credential),
        _ => Err(NodeError::ForeignCertificate { path: path.clone() }),
    }
}
