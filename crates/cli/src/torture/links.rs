//! Links that can be cut, silenced in one direction, and slowed: every member dials every other, and
//! the gateway every member, through a proxy of this process. Clients dial directly.
//!
//! A member is led to the proxies by a consortium file of its own, with the same genesis and other
//! addresses: that file is what says where the others are.

use crate::demo::stage::Process;
use crate::layout::Layout;
use crate::output::Failure;
use crate::session::{consortium, link};
use salus_link::Consortium;
use salus_wire::Code;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Bytes taken off a connection at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces under way in one direction; a sender waits when there are more, as on a full pipe.
const PIECES_MAX: usize = 256;

/// How one direction of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    /// Every byte is late.
    Late(Duration),
    /// Nothing arrives and nobody is told.
    Silent,
    /// Connections break, and new ones break at once.
    Cut,
}

/// From whom to whom bytes go.
pub(super) type Direction = (Process, Process);

/// All proxies. Dropping it ends them.
pub(super) struct Links {
    passages: Arc<BTreeMap<Direction, watch::Sender<Passage>>>,
    files: BTreeMap<Process, PathBuf>,
    _proxies: JoinSet<()>,
}

impl Links {
    /// Starts a proxy for each link and writes a consortium file for each process into `folder`.
    pub(super) async fn lay(layout: &Layout, folder: &Path) -> Result<Self, Failure> {
        let shared = consortium(layout)?;
        let members = (0_u16..).zip(shared.members());
        let mut everybody: Vec<Process> = members.map(|(member, _)| Process::Member(member)).collect();
        everybody.push(Process::Gateway);
        let mut links = Self {
            passages: Arc::new(passages(&everybody)),
            files: BTreeMap::new(),
            _proxies: JoinSet::new(),
        };
        for process in everybody {
            let file = folder.join(format!("{process}.toml"));
            let text = links.dialled_by(process, &shared).await?.to_toml().map_err(|error| link(&error))?;
            std::fs::write(&file, text).map_err(|error| Failure::file(&file, error))?;
            links.files.insert(process, file);
        }
        Ok(links)
    }

    /// The consortium file of a process.
    pub(super) fn file_of(&self, process: Process) -> Option<&Path> {
        self.files.get(&process).map(PathBuf::as_path)
    }

    /// Has these directions pass bytes so.
    pub(super) fn set(&self, directions: &[Direction], passage: Passage) {
        for direction in directions {
            if let Some(sender) = self.passages.get(direction) {
                sender.send_replace(passage);
            }
        }
    }

    /// The consortium as `from` must see it to dial through proxies.
    async fn dialled_by(&mut self, from: Process, shared: &Consortium) -> Result<Consortium, Failure> {
        let mut places = shared.members().to_vec();
        for (member, place) in (0_u16..).map(Process::Member).zip(&mut places) {
            if member != from {
                let address = if from == Process::Gateway { &mut place.rpc } else { &mut place.peers };
                *address = self.proxy(from, member, address.clone()).await?;
            }
        }
        Consortium::new(shared.genesis().clone(), places).map_err(|error| link(&error))
    }

    /// Starts one proxy; its address.
    async fn proxy(&mut self, from: Process, to: Process, address: String) -> Result<String, Failure> {
        let failed = |error: std::io::Error| Failure::new(Code::Internal, format!("no proxy: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let own = listener.local_addr().map_err(failed)?.to_string();
        let subscribe = |direction| self.passages.get(&direction).map(watch::Sender::subscribe);
        if let (Some(there), Some(back)) = (subscribe((from, to)), subscribe((to, from))) {
            self._proxies.spawn(serve(listener, address, there, back));
        }
        Ok(own)
    }
}

fn passages(everybody: &[Process]) -> BTreeMap<Direction, watch::Sender<Passage>> {
    let pairs = everybody.iter().flat_map(|from| everybody.iter().map(|to| (*from, *to)));
    pairs.filter(|(from, to)| from != to).map(|pair| (pair, watch::Sender::new(Passage::Open))).collect()
}

type Rule = watch::Receiver<Passage>;

async fn serve(listener: TcpListener, address: String, there: Rule, back: Rule) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted {
                    connections.spawn(carry(near, address.clone(), there.clone(), back.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either side or a cut ends it.
async fn carry(near: TcpStream, address: String, mut there: Rule, mut back: Rule) {
    let is_cut = |rule: &Rule| *rule.borrow() == Passage::Cut;
    if is_cut(&there) || is_cut(&back) {
        return;
    }
    let Ok(far) = TcpStream::connect(address).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = one_way(near_in, far_out, there.clone()) => {}
        () = one_way(far_in, near_out, back.clone()) => {}
        _ = there.wait_for(|passage| *passage == Passage::Cut) => {}
        _ = back.wait_for(|passage| *passage == Passage::Cut) => {}
    }
}

/// Carries bytes one way. What is late or held keeps its order, as TCP does.
async fn one_way(from: OwnedReadHalf, to: OwnedWriteHalf, rule: Rule) {
    let (pieces, under_way) = mpsc::channel(PIECES_MAX);
    tokio::join!(take_up(from, pieces, rule.clone()), hand_on(to, under_way, rule));
}

async fn take_up(mut from: OwnedReadHalf, pieces: mpsc::Sender<(Instant, Vec<u8>)>, rule: Rule) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(count) = from.read(&mut buffer).await {
        let delay = match *rule.borrow() {
            Passage::Late(delay) => delay,
            _ => Duration::ZERO,
        };
        let piece = buffer.get(..count).unwrap_or_default().to_vec();
        if count == 0 || pieces.send((Instant::now() + delay, piece)).await.is_err() {
            return;
        }
    }
}

async fn hand_on(mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>, mut rule: Rule) {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        if rule.wait_for(|passage| *passage != Passage::Silent).await.is_err()
            || to.write_all(&piece).await.is_err()
        {
            return;
        }
    }
}
