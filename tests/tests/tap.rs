//! `worker tap`: records as they pass a real pipeline.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;
use worker_tests::process::{Finished, Nodes, Running, Scratch, eventually};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source that gives `probe` until the file `go` is there, and then what `then` prints.
fn source(then: &str) -> String {
    format!(
        "[source.in]\nrun = [\"bash\", \"-c\", '''while [ ! -e go ]; do echo probe probe; sleep 0.02; done; {then}''']\n"
    )
}

trait Tapping {
    fn pipeline(&self, text: &str) -> Running<'_>;
    fn tap(&self, args: &[&str]) -> Running<'_>;
    fn go(&self, taps: &[&Running<'_>]);
}

impl Tapping for Scratch {
    fn pipeline(&self, text: &str) -> Running<'_> {
        self.write("pipeline.toml", text);
        let mut running = self.worker(&["run", "pipeline.toml", "--admin", "127.0.0.1:0"]).start();
        running.wait_for_message("live page and admin API", PATIENCE);
        running
    }

    fn tap(&self, args: &[&str]) -> Running<'_> {
        self.worker(&[&["tap"], args].concat()).start()
    }

    /// Lets the source go on when all of these have seen that it is there.
    fn go(&self, taps: &[&Running<'_>]) {
        for tap in taps {
            eventually("a tap shows something", PATIENCE, || {
                let shown = String::from_utf8_lossy(&tap.stdout()).contains("probe");
                if shown { Ok(()) } else { Err(tap.stderr()) }
            });
        }
        self.write("go", "");
    }
}

/// What was shown, without what came before the source went on.
fn shown(finished: &Finished) -> Vec<String> {
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    text.lines().filter(|line| !line.ends_with("probe")).map(str::to_owned).collect()
}

fn numbers(prefix: &str, to: u32) -> Vec<String> {
    (1..=to).map(|n| format!("{prefix}{n}")).collect()
}

#[test]
fn each_side_of_everything_is_shown_exactly_once_and_to_its_end() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(
        &(source("seq 1 500")
            + "[stage.mark]\nfrom = \"in\"\nrun = [\"sed\", \"s/^/x /\"]\npartitions = 1\n\
               [sink.one]\nfrom = \"mark\"\nfile = \"one.txt\"\n\
               [sink.two]\nfrom = \"mark\"\nfile = \"two.txt\"\n"),
    );
    let read = scratch.tap(&["in"]);
    let taken = scratch.tap(&["mark", "--in"]);
    let given = scratch.tap(&["mark", "--out"]);
    let written = scratch.tap(&["one"]);
    scratch.go(&[&read, &taken, &given, &written]);
    run.wait(PATIENCE).expect(0);
    for (tap, prefix) in [(read, ""), (taken, ""), (given, "x "), (written, "x ")] {
        let finished = tap.wait(PATIENCE).expect(0);
        assert_eq!(shown(&finished), numbers(prefix, 500), "{}", finished.stderr);
    }
}

#[test]
fn a_key_selects_as_routing_does() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(
        "[source.in]\nrun = [\"bash\", \"-c\", '''while [ ! -e go ]; do echo a probe; echo b probe; sleep 0.02; done; \
         for n in 1 2 3 4 5; do echo a $n; echo b $n; done''']\n\
         [stage.count]\nfrom = \"in\"\nmode = \"stream\"\npartition_by = { field = 1 }\npartitions = 2\nrun = [\"cat\"]\n\
         [sink.out]\nfrom = \"count\"\nfile = \"out.txt\"\n",
    );
    let taken = scratch.tap(&["count", "--in", "--key", "b"]);
    let given = scratch.tap(&["in", "--out", "--key", "a"]);
    scratch.go(&[&taken, &given]);
    run.wait(PATIENCE).expect(0);
    assert_eq!(shown(&taken.wait(PATIENCE).expect(0)), ["b 1", "b 2", "b 3", "b 4", "b 5"]);
    assert_eq!(shown(&given.wait(PATIENCE).expect(0)), ["a 1", "a 2", "a 3", "a 4", "a 5"]);
}

