//! Stream programs with a journal: run again after a crash, compared with what they printed before, and given up where that
//! cannot be made good.

use std::time::Duration;
use worker_tests::process::Scratch;

/// `in.txt` through a program that a test writes as `program.sh`, into `out.txt`.
fn pipeline(more: &str) -> String {
    format!(
        "[pipeline]\nname = 'again'\ndelivery = 'exactly-once'\n[source.lines]\nfile = 'in.txt'\n\
         [stage.program]\nmode = 'stream'\nrun = ['sh', 'program.sh']\n{more}\n[sink.out]\nfile = 'out.txt'\n"
    )
}

fn numbers(scratch: &Scratch, count: u64) {
    let lines: String = (1..=count).map(|n| format!("{n}\n")).collect();
    scratch.write("in.txt", lines);
}

/// So many lines that a program which stops reading leaves its standard input open: what it prints is committed at once.
const MORE_THAN_FITS: u64 = 700_000;

/// Passes lines on; dies once, at line 5000, when everything before it was given on and some of that is committed.
const DIES_ONCE: &str = "awk '{print; fflush()} NR == 5000 && system(\"test -e died\") {\n\
    while (system(\"test -s out.txt\")) system(\"sleep 0.05\"); system(\"touch died; kill -9 $PPID\")}'";

#[test]
fn a_program_that_dies_is_run_again_and_prints_nothing_twice() {
    let scratch = Scratch::new();
    numbers(&scratch, MORE_THAN_FITS);
    scratch.write("program.sh", DIES_ONCE);
    scratch.run(&pipeline("")).expect(0).says(&[
        "stage=\"program\" partition=\"0\"",
        "137",
        "run again over the same input",
    ]);
    assert!(scratch.path("died").exists(), "the program was to die");
    assert_eq!(scratch.text("out.txt"), scratch.text("in.txt"));
}

#[test]
fn a_program_that_dies_again_halts() {
    let scratch = Scratch::new();
    numbers(&scratch, 100);
    scratch.write("program.sh", "echo run >> runs; cat > /dev/null; exit 7");
    scratch.run(&pipeline("")).expect(1).says(&["program/0", "status 7", "second time"]);
    assert_eq!(scratch.text("runs").lines().count(), 2, "one run, and one again");
}

#[test]
fn output_after_the_end_of_input_may_differ_from_run_to_run() {
    let scratch = Scratch::new();
    numbers(&scratch, 1000);
    // Says who it is at the end only, and dies in the first run when it has read everything.
    scratch.write(
        "program.sh",
        "awk '{n++} END {print n, \"lines\"; print PROCINFO[\"pid\"]}'; date +%N; \
         if test ! -e died; then touch died; kill -9 $$; fi",
    );
    scratch.run(&pipeline("")).expect(0);
    let out = scratch.text("out.txt");
    assert_eq!(
        out.lines().filter(|line| line.ends_with(" lines")).collect::<Vec<_>>(),
        ["1000 lines"],
        "{out}"
    );
}

#[test]
fn a_program_that_prints_something_else_stops_the_task_and_both_are_shown() {
    let scratch = Scratch::new();
    numbers(&scratch, MORE_THAN_FITS);
    scratch.write(
        "program.sh",
        "if test -e died; then sed 's/^17$/another/'; else awk '{print; fflush()} NR == 5000 {\n\
         while (system(\"test -s out.txt\")) system(\"sleep 0.05\"); system(\"touch died; kill -9 $PPID\")}'; fi",
    );
    let finished = scratch.run(&pipeline("")).expect(1);
    finished.says(&["program/0", "something else", "`another`", "`17`", "deterministic", "--fresh"]);
    let out = scratch.text("out.txt");
    assert!(scratch.text("in.txt").starts_with(&out), "what is in the sink is what was committed");
}

#[test]
fn a_program_that_prints_less_the_second_time_stops_the_task() {
    let scratch = Scratch::new();
    numbers(&scratch, MORE_THAN_FITS);
    scratch.write(
        "program.sh",
        "if test -e died; then cat > /dev/null; else awk '{print; fflush()} NR == 5000 {\n\
         while (system(\"test -s out.txt\")) system(\"sleep 0.05\"); system(\"touch died; kill -9 $PPID\")}'; fi",
    );
    scratch.run(&pipeline("")).expect(1).says(&["program/0", "less than", "--fresh"]);
}

#[test]
fn more_input_than_may_be_kept_halts_and_says_what_to_do() {
    let scratch = Scratch::new();
    numbers(&scratch, 200_000);
    scratch.write("program.sh", "sort");
    let finished = scratch.run(&pipeline("replay_limit = '64KiB'")).expect(1);
    finished.says(&["program/0", "replay_limit", "window"]);
}

#[test]
fn windows_free_what_they_kept() {
    let scratch = Scratch::new();
    numbers(&scratch, 200_000);
    scratch.write("program.sh", "awk '{s += $1} END {print s}'");
    // All input has 1.3 MB; no window has a tenth of it.
    let file = pipeline("replay_limit = '128KiB'\nwindow = { records = 5000 }");
    scratch.start(&file, &[]).wait(Duration::from_secs(120)).expect(0);
    let sums = scratch.shell("awk '{s += $1} NR % 5000 == 0 {print s; s = 0}' in.txt");
    assert_eq!(scratch.read("out.txt"), sums);
}
