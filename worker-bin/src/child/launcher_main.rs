//! The launcher process: one thread, one loop, no unsafe code.

use super::begin::Role;
use super::cgroup;
use super::confined::{self, CONFINED, NotConfined, confined_main};
use super::descent;
use super::guardian::{self, WITHSTOOD};
use super::namespace;
use super::spawn::{Spawned, Spawner};
use super::tag::Tag;
use super::wire::{self, Exit, Reply, Request, Start};
use crate::descriptors;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, set_parent_process_death_signal,
    waitid,
};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The first argument that makes the binary a launcher.
pub const LAUNCHER_ARG: &str = "__launcher";

/// This binary, also where it was replaced meanwhile.
const OWN: &str = "/proc/self/exe";

/// Runs the launcher, or who is to make or guard it, on the socket that is standard input, until the worker closes that.
///
/// Must be the first thing `main` does: nothing may be open or running yet.
#[must_use]
pub fn launcher_main() -> ExitCode {
    if std::env::args_os().nth(2).is_some_and(|role| role == CONFINED) {
        return confined_main(std::env::args_os().skip(3));
    }
    let mut args = std::env::args().skip(2);
    let role = args.next().and_then(|word| Role::of(&word));
    let soft_limit = args.next().unwrap_or_default();
    let served = match role {
        Some(Role::Guardian) => {
            let cgroup = args.next().map(PathBuf::from);
            close_inherited().and_then(|()| guardian::guard(&soft_limit, cgroup.as_deref()))
        }
        Some(Role::Encloser) => close_inherited().and_then(|()| guardian::enclose(&soft_limit)),
        Some(role @ (Role::First | Role::Enclosed | Role::Guarded)) => {
            descriptors::lower_limit(&soft_limit);
            launch(role, args.next(), args.next().map(PathBuf::from).as_deref())
        }
        None => return ExitCode::FAILURE,
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn launch(role: Role, owner: Option<String>, cgroup: Option<&Path>) -> io::Result<()> {
    let mut launcher = match LauncherProcess::begin(role, owner, cgroup) {
        Ok(launcher) => launcher,
        Err(error) => {
            let reply =
                Reply::Failed { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() };
            return UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?).write_all(&reply.encode(0)?);
        }
    };
    launcher.serve()
}

struct LauncherProcess {
    me: Pid,
    /// How the worker knows this process, or who guards it.
    owner: i32,
    /// `/proc` of the worker, where its numbers are not those of this process.
    proc: Option<OwnedFd>,
    socket: UnixStream,
    signals: SignalFd,
    spawner: Spawner,
    /// Children not reaped yet.
    children: BTreeMap<u64, Started>,
    /// Adopted processes that have no tag, and the newest child when each was first seen.
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
    fn begin(role: Role, owner: Option<String>, cgroup: Option<&Path>) -> io::Result<Self> {
        close_inherited()?;
        // Before anything is started.
        cgroup.map_or(Ok(()), cgroup::enter)?;
        let me = rustix::process::getpid();
        // What is stopped is not killed by its socket's end, but by this; of a guardian's end it is the worker that makes something.
        let at_the_death_of_who_started_it = if role == Role::Guarded { Signal::CONT } else { Signal::KILL };
        set_parent_process_death_signal(Some(at_the_death_of_who_started_it))?;
        // Out of the terminal's reach: what a key combination ends is decided by the worker. It fails only for the
        // leader of a group, which is as far out of reach.
        rustix::process::setsid().ok();
        rustix::thread::set_name(c"launcher")?;
        rustix::process::set_child_subreaper(Some(me))?;
        let proc =
            if role == Role::Guarded { None } else { Some(io::stdout().as_fd().try_clone_to_owned()?) };
        let owner = match (owner, &proc) {
            (Some(owner), _) => owner.parse().map_err(|_| io::ErrorKind::InvalidInput)?,
            (None, Some(proc)) => namespace::own_number(proc)?.as_raw_pid(),
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        match role {
            Role::First | Role::Enclosed => {
                namespace::show_in_proc()?;
                namespace::number_apart(owner);
            }
            Role::Guarded | Role::Guardian | Role::Encloser => {}
        }
        if role == Role::Enclosed {
            namespace::give_up_rights()?;
        }
        Tag { launcher: owner, child: 0 }.put_on_this_process().ok();
        // Programs gain no rights by what they execute, whatever its owner and mode.
        rustix::thread::set_no_new_privs(true)?;
        let mut watched = SigSet::empty();
        watched.add(NixSignal::SIGCHLD);
        let mut blocked = watched;
        for signal in WITHSTOOD {
            blocked.add(signal);
        }
        // The children start without.
        blocked.thread_set_mask()?;
        let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        if role != Role::Guarded || cgroup.is_some() {
            socket.write_all(&Reply::Started { pid: owner }.encode(0)?)?;
        }
        let (children, strangers) = (BTreeMap::new(), BTreeMap::new());
        let spawner = Spawner::of_this_process()?;
        Ok(Self { me, owner, proc, socket, signals, spawner, children, strangers, newest: 0 })
    }

    fn serve(&mut self) -> io::Result<()> {
        let served = self.serve_until_closed();
        descent::end_all(self.me);
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
                        Reply::Started { pid: self.number_of(pid).as_raw_pid() }
                    }
                    Err(NotConfined { errno, message }) => Reply::Failed { errno, message },
                };
                self.tell(header.id, &reply)?;
            }
        }
        Ok(true)
    }

    fn spawn(&mut self, id: u64, start: &Start, fds: Vec<OwnedFd>) -> Result<Pid, NotConfined> {
        let stdio: [OwnedFd; 3] = fds.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (cwd, clear_env, env) = (start.cwd.as_deref(), start.clear_env, start.env.as_slice());
        let confined = if start.confined.is_empty() {
            None
        } else {
            Some(confined::words(OWN.as_ref(), &start.confined, &start.argv)?)
        };
        let argv = confined.as_ref().map_or(start.argv.as_slice(), |confined| confined.argv.as_slice());
        // Where it cannot be put on, the child's descendants are told from others by their parents alone.
        Tag { launcher: self.owner, child: id }.put_on_this_process().ok();
        let pid = self.spawner.spawn(Spawned { argv, cwd, clear_env, env }, &stdio);
        Tag { launcher: self.owner, child: 0 }.put_on_this_process().ok();
        let pid = pid?;
        if let Some(confined) = confined
            && let Err(why) = confined.has_become()
        {
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).map_err(io::Error::from)?;
            return Err(why);
        }
        Ok(pid)
    }

    /// The number by which the worker knows a child.
    fn number_of(&self, child: Pid) -> Pid {
        let number = self.proc.as_ref().and_then(|proc| namespace::number_of(child, proc).ok());
        number.unwrap_or(child)
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
            let tag = Tag { launcher: self.owner, child: id };
            let left = child.phase == Phase::Running && is_survived(tag, pid, here);
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
            if descent::reaped(pid) {
                self.strangers.remove(&pid.as_raw_pid());
            } else if !self.may_live(pid) {
                descent::kill_tree(pid);
            }
        }
    }

    /// Whether the child that an adopted process descends from still runs.
    fn may_live(&mut self, pid: Pid) -> bool {
        match Tag::of(pid) {
            Some(tag) if tag.launcher == self.owner => self.children.contains_key(&tag.child),
            // A worker that was a child of this one, and its launcher, are gone.
            Some(tag) if !Path::new(&format!("/proc/{}", tag.launcher)).exists() => false,
            // It has taken its tag off: it may stay while any child runs that could be its ancestor.
            _ => {
                let newest = *self.strangers.entry(pid.as_raw_pid()).or_insert(self.newest);
                self.children.keys().next().is_some_and(|&oldest| oldest <= newest)
            }
        }
    }

    fn tell(&mut self, id: u64, reply: &Reply) -> io::Result<()> {
        self.socket.write_all(&reply.encode(id)?)
    }
}

/// Whether processes that a child started still run where it has ended: they are `here`, adopted.
fn is_survived(tag: Tag, child: Pid, here: &[Pid]) -> bool {
    let is_of_it = |pid| Tag::of(pid) == Some(tag) || descent::is_in_group(pid, child);
    here.iter().any(|&pid| pid != child && is_of_it(pid))
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
