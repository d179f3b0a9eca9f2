//! `gateway.toml`: which gateway this is, where its files are, where it listens. An unknown entry is
//! an error that names it. Paths are taken relative to the file's own folder. An entry may be given
//! instead by an environment variable, `SALUS_GATEWAY_` and the entry's name.

use crate::batch::Anchors;
use crate::error::GatewayError;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use salus_wire::{MemberIndex, PartyId};
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// What an entry's environment variable begins with.
const ENVIRONMENT: &str = "SALUS_GATEWAY_";
/// Milliseconds between batches, unless configured.
const CADENCE_MS: u64 = 500;
/// Milliseconds by which a reading may be older than the gateway's clock, unless configured: what a
/// device kept while it was offline for a day is still taken.
const BEHIND_MS_MAX: u64 = 24 * 3_600_000;
/// Milliseconds by which a reading may be ahead of the gateway's clock, unless configured.
const AHEAD_MS_MAX: u64 = 5 * 60_000;
/// Bytes of the queue's files, unless configured.
const QUEUE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Frames of one device in a second, unless configured: a device that was offline for a day at one
/// frame a second catches up in a minute and a half.
const DEVICE_FRAMES_PER_S: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// Devices connected at once, unless configured.
const CONNECTIONS_MAX: usize = 1_024;

/// A gateway's configuration. All paths are absolute, or relative to the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// The gateway's registered id.
    pub party: PartyId,
    /// The member that runs it; its node is asked first.
    pub member: MemberIndex,
    /// The consortium file.
    pub consortium_file: PathBuf,
    /// The member's signed registration of this gateway, submitted if the ledger has none.
    pub registration_file: PathBuf,
    /// The folder of everything this gateway keeps.
    pub data_dir: PathBuf,
    /// Where to listen for devices.
    pub listen_mqtt: SocketAddr,
    /// The gateway's TLS certificate in PEM.
    pub tls_cert_file: PathBuf,
    /// Its private key in PEM; readable by its owner alone.
    pub tls_key_file: PathBuf,
    /// The key that seals what is at rest; outside the data folder.
    pub machine_key_file: PathBuf,
    /// The key that signs batches, epochs and deposits.
    pub signing_key_file: PathBuf,
    /// Milliseconds between batches.
    pub cadence_ms: u64,
    /// At every tick of the cadence with `steady_anchors = true`, else when there is something. Every anchor costs
    /// the ledger a transaction and each store a segment, for good.
    pub anchors: Anchors,
    /// Milliseconds by which a reading may be older than the gateway's clock.
    pub clock_behind_ms_max: u64,
    /// Milliseconds by which a reading may be ahead of the gateway's clock.
    pub clock_ahead_ms_max: u64,
    /// Bytes of the queue's files, beyond which devices are told to wait.
    pub queue_bytes_max: u64,
    /// Devices connected at once.
    pub connections_max: usize,
    /// Frames of one device in a second, and as many at once after a rest; every KiB that is begun
    /// counts as a frame.
    pub device_frames_per_s: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    party: String,
    member: u16,
    consortium_file: PathBuf,
    registration_file: PathBuf,
    data_dir: PathBuf,
    listen_mqtt: SocketAddr,
    tls_cert_file: PathBuf,
    tls_key_file: PathBuf,
    machine_key_file: PathBuf,
    signing_key_file: PathBuf,
    cadence_ms: Option<u64>,
    #[serde(default)]
    steady_anchors: bool,
    clock_behind_ms_max: Option<u64>,
    clock_ahead_ms_max: Option<u64>,
    queue_bytes_max: Option<u64>,
    connections_max: Option<usize>,
    device_frames_per_s: Option<NonZeroU32>,
}

impl GatewayConfig {
    /// Loads `path`.
    ///
    /// # Errors
    /// [`GatewayError::Unreadable`], or [`GatewayError::Config`] naming the entry.
    pub fn load(path: &Path) -> Result<Self, GatewayError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| GatewayError::Unreadable { path: path.to_owned(), source })?;
        let figment = Figment::new().merge(Toml::string(&text)).merge(Env::prefixed(ENVIRONMENT));
        let file: File = figment.extract().map_err(|error| explained(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let party = file.party.parse().map_err(|_| GatewayError::Config {
            file: path.to_owned(),
            entry: "party".to_owned(),
            what: "not 32 lower-case hexadecimal digits".to_owned(),
        })?;
        Ok(file.within(folder, party))
    }

    /// Where enrolled devices are kept; see [`crate::registry::add`].
    #[must_use]
    pub fn registry_folder(&self) -> PathBuf {
        self.data_dir.join("registry")
    }

    pub(crate) fn queue_folder(&self) -> PathBuf {
        self.data_dir.join("queue")
    }

    pub(crate) fn deposits_folder(&self) -> PathBuf {
        self.data_dir.join("deposits")
    }

    pub(crate) fn quarantine_folder(&self) -> PathBuf {
        self.data_dir.join("quarantine")
    }
}

