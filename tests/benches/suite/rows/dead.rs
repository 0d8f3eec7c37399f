//! Three nodes: a source on one, a sink on each of the others. One of the others is dead: what does the healthy one get?

use super::About;
use crate::cluster::{self, Alive};
use crate::figure::{Aim, Figure};
use crate::input;
use crate::suite::{Contender, Suite, Work};
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

pub(super) const NAME: &str = "dead";

const PIPELINE: &str = r#"
[source.lines]
file = "lines.txt"
place = "a"

[sink.healthy]
from = "lines"
stdout = true
place = "b"

[sink.dead]
from = "lines"
run = ["sh", "-c", "cat > /dev/null"]
place = "c"
"#;

pub(super) fn about() -> About {
    About::new(
        input::LINES_ARE,
        "three nodes: a source on one, a sink on each of two others, one of which is not started; measured at the healthy sink, from its first \
         byte to its last",
        "the same with all three nodes",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let bytes = input::lines(suite);
    let limit = Contender::new("the same with none dead", || rate(suite, suite.worker(), bytes, false));
    let others = suite.workers.iter().map(|(who, binary)| {
        Contender::new(who, move || rate(suite, binary, bytes, true)).aim(Some(Aim::AtLeast(0.98)))
    });
    let work =
        Work { row: NAME, work: "a healthy link beside one whose node is dead".to_owned(), unit: "MB/s" };
    work.in_turn(suite.rounds, limit, others.collect())
}

/// At the healthy sink, from its first byte to its last.
fn rate(suite: &Suite, binary: &Path, bytes: u64, dead: bool) -> f64 {
    cluster::write(suite, &["a", "b", "c"], PIPELINE);
    let start = |name: &str| Alive::start(cluster::node(binary, suite, name));
    let _other = (!dead).then(|| start("c"));
    let mut healthy = start("b");
    let _source = start("a");
    let mut output = healthy.stdout.take().expect("a pipe");
    let mut buffer = vec![0; 1 << 16];
    let mut came = output.read(&mut buffer).expect("read what comes") as u64;
    let (begun, first) = (Instant::now(), came);
    while came < bytes {
        let count = output.read(&mut buffer).expect("read what comes") as u64;
        assert!(count > 0, "it ended after {came} of {bytes} bytes");
        came += count;
    }
    (came - first) as f64 / 1e6 / begun.elapsed().as_secs_f64()
}
