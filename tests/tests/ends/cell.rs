//! One cell: a pipeline of about a second, a fault in the middle of it, and what the sink has in the end.

use crate::table::Promise;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::Duration;
use worker_tests::process::{Disk, Finished, Running, Scratch, Start, descendants, eventually, kill_living};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How many records there are: the numbers from 1, each with `WORDS` behind it.
pub(crate) const RECORDS: u64 = 10_000;

pub(crate) const WORDS: &str = "is a record of about sixty bytes, more than budgets hold";

/// How many records the sink has when the fault comes.
const AMID: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Memory,
    ExactlyOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGTERM.
    Stop,
    /// SIGKILL.
    Kill,
    /// What a disk holds that was copied while the pipeline ran.
    Power,
    /// A program fails once: the end's own, or that of the stage beside it.
    Program,
}

pub(crate) type Prepare = for<'a> fn(&'a Scratch, Start<'a>) -> Start<'a>;

/// One run to be disturbed.
pub(crate) struct Trial {
    pub(crate) scratch: Scratch,
    /// The tables of the source and of the sink, without their heads.
    pub(crate) source: String,
    pub(crate) sink: String,
    /// Gives a process that is about to start what else it needs; runs at each start.
    pub(crate) prepare: Prepare,
    /// What the sink has so far.
    pub(crate) got: fn(&Scratch) -> Vec<u8>,
    /// A part of the command line of the end's own program, if it is one.
    pub(crate) program: Option<&'static str>,
}

impl Delivery {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::ExactlyOnce];

    /// As the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Stop, Self::Kill, Self::Power, Self::Program];
}

pub(crate) fn try_cell(
    trial: &Trial,
    delivery: Delivery,
    fault: Fault,
    promise: Promise,
) -> Result<(), String> {
    if promise == Promise::Never {
        return Ok(());
    }
    let scratch = &trial.scratch;
    let Trial { source, sink, .. } = trial;
    let pipeline = format!(
        "[pipeline]\nname = 'ends'\nmax_record = '4KiB'\ncredit = '16KiB'\noutbox = '16KiB'\nspill_limit = '16KiB'\n\
         [source.in]\n{source}\n\
         [stage.same]\nrun = ['sh', '-c', 'sleep 0.02; cat']\npartitions = 1\nbatch = {{ max_records = 250 }}\n\
         [sink.out]\n{sink}\n"
    );
    scratch.write("pipeline.toml", pipeline);
    scratch.shell("mkdir -p disk");
    let cut = (fault == Fault::Power).then(|| Disk::image(scratch, "disk", "disk.img"));
    let mut running = amid(trial, delivery);
    let seen = numbers(&(trial.got)(scratch)).len();
    let finished = match fault {
        Fault::Stop => {
            running.signal(Signal::TERM);
            Some(running.wait(PATIENCE))
        }
        Fault::Kill => {
            running.kill();
            None
        }
        Fault::Power => {
            power_cut(scratch, running);
            None
        }
        Fault::Program => {
            kill_program(trial, &mut running);
            Some(running.wait(PATIENCE))
        }
    };
    scratch.assert_no_process_left();
    drop(cut);
    let _after_the_cut = (fault == Fault::Power).then(|| Disk::image(scratch, "disk", "cut.img"));
    judge(trial, delivery, finished, promise, seen)
}

/// Starts it, and lets it come to the middle of its work.
fn amid(trial: &Trial, delivery: Delivery) -> Running<'_> {
    let mut running = start(trial, delivery);
    eventually("the middle", PATIENCE, || {
        let (ended, got) = (running.has_ended(), numbers(&(trial.got)(&trial.scratch)).len());
        assert!(!ended, "it ended with {got} records: {}", running.stderr());
        if got >= AMID { Ok(()) } else { Err(format!("{got}; {}", running.stderr())) }
    });
    running
}

fn start(trial: &Trial, delivery: Delivery) -> Running<'_> {
    let state: &[&str] = if delivery == Delivery::ExactlyOnce { &["--state", "disk/state"] } else { &[] };
    let args = [&["run", "pipeline.toml", "--progress", "none", "--admin", "none"], state].concat();
    (trial.prepare)(&trial.scratch, trial.scratch.worker(&args)).start()
}

/// Copies the disk without what only the page cache had, and kills the worker.
fn power_cut(scratch: &Scratch, running: Running<'_>) {
    running.signal(Signal::STOP);
    let tasks = format!("/proc/{}/task", running.pid());
    eventually("all threads stand still", PATIENCE, || {
        let threads = std::fs::read_dir(&tasks).map_err(|e| e.to_string())?.flatten();
        let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        let moving: Vec<String> = stats.filter(|stat| !stat.contains(") T ")).collect();
        if moving.is_empty() { Ok(()) } else { Err(format!("{moving:?}")) }
    });
    scratch.shell("cp --sparse=always disk.img cut.img");
    running.kill();
}

/// Kills the end's own program, or that of the stage beside it.
fn kill_program(trial: &Trial, running: &mut Running<'_>) {
    let part = trial.program.unwrap_or("sleep 0.02");
    eventually("a program to kill", PATIENCE, || {
        assert!(!running.has_ended(), "it ended before a program was killed: {}", running.stderr());
        let is_it = |pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).replace('\0', " ").contains(part)
        };
        let hit = descendants(running.pid()).into_iter().find(is_it).is_some_and(kill_living);
        if hit { Ok(()) } else { Err(running.stderr()) }
    });
}

/// Runs the same command again where there is state, and looks at what the sink has then.
fn judge(
    trial: &Trial,
    delivery: Delivery,
    finished: Option<Finished>,
    promise: Promise,
    seen: usize,
) -> Result<(), String> {
    let status = finished.as_ref().map(|finished| finished.status.code());
    if delivery == Delivery::ExactlyOnce && status != Some(Some(0)) {
        let again = start(trial, delivery).wait(PATIENCE);
        if again.status.code() != Some(0) {
            return Err(format!("after {finished:?} the next start ends with {again:?}"));
        }
    }
    let got = numbers(&(trial.got)(&trial.scratch));
    let all: Vec<u64> = (1..=RECORDS).collect();
    let begins = all.starts_with(&got);
    let holds = match promise {
        Promise::Once => got == all,
        Promise::AtLeastOnce => first_coming(&got) == all,
        Promise::WhatWasRead => begins && got.len() >= seen && status == Some(Some(143)),
        Promise::Lost => begins && status.is_none(),
        Promise::Fails => begins && status == Some(Some(1)),
        Promise::Never => true,
    };
    let story = || format!("{} records, {:?} to {:?}; {finished:?}", got.len(), got.first(), got.last());
    if holds { Ok(()) } else { Err(story()) }
}

/// The numbers of the records, without a last one that is cut off.
pub(crate) fn numbers(got: &[u8]) -> Vec<u64> {
    let whole = got.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let number = |line: &[u8]| String::from_utf8_lossy(line).split(' ').next()?.parse().ok();
    whole.filter_map(number).collect()
}

/// Each number where it comes first.
fn first_coming(got: &[u64]) -> Vec<u64> {
    let mut known = BTreeSet::new();
    got.iter().copied().filter(|number| known.insert(*number)).collect()
}
