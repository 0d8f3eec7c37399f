//! Faults on purpose: what tests of crashes and of failing disks make a process do.
//!
//! Code that writes, syncs, renames or removes what must survive passes named points. `WORKER_FAULT` names one of them:
//!
//! ```text
//! WORKER_FAULT=NAME[:N][=kill|eio|enospc|emfile]
//! ```
//!
//! At the N-th passage (default 1) of the point the process kills itself as `kill -9` does (the default), or that passage
//! returns the error. Names are `WHAT.before` and `WHAT.after`, such as `sink.sync.before`; `WHAT` alone is both. An error
//! at `after` stands for an operation that was done and yet failed. A value that cannot be read fails every point, so that
//! a test with a mistake in it does not pass. The variable counts only in builds with debug assertions.
//!
//! In any build a program may decide itself, with a [`Schedule`].
//!
//! A journal passes `journal.create`, `allocate`, `write`, `sync`, `syncdir`, `rename`, `unlink` and `mkdir`; its directory `state.mkdir`
//! and `state.syncdir`; a reserve `reserve.make` and `reserve.release`. Programs that use this crate have points of their own.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// Where the order is. The processes that this one starts do not inherit it.
pub const VARIABLE: &str = "WORKER_FAULT";

/// Decides at each point whether it fails.
pub trait Schedule: Send + Sync {
    /// What `operation` meets before it is done.
    fn mishap(&self, operation: &str) -> Option<Mishap>;

    /// Whether `operation`, a write, is to do a part of its work and then find no room.
    fn is_short(&self, operation: &str) -> bool;

    /// Whether the process is to die now, beside `operation`.
    fn dies(&self, operation: &str) -> bool;
}

/// What an operation meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// No room on the disk.
    Full,
    /// The disk says that it could not do it.
    Failed,
    /// The disk takes its time.
    Slow(Duration),
}

const BEFORE: &str = ".before";
const AFTER: &str = ".after";

static SCHEDULE: OnceLock<Box<dyn Schedule>> = OnceLock::new();

/// From now on this decides, until the process ends; a second one is not heard.
pub fn follow(schedule: Box<dyn Schedule>) {
    SCHEDULE.set(schedule).ok();
}

/// Whether the write `name` is to write half of what it has, and then to fail with [`no_room`].
#[must_use]
pub fn is_short(name: &str) -> bool {
    SCHEDULE.get().is_some_and(|schedule| schedule.is_short(name))
}

/// As a full disk fails a write.
#[must_use]
pub fn no_room() -> io::Error {
    rustix::io::Errno::NOSPC.into()
}

/// Passes the point `name`.
///
/// # Errors
/// The fault of this point, if this is the passage it was ordered for.
pub fn point(name: &str) -> io::Result<()> {
    pass(name, "")
}

/// Runs `operation` between the points `NAME.before` and `NAME.after`.
///
/// # Errors
/// What `operation` returns, or the fault of a point.
pub fn around<T>(name: &str, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    pass(name, BEFORE)?;
    let done = operation()?;
    pass(name, AFTER)?;
    Ok(done)
}

fn pass(name: &str, end: &str) -> io::Result<()> {
    if let Some(schedule) = SCHEDULE.get() {
        if schedule.dies(name) {
            return kill_self();
        }
        let mishap = if end == AFTER { None } else { schedule.mishap(name) };
        match mishap {
            Some(Mishap::Full) => return Err(rustix::io::Errno::NOSPC.into()),
            Some(Mishap::Failed) => return Err(rustix::io::Errno::IO.into()),
            Some(Mishap::Slow(time)) => std::thread::sleep(time),
            None => {}
        }
    }
    pass_ordered(name, end)
}

fn kill_self() -> io::Result<()> {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    loop {
        std::thread::park();
    }
}

#[cfg(debug_assertions)]
fn pass_ordered(name: &str, end: &str) -> io::Result<()> {
    match ordered::fault() {
        Ok(Some(fault)) => fault.pass(name, end),
        Ok(None) => Ok(()),
        Err(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why.clone())),
    }
}

