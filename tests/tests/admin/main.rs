//! The admin address of a running worker, and those who mean it no good: what they leave open, what they may not read.

mod tls;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use worker_tests::process::{Finished, Running, Scratch, Start, eventually, free_port, worker_binary};

const PATIENCE: Duration = Duration::from_secs(60);

/// A source that gives records until the file `stop` is there.
const TICKS: &str =
    r#"run = ["sh", "-c", "i=0; while [ ! -e stop ]; do i=$((i+1)); echo $i; sleep 0.02; done"]"#;

/// With a stage of so many tasks, if any.
fn pipeline(tasks: usize) -> String {
    let stage = format!("[stage.pass]\nrun = [\"cat\"]\npartitions = {tasks}\n");
    let stage = if tasks == 0 { "" } else { &stage };
    format!("[source.ticks]\n{TICKS}\n{stage}[sink.out]\nfile = \"out\"\n")
}

/// A worker with an admin address, under limits that a shell sets first.
struct Asked<'a> {
    scratch: &'a Scratch,
    worker: Running<'a>,
    at: SocketAddr,
}

impl<'a> Asked<'a> {
    fn start(scratch: &'a Scratch, limits: &str, tasks: usize) -> Self {
        scratch.write("p.toml", pipeline(tasks));
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut start = scratch.program(Path::new("bash"));
        let run = format!("exec '{}' run p.toml --admin {at} --progress none", worker_binary().display());
        start.command.args(["-c", &format!("{limits}; {run}")]);
        let worker = own_entries(start, scratch).start();
        let asked = Self { scratch, worker, at };
        eventually("records flow", PATIENCE, || asked.flows(0));
        asked
    }

    fn flows(&self, before: u64) -> Result<(), String> {
        if self.scratch.len("out") > before { Ok(()) } else { Err(self.worker.stderr()) }
    }

    /// Asks as a user does; it is answered, and records go on.
    fn is_well(&self, when: &str) {
        let before = self.scratch.len("out");
        let begun = Instant::now();
        status(self.scratch, &["--admin", &self.at.to_string()]).expect(0);
        assert!(begun.elapsed() < Duration::from_secs(10), "{when}: asked for {:?}", begun.elapsed());
        eventually(when, PATIENCE, || self.flows(before));
    }

    /// A connection that has sent this.
    fn open(&self, request: &str) -> Option<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(5)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        Some(stream)
    }

    fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        if let Some(mut stream) = self.open(&request) {
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            stream.read_to_end(&mut answer).ok();
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// How often something was refused for this reason, as its metrics say.
    fn refused(&self, reason: &str) -> u64 {
        counted_of(&self.get("/metrics"), reason)
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.worker.pid())).map_or(0, Iterator::count)
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.worker.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn stop(self) -> Finished {
        self.scratch.write("stop", "");
        self.worker.wait(PATIENCE).expect(0)
    }
}

/// How often something was refused for this reason, as metrics say.
fn counted_of(metrics: &str, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"}} ");
    let mut found = metrics.lines().filter(|line| line.starts_with("worker_admin_refused_total"));
    let count = found.find_map(|line| line.split_once(&label)?.1.parse().ok());
    count.unwrap_or_else(|| panic!("no count of {reason}: {metrics}"))
}

fn own_entries<'a>(start: Start<'a>, scratch: &Scratch) -> Start<'a> {
    start.env("WORKER_RUNTIME_DIR", &scratch.path("run").to_string_lossy())
}

fn status(scratch: &Scratch, args: &[&str]) -> Finished {
    own_entries(scratch.worker(&[&["status"][..], args].concat()), scratch).run()
}

/// This process needs as many files as the strangers it plays.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("its own limit");
}