#[test]
fn a_limit_ends_it_while_the_run_goes_on() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(&(source("true") + FAST));
    let limited = scratch.tap(&["in", "--limit", "3", "--json"]).wait(PATIENCE).expect(0);
    let lines: Vec<serde_json::Value> =
        limited.stdout.split_inclusive(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(line["record"]["record"], "probe probe");
        assert_eq!(line["record"]["task"], "in/0");
        assert!(line["record"]["node"].is_string());
    }
    scratch.go(&[]);
    run.wait(PATIENCE).expect(0);
}

#[test]
fn what_cannot_be_tapped_says_why() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(
        &(source("true")
            + "[stage.mark]\nfrom = \"in\"\nrun = [\"cat\"]\npartitions = 1\n[sink.out]\nfrom = \"mark\"\nfile = \"o.txt\"\n"),
    );
    for (args, status, text) in [
        (&["marc"][..], 2, "there is no stage marc; did you mean `mark`? (stages there: in, mark, out)"),
        (&["in", "--in"], 1, "source in takes nothing from the pipeline; --out shows what it reads"),
        (&["mark", "--in", "--key", "k"], 1, "mark has no partition_by"),
        (&["mark", "--key", "k"], 1, "no stage behind mark has partition_by"),
    ] {
        scratch.tap(args).wait(PATIENCE).expect(status).says(&[text]);
    }
    scratch.go(&[]);
    run.wait(PATIENCE).expect(0);
    scratch.tap(&["mark"]).wait(PATIENCE).expect(1).says(&["no worker runs here"]);
}

const FAST: &str = "[stage.pass]\nfrom = \"in\"\nrun = [\"cat\"]\npartitions = 2\n[sink.out]\nfrom = \"pass\"\nfile = \"out.txt\"\n";

fn assert_all_there(scratch: &Scratch, records: usize) {
    let text = scratch.text("out.txt");
    let mut lines: Vec<_> = text.lines().filter(|line| !line.ends_with("probe")).collect();
    assert_eq!(lines.len(), records);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), records, "some are there twice");
}

#[test]
fn a_reader_that_never_reads_holds_nothing_up() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(&(source("seq 1 2000000") + FAST));
    let start = |args: &[&str]| scratch.worker(&[&["tap"], args].concat()).stdout(Stdio::piped()).start();
    let mut taps = [start(&["pass", "--in"]), start(&["pass", "--out"]), start(&["in"]), start(&["out"])];
    let mut ends: Vec<_> = taps.iter_mut().map(|tap| tap.take_stdout().expect("a pipe")).collect();
    for end in &mut ends {
        let mut first = [0];
        end.read_exact(&mut first).expect("a probe");
    }
    scratch.go(&[]);
    run.wait(PATIENCE).expect(0);
    assert_all_there(&scratch, 2_000_000);
    drop(ends);
    for tap in taps {
        tap.wait(PATIENCE).expect(0);
    }
}

#[test]
fn a_slow_reader_is_told_what_it_missed() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(
        &(source("seq 1 1500000; while [ ! -e end ]; do echo probe probe; sleep 0.02; done") + FAST),
    );
    let mut tap = scratch.worker(&["tap", "in", "--json"]).stdout(Stdio::piped()).start();
    let end = tap.take_stdout().expect("a pipe");
    let mut lines = BufReader::new(end)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.expect("a line")).expect("JSON"));
    lines.next().expect("a probe");
    scratch.go(&[]);
    eventually("everything has passed", PATIENCE, || {
        let lines = scratch.text("out.txt").lines().filter(|line| !line.ends_with("probe")).count();
        if lines == 1_500_000 { Ok(()) } else { Err(format!("{lines} lines")) }
    });
    let (mut records, mut skipped, mut last) = (0, 0, 0);
    for line in &mut lines {
        let record = line["record"]["record"].as_str();
        match (line["skipped"]["records"].as_u64(), record) {
            (Some(count), _) => skipped += count,
            (None, Some("probe probe")) if skipped > 0 => break,
            (None, Some("probe probe")) => {}
            (None, record) => {
                let number: u64 = record.and_then(|r| r.parse().ok()).expect("a number");
                assert!(number > last, "{number} after {last}");
                (last, records) = (number, records + 1);
            }
        }
    }
    assert!(skipped > 0 && records > 0, "{records} shown, {skipped} skipped");
    assert!(records + skipped >= 1_500_000, "{records} shown, {skipped} skipped");
    scratch.write("end", "");
    lines.for_each(drop);
    run.wait(PATIENCE).expect(0);
    tap.wait(PATIENCE).expect(0).says(&["records passed unseen"]);
    assert_all_there(&scratch, 1_500_000);
}

