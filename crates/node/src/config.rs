//! `node.toml`: which member this is, where its files are, where it listens. An unknown entry is an
//! error that names it. Paths are taken relative to the file's own folder. An entry may be given
//! instead by an environment variable, `SALUS_NODE_` and the entry's name.

use crate::cover::CoverRates;
use crate::error::NodeError;
use crate::limits::Rates;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use salus_wire::MemberIndex;
use salus_wire::limits::RECOVERY_DELAY_MS_SAFE;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What an entry's environment variable begins with.
const ENVIRONMENT: &str = "SALUS_NODE_";
/// The suffix of the record of erasures, beside the machine key.
const ERASURES: &str = "erasures";
/// The suffix of the key of activity, beside the machine key.
const ACTIVITY_KEY: &str = "activity";

/// A node's configuration. All paths are absolute, or relative to the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Which member.
    pub member: MemberIndex,
    /// The consortium file.
    pub consortium_file: PathBuf,
    /// The folder of everything this node keeps.
    pub data_dir: PathBuf,
    /// Where to listen for remote calls.
    pub listen_rpc: SocketAddr,
    /// Where to listen for the other members' engines.
    pub listen_peers: SocketAddr,
    /// The node's TLS certificate in PEM.
    pub tls_cert_file: PathBuf,
    /// Its private key in PEM; readable by its owner alone.
    pub tls_key_file: PathBuf,
    /// The key that seals what is at rest; outside the data folder.
    pub machine_key_file: PathBuf,
    /// What is known to be erased; outside the data folder, so that a backup of that does not set it back.
    /// Beside the machine key when left out.
    pub erasures_dir: PathBuf,
    /// The key that seals what is remembered of releases; outside the data folder. Beside the machine key when
    /// left out, and made at the first start.
    pub activity_key_file: PathBuf,
    /// The key that votes.
    pub consensus_key_file: PathBuf,
    /// The key that signs for store and custodian.
    pub service_key_file: PathBuf,
    /// The key to which writers seal shares.
    pub custodian_key_file: PathBuf,
    /// The shortest delay of a patient's recovery that this custodian keeps, in milliseconds: 24 hours when left out.
    /// Shorter is for trials: whoever copies a wallet for which nothing is prepared could take it before its owner
    /// notices.
    pub recovery_delay_ms_min: u64,
    /// How often each caller may ask.
    pub rates: Rates,
    /// How often this member commits grants and accesses of nothing: never when left out.
    pub cover: CoverRates,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    member: u16,
    consortium_file: PathBuf,
    data_dir: PathBuf,
    listen_rpc: SocketAddr,
    listen_peers: SocketAddr,
    tls_cert_file: PathBuf,
    tls_key_file: PathBuf,
    machine_key_file: PathBuf,
    #[serde(default)]
    erasures_dir: Option<PathBuf>,
    #[serde(default)]
    activity_key_file: Option<PathBuf>,
    consensus_key_file: PathBuf,
    service_key_file: PathBuf,
    custodian_key_file: PathBuf,
    #[serde(default)]
    recovery_delay_ms_min: Option<u64>,
    #[serde(default)]
    rates: Rates,
    #[serde(default)]
    cover: CoverRates,
}

impl NodeConfig {
    /// Loads `path`.
    ///
    /// # Errors
    /// [`NodeError::Unreadable`], or [`NodeError::Config`] naming the entry.
    pub fn load(path: &Path) -> Result<Self, NodeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| NodeError::Unreadable { path: path.to_owned(), source })?;
        let figment = Figment::new().merge(Toml::string(&text)).merge(Env::prefixed(ENVIRONMENT));
        let file: File = figment.extract().map_err(|error| explained(path, &error))?;
        Ok(file.within(path.parent().unwrap_or(Path::new(""))))
    }
}

impl File {
    fn within(self, folder: &Path) -> NodeConfig {
        let erasures = self.erasures_dir.unwrap_or_else(|| self.machine_key_file.with_extension(ERASURES));
        let activity =
            self.activity_key_file.unwrap_or_else(|| self.machine_key_file.with_extension(ACTIVITY_KEY));
        NodeConfig {
            erasures_dir: folder.join(erasures),
            activity_key_file: folder.join(activity),
            member: MemberIndex::new(self.member),
            consortium_file: folder.join(self.consortium_file),
            data_dir: folder.join(self.data_dir),
            listen_rpc: self.listen_rpc,
            listen_peers: self.listen_peers,
            tls_cert_file: folder.join(self.tls_cert_file),
            tls_key_file: folder.join(self.tls_key_file),
            machine_key_file: folder.join(self.machine_key_file),
            consensus_key_file: folder.join(self.consensus_key_file),
            service_key_file: folder.join(self.service_key_file),
            custodian_key_file: folder.join(self.custodian_key_file),
            recovery_delay_ms_min: self.recovery_delay_ms_min.unwrap_or(RECOVERY_DELAY_MS_SAFE),
            rates: self.rates,
            cover: self.cover,
        }
    }
}

