//! Open files: the limit is raised, programs have their own, and a run with too few waits instead of failing.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use worker_tests::process::{Nodes, Running, Scratch, Start, eventually, worker_binary};

const PATIENCE: Duration = Duration::from_secs(60);

/// A worker under limits that a shell sets first.
fn limited<'a>(scratch: &'a Scratch, limits: &str, args: &str) -> Start<'a> {
    let mut start = scratch.program(Path::new("bash"));
    let worker = worker_binary();
    start.command.args(["-c", &format!("{limits} && exec '{}' {args}", worker.display())]);
    start
}

#[test]
fn the_soft_limit_is_raised_and_programs_have_the_one_before() {
    let scratch = Scratch::new();
    scratch.write("in", (0..2000).map(|n| format!("{n}\n")).collect::<String>());
    scratch.write(
        "p.toml",
        "[source.i]\nfile = \"in\"\n[stage.s]\nmode = \"stream\"\npartition_by = \"record\"\npartitions = 40\n\
         run = [\"sh\", \"-c\", \"echo limit $(ulimit -n); cat\"]\n[sink.o]\nfile = \"o\"\n",
    );
    let run = limited(&scratch, "ulimit -Sn 64", "run p.toml --admin none -q").start();
    run.wait(PATIENCE).expect(0);
    let out = scratch.text("o");
    assert_eq!(out.lines().filter(|line| *line == "limit 64").count(), 40, "{out}");
    assert_eq!(out.lines().count(), 2040);
}

#[test]
fn a_run_with_too_few_waits_for_those_it_has_and_says_so_before() {
    for state in ["", " --state st"] {
        let scratch = Scratch::new();
        scratch.write("in", (0..400).map(|n| format!("{n}\n")).collect::<String>());
        scratch.write(
            "p.toml",
            "[source.i]\nfile = \"in\"\n[stage.s]\npartitions = 16\nbatch = { max_records = 20 }\n\
             run = [\"sh\", \"-c\", \"sleep 0.01; cat\"]\n[sink.o]\nfile = \"o\"\n",
        );
        // A journal takes some for itself; what is left is a few programs' in both.
        let limits = if state.is_empty() { "ulimit -n 60" } else { "ulimit -n 66" };
        limited(&scratch, limits, "check p.toml").run().expect(0);
        let args = format!("run p.toml --slots 16 --admin none --progress none{state}");
        let ended = limited(&scratch, limits, &args).start().wait(PATIENCE).expect(0);
        ended.says(&["open files", "cannot start a program", "tried again"]);
        assert_eq!(scratch.text("o").lines().count(), 400);
    }
}

/// Nothing that is open is closed by it; whatever is to be opened is not.
fn allow_no_more(run: &Running<'_>, scratch: &Scratch, files: &str) {
    scratch.shell(&format!("prlimit --pid {} --nofile={files}:", run.pid()));
}

#[test]
fn what_is_read_of_a_pipe_is_kept_as_soon_as_there_are_descriptors() {
    let scratch = Scratch::new();
    scratch.write("p.toml", "[source.i]\nstdin = true\n[sink.o]\nfile = \"o\"\n");
    let text = &"0123456789abcde\n".repeat(1 << 20);
    // At its start, and when it is begun anew.
    for (passage, says) in
        [("spool.create", &["cannot keep what is read for now"][..]), ("spool.create.before:2", &[])]
    {
        scratch.shell("rm -rf o st");
        let mut run = scratch
            .worker(&["run", "p.toml", "--state", "st", "--admin", "none", "--progress", "none"])
            .env("WORKER_FAULT", &format!("{passage}=emfile"))
            .stdin(Stdio::piped())
            .start();
        let mut input = run.take_stdin().expect("its input");
        std::thread::scope(|scope| {
            // A pipe that breaks is told by how the run ends.
            scope.spawn(move || input.write_all(text.as_bytes()).map(|()| drop(input)).ok());
            run.wait(PATIENCE).expect(0).says(says);
        });
        assert!(scratch.text("o") == *text, "{passage}: {} bytes", scratch.len("o"));
    }
}

#[test]
fn a_named_pipe_that_is_a_sink_is_opened_when_there_are_descriptors_again() {
    let scratch = Scratch::new();
    scratch.shell("mkfifo o");
    scratch.write("p.toml", "[source.i]\nstdin = true\n[sink.o]\nfile = \"o\"\n");
    let mut run = scratch
        .worker(&["run", "p.toml", "--admin", "none", "--progress", "none"])
        .stdin(Stdio::piped())
        .start();
    let mut input = run.take_stdin().expect("its input");
    let threads = || scratch.shell(&format!("cat /proc/{}/task/*/comm", run.pid()));
    eventually("it runs", PATIENCE, || match String::from_utf8_lossy(&threads()).contains("o/0") {
        true => Ok(()),
        false => Err("not yet".to_owned()),
    });
    let reader = std::process::Command::new("cat").arg(scratch.path("o")).stdout(Stdio::piped()).spawn();
    allow_no_more(&run, &scratch, "4");
    input.write_all(b"first\n").expect("it reads");
    run.wait_for_message("cannot open a pipe for now", PATIENCE);
    allow_no_more(&run, &scratch, "1024");
    drop(input);
    run.wait(PATIENCE).expect(0);
    let read = reader.expect("cat").wait_with_output().expect("it ends");
    assert_eq!(read.stdout, b"first\n");
}

/// What is kept of the receivers of its records, and in the end that they have everything.
#[test]
fn what_is_known_of_other_nodes_is_kept_as_soon_as_there_are_descriptors() {
    let scratch = Scratch::new();
    scratch.write("in", (0..1000).map(|n| format!("{n}\n")).collect::<String>());
    let pipeline = "[source.i]\nfile = \"in\"\nplace = \"a\"\n[sink.o]\nfile = \"o\"\nplace = \"b\"\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let with_state = |name: &str| {
        let mut start = nodes.node(name);
        let state = format!("state-{name}");
        start.command.args(["--state", &state, "--admin", "none", "--progress", "none"]);
        start
    };
    let b = with_state("b").start();
    let a = with_state("a").env("WORKER_FAULT", "peers.open=emfile").start();
    a.wait(PATIENCE).expect(0).says(&["cannot write a file of the state for now"]);
    b.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("o").lines().count(), 1000);
    let kept = scratch.text("state-a/a/peers.json");
    assert!(kept.contains("\"finished\":true"), "{kept}");
}
