//! Standard error as a person or a service has it: a bar with log lines above it, colours, and nobody who reads.

use rustix::fs::OFlags;
use std::io::Read as _;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::time::Duration;
use worker_tests::process::{Pty, Scratch, eventually};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Warns of failures while it goes on for some draws of the bar.
const WARNS: &str = r#"
[source.gen]
run = ["sh", "-c", "for i in $(seq 1 12); do seq $((i*10)) $((i*10+9)); sleep 0.15; done"]
[stage.fails]
run = ["sh", "-c", "x=$(cat); case \"$x\" in *7*) echo 'no such city' >&2; exit 3;; esac; echo \"$x\""]
retry = { max_attempts = 2, initial = "10ms" }
max_dead = "90%"
[sink.out]
file = "out.txt"
"#;

/// All lines that were on the screen, with what has scrolled off it.
fn lines(written: &[u8]) -> Vec<String> {
    let (rows, columns) = (NonZero::new(500).expect("not 0"), NonZero::new(COLUMNS).expect("not 0"));
    let mut parser = vt100::Parser::new(rows, columns, 0);
    parser.process(written);
    parser.screen().contents().lines().map(str::to_owned).collect()
}

#[test]
fn log_lines_stay_above_the_bar_and_no_frame_of_it_is_left() {
    let scratch = Scratch::new();
    scratch.write("warns.toml", WARNS);
    let pty = Pty::new(ROWS, COLUMNS);
    let run =
        scratch.worker(&["run", "warns.toml", "--admin", "none"]).env("TERM", "xterm").stderr(pty.end());
    run.run().expect(3);
    let bar = |text: &str| text.contains(" read ") && text.contains("/s ");
    let written = pty.wait_for(
        "the end",
        PATIENCE,
        |b| String::from_utf8_lossy(b).into_owned(),
        |s| s.contains("dead letters, with"),
    );
    assert!(bar(&written), "the bar was never drawn: {written}");
    let screen = lines(written.as_bytes());
    let shown = |wanted: &str| screen.iter().filter(|line| line.contains(wanted)).count();
    let warned = written.matches("WARN").count();
    assert!(warned > 0, "{written}");
    assert_eq!(shown("WARN"), warned, "{screen:#?}");
    assert_eq!(screen.iter().filter(|line| bar(line)).count(), 0, "{screen:#?}");
    assert_eq!(screen.iter().filter(|line| line.starts_with("gen: ")).count(), 0, "{screen:#?}");
}

#[test]
fn a_bar_fits_a_narrow_terminal() {
    let scratch = Scratch::new();
    scratch.write("warns.toml", WARNS);
    let pty = Pty::new(ROWS, 30);
    let run = scratch.worker(&["run", "warns.toml", "--admin", "none", "-q", "--progress", "bar"]);
    let run = run.env("TERM", "xterm").stderr(pty.end()).start();
    run.wait(PATIENCE).expect(3);
    let written = String::from_utf8_lossy(&pty.written()).into_owned();
    for frame in written.split("\x1b[J") {
        let longest = frame.split(['\r', '\n']).map(|line| line.chars().count()).max();
        assert!(frame.contains("dead letters") || longest < Some(30), "{frame:?}");
    }
}

