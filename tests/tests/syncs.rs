//! Group commit: what exactly-once costs in syncs follows bytes and time, not records.

use std::fmt::Write as _;
use worker_tests::process::Scratch;

/// Commits and syncs of all journals of a run over so many records, as its log says at its end.
fn costs(scratch: &Scratch, records: u32) -> (u64, u64) {
    let input = (0..records).fold(String::new(), |mut text, n| {
        writeln!(text, "{n:07}").expect("a string takes it");
        text
    });
    let (name, state) = (format!("in-{records}.txt"), format!("state-{records}"));
    let out = format!("out-{records}.txt");
    scratch.write(&name, &input);
    let args = ["run", "-i", &name, "-S", "cat", "-o", &out, "--state", &state, "--log", "worker_bin=debug"];
    let finished = scratch.worker(&args).run();
    let finished = finished.expect(0);
    assert_eq!(scratch.text(&out), input);
    let number = |line: &str, key: &str| -> u64 {
        let (_, text) = line.split_once(key).expect("the line has the number");
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
    };
    let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("commits=")).collect();
    assert_eq!(lines.len(), 3, "a line for each task:\n{}", finished.stderr);
    let sum = |key| lines.iter().map(|line| number(line, key)).sum();
    (sum("commits="), sum("syncs="))
}

/// A sync for each record would be a thousand times as many.
#[test]
fn ten_times_the_records_stay_within_the_same_few_syncs() {
    let scratch = Scratch::new();
    for records in [100_000, 1_000_000] {
        let (commits, syncs) = costs(&scratch, records);
        assert!((1..=1000).contains(&commits), "{records} records: {commits} commits");
        assert!((1..=1000).contains(&syncs), "{records} records: {syncs} syncs");
    }
}
