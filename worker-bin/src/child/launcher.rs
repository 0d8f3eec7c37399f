//! The worker's handle on the launcher process.

use super::begin::{Begun, Containment, PidNamespace, attempt, begin};
use super::cgroup::Cgroup;
use super::descent;
use super::survivors::Survivors;
use super::tag::Tag;
use super::wire::{self, Exit, HEADER_BYTES, Header, Reply, Request, Start};
use crate::mutex::lock;
use rustix::process::{Pid, WaitOptions, waitpid};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// How long a dead launcher's children are hunted for.
const HUNT: Duration = Duration::from_secs(5);

/// A handle on the launcher process; clones share it.
///
/// When the last handle and the last child of it are dropped, or this process dies in any way, the launcher kills every
/// descendant it ever had and ends. [`Launcher::shutdown`] does the same and waits for it.
#[derive(Clone, Debug)]
pub struct Launcher {
    shared: Arc<Shared>,
    /// Ends the tasks below with the last handle.
    _tasks: Arc<Tasks>,
}

#[derive(Debug)]
struct Shared {
    pid: Pid,
    containment: Containment,
    cgroup: Option<Cgroup>,
    socket: UnixStream,
    state: Mutex<State>,
    backlogged: Notify,
    /// Told when the last child has ended.
    idle: Notify,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    ids: u64,
    /// Why no child can be started any more.
    dead: Option<String>,
    waiting: BTreeMap<u64, Waiting>,
    /// Those that have ended and left processes behind.
    survived: BTreeSet<u64>,
    /// What the socket did not take at once. Each child adds at most a start and a few kills.
    backlog: VecDeque<Outgoing>,
}

#[derive(Debug)]
struct Waiting {
    pid: Option<Pid>,
    started: Option<oneshot::Sender<Reply>>,
    exited: oneshot::Sender<ChildExit>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Tasks([JoinHandle<()>; 2]);

/// Why a child could not be started.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// The launcher is gone.
    Launcher(String),
    System {
        errno: i32,
        message: String,
    },
}

/// A running child. Dropping it kills its process group.
#[derive(Debug)]
pub(crate) struct Child {
    id: u64,
    pid: Pid,
    launcher: Launcher,
    exited: oneshot::Receiver<ChildExit>,
    exit: Option<ChildExit>,
}

#[derive(Clone, Copy, Debug)]
struct ChildExit {
    exit: Exit,
    /// Processes of it go on.
    left: bool,
}

impl Launcher {
    /// Starts `exe`, which must be this binary, as launcher. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If no socket or process can be made.
    pub fn start(exe: &Path) -> io::Result<Self> {
        Self::start_in(exe, PidNamespace::default())
    }

    /// The same, with a say in which namespaces it may make.
    ///
    /// # Errors
    /// If no socket or process can be made.
    pub fn start_in(exe: &Path, allowed: PidNamespace) -> io::Result<Self> {
        Self::of(begin(exe, allowed)?)
    }

    /// The same, where all programs end with this process in this way, or not at all.
    ///
    /// # Errors
    /// If no socket or process can be made, or this user may not do that here.
    pub fn start_by(exe: &Path, containment: Containment) -> io::Result<Self> {
        Self::of(attempt(exe, containment)?)
    }