#[test]
fn the_bar_shows_how_much_is_through_and_not_how_much_was_read() {
    let scratch = Scratch::new();
    scratch.write("in", "a line of some length\n".repeat(500_000));
    let pty = Pty::new(ROWS, COLUMNS);
    // All of it is read ahead; nothing is through before the gate is opened.
    scratch.shell("mkfifo gate");
    let args = ["run", "--admin", "none", "-i", "in", "-s", "sh -c 'read go < gate; cat'", "-o", "out"];
    let run = scratch.worker(&args).env("TERM", "xterm").stderr(pty.end()).start();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let written = pty.wait_for("ten frames", PATIENCE, text, |s| s.matches(" %").count() >= 10);
    let shown = written.split(" %").filter_map(|frame| frame.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(shown.max(), Some(0), "{written}");
    assert!(written.contains(": 0 done"), "its program has all of it in its hands: {written}");
    run.kill();
}

#[test]
fn records_in_the_hands_of_a_program_are_not_done() {
    let scratch = Scratch::new();
    scratch.shell("seq 200 > in");
    scratch.write(
        "hang.toml",
        "[source.in]\nfile = 'in'\n[stage.hang]\nfrom = 'in'\nrun = ['sleep', '1000']\ntimeout = 'off'\npartitions = 1\n\
         [sink.pipe]\nfrom = 'in'\nrun = ['sh', '-c', 'cat > /dev/null; sleep 1000']\n[sink.out]\nfrom = 'hang'\nfile = 'out'\n",
    );
    let args = ["run", "hang.toml", "--admin", "none", "--progress", "lines"];
    let run = scratch.worker(&args).start();
    let line = eventually("a line of progress", PATIENCE, || {
        let said = run.stderr();
        let line = said.lines().find(|line| line.contains("| hang: ")).map(str::to_owned);
        line.ok_or(said)
    });
    assert!(line.contains("| hang: 0 done") && line.contains(" 0 % done by all stages, "), "{line}");
    assert!(
        line.contains("| pipe: 200 read by its program"),
        "only the program knows what it is done with: {line}"
    );
    run.kill();
}

#[test]
fn a_terminal_that_is_stopped_stops_nothing() {
    let scratch = Scratch::new();
    scratch.write("in", "a line\n".repeat(200_000));
    let pty = Pty::new(ROWS, COLUMNS);
    let args = ["run", "--admin", "none", "-i", "in", "-s", "sh -c 'sleep 0.3; cat'", "-o", "out"];
    let run = scratch.worker(&args).env("TERM", "xterm").stderr(pty.end()).start();
    pty.wait_for("a bar", PATIENCE, |b| String::from_utf8_lossy(b).into_owned(), |s| s.contains(" %"));
    pty.stop();
    run.wait(PATIENCE).expect(0);
    assert_eq!(scratch.len("out"), scratch.len("in"));
    pty.go_on();
}

#[test]
fn a_pipe_that_is_full_stops_nothing_and_tells_later_how_much_it_missed() {
    let scratch = Scratch::new();
    let flood = "import sys\nfor line in sys.stdin: sys.stderr.write('x' * 200 + chr(10)); sys.stderr.flush(); print(line, end='', flush=True)";
    scratch.write("flood.py", flood);
    scratch.write("in", "a line\n".repeat(2_000));
    scratch.write(
        "full.toml",
        "[source.in]\nfile = \"in\"\n[source.wait]\nrun = [\"sh\", \"-c\", \"while [ ! -e done ]; do sleep 0.02; done\"]\n\
         [stage.flood]\nfrom = [\"in\", \"wait\"]\nmode = \"stream\"\nrun = [\"python3\", \"flood.py\"]\n\
         [sink.out]\nfrom = \"flood\"\nfile = \"out\"\n",
    );
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    // Full from the start.
    rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).expect("a pipe");
    while rustix::io::write(&writer, &[b'-'; 512]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, OFlags::empty()).expect("a pipe");
    let run = scratch
        .worker(&["run", "full.toml", "--admin", "none", "--progress", "none", "--log", "debug"])
        .stderr(OwnedFd::from(writer))
        .start();
    eventually("all of the output", PATIENCE, || {
        let (out, all) = (scratch.len("out"), scratch.len("in"));
        if out == all { Ok(()) } else { Err(format!("{out} of {all} bytes")) }
    });
    scratch.write("done", "");
    let told = std::thread::spawn(move || {
        let mut told = Vec::new();
        reader.read_to_end(&mut told).map(|_| String::from_utf8_lossy(&told).into_owned())
    });
    run.wait(PATIENCE).expect(0);
    let told = told.join().expect("a thread that reads").expect("a pipe is read");
    assert!(told.contains("xxxx"), "what the program said is there");
}

