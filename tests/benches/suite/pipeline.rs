//! Runs of whole processes.

use super::meter::{Took, time};
use super::suite::Suite;
use std::path::Path;
use std::process::Command;

/// What a run promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Memory,
    ExactlyOnce,
}

impl Delivery {
    pub(crate) const BOTH: [Self; 2] = [Self::Memory, Self::ExactlyOnce];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

/// Options of `worker run` that a bench adds, in the suite's directory.
pub(crate) fn worker(binary: &Path, suite: &Suite, args: &[&str], delivery: Delivery) -> Command {
    let mut command = command(binary, suite);
    command.arg("run").args(args).arg("--quiet");
    if delivery == Delivery::ExactlyOnce {
        command.args(["--state", "state"]);
    }
    command
}

/// `worker run …`, to its end.
pub(crate) fn run(binary: &Path, suite: &Suite, args: &[&str], delivery: Delivery) -> Took {
    let took = time(&mut worker(binary, suite, args, delivery));
    forget_state(suite);
    took
}

/// Not part of any time.
pub(crate) fn forget_state(suite: &Suite) {
    let state = suite.dir().join("state");
    if state.exists() {
        std::fs::remove_dir_all(state).expect("remove the state directory");
    }
}

/// A line of a shell, to its end.
pub(crate) fn shell(suite: &Suite, line: &str) -> Took {
    time(command(Path::new("sh"), suite).args(["-c", line]))
}

/// Everybody works in the suite's directory, by bytes and not by the letters of a language.
pub(crate) fn command(program: &Path, suite: &Suite) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(suite.dir())
        .env("LC_ALL", "C")
        .env("WORKER_RUNTIME_DIR", suite.dir().join("entries"));
    command
}
