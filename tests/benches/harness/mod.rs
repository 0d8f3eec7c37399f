//! What the benches of whole processes share.

#![expect(dead_code, reason = "each bench uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Builds the binary that is measured, with the profile that users get; `WORKER_BIN=path` measures that file instead.
pub(crate) fn build_worker() -> PathBuf {
    if let Some(path) = std::env::var_os("WORKER_BIN") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(["build", "--release", "-q", "-p", "worker-bin"]).current_dir(root).status();
    assert!(status.expect("start cargo").success(), "the binary does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("release").join("worker")
}

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    /// User and system time of the process itself, without its children.
    pub(crate) own: Duration,
    /// The same with its children, and theirs.
    pub(crate) all: Duration,
}

/// Runs a command, which must succeed.
pub(crate) fn time(command: &mut Command) -> Took {
    let begun = Instant::now();
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    finish(child, begun)
}

/// Waits for a process, which must succeed.
pub(crate) fn finish(mut child: Child, begun: Instant) -> Took {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_child(&child);
    // Left as a zombie, which still says what it took.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("wait for the process");
    let wall = begun.elapsed();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("read its /proc entry");
    let status = child.wait().expect("wait for the process");
    assert!(status.success(), "{status}");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |from: usize| -> u64 {
        fields[from..from + 2].iter().map(|field| field.parse::<u64>().expect("a number of ticks")).sum()
    };
    let own = Duration::from_millis(ticks(11) * 10);
    Took { wall, own, all: own + Duration::from_millis(ticks(13) * 10) }
}