    fn of(begun: Begun) -> io::Result<Self> {
        let Begun { containment, pid, socket, ended, cgroup } = begun;
        socket.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            pid,
            containment,
            cgroup,
            socket: UnixStream::from_std(socket)?,
            state: Mutex::default(),
            backlogged: Notify::new(),
            idle: Notify::new(),
            ended: Notify::new(),
        });
        let reader = tokio::spawn(read_replies(shared.clone(), ended));
        let writer = tokio::spawn(write_backlog(shared.clone()));
        Ok(Self { shared, _tasks: Arc::new(Tasks([reader, writer])) })
    }

    /// What ends all programs with this process.
    #[must_use]
    pub fn containment(&self) -> Containment {
        self.shared.containment
    }

    /// The process id of the launcher, or of its guardian where it has one.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.shared.pid.as_raw_pid().unsigned_abs()
    }

    /// Ends all children and the launcher, and waits until they are gone.
    pub async fn shutdown(&self) {
        let ended = self.shared.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if self.shared.state().dead.is_none()
            && rustix::net::shutdown(&self.shared.socket, rustix::net::Shutdown::Write).is_ok()
        {
            ended.await;
        }
    }

    /// Waits until no child runs, however long that takes.
    pub async fn all_ended(&self) {
        loop {
            let idle = self.shared.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.shared.state().is_idle() {
                return;
            }
            idle.await;
        }
    }

    /// Starts a child on these descriptors, all of them blocking ends.
    pub(crate) async fn spawn(&self, start: Start, stdio: [OwnedFd; 3]) -> Result<Child, SpawnError> {
        let system = |error: io::Error| SpawnError::System {
            errno: error.raw_os_error().unwrap_or(0),
            message: error.to_string(),
        };
        let (started, start_reply) = oneshot::channel();
        let (exited, exit) = oneshot::channel();
        let id = {
            let mut state = self.shared.state();
            if let Some(why) = &state.dead {
                return Err(SpawnError::Launcher(why.clone()));
            }
            state.ids += 1;
            let id = state.ids;
            let bytes = Request::Start(start).encode(id).map_err(system)?;
            state.waiting.insert(id, Waiting { pid: None, started: Some(started), exited });
            self.shared.send(&mut state, Outgoing { bytes, sent: 0, fds: stdio.into() });
            id
        };
        // From here on its drop kills what was asked for.
        let mut child = Child { id, pid: self.shared.pid, launcher: self.clone(), exited: exit, exit: None };
        match start_reply.await {
            Ok(Reply::Started { pid }) => {
                child.pid = Pid::from_raw(pid).unwrap_or(child.pid);
                Ok(child)
            }
            Ok(Reply::Failed { errno, message }) => {
                child.exit = Some(ChildExit { exit: Exit::Code(127), left: false });
                Err(SpawnError::System { errno, message })
            }
            Ok(Reply::Exited { .. }) | Err(_) => Err(SpawnError::Launcher(self.shared.why_dead())),
        }
    }
}

impl Child {
    /// Process id, and number of its process group.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Kills its process group and everything below it. Does nothing after the end of all that.
    pub(crate) fn kill(&mut self) {
        self.ask(&Request::Kill);
        if let Some(exit) = &mut self.exit
            && std::mem::take(&mut exit.left)
        {
            self.launcher.shared.forget(self.id);
        }
    }

    /// Asks its process group to end, with SIGTERM.
    pub(crate) fn terminate(&self) {
        self.ask(&Request::Terminate);
    }

    fn ask(&self, request: &Request) {
        if self.exit.is_none_or(|exit| exit.left) {
            let shared = &self.launcher.shared;
            if let Ok(bytes) = request.encode(self.id) {
                shared.send(&mut shared.state(), Outgoing { bytes, sent: 0, fds: Vec::new() });
            }
        }
    }

    /// Waits for its end; by then its process group was killed too, unless it has [survivors](Self::survivors). `Err` says why
    /// nobody knows.
    pub(crate) async fn wait(&mut self) -> Result<Exit, String> {
        if let Some(ChildExit { exit, .. }) = self.exit {
            return Ok(exit);
        }
        let ended = (&mut self.exited).await.map_err(|_| self.launcher.shared.why_dead())?;
        self.exit = Some(ended);
        Ok(ended.exit)
    }