#[test]
fn colours_are_for_terminals_that_have_them_and_for_who_wants_them() {
    let scratch = Scratch::new();
    scratch.write("bad.toml", "[source.a]\nfil = \"x\"\n[sink.o]\nstdout = true\n");
    let colored = |env: &[(&str, &str)], args: &[&str]| {
        let pty = Pty::new(ROWS, COLUMNS);
        let mut start = scratch.worker(args).stderr(pty.end());
        for (name, value) in env {
            start = start.env(name, value);
        }
        start.run().expect(2);
        let said = pty.wait_for(
            "an error",
            PATIENCE,
            |b| String::from_utf8_lossy(b).into_owned(),
            |s| s.contains("error"),
        );
        said.contains('\x1b')
    };
    let (check, words): (&[&str], &[&str]) = (&["check", "bad.toml"], &["run", "--no-such-option"]);
    for args in [check, words] {
        assert!(colored(&[("TERM", "xterm")], args), "{args:?}");
        assert!(!colored(&[("TERM", "xterm"), ("NO_COLOR", "1")], args), "{args:?}");
        assert!(!colored(&[("TERM", "dumb")], args), "{args:?}");
        assert!(!colored(&[("TERM", "dumb"), ("CI", "true")], args), "{args:?}");
        let never = [&["--color", "never"], args].concat();
        assert!(!colored(&[("TERM", "xterm")], &never), "{never:?}");
        let always = [&["--color=always"], args].concat();
        assert!(colored(&[("TERM", "dumb"), ("NO_COLOR", "1")], &always), "{always:?}");
    }
    scratch.worker(&["--color", "sometimes", "check", "bad.toml"]).run().expect(2);
}

/// Fails some records with reasons in wide letters and marks, from a file and by a command with such a name.
const WIDE: &str = r#"
[source.gen]
run = ["sh", "-c", "seq 100; while [ ! -e 'でき上がり.txt' ]; do sleep 0.05; done"]
[stage.a_stage_with_quite_a_long_name_that_goes_on]
mode = "records"
from = "gen"
max_dead = "50%"
partitions = 1
run = ["python3", "失敗する.py", "日本語の引数がとても長いので一行には入りません", "e\u0301\u001b[31m"]
[stage.ok]
from = "gen"
run = ["cat"]
partitions = 1
[sink.out]
from = ["a_stage_with_quite_a_long_name_that_goes_on", "ok"]
file = "東京の店の記録がたくさんある長い名前のファイル.txt"
"#;

const FAILS: &str = "import sys, json
for line in sys.stdin:
    asked = json.loads(line)
    if 'id' not in asked: continue
    bad = asked.get('record', '').endswith('7')
    said = {'fail': '東京の🦀はこの記録を受け取れませんでした e\\u0301e\\u0301 \\u001b[31mबहुत लंबा कारण ' + asked['record']} if bad else {'emit': [asked['record']] if 'record' in asked else []}
    print(json.dumps({'id': asked['id']} | said), flush=True)
";

#[test]
fn every_table_fits_the_terminal_and_a_pipe_gets_whole_lines() {
    let scratch = Scratch::new();
    scratch.write("wide.toml", WIDE);
    scratch.write("失敗する.py", FAILS);
    let run = ["run", "wide.toml", "--state", "state", "--progress", "lines"];
    let pty = Pty::new(ROWS, 60);
    let running = scratch.worker(&run).env("TERM", "xterm").stderr(pty.end()).start();
    let status = eventually("all that can be answered is", PATIENCE, || {
        let status = scratch.worker(&["status"]).run();
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        if said.contains("10 dead") && said.contains("90 out") { Ok(said) } else { Err(said) }
    });
    assert!(status.contains("a_stage_with_quite_a_long_name_that_goes_on"), "{status}");
    for (args, seen) in [
        (&["status"][..], "90 out"),
        (&["why"], "limited by"),
        (&["dlq", "list", "wide.toml", "--state", "state"], "東京"),
        (&["check", "wide.toml", "--full"], "日本"),
        (&["status", "--list"], "pid"),
    ] {
        each_fits(&scratch, args, seen);
    }
    let whole = scratch.worker(&["dlq", "list", "--state", "state"]).run().expect(0);
    let whole = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.contains("e\u{301}e\u{301} \\u{1b}[31mबहुत लंबा कारण 7"), "{whole}");
    let whole = scratch.worker(&["check", "wide.toml"]).run();
    let whole = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.contains("ファイル.txt") && whole.contains("\\u{1b}[31m"), "{whole}");
    scratch.write("でき上がり.txt", "");
    running.wait(PATIENCE).expect(3);
    let said = pty.wait_for("the end", PATIENCE, text, |s| s.contains("dead letters, with"));
    let table = said.find("done in").expect("there")..said.find("10 dead letters").expect("there");
    assert!(said[table.clone()].contains("a_stage_"), "{said}");
    for line in said[table].lines() {
        assert!(columns(line) <= 60, "{line:?} of {said}");
    }
}