impl File {
    fn within(self, folder: &Path, party: PartyId) -> GatewayConfig {
        GatewayConfig {
            party,
            member: MemberIndex::new(self.member),
            consortium_file: folder.join(self.consortium_file),
            registration_file: folder.join(self.registration_file),
            data_dir: folder.join(self.data_dir),
            listen_mqtt: self.listen_mqtt,
            tls_cert_file: folder.join(self.tls_cert_file),
            tls_key_file: folder.join(self.tls_key_file),
            machine_key_file: folder.join(self.machine_key_file),
            signing_key_file: folder.join(self.signing_key_file),
            cadence_ms: self.cadence_ms.unwrap_or(CADENCE_MS),
            anchors: if self.steady_anchors { Anchors::Always } else { Anchors::WhenNeeded },
            clock_behind_ms_max: self.clock_behind_ms_max.unwrap_or(BEHIND_MS_MAX),
            clock_ahead_ms_max: self.clock_ahead_ms_max.unwrap_or(AHEAD_MS_MAX),
            queue_bytes_max: self.queue_bytes_max.unwrap_or(QUEUE_BYTES_MAX),
            connections_max: self.connections_max.unwrap_or(CONNECTIONS_MAX),
            device_frames_per_s: self.device_frames_per_s.unwrap_or(DEVICE_FRAMES_PER_S),
        }
    }
}

fn explained(path: &Path, error: &figment::Error) -> GatewayError {
    let named = match &error.kind {
        Kind::UnknownField(entry, _) => Some(entry.clone()),
        Kind::MissingField(entry) => Some(entry.to_string()),
        _ => None,
    };
    let entry = named.unwrap_or_else(|| error.path.join("."));
    GatewayError::Config { file: path.to_owned(), entry, what: error.kind.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::Code;

    const GOOD: &str = r#"
        party = "07070707070707070707070707070707"
        member = 2
        consortium_file = "../consortium.toml"
        registration_file = "registration.tx"
        data_dir = "data"
        listen_mqtt = "127.0.0.1:8883"
        tls_cert_file = "tls/gateway.pem"
        tls_key_file = "../keys/gateway.key"
        machine_key_file = "/etc/salus/machine.key"
        signing_key_file = "../keys/signing.key"
    "#;

    fn load(text: &str) -> Result<GatewayConfig, GatewayError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, text).unwrap();
        GatewayConfig::load(&path).map(|config| GatewayConfig {
            data_dir: config.data_dir.strip_prefix(dir.path()).unwrap().to_owned(),
            ..config
        })
    }

    #[test]
    fn paths_are_relative_to_the_file_and_tuning_is_optional() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.party, PartyId::new([7; 16]));
        assert_eq!(config.registry_folder(), Path::new("data/registry"));
        assert_eq!(config.machine_key_file, Path::new("/etc/salus/machine.key"));
        assert_eq!(config.cadence_ms, CADENCE_MS);
        assert_eq!(load(&format!("{GOOD}\ncadence_ms = 50")).unwrap().cadence_ms, 50);
        assert_eq!(config.device_frames_per_s, DEVICE_FRAMES_PER_S);
        assert_eq!(config.anchors, Anchors::WhenNeeded);
        let steady = |steady: bool| load(&format!("{GOOD}\nsteady_anchors = {steady}")).unwrap().anchors;
        assert_eq!((steady(true), steady(false)), (Anchors::Always, Anchors::WhenNeeded));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (text, entry) in [
            (format!("{GOOD}\nlisten_mtt = 1"), "listen_mtt"),
            (GOOD.replace("member = 2", ""), "member"),
            (GOOD.replace("0707", "07"), "party"),
            (GOOD.replace("127.0.0.1:8883", "here"), "listen_mqtt"),
            (format!("{GOOD}\ndevice_frames_per_s = 0"), "device_frames_per_s"),
            (format!("{GOOD}\nsteady_anchors = 5"), "steady_anchors"),
        ] {
            let error = load(&text).unwrap_err();
            assert_eq!(error.code(), Code::ConfigInvalid);
            assert!(error.to_string().contains(&format!("`{entry}`")), "{error}");
        }
    }
}