#[test]
fn a_thousand_connections_that_are_left_open_keep_nobody_out() {
    allow_many_files();
    let scratch = Scratch::new();
    let asked = Asked::start(&scratch, "ulimit -n 1024", 1);
    let (files, memory) = (asked.open_files(), asked.resident_kib());
    let begun = Instant::now();
    let mut held = Vec::new();
    for number in 0..1100 {
        let request = match number % 4 {
            0 => "",
            1 => "GET /api/v1/status HTTP/1.1\r\nHost: loc",
            2 => "PUT /api/v1/log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nin",
            _ => "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        held.extend(asked.open(request));
        if number % 200 == 199 {
            asked.is_well("amid them");
        }
    }
    assert!(held.len() > 1000, "only {} could be opened", held.len());
    asked.is_well("behind them");
    assert!(asked.open_files() <= files + 64 + 32, "{} files, {files} before", asked.open_files());
    let grown = asked.resident_kib().saturating_sub(memory);
    assert!(grown < 64 << 10, "{grown} KiB more than before");
    assert!(asked.refused("connections") > 500, "{}", asked.get("/metrics"));
    let seconds = begun.elapsed().as_secs();
    drop(held);
    eventually("descriptors come back", PATIENCE, || match asked.open_files() {
        now if now <= files + 16 => Ok(()),
        now => Err(format!("{now} files, {files} before")),
    });
    let ended = asked.stop();
    let lines = ended.stderr.matches("for a newer one").count() as u64;
    assert!((1..=seconds / 5 + 2).contains(&lines), "{lines} lines in {seconds} s: {}", ended.stderr);
}

#[test]
fn without_descriptors_the_admin_address_waits_and_the_run_goes_on() {
    let scratch = Scratch::new();
    let mut asked = Asked::start(&scratch, "true", 0);
    let pid = asked.worker.pid();
    scratch.shell(&format!("prlimit --pid {pid} --nofile=4:"));
    let _waits = asked.open("");
    asked.worker.wait_for_message("may open no more files", PATIENCE);
    let before = scratch.len("out");
    eventually("records go on", PATIENCE, || asked.flows(before));
    scratch.shell(&format!("prlimit --pid {pid} --nofile=1024:"));
    asked.is_well("with descriptors again");
    asked.stop();
}

#[test]
fn readers_of_events_that_do_not_read_cost_little_and_are_closed() {
    let scratch = Scratch::new();
    let asked = Asked::start(&scratch, "true", 100);
    let events = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let slow = || {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        set_socket_recv_buffer_size(&socket, 2048).expect("a small buffer");
        connect(&socket, &asked.at).expect("it listens");
        let mut stream = TcpStream::from(socket);
        stream.write_all(events.as_bytes()).expect("it reads");
        stream
    };
    let unread = |readers: Vec<TcpStream>| {
        let before = asked.refused("unread");
        let refused = asked.get("/api/v1/events");
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after"), "{refused}");
        asked.is_well("beside them");
        // Nobody takes anything of what is told: in the end their places are free.
        let all = before + readers.len() as u64;
        eventually("those that do not read are closed", PATIENCE, || match asked.refused("unread") {
            closed if closed < all => Err(format!("{closed} of {all} are")),
            _ => Ok(()),
        });
    };
    // What as many took before is no cost of these.
    unread((0..16).map(|_| slow()).collect());
    let memory = asked.resident_kib();
    unread((0..16).map(|_| slow()).collect());
    let grown = asked.resident_kib().saturating_sub(memory);
    assert!(grown < 16 * 64 + (2 << 10), "{grown} KiB for 16 readers");
    eventually("there is room again", PATIENCE, || {
        let mut again = asked.open(events).ok_or("closed")?;
        let mut head = [0; 12];
        again.read_exact(&mut head).map_err(|error| error.to_string())?;
        if head == *b"HTTP/1.1 200" { Ok(()) } else { Err(String::from_utf8_lossy(&head).into_owned()) }
    });
    asked.stop();
}

#[test]
fn a_file_gives_the_token_to_runs_and_to_commands() {
    let scratch = Scratch::new();
    scratch.write("p.toml", pipeline(1));
    scratch.write("token", "s3cret-4711\nmore\n");
    let admin = format!("127.0.0.1:{}", free_port());
    let run = ["run", "p.toml", "--progress", "none", "--admin", &admin, "--admin-token-file", "token"];
    let worker =
        own_entries(scratch.worker(&run), &scratch).env("WORKER_ADMIN_TOKEN", "not-this-one").start();
    let ask = |args: &[&str]| {
        // As on another machine: it finds no entry.
        scratch.worker(&[args, &["--admin", &admin]].concat()).env("WORKER_RUNTIME_DIR", "/nowhere").run()
    };
    eventually("it answers", PATIENCE, || match ask(&["status"]).status.code() {
        Some(0) => Ok(()),
        code => Err(format!("{code:?} {}", worker.stderr())),
    });
    ask(&["pause", "pass"]).expect(1).says(&["401", "--admin-token-file"]);
    ask(&["pause", "pass", "--admin-token-file", "token"]).expect(0);
    scratch.write("wrong", "not-this-one");
    ask(&["resume", "pass", "--admin-token-file", "wrong"]).expect(1).says(&["401"]);
    ask(&["resume", "pass", "--admin-token-file", "token"]).expect(0);
    for (file, content, said) in [
        ("empty", Some("\n"), "first line is empty"),
        ("large", Some(&*"x".repeat(5000)), "more than 4096 bytes"),
        ("none", None, "cannot read it"),
        (".", None, "no regular file"),
    ] {
        if let Some(content) = content {
            scratch.write(file, content);
        }
        let said = [said, "--admin-token-file"];
        ask(&["status", "--admin-token-file", file]).expect(2).says(&said);
        scratch.worker(&["run", "p.toml", "--admin-token-file", file]).run().expect(2).says(&said);
    }
    scratch.write("stop", "");
    worker.wait(PATIENCE).expect(0);
}

/// A namespace whose only address that others could reach is 10.78.0.1; it is gone when this is dropped.
struct Elsewhere(String);

impl Elsewhere {
    fn new() -> Self {
        let name = format!("wta{}", std::process::id());
        let namespace = Self(name);
        let mut script = String::new();
        for step in
            ["ip netns add NS", "ip -n NS link set lo up", "ip -n NS link add out type veth peer name in"]
        {
            writeln!(script, "{step} || exit 1").expect("text");
        }
        script += "ip -n NS address add 10.78.0.1/24 dev out && ip -n NS link set in up && ip -n NS link set out up";
        let done = Command::new("sh").args(["-c", &script.replace("NS", &namespace.0)]).output().expect("sh");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said} (needs root, and the Debian package iproute2)");
        namespace
    }

    fn worker<'a>(&self, scratch: &'a Scratch, entries: &str, args: &[&str]) -> Start<'a> {
        let mut start = scratch.program("ip".as_ref());
        start.command.args(["netns", "exec", &self.0]).arg(worker_binary()).args(args);
        start.env("WORKER_RUNTIME_DIR", &scratch.path(entries).to_string_lossy())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "delete", &self.0]).output().ok();
    }
}

