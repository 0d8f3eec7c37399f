//! A node was away and comes back: how long until what waits for it flows, and at full rate?

use super::About;
use crate::cluster::{self, Alive};
use crate::figure::Figure;
use crate::input;
use crate::suite::Suite;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use worker_tests::spread;

pub(super) const NAME: &str = "back";

const PIPELINE: &str = r#"
[source.lines]
file = "lines.txt"
place = "a"

[sink.out]
stdout = true
place = "b"
"#;

const AWAY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// Rates are those of so long.
const WINDOW: Duration = Duration::from_millis(20);

/// Full is nearly the median of a whole run.
const FULL: f64 = 0.9;

pub(super) fn about() -> About {
    About::new(
        input::LINES_ARE,
        "two nodes: a source on one, a sink on the other, which is started 1 s or 10 s after the first; full is 0.9 of the run's median, looked at \
         each 20 ms; times count from the start of the process",
        "none",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let bytes = input::lines(suite);
    let mut figures = Vec::new();
    for (who, binary) in &suite.workers {
        for away in AWAY {
            let seconds: Vec<[f64; 2]> =
                (0..suite.rounds.min(3)).map(|_| returns(suite, binary, bytes, away)).collect();
            for (at, until) in ["the first record", "its full rate"].iter().enumerate() {
                let work =
                    format!("from the start of a node that was away for {} s to {until}", away.as_secs());
                let mut figure = Figure::new(NAME, work, who, "s");
                figure.measured = seconds.iter().map(|seconds| seconds[at].into()).collect();
                println!("{}", figure.line());
                figures.push(figure);
            }
        }
    }
    figures
}

/// From the start of its process.
fn returns(suite: &Suite, binary: &Path, bytes: u64, away: Duration) -> [f64; 2] {
    cluster::write(suite, &["a", "b"], PIPELINE);
    let _source = Alive::start(cluster::node(binary, suite, "a"));
    std::thread::sleep(away);
    let begun = Instant::now();
    let mut back = Alive::start(cluster::node(binary, suite, "b"));
    let mut output = back.stdout.take().expect("a pipe");
    let mut buffer = vec![0; 1 << 16];
    let (mut came, mut first) = (0, None);
    // How much had come at the end of each window.
    let mut windows: Vec<(Duration, u64)> = Vec::new();
    while came < bytes {
        let count = output.read(&mut buffer).expect("read what comes") as u64;
        assert!(count > 0, "it ended after {came} of {bytes} bytes");
        came += count;
        let now = begun.elapsed();
        first.get_or_insert(now);
        if windows.last().is_none_or(|(last, _)| now > *last + WINDOW) {
            windows.push((now, came));
        }
    }
    let first = first.unwrap_or_default().as_secs_f64();
    let rate =
        |pair: &[(Duration, u64)]| (pair[1].1 - pair[0].1) as f64 / (pair[1].0 - pair[0].0).as_secs_f64();
    let rates: Vec<f64> = windows.windows(2).map(rate).collect();
    if rates.is_empty() {
        return [first, first];
    }
    let (_, usual, _) = spread(rates.iter().copied());
    let full = rates.iter().position(|rate| *rate >= FULL * usual).unwrap_or_default();
    [first, windows[full].0.as_secs_f64()]
}
