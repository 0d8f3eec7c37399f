//! How long a record takes from standard input to standard output.
//!
//! Open loop: a record is due at its time, however the ones before it fare, and its delay counts from then. The peak is what the same
//! pipeline holds for as long, with the same sender and receiver, without a backlog that grows; that of what it is held against is
//! measured, too. Where a backlog grows all the same, no delays are held against each other: they say how long the run was. Exactly
//! once a record waits for the sync of each journal on its way, one after the other.

mod nodes;

use super::About;
use crate::figure::{Aim, Figure, Measure};
use crate::load::{self, Delays, Load};
use crate::pipeline::{self, Delivery, forget_state};
use crate::suite::Suite;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use worker_tests::spread;

pub(super) const NAME: &str = "latency";

const PYTHON: &str = "import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if 'hello' in m: continue
    a = {'id': m['id']}
    if 'record' in m: a['emit'] = [m['record']]
    print(json.dumps(a), flush=True)
";

const HOP: &str = "
[source.in]
stdin = true

[sink.out]
stdout = true
";

const STAGES: &str = r#"
[source.in]
stdin = true

[stage.first]
mode = "records"
run = ["python3", "pass.py"]

[stage.second]
mode = "records"
run = ["python3", "pass.py"]

[sink.out]
stdout = true
"#;

const SHARES: [f64; 3] = [0.1, 0.5, 0.9];

/// What records go through.
struct Way {
    name: &'static str,
    pipeline: &'static str,
    /// What does the same, at the same rate.
    limit: Option<&'static str>,
}

const WAYS: [Way; 2] = [
    Way { name: "one hop", pipeline: HOP, limit: Some("cat") },
    Way { name: "two `records` stages", pipeline: STAGES, limit: None },
];

pub(super) fn about() -> About {
    About::new(
        "records of 100 bytes on standard input, each due at its time, however those before it fare; 3 s behind a second that is not counted",
        "`worker run latency.toml --quiet`: standard input to standard output (one hop), with two Python programs in `mode = \"records\"` in \
         between (two stages), and from node to node. Peak: the highest rate that is held for those 3 s; first what goes through when as \
         much as is taken is given, then 15 % less until no backlog grows (the last tenth is at most 5 % of the run late). Where a backlog grows \
         in the run all the same there is no ratio: delays say how long the run was then. Exactly once with `--state state`: a record waits for a \
         sync of each journal on its way",
        "one hop: `cat`, at the same rate; between nodes: two processes that pass bytes on over TCP",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    std::fs::write(suite.dir().join("pass.py"), PYTHON).expect("write the program");
    let sync_ms = sync_ms(suite);
    let mut sync = Figure::new(NAME, "one sync of 4 KiB", "the disk", "ms");
    sync.measured = vec![sync_ms.into()];
    println!("{}", sync.line());
    let mut figures = vec![sync];
    for way in &WAYS {
        std::fs::write(suite.dir().join("latency.toml"), way.pipeline).expect("write the pipeline file");
        for delivery in Delivery::BOTH {
            for (who, binary) in &suite.workers {
                figures.extend(at_rates(suite, way, who, binary, delivery, sync_ms));
            }
        }
    }
    figures.extend(nodes::measure(suite));
    figures
}

pub(super) use nodes::{GIVER_ROLE, TAKER_ROLE, giver, taker};

fn at_rates(
    suite: &Suite,
    way: &Way,
    who: &str,
    binary: &Path,
    delivery: Delivery,
    sync_ms: f64,
) -> Vec<Figure> {
    let length = length(suite);
    let start = || pipeline::worker(binary, suite, &["latency.toml"], delivery);
    let forget = || forget_state(suite);
    let peak_of = |start: &dyn Fn() -> Command| {
        let full = |time| forgetting(load::full_rate(start(), time), forget);
        load::peak(length, full, |load| forgetting(load.delays(start()), forget))
    };
    let who = format!("{who}, {}", delivery.name());
    let mut figure = Figure::new(NAME, format!("{}: peak rate, held", way.name), &who, "records/s")
        .against(way.limit.unwrap_or_default());
    for _ in 0..suite.rounds.min(2) {
        let limit = way.limit.map(|program| peak_of(&|| pipeline::command(Path::new(program), suite)));
        figure.limits.extend(limit.map(Measure::from));
        figure.measured.push(peak_of(&start).into());
    }
    println!("{}", figure.line());
    let peak = figure.value().map_or(1.0, |peak| peak.low);
    let mut figures = vec![figure];
    for share in SHARES {
        let load = Load { rate: peak * share, length };
        let work = format!("{} at {:.0} % of the peak", way.name, share * 100.0);
        let aim = (share < 0.2 && way.limit.is_none() && delivery == Delivery::ExactlyOnce)
            .then(|| Aim::AtMost(f64::max(5.0, 10.0 * sync_ms)));
        let mut rounds = Vec::new();
        for _ in 0..suite.rounds.min(3) {
            let limit = way.limit.map(|program| load.delays(pipeline::command(Path::new(program), suite)));
            rounds.push((load.delays(start()), limit));
            forget();
        }
        figures.extend(percentiles(&work, &who, way.limit, aim, &rounds));
    }
    figures
}

/// Behind a run its state is forgotten.
fn forgetting<T>(result: T, forget: impl Fn()) -> T {
    forget();
    result
}

/// Of a run whose delays count.
fn length(suite: &Suite) -> Duration {
    Duration::from_secs_f64((3.0 * suite.size).max(1.0))
}

/// Where in most rounds a backlog grows, delays are no property of who is given the records.
fn backlogged<'a>(who: &str, rounds: impl Iterator<Item = &'a Delays>) -> Option<String> {
    let backlogs: Vec<bool> = rounds.map(|delays| delays.backlog).collect();
    let with = backlogs.iter().filter(|backlog| **backlog).count();
    (2 * with > backlogs.len()).then(|| format!("{who} does not hold this rate"))
}

/// A figure for each.
fn percentiles(
    work: &str,
    who: &str,
    limit: Option<&str>,
    aim: Option<Aim>,
    rounds: &[(Delays, Option<Delays>)],
) -> Vec<Figure> {
    let limits = rounds.iter().filter_map(|(_, limit)| limit.as_ref());
    let incomparable = backlogged("worker", rounds.iter().map(|(ours, _)| ours))
        .or_else(|| backlogged(limit.unwrap_or_default(), limits));
    let figure = |(name, per_mille): (&str, usize)| {
        let of = |delays: &Delays| Measure { value: delays.ms(per_mille), processor: delays.processor };
        let aim = aim.filter(|_| per_mille == 990);
        let mut figure = Figure::new(NAME, format!("{work}: {name}"), who, "ms")
            .against(limit.unwrap_or_default())
            .aim(aim);
        figure.incomparable = incomparable.clone();
        figure.measured = rounds.iter().map(|(ours, _)| of(ours)).collect();
        figure.limits = rounds.iter().filter_map(|(_, limit)| Some(of(limit.as_ref()?))).collect();
        println!("{}", figure.line());
        figure
    };
    [("p50", 500), ("p99", 990), ("p99.9", 999)].into_iter().map(figure).collect()
}

fn sync_ms(suite: &Suite) -> f64 {
    let mut file = File::create(suite.dir().join("sync")).expect("create a file");
    file.set_len(1 << 20).expect("give it a size");
    file.sync_all().expect("sync it");
    let syncs = (0..100).map(|_| {
        file.write_all(&[1; 4096]).expect("write to it");
        let begun = Instant::now();
        file.sync_data().expect("sync it");
        begun.elapsed().as_secs_f64() * 1e3
    });
    spread(syncs).1
}