    /// The processes that it has left behind where it has ended; they live until it is killed or dropped.
    pub(crate) fn survivors(&self) -> Option<Survivors> {
        let left = self.exit.is_some_and(|exit| exit.left);
        left.then(|| Survivors { launcher: self.launcher.shared.pid, id: self.id, group: self.pid })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its end may be known and not have been waited for.
        self.exited.close();
        if let Ok(ended) = self.exited.try_recv() {
            self.exit = Some(ended);
        }
        self.kill();
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn why_dead(&self) -> String {
        self.state().dead.clone().unwrap_or_else(|| "the launcher was shut down".into())
    }

    /// Sends at once what the socket takes; the rest waits in the backlog.
    fn send(&self, state: &mut State, outgoing: Outgoing) {
        if state.dead.is_some() {
            return;
        }
        let waited = !state.backlog.is_empty();
        state.backlog.push_back(outgoing);
        if !waited {
            self.flush(state);
        }
        if !state.backlog.is_empty() {
            self.backlogged.notify_one();
        }
    }

    fn flush(&self, state: &mut State) {
        while let Some(next) = state.backlog.front_mut() {
            let sent = self
                .socket
                .try_io(Interest::WRITABLE, || wire::send(&self.socket, &next.bytes[next.sent..], &next.fds));
            match sent {
                Ok(count) => {
                    next.sent += count;
                    next.fds.clear();
                    if next.sent == next.bytes.len() {
                        state.backlog.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The reader learns of it too and says so to everybody who waits.
                Err(_) => return state.backlog.clear(),
            }
        }
    }

    fn receive(&self, id: u64, reply: Reply) {
        let mut state = self.state();
        match &reply {
            Reply::Started { pid } => {
                if let Some(waiting) = state.waiting.get_mut(&id) {
                    waiting.pid = Pid::from_raw(*pid);
                    if let Some(started) = waiting.started.take() {
                        started.send(reply).ok();
                    }
                }
            }
            Reply::Failed { .. } => {
                if let Some(started) = state.waiting.remove(&id).and_then(|waiting| waiting.started) {
                    started.send(reply).ok();
                }
            }
            &Reply::Exited { exit, left } => {
                if let Some(waiting) = state.waiting.remove(&id) {
                    // Before it is told, as it may be killed and forgotten at once.
                    if left {
                        state.survived.insert(id);
                    }
                    if waiting.exited.send(ChildExit { exit, left }).is_err() {
                        // Its drop has killed it.
                        state.survived.remove(&id);
                    }
                }
            }
        }
        if state.is_idle() {
            self.idle.notify_waiters();
        }
    }

    /// What a child left behind was killed.
    fn forget(&self, id: u64) {
        let mut state = self.state();
        state.survived.remove(&id);
        if state.is_idle() {
            self.idle.notify_waiters();
        }
    }

    /// The launcher is gone, and how: nothing it had survives, and everybody who waits is told.
    fn bury(&self, why: &str, status: &str) {
        let orphans: Vec<Pid> = self.state().waiting.values().filter_map(|waiting| waiting.pid).collect();
        if let Some(cgroup) = &self.cgroup {
            cgroup.end();
        }
        hunt(self.pid, &orphans);
        let mut state = self.state();
        state.dead = Some(format!("the launcher process ended ({why}, {status}); start the worker again"));
        state.backlog.clear();
        state.waiting.clear();
        state.survived.clear();
        self.idle.notify_waiters();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.survived.is_empty()
    }
}

/// Kills what a dead launcher left, or a dead guardian, the launcher with it: this process has inherited it.
fn hunt(launcher: Pid, known: &[Pid]) {
    let me = rustix::process::getpid();
    let deadline = Instant::now() + HUNT;
    let theirs = |pid: &Pid| {
        known.contains(pid) || Tag::of(*pid).is_some_and(|tag| tag.launcher == launcher.as_raw_pid())
    };
    while Instant::now() < deadline {
        let left: Vec<Pid> = descent::children(me).into_iter().filter(theirs).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            descent::kill_tree(pid);
            waitpid(Some(pid), WaitOptions::empty()).ok();
        }
    }
}

async fn read_replies(shared: Arc<Shared>, mut ended: oneshot::Receiver<io::Result<ExitStatus>>) {
    let mut received = Vec::with_capacity(4096);
    let mut status = None;
    let why = loop {
        let readable = tokio::select! {
            readable = shared.socket.readable() => readable,
            // Whom a guardian has left may still hold the socket open.
            end = &mut ended, if status.is_none() => { status = Some(end); Ok(()) }
        };
        match readable.and_then(|()| shared.socket.try_read_buf(&mut received)) {
            Ok(0) => break "it closed its socket".to_owned(),
            Ok(_) => {
                if let Err(error) = take_replies(&shared, &mut received) {
                    break error.to_string();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && status.is_some() => {
                break "it has left what it started".to_owned();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => break error.to_string(),
        }
    };
    // Where it still lives, this makes it end all children and itself.
    rustix::net::shutdown(&shared.socket, rustix::net::Shutdown::Both).ok();
    let status = match status {
        Some(status) => status,
        None => ended.await,
    };
    let status = match status {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "nobody saw its end".to_owned(),
    };
    let burying = shared.clone();
    tokio::task::spawn_blocking(move || burying.bury(&why, &status)).await.ok();
    shared.ended.notify_waiters();
}

fn take_replies(shared: &Shared, received: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = received.as_slice();
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(*header)?;
        let Some((body, after)) = after.split_at_checked(header.body_bytes) else { break };
        shared.receive(header.id, Reply::decode(header, body)?);
        rest = after;
    }
    let taken = received.len() - rest.len();
    received.drain(..taken);
    Ok(())
}

async fn write_backlog(shared: Arc<Shared>) {
    loop {
        shared.backlogged.notified().await;
        while !shared.state().backlog.is_empty() {
            if shared.socket.writable().await.is_err() {
                return;
            }
            shared.flush(&mut shared.state());
        }
    }
}
