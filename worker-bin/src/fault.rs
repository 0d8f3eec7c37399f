//! Faults on purpose: what tests of crashes and of failing disks make a process do.
//!
//! Code that writes, syncs, renames or removes what must survive passes named points. `WORKER_FAULT` names one of them:
//!
//! ```text
//! WORKER_FAULT=NAME[:N][=kill|eio|enospc]
//! ```
//!
//! At the N-th passage (default 1) of the point the process kills itself as `kill -9` does (the default), or that passage
//! returns the error. Names are `WHAT.before` and `WHAT.after`, such as `sink.sync.before`; `WHAT` alone is both. An error
//! at `after` stands for an operation that was done and yet failed. A value that cannot be read fails every point, so that
//! a test with a mistake in it does not pass. Points exist only in builds with debug assertions.

use std::io;

/// Passes the point `name`.
///
/// # Errors
/// The fault of this point, if this is the passage it was ordered for.
#[cfg(debug_assertions)]
pub fn point(name: &str) -> io::Result<()> {
    match ordered::fault() {
        Ok(Some(fault)) => fault.pass(name),
        Ok(None) => Ok(()),
        Err(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why.clone())),
    }
}

/// Passes the point `name`; it exists only in builds with debug assertions.
///
/// # Errors
/// None.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str) -> io::Result<()> {
    Ok(())
}

/// Runs `operation` between the points `before` and `after`.
///
/// # Errors
/// What `operation` returns, or the fault of a point.
pub fn around<T>(before: &str, after: &str, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    point(before)?;
    let done = operation()?;
    point(after)?;
    Ok(done)
}

#[cfg(debug_assertions)]
mod ordered {
    use rustix::io::Errno;
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const VARIABLE: &str = "WORKER_FAULT";

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
                format!("{VARIABLE}={text}: {what}; expected NAME[:N][=kill|eio|enospc], N from 1")
            };
            let (place, action) = text.split_once('=').unwrap_or((text, "kill"));
            let action = match action {
                "kill" => Action::Kill,
                "eio" => Action::Fail(Errno::IO),
                "enospc" => Action::Fail(Errno::NOSPC),
                _ => return Err(bad("no such action")),
            };
            let (name, nth) = place.split_once(':').unwrap_or((place, "1"));
            let nth = nth.parse().ok().filter(|&n: &u64| n > 0).ok_or_else(|| bad("no such passage"))?;
            if name.is_empty() {
                return Err(bad("no name"));
            }
            Ok(Self { name: name.to_owned(), nth, action, passed: AtomicU64::new(0) })
        }

        pub(super) fn pass(&self, name: &str) -> io::Result<()> {
            match self.due(name) {
                None => Ok(()),
                Some(Action::Fail(errno)) => Err(errno.into()),
                Some(Action::Kill) => kill_self(),
            }
        }

        /// Counts a passage; the action, if it is the one.
        pub(super) fn due(&self, name: &str) -> Option<Action> {
            let rest = name.strip_prefix(self.name.as_str())?;
            if !matches!(rest, "" | ".before" | ".after") {
                return None;
            }
            let nth = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
            (nth == self.nth).then_some(self.action)
        }
    }

    fn kill_self() -> io::Result<()> {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        loop {
            std::thread::park();
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
        assert!(fault.pass("journal.write.before").is_ok());
        assert!(fault.pass("journal.writer.before").is_ok() && fault.pass("sink.write.before").is_ok());
        assert!(fault.pass("journal.write.after").is_ok());
        assert_eq!(fault.pass("journal.write.before").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(fault.pass("journal.write.before").is_ok(), "once");
    }

    /// What the processes below run; by itself it passes.
    #[test]
    fn a_process_that_passes_points() {
        for n in 0..3 {
            around("fault.test.before", "fault.test.after", || Ok(())).unwrap_or_else(|e| panic!("{n}: {e}"));
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
