//! What is said, and when: at the start, at the end, of what was misspelled, and of what to do then.

use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use worker_tests::process::{Running, Scratch, eventually, free_port, worker_binary};

const PATIENCE: Duration = Duration::from_secs(60);

const ENDLESS: &str = "[source.gen]\nrun = [\"sh\", \"-c\", \"while :; do seq 1 100; sleep 0.1; done\"]\n[stage.errors]\n\
                       run = [\"cat\"]\n[sink.o]\nfile = \"o.txt\"\nexists = \"replace\"\n";

/// An endless run that has an admin address, and shows no progress; it flows.
fn endless<'a>(scratch: &'a Scratch, args: &[&str]) -> (Running<'a>, String) {
    let address = format!("127.0.0.1:{}", free_port());
    std::fs::remove_file(scratch.path("o.txt")).ok();
    let args = [&["--admin", &address, "--progress", "none"], args].concat();
    let running = scratch.start(ENDLESS, &args);
    eventually(
        "data flows",
        PATIENCE,
        || {
            if scratch.len("o.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
        },
    );
    (running, address)
}

fn asked(address: &str, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("an admin address");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn advice_after_a_death_is_that_of_the_run_that_died() {
    let scratch = Scratch::new();
    let (running, _) = endless(&scratch, &[]);
    running.kill();
    let why = scratch.worker(&["why"]).run().expect(1).says(&["kept no state", "begins anew"]);
    assert!(!why.stderr.contains("same --state"), "{}", why.stderr);
    let (running, _) = endless(&scratch, &["--state", "st"]);
    running.kill();
    scratch.worker(&["why"]).run().expect(1).says(&["/st it goes on where it was"]);
}

#[test]
fn without_progress_the_address_and_the_end_are_said_and_the_printed_address_is_taken() {
    let scratch = Scratch::new();
    let (running, address) = endless(&scratch, &[]);
    let page = format!("http://{address}/");
    assert!(running.stderr().contains(&page), "{}", running.stderr());
    for form in [page.as_str(), page.trim_end_matches('/'), address.as_str()] {
        scratch.worker(&["why", "--admin", form]).run().expect(0);
        scratch.worker(&["status", "--admin", form]).run().expect(0);
    }
    let cluster = format!("[node.local]\naddress = \"127.0.0.1:1\"\nadmin = \"{page}\"\n");
    scratch.write("c.toml", cluster);
    scratch.worker(&["status", "--cluster", "c.toml"]).run().expect(0);
    scratch.worker(&["why", "--admin", "ftp://127.0.0.1:1/"]).run().expect(2).says(&["expected HOST:PORT"]);
    scratch.worker(&["why", "--admin", "https://127.0.0.1:1/"]).run().expect(1).says(&["--admin-ca"]);
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143).says(&["ended: stopped after"]);
    let (running, _) = endless(&scratch, &["-q"]);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(PATIENCE).expect(143).stderr, "");
}

#[test]
fn another_name_of_the_machine_is_refused_with_the_option_that_allows_it() {
    let scratch = Scratch::new();
    let (running, address) = endless(&scratch, &[]);
    let refused = asked(&address, "/metrics", "a.example:7480");
    assert!(refused.starts_with("HTTP/1.1 421") && refused.contains("--admin-host a.example"), "{refused}");
    running.kill();
    let (running, address) = endless(&scratch, &["--admin-host", "b.example", "--admin-host", "a.example"]);
    assert!(asked(&address, "/livez", "a.example:7480").starts_with("HTTP/1.1 200"));
    assert!(asked(&address, "/livez", "c.example").starts_with("HTTP/1.1 421"));
    running.kill();
}

#[test]
fn a_misspelled_stage_is_status_2_with_the_one_that_is_meant_and_a_paused_one_says_so() {
    let scratch = Scratch::new();
    let (running, _) = endless(&scratch, &[]);
    for order in ["tap", "pause", "resume"] {
        for wrong in ["erors", "ERRORS", "errors/0", "err"] {
            scratch.worker(&[order, wrong]).run().expect(2).says(&["did you mean `errors`?"]);
        }
        for none in ["a b?c", "später", "100%"] {
            scratch
                .worker(&[order, none])
                .run()
                .expect(2)
                .says(&[&format!("there is no stage {none}; stages there: ")]);
        }
    }
    scratch.worker(&["pause", "errors"]).run().expect(0);
    let status = scratch.worker(&["status"]).run().expect(0);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let paused: Vec<&str> = status.lines().filter(|line| line.contains("paused")).collect();
    assert!(matches!(paused.as_slice(), [line] if line.contains("errors")), "{status}");
    for (order, says) in [
        ("pause", "errors is paused already, or has ended: nothing is changed"),
        ("resume", "resumed errors (errors/0, "),
        ("resume", "errors was not paused: nothing is changed"),
    ] {
        let told = scratch.worker(&[order, "errors"]).run().expect(0);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains(says), "{told}");
    }
    running.kill();
}

