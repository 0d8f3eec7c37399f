//! What is said when a child does not succeed: what happened, what was expected, what to do.

use super::launcher::SpawnError;
use super::program::{Program, Takes};
use super::wire::Exit;
use crate::descriptors::Pause;
use rustix::io::Errno;
use std::io;
use std::time::Duration;
use tokio::sync::Notify;
use worker_core::event::{Failure, FailureKind};

/// Longest quotation of a program's own words, in characters.
const QUOTE_CHARS_MAX: usize = 400;

/// What is waited for where the system has no room.
const WHAT: &str = "start a program (no file descriptor, process or memory is left)";

/// The child's last words, and whether it printed anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords {
    pub(crate) stderr_tail: String,
    pub(crate) silent: bool,
}

impl LastWords {
    pub(crate) fn failure(self, kind: FailureKind, message: String) -> Failure {
        Failure { kind, message, stderr_tail: self.stderr_tail, silent: self.silent }
    }

    /// The last line with something in it, for quoting.
    fn last_line(&self) -> Option<String> {
        let line = self.stderr_tail.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTE_CHARS_MAX).collect())
    }
}

/// Whether a program's end is one that its pipeline accepts.
pub(crate) fn is_good(program: &Program, end: &Result<Exit, String>) -> bool {
    matches!(end, Ok(Exit::Code(code)) if program.ok_exit.contains(code))
}

/// Success, or what this end means.
pub(crate) fn judge(program: &Program, exit: Exit, words: LastWords) -> Result<(), Failure> {
    let name = program.name();
    let said = words.last_line();
    let quoted = said.as_ref().map(|line| format!(": {line}")).unwrap_or_default();
    match exit {
        Exit::Code(code) if program.ok_exit.contains(&code) => Ok(()),
        Exit::Code(code @ (126 | 127)) => {
            let message = format!(
                "{name} exited with status {code}{quoted}; that says a command could not be run: check that it exists \
                 and is executable on this node"
            );
            Err(words.failure(FailureKind::CannotStart, message))
        }
        Exit::Code(1) if words.silent && said.is_none() => {
            let message = format!(
                "{name} exited with status 1 and printed nothing; if that is no error (grep: no match), say \
                 `ok_exit = [0, 1]` (on the command line --ok-exit 0,1)"
            );
            Err(words.failure(FailureKind::Exit(1), message))
        }
        Exit::Code(code) => {
            Err(words.failure(FailureKind::Exit(code), format!("{name} exited with status {code}{quoted}")))
        }
        Exit::Signal(signal) => {
            let hint = hint(signal);
            let message = format!("{name} was ended by signal {signal}{hint}{quoted}");
            Err(words.failure(FailureKind::Signal(signal), message))
        }
    }
}

/// What an end by this signal means.
fn hint(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP: somebody ended it)",
        2 => " (SIGINT: somebody ended it)",
        3 => " (SIGQUIT: somebody ended it)",
        4 => " (SIGILL: it crashed)",
        6 => " (SIGABRT: it gave up)",
        7 => " (SIGBUS: it crashed, or a file it had mapped was cut)",
        8 => " (SIGFPE: it crashed)",
        9 => " (SIGKILL: somebody killed it, or the system ran out of memory)",
        11 => " (SIGSEGV: it crashed)",
        13 => " (SIGPIPE: whoever read what it wrote had gone)",
        14 => " (SIGALRM: its own alarm)",
        15 => " (SIGTERM: somebody ended it)",
        24 => " (SIGXCPU: its processor time was used up: limits.cpu, or ulimit -t)",
        25 => " (SIGXFSZ: its file was larger than limits.file_size, or ulimit -f, allows)",
        31 => " (SIGSYS: a system call that it may not make)",
        _ => "",
    }
}

/// Why a program was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The system has no room for it now: no descriptor, process or memory. Why.
    NoRoom(String),
    Failed(Failure),
}

