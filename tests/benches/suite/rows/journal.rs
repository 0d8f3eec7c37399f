//! The journal's speed beside its limits: appending with group commit against one file written with one sync, opening a journal
//! of which everything is live, and how many syncs a run takes.

mod disk;

use super::About;
use crate::figure::{Aim, Figure, Measure};
use crate::input;
use crate::meter::Meter;
use crate::pipeline::{self, Delivery, forget_state};
use crate::suite::{Contender, Suite, Work};
use disk::Commits;
use std::path::Path;

pub(super) const NAME: &str = "journal";

const BYTES: u64 = 1 << 30;
const SMALL_COMMITS: u64 = 50_000;

pub(super) fn about() -> About {
    About::new(
        "1 GiB in commits of 128 KiB; 50,000 commits of 1 KiB; for syncs the lines of the row `job`",
        "the journal of a node in this process, commits synced in groups; opening it again with all of it live; `worker run -i lines.txt -s cat -o \
         out.txt --force --quiet --state state` under strace, which counts fsync, fdatasync and syncfs",
        "the same bytes written to one file, with one sync at the end",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let mut figures = append(suite);
    figures.push(small(suite));
    figures.push(recovery(suite));
    figures.push(syncs(suite));
    for figure in &figures[1..] {
        println!("{}", figure.line());
    }
    figures
}

fn append(suite: &Suite) -> Vec<Figure> {
    let commits = Commits::of(128 << 10, suite.scaled(BYTES));
    let rate = |run: &dyn Fn()| {
        let meter = Meter::begin();
        run();
        let value = commits.bytes() as f64 / meter.elapsed().as_secs_f64() / 1e9;
        Measure { value, processor: Some(meter.this().as_secs_f64()) }
    };
    let limit = Contender::new("one file with one sync", || rate(&|| disk::one_file(suite.dir(), &commits)));
    let journal = Contender::new("journal", || rate(&|| _ = disk::journal(suite.dir(), &commits, true)));
    let work = Work { row: NAME, work: "commits of 128 KiB, synced in groups".to_owned(), unit: "GB/s" };
    work.in_turn(suite.rounds, limit, vec![journal.aim(Some(Aim::AtLeast(1.2)))])
}

/// Here the number of commits counts, and how many of them share a sync.
fn small(suite: &Suite) -> Figure {
    let commits = Commits::of(1 << 10, suite.scaled(SMALL_COMMITS) << 10);
    let mut figure = Figure::new(NAME, "commits of 1 KiB, synced in groups", "journal", "commits/s");
    for round in 0..=suite.rounds {
        let meter = Meter::begin();
        let syncs = disk::journal(suite.dir(), &commits, true);
        assert!(syncs > 0, "nothing was synced");
        let value = commits.count() as f64 / meter.elapsed().as_secs_f64();
        if round > 0 {
            figure.measured.push(Measure { value, processor: Some(meter.this().as_secs_f64()) });
        }
    }
    figure
}

fn recovery(suite: &Suite) -> Figure {
    let commits = Commits::of(128 << 10, suite.scaled(BYTES));
    let aim = Some(Aim::AtMost(0.2));
    let mut figure = Figure::new(NAME, "opening it again, all of it live, warm", "journal", "s/GB").aim(aim);
    for round in 0..=suite.rounds {
        disk::fill(suite.dir(), &commits);
        let meter = Meter::begin();
        disk::reopen(suite.dir(), &commits);
        let value = meter.elapsed().as_secs_f64() / (commits.bytes() as f64 / 1e9);
        if round > 0 {
            figure.measured.push(Measure { value, processor: Some(meter.this().as_secs_f64()) });
        }
        disk::forget(suite.dir());
    }
    figure
}

/// Of a whole run, as strace counts them.
fn syncs(suite: &Suite) -> Figure {
    let figure =
        Figure::new(NAME, "`cat` as batch stage, exactly-once: syncs per million lines", "worker", "syncs");
    let lines = input::lines(suite) as f64 / 96.0;
    let run = ["-i", input::LINES, "-s", "cat", "-o", "out.txt", "--force"];
    let worker = pipeline::worker(suite.worker(), suite, &run, Delivery::ExactlyOnce);
    let mut strace = pipeline::command(Path::new("strace"), suite);
    strace.args(["-f", "-c", "-o", "syncs.txt", "-e", "trace=fsync,fdatasync,syncfs", "--"]);
    strace.arg(worker.get_program()).args(worker.get_args());
    let ended = strace.status();
    forget_state(suite);
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => return figure.failed(format!("strace ended with {status}")),
        Err(error) => return figure.failed(format!("strace: {error}")),
    }
    let table = std::fs::read_to_string(suite.dir().join("syncs.txt")).expect("strace writes a table");
    let calls = |line: &str| line.split_whitespace().nth(3).and_then(|calls| calls.parse::<f64>().ok());
    let syncs: f64 = table.lines().filter(|line| line.contains("sync")).filter_map(calls).sum();
    Figure { measured: vec![(syncs / lines * 1e6).into()], ..figure }
}
