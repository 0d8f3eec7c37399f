//! What tasks cost that have little to do: threads, memory, disk, and the time until all have worked.

use super::About;
use crate::cluster::Alive;
use crate::figure::{Aim, Figure};
use crate::pipeline::{Delivery, forget_state, worker};
use crate::process::{disk_mib, resident_mib, threads};
use crate::suite::Suite;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::Instant;

pub(super) const NAME: &str = "tasks";

const TASKS: [u64; 4] = [1, 64, 256, 1000];

/// Each task gets some of so many keys.
const LINES_A_TASK: u64 = 8;

struct Cost {
    seconds: f64,
    threads: f64,
    resident_mib: f64,
    disk_mib: f64,
}

pub(super) fn about() -> About {
    About::new(
        "8 lines for each task, each line its own key",
        "`worker run tasks.toml --quiet`: a stage `run = [\"cat\"]` in batches, by key, with 1 to 1,000 partitions; looked at when all lines have \
         come, before the input ends. Exactly once with `--state state`",
        "none",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (who, binary) in &suite.workers {
        for (delivery, tasks) in
            Delivery::BOTH.iter().flat_map(|delivery| TASKS.map(|tasks| (*delivery, tasks)))
        {
            let costs: Vec<Cost> =
                (0..suite.rounds.min(3)).map(|_| cost(suite, binary, delivery, tasks)).collect();
            figures.extend(figures_of(&format!("{who}, {}", delivery.name()), delivery, tasks, &costs));
        }
    }
    figures
}

fn figures_of(who: &str, delivery: Delivery, tasks: u64, costs: &[Cost]) -> Vec<Figure> {
    let aimed = tasks == 1000 && delivery == Delivery::ExactlyOnce;
    let figure = |what: &str, unit, most: Option<f64>, value: fn(&Cost) -> f64| {
        let aim = most.filter(|_| aimed).map(Aim::AtMost);
        let mut figure = Figure::new(NAME, format!("{tasks} batch tasks: {what}"), who, unit).aim(aim);
        figure.measured = costs.iter().map(|cost| value(cost).into()).collect();
        println!("{}", figure.line());
        figure
    };
    let mut figures = vec![
        figure("until all have worked", "s", Some(10.0), |cost| cost.seconds),
        figure("threads", "threads", Some(100.0), |cost| cost.threads),
        figure("memory", "MiB", Some(400.0), |cost| cost.resident_mib),
    ];
    if delivery == Delivery::ExactlyOnce {
        figures.push(figure("disk", "MiB", None, |cost| cost.disk_mib));
    }
    figures
}

fn cost(suite: &Suite, binary: &Path, delivery: Delivery, tasks: u64) -> Cost {
    std::fs::write(suite.dir().join("tasks.toml"), pipeline(tasks)).expect("write the pipeline file");
    let mut lines = String::new();
    for line in 0..LINES_A_TASK * tasks {
        writeln!(lines, "key{line}").expect("a string takes it");
    }
    let begun = Instant::now();
    let mut run = Alive::start(worker(binary, suite, &["tasks.toml"], delivery));
    let mut stdin = run.stdin.take().expect("a pipe");
    let output = BufReader::new(run.stdout.take().expect("a pipe"));
    // Its input stays open, so that nothing ends before it was looked at.
    let sender = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).map(|()| stdin));
    let wanted = usize::try_from(LINES_A_TASK * tasks).expect("small");
    let came = output.lines().take(wanted).filter(Result::is_ok).count();
    assert_eq!(came, wanted, "every line comes");
    let cost = Cost {
        seconds: begun.elapsed().as_secs_f64(),
        threads: threads(run.id()),
        resident_mib: resident_mib(run.id()),
        disk_mib: disk_mib(&suite.dir().join("state")),
    };
    drop(sender.join().expect("the sender is well").expect("the worker takes its input"));
    drop(run);
    forget_state(suite);
    cost
}

fn pipeline(tasks: u64) -> String {
    format!(
        r#"
[source.in]
stdin = true

[stage.work]
run = ["cat"]
partition_by = "record"
partitions = {tasks}

[sink.out]
stdout = true
"#
    )
}
