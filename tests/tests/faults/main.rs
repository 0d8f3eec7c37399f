//! Crashes and disk errors at chosen moments: before and after everything that is done to the files of a pipeline with state.
//! Whatever happens, the same command again comes to the undisturbed result.

mod errors;
mod points;
mod power;
mod strace;

use worker_tests::process::{Finished, Scratch};

/// All kinds of stages, one sink that is continued byte for byte each, and two dead letters; done in a tenth of a second.
const PIPELINE: &str = r#"
    [pipeline]
    name = "faults"
    [source.in]
    file = "in.txt"
    [stage.picky]
    from = "in"
    run = ["awk", "/^(50|120)$/ {exit 7} {print}"]
    partitions = 1
    batch = { max_records = 40 }
    retry = { max_attempts = 1 }
    [stage.running]
    from = "picky"
    mode = "stream"
    window = { records = 77 }
    run = ["awk", "{s += $1; print s; fflush()} END {print \"end\", NR}"]
    [stage.numbered]
    from = "picky"
    mode = "records"
    partition_by = { field = 1, delimiter = "0" }
    partitions = 1
    state = "inline"
    run = ["sh", "count.sh"]
    [sink.sums]
    from = "running"
    file = "sums.txt"
    [sink.numbers]
    from = "numbered"
    file = "numbers.txt"
"#;

/// Finished, with dead letters.
const DONE: i32 = 3;

fn prepare(scratch: &Scratch) {
    scratch.shell("seq 1 200 > in.txt");
    scratch.write("count.sh", include_bytes!("../../../examples/records/count.sh"));
    scratch.write("pipeline.toml", PIPELINE);
}

/// The pipeline, started (again) with its state and this fault.
fn live(scratch: &Scratch, fault: &str) -> Finished {
    let start = scratch.worker(&["run", "pipeline.toml", "--state", "state", "--progress", "none"]);
    let start = if fault.is_empty() { start } else { start.env("WORKER_FAULT", fault) };
    start.run()
}

/// Continues without a fault, and compares.
fn assert_comes_to_its_end(scratch: &Scratch, what: &str) {
    let finished = live(scratch, "");
    assert_eq!(finished.status.code(), Some(DONE), "{what}, then: {}", finished.stderr);
    assert_result(scratch, what);
}

fn assert_result(scratch: &Scratch, what: &str) {
    let good = "grep -Evx '50|120' in.txt";
    let sums = format!(
        "{good} | awk '{{s += $1; print s}} NR % 77 == 0 {{print \"end\", 77; s = 0}} END {{print \"end\", NR % 77}}'"
    );
    let numbers = format!("{good} | awk -F0 '{{print ++n[$1], $1}}'");
    let letters = "printf '50\n120\n'";
    let got_letters = r#"cat state/dead/*.jsonl | grep -o '"record":"[0-9]*"' | cut -d'"' -f4"#;
    for (got, want) in [("cat sums.txt", &*sums), ("cat numbers.txt", &*numbers), (got_letters, letters)] {
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        assert_eq!(shown(&scratch.shell(got)), shown(&scratch.shell(want)), "{what}: {got}");
    }
}
