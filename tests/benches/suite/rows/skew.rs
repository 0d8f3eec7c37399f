//! Work that is not even: one part in 50 takes 20 times as long as the others, over 2 and 8 tasks, against GNU parallel.
//!
//! The program waits, as one that asks another machine does, so neither cores nor other work on them count: what is measured is who is
//! given what while a neighbour is slow. The limit is reckoned: each part goes to who is free first.

use super::About;
use super::job::is_there;
use crate::figure::{Figure, Measure};
use crate::pipeline::{Delivery, run, shell};
use crate::suite::{Contender, Suite, Work};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, Read as _, Write as _};
use std::time::Duration;

pub(super) const NAME: &str = "skew";
pub(super) const ROLE: &str = "wait-by-lines";

/// A line, of 100 bytes, is waited for so long.
const LINE: Duration = Duration::from_micros(10);
/// A part: 500 kB, 50 ms.
const PART_LINES: u64 = 5_000;
const PARTS: u64 = 200;
/// The one line in so many parts for which it is waited as long as for so many parts.
const SLOW_ONE_IN: u64 = 50;
const SLOW_PARTS: u64 = 19;

const INPUT: &str = "uneven.txt";

/// Waits for as long as its lines take, and prints them.
pub(super) fn wait(_: &[String]) {
    let (mut lines, mut slow) = (0, 0);
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).expect("read the input");
    for line in text.lines() {
        lines += 1;
        slow += u32::from(line.expect("a line").starts_with("slow"));
    }
    std::thread::sleep(LINE * (lines + slow * lines_of(SLOW_PARTS)));
    std::io::stdout().write_all(&text).expect("print the lines");
}

fn lines_of(parts: u64) -> u32 {
    u32::try_from(parts * PART_LINES).expect("few lines")
}

pub(super) fn about() -> About {
    About::new(
        "200 parts of 5,000 lines of 100 bytes; one part in 50 has a slow line",
        "a program that waits 10 µs a line, 19 parts' time more for the slow line, and prints its input, in batches of up to 8 MiB that start \
         small, on 2 and 8 slots; `parallel --pipepart --block 500000 -j 2` and `-j 8`",
        "reckoned: each part goes to who is free first, and nothing but waiting takes time",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let parts = suite.scaled(PARTS);
    write_input(suite, parts);
    [2, 8].iter().flat_map(|&tasks| compare(suite, tasks, dealt(parts, tasks))).collect()
}

/// Whether the part has a slow line.
fn is_slow(part: u64) -> bool {
    part % SLOW_ONE_IN == SLOW_ONE_IN / 2
}

/// How long it takes when nothing but waiting takes time.
fn dealt(parts: u64, tasks: u32) -> Duration {
    let mut free_at = vec![Duration::ZERO; tasks as usize];
    for part in 0..parts {
        let takes = LINE * lines_of(if is_slow(part) { 1 + SLOW_PARTS } else { 1 });
        if let Some(first) = free_at.iter_mut().min() {
            *first += takes;
        }
    }
    free_at.into_iter().max().unwrap_or_default()
}

fn compare(suite: &Suite, tasks: u32, dealt: Duration) -> Vec<Figure> {
    let this = std::env::current_exe().expect("this program's path").to_string_lossy().into_owned();
    let file = format!("skew-{tasks}.toml");
    std::fs::write(suite.dir().join(&file), pipeline(&this, tasks)).expect("write the pipeline file");
    let limit = Contender::new("each part to who is free", || Measure::from(dealt.as_secs_f64()));
    let mut others: Vec<Contender> = Vec::new();
    for (who, binary) in &suite.workers {
        for delivery in Delivery::BOTH {
            let file = file.clone();
            let run = move || {
                let took = run(binary, suite, &[&file, "--slots", &tasks.to_string()], delivery);
                same(suite, "worker.txt");
                took
            };
            others.push(Contender::new(format!("{who}, {}", delivery.name()), run));
        }
    }
    let parallel = is_there("parallel");
    if parallel {
        let bytes = PART_LINES * 100;
        let line = format!(
            "parallel --will-cite --pipepart -a {INPUT} --block {bytes} -j {tasks} {this} {ROLE} > parallel.txt"
        );
        others.push(Contender::new("GNU parallel", move || {
            let took = shell(suite, &line);
            same(suite, "parallel.txt");
            took
        }));
    }
    let work = Work { row: NAME, work: format!("over {tasks} tasks"), unit: "s" };
    let mut figures = work.in_turn(suite.rounds, limit, others);
    if !parallel {
        figures.push(Figure::new(NAME, work.work, "GNU parallel", "s").failed("not installed"));
    }
    figures
}

fn pipeline(this: &str, tasks: u32) -> String {
    format!(
        r#"
[source.lines]
file = "{INPUT}"

[stage.wait]
run = ["{this}", "{ROLE}"]
partitions = {tasks}

[sink.out]
file = "worker.txt"
exists = "replace"
"#
    )
}

fn write_input(suite: &Suite, parts: u64) {
    let mut text = String::new();
    for line in 0..parts * PART_LINES {
        let slow = is_slow(line / PART_LINES) && line.is_multiple_of(PART_LINES);
        let word = if slow { "slow" } else { "fast" };
        writeln!(text, "{word} {line:012} {}", "x".repeat(81)).expect("a string takes it");
    }
    std::fs::write(suite.dir().join(INPUT), text).expect("write the input");
}

/// Every line has come once, in whatever order.
fn same(suite: &Suite, name: &str) {
    let sum = |name: &str| {
        let text = std::fs::read(suite.dir().join(name)).expect("read a result");
        let hash = |line: &[u8]| {
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            hasher.finish()
        };
        (text.len(), text.split(|&byte| byte == b'\n').map(hash).fold(0, u64::wrapping_add))
    };
    assert_eq!(sum(name), sum(INPUT), "the results differ");
}
