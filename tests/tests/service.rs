//! As a service: what systemd (Type=notify) is told, and that the shipped units are such as it takes.

use rustix::process::Signal;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};
use worker_tests::process::{Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// Its program holds what it was given as long as `hold` is there, and says what of its environment is the service's.
const PIPELINE: &str = "[source.in]\nrun = [\"sh\", \"-c\", \"env >env.txt; echo 1; while :; do sleep 0.1; done\"]\n[stage.held]\n\
                        mode = \"stream\"\nrun = [\"sh\", \"-c\", \"while test -e hold; do sleep 0.1; done; cat\"]\n\
                        [sink.out]\nfile = \"out.txt\"\n";

/// Who a service manager is.
struct Manager {
    socket: UnixDatagram,
    heard: String,
}

impl Manager {
    fn new(scratch: &Scratch) -> Self {
        let socket = UnixDatagram::bind(scratch.path("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        Self { socket, heard: String::new() }
    }

    /// A run that is its service, with a watchdog that wants to hear every 400 ms.
    fn start<'a>(&self, scratch: &'a Scratch, socket: &str) -> Running<'a> {
        scratch.write("service.toml", PIPELINE);
        let start = scratch.worker(&["run", "service.toml", "--admin", "none"]);
        let start = start.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "400000");
        start.env("WORKER_ADMIN_TOKEN", "s3cret").start()
    }

    /// Listens until it has heard so many of it from now on.
    fn hears(&mut self, what: &str, times: usize) {
        let since = self.heard.len();
        let deadline = Instant::now() + PATIENCE;
        while self.heard[since..].matches(what).count() < times {
            assert!(Instant::now() < deadline, "no {what} in {}", self.heard);
            let mut message = [0; 16 * 1024];
            if let Ok(length) = self.socket.recv(&mut message) {
                self.heard.push_str(&String::from_utf8_lossy(&message[..length]));
                self.heard.push('\n');
            }
        }
    }
}

#[test]
fn a_service_manager_hears_of_the_begin_of_what_is_done_and_of_the_end() {
    let scratch = Scratch::new();
    let mut manager = Manager::new(&scratch);
    let running = manager.start(&scratch, &scratch.path("notify").to_string_lossy());
    manager.hears("READY=1", 1);
    manager.hears("STATUS=[", 2);
    manager.hears("held: 1 ", 1);
    running.signal(Signal::TERM);
    manager.hears("STOPPING=1", 1);
    running.wait(PATIENCE).expect(143);
    assert_eq!(manager.heard.matches("READY=1").count(), 1, "{}", manager.heard);
    assert_eq!(scratch.read("out.txt"), b"1\n");
}

#[test]
fn work_that_says_for_what_it_waits_is_no_case_for_the_watchdog() {
    let scratch = Scratch::new();
    let mut manager = Manager::new(&scratch);
    scratch.write("hold", "");
    let running = manager.start(&scratch, &scratch.path("notify").to_string_lossy());
    manager.hears("READY=1", 1);
    // Three seconds and more in which nothing moves.
    manager.hears("WATCHDOG=1", 18);
    std::fs::remove_file(scratch.path("hold")).expect("it was held");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
}

#[test]
fn a_process_that_is_stopped_feeds_no_watchdog() {
    let scratch = Scratch::new();
    let mut manager = Manager::new(&scratch);
    let running = manager.start(&scratch, &scratch.path("notify").to_string_lossy());
    manager.hears("WATCHDOG=1", 2);
    running.signal(Signal::STOP);
    eventually("the last word is heard", PATIENCE, || {
        let mut message = [0; 1024];
        manager.socket.recv(&mut message).map_or(Ok(()), |_| Err(String::new()))
    });
    running.signal(Signal::CONT);
    manager.hears("WATCHDOG=1", 2);
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
}

#[test]
fn programs_do_not_inherit_what_would_let_them_speak_for_the_worker() {
    let scratch = Scratch::new();
    let mut manager = Manager::new(&scratch);
    let running = manager.start(&scratch, &scratch.path("notify").to_string_lossy());
    manager.hears("READY=1", 1);
    eventually("its program runs", PATIENCE, || {
        if scratch.len("out.txt") > 0 || scratch.len("env.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
    });
    let environment = scratch.text("env.txt");
    assert!(environment.contains("WORKER_TASK=") && !environment.contains("NOTIFY_SOCKET"), "{environment}");
    assert!(!environment.contains("WATCHDOG_") && !environment.contains("s3cret"), "{environment}");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
}

/// A manager that is gone, or never was, is no reason to fail.
#[test]
fn without_anybody_who_listens_a_run_is_as_ever() {
    let scratch = Scratch::new();
    let manager = Manager::new(&scratch);
    let running = manager.start(&scratch, "/nowhere/notify");
    eventually("data flows", PATIENCE, || {
        if scratch.len("env.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
    });
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143).says(&["the service manager cannot be told"]);
}

/// The pipeline and the cluster that the manifests have are such as the worker takes, and so are the arguments.
#[test]
fn the_files_in_the_manifests_are_a_pipeline_and_its_cluster() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker-bin/dist/kubernetes/worker.yaml");
    let text = std::fs::read_to_string(manifests).expect("the manifests");
    let scratch = Scratch::new();
    for file in ["cluster.toml", "pipeline.toml"] {
        scratch.write(file, block(&text, file));
    }
    for node in ["worker-0", "worker-1"] {
        let check = ["check", "pipeline.toml", "--cluster", "cluster.toml", "--name", node];
        let graph = String::from_utf8(scratch.worker(&check).run().expect(0).stdout).expect("text");
        assert!(graph.contains("count") && graph.contains(node), "{graph}");
    }
    let arguments = text.lines().filter_map(|line| line.trim().strip_prefix("- --"));
    let options: Vec<_> = arguments.map(|rest| rest.split('=').next().unwrap_or(rest)).collect();
    let help = String::from_utf8(scratch.worker(&["node", "--help"]).run().expect(0).stdout).expect("text");
    assert!(options.len() > 5, "{options:?}");
    for option in options {
        let is_there = help.split_whitespace().any(|word| word.strip_prefix("--") == Some(option));
        assert!(is_there, "--{option} is in the manifests and not in the help");
    }
}

/// What stands in a manifest as the text of this file, by its indentation.
fn block(manifests: &str, file: &str) -> String {
    let begins = format!("  {file}: |");
    let lines = manifests.lines().skip_while(|line| *line != begins).skip(1);
    lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

/// `systemd-analyze` knows the keys; that of the program is another here, for it must be there.
#[test]
fn the_units_are_such_as_systemd_takes() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker-bin/dist/systemd");
    let scratch = Scratch::new();
    for unit in ["worker", "worker-node"] {
        let text = std::fs::read_to_string(units.join(format!("{unit}@.service"))).expect("a unit");
        assert!(text.contains("Type=notify\n") && text.contains("\nWatchdogSec="), "{text}");
        let text = text.replace("/usr/bin/worker", "/bin/true");
        scratch.write(&format!("{unit}@jobs.service"), text);
        let said = scratch.shell(&format!("systemd-analyze verify --man=no ./{unit}@jobs.service 2>&1"));
        assert_eq!(String::from_utf8_lossy(&said), "", "{unit}");
    }
}