/// In terminals of many widths no line is wider, and what is to be seen is there.
fn each_fits(scratch: &Scratch, args: &[&str], seen: &str) {
    for (width, is_asked) in [(40, true), (40, false), (60, false), (80, true), (120, false), (200, true)] {
        let pty = Pty::new(ROWS, if is_asked { 240 } else { width });
        let mut start = scratch.worker(args).env("TERM", "xterm").stdout(pty.end());
        if is_asked {
            start = start.env("COLUMNS", &width.to_string());
        }
        start.run();
        let said = pty.wait_for(seen, PATIENCE, text, |s| s.contains(seen));
        // What is to be copied is not broken.
        let toml = |line: &str| line.contains(" = ") || line.starts_with('[') || line.starts_with("    \"");
        for line in said.lines().filter(|line| !toml(line)) {
            assert!(columns(line) <= usize::from(width), "{width} {args:?}: {line:?}\n{said}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many columns a terminal gives a line.
fn columns(line: &str) -> usize {
    let (rows, wide) = (NonZero::new(4).expect("not 0"), NonZero::new(1000).expect("not 0"));
    let mut parser = vt100::Parser::new(rows, wide, 0);
    parser.process(line.trim_end_matches('\r').as_bytes());
    usize::from(parser.screen().cursor_position().1)
}

/// Asks with a terminal, and answers; gives what was shown and the finished command.
fn asked(scratch: &Scratch, answers: &[(&str, &str)]) -> (String, worker_tests::process::Finished) {
    let mut pty = Pty::new(ROWS, COLUMNS);
    let run = scratch
        .worker(&["init", "asked.toml"])
        .env("TERM", "xterm")
        .stdin(pty.end())
        .stderr(pty.end())
        .start();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut from = 0;
    for (question, answer) in answers {
        let shown = pty
            .wait_for(question, PATIENCE, text, |s| s.get(from..).is_some_and(|new| new.contains(question)));
        from = shown.len();
        pty.type_keys(answer);
    }
    let finished = run.wait(PATIENCE);
    (String::from_utf8_lossy(&pty.written()).into_owned(), finished)
}

#[test]
fn init_asks_on_a_terminal_and_asks_again_what_was_wrong() {
    let scratch = Scratch::new();
    scratch.write("in.log", "b error\na fine\na error\n");
    let answers = [
        ("What is read?", "*.log\r"),
        ("Which program do records go through", "grep 'error\r"),
        ("Which program do records go through", "grep error\r"),
        ("all records in one run", "maybe\r"),
        ("please say y or n", "\r"),
        ("And then through which", "sort\r"),
        ("all records in one run", "y\r"),
        ("And then through which", "\r"),
        ("Where does it go?", "out.txt\r"),
        ("Exactly once", "y\r"),
    ];
    let (shown, finished) = asked(&scratch, &answers);
    finished.expect(0);
    assert!(shown.contains("a quote in `run` is not closed"), "{shown}");
    assert!(shown.contains("next: worker run asked.toml"), "{shown}");
    let file = scratch.text("asked.toml");
    assert!(file.contains("delivery = \"exactly-once\"") && file.contains("ok_exit = [0, 1]"), "{file}");
    scratch.worker(&["run", "asked.toml", "--admin", "none"]).run().expect(0);
    assert_eq!(scratch.text("out.txt"), "a error\nb error\n");
    // It is there now: that is said before anything is asked.
    let (shown, finished) = asked(&scratch, &[]);
    finished.expect(2);
    assert!(shown.contains("asked.toml is there already") && !shown.contains("What is read?"), "{shown}");
}

#[test]
fn a_terminal_that_gives_no_answer_leaves_nothing() {
    let scratch = Scratch::new();
    let (shown, finished) = asked(&scratch, &[("What is read?", "\r"), ("Which program", "\u{4}")]);
    finished.expect(2);
    assert!(shown.contains("nothing was written"), "{shown}");
    assert!(!scratch.path("asked.toml").exists());
}
