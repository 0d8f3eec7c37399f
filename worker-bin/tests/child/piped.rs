//! Programs as ends of the pipeline.

use super::*;
use std::io::Read;
use std::sync::Arc;
use worker_bin::child::start_source;
use worker_core::event::FailureKind;

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_read_to_its_end_and_judged() {
    let launcher = launcher();
    let program = Arc::new(sh("yes | head -c 3000000; echo done >&2; exit 2"));
    let (mut file, mut child) =
        start_source(&launcher, program, &env(), &Arc::default(), |_| {}).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        file.read_to_end(&mut all).map(|_| all.len())
    });
    assert_eq!(read.await.unwrap().unwrap(), 3_000_000);
    let failure = child.wait().await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Exit(2), "sh exited with status 2: done")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_of_a_source_print_after_its_end_is_read() {
    let launcher = launcher();
    for script in [
        "(sleep 0.3; seq 1 300; sleep 0.3; seq 301 1000) & exit 0",
        "setsid sh -c 'sleep 0.3; seq 1000' & exit 0",
    ] {
        let program = Arc::new(sh(script));
        let (mut file, mut child) =
            start_source(&launcher, program, &env(), &Arc::default(), |_| {}).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut all = String::new();
            file.read_to_string(&mut all).map(|_| all.lines().count())
        });
        assert_eq!(read.await.unwrap().unwrap(), 1000, "{script}");
        child.wait().await.unwrap();
    }
}

/// Amid `execve` a process has no environment, by which it would be known.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_becoming_another_program_is_known() {
    let launcher = launcher();
    let again = "env ".repeat(150);
    for _ in 0..30 {
        let program = Arc::new(sh(&format!("setsid {again} sh -c 'echo late' & sleep 0.03; exit 0")));
        let (mut file, mut child) =
            start_source(&launcher, program, &env(), &Arc::default(), |_| {}).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut all = String::new();
            file.read_to_string(&mut all).map(|_| all)
        });
        assert_eq!(read.await.unwrap().unwrap(), "late\n");
        child.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_never_ends_can_be_killed() {
    let (launcher, marker) = (launcher(), unique_sleep());
    let program = Arc::new(sh(&format!("sleep {marker}")));
    let (mut file, mut child) =
        start_source(&launcher, program, &env(), &Arc::default(), |_| {}).await.unwrap();
    until("it runs", || !living(&marker).is_empty()).await;
    child.kill();
    assert_eq!(child.wait().await.unwrap_err().kind, FailureKind::Signal(9));
    assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);
    let missing = Arc::new(Program::new("s", ["no-such-program"]));
    assert_eq!(
        start_source(&launcher, missing, &env(), &Arc::default(), |_| {}).await.unwrap_err().kind,
        FailureKind::CannotStart
    );
}