#[test]
fn where_others_reach_it_nothing_is_told_without_the_token() {
    let (scratch, elsewhere) = (Scratch::new(), Elsewhere::new());
    scratch.write("p.toml", pipeline(1));
    scratch.write("token", "s3cret-4711\n");
    scratch.write("wrong", "s3cret-4712\n");
    let admin = ["--admin", "10.78.0.1:7480"];
    let run = [&["run", "p.toml", "--progress", "none", "--admin-token-file", "token"][..], &admin].concat();
    elsewhere.worker(&scratch, "run", &run).run().expect(2).says(&["10.78.0.1:7480", "--admin-insecure"]);
    let run = [&run[..], &["--admin-insecure"]].concat();
    let mut worker = elsewhere.worker(&scratch, "run", &run).start();
    worker.wait_for_message("travels in clear", PATIENCE);
    let ask = |args: &[&str]| elsewhere.worker(&scratch, "none", &[&["status"][..], args].concat()).run();
    let with = |file: &str| ask(&[&admin[..], &["--admin-token-file", file]].concat());
    eventually("it answers who has the token", PATIENCE, || match with("token").status.code() {
        Some(0) => Ok(()),
        code => Err(format!("{code:?} {}", worker.stderr())),
    });
    ask(&admin).expect(1).says(&["401"]);
    with("wrong").expect(1).says(&["401"]);
    scratch.write("stop", "");
    worker.wait(PATIENCE).expect(0);
}
