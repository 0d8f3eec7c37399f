//! The launcher itself: what children inherit, and that nothing survives.

use super::*;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
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

const OWNER: &str = "WORKER_TEST_OWNER_SCRIPT";
const NAMESPACE: &str = "WORKER_TEST_OWNER_NAMESPACE";

/// A process that owns a launcher and runs `script` under a timeout of 2 s.
fn owner(script: &str) -> std::process::Child {
    owner_in(PidNamespace::Auto, script)
}

fn owner_in(allowed: PidNamespace, script: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "launcher::owner_process", "--nocapture"])
        .env(OWNER, script)
        .env(NAMESPACE, format!("{allowed:?}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test by itself: what [`owner`] starts.
#[tokio::test(flavor = "multi_thread")]
async fn owner_process() {
    let Some(script) = std::env::var_os(OWNER) else { return };
    let allowed = [PidNamespace::Auto, PidNamespace::User, PidNamespace::Off]
        .into_iter()
        .find(|allowed| std::env::var(NAMESPACE).is_ok_and(|name| name == format!("{allowed:?}")));
    let launcher = launcher_in(allowed.unwrap());
    let program = Program {
        timeout: Some(Duration::from_secs(2)),
        ..Program::new("s", ["sh".into(), "-c".into(), script])
    };
    run_batch(&launcher, &program, &env(), None, vec![], &mut |_| Ok(()), Oversight::none()).await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_descendant_survives_a_kill_9_of_the_worker() {
    let markers = [(); 4].map(|()| unique_sleep());
    let [a, b, c, d] = &markers;
    let script =
        format!("sleep {a} & setsid sleep {b} & (env -i setsid sh -c 'sleep {c}; true' &); sleep {d}");
    let mut owner = owner(&script);
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

/// Who is sent a signal, as seen from the worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Worker,
    /// The launcher, or its guardian.
    Child,
    /// The launcher behind a guardian.
    Grandchild,
}

const KILL: Signal = Signal::KILL;
const STOP: Signal = Signal::STOP;

/// What befalls them, one after the other; behind each of it nothing may be left of the programs.
const MISFORTUNES: [&[(Who, Signal)]; 10] = [
    &[(Who::Worker, KILL)],
    &[(Who::Child, STOP), (Who::Worker, KILL)],
    &[(Who::Grandchild, STOP), (Who::Worker, KILL)],
    &[(Who::Grandchild, STOP), (Who::Child, STOP), (Who::Worker, KILL)],
    &[(Who::Child, KILL)],
    &[(Who::Child, KILL), (Who::Worker, KILL)],
    &[(Who::Grandchild, KILL)],
    &[(Who::Grandchild, KILL), (Who::Worker, KILL)],
    &[(Who::Grandchild, KILL), (Who::Child, KILL)],
    &[(Who::Grandchild, STOP), (Who::Child, KILL)],
];

async fn nobody_survives(allowed: PidNamespace, misfortune: &[(Who, Signal)]) {
    let markers = [(); 4].map(|()| unique_sleep());
    let [a, b, c, d] = &markers;
    let script = format!(
        "sleep {a} & (setsid sleep {b} > /dev/null 2>&1 &); \
         (env -i setsid sh -c '(setsid sleep {c} > /dev/null 2>&1 < /dev/null &)' &); \
         while :; do sleep {d}; done"
    );
    let mut owner = owner_in(allowed, &script);
    for marker in &markers {
        until("the descendants run", || !living(marker).is_empty()).await;
    }
    let worker = Pid::from_child(&owner);
    let child = children(worker)[0];
    let grandchild = children(child)
        .into_iter()
        .find(|pid| std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"launcher\n"));
    for (who, signal) in misfortune {
        let pid = match who {
            Who::Worker => Some(worker),
            Who::Child => Some(child),
            // A namespace has nobody between.
            Who::Grandchild => grandchild,
        };
        if let Some(pid) = pid {
            kill_process(pid, *signal).unwrap();
        }
    }
    if grandchild.is_none() && misfortune.iter().all(|(who, _)| *who == Who::Grandchild) {
        owner.kill().unwrap();
    }
    for marker in &markers {
        until(&format!("nothing is left after {misfortune:?}"), || living(marker).is_empty()).await;
    }
    owner.kill().ok();
    owner.wait().unwrap();
    for pid in grandchild.into_iter().chain([child]) {
        until("the launcher is gone", || !is_running(pid)).await;
    }
}

fn children(pid: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let lists =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let pid = |text: &str| Pid::from_raw(text.parse().unwrap()).unwrap();
    lists.flat_map(|list| list.split_ascii_whitespace().map(pid).collect::<Vec<_>>()).collect()
}

/// Also one that was stopped.
fn is_running(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_survives_in_a_namespace_whoever_is_killed_or_stopped() {
    for misfortune in MISFORTUNES {
        nobody_survives(PidNamespace::Auto, misfortune).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_survives_the_guardian_whoever_is_killed_or_stopped() {
    for misfortune in MISFORTUNES {
        nobody_survives(PidNamespace::Off, misfortune).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ended_batch_has_left_does_not_live_on_beside_a_running_stream() {
    for allowed in [PidNamespace::Auto, PidNamespace::Off] {
        let marker = unique_sleep();
        let launcher = launcher_in(allowed);
        let stream = tokio::spawn({
            let launcher = launcher.clone();
            async move { run_on(&launcher, &sh("sleep 1000"), vec![]).await.result }
        });
        let daemon = format!(
            "(env -i setsid sh -c 'exec sleep {marker}' > /dev/null 2>&1 < /dev/null &); sleep 0.1; cat"
        );
        assert_eq!(run_on(&launcher, &sh(&daemon), vec![lines("x\n")]).await.output, b"x\n");
        until("the daemon is gone", || living(&marker).is_empty()).await;
        assert!(!stream.is_finished());
        stream.abort();
        launcher.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_gain_no_rights_have_no_terminal_and_keep_the_mask_of_files() {
    for allowed in [PidNamespace::Auto, PidNamespace::Off] {
        let look = sh(
            "grep NoNewPrivs /proc/self/status; umask; cut -d' ' -f7 /proc/self/stat; cut -d' ' -f6 /proc/self/stat",
        );
        let ran = run_on(&launcher_in(allowed), &look, vec![lines("x\n")]).await;
        let said = String::from_utf8(ran.output).unwrap();
        let mask = Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..3], ["NoNewPrivs:\t1", String::from_utf8(mask).unwrap().trim(), "0"]);
        // Read as the child reads its own: a session of outside of this PID namespace is 0, which is no pid to a library.
        let own =
            Command::new("cut").args(["-d", " ", "-f", "6", "/proc/self/stat"]).output().unwrap().stdout;
        assert_ne!(lines[3], String::from_utf8(own).unwrap().trim(), "a session of their own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_the_worker_was_stopped_does_not_count() {
    // Stopped for longer than the timeout while the child's clock runs; the rest before and after is shorter.
    let marker = unique_sleep();
    let mut owner = owner(&format!("sleep {marker} > /dev/null & sleep 4"));
    until("the child runs", || !living(&marker).is_empty()).await;
    let signal = |name: &str| Command::new("kill").args([name, &owner.id().to_string()]).status().unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    signal("-STOP");
    tokio::time::sleep(Duration::from_secs(3)).await;
    signal("-CONT");
    assert!(owner.wait().unwrap().success());
}
