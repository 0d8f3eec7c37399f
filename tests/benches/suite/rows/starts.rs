//! A process for each record, one after the other, against a program that does nothing but start them.

use super::About;
use crate::cluster::Alive;
use crate::figure::{Aim, Figure, Measure};
use crate::input;
use crate::pipeline::{Delivery, worker};
use crate::process::resident_mib;
use crate::suite::{Contender, Suite, Work};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "starts";

/// The program of each record.
const PROGRAM: &str = "/bin/echo";

const PIPELINE: &str = r#"
[pipeline]
outbox = "1GiB"

[source.in]
stdin = true

[stage.each]
from = "in"
run = ["/bin/echo", "{}"]
input = "arg"
partitions = 1

[sink.out]
from = "each"
stdout = true
"#;

/// What is read and waits, so that the worker is large.
const BALLAST: &str = r#"
[source.ballast]
file = "lines.txt"

[sink.asleep]
from = "ballast"
run = ["sleep", "1000"]
"#;

pub(super) fn about() -> About {
    About::new(
        "2,000 lines on standard input",
        "`worker run starts.toml --quiet`: `run = [\"/bin/echo\", \"{}\"]`, `input = \"arg\"`, one task; from the first answer to the last. Once more in a \
         worker that holds the 479 MB of the row `job` for a sink that sleeps",
        "a program that starts `/bin/echo` by posix_spawn, reads what it prints and waits for it, one after the other",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    input::lines(suite);
    let children = suite.scaled(2_000);
    let mut figures = Vec::new();
    for (work, pipeline, large) in [
        ("a process for each record", PIPELINE.to_owned(), false),
        ("the same in a worker that holds the job's input in memory", format!("{PIPELINE}{BALLAST}"), true),
    ] {
        std::fs::write(suite.dir().join("starts.toml"), pipeline).expect("write the pipeline file");
        let limit = Contender::new("posix_spawn", move || spawned(children));
        let others = suite.workers.iter().map(|(who, binary)| {
            let run = move || started(suite, binary, children, large);
            Contender::new(who, run).aim(Some(Aim::AtMost(1.3)))
        });
        let work = Work { row: NAME, work: work.to_owned(), unit: "µs a child" };
        figures.extend(work.in_turn(suite.rounds, limit, others.collect()));
    }
    figures
}

/// Start, read what it prints, wait for it; the standard library uses `posix_spawn`.
fn spawned(children: u64) -> f64 {
    let begun = Instant::now();
    for child in 0..children {
        let output = Command::new(PROGRAM).arg(child.to_string()).stdin(Stdio::null()).output();
        assert!(output.is_ok_and(|output| output.status.success()), "{PROGRAM} cannot be run");
    }
    begun.elapsed().as_secs_f64() * 1e6 / children as f64
}

fn started(suite: &Suite, binary: &Path, children: u64, large: bool) -> Measure {
    let mut run = Alive::start(worker(binary, suite, &["starts.toml"], Delivery::Memory));
    if large {
        until_grown(run.id());
    }
    let mut lines = String::new();
    for line in 0..=children {
        writeln!(lines, "{line}").expect("a string takes it");
    }
    let mut stdin = run.stdin.take().expect("a pipe");
    let sender = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let mut output = BufReader::new(run.stdout.take().expect("a pipe")).lines();
    // From the first that comes: until then the worker starts.
    output.next().expect("a line comes").expect("read a line");
    let begun = Instant::now();
    let wanted = usize::try_from(children).expect("small");
    let came = output.take(wanted).filter(Result::is_ok).count();
    let took = begun.elapsed();
    assert_eq!(came, wanted, "every child prints a line");
    sender.join().expect("the sender is well").expect("the worker takes its input");
    (took.as_secs_f64() * 1e6 / children as f64).into()
}

/// Until it has read all that it reads: it has not grown for three looks.
fn until_grown(pid: u32) {
    let (mut before, mut alike) = (0.0, 0);
    while alike < 3 {
        std::thread::sleep(Duration::from_millis(300));
        let now = resident_mib(pid);
        alike = if now < before + 1.0 { alike + 1 } else { 0 };
        before = now;
    }
}
