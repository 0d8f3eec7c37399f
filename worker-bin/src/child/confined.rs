//! The process between the launcher and a program that is confined: it takes on what is asked for, then becomes the program.
//!
//! Only who becomes the program can do that to it. It costs an `execve`, so nothing stands here where nothing is asked for.

use super::confinement::{Confinement, Identity, Limit, Limited};
use super::launcher_main::LAUNCHER_ARG;
use super::spawn::found;
use super::{namespace, sandbox};
use nix::unistd::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{Rlimit, getrlimit, setrlimit};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What makes a process of this binary one of these.
pub(super) const CONFINED: &str = "confined";

/// Between what is asked for and the program's words.
const THEN: &str = "--";

/// It says what went wrong on standard error, not to a launcher.
const NOBODY: &str = "-";

/// As a shell's for a program that cannot be run.
const CANNOT_RUN: u8 = 126;

/// A program that has used up its processor time gets SIGXCPU, and so much later, in seconds, SIGKILL.
const CPU_GRACE_S: u64 = 5;

/// Why a program did not become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotConfined {
    /// What the system says of the program itself; 0: it is not the program.
    pub(super) errno: i32,
    pub(super) message: String,
}

impl From<io::Error> for NotConfined {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() }
    }
}

impl From<io::ErrorKind> for NotConfined {
    fn from(kind: io::ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl From<nix::errno::Errno> for NotConfined {
    fn from(errno: nix::errno::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// A program that is to be confined, as this binary is started for it.
pub(super) struct Confined {
    pub(super) argv: Vec<OsString>,
    /// What went wrong is said there.
    report: File,
    /// The other end of it stays open over an `execve` as long as this is kept: nothing else may be started meanwhile.
    open: OwnedFd,
}

pub(super) fn words(exe: &OsStr, words: &[OsString], argv: &[OsString]) -> io::Result<Confined> {
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::fcntl_setfd(&writing, rustix::io::FdFlags::empty())?;
    let report: OsString = writing.as_raw_fd().to_string().into();
    let first = [exe, OsStr::new(LAUNCHER_ARG), OsStr::new(CONFINED), &report].map(OsStr::to_owned);
    let argv = [&first, words, &[THEN.into()], argv].concat();
    Ok(Confined { argv, report: File::from(reading), open: writing })
}

impl Confined {
    /// Waits until the process has become the program.
    pub(super) fn has_become(self) -> Result<(), NotConfined> {
        let Self { mut report, open, .. } = self;
        drop(open);
        let mut said = Vec::new();
        report.read_to_end(&mut said)?;
        match said.split_first_chunk() {
            None => Ok(()),
            Some((errno, message)) => Err(NotConfined {
                errno: i32::from_le_bytes(*errno),
                message: String::from_utf8_lossy(message).into_owned(),
            }),
        }
    }
}

/// The same for who starts a program without a launcher.
pub(crate) fn command_by_hand(exe: &Path, confinement: &Confinement, argv: &[OsString]) -> Command {
    let mut command = Command::new(exe);
    command.args([LAUNCHER_ARG, CONFINED, NOBODY]).args(confinement.words()).arg(THEN).args(argv);
    command
}

/// Becomes the program that the arguments behind the role say, confined as they say.
pub(super) fn confined_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.collect();
    if args.is_empty() {
        return ExitCode::from(CANNOT_RUN);
    }
    let report = args.remove(0);
    let argv = match args.iter().position(|word| word == THEN) {
        Some(at) => args.split_off(at + 1),
        None => Vec::new(),
    };
    args.pop();
    let opened = open(&report);
    let wrong = become_it(&args, &argv);
    match opened {
        Ok(Some(mut report)) => {
            let bytes = [&wrong.errno.to_le_bytes()[..], wrong.message.as_bytes()].concat();
            report.write_all(&bytes).ok();
        }
        Ok(None) | Err(_) => {
            writeln!(io::stderr(), "{}", wrong.message).ok();
        }
    }
    ExitCode::from(CANNOT_RUN)
}

/// The end of the launcher's pipe, which the program does not get.
fn open(number: &OsStr) -> io::Result<Option<File>> {
    let Some(number) = number.to_str().filter(|number| *number != NOBODY) else { return Ok(None) };
    let file = File::options().write(true).open(format!("/proc/self/fd/{number}"))?;
    nix::unistd::close(number.parse::<i32>().map_err(|_| io::ErrorKind::InvalidInput)?)?;
    Ok(Some(file))
}

/// Returns only where that fails.
fn become_it(words: &[OsString], argv: &[OsString]) -> NotConfined {
    let confinement = match Confinement::of_words(words) {
        Ok(confinement) => confinement,
        Err(error) => return NotConfined { errno: 0, message: error.to_string() },
    };
    if let Err(message) = take_on(&confinement) {
        return NotConfined { errno: 0, message };
    }
    let Some((program, rest)) = argv.split_first() else {
        return NotConfined { errno: 0, message: "there is no program".to_owned() };
    };
    let found = found(program, std::env::var_os("PATH").as_deref());
    let exec =
        |path: CString| Command::new(OsStr::from_bytes(path.as_bytes())).arg0(program).args(rest).exec();
    let error = found.map_or_else(|error| error, exec);
    let errno = error.raw_os_error().unwrap_or(0);
    let has_memory_limit = confinement.limits.iter().any(|limit| limit.of == Limited::Memory);
    if errno == Errno::NOMEM.raw_os_error() && has_memory_limit {
        let message = "`limits.memory` leaves no room to start it: raise it".to_owned();
        return NotConfined { errno: 0, message };
    }
    if errno == Errno::ACCESS.raw_os_error() && (confinement.files.is_some() || confinement.user.is_some()) {
        let message = format!(
            "{error}: `sandbox.read` must have it, and what is in its first line; `user` must be allowed to run it"
        );
        return NotConfined { errno: 0, message };
    }
    NotConfined { errno, message: error.to_string() }
}

/// In this order: who has become another user may do less, who is in a sandbox least, and what is limited may be too little for that.
fn take_on(confinement: &Confinement) -> Result<(), String> {
    if confinement.is_offline {
        namespace::without_networks().map_err(|error| {
            format!(
                "`sandbox.net = false` needs a network namespace, and this user may make none here ({error}): run the worker as root, allow \
                 user namespaces, or leave it out"
            )
        })?;
    }
    if let Some(user) = &confinement.user {
        user.be().map_err(|error| {
            format!(
                "the worker may not become user {}: {error}; start it as root, or remove `user`",
                user.user
            )
        })?;
    }
    let tmpdir = std::env::var_os("WORKER_TMPDIR").map(PathBuf::from);
    if let Some(files) = &confinement.files {
        sandbox::enter(files, confinement.is_offline, tmpdir.as_deref())?;
    }
    for limit in &confinement.limits {
        limit.set().map_err(|error| {
            format!("`limits.{} = {}` cannot be set: {error}; lower it", limit.of.word(), limit.most)
        })?;
    }
    Ok(())
}

impl Limit {
    fn set(&self) -> io::Result<()> {
        let now = getrlimit(self.of.resource());
        // What is lower already stays.
        let most = now.maximum.map_or(self.most, |maximum| maximum.min(self.most));
        let hard = match self.of {
            Limited::Cpu => now.maximum.map_or(most + CPU_GRACE_S, |maximum| maximum.min(most + CPU_GRACE_S)),
            Limited::Memory | Limited::OpenFiles | Limited::Processes | Limited::FileSize => most,
        };
        Ok(setrlimit(self.of.resource(), Rlimit { current: Some(most), maximum: Some(hard) })?)
    }
}

impl Identity {
    fn be(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        nix::unistd::setgroups(&groups)?;
        nix::unistd::setgid(Gid::from_raw(self.group))?;
        Ok(nix::unistd::setuid(Uid::from_raw(self.user))?)
    }
}
