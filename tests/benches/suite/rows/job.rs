//! The job that a shell pipe does too.

use super::About;
use crate::figure::{Aim, Figure};
use crate::input;
use crate::pipeline::{Delivery, run, shell};
use crate::suite::{Contender, Suite, Work};
use std::path::Path;
use std::process::Command;

pub(super) const NAME: &str = "job";

const PIPELINE: &str = r#"
[source.lines]
file = "lines.txt"

[stage.some]
run = ["grep", "PATTERN"]
mode = "MODE"
ok_exit = [0, 1]

[stage.count]
partition_by = { field = 1, delimiter = "," }
mode = "stream"
partitions = 2
run = ["mawk", "-F,", "{c[$1]++} END{for(k in c) print k, c[k]}"]

[sink.out]
file = "worker.txt"
exists = "replace"
"#;

const COUNT: &str = "mawk -F, '{c[$1]++} END{for(k in c) print k, c[k]}'";

/// What part of the lines grep lets pass, and how it knows them.
const PARTS: [(&str, &str); 3] = [("1/2", "w1"), ("1/40", "w00[0-4]"), ("1/1", "w")];

const MODES: [&str; 2] = ["batch", "stream"];

/// What a shell does instead.
fn pipe(pattern: &str) -> String {
    format!("cat {} | grep '{pattern}' | {COUNT} > pipe.txt", input::LINES)
}

fn parallel(pattern: &str) -> String {
    format!(
        "parallel --will-cite --pipepart -a {} --block 10M \"grep '{pattern}'\" | {COUNT} > parallel.txt",
        input::LINES
    )
}

fn pipeline(pattern: &str, mode: &str) -> String {
    PIPELINE.replace("PATTERN", pattern).replace("MODE", mode)
}

pub(super) fn about() -> About {
    let patterns: Vec<String> = PARTS.iter().map(|(part, pattern)| format!("{part}: `{pattern}`")).collect();
    let (part, pattern) = PARTS[0];
    let runs = format!(
        "`worker run job.toml --quiet` with the file below and a pattern for each part of the lines that pass ({}), exactly once with \
         `--state state`, a directory that is not there before. grep in batches of up to 8 MiB (the default), as many at a time as there \
         are cores, or as one stream; two mawk, each with half of the keys. GNU parallel: `{}`. All results are the same, and are compared",
        patterns.join(", "),
        parallel(pattern)
    );
    let limit = format!("the same programs in a shell's pipe: `{}`", pipe(pattern));
    let by_hand = format!(
        "By hand, for {part} of the lines; the keys are drawn by mawk here, and `job.toml` is:\n\n```toml job.toml{}```\n\n\
         *Not run by a test: it writes 479 MB.*\n\n```sh\nexport LC_ALL=C\n{}\ntime {}\n\
         time worker run job.toml --quiet\ntime worker run job.toml --quiet --state state\n```\n",
        pipeline(pattern, MODES[0]),
        input::BY_HAND,
        pipe(pattern)
    );
    About { by_hand, ..About::new(input::LINES_ARE, runs, limit) }
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    input::lines(suite);
    PARTS.iter().flat_map(|(part, pattern)| compare(suite, part, pattern)).collect()
}

fn compare(suite: &Suite, part: &str, pattern: &str) -> Vec<Figure> {
    let pipe = pipe(pattern);
    let limit = Contender::new("shell pipe", || shell(suite, &pipe));
    let mut others: Vec<Contender> = Vec::new();
    for (who, binary) in &suite.workers {
        for (delivery, mode) in Delivery::BOTH.iter().flat_map(|delivery| MODES.map(|mode| (*delivery, mode)))
        {
            let file = format!("job-{mode}.toml");
            std::fs::write(suite.dir().join(&file), pipeline(pattern, mode))
                .expect("write the pipeline file");
            let run = move || {
                let took = run(binary, suite, &[&file], delivery);
                same(suite.dir(), "worker.txt");
                took
            };
            let who = format!("{who}, {}, grep in {mode} mode", delivery.name());
            others.push(Contender::new(who, run).aim(aim(part, delivery, mode)));
        }
    }
    let has_parallel = is_there("parallel");
    if has_parallel {
        let line = parallel(pattern);
        others.push(Contender::new("GNU parallel", move || {
            let took = shell(suite, &line);
            same(suite.dir(), "parallel.txt");
            took
        }));
    }
    let work = Work { row: NAME, work: format!("{part} of the lines pass"), unit: "s" };
    let mut figures = work.in_turn(suite.rounds, limit, others);
    if !has_parallel {
        figures.push(Figure::new(NAME, work.work, "GNU parallel", "s").failed("not installed"));
    }
    figures
}

fn aim(part: &str, delivery: Delivery, mode: &str) -> Option<Aim> {
    match (part, delivery, mode) {
        ("1/2", Delivery::Memory, "batch") => Some(Aim::AtMost(1.3)),
        ("1/2", Delivery::Memory, _) => Some(Aim::AtMost(1.15)),
        ("1/2", Delivery::ExactlyOnce, _) => Some(Aim::AtMost(1.6)),
        _ => None,
    }
}

pub(super) fn is_there(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program} > /dev/null")])
        .status()
        .is_ok_and(|status| status.success())
}

fn same(dir: &Path, name: &str) {
    assert_eq!(sorted(&dir.join(name)), sorted(&dir.join("pipe.txt")), "the results differ");
}

fn sorted(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("read a result");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
