//! A link with little to carry beside one that is never empty, between the same two nodes: is it held up?

use super::About;
use crate::cluster::{self, Alive};
use crate::figure::{Aim, Figure, Measure};
use crate::load::Load;
use crate::suite::{Contender, Suite, Work};
use std::path::Path;
use std::time::Duration;

pub(super) const NAME: &str = "trickle";

const TRICKLE: &str = r#"
[source.trickle]
stdin = true
place = "a"

[sink.taken]
from = "trickle"
stdout = true
place = "b"
"#;

const FLOOD: &str = r#"
[source.flood]
generate = { bytes = 100 }
place = "a"

[sink.drowned]
from = "flood"
run = ["sh", "-c", "cat > /dev/null"]
place = "b"
"#;

const RATE: f64 = 1_000.0;

pub(super) fn about() -> About {
    About::new(
        "1,000 records of 100 bytes a second from standard input; the flood makes records of 100 bytes as fast as they are taken",
        "two nodes; a source on one and a sink on the other for each of both; the flood's sink is `cat > /dev/null`; 3 s behind a second that is not \
         counted",
        "the same without the flood",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let length = Duration::from_secs_f64((3.0 * suite.size).max(1.0));
    let p99 = |binary: &Path, pipeline: &str| {
        cluster::write(suite, &["a", "b"], pipeline);
        let mut taker = Alive::start(cluster::node(binary, suite, "b"));
        let mut giver = Alive::start(cluster::node(binary, suite, "a"));
        let (stdin, stdout) = (giver.stdin.take().expect("a pipe"), taker.stdout.take().expect("a pipe"));
        let delays = Load { rate: RATE, length }.endless(stdin, stdout);
        Measure::from(delays.ms(990))
    };
    let flooded = format!("{TRICKLE}{FLOOD}");
    let limit = Contender::new("the same alone", || p99(suite.worker(), TRICKLE));
    let others = suite.workers.iter().map(|(who, binary)| {
        let flooded = &flooded;
        Contender::new(who, move || p99(binary, flooded)).aim(Some(Aim::AtMost(2.0)))
    });
    let work = Work { row: NAME, work: "1,000 records a second beside a flood: p99".to_owned(), unit: "ms" };
    work.in_turn(suite.rounds.min(3), limit, others.collect())
}
