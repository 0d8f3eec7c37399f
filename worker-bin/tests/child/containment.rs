//! What ends programs with the worker, in each way that there is, and what keeps them apart.

use super::*;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};

/// What there is for this user, where the machine is as tests need it: as root on a kernel with namespaces and cgroups (v2).
fn of_this_user() -> &'static [Containment] {
    if rustix::process::geteuid().is_root() {
        &[Containment::PidNamespace, Containment::Cgroup, Containment::Guardian]
    } else {
        &[Containment::UserNamespace, Containment::Guardian]
    }
}

const OWNER: &str = "WORKER_TEST_OWNER_SCRIPT";
const CONTAINED: &str = "WORKER_TEST_OWNER_CONTAINED";
const TIMEOUT: &str = "WORKER_TEST_OWNER_TIMEOUT_S";

/// A process that owns a launcher and runs `script`, which may do nothing for so long.
pub(crate) fn owner(script: &str, timeout: Duration) -> std::process::Child {
    owner_by(of_this_user()[0], script, timeout)
}

fn owner_by(containment: Containment, script: &str, timeout: Duration) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "containment::owner_process", "--nocapture"])
        .env(OWNER, script)
        .env(CONTAINED, containment.word())
        .env(TIMEOUT, timeout.as_secs().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test by itself: what [`owner`] starts.
#[tokio::test(flavor = "multi_thread")]
async fn owner_process() {
    let Some(script) = std::env::var_os(OWNER) else { return };
    let containment = Containment::of(&std::env::var(CONTAINED).unwrap()).unwrap();
    let launcher = launcher_by(containment);
    let program = Program {
        timeout: Some(Duration::from_secs(std::env::var(TIMEOUT).unwrap().parse().unwrap())),
        ..Program::new("s", ["sh".into(), "-c".into(), script])
    };
    run_batch(&launcher, &program, &env(), None, vec![], &mut |_| Ok(()), Oversight::none()).await.0.unwrap();
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

async fn nobody_survives(containment: Containment, misfortune: &[(Who, Signal)]) {
    let markers = [(); 4].map(|()| unique_sleep());
    let [a, b, c, d] = &markers;
    let script = format!(
        "sleep {a} & (setsid sleep {b} > /dev/null 2>&1 &); \
         (env -i setsid sh -c '(setsid sleep {c} > /dev/null 2>&1 < /dev/null &)' &); \
         while :; do sleep {d}; done"
    );
    let owned = Owned::start(containment, &script, &markers).await;
    owned.befalls(misfortune);
    owned.ends(&format!("nothing is left after {misfortune:?}"), &markers).await;
}

/// An [`owner`], and what it has started.
struct Owned {
    owner: std::process::Child,
    child: Pid,
    grandchild: Option<Pid>,
}

impl Owned {
    /// Returns when all that is marked runs.
    async fn start(containment: Containment, script: &str, markers: &[String]) -> Self {
        // Long enough for a machine on which it takes seconds until all of them run.
        let owner = owner_by(containment, script, DEADLINE);
        for marker in markers {
            until("the descendants run", || !living(marker).is_empty()).await;
        }
        let child = children(Pid::from_child(&owner))[0];
        let is_launcher =
            |pid: &Pid| std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"launcher\n");
        Self { owner, child, grandchild: children(child).into_iter().find(is_launcher) }
    }

    fn befalls(&self, misfortune: &[(Who, Signal)]) {
        for (who, signal) in misfortune {
            let pid = match who {
                Who::Worker => Some(Pid::from_child(&self.owner)),
                Who::Child => Some(self.child),
                // A namespace of root's has nobody between.
                Who::Grandchild => self.grandchild,
            };
            if let Some(pid) = pid {
                kill_process(pid, *signal).unwrap();
            }
        }
        if self.grandchild.is_none() && misfortune.iter().all(|(who, _)| *who == Who::Grandchild) {
            kill_process(Pid::from_child(&self.owner), KILL).unwrap();
        }
    }

    async fn ends(mut self, what: &str, markers: &[String]) {
        for marker in markers {
            until(what, || living(marker).is_empty()).await;
        }
        self.owner.kill().ok();
        self.owner.wait().unwrap();
        for pid in self.grandchild.into_iter().chain([self.child]) {
            until("the launcher is gone", || !is_running(pid)).await;
        }
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
        nobody_survives(of_this_user()[0], misfortune).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_survives_the_guardian_whoever_is_killed_or_stopped() {
    for misfortune in MISFORTUNES {
        nobody_survives(Containment::Guardian, misfortune).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_survives_in_a_cgroup_whoever_is_killed_or_stopped() {
    if of_this_user().contains(&Containment::Cgroup) {
        for misfortune in MISFORTUNES {
            nobody_survives(Containment::Cgroup, misfortune).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cgroup_holds_who_has_taken_off_what_tells_whose_it_is() {
    if !of_this_user().contains(&Containment::Cgroup) {
        return;
    }
    let markers = [(); 2].map(|()| unique_sleep());
    let [a, b] = &markers;
    let script = format!("prlimit --locks=77: setsid -f sleep {a} > /dev/null 2>&1 < /dev/null; sleep {b}");
    let owned = Owned::start(Containment::Cgroup, &script, &markers).await;
    owned.befalls(&[(Who::Grandchild, STOP), (Who::Child, KILL)]);
    owned.ends("the kernel knows whose it is", &markers).await;
}

/// Without a namespace nobody is left to end programs then, but the kernel still knows which they are.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_a_cgroup_where_all_are_killed_at_once_ends_at_the_next_start() {
    if !of_this_user().contains(&Containment::Cgroup) {
        return;
    }
    let markers = [unique_sleep()];
    let mut owned = Owned::start(Containment::Cgroup, &format!("sleep {}", markers[0]), &markers).await;
    let all = [Who::Grandchild, Who::Child, Who::Worker];
    owned.befalls(&all.map(|who| (who, STOP)));
    owned.befalls(&all.map(|who| (who, KILL)));
    owned.owner.wait().unwrap();
    let next = launcher_by(Containment::Cgroup);
    owned.ends("the next start has ended it", &markers).await;
    next.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ended_batch_has_left_does_not_live_on_beside_a_running_stream() {
    for &containment in of_this_user() {
        let marker = unique_sleep();
        let launcher = launcher_by(containment);
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
    for &containment in of_this_user() {
        let look = sh(
            "grep NoNewPrivs /proc/self/status; umask; cut -d' ' -f7 /proc/self/stat; cut -d' ' -f6 /proc/self/stat",
        );
        let ran = run_on(&launcher_by(containment), &look, vec![lines("x\n")]).await;
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

/// What a program tries that would be part of another one's job: it says what it could do.
const REACHES_OUT: &str = r#"
import os, signal, sys, time
there = os.environ["THERE"]
while not os.path.exists(there + "/pid"):
    time.sleep(0.01)
other = int(open(there + "/pid").read())
print("leader", os.getsid(0) == os.getpgrp() == os.getpid())
try:
    open("/dev/tty")
    print("has a terminal")
except OSError:
    print("no terminal")
sys.stdout.flush()
if os.fork() == 0:
    try:
        os.setpgid(0, other)
        print("joined")
    except PermissionError:
        print("apart")
    os.kill(os.getpid(), signal.SIGTSTP)
    print("runs on")
    sys.stdout.flush()
    os._exit(0)
os.wait()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_no_part_of_another_ones_job_and_has_no_terminal() {
    for &containment in of_this_user() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = launcher_by(containment);
        let at_there =
            |program: Program| Program { env: vec![("THERE".into(), dir.path().into())], ..program };
        let waits = at_there(sh(
            "echo $$ > $THERE/p && mv $THERE/p $THERE/pid; until [ -e $THERE/done ]; do sleep 0.01; done",
        ));
        let reaches_out = at_there(Program::new("s", ["python3", "-c", REACHES_OUT]));
        let other = tokio::spawn({
            let launcher = launcher.clone();
            async move { run_on(&launcher, &waits, vec![]).await.result }
        });
        let said = String::from_utf8(run_on(&launcher, &reaches_out, vec![]).await.output).unwrap();
        std::fs::write(dir.path().join("done"), "").unwrap();
        other.await.unwrap().unwrap();
        assert_eq!(said, "leader True\nno terminal\napart\nruns on\n", "{containment:?}");
    }
}