#[test]
fn a_closed_standard_output_ends_it_even_while_nothing_passes() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(&(source("while [ ! -e end ]; do sleep 0.02; done") + FAST));
    let mut taps: Vec<_> =
        (0..2).map(|_| scratch.worker(&["tap", "in"]).stdout(Stdio::piped()).start()).collect();
    let mut ends: Vec<_> = taps.iter_mut().map(|tap| tap.take_stdout().expect("a pipe")).collect();
    for end in &mut ends {
        end.read_exact(&mut [0]).expect("a probe");
    }
    // The first while records pass, the second while none do.
    drop(ends.remove(0));
    taps.remove(0).wait(PATIENCE).expect(0);
    scratch.go(&[]);
    drop(ends);
    taps.remove(0).wait(PATIENCE).expect(0);
    scratch.write("end", "");
    run.wait(PATIENCE).expect(0);
}

#[test]
fn bytes_that_are_no_text_come_as_they_are() {
    let scratch = Scratch::new();
    let run = scratch.pipeline(&(source(r"printf '\377\001\033[2J\000\n\r\n'") + FAST));
    let (raw, json) = (scratch.tap(&["in"]), scratch.tap(&["in", "--json"]));
    eventually("the second shows something", PATIENCE, || {
        if json.stdout().is_empty() { Err(json.stderr()) } else { Ok(()) }
    });
    scratch.go(&[&raw]);
    run.wait(PATIENCE).expect(0);
    let raw = raw.wait(PATIENCE).expect(0);
    assert!(raw.stdout.ends_with(b"probe\n\xff\x01\x1b[2J\x00\n\r\n"), "{:?}", raw.stdout);
    let json = String::from_utf8(json.wait(PATIENCE).expect(0).stdout).unwrap();
    assert!(json.contains(r#""record_b64":"/wEbWzJKAA==""#), "{json}");
    assert!(json.contains(r#""record":"\r""#), "{json}");
}

#[test]
fn nodes_are_tapped_together_and_one_without_the_stage_is_no_error() {
    let scratch = Scratch::new();
    let text = source("seq 1 400")
        + "place = \"a\"\n[stage.mark]\nfrom = \"in\"\nrun = [\"sed\", \"s/^/x /\"]\npartitions = 2\nplace = [\"b\", \"c\"]\n\
           [sink.out]\nfrom = \"mark\"\nfile = \"out.txt\"\nplace = \"a\"\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], &text);
    let start = |name| {
        let mut node = nodes.node(name);
        node.command.args(["--admin", "127.0.0.1:0"]);
        node.start()
    };
    let mut running: Vec<_> = ["a", "b", "c"].into_iter().map(start).collect();
    for node in &mut running {
        node.wait_for_message("live page and admin API", PATIENCE);
    }
    let all = scratch.tap(&["mark", "--cluster", "cluster.toml", "--json"]);
    eventually("both nodes are seen", PATIENCE, || {
        let text = String::from_utf8_lossy(&all.stdout()).into_owned();
        let both = text.contains(r#""node":"b""#) && text.contains(r#""node":"c""#);
        if both { Ok(()) } else { Err(all.stderr()) }
    });
    let plain = scratch.tap(&["mark"]);
    scratch.go(&[&plain]);
    for node in running {
        node.wait(PATIENCE).expect(0);
    }
    let mut got = shown(&plain.wait(PATIENCE).expect(0));
    got.sort_by_key(|line| line[2..].parse::<u32>().unwrap());
    assert_eq!(got, numbers("x ", 400));
    all.wait(PATIENCE).expect(0);
}
