//! A worker that has nothing to do, and one that has hardly anything.

use super::About;
use crate::cluster::Alive;
use crate::figure::{Aim, Figure, Measure};
use crate::meter::time;
use crate::pipeline::{Delivery, forget_state, run, shell, worker};
use crate::process::{descendants, resident_mib, switches};
use crate::suite::{Contender, Suite, Work};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(super) const NAME: &str = "idle";

/// How long it is looked at, and how long it may take to become idle: it looks at itself for some seconds behind the last record.
const LOOKED_AT: Duration = Duration::from_secs(5);
const SETTLING: Duration = Duration::from_secs(8);

/// What one line goes through, and what is there to wait then.
const IDLERS: [(&str, &[&str], Delivery); 3] = [
    ("without work", &["-i", "-", "-s", "cat", "-o", "-"], Delivery::Memory),
    ("with a program that waits", &["-i", "-", "-S", "cat", "-o", "-"], Delivery::Memory),
    ("without work, with state", &["-i", "-", "-s", "cat", "-o", "-"], Delivery::ExactlyOnce),
];

pub(super) fn about() -> About {
    About::new(
        "one line, then an open input: looked at for 5 s, 8 s later",
        "`worker run -i - -s cat -o - --quiet`, with `-S` for a program that waits, and with `--state state`; memory is resident memory; wake-ups are \
         context switches of all its processes. Start: `worker run -i one.txt -s cat -o one.out --force --quiet`, from start to end",
        "for the start: `cat one.txt | cat > one.out` in a shell",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (who, binary) in &suite.workers {
        for idler in IDLERS {
            figures.extend(idle(suite, who, binary, idler));
        }
        let mut size = Figure::new(NAME, "size of the binary", who, "MiB");
        size.measured = vec![(crate::input::size(binary) as f64 / f64::from(1 << 20)).into()];
        figures.push(size);
    }
    for figure in &figures {
        println!("{}", figure.line());
    }
    figures.extend(start(suite));
    figures
}

/// One line has gone through it, and its input is open.
fn idle(
    suite: &Suite,
    who: &str,
    binary: &Path,
    (how, line, delivery): (&str, &[&str], Delivery),
) -> Vec<Figure> {
    let figure = |what: &str, unit| Figure::new(NAME, format!("{what} {how}"), who, unit);
    let mut memory = figure("memory", "MiB").aim(Some(Aim::AtMost(20.0)));
    let mut beside = figure("memory of its launcher and programs", "MiB");
    let mut wakes = figure("wake-ups", "a second").aim(Some(Aim::AtMost(0.0)));
    for _ in 0..suite.rounds.min(2) {
        let mut run = Alive::start(worker(binary, suite, line, delivery));
        let mut stdin = run.stdin.take().expect("a pipe");
        stdin.write_all(b"one\n").expect("the worker takes its input");
        let mut line = String::new();
        BufReader::new(run.stdout.take().expect("a pipe")).read_line(&mut line).expect("the line comes back");
        std::thread::sleep(SETTLING);
        let processes: Vec<u32> = [run.id()].into_iter().chain(descendants(run.id())).collect();
        assert!(processes.len() > 1, "a launcher there is always");
        let count = || processes.iter().map(|&pid| switches(pid)).sum::<f64>();
        let before = count();
        std::thread::sleep(LOOKED_AT);
        let woken = (count() - before) / LOOKED_AT.as_secs_f64();
        memory.measured.push(resident_mib(run.id()).into());
        beside.measured.push(processes[1..].iter().map(|&pid| resident_mib(pid)).sum::<f64>().into());
        wakes.measured.push(woken.into());
        drop(run);
        forget_state(suite);
    }
    vec![memory, beside, wakes]
}

/// A line through `cat` in a file, from start to end.
fn start(suite: &Suite) -> Vec<Figure> {
    std::fs::write(suite.dir().join("one.txt"), "one\n").expect("write the input");
    let ms = |took: crate::meter::Took| Measure {
        value: took.wall.as_secs_f64() * 1e3,
        processor: Some(took.all.as_secs_f64()),
    };
    let limit = Contender::new("shell pipe", move || ms(shell(suite, "cat one.txt | cat > one.out")));
    let mut others = Vec::new();
    for (who, binary) in &suite.workers {
        for delivery in Delivery::BOTH {
            let line = ["-i", "one.txt", "-s", "cat", "-o", "one.out", "--force"];
            let run = move || ms(run(binary, suite, &line, delivery));
            others.push(Contender::new(format!("{who}, {}", delivery.name()), run));
        }
        let version = move || ms(time(Command::new(binary).arg("-V").stdout(Stdio::null())));
        others.push(Contender::new(format!("{who}, only its version"), version));
    }
    Work { row: NAME, work: "one line through cat into a file".to_owned(), unit: "ms" }.in_turn(
        suite.rounds,
        limit,
        others,
    )
}
