//! `--report`: what a real run came to, as JSON and as a page, however it ended.

use rustix::process::Signal;
use std::time::Duration;
use worker_bin::report::{Outcome, Report, ReportStage};
use worker_core::words::number;
use worker_tests::process::{Finished, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(15);

const BOTH: [&str; 4] = ["--report", "r.json", "--report", "r.html"];

const PICKY: &str = r#"
    [pipeline]
    name = "picky"
    [source.numbers]
    run = ["seq", "1", "1000"]
    [stage.picky]
    run = ["awk", "/^(77|500)$/ {print \"cannot do <script>\" $1 > \"/dev/stderr\"; exit 7} /^998$/ {exit 8} {print}"]
    retry = { max_attempts = 2, initial = "1ms", max = "5ms" }
    [sink.out]
    file = "out.txt"
"#;

/// Numbers without end, a few hundred a second.
const ENDLESS: &str = r#"
    [source.endless]
    run = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done"]
    [stage.same]
    run = ["cat"]
    partitions = 1
    [sink.out]
    file = "out.txt"
    exists = "replace"
"#;

fn start<'a>(scratch: &'a Scratch, pipeline: &str, args: &[&str]) -> Running<'a> {
    scratch.write("pipeline.toml", pipeline);
    let start = scratch.worker(&[&["run", "pipeline.toml"], args].concat());
    start.env("WORKER_RUNTIME_DIR", &scratch.path("runtime").display().to_string()).start()
}

fn run(scratch: &Scratch, pipeline: &str, args: &[&str]) -> Finished {
    start(scratch, pipeline, args).wait(Duration::from_secs(30))
}

fn report(scratch: &Scratch) -> Report {
    let text = scratch.text("r.json");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn stage<'a>(report: &'a Report, name: &str) -> &'a ReportStage {
    report.stages.iter().find(|stage| stage.name == name).expect(name)
}

