//! How the launcher comes to be: in a namespace where that may be made, else with a guardian, in a cgroup where that may be made.

use super::cgroup::Cgroup;
use super::launcher_main::LAUNCHER_ARG;
use super::namespace;
use super::wire::{self, Reply};
use crate::descriptors;
use rustix::process::Pid;
use std::fmt;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a new launcher may take to say that it is ready, on a machine that is very busy.
const READY_WAIT: Duration = Duration::from_secs(20);

/// What programs do not inherit: they would speak to the service manager in the worker's name, or give the worker orders.
const OF_THE_WORKER: [&str; 4] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", crate::admin::TOKEN_VARIABLE];

/// Which PID namespaces may be made for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PidNamespace {
    /// Where this user may make one as they are.
    #[default]
    Auto,
    /// Also one that takes a user namespace.
    User,
    Off,
}

/// What ends all programs with the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Containment {
    PidNamespace,
    /// A PID namespace, inside of a user namespace.
    UserNamespace,
    /// A cgroup of their own, and a guardian.
    Cgroup,
    Guardian,
}

const CONTAINMENTS: [Containment; 4] =
    [Containment::PidNamespace, Containment::UserNamespace, Containment::Cgroup, Containment::Guardian];

impl Containment {
    /// In documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Containment::PidNamespace => "pid-namespace",
            Containment::UserNamespace => "user-namespace",
            Containment::Cgroup => "cgroup",
            Containment::Guardian => "guardian",
        }
    }

    /// The one that a word of another version, perhaps, means.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        CONTAINMENTS.into_iter().find(|containment| containment.word() == word)
    }
}

/// As what programs end by.
impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Containment::PidNamespace => "a PID namespace",
            Containment::UserNamespace => "a PID namespace in a user namespace",
            Containment::Cgroup => "a cgroup and a guardian beside the launcher",
            Containment::Guardian => "a guardian beside the launcher",
        })
    }
}

/// What a process of this binary is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The launcher, first process of its namespace.
    First,
    /// The launcher, started by who made its namespace.
    Enclosed,
    /// The launcher, with a guardian.
    Guarded,
    Guardian,
    /// It makes the namespace of a launcher that is enclosed.
    Encloser,
}

const ROLES: [Role; 5] = [Role::First, Role::Enclosed, Role::Guarded, Role::Guardian, Role::Encloser];

impl Role {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Role::First => "first",
            Role::Enclosed => "enclosed",
            Role::Guarded => "guarded",
            Role::Guardian => "guardian",
            Role::Encloser => "encloser",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        ROLES.into_iter().find(|role| role.word() == word)
    }
}

/// A launcher that runs.
pub(super) struct Begun {
    pub(super) containment: Containment,
    /// The process that this one has started: the launcher or its guardian.
    pub(super) pid: Pid,
    pub(super) socket: UnixStream,
    /// Told when that has ended, and how.
    pub(super) ended: oneshot::Receiver<io::Result<ExitStatus>>,
    /// That of all programs.
    pub(super) cgroup: Option<Cgroup>,
}

/// Starts `exe`, which must be this binary, as launcher.
pub(super) fn begin(exe: &Path, allowed: PidNamespace) -> io::Result<Begun> {
    let in_turn: &[Containment] = match allowed {
        PidNamespace::Auto => &[Containment::PidNamespace, Containment::Cgroup],
        PidNamespace::User => &[Containment::PidNamespace, Containment::UserNamespace, Containment::Cgroup],
        PidNamespace::Off => &[Containment::Cgroup],
    };
    for &containment in in_turn {
        match attempt(exe, containment) {
            Ok(begun) => return Ok(begun),
            Err(error) => tracing::debug!(%error, "no {containment:?}"),
        }
    }
    attempt(exe, Containment::Guardian)
}

/// What ends all programs with a worker here, found by trying it: whatever namespaces and cgroups say, only a try tells what is allowed.
///
/// # Errors
/// If no socket or process can be made.
pub fn containment_here(exe: &Path) -> io::Result<Containment> {
    let Begun { containment, socket, ended, cgroup: _cgroup, .. } = begin(exe, PidNamespace::default())?;
    // That ends it.
    drop(socket);
    ended.blocking_recv().map_err(io::Error::other)??;
    Ok(containment)
}

/// Starts `exe` as launcher in this way or not at all.
pub(super) fn attempt(exe: &Path, containment: Containment) -> io::Result<Begun> {
    // Should launcher or guardian be killed, what they started comes to this process, which then ends it.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let cgroup = match containment {
        Containment::Cgroup => Some(Cgroup::make()?),
        Containment::PidNamespace | Containment::UserNamespace | Containment::Guardian => None,
    };
    let (socket, theirs) = UnixStream::pair()?;
    let mut command = command(exe, containment, theirs.into())?;
    command.args(cgroup.as_ref().map(Cgroup::dir));
    let (started, pid) = mpsc::sync_channel(1);
    let (end, ended) = oneshot::channel();
    let keep = move || keep(command, containment, &started, end);
    std::thread::Builder::new().name("launcher".into()).stack_size(64 * 1024).spawn(keep)?;
    let pid = pid.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
    match containment {
        // Whether it may do what it is to do shows only there.
        Containment::PidNamespace | Containment::UserNamespace | Containment::Cgroup => is_ready(&socket)?,
        Containment::Guardian => {}
    }
    Ok(Begun { containment, pid, socket, ended, cgroup })
}

/// Starts it and waits for its end, in a thread of its own: the kernel tells a process of the end of the thread that started it, and only
/// what this thread starts is in another namespace.
fn keep(
    mut command: Command,
    containment: Containment,
    started: &mpsc::SyncSender<io::Result<Pid>>,
    end: oneshot::Sender<io::Result<ExitStatus>>,
) {
    let unshared = match containment {
        Containment::PidNamespace => namespace::of_what_is_started_next(),
        Containment::UserNamespace | Containment::Cgroup | Containment::Guardian => Ok(()),
    };
    let process = unshared.and_then(|()| command.spawn());
    // Our copy of its end of the socket.
    drop(command);
    match process {
        Ok(mut process) => {
            started.send(Ok(Pid::from_child(&process))).ok();
            end.send(process.wait()).ok();
        }
        Err(error) => {
            started.send(Err(error)).ok();
        }
    }
}

fn command(exe: &Path, containment: Containment, socket: OwnedFd) -> io::Result<Command> {
    let role = match containment {
        Containment::PidNamespace => Role::First,
        Containment::UserNamespace => Role::Encloser,
        Containment::Cgroup | Containment::Guardian => Role::Guardian,
    };
    let mut command = Command::new(exe);
    for variable in OF_THE_WORKER {
        command.env_remove(variable);
    }
    command.args([LAUNCHER_ARG, role.word(), &descriptors::limit_of_programs().unwrap_or_default()]);
    command.env_remove(crate::fault::VARIABLE);
    // The numbers of processes are told as this process knows them.
    command.stdin(Stdio::from(socket)).stdout(Stdio::from(namespace::open_proc()?)).stderr(Stdio::null());
    Ok(command)
}

/// Waits until the launcher says so.
fn is_ready(mut socket: &UnixStream) -> io::Result<()> {
    socket.set_read_timeout(Some(READY_WAIT))?;
    let (header, _) = wire::receive_header(socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut body = vec![0; header.body_bytes];
    socket.read_exact(&mut body)?;
    match Reply::decode(header, &body)? {
        Reply::Started { .. } => Ok(()),
        Reply::Failed { message, .. } => Err(io::Error::other(message)),
        Reply::Exited { .. } => Err(io::ErrorKind::InvalidData.into()),
    }
}