#[test]
fn a_place_that_will_not_do_is_said_at_the_start_and_nothing_is_left_in_it() {
    let scratch = Scratch::new();
    scratch.write("in", "1\n2\n");
    scratch.write("file", "kept");
    scratch.write("full/mine.txt", "kept");
    scratch.write("full/tasks/mine.txt", "kept");
    let names = |dir: &str| {
        let mut names: Vec<_> = std::fs::read_dir(scratch.path(dir))
            .expect("readable")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        names.sort();
        names
    };
    for link in ["dangling", "linked"] {
        std::os::unix::fs::symlink("real/x", scratch.path(link)).expect("a link");
    }
    let linked = ["run", "-i", "in", "-s", "cat", "--admin", "none", "-q"];
    for place in [["-o", "dangling"], ["--state", "linked"]] {
        let args = [&linked[..], &place].concat();
        scratch.worker(&args).run().expect(2).says(&["is a link to real/x, and nothing is there: make that"]);
    }
    for (option, place) in [
        ("--dead-letters", "file/d.jsonl"),
        ("--dead-letters", "no/such/d.jsonl"),
        ("--dead-letters", "full"),
        ("--report", "file/r.json"),
        ("--spill-dir", "file/below"),
        ("--spill-dir", "no/below"),
        ("--state", "file/below"),
        ("--state", "full"),
    ] {
        let args = ["run", "-i", "in", "-s", "cat", "-o", "o", "--admin", "none", "-q", option, place];
        scratch.worker(&args).run().expect(2).says(&[place.split('/').next().unwrap_or(place)]);
        assert!(!scratch.path("no").exists() && scratch.text("file") == "kept", "{option} {place}");
        assert_eq!(names("full"), ["mine.txt", "tasks"], "{option} {place}");
    }
    let made = ["run", "-i", "in", "-s", "cat", "-o", "o1", "-q", "--admin", "none", "--spill-dir", "spill"];
    scratch.worker(&made).run().expect(0);
    assert!(!scratch.path("spill").exists());
    // Two tasks write it, in no order.
    assert_eq!(scratch.shell("sort o1"), b"1\n2\n");
    scratch
        .worker(&["run", "-i", "in", "-s", "cat", "-o", "o2", "-q", "--state", "full", "--fresh"])
        .run()
        .expect(2);
    assert_eq!(scratch.text("full/tasks/mine.txt"), "kept");
}

#[test]
fn dead_letters_of_a_run_with_state_are_found_by_what_its_entry_says() {
    let scratch = Scratch::new();
    scratch.write("in", "1\n");
    let pipeline = "[source.in]\nfile = \"in\"\n[stage.f]\nrun = [\"false\"]\nretry = { max_attempts = 1 }\n[sink.o]\nfile = \"o\"\n";
    scratch.run_with(pipeline, &["--state", "st", "--admin", "none", "-q"]);
    scratch.worker(&["dlq", "list", "pipeline.toml"]).run().expect(2).says(&["--state", "/st"]);
}

