//! The ways in which a test is run.

use super::{Bench, Order, Ran, Trouble};
use crate::pipeline::{Batches, Delivery};
use crate::report::Report;
use std::io;

/// So many programs are started for one cut, about.
const PIECES_MAX: u64 = 64;

/// By so many schedules programs are killed.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// So many lives of the worker end early, for one schedule.
const LIVES_MAX: u64 = 6;

/// Runs a test in all ways, one after the other, to the first trouble.
pub(super) struct Ways<'a, 'b> {
    pub(super) bench: &'b Bench<'a>,
    pub(super) done: &'b mut Vec<String>,
}

impl Ways<'_, '_> {
    pub(super) fn all(mut self) -> io::Result<Option<Trouble>> {
        let whole = self.bench.run(Batches::Whole, &[])?;
        if let Some(trouble) = self.bench.check(&whole, Order::AsPromised)? {
            return Ok(Some(trouble));
        }
        self.done.push("whole".to_owned());
        // Where one task hands on to one, cutting the input changes no order: a program that sorts each batch shows.
        let is_exact = self.bench.trial.is_single_file() && self.bench.check(&whole, Order::Exact)?.is_none();
        let order = if is_exact { Order::Exact } else { Order::AsPromised };
        let sizes = self.sizes(&whole);
        if let Some(trouble) = self.in_batches(&sizes, order)? {
            return Ok(Some(trouble));
        }
        let batches = Batches::AsItRuns { records: sizes.last().copied().unwrap_or(u64::MAX) };
        if let Some(trouble) = self.with_programs_killed(batches)? {
            return Ok(Some(trouble));
        }
        if self.bench.keeps_state {
            return self.with_the_worker_killed(batches);
        }
        Ok(None)
    }

    /// In batches of how many records there are different cuts, and not too many programs.
    fn sizes(&self, whole: &Ran) -> Vec<u64> {
        let names: Vec<&str> = self.bench.trial.batch_stages().map(|(_, name)| name).collect();
        let records = |report: &Report| {
            report
                .stages
                .iter()
                .filter(|stage| names.contains(&stage.name.as_str()))
                .map(|stage| stage.records_in)
                .max()
        };
        let records = whole.report.as_ref().and_then(records).unwrap_or(0);
        let least = records.div_ceil(PIECES_MAX).max(1);
        let mut sizes: Vec<u64> =
            [least, least + 1, 2 * least + 1].into_iter().filter(|&size| size < records).collect();
        sizes.dedup();
        sizes
    }

    fn in_batches(&mut self, sizes: &[u64], order: Order) -> io::Result<Option<Trouble>> {
        for &records in sizes {
            let ran = self.bench.run(Batches::Of { records, only: None }, &[])?;
            if let Some(trouble) = self.bench.check(&ran, order)? {
                let only_order = self.bench.check(&ran, Order::AsPromised)?.is_none();
                let how = if only_order { "in another order" } else { "not" };
                return self.differs_in_batches(records, (order, how), trouble).map(Some);
            }
        }
        let told = match sizes {
            [] if self.bench.trial.batch_stages().next().is_none() => return Ok(None),
            [] => "too few records to cut".to_owned(),
            [one] => format!("in batches of {one}"),
            [first @ .., last] => {
                let first: Vec<String> = first.iter().map(u64::to_string).collect();
                format!("in batches of {} and {last}", first.join(", "))
            }
        };
        self.done.push(told);
        Ok(None)
    }

    /// Whose fault it is that something else comes of smaller batches.
    fn differs_in_batches(
        &self,
        records: u64,
        (order, how): (Order, &str),
        trouble: Trouble,
    ) -> io::Result<Trouble> {
        let again = self.bench.run(Batches::Whole, &[])?;
        if self.bench.check(&again, order)?.is_some() {
            let title = format!(
                "gives something else each time: what is expected once, and then not ({})",
                trouble.title
            );
            return Ok(Trouble { title, ..trouble });
        }
        let mut culprits = Vec::new();
        let stages: Vec<(usize, &str)> = self.bench.trial.batch_stages().collect();
        for &(index, name) in &stages {
            let is_it = stages.len() == 1 || {
                let ran = self.bench.run(Batches::Of { records, only: Some(index) }, &[])?;
                self.bench.check(&ran, order)?.is_some()
            };
            if is_it {
                culprits.push(format!("`{name}`"));
            }
        }
        let culprits = match culprits.as_slice() {
            [] => "a stage".to_owned(),
            some => some.join(" and "),
        };
        let title = format!(
            "right as a whole, and {how} in batches of {records}: {culprits} does not work record by record; use mode = \"stream\", or a framing \
             in which what belongs together is one record"
        );
        Ok(Trouble { title, ..trouble })
    }

    fn with_programs_killed(&mut self, batches: Batches) -> io::Result<Option<Trouble>> {
        let has_state = self.bench.keeps_state || self.bench.trial.has_streams();
        let mut killed = 0;
        for seed in SEEDS {
            let more = chaos(seed, "programs=100%");
            let ran = match has_state {
                true => self.with_state(batches, &more, &format!("state-{seed}"))?,
                false => self.bench.run(batches, &more)?,
            };
            let chaos = ran.report.as_ref().and_then(|report| report.chaos.as_ref());
            killed += chaos.map_or(0, |chaos| chaos.injected.programs);
            if let Some(trouble) = self.bench.check(&ran, Order::AsPromised)? {
                let title = format!("with programs killed (seed {seed}): {}", trouble.title);
                return Ok(Some(Trouble { title, ..trouble }));
            }
        }
        self.done.push(match killed {
            0 => "no program was there to be killed".to_owned(),
            1 => "with 1 program killed".to_owned(),
            killed => format!("with {killed} programs killed"),
        });
        Ok(None)
    }

    /// Kills the worker, and starts it again with its state.
    fn with_the_worker_killed(&mut self, batches: Batches) -> io::Result<Option<Trouble>> {
        let mut killed = 0;
        for schedule in SEEDS {
            let state = format!("lives-{schedule}");
            let mut life = 0;
            let ran = loop {
                life += 1;
                let mut more = chaos(schedule * 1000 + life, "programs=20%");
                if life <= LIVES_MAX {
                    more.extend(["--chaos-process", "5%"].map(str::to_owned));
                }
                let ran = self.with_state(batches, &more, &state)?;
                if life > LIVES_MAX || !ran.was_killed() {
                    break ran;
                }
                killed += 1;
            };
            if let Some(trouble) = self.bench.check(&ran, Order::AsPromised)? {
                let title =
                    format!("with the worker killed {} times (seed {schedule}): {}", life - 1, trouble.title);
                return Ok(Some(Trouble { title, ..trouble }));
            }
        }
        self.done.push(match killed {
            1 => "with the worker killed once".to_owned(),
            killed => format!("with the worker killed {killed} times"),
        });
        Ok(None)
    }

    fn with_state(&self, batches: Batches, more: &[String], state: &str) -> io::Result<Ran> {
        let mut pipeline = self.bench.trial.in_batches(batches);
        pipeline.delivery = Delivery::ExactlyOnce;
        let dir = self.bench.dir.join(state).to_string_lossy().into_owned();
        let more = [more, &["--state".to_owned(), dir]].concat();
        self.bench.runner.run(&pipeline, self.bench.dir, &more)
    }
}

fn chaos(seed: u64, shares: &str) -> Vec<String> {
    ["--chaos", &seed.to_string(), "--chaos-rate", shares].map(str::to_owned).to_vec()
}
