//! Errors and kills at system calls, injected by `strace`: what the named points do not reach, the kernel's side of them.

use crate::{DONE, assert_comes_to_its_end, assert_result, prepare};
use std::path::Path;
use std::time::Duration;
use worker_tests::process::{Finished, Scratch};

/// The pipeline under `strace -f` with this injection.
fn injected(scratch: &Scratch, call: &str, what: &str) -> Finished {
    let mut start = scratch.program(Path::new("strace"));
    let inject = format!("inject={call}:{what}");
    start.command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    start.command.arg(worker_tests::process::worker_binary());
    start.command.args(["run", "pipeline.toml", "--state", "state", "--progress", "none"]);
    start.start().wait(Duration::from_secs(60))
}

#[test]
fn a_sync_that_the_kernel_fails_ends_the_process_and_loses_nothing() {
    for (call, nth) in
        [("fdatasync", 1), ("fdatasync", 4), ("fdatasync", 17), ("fsync", 1), ("fsync", 3), ("fsync", 9)]
    {
        let scratch = Scratch::new();
        prepare(&scratch);
        let ended = injected(&scratch, call, &format!("error=EIO:when={nth}"));
        let what = format!("{call} {nth}");
        if ended.status.code() == Some(DONE) {
            assert_result(&scratch, &what);
            continue;
        }
        assert!(matches!(ended.status.code(), Some(1 | 2)), "{what}: {} {}", ended.status, ended.stderr);
        assert!(ended.stderr.contains("Input/output error"), "{what}: {}", ended.stderr);
        assert_comes_to_its_end(&scratch, &what);
    }
}

#[test]
fn kills_at_system_calls() {
    let mut killed = 0;
    for call in ["fdatasync", "fsync", "rename", "unlink", "pwritev", "ftruncate", "fallocate", "flock"] {
        for nth in [1, 2, 6, 15] {
            let scratch = Scratch::new();
            prepare(&scratch);
            let ended = injected(&scratch, call, &format!("signal=KILL:when={nth}"));
            let what = format!("killed at {call} {nth}");
            if ended.status.code() == Some(DONE) {
                assert_result(&scratch, &what);
                break;
            }
            killed += 1;
            assert_comes_to_its_end(&scratch, &what);
        }
    }
    assert!(killed >= 12, "only {killed} kills met a system call");
}

/// The data of a directory alone need not have the names in it.
#[test]
fn no_directory_is_synced_without_its_metadata() {
    let scratch = Scratch::new();
    prepare(&scratch);
    let mut start = scratch.program(Path::new("strace"));
    start.command.args(["-f", "-qq", "-y", "-o", "calls.txt", "-e", "trace=fdatasync"]);
    start.command.arg(worker_tests::process::worker_binary());
    start.command.args(["run", "pipeline.toml", "--state", "state", "--progress", "none"]);
    assert_eq!(start.start().wait(Duration::from_secs(60)).status.code(), Some(DONE));
    let calls = scratch.text("calls.txt");
    let paths: Vec<&str> = calls
        .lines()
        .filter_map(|line| line.split_once('<')?.1.split_once('>'))
        .map(|(path, _)| path)
        .collect();
    assert!(paths.iter().any(|path| path.ends_with(".wj") || path.ends_with("new.tmp")), "{calls}");
    assert!(!paths.iter().any(|path| Path::new(path).is_dir()), "{calls}");
}
