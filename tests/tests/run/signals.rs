//! Interrupts, kills and readers that leave: a clean end each time, and nobody left behind.

use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;
use worker_tests::process::{Running, Scratch, eventually, worker_binary};

const PATIENCE: Duration = Duration::from_secs(15);

/// Numbers without end, a few hundred a second.
const ENDLESS: &str = r#"
    [source.endless]
    run = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done"]
    [stage.doubled]
    run = ["awk", "{print; print}"]
    [stage.same]
    mode = "stream"
    run = ["uniq"]
    [sink.out]
    file = "out.txt"
    exists = "replace"
"#;

/// Starts the endless pipeline and waits until data flows through it.
fn flowing<'a>(scratch: &'a Scratch, pipeline: &str) -> Running<'a> {
    let running = scratch.start(pipeline, &["-v"]);
    eventually("data flows", PATIENCE, || {
        // `uniq` prints a block at a time: it is enough that everything stands.
        let names: Vec<String> = scratch.processes().into_iter().map(|(_, command)| command).collect();
        if names.iter().any(|name| name.starts_with("uniq")) { Ok(()) } else { Err(format!("{names:?}")) }
    });
    running
}

#[test]
fn the_first_signal_drains_what_was_accepted() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let scratch = Scratch::new();
        let running = flowing(&scratch, ENDLESS);
        running.signal(signal);
        running.wait(PATIENCE).expect(code);
        let out = scratch.text("out.txt");
        let mut numbers: Vec<usize> = out.lines().map(|line| line.parse().expect("a whole number")).collect();
        numbers.sort_unstable();
        assert!(!numbers.is_empty(), "what was read before the signal came out");
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "nothing is missing or repeated");
    }
}

/// Under nohup it is SIGHUP, and SIGINT in what a script starts in the background.
#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let each = [("HUP", Signal::HUP, 129), ("INT", Signal::INT, 130), ("TERM", Signal::TERM, 143)];
    for (name, signal, _) in each {
        let scratch = Scratch::new();
        let endless = ENDLESS.replace("mode = \"stream\"\n    run = [\"uniq\"]", "run = [\"cat\"]");
        scratch.write("pipeline.toml", endless);
        let worker = worker_tests::process::worker_binary().display().to_string();
        let mut start = scratch.program(std::path::Path::new("sh"));
        start
            .command
            .args(["-c", &format!("trap '' {name}; exec '{worker}' run pipeline.toml --admin none")]);
        let mut running = start.start();
        eventually("data flows", PATIENCE, || {
            if scratch.len("out.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
        });
        running.signal(signal);
        let before = scratch.len("out.txt");
        eventually("data flows on", PATIENCE * 4, || {
            assert!(!running.has_ended(), "{name}: {}", running.stderr());
            if scratch.len("out.txt") > before + 2000 { Ok(()) } else { Err(running.stderr()) }
        });
        assert!(!running.stderr().contains("stopping"), "{name}: {}", running.stderr());
        let (_, other, status) = each.iter().find(|(other, ..)| *other != name).expect("another");
        running.signal(*other);
        running.wait(PATIENCE).expect(*status);
    }
}

#[test]
fn a_limit_on_processor_time_is_a_stop_that_is_said() {
    let scratch = Scratch::new();
    let worker = worker_tests::process::worker_binary().display().to_string();
    scratch.write(
        "pipeline.toml",
        "[source.n]\ngenerate = {}\n[sink.out]\nfile = '/dev/null'\nexists = 'append'\n",
    );
    let mut start = scratch.program(std::path::Path::new("sh"));
    let command = format!("ulimit -S -t 1; exec '{worker}' run pipeline.toml --admin none");
    start.command.args(["-c", &command]);
    start.start().wait(PATIENCE * 4).expect(152).says(&["processor time (ulimit -t)", "stopping:"]);
}

#[test]
fn a_record_that_the_signal_cuts_is_left_out() {
    let scratch = Scratch::new();
    let pipeline = "[source.n]\nrun = ['sh', '-c', 'echo whole; printf part; sleep 1000']\n[sink.out]\nfile = 'out.txt'\n";
    let running = scratch.start(pipeline, &[]);
    eventually("the whole record is out", PATIENCE, || {
        if scratch.read("out.txt") == b"whole\n" { Ok(()) } else { Err(running.stderr()) }
    });
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
    assert_eq!(scratch.read("out.txt"), b"whole\n");
}

