//! Four members and a gateway as processes of `salus`, each of which can be looked at, stopped and
//! started again.

use super::until::until;
use serde_json::Value;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) const MEMBERS: usize = 4;
/// For whatever a process is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(60);
const GATEWAY: &str = "gateway-0";

/// A folder that `salus init` made, and what runs on it. Dropping it kills everything.
pub(crate) struct Consortium {
    pub(crate) dir: PathBuf,
    running: Vec<(String, Child)>,
    _folder: TempDir,
}

impl Consortium {
    /// Makes the folder; starts nothing.
    pub(crate) fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("trial");
        let made = Command::new(env!("CARGO_BIN_EXE_salus"))
            .args(["init", "--members", "4", "--base-port", "0", "--dir"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", said(&made));
        std::fs::create_dir(dir.join("logs")).unwrap();
        std::fs::create_dir(dir.join("people")).unwrap();
        Self { dir, running: Vec::new(), _folder: folder }
    }

    /// Starts everybody and waits until members agree and devices can connect.
    pub(crate) async fn start(&mut self) {
        for member in 0..MEMBERS {
            self.start_member(member);
        }
        until("every member has a final block", SOON, async || {
            (0..MEMBERS).all(|member| self.height(member) >= 1).then_some(())
        })
        .await;
        self.start_gateway();
        self.gateway_listens().await;
    }

    pub(crate) fn start_member(&mut self, member: usize) {
        let name = format!("member-{member}");
        let config = self.dir.join(&name).join("node.toml");
        self.spawn("node", &config, &name);
    }

    pub(crate) fn start_gateway(&mut self) {
        let config = self.dir.join(GATEWAY).join("gateway.toml");
        self.spawn("gateway", &config, GATEWAY);
    }

    /// Asks a process to end and waits until it has.
    pub(crate) async fn stop(&mut self, name: &str) {
        let id = self.pid(name).to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        let ended = self.ended(name).await;
        assert!(ended.success(), "{name}: {ended}");
    }

    /// Waits until a process has ended by itself.
    pub(crate) async fn ended(&mut self, name: &str) -> ExitStatus {
        let place = self.running.iter().position(|(other, _)| other == name).unwrap();
        let (_, mut child) = self.running.swap_remove(place);
        until(&format!("{name} ends"), SOON, async || child.try_wait().unwrap()).await
    }

    /// Everybody who was started and not stopped runs still.
    pub(crate) fn all_run(&mut self) {
        for (name, child) in &mut self.running {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}");
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.running.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.running.iter().find(|(other, _)| other == name).unwrap().1.id()
    }

    /// What a process has logged so far.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join("logs").join(name)).unwrap()
    }

    pub(crate) fn people(&self, name: &str) -> String {
        self.dir.join("people").join(name).display().to_string()
    }

    /// Runs a command on this consortium.
    pub(crate) fn salus(&self, words: &[&str]) -> Value {
        let output = self.try_salus(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The same, whatever comes of it.
    pub(crate) fn try_salus(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salus"));
        command.arg("--json").args(words);
        if words.first() != Some(&"device")
            || words.get(1).is_some_and(|word| *word == "revoke" || *word == "enrol")
        {
            command.arg("--dir").arg(&self.dir);
        }
        command.output().unwrap()
    }

    /// A member's height, 0 when it does not answer.
    pub(crate) fn height(&self, member: usize) -> u64 {
        let output = self.try_salus(&["status"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["members"][member]["height"].as_u64().unwrap_or(0)
    }

    /// Where devices connect.
    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.address(GATEWAY, "gateway.toml", "listen_mqtt")
    }

    /// An address in a configuration file.
    pub(crate) fn address(&self, name: &str, file: &str, entry: &str) -> SocketAddr {
        let text = std::fs::read_to_string(self.dir.join(name).join(file)).unwrap();
        let config: toml::Table = text.parse().unwrap();
        config[entry].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn gateway_listens(&self) {
        let at = self.mqtt();
        until("the gateway listens", SOON, async || TcpStream::connect(at).await.ok()).await;
    }

    fn spawn(&mut self, command: &str, config: &Path, name: &str) {
        let log =
            OpenOptions::new().create(true).append(true).open(self.dir.join("logs").join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_salus"))
            .args([command, "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.push((name.to_owned(), child));
    }
}

impl Drop for Consortium {
    fn drop(&mut self) {
        for (name, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.dir.join("logs").join(&*name)).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(12).collect();
                eprintln!("== {name}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
    }
}

/// Everything that a command printed.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
