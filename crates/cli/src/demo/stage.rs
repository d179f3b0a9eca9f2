//! Members and a gateway as processes of this machine: started, watched, killed and started again.

use super::show::Show;
use crate::args::{InitArgs, Place};
use crate::init;
use crate::layout::Layout;
use crate::output::Failure;
use crate::session::Session;
use rustix::process::{Pid, Signal, kill_process};
use salus_wire::Code;
use salus_wire::ids::{Height, MemberIndex};
use salus_wire::rpc::Status;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
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

/// One process of the consortium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Process {
    Gateway,
    Member(u16),
}

/// Every process of a demo, a test or a benchmark. Dropping it kills them.
pub(crate) struct Stage {
    pub(crate) layout: Layout,
    pub(crate) place: Place,
    pub(crate) members: u16,
    nodes: Vec<Option<Child>>,
    gateway: Option<Child>,
    mqtt: String,
    environment: BTreeMap<Process, Vec<(&'static str, OsString)>>,
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
            environment: BTreeMap::new(),
        })
    }

    /// Has a process find this in its environment whenever it is started from now on.
    pub(crate) fn surround(
        &mut self,
        process: Process,
        entries: impl IntoIterator<Item = (&'static str, OsString)>,
    ) {
        self.environment.entry(process).or_default().extend(entries);
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
        self.start_process(Process::Member(member))
    }

    /// Starts the gateway's process.
    pub(crate) fn start_gateway(&mut self) -> Result<(), Failure> {
        self.start_process(Process::Gateway)
    }

    /// Starts one process.
    pub(crate) fn start_process(&mut self, process: Process) -> Result<(), Failure> {
        let (command, config) = match process {
            Process::Member(member) => ("node", self.layout.member(member).file("node.toml")),
            Process::Gateway => ("gateway", self.layout.gateway(GATEWAY).file("gateway.toml")),
        };
        let child = self.spawn(command, &config, process)?;
        if let Some(slot) = self.slot(process) {
            *slot = Some(child);
        }
        Ok(())
    }

    /// Kills a member with SIGKILL, as a power cut would.
    pub(crate) async fn kill_node(&mut self, member: u16) -> Result<(), Failure> {
        self.kill_processes(&[Process::Member(member)]).await
    }

    /// Kills the gateway with SIGKILL.
    pub(crate) async fn kill_gateway(&mut self) -> Result<(), Failure> {
        self.kill_processes(&[Process::Gateway]).await
    }

    /// Kills processes with SIGKILL, all before the first is waited for.
    pub(crate) async fn kill_processes(&mut self, processes: &[Process]) -> Result<(), Failure> {
        self.signal(processes, Signal::KILL)?;
        for process in processes {
            let child = self.slot(*process).and_then(Option::take);
            if let Some(mut child) = child {
                child.wait().await.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Stops processes where they stand.
    pub(crate) fn freeze(&mut self, processes: &[Process]) -> Result<(), Failure> {
        self.signal(processes, Signal::STOP)
    }

    /// Lets frozen processes go on.
    pub(crate) fn thaw(&mut self, processes: &[Process]) -> Result<(), Failure> {
        self.signal(processes, Signal::CONT)
    }

    /// Waits for a process to end by itself; `None` when it does not.
    pub(crate) async fn ends_within(&mut self, process: Process, within: Duration) -> Option<ExitStatus> {
        let slot = self.slot(process)?;
        let status = tokio::time::timeout(within, slot.as_mut()?.wait()).await.ok()?.ok()?;
        *slot = None;
        Some(status)
    }

    fn signal(&mut self, processes: &[Process], signal: Signal) -> Result<(), Failure> {
        for process in processes {
            let id = self.slot(*process).and_then(|slot| slot.as_ref()?.id());
            let pid = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
            let pid = pid.ok_or_else(|| Failure::new(Code::Internal, format!("{process} does not run")))?;
            kill_process(pid, signal)
                .map_err(|errno| Failure::new(Code::Internal, format!("{process}: {errno}")))?;
        }
        Ok(())
    }

    fn slot(&mut self, process: Process) -> Option<&mut Option<Child>> {
        match process {
            Process::Gateway => Some(&mut self.gateway),
            Process::Member(member) => self.nodes.get_mut(usize::from(member)),
        }
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

    /// Where a process logs.
    pub(crate) fn log_of(&self, process: Process) -> PathBuf {
        self.layout.root().join("logs").join(format!("{process}.log"))
    }

    fn spawn(&self, command: &str, config: &Path, process: Process) -> Result<Child, Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        let log = self.log_of(process);
        let environment = self.environment.get(&process).into_iter().flatten();
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
            .envs(environment.map(|(name, value)| (name, value)))
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

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str(GATEWAY),
            Self::Member(member) => write!(f, "member-{member}"),
        }
    }
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