#[test]
fn a_quote_that_is_not_closed_is_the_error() {
    let scratch = Scratch::new();
    for (line, text) in [
        (4, "[source.a]\nfile = \"a.log\"\n[stage.x]\nrun = [\"grep\", \"50]\n[sink.o]\nstdout = true\n"),
        (2, "[source.a]\nfile = 'a.log\n[sink.o]\nstdout = true\n"),
        (
            5,
            "# it's \"fine\n[source.a]\nfile = \"a # b\\\"\"\n[stage.x]\nrun = [\"\"\"x\n\"y\" z\n[sink.o]\nstdout = true\n",
        ),
    ] {
        scratch.write("q.toml", text);
        let ended = scratch.worker(&["check", "q.toml"]).run().expect(2).says(&["a quote is not closed"]);
        assert!(ended.stderr.contains(&format!("q.toml:{line}:")), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
    }
}

/// What a shell says of a worker of which only standard output is of interest: its messages and its status.
fn printed(scratch: &Scratch, args: &str, to: &str) -> String {
    let worker = worker_binary();
    let command = format!("timeout 30 {} {args} {to} 2> said; echo status $?; cat said", worker.display());
    String::from_utf8_lossy(&scratch.shell(&command)).into_owned()
}

#[test]
fn what_could_not_be_printed_is_an_error_and_a_reader_that_leaves_is_none() {
    let scratch = Scratch::new();
    scratch.write("p.toml", ENDLESS);
    let commands = [
        "--help",
        "run --help",
        "--version",
        "schema",
        "check p.toml",
        "check p.toml --full",
        "run p.toml --print-toml",
        "status --list",
        "status --list --json",
    ];
    for args in commands {
        let said = printed(&scratch, args, "> /dev/full");
        assert!(
            said.starts_with("status 1") && said.contains("cannot write to standard output"),
            "{args}: {said}"
        );
        let said = printed(&scratch, args, ">&-");
        assert!(
            !said.starts_with("status 0") && said.contains("standard output is closed"),
            "{args}: {said}"
        );
        let said = printed(&scratch, args, "| true");
        assert!(said.starts_with("status 0") && !said.contains("error"), "{args}: {said}");
    }
    let (_running, address) = endless(&scratch, &[]);
    for args in ["why --watch", "why --watch --json"] {
        let said = printed(&scratch, &format!("{args} --admin {address}"), "| head -n 1 > /dev/null");
        assert_eq!(said, "status 0\n", "{args}");
    }
}

/// What programs keep there is nobody else's to read, and what a worker that was killed has left goes with the next start: by its lock, so
/// that a worker that lives keeps its own, however old.
#[test]
fn temporary_files_are_closed_to_others_and_those_of_the_dead_are_swept() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("tmp")).expect("a directory");
    let tmp = scratch.path("tmp");
    let start = |name: &str| {
        let program = format!(
            "sh -c 'echo x > \"$WORKER_TMPDIR/left\"; dirname \"$WORKER_TMPDIR\" > {name}; exec cat'"
        );
        let pipeline = format!(
            "[pipeline]\nname = '{name}'\n[source.made]\nrun = ['sleep', '600']\n[stage.work]\nmode = 'stream'\nrun = \"\"\"{program}\"\"\"\n[sink.o]\nfile = '{name}.txt'\n"
        );
        scratch.write(
            &format!("{name}.toml"),
            pipeline.replace("'sleep', '600'", "'sh', '-c', 'echo x; exec sleep 600'"),
        );
        let line = ["run", &format!("{name}.toml"), "--admin", "none", "--progress", "none"];
        let running = scratch.worker(&line).env("TMPDIR", &tmp.display().to_string()).start();
        let dir =
            eventually("the program runs", PATIENCE, || match std::fs::read_to_string(scratch.path(name)) {
                Ok(dir) if dir.ends_with('\n') => Ok(dir.trim_end().to_owned()),
                Ok(_) | Err(_) => Err(running.stderr()),
            });
        (running, std::path::PathBuf::from(dir))
    };
    let (living, kept) = start("living");
    let (killed, left) = start("killed");
    assert_eq!(left.metadata().expect("it is there").permissions().mode() & 0o777, 0o700);
    killed.kill();
    assert!(left.is_dir() && kept.is_dir());
    std::fs::create_dir(tmp.join("worker-tmp-of-somebody")).expect("a directory");
    scratch.write("in.txt", "x\n");
    let line = ["run", "--admin", "none", "--progress", "none", "-i", "in.txt", "-s", "cat", "-o", "out.txt"];
    scratch.worker(&line).env("TMPDIR", &tmp.display().to_string()).run().expect(0);
    assert!(!left.exists(), "what the dead has left");
    assert!(kept.is_dir(), "what the living has");
    assert!(tmp.join("worker-tmp-of-somebody").is_dir(), "what no worker has made");
    living.signal(Signal::TERM);
    living.wait(PATIENCE);
    assert!(!kept.exists());
}
