//! Members and a gateway as processes of this machine: started, watched, killed and started again.

use super::show::Show;
use crate::args::{InitArgs, Place};
use crate::init;
use crate::layout::Layout;
use crate::output::Failure;
use crate::session::Session;
use salus_wire::Code;
use salus_wire::ids::{Height, MemberIndex};
use salus_wire::rpc::Status;
use std::fs::OpenOptions;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a process may take to do what it is waited for.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For a process to end after it was asked to.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// The demo's one gateway.
pub(crate) const GATEWAY: &str = "gateway-0";

/// Every process of a demo, a test or a benchmark. Dropping it kills them.
pub(crate) struct Stage {
    pub(crate) layout: Layout,
    pub(crate) place: Place,
    pub(crate) members: u16,
    nodes: Vec<Option<Child>>,
    gateway: Option<Child>,
    mqtt: String,
}

impl Stage {
    /// Makes the consortium's folder; starts nothing.
    pub(crate) fn build(dir: &Path, members: u16) -> Result<Self, Failure> {
        init::make(dir, &init::trial(&trial(dir, members))?)?;
        for folder in ["logs", "people"] {
            let folder = dir.join(folder);
            std::fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, error))?;
        }
        let layout = Layout::new(dir);
        let mqtt = crate::patient::gateway_config(&layout, GATEWAY)?.listen_mqtt.to_string();
        Ok(Self {
            place: Place { dir: dir.to_owned(), member: 0 },
            layout,
            members,
            nodes: (0..members).map(|_| None).collect(),
            gateway: None,
            mqtt,
        })
    }

    /// Starts everybody and waits until all are ready.
    pub(crate) async fn start(&mut self, show: &Show) -> Result<(), Failure> {
        show.act("Four organisations agree on a ledger");
        for member in 0..self.members {
            self.start_node(member)?;
        }
        let session = Session::operator(&self.place)?;
        let wheel = show.wheel("waiting for the first final block");
        for member in 0..self.members {
            self.height_of(&session, member, Height::new(1)).await?;
        }
        wheel.finish_and_clear();
        show.held(format!("{} members run as processes of their own and agree", self.members));
        self.start_gateway()?;
        self.gateway_listens().await?;
        show.held("a gateway of member 0 waits for devices (MQTT, mutual TLS)");
        Ok(())
    }

    /// Starts one member's process.
    pub(crate) fn start_node(&mut self, member: u16) -> Result<(), Failure> {
        let config = self.layout.member(member).file("node.toml");
        let child = self.spawn("node", &config, &format!("member-{member}"))?;
        if let Some(slot) = self.nodes.get_mut(usize::from(member)) {
            *slot = Some(child);
        }
        Ok(())
    }

    /// Starts the gateway's process.
    pub(crate) fn start_gateway(&mut self) -> Result<(), Failure> {
        let config = self.layout.gateway(GATEWAY).file("gateway.toml");
        self.gateway = Some(self.spawn("gateway", &config, GATEWAY)?);
        Ok(())
    }

    /// Kills a member with SIGKILL, as a power cut would.
    pub(crate) async fn kill_node(&mut self, member: u16) -> Result<(), Failure> {
        let child = self.nodes.get_mut(usize::from(member)).and_then(Option::take);
        kill(child).await
    }

    /// Kills the gateway with SIGKILL.
    pub(crate) async fn kill_gateway(&mut self) -> Result<(), Failure> {
        kill(self.gateway.take()).await
    }

    /// Process ids by name, for measuring.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let nodes = (0_u16..).zip(&self.nodes).map(|(member, node)| (format!("member-{member}"), node));
        nodes
            .chain([(GATEWAY.to_owned(), &self.gateway)])
            .filter_map(|(name, child)| Some((name, child.as_ref()?.id()?)))
            .collect()
    }

    /// Waits until a member has applied `height`.
    pub(crate) async fn height_of(
        &mut self,
        session: &Session,
        member: u16,
        height: Height,
    ) -> Result<Status, Failure> {
        let started = Instant::now();
        loop {
            if let Ok(status) = session.client.status(MemberIndex::new(member)).await
                && status.head.height >= height
            {
                return Ok(status);
            }
            self.still_running()?;
            if started.elapsed() > WAIT_MAX {
                return Err(Failure::broken(format!(
                    "member {member} did not reach height {height} in time"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until devices can connect.
    pub(crate) async fn gateway_listens(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        while tokio::net::TcpStream::connect(&self.mqtt).await.is_err() {
            self.still_running()?;
            if started.elapsed() > WAIT_MAX {
                return Err(Failure::broken("the gateway does not listen"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Fails when a process that should run has ended.
    pub(crate) fn still_running(&mut self) -> Result<(), Failure> {
        let logs = self.layout.root().join("logs");
        for child in self.nodes.iter_mut().chain([&mut self.gateway]).flatten() {
            if let Ok(Some(status)) = child.try_wait() {
                let what =
                    format!("a process ended by itself ({status}), see the logs in `{}`", logs.display());
                return Err(Failure::new(Code::Internal, what));
            }
        }
        Ok(())
    }

    /// Asks everybody to end, and kills whoever does not.
    pub(crate) async fn stop(&mut self) {
        let children: Vec<Child> =
            self.nodes.iter_mut().chain([&mut self.gateway]).filter_map(Option::take).collect();
        for mut child in children {
            terminate(&child).await;
            if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }

    /// A file of one of the people.
    pub(crate) fn people(&self, name: &str) -> PathBuf {
        self.layout.root().join("people").join(name)
    }

    fn spawn(&self, command: &str, config: &Path, name: &str) -> Result<Child, Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        let log = self.layout.root().join("logs").join(format!("{name}.log"));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| Failure::file(&log, error))?;
        Command::new(program)
            .arg(command)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::new(Code::Internal, format!("could not start `salus {command}`: {error}"))
            })
    }
}

/// A consortium on free ports of this machine, with one gateway.
fn trial(dir: &Path, members: u16) -> InitArgs {
    InitArgs {
        dir: dir.to_owned(),
        plan: None,
        members,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        base_port: 0,
        gateway: true,
    }
}

async fn kill(child: Option<Child>) -> Result<(), Failure> {
    let mut child = child.ok_or_else(|| Failure::new(Code::Internal, "the process does not run"))?;
    child.kill().await.map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// Sends SIGTERM; the process then stops in order.
async fn terminate(child: &Child) {
    if let Some(id) = child.id() {
        let _ = Command::new("kill")
            .arg(id.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
    }
}
