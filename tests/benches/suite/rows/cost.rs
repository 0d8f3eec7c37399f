//! What a tuple costs in the core: by the number of links, by the number of tuples on their way, and in instructions.

use super::About;
use crate::figure::{Aim, Figure};
use crate::meter::time;
use crate::suite::{Contender, Suite, Work, root};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) const NAME: &str = "cost";

const LINKS: [u64; 4] = [10, 100, 1_000, 10_000];
const UNACKNOWLEDGED: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

pub(super) fn about() -> About {
    About::new(
        "tuples of the core's own bench; no sockets, threads or disks",
        "nanoseconds: processor time of `cargo bench -p worker-core --bench tuples -- run link LINKS TUPLES [UNACKNOWLEDGED]`, 10 tuples a chunk, \
         of a run of twice as many tuples less one of as many. Instructions: the same bench under valgrind, a tuple from the source to its \
         acknowledgement, two cores and the clock between them; what a chunk costs is shared by its tuples: `link-of-single-tuples` has one a \
         chunk, so that it is a whole chunk's way (frames, acknowledgement, timers) that it counts, `links-in-thousands` 10 a chunk as \
         the rows in nanoseconds have, `link-with-journal` and the stages 100, `link-of-large-chunks` 1,000",
        "one link, or 1,000 tuples on their way; for instructions those on record, which CI holds within 5 %",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let program = build();
    let mut figures = Vec::new();
    for links in LINKS {
        // Every link is used some times over: its first touch is no cost of a tuple.
        let tuples = suite.scaled((4_000_000 / links).max(1_000_000)).max(100 * links);
        let limit = Contender::new("1 link", || ns_a_tuple(&program, &["1"], tuples, &[]));
        let run = || ns_a_tuple(&program, &[&links.to_string()], tuples, &[]);
        let aim = (links <= 1_000).then_some(Aim::AtMost(1.2));
        let work =
            Work { row: NAME, work: format!("a tuple over one of {links} links, 10 a chunk"), unit: "ns" };
        figures.extend(work.in_turn(suite.rounds.min(3), limit, vec![Contender::new("core", run).aim(aim)]));
    }
    for unacknowledged in UNACKNOWLEDGED {
        let tuples = suite.scaled(1_000_000) + 1_000;
        let limit = Contender::new("1,000 on their way", || ns_a_tuple(&program, &["1"], tuples, &["1000"]));
        let run = || ns_a_tuple(&program, &["1"], tuples.max(unacknowledged), &[&unacknowledged.to_string()]);
        let work = Work {
            row: NAME,
            work: format!("a tuple where {unacknowledged} are not acknowledged"),
            unit: "ns",
        };
        let contender = Contender::new("core", run).aim(Some(Aim::AtMost(1.2)));
        figures.extend(work.in_turn(suite.rounds.min(3), limit, vec![contender]));
    }
    figures.extend(instructions());
    figures
}

/// Processor time of a run of twice as many tuples less that of the run: what starts and fills it is in both.
fn ns_a_tuple(program: &Path, links: &[&str], tuples: u64, unacknowledged: &[&str]) -> f64 {
    let run = |tuples: u64| {
        let tuples = tuples.to_string();
        let numbers = [links, &[&tuples], unacknowledged].concat();
        time(Command::new(program).args(["run", "link"]).args(numbers)).all.as_secs_f64()
    };
    let (once, twice) = (run(tuples), run(2 * tuples));
    (twice - once) * 1e9 / tuples as f64
}

/// The core's own bench.
fn build() -> PathBuf {
    let output =
        cargo(&["--no-run", "--message-format=json"]).stderr(Stdio::inherit()).output().expect("start cargo");
    assert!(output.status.success(), "the core's bench does not build");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program =
        messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    program.expect("cargo says where the bench is")
}

/// As the guard of CI says them, each against what is on record.
fn instructions() -> Vec<Figure> {
    let output = cargo(&[]).output().expect("start cargo");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures: Vec<Figure> = text.lines().filter_map(instruction).collect();
    if figures.is_empty() {
        let figure = Figure::new(NAME, "instructions a tuple", "core", "instructions");
        return vec![figure.failed(text.trim().to_owned())];
    }
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    figures
}

/// `CASE 1.0 instructions a tuple, 1.0 on record: …`.
fn instruction(line: &str) -> Option<Figure> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [case, count, "instructions", "a", "tuple,", recorded, ..] = words[..] else { return None };
    let (count, recorded): (f64, f64) = (count.parse().ok()?, recorded.parse().ok()?);
    let mut figure = Figure::new(NAME, format!("instructions a tuple: {case}"), "core", "instructions")
        .against("on record")
        .aim(Some(Aim::AtMost(1.05)));
    figure.measured = vec![count.into()];
    figure.limits = vec![recorded.into()];
    Some(figure)
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["bench", "-q", "-p", "worker-core", "--bench", "tuples"]).args(args).current_dir(root());
    cargo
}
