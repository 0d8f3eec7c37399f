//! Pipeline files that are wrong, and inputs and outputs that cannot be used: exit status 2 before anything is read.

use crate::with_stage;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use worker_tests::process::{Scratch, worker_binary};

fn source_and_sinks(text: &str) -> String {
    format!("[source.in]\nfile = 'in'\n{text}")
}

/// What is wrong, the file, and what is said about it.
fn wrong_files() -> Vec<(&'static str, String, &'static [&'static str])> {
    let wide = "[source.in]\nfile = 'in'\n[stage.a]\nrun = 'cat'\npartitions = 200\n[stage.b]\nrun = 'cat'\npartitions = 100\n\
                partition_by = 'record'\n[sink.out]\nstdout = true\n";
    let cycle = "[source.in]\nfile = 'in'\n[stage.a]\nfrom = ['in', 'b']\nrun = 'cat'\n[stage.b]\nfrom = 'a'\nrun = 'cat'\n\
                 [sink.out]\nfrom = 'b'\nstdout = true\n";
    vec![
        (
            "unknown key",
            with_stage("run = 'cat'\npartitons = 4"),
            &["pipeline.toml:6", "partitons", "`partitions`", "^"],
        ),
        (
            "wrong type",
            with_stage("run = 'cat'\npartitions = 'four'"),
            &["pipeline.toml:6", "partitions", "^"],
        ),
        ("syntax", "[source.in\nfile = 'in'\n".into(), &["pipeline.toml:1", "^"]),
        ("shell characters", with_stage("run = \"grep a | sort\""), &["pipeline.toml:5", "|", "shell"]),
        ("cycle", cycle.into(), &["pipeline.toml", "circle", "a → b → a"]),
        (
            "name used twice",
            "[source.x]\nfile = 'in'\n[stage.x]\nrun = 'cat'\n[sink.out]\nstdout = true\n".into(),
            &["pipeline.toml:3", "`x`"],
        ),
        ("no source", "[stage.a]\nrun = 'cat'\n[sink.out]\nfrom = 'a'\nstdout = true\n".into(), &["source"]),
        ("no sink", source_and_sinks(""), &["sink"]),
        ("empty", String::new(), &["source"]),
        ("zero partitions", with_stage("run = 'cat'\npartitions = 0"), &["pipeline.toml:6", "partitions"]),
        (
            "too many partitions",
            with_stage("run = 'cat'\npartitions = 100000"),
            &["pipeline.toml:6", "partitions"],
        ),
        ("too many links", wide.into(), &["pipeline.toml", "links", "partitions"]),
        (
            "two sinks on one path",
            source_and_sinks("[sink.a]\nfrom = 'in'\nfile = 'x'\n[sink.b]\nfrom = 'in'\nfile = './d/../x'\n"),
            &["pipeline.toml:8", "`a`", "`b`", "one path"],
        ),
        ("a sink on a source", source_and_sinks("[sink.a]\nfile = 'in'\n"), &["pipeline.toml:4", "reads"]),
        (
            "records that fit no frame",
            format!("[pipeline]\nmax_record = '9MiB'\ncredit = '16MiB'\n{}", with_stage("run = 'cat'")),
            &["pipeline.toml:2", "max_record"],
        ),
        (
            "credit below a record",
            format!("[pipeline]\nmax_record = '4MiB'\ncredit = '1MiB'\n{}", with_stage("run = 'cat'")),
            &["pipeline.toml:3", "credit"],
        ),
        (
            "undefined variable",
            with_stage("run = ['grep', '{{what}}']"),
            &["pipeline.toml:5", "`what`", "--set"],
        ),
        (
            "later version",
            with_stage("run = 'cat'\nshared = true"),
            &["pipeline.toml:6", "shared", "not in this version"],
        ),
    ]
}

#[test]
fn wrong_pipeline_files_are_refused_with_place_and_advice() {
    for (what, pipeline, says) in wrong_files() {
        let scratch = Scratch::new();
        scratch.write("in", "1\n");
        for command in ["run", "check"] {
            scratch.write("pipeline.toml", &pipeline);
            let finished = scratch.worker(&[command, "pipeline.toml"]).run();
            assert!(finished.stdout.is_empty(), "{what}: nothing but data goes to standard output");
            let finished = finished.expect(2).says(&["error"]);
            for text in says {
                assert!(
                    finished.stderr.contains(text),
                    "{what}: {text:?} is missing in: {}",
                    finished.stderr
                );
            }
        }
    }
}

#[test]
fn pipeline_files_that_cannot_be_read_are_named() {
    let scratch = Scratch::new();
    scratch.worker(&["run", "nowhere.toml"]).run().expect(2).says(&["nowhere.toml", "No such file"]);
    scratch.write("latin.toml", b"[source.in]\nfile = '\xe4'\n");
    scratch.worker(&["run", "latin.toml"]).run().expect(2).says(&["latin.toml", "UTF-8"]);
    std::fs::create_dir(scratch.path("dir.toml")).expect("a directory");
    scratch.worker(&["run", "dir.toml"]).run().expect(2).says(&["dir.toml", "directory"]);
}

/// Before anything of them is understood: a device that never ends, and somebody's data.
#[test]
fn files_that_are_too_large_to_be_pipelines_are_refused_at_once() {
    let scratch = Scratch::new();
    scratch.shell("yes 'a = 1' | head -c 5000000 > large.toml");
    scratch.write("pipeline.toml", with_stage("run = 'cat'"));
    let of_cluster = ["check", "pipeline.toml", "--name", "a", "--cluster"];
    for file in ["/dev/zero", "large.toml"] {
        for command in [&["check"][..], &["run"], &["fmt", "--check"], &of_cluster] {
            if file == "/dev/zero" && command[0] == "fmt" {
                continue;
            }
            let started = Instant::now();
            let finished = scratch.worker(&[command, &[file]].concat()).run().expect(2);
            finished.says(&[file, "has more than 4.0 MiB"]);
            assert!(started.elapsed() < Duration::from_secs(10), "{command:?} {file}");
        }
    }
}

#[test]
fn of_many_mistakes_the_first_are_shown_and_the_others_counted() {
    let scratch = Scratch::new();
    let unknown: String = (0..16_000).map(|n| format!("wrong_{n} = 1\n")).collect();
    let mistyped: String = (0..16_000).map(|n| format!("[source.s{n}]\nfile = {n}\n")).collect();
    let nonsense = "10.0.0.1 - - GET / 200\n".repeat(16_000);
    for (what, text, least) in [
        ("unknown keys", with_stage("run = 'cat'") + &unknown, 15_980),
        ("wrong types", mistyped, 15_980),
        ("no TOML", nonsense, 1),
    ] {
        scratch.write("pipeline.toml", text);
        let started = Instant::now();
        let finished = scratch.worker(&["check", "pipeline.toml"]).run().expect(2);
        assert!(started.elapsed() < Duration::from_secs(20), "{what}: {:?}", started.elapsed());
        let shown = finished.stderr.lines().filter(|line| line.starts_with("error")).count();
        let more = finished
            .stderr
            .lines()
            .find_map(|line| line.strip_suffix(" more errors are not shown; mend these first"));
        let more: Option<u32> = more.and_then(|more| more.replace(['\u{202f}', ' '], "").parse().ok());
        assert!(shown == 20 && more >= Some(least), "{what}: {shown} shown, {more:?} more");
    }
}

#[test]
fn one_bracket_that_is_missing_is_one_mistake() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", "[source.in]\nfile = ['a', 'b'\n\n[stage.a]\nrun = ['cat']\nok_exit = [0, 1]\n[sink.o]\nstdout = true\n");
    let finished = scratch.worker(&["check", "pipeline.toml"]).run().expect(2);
    assert_eq!(finished.stderr.matches("error").count(), 1, "{}", finished.stderr);
    finished.says(&["pipeline.toml:2:8", "a `[` is not closed"]);
}

#[test]
fn what_is_missing_is_said_before_how_to_use_it() {
    let scratch = Scratch::new();
    for (args, missing) in [
        (&[][..], "requires a subcommand"),
        (&["run"], "there is no pipeline"),
        (&["run", "--state", "s"], "there is no pipeline"),
        (&["dlq"], "requires a subcommand"),
        (&["journal"], "requires a subcommand"),
        (&["check"], "<FILE>"),
        (&["fmt"], "<FILE>"),
        (&["dlq", "list"], "<FILE"),
        (&["completions"], "error"),
    ] {
        let finished = scratch.worker(args).run().expect(2);
        let err = &finished.stderr;
        assert!(err.starts_with("error: ") && err.contains(missing), "{args:?}: {err}");
        assert!(err.lines().count() < 14 && err.contains("Usage: worker"), "{args:?}: {err}");
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", with_stage("run = 'cat'"));
    let cases: [&[&str]; 9] = [
        &["run", "-s", "cat", "--print-toml", "--report", "r.html"],
        &["run", "-s", "cat", "--print-toml", "--chaos", "1"],
        &["run", "pipeline.toml", "--print-toml", "--limit", "9"],
        &[],
        &["walk"],
        &["run"],
        &["run", "pipeline.toml", "--limit", "0"],
        &["run", "pipeline.toml", "--set", "what=1"],
        &["run", "pipeline.toml", "--to", "wrok"],
    ];
    for args in cases {
        let finished = scratch.worker(args).run().expect(2);
        assert!(!finished.stderr.is_empty() && finished.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let scratch = Scratch::new();
    let read = |file: &str| format!("[source.in]\nfile = '{file}'\n[sink.out]\nstdout = true\n");
    scratch.run(&read("none-*.log")).expect(2).says(&["source in", "none-*.log", "match"]);
    scratch.run(&read("none.log")).expect(2).says(&["source in", "none.log"]);
    std::fs::create_dir(scratch.path("folder")).expect("a directory");
    scratch.run(&read("folder")).expect(2).says(&["source in", "folder", "directory"]);
    scratch.shell("seq 100000 | gzip | head -c 3000 > broken.gz");
    scratch.run(&read("broken.gz")).expect(1).says(&["in/0", "broken.gz"]);
}

#[test]
fn a_file_of_somebody_else_is_an_error_before_anything_is_read() {
    let scratch = Scratch::new();
    let open = |path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .expect("permissions can be set");
    };
    open(scratch.write("secret", "1\n"), 0o000);
    open(scratch.dir().to_owned(), 0o755);
    let pipeline = "[source.in]\nfile = 'secret'\n[sink.out]\nstdout = true\n";
    open(scratch.write("pipeline.toml", pipeline), 0o644);
    let binary = scratch.path("worker");
    // By another process: what is open for writing here, other tests' children inherit for a moment, and it cannot be run.
    scratch.shell(&format!("cp {} {}", worker_binary().display(), binary.display()));
    // Root may read everything.
    let start = if rustix::process::geteuid().is_root() {
        let mut start = scratch.program("setpriv".as_ref());
        start.command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
        start.command.args(["run", "pipeline.toml"]);
        start
    } else {
        scratch.worker(&["run", "pipeline.toml"])
    };
    start.run().expect(2).says(&["source in", "secret", "Permission denied"]);
}

#[test]
fn outputs_that_cannot_be_written_are_named_and_nothing_is_overwritten() {
    let scratch = Scratch::new();
    let write = |file: &str| format!("[source.in]\nrun = ['seq', '3']\n[sink.out]\nfile = '{file}'\n");
    scratch.write("there.txt", "precious\n");
    scratch.run(&write("there.txt")).expect(2).says(&["sink out", "there.txt", "replace"]);
    assert_eq!(scratch.read("there.txt"), b"precious\n");
    scratch.run(&write("there.txt/below")).expect(2).says(&["sink out", "there.txt"]);
    scratch.run(&write("/proc/no/such")).expect(2).says(&["sink out", "/proc/no"]);
    std::fs::create_dir(scratch.path("folder")).expect("a directory");
    scratch.run(&write("folder")).expect(2).says(&["sink out", "folder"]);
    let replaced = write("there.txt") + "exists = 'replace'\n";
    scratch.run(&replaced).expect(0);
    assert_eq!(scratch.read("there.txt"), b"1\n2\n3\n");
}

#[test]
fn two_sinks_on_one_file_by_another_name_are_refused() {
    let scratch = Scratch::new();
    scratch.shell("touch real; ln -s real link");
    let finished = scratch.run(
        "[source.in]\nrun = ['seq', '3']\n[sink.a]\nfrom = 'in'\nfile = 'real'\nexists = 'replace'\n\
         [sink.b]\nfrom = 'in'\nfile = 'link'\nexists = 'replace'\n",
    );
    finished.expect(2).says(&["sink", "link"]);
}

#[test]
fn a_temporary_directory_that_cannot_be_used_is_named() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    let finished = scratch.run_with(&with_stage("run = 'cat'"), &["--spill-dir", "file/below"]);
    assert!([Some(1), Some(2)].contains(&finished.status.code()), "{}", finished.status);
    finished.says(&["error", "file/below"]);
}

/// What cat(1) calls "input file is output file", whatever name each has it by.
#[test]
fn no_sink_writes_what_a_source_reads() {
    let scratch = Scratch::new();
    let ends = |source: &str, sink: &str| format!("[source.in]\n{source}\n[sink.out]\n{sink}\n");
    let refused = |pipeline: &str, with: &[&str], redirected: &str| {
        scratch.shell("rm -rf state");
        scratch.write("in.txt", "1\n2\n");
        scratch.write("pipeline.toml", pipeline);
        let worker = worker_binary().display();
        let command = format!("{worker} run pipeline.toml {} {redirected} 2> said; echo $?", with.join(" "));
        let status = String::from_utf8(scratch.shell(&command)).expect("text");
        assert_eq!(status, "2\n", "{pipeline} {redirected}: {}", scratch.text("said"));
        for part in ["sink out would write ", "in.txt, which source in reads"] {
            assert!(scratch.text("said").contains(part), "{}", scratch.text("said"));
        }
        assert_eq!(scratch.text("in.txt"), "1\n2\n", "{pipeline} {redirected}");
    };
    scratch.shell("ln -s in.txt other");
    for state in [&[][..], &["--state", "state"]] {
        for exists in ["append", "replace"] {
            let sink = format!("file = 'other'\nexists = '{exists}'");
            refused(&ends("stdin = true", &sink), state, "< in.txt");
        }
        refused(&ends("file = 'in.txt'", "stdout = true"), state, ">> in.txt");
        refused(&ends("stdin = true", "stdout = true"), state, "< other >> in.txt");
    }
    scratch.shell("mkfifo pipe; ln -s pipe same");
    scratch.write("pipeline.toml", ends("file = 'pipe'", "file = 'same'"));
    let worker = worker_binary().display();
    let said = scratch.shell(&format!("timeout 20 {worker} run pipeline.toml 2>&1; echo $?"));
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("pipe, which source in reads") && said.ends_with("\n2\n"), "{said}");
}

/// A terminal, a device or a socket may be both ends.
#[test]
fn what_is_no_file_may_be_both_ends() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", "[source.in]\nstdin = true\n[sink.out]\nstdout = true\n");
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").expect("the device");
    scratch.worker(&["run", "pipeline.toml"]).stdin(null()).stdout(null()).run().expect(0);
}