fn explained(path: &Path, error: &figment::Error) -> NodeError {
    let named = match &error.kind {
        Kind::UnknownField(entry, _) => Some(entry.clone()),
        Kind::MissingField(entry) => Some(entry.to_string()),
        _ => None,
    };
    let entry = named.unwrap_or_else(|| error.path.join("."));
    NodeError::Config { file: path.to_owned(), entry, what: error.kind.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::Code;

    const GOOD: &str = r#"
        member = 2
        consortium_file = "../consortium.toml"
        data_dir = "data"
        listen_rpc = "127.0.0.1:7102"
        listen_peers = "127.0.0.1:7002"
        tls_cert_file = "tls/node.pem"
        tls_key_file = "../keys/node.key"
        machine_key_file = "/etc/salus/machine.key"
        consensus_key_file = "../keys/consensus.key"
        service_key_file = "../keys/service.key"
        custodian_key_file = "../keys/custodian.key"
    "#;

    fn load(text: &str) -> Result<NodeConfig, NodeError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::load(&path).map(|config| NodeConfig {
            data_dir: config.data_dir.strip_prefix(dir.path()).unwrap().to_owned(),
            ..config
        })
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.member, MemberIndex::new(2));
        assert_eq!(config.data_dir, Path::new("data"));
        assert_eq!(config.machine_key_file, Path::new("/etc/salus/machine.key"));
        assert_eq!(config.listen_rpc.port(), 7102);
        assert_eq!(config.rates, Rates::default());
        assert_eq!(config.cover, CoverRates::default());
        assert_eq!(config.recovery_delay_ms_min, RECOVERY_DELAY_MS_SAFE);
    }

    #[test]
    fn rates_are_given_one_by_one() {
        let rates = load(&format!("{GOOD}\n[rates]\nsubmits = 7")).unwrap().rates;
        assert_eq!(rates.submits.get(), 7);
        assert_eq!(rates.reads, Rates::default().reads);
    }

    #[test]
    fn cover_is_given_for_each_kind() {
        let every = |seconds: u32| Some(seconds.try_into().unwrap());
        for (table, grant_every_s, access_every_s) in [
            ("", None, None),
            ("grant_every_s = 10", every(10), None),
            ("access_every_s = 86400", None, every(86_400)),
            ("grant_every_s = 1\naccess_every_s = 100", every(1), every(100)),
        ] {
            let cover = load(&format!("{GOOD}\n[cover]\n{table}")).unwrap().cover;
            assert_eq!(cover, CoverRates { grant_every_s, access_every_s }, "{table}");
        }
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (text, entry) in [
            (format!("{GOOD}\nlisten_rcp = 1"), "listen_rcp"),
            (GOOD.replace("member = 2", ""), "member"),
            (GOOD.replace("member = 2", "member = 70000"), "member"),
            (GOOD.replace("127.0.0.1:7102", "here"), "listen_rpc"),
            (GOOD.replace("member = 2", "member = \"2\""), "member"),
            (format!("{GOOD}\n[rates]\nsubmit = 7"), "submit"),
            (format!("{GOOD}\n[rates]\nreads = 0"), "rates.reads"),
            (format!("{GOOD}\n[cover]\ngrants_every_s = 7"), "grants_every_s"),
            (format!("{GOOD}\n[cover]\ngrant_every_s = 0"), "cover.grant_every_s"),
            (format!("{GOOD}\n[cover]\ngrant_every_s = 86401"), "cover.grant_every_s"),
            (format!("{GOOD}\n[cover]\naccess_every_s = 0.5"), "cover.access_every_s"),
        ] {
            let error = load(&text).unwrap_err();
            assert_eq!(error.code(), Code::ConfigInvalid);
            assert!(matches!(&error, NodeError::Config { entry: named, .. } if named == entry), "{error}");
            assert!(error.to_string().contains(entry));
        }
    }

    #[test]
    fn what_is_not_toml_or_not_there_is_an_error() {
        assert_eq!(load("member = ").unwrap_err().code(), Code::ConfigInvalid);
        let missing = NodeConfig::load(Path::new("no/such/node.toml")).unwrap_err();
        assert_eq!(missing.code(), Code::FileUnreadable);
    }
}
