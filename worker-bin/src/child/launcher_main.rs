//! The launcher process: one thread, one loop, no unsafe code.

use super::descent::{self, MARK};
use super::wire::{self, Exit, Reply, Request, Start};
use crate::descriptors;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, waitid,
};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The first argument that makes the binary a launcher.
pub const LAUNCHER_ARG: &str = "__launcher";

/// How long the end waits for processes that cannot be killed (another user's, or deep in the kernel).
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Runs the launcher on the socket that is standard input, until the worker closes it.
///
/// Must be the first thing `main` does: nothing may be open or running yet.
#[must_use]
pub fn launcher_main() -> ExitCode {
    if let Some(soft) = std::env::args().nth(2) {
        descriptors::lower_limit(&soft);
    }
    match LauncherProcess::begin().and_then(|mut launcher| launcher.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct LauncherProcess {
    me: Pid,
    socket: UnixStream,
    signals: SignalFd,
    /// Signals kept from this process; the children start without.
    blocked: SigSet,
    /// Children not reaped yet.
    children: BTreeMap<u64, Started>,
    /// Adopted processes that do not say whose they are, and the newest child when each was first seen.
    strangers: BTreeMap<i32, u64>,
    newest: u64,
}

struct Started {
    pid: Pid,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The worker wants nothing of it any more.
    Killed,
    /// It has ended and the worker knows, but processes that it started have not. It is reaped when they are killed, so that
    /// the group's number cannot be another's before.
    Survived,
}

impl LauncherProcess {
    fn begin() -> io::Result<Self> {
        close_inherited()?;
        let me = rustix::process::getpid();
        // Out of the terminal's reach: what a key combination ends is decided by the worker. It fails only for the
        // leader of a group, which is as far out of reach.
        rustix::process::setsid().ok();
        rustix::process::set_child_subreaper(Some(me))?;
        let mut watched = SigSet::empty();
        watched.add(NixSignal::SIGCHLD);
        let mut blocked = watched;
        for signal in [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP, NixSignal::SIGQUIT] {
            blocked.add(signal);
        }
        blocked.thread_set_mask()?;
        let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (children, strangers) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { me, socket, signals, blocked, children, strangers, newest: 0 })
    }

    fn serve(&mut self) -> io::Result<()> {
        let served = self.serve_until_closed();
        self.end_all();
        served
    }

    fn serve_until_closed(&mut self) -> io::Result<()> {
        loop {
            let mut ready =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let (asked, signalled) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
            if signalled {
                while self.signals.read_signal()?.is_some() {}
                self.reap()?;
            }
            if asked && !self.answer()? {
                return Ok(());
            }
        }
    }

    /// Serves one request; `false` where the worker has closed the socket.
    fn answer(&mut self) -> io::Result<bool> {
        let Some((header, fds)) = wire::receive_header(&self.socket)? else { return Ok(false) };
        let mut body = vec![0; header.body_bytes];
        if let Err(error) = self.socket.read_exact(&mut body) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(false) } else { Err(error) };
        }
        match Request::decode(header, &body)? {
            Request::Terminate => {
                if let Some(&Started { pid, .. }) = self.children.get(&header.id) {
                    // It fails where all of the group have ended, which is told by itself.
                    kill_process_group(pid, Signal::TERM).ok();
                }
            }
            Request::Kill => self.kill(header.id)?,
            Request::Start(start) => {
                self.newest = self.newest.max(header.id);
                let reply = match self.spawn(header.id, &start, fds) {
                    Ok(pid) => {
                        self.children.insert(header.id, Started { pid, phase: Phase::Running });
                        Reply::Started { pid: pid.as_raw_pid() }
                    }
                    Err(error) => {
                        Reply::Failed { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() }
                    }
                };
                self.tell(header.id, &reply)?;
                // SIGCHLD was not blocked while the child was made, so one may have passed unseen.
                if has_any_ended() {
                    self.reap()?;
                }
            }
        }
        Ok(true)
    }

    fn spawn(&self, id: u64, start: &Start, fds: Vec<OwnedFd>) -> io::Result<Pid> {
        let program = start.argv.first().ok_or(io::ErrorKind::InvalidInput)?;
        let [stdin, stdout, stderr]: [OwnedFd; 3] =
            fds.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(&start.argv[1..]).process_group(0);
        command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        if start.clear_env {
            command.env_clear();
        }
        command.envs(start.env.iter().map(|(name, value)| (name, value)));
        command.env(MARK, format!("{}.{id}", self.me));
        if let Some(cwd) = &start.cwd {
            command.current_dir(cwd);
        }
        SigSet::empty().thread_set_mask()?;
        let child = command.spawn();
        self.blocked.thread_set_mask()?;
        let pid = i32::try_from(child?.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn kill(&mut self, id: u64) -> io::Result<()> {
        let Some(child) = self.children.get_mut(&id) else { return Ok(()) };
        let pid = child.pid;
        match child.phase {
            Phase::Running | Phase::Killed => {
                child.phase = Phase::Killed;
                descent::kill_tree(pid);
            }
            Phase::Survived => {
                kill_process_group(pid, Signal::KILL).ok();
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)?;
                self.children.remove(&id);
                self.sweep();
            }
        }
        Ok(())
    }

    /// Reports children that have ended, and ends what they left behind where nobody can want it.
    fn reap(&mut self) -> io::Result<()> {
        let mut ended = Vec::new();
        // What has ended has given its children to this process: who is not here is nobody's.
        let mut here: Option<Vec<Pid>> = None;
        for (&id, child) in &mut self.children {
            let pid = child.pid;
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if child.phase == Phase::Survived {
                continue;
            }
            let Some(status) = waitid(WaitId::Pid(pid), look)? else { continue };
            let here = here.insert(descent::children(self.me));
            let left = child.phase == Phase::Running && is_survived(self.me, id, pid, here);
            if left {
                child.phase = Phase::Survived;
            } else {
                // Before it is reaped, so that the group's number cannot be another's yet.
                kill_process_group(pid, Signal::KILL).ok();
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)?;
            }
            ended.push((id, pid, exit_of(&status), left));
        }
        for (id, _, _, left) in &ended {
            if !left {
                self.children.remove(id);
            }
        }
        let started: Vec<Pid> = self.children.values().map(|child| child.pid).collect();
        let reaped = |pid: &Pid| ended.iter().any(|(_, ended, ..)| ended == pid);
        if here.is_none_or(|here| here.iter().any(|pid| !reaped(pid) && !started.contains(pid))) {
            self.sweep();
        }
        for (id, _, exit, left) in ended {
            self.tell(id, &Reply::Exited { exit, left })?;
        }
        Ok(())
    }

    /// Reaps adopted processes that have ended, and kills those whose child has.
    fn sweep(&mut self) {
        let ours: Vec<Pid> = self.children.values().map(|child| child.pid).collect();
        for pid in descent::children(self.me) {
            if ours.contains(&pid) {
                continue;
            }
            if reaped(pid) {
                self.strangers.remove(&pid.as_raw_pid());
            } else if !self.may_live(pid) {
                descent::kill_tree(pid);
            }
        }
    }

    /// Whether the child that an adopted process descends from still runs.
    fn may_live(&mut self, pid: Pid) -> bool {
        match descent::mark(pid) {
            Some((launcher, id)) if launcher == self.me.as_raw_pid() => self.children.contains_key(&id),
            // A worker that was a child of this one, and its launcher, are gone.
            Some((launcher, _)) if !std::path::Path::new(&format!("/proc/{launcher}")).exists() => false,
            // Its environment was replaced: it may stay while any child runs that could be its ancestor.
            _ => {
                let newest = *self.strangers.entry(pid.as_raw_pid()).or_insert(self.newest);
                self.children.keys().next().is_some_and(|&oldest| oldest <= newest)
            }
        }
    }

    fn tell(&mut self, id: u64, reply: &Reply) -> io::Result<()> {
        self.socket.write_all(&reply.encode(id)?)
    }

    /// Kills every descendant, again and again until there is none.
    fn end_all(&mut self) {
        let deadline = Instant::now() + LAST_WAIT;
        loop {
            for pid in descent::descendants(self.me) {
                kill_process(pid, Signal::KILL).ok();
            }
            let mut left = false;
            for pid in descent::children(self.me) {
                left |= !reaped(pid);
            }
            if Instant::now() > deadline {
                return;
            }
            if !left && descent::children(self.me).is_empty() {
                return;
            }
            let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            let mut ready = [PollFd::new(&self.signals, PollFlags::IN)];
            poll(&mut ready, Some(&tick)).ok();
            while matches!(self.signals.read_signal(), Ok(Some(_))) {}
        }
    }
}

/// Whether processes that a child started still run where it has ended: launcher `me` has adopted them.
fn is_survived(me: Pid, id: u64, child: Pid, here: &[Pid]) -> bool {
    let marked = |pid| descent::mark(pid) == Some((me.as_raw_pid(), id));
    here.iter().any(|&pid| pid != child && (marked(pid) || descent::is_in_group(pid, child)))
}

/// Whether a child, started or adopted, has ended and is not reaped. Where that cannot be asked it may have.
fn has_any_ended() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, look), Ok(None))
}

/// Reaps `pid` if it has ended.
fn reaped(pid: Pid) -> bool {
    !matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match status.exit_status() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.terminating_signal().unwrap_or(0)),
    }
}

/// Closes every descriptor but the first three: the worker may have been started with some that children must not get.
fn close_inherited() -> io::Result<()> {
    let names: Vec<_> =
        std::fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name()).collect();
    for name in names {
        if let Some(fd) = name.to_str().and_then(|name| name.parse::<i32>().ok()).filter(|&fd| fd > 2) {
            // Fails for the descriptor that the list was read through: it is closed already.
            nix::unistd::close(fd).ok();
        }
    }
    Ok(())
}