#[cfg(not(debug_assertions))]
fn pass_ordered(_name: &str, _end: &str) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod ordered {
    use super::VARIABLE;
    use rustix::io::Errno;
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const ENDS: [&str; 2] = [super::BEFORE, super::AFTER];

    /// The fault ordered for this process.
    pub(super) fn fault() -> &'static Result<Option<Fault>, String> {
        static FAULT: OnceLock<Result<Option<Fault>, String>> = OnceLock::new();
        FAULT.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Fault::parse(&text).map(Some),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{VARIABLE} is not UTF-8")),
        })
    }

    /// What is to happen at which passage of which point.
    #[derive(Debug)]
    pub(super) struct Fault {
        pub(super) name: String,
        pub(super) nth: u64,
        pub(super) action: Action,
        passed: AtomicU64,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Action {
        Kill,
        Fail(Errno),
    }

    impl Fault {
        pub(super) fn parse(text: &str) -> Result<Self, String> {
            let bad = |what: &str| {
                format!("{VARIABLE}={text}: {what}; expected NAME[:N][=kill|eio|enospc|emfile], N from 1")
            };
            let (place, action) = text.split_once('=').unwrap_or((text, "kill"));
            let action = match action {
                "kill" => Action::Kill,
                "eio" => Action::Fail(Errno::IO),
                "enospc" => Action::Fail(Errno::NOSPC),
                "emfile" => Action::Fail(Errno::MFILE),
                _ => return Err(bad("no such action")),
            };
            let (name, nth) = place.split_once(':').unwrap_or((place, "1"));
            let nth = nth.parse().ok().filter(|&n: &u64| n > 0).ok_or_else(|| bad("no such passage"))?;
            if name.is_empty() {
                return Err(bad("no name"));
            }
            Ok(Self { name: name.to_owned(), nth, action, passed: AtomicU64::new(0) })
        }

        pub(super) fn pass(&self, name: &str, end: &str) -> io::Result<()> {
            match self.due(name, end) {
                None => Ok(()),
                Some(Action::Fail(errno)) => Err(errno.into()),
                Some(Action::Kill) => super::kill_self(),
            }
        }

        /// Counts a passage of the point that both parts name together; the action, if it is the one.
        fn due(&self, name: &str, end: &str) -> Option<Action> {
            let point = format!("{name}{end}");
            let operation = ENDS.iter().find_map(|end| point.strip_suffix(end));
            if point != self.name && operation != Some(self.name.as_str()) {
                return None;
            }
            let nth = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
            (nth == self.nth).then_some(self.action)
        }
    }
}

#[cfg(test)]
#[cfg(debug_assertions)]
mod tests {
    use super::ordered::{Action, Fault};
    use super::*;
    use rustix::io::Errno;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    fn parsed(text: &str) -> (String, u64, Action) {
        let fault = Fault::parse(text).unwrap();
        (fault.name, fault.nth, fault.action)
    }

    #[test]
    fn orders_have_a_name_a_passage_and_an_action() {
        assert_eq!(parsed("sink.sync.before"), ("sink.sync.before".to_owned(), 1, Action::Kill));
        assert_eq!(parsed("a.b:3"), ("a.b".to_owned(), 3, Action::Kill));
        assert_eq!(parsed("a.b:3=kill"), ("a.b".to_owned(), 3, Action::Kill));
        assert_eq!(parsed("a.b=eio"), ("a.b".to_owned(), 1, Action::Fail(Errno::IO)));
        assert_eq!(parsed("a.b:12=enospc"), ("a.b".to_owned(), 12, Action::Fail(Errno::NOSPC)));
        assert_eq!(parsed("a.b:2=emfile"), ("a.b".to_owned(), 2, Action::Fail(Errno::MFILE)));
    }

    #[test]
    fn orders_that_cannot_be_read_say_what_is_expected() {
        for text in ["=kill", ":1", "a:0", "a:x", "a:", "a=", "a=boom", "a:1:2", "a=kill=eio"] {
            let message = Fault::parse(text).unwrap_err();
            assert!(message.contains(text) && message.contains("expected NAME[:N]"), "{message}");
        }
    }

    #[test]
    fn only_the_ordered_passage_of_the_point_fails() {
        let fault = Fault::parse("journal.write:3=enospc").unwrap();
        assert!(fault.pass("journal.write.before", "").is_ok());
        for (name, end) in [("journal.writer", ".before"), ("sink.write", ".before"), ("journal", ".before")]
        {
            assert!(fault.pass(name, end).is_ok());
        }
        assert!(fault.pass("journal.write", ".after").is_ok());
        let full = fault.pass("journal.write", ".before").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(fault.pass("journal.write", ".before").is_ok(), "once");
    }

    #[test]
    fn one_end_of_an_operation_can_be_named() {
        let fault = Fault::parse("sink.sync.after=eio").unwrap();
        assert!(fault.pass("sink.sync", ".before").is_ok() && fault.pass("sink.sync", "").is_ok());
        assert!(fault.pass("sink.sync", ".after").is_err());
    }

    /// What the processes below run; by itself it passes.
    #[test]
    fn a_process_that_passes_points() {
        for n in 0..3 {
            around("fault.test", || Ok(())).unwrap_or_else(|e| panic!("{n}: {e}"));
        }
    }

    fn process(fault: &str) -> ExitStatus {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "fault::tests::a_process_that_passes_points"]).env("WORKER_FAULT", fault);
        test.output().unwrap().status
    }

    #[test]
    fn a_process_dies_or_fails_where_it_was_ordered_to() {
        assert_eq!(process("fault.test.after:3").signal(), Some(9));
        assert!(process("fault.test.after:4").success(), "it ends before its fourth passage");
        assert!(process("").success());
        assert_eq!(process("fault.test.before:2=eio").code(), Some(101));
        assert_eq!(process("fault.test=nonsense").code(), Some(101), "a mistake is no success");
    }
}