/// Every tag is closed, and nothing is asked of anybody.
fn assert_page(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a page");
    while let Some((_, behind)) = rest.split_once('<') {
        let (tag, behind) = behind.split_once('>').expect("a tag ends");
        rest = behind;
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for outside in ["http://", "https://", "src=", "<script", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn totals_of_several_lives_are_those_of_one() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 20000 > in.txt");
    scratch.write(
        "lives.toml",
        "[pipeline]\nname = 'lives'\n[source.in]\nfile = 'in.txt'\n\
         [stage.slow]\nfrom = 'in'\nrun = ['sh', '-c', 'sleep 0.02; cat']\npartitions = 1\nbatch = { max_records = 400 }\n\
         [stage.keyed]\nfrom = 'slow'\nrun = 'cat'\npartition_by = { field = 1 }\npartitions = 2\n\
         [sink.a]\nfrom = 'slow'\nfile = 'a.txt'\n[sink.b]\nfrom = ['slow', 'keyed']\nfile = 'b.txt'\n\
         [sink.p]\nfrom = 'slow'\nrun = ['sh', '-c', 'cat > /dev/null']\n",
    );
    let args = ["run", "lives.toml", "--state", "state", "--report", "r.json", "--progress", "none"];
    let running = scratch.worker(&args).start();
    eventually("the middle", PATIENCE, || {
        if scratch.len("a.txt") > 20_000 { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    scratch.worker(&args).start().wait(PATIENCE).expect(0);
    let report = report(&scratch);
    for (name, records_in, records_out) in [
        ("in", 20_000, 20_000),
        ("slow", 20_000, 20_000),
        ("keyed", 20_000, 20_000),
        ("a", 20_000, 20_000),
        ("b", 40_000, 40_000),
        ("p", 20_000, 20_000),
    ] {
        let stage = stage(&report, name);
        assert_eq!((stage.records_in, stage.records_out), (records_in, records_out), "{name}");
        assert!(
            stage.in_per_s * report.lasted_s < 0.95 * 20_000.0 || name == "b",
            "{stage:?}: this life has done a part"
        );
    }
}

#[test]
fn totals_and_reasons_are_those_of_the_data() {
    let scratch = Scratch::new();
    scratch.write("r.json", "an old report");
    let finished = run(&scratch, PICKY, &BOTH).expect(3);
    let report = report(&scratch);
    assert_eq!(
        (report.pipeline.as_str(), report.node.as_str(), report.delivery.as_str()),
        ("picky", "local", "memory")
    );
    assert_eq!((report.outcome, report.exit_status, report.why.as_deref()), (Outcome::Done, 3, None));
    let bytes = scratch.shell("seq 1 1000").len() as u64;
    assert_eq!((report.read_bytes, report.dead_records, report.held_records), (bytes, 3, 0));
    let numbers = stage(&report, "numbers");
    assert_eq!((numbers.records_in, numbers.records_out, numbers.bytes_out), (1000, 1000, bytes));
    let picky = stage(&report, "picky");
    assert_eq!((picky.records_in, picky.records_out, picky.dead_records), (1000, 997, 3));
    assert!(picky.programs > 3 && picky.retried_records > 3, "{picky:?}");
    let written = scratch.text("out.txt").lines().count() as u64;
    assert_eq!((stage(&report, "out").records_out, written), (997, 997));
    let reasons: Vec<_> = report.dead.iter().map(|dead| (dead.reason.as_str(), dead.records)).collect();
    assert_eq!(reasons, [("awk exited with status 7", 2), ("awk exited with status 8", 1)]);
    assert!(report.dead[0].example.contains("cannot do <script>"), "{:?}", report.dead[0]);
    assert_eq!(report.dead_letters.as_deref(), Some("picky.dead-letters.jsonl"));
    assert!(report.resident_peak_bytes > 1 << 20 && report.began_ms < report.ended_ms, "{report:?}");
    assert!(
        report.links.iter().all(|link| link.records == link.acknowledged_records && link.held_records == 0)
    );
    assert!(report.tasks.iter().all(|task| task.done), "{:?}", report.tasks);
    assert_eq!(report.tasks.iter().map(|task| task.records_in).sum::<u64>(), 1000 + 1000 + 997);
    let page = scratch.text("r.html");
    assert_page(&page);
    assert!(page.contains("cannot do &lt;script&gt;") && page.contains("1 000"), "{page}");
    assert!(
        finished.stderr.contains("done in ") && finished.stderr.contains("3 dead letters"),
        "{}",
        finished.stderr
    );
    let left = scratch.shell("ls -A | grep -F .tmp || true");
    assert_eq!(String::from_utf8_lossy(&left), "", "nothing unfinished is left behind");
}

#[test]
fn a_run_of_one_stage_ends_in_a_few_lines() {
    let scratch = Scratch::new();
    let finished = run(&scratch, &ENDLESS.replace("while :", "while [ $i -lt 5 ]"), &[]).expect(0);
    let last: Vec<&str> = finished.stderr.lines().skip_while(|line| !line.starts_with("done in ")).collect();
    assert!((4..=5).contains(&last.len()), "{}", finished.stderr);
    assert!(last.iter().all(|line| line.chars().count() <= 100), "{last:?}");
    assert!(last[2].contains("endless") && last[4].contains("out"), "{last:?}");
    for silent in ["--quiet", "--progress=none"] {
        let finished =
            run(&scratch, &ENDLESS.replace("while :", "while [ $i -lt 5 ]"), &[silent, "--report", "r.json"]);
        assert!(!finished.expect(0).stderr.contains("done in"), "{silent}");
        assert_eq!(stage(&report(&scratch), "out").records_out, 5, "the file was asked for");
    }
}

#[test]
fn what_was_read_was_written_or_was_not_done_however_a_run_fails() {
    let batch = "run = ['sh', '-c', 'x=$(cat); case $x in *777*) echo bad >&2; exit 4;; esac; echo \"$x\"']\nbatch = { max_records = 10 }\n";
    let records = r#"mode = "records"
run = ["python3", "-u", "-c", """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request['record'] == '777': sys.exit(4)
    print(json.dumps({"id": request["id"], "emit": [request["record"]]}), flush=True)
"""]
"#;
    let hangs = "run = ['sh', '-c', 'sleep 100']\ntimeout = '100ms'\nbatch = { max_records = 10 }\n";
    for (how, halts) in [(batch, "on_error = 'halt'\n"), (records, "on_error = 'halt'\n"), (hangs, "")] {
        let scratch = Scratch::new();
        let pipeline = format!(
            "[source.n]\nrun = ['seq', '1', '1000']\n[stage.weak]\n{how}{halts}retry = {{ max_attempts = 2, initial = '1ms' }}\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n"
        );
        let finished = run(&scratch, &pipeline, &BOTH).expect(1);
        let report = report(&scratch);
        assert_eq!(report.outcome, Outcome::Failed, "{}", finished.stderr);
        let (read, written) = (stage(&report, "n").records_in, stage(&report, "out").records_out);
        assert!(read > 0 && report.dead_records == 0, "{read}: {}", finished.stderr);
        assert_eq!(read, written + report.held_records, "{how}: {}", finished.stderr);
        assert_eq!(report.lost_records, report.held_records, "nothing is kept in memory");
    }
}

#[test]
fn a_failed_run_says_why_in_its_report() {
    let scratch = Scratch::new();
    let pipeline = "[source.n]\nrun = ['seq', '1', '100000']\n[stage.weak]\nmode = 'stream'\n\
                    run = ['sh', '-c', 'read x; echo it hurts >&2; exit 9']\n[sink.out]\nstdout = true\n";
    run(&scratch, pipeline, &BOTH).expect(1).says(&["failed in ", "it hurts"]);
    let report = report(&scratch);
    assert_eq!((report.outcome, report.exit_status), (Outcome::Failed, 1));
    let why = report.why.expect("a reason");
    assert!(why.contains("weak/0") && why.contains("it hurts"), "{why}");
    let page = scratch.text("r.html");
    assert_page(&page);
    assert!(page.contains("it hurts"));
}

#[test]
fn an_interrupted_run_has_a_report_and_so_has_one_that_was_interrupted_twice() {
    let scratch = Scratch::new();
    let running = start(&scratch, ENDLESS, &BOTH);
    eventually("records come out", PATIENCE, || {
        if scratch.len("out.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
    });
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130).says(&["stopped in "]);
    let first = report(&scratch);
    assert_eq!((first.outcome, first.exit_status, first.signal), (Outcome::Stopped, 130, Some(2)));
    let written = scratch.text("out.txt").lines().count() as u64;
    assert_eq!((stage(&first, "out").records_out, first.held_records), (written, 0));

    let deaf = "[source.n]\nrun = ['yes']\n[stage.deaf]\nmode = 'stream'\nrun = ['sleep', '1001']\n[sink.d]\nrun = ['cat']\n";
    let mut running = start(&scratch, deaf, &BOTH);
    eventually("the program runs", PATIENCE, || {
        let processes = scratch.processes();
        if processes.iter().any(|(_, name)| name.starts_with("sleep")) { Ok(()) } else { Err(String::new()) }
    });
    running.signal(Signal::TERM);
    running.wait_for_message("stopping:", PATIENCE);
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    let second = report(&scratch);
    assert_eq!((second.outcome, second.exit_status, second.signal), (Outcome::Stopped, 143, Some(15)));
    let why = second.why.expect("a reason");
    assert!(
        why.contains(&format!("({} records were still on their way)", number(second.held_records))),
        "{why}"
    );
    assert_page(&scratch.text("r.html"));
}

#[test]
fn a_stall_is_told_with_its_root_and_drawn() {
    let scratch = Scratch::new();
    let args = [&BOTH[..], &["--stall-after", "300ms", "--drain-timeout", "100ms"]].concat();
    let hangs = ENDLESS
        .replace("run = [\"cat\"]\n    partitions = 1", "mode = \"stream\"\n    run = [\"sleep\", \"1000\"]");
    let mut running = start(&scratch, &hangs, &args);
    running.wait_for_message("stall: ", PATIENCE);
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130).says(&["1 stall, of ", "its program hangs"]);
    let report = report(&scratch);
    assert_eq!((report.stall_count, report.stalls.len()), (1, 1));
    let stall = &report.stalls[0];
    assert!(stall.lasted_s >= 0.3 && stall.began_s > 0.0, "{stall:?}");
    assert!(stall.began_s + stall.lasted_s <= report.lasted_s + 0.01, "{stall:?}");
    assert_eq!(
        (stall.root.as_str(), stall.stages.as_slice()),
        ("same/0: child_hung", &["same".to_owned()][..])
    );
    let page = scratch.text("r.html");
    assert_page(&page);
    assert!(page.contains("class=\"band\"") && page.contains("same/0 waits: its program hangs"), "{page}");
}

#[test]
fn a_bad_place_is_refused_before_anything_runs() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "1\n2\n");
    scratch.write("out.txt", "mine");
    let pipeline = "[source.n]\nfile = 'in.txt'\n[stage.position]\nrun = ['sh', '-c', 'touch ran; cat']\n\
                    [sink.out]\nfile = 'out.txt'\nexists = 'replace'\n";
    for (place, said) in [
        ("missing/r.json", "the directory must exist and be writable"),
        ("in.txt/r.json", "the directory must exist"),
        (".", "no regular file"),
        ("/dev/null", "no regular file"),
        ("./out.txt", "written by sink out"),
        ("in.txt", "read by source n"),
        (
            "r.pdf",
            "no report in the form .pdf; name a file that ends in .html for a page, or in .json for JSON",
        ),
    ] {
        let finished = run(&scratch, pipeline, &["--report", "fine.json", "--report", place]).expect(2);
        assert!(
            finished.stderr.contains(said) && finished.stderr.contains(place),
            "{place}: {}",
            finished.stderr
        );
    }
    assert!(!scratch.path("ran").exists() && !scratch.path("fine.json").exists(), "nothing was begun");
    assert_eq!((scratch.text("out.txt"), scratch.text("in.txt")), ("mine".to_owned(), "1\n2\n".to_owned()));
}

#[test]
fn a_report_that_cannot_be_written_at_the_end_changes_nothing_else() {
    let scratch = Scratch::new();
    let pipeline = "[source.n]\nrun = ['sh', '-c', 'rm -r gone; seq 1 10']\n[sink.out]\nfile = 'out.txt'\n";
    scratch.write("gone/x", "");
    let finished = run(&scratch, pipeline, &["--report", "gone/r.json", "--report", "r.json"]).expect(0);
    let finished = finished.says(&["cannot write the report gone/r.json", "done in "]);
    assert_eq!(scratch.text("out.txt").lines().count(), 10);
    assert_eq!(report(&scratch).exit_status, 0, "the other one was written: {}", finished.stderr);
}