#[test]
fn the_second_signal_stops_now() {
    let scratch = Scratch::new();
    let mut running = flowing(
        &scratch,
        "[source.n]\nrun = ['yes']\n[stage.hold]\nfrom = 'n'\nmode = 'stream'\nrun = ['uniq']\n\
         [sink.stuck]\nfrom = 'hold'\nrun = ['sleep', '1000']\n\
         [stage.deaf]\nfrom = 'n'\nmode = 'stream'\nrun = ['sleep', '1001']\n[sink.d]\nfrom = 'deaf'\nrun = ['cat']\n",
    );
    running.signal(Signal::INT);
    // `deaf` makes the drain impossible: the second one has to end it.
    running.wait_for_message("stopping:", PATIENCE);
    running.signal(Signal::INT);
    running.wait(Duration::from_secs(8)).expect(130).says(&["stopped"]);
    scratch.assert_no_process_left();
}

#[test]
fn an_impossible_drain_ends_at_its_timeout() {
    let scratch = Scratch::new();
    let pipeline = "[source.n]\nrun = ['yes']\n[stage.deaf]\nmode = 'stream'\nrun = ['sleep', '1001']\n[sink.d]\nrun = ['cat']\n";
    let running = scratch.start(pipeline, &["--drain-timeout", "500ms"]);
    eventually("the program runs", PATIENCE, || {
        let processes = scratch.processes();
        if processes.iter().any(|(_, name)| name.starts_with("sleep")) { Ok(()) } else { Err(String::new()) }
    });
    running.signal(Signal::TERM);
    running.wait(Duration::from_secs(8)).expect(143).says(&["stopped"]);
}

#[test]
fn nobody_survives_the_killed_worker() {
    let scratch = Scratch::new();
    let running = scratch.start(
        r#"
        [source.s]
        run = ["sh", "-c", "seq 1 100; sleep 2001"]
        [stage.batch]
        from = "s"
        run = ["sh", "-c", "sleep 2002 & (setsid sleep 2003 &) ; cat; wait"]
        timeout = "off"
        [stage.stream]
        from = "s"
        mode = "stream"
        run = ["sh", "-c", "setsid setsid sleep 2004 & cat; sleep 2005"]
        [sink.a]
        from = "batch"
        file = "a.txt"
        [sink.b]
        from = "stream"
        run = ["sh", "-c", "cat >/dev/null; sleep 2006"]
        "#,
        &[],
    );
    eventually("all programs run", PATIENCE, || {
        let processes = scratch.processes();
        let there = |n: u32| processes.iter().any(|(_, name)| name.starts_with(&format!("sleep {n}")));
        if [2001, 2002, 2003, 2004].into_iter().all(there) { Ok(()) } else { Err(format!("{processes:?}")) }
    });
    running.kill();
    scratch.assert_no_process_left();
}

#[test]
fn a_reader_that_leaves_ends_the_run_without_an_error() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", "[source.n]\nrun = ['yes']\n[sink.out]\nstdout = true\n");
    let mut running = scratch.worker(&["run", "pipeline.toml"]).stdout(Stdio::piped()).start();
    let mut reader = BufReader::new(running.take_stdout().expect("a pipe"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    assert_eq!(line, "y\n");
    drop(reader);
    running.wait(PATIENCE).expect(0);
}

#[test]
fn records_come_out_while_standard_input_is_still_open() {
    let scratch = Scratch::new();
    let start = scratch.worker(&["run", "-s", "sed s/^/got:/"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = start.start();
    let (mut stdin, stdout) = (running.take_stdin().expect("a pipe"), running.take_stdout().expect("a pipe"));
    let mut reader = BufReader::new(stdout);
    for record in ["one\n", "two\n"] {
        std::io::Write::write_all(&mut stdin, record.as_bytes()).expect("the worker reads");
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("got:{record}"));
    }
    drop(stdin);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "");
    running.wait(PATIENCE).expect(0);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_a_death() {
    let scratch = Scratch::new();
    scratch.shell("seq 200000 > in.txt");
    let programs = "[source.in]\nfile = 'in.txt'\n[stage.s]\nrun = ['sh', '-c', 'grep -E \"Sig(Ign|Cgt)\" /proc/self/status; cat']\n";
    scratch.write("p.toml", format!("{programs}[sink.out]\nfile = 'out.txt'\nexists = 'replace'\n"));
    for state in ["", "--state state"] {
        let worker = worker_binary().display().to_string();
        let said = scratch.shell(&format!(
            "(ulimit -f 200; {worker} run p.toml --admin none --progress none {state}) 2>&1; echo status $?"
        ));
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("File too large") && said.contains("(ulimit -f, LimitFSIZE)"), "{said}");
        assert!(said.ends_with("status 1\n") || said.ends_with("status 2\n"), "{said}");
    }
    // Programs are not told of it in their own way: the signal does to them what it always does.
    let of_programs = scratch.shell("grep -m 2 Sig out.txt");
    for line in String::from_utf8_lossy(&of_programs).lines() {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap_or(""), 16).expect("a mask");
        assert_eq!(mask & (1 << 24), 0, "{line}");
    }
}