/// No pipe could be made.
pub(crate) fn no_pipes(program: &Program, error: &io::Error) -> NotStarted {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let message = format!("cannot make pipes for {}: {error}", program.name());
    if errno.is_some_and(no_room) {
        return NotStarted::NoRoom(message);
    }
    let words = LastWords { silent: true, ..LastWords::default() };
    NotStarted::Failed(words.failure(FailureKind::Worker, message))
}

/// What it means that the program did not start.
pub(crate) fn not_started(program: &Program, error: SpawnError) -> NotStarted {
    let errno = match &error {
        SpawnError::Launcher(_) | SpawnError::System { errno: 0, .. } => None,
        SpawnError::System { errno, .. } => Some(Errno::from_raw_os_error(*errno)),
    };
    match error {
        SpawnError::System { message, .. } if errno.is_some_and(no_room) => {
            NotStarted::NoRoom(format!("cannot start {}: {message}", program.name()))
        }
        error @ (SpawnError::Launcher(_) | SpawnError::System { .. }) => {
            NotStarted::Failed(failed(program, error))
        }
    }
}

fn no_room(errno: Errno) -> bool {
    [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE].contains(&errno)
}

/// Starts a program, again and again while the system has no room for it and nobody says `kill`.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, NotStarted>>>(
    program: &Program,
    kill: &Notify,
    mut start: impl FnMut() -> F,
) -> Result<T, Failure> {
    let mut pause = Pause::default();
    loop {
        match start().await {
            Ok(started) => {
                pause.over(WHAT);
                return Ok(started);
            }
            Err(NotStarted::Failed(failure)) => return Err(failure),
            Err(NotStarted::NoRoom(why)) => tokio::select! {
                () = tokio::time::sleep(pause.next(WHAT, &why)) => {}
                () = kill.notified() => {
                    return Err(killed(program, LastWords { silent: true, ..LastWords::default() }));
                }
            },
        }
    }
}

fn failed(program: &Program, error: SpawnError) -> Failure {
    let words = LastWords { silent: true, ..LastWords::default() };
    let (errno, why) = match error {
        SpawnError::Launcher(why) => return words.failure(FailureKind::Worker, why),
        // How it was to be confined failed, and that says all.
        SpawnError::System { errno: 0, message } => {
            return words
                .failure(FailureKind::CannotStart, format!("cannot start {}: {message}", program.name()));
        }
        SpawnError::System { errno, message } => (Errno::from_raw_os_error(errno), message),
    };
    let name = program.name();
    if let Some(cwd) = program.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        let message = format!("cannot start {name}: {} is no directory; correct `cwd`", cwd.display());
        return words.failure(FailureKind::CannotStart, message);
    }
    if errno == Errno::TOOBIG && program.takes == Takes::Arguments {
        let message =
            format!("{name} cannot be given the records: arguments and environment are too long together");
        return words.failure(FailureKind::Records, message);
    }
    let advice = match errno {
        Errno::NOENT if name.contains('/') => "check the path, and the interpreter in its first line",
        Errno::NOENT => "install it, or write its path: it is not in PATH",
        Errno::ACCESS => "make it executable: chmod +x",
        Errno::NOEXEC => "it is no program for this machine; a script needs a first line such as #!/bin/sh",
        Errno::TOOBIG => "arguments and environment are too long",
        _ => "check `run`",
    };
    words.failure(FailureKind::CannotStart, format!("cannot start {name}: {why}; {advice}"))
}

/// It was killed because nobody wants it any more.
pub(crate) fn killed(program: &Program, words: LastWords) -> Failure {
    words.failure(FailureKind::Signal(9), format!("{} was killed by its task", program.name()))
}

/// It was killed on purpose.
pub(crate) fn injected(program: &Program, words: LastWords) -> Failure {
    words.failure(FailureKind::Injected, format!("{} was killed on purpose (--chaos)", program.name()))
}

/// It was killed for doing nothing.
pub(crate) fn timed_out(program: &Program, limit: Duration, words: LastWords) -> Failure {
    let message = format!(
        "{} did nothing for {limit:?} (no byte moved, no processor time used) and was killed; raise `timeout` if that is normal",
        program.name()
    );
    words.failure(FailureKind::Timeout, message)
}
