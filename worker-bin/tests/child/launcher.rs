//! The launcher itself: what children inherit, and that nothing survives.

use super::containment::owner;
use super::*;
use std::io::{BufRead, BufReader};
use std::process::Command;
use worker_core::event::FailureKind;

#[tokio::test(flavor = "multi_thread")]
async fn children_inherit_no_descriptors_signals_or_session() {
    // A descriptor that is not close-on-exec, as a careless parent of the worker leaves behind.
    let file = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let launcher = launcher();
    let ran = run_on(&launcher, &Program::new("s", ["ls", "/proc/self/fd"]), vec![lines("x\n")]).await;
    // 3 is the directory that ls reads.
    assert_eq!(String::from_utf8(ran.output).unwrap(), "0\n1\n2\n3\n");
    let ran = run_on(&launcher, &Program::new("s", ["grep", "^Sig[BI]", "/proc/self/status"]), vec![]).await;
    let text = String::from_utf8(ran.output).unwrap();
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let sigpipe = 1 << (13 - 1);
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & sigpipe), (0, 0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_environment_and_arguments_arrives() {
    let mut program = sh("env | grep ^BIG | wc -c; echo $#");
    program.clear_env = true;
    program.env = (0..10).map(|n| (format!("BIG{n}").into(), "x".repeat(100_000).into())).collect();
    program.env.push(("PATH".into(), std::env::var_os("PATH").unwrap()));
    program.argv.extend((0..5000).map(|n| format!("argument-{n}").into()));
    let ran = run(&program, "").await;
    assert_eq!(String::from_utf8(ran.output).unwrap(), format!("{}\n4999\n", 10 * 100_006));
    program.env = vec![("BIG".into(), "x".repeat(5_000_000).into())];
    let failure = run(&program, "").await.failure();
    assert_eq!(failure.kind, FailureKind::CannotStart);
    assert!(failure.message.contains("too long"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_children_at_once_all_end_well() {
    let launcher = launcher();
    let runs: Vec<_> = (0..200)
        .map(|number| {
            let launcher = launcher.clone();
            tokio::spawn(async move {
                let ran =
                    run_on(&launcher, &Program::new("s", ["cat"]), vec![lines(format!("{number}\n"))]).await;
                assert_eq!(ran.output, format!("{number}\n").as_bytes());
                ran.result.unwrap();
            })
        })
        .collect();
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_launcher_fails_what_runs_and_leaves_nothing() {
    let (a, b) = (unique_sleep(), unique_sleep());
    let launcher = launcher();
    let program = sh(&format!("setsid sleep {a} & sleep {b}"));
    let running = tokio::spawn({
        let launcher = launcher.clone();
        async move { run_on(&launcher, &program, vec![]).await.failure() }
    });
    for marker in [&a, &b] {
        until("the children run", || !living(marker).is_empty()).await;
    }
    Command::new("kill").args(["-9", &launcher.pid().to_string()]).status().unwrap();
    let failure = running.await.unwrap();
    assert_eq!(failure.kind, FailureKind::Worker);
    assert!(failure.message.contains("launcher process ended"), "{}", failure.message);
    for marker in [&a, &b] {
        until("the children are gone", || living(marker).is_empty()).await;
    }
    assert_eq!(run_on(&launcher, &sh("true"), vec![]).await.failure().kind, FailureKind::Worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_until_all_are_gone() {
    let marker = unique_sleep();
    let launcher = launcher();
    let program = sh(&format!("(env -i setsid sleep {marker} &); sleep 1000"));
    let running = tokio::spawn({
        let launcher = launcher.clone();
        async move { run_on(&launcher, &program, vec![]).await.result }
    });
    until("the daemon runs", || !living(&marker).is_empty()).await;
    launcher.shutdown().await;
    assert_eq!(living(&marker), Vec::<String>::new());
    assert!(running.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_descendant_survives_a_kill_9_of_the_worker() {
    let markers = [(); 4].map(|()| unique_sleep());
    let [a, b, c, d] = &markers;
    let script =
        format!("sleep {a} & setsid sleep {b} & (env -i setsid sh -c 'sleep {c}; true' &); sleep {d}");
    let mut owner = owner(&script, DEADLINE);
    for marker in &markers {
        until("the descendants run", || !living(marker).is_empty()).await;
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    for marker in &markers {
        until("the descendants are gone", || living(marker).is_empty()).await;
    }
    // Whoever held the owner's standard output, the launcher too, is gone when it ends.
    let said = BufReader::new(owner.stdout.take().unwrap()).lines().count();
    assert!(said < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_the_worker_was_stopped_does_not_count() {
    // Stopped for longer than the timeout while the child's clock runs; the rest before and after is shorter.
    let marker = unique_sleep();
    let mut owner = owner(&format!("sleep {marker} > /dev/null & sleep 4"), Duration::from_secs(2));
    until("the child runs", || !living(&marker).is_empty()).await;
    let signal = |name: &str| Command::new("kill").args([name, &owner.id().to_string()]).status().unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    signal("-STOP");
    tokio::time::sleep(Duration::from_secs(3)).await;
    signal("-CONT");
    assert!(owner.wait().unwrap().success());
}
