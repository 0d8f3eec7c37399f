//! What a run shows while it goes on: a bar where there is a terminal, a line every few seconds where there is none.
//!
//! Progress goes to standard error; standard output belongs to the data.

use super::engine::{Engine, lock};
use crate::pipeline::plan::{Plan, Role};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use worker_core::config::TaskId;
use worker_core::stall::{Reason, Stall};
use worker_core::status::{Status, TaskCounters};

/// How to show progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A bar on a terminal, else lines.
    #[default]
    Auto,
    /// A bar.
    Bar,
    /// A line every few seconds.
    Lines,
    /// Nothing.
    None,
}

/// How often a bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(200);

/// How often a line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How long work must have waited before a line says so.
const STALL_AFTER: Duration = Duration::from_secs(3);

/// Shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    mode: Mode,
    begun: Instant,
    /// Name, tasks here and on other nodes' behalf, in the order of the pipeline.
    stages: Vec<(String, Vec<TaskId>)>,
    /// A source is here.
    reads: bool,
    total_bytes: Option<u64>,
    done_bytes: Arc<AtomicU64>,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    bar: Option<ProgressBar>,
    stage_bars: Vec<ProgressBar>,
    bars: Option<indicatif::MultiProgress>,
    last: Vec<(Instant, u64)>,
    moved: Option<(u64, Instant)>,
}

impl Progress {
    pub(super) fn new(plan: &Plan, mode: Mode, total_bytes: Option<u64>, done_bytes: Arc<AtomicU64>) -> Self {
        let mode = match mode {
            Mode::Auto if std::io::stderr().is_terminal() => Mode::Bar,
            Mode::Auto => Mode::Lines,
            Mode::Bar | Mode::Lines | Mode::None => mode,
        };
        let mut stages: Vec<(String, Vec<TaskId>)> = Vec::new();
        for task in &plan.local {
            match stages.last_mut() {
                Some((name, tasks)) if *name == task.stage => tasks.push(task.id),
                Some(_) | None => stages.push((task.stage.clone(), vec![task.id])),
            }
        }
        let reads = plan.local.iter().any(|t| matches!(t.role, Role::Source(_)));
        let (begun, shown) = (Instant::now(), Mutex::default());
        Self { mode, begun, stages, reads, total_bytes: total_bytes.filter(|&t| t > 0), done_bytes, shown }
    }

    /// Shows progress until the engine is gone.
    pub(super) fn start(&self, engine: &Arc<Engine>) {
        let every = match self.mode {
            Mode::None => return,
            Mode::Bar => BAR_EVERY,
            Mode::Auto | Mode::Lines => LINE_EVERY,
        };
        if self.mode == Mode::Bar {
            self.draw_bars();
        }
        let engine = Arc::downgrade(engine);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(engine) = engine.upgrade() else { return };
                let (status, stalls) = (engine.status(), engine.stalls());
                engine.progress().show(&engine, &status, &stalls);
            }
        });
    }

    fn draw_bars(&self) {
        let bars = indicatif::MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let template = match self.total_bytes {
            Some(_) => {
                "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {elapsed}, left {eta}"
            }
            None => "{spinner} {bytes} read  {bytes_per_sec}  {elapsed}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = match self.total_bytes {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let bar = bars.add(bar.with_style(style));
        let plain =
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let mut shown = lock(&self.shown);
        shown.stage_bars = self
            .stages
            .iter()
            .map(|_| bars.add(ProgressBar::no_length().with_style(plain.clone())))
            .collect();
        shown.bar = Some(bar);
        shown.bars = Some(bars);
    }

    fn show(&self, engine: &Engine, status: &Status, stalls: &[Stall]) {
        let mut shown = lock(&self.shown);
        let waits = self.waits(&mut shown, engine, status, stalls);
        if self.mode == Mode::Bar {
            let done = self.done_bytes.load(Ordering::Relaxed);
            if let Some(bar) = &shown.bar {
                bar.set_position(done);
            }
            let lines: Vec<_> = self.stages.iter().map(|s| self.stage_line(&mut shown, status, s)).collect();
            for (bar, line) in shown.stage_bars.iter().zip(lines) {
                bar.set_message(line);
            }
            if let (Some(wait), Some(last)) = (waits, shown.stage_bars.last()) {
                last.set_message(format!("{}\n  {wait}", last.message()));
            }
            return;
        }
        let mut text = format!("[{}]", HumanDuration(Duration::from_secs(self.begun.elapsed().as_secs())));
        if let Some(total) = self.total_bytes {
            let percent = self.done_bytes.load(Ordering::Relaxed).saturating_mul(100) / total;
            write!(text, " {percent} % read").ok();
        }
        for stage in &self.stages {
            write!(text, " | {}", self.stage_line(&mut shown, status, stage)).ok();
        }
        if let Some(wait) = waits {
            write!(text, " | {wait}").ok();
        }
        say(&text);
    }

    fn stage_line(&self, shown: &mut Shown, status: &Status, stage: &(String, Vec<TaskId>)) -> String {
        let (name, tasks) = stage;
        let (counters, queued) = totals(status, tasks);
        let at = self.stages.iter().position(|s| s == stage).unwrap_or(0);
        let now = Instant::now();
        shown.last.resize(self.stages.len(), (self.begun, 0));
        let (then, before) = std::mem::replace(&mut shown.last[at], (now, counters.records_in));
        let millis = now.duration_since(then).as_millis().max(1);
        let rate = u128::from(counters.records_in - before) * 1000 / millis;
        let done = HumanCount(counters.records_in);
        let mut line =
            format!("{name}: {done} done, {}/s", HumanCount(u64::try_from(rate).unwrap_or(u64::MAX)));
        for (what, count) in [("queued", queued), ("retried", counters.retried), ("dead", counters.dead)] {
            if count > 0 {
                write!(line, ", {} {what}", HumanCount(count)).ok();
            }
        }
        line
    }

    /// What waits, once nothing has moved for a while.
    fn waits(&self, shown: &mut Shown, engine: &Engine, status: &Status, stalls: &[Stall]) -> Option<String> {
        let moved = status.tasks.iter().map(|t| t.counters.records_in + t.counters.records_out).sum();
        let now = Instant::now();
        match shown.moved {
            Some((before, since)) if before == moved => {
                if now.duration_since(since) < STALL_AFTER {
                    return None;
                }
            }
            Some(_) | None => {
                shown.moved = Some((moved, now));
            }
        }
        let quiet = shown.moved.is_some_and(|(_, since)| now.duration_since(since) >= STALL_AFTER);
        let down = |r: &&Reason| matches!(r, Reason::PeerDown { .. } | Reason::UpstreamDown { .. });
        let first_down = stalls.iter().find_map(|s| Some((s, s.reasons.iter().find(down)?)));
        let first = stalls.iter().find_map(|s| Some((s, s.reasons.first()?))).filter(|_| quiet);
        let (stall, reason) = first_down.or(first)?;
        let task = &engine.graph.task(stall.task).name;
        Some(format!("{task} waits: {}", engine.explain(reason)))
    }

    /// Takes the bars away and says what was done; `how` it ended in one word.
    pub(super) fn finish(&self, how: &str, status: &Status) {
        let mut shown = lock(&self.shown);
        if let Some(bars) = shown.bars.take() {
            // A bar that is not finished draws itself once more when it is dropped.
            let shown = &mut *shown;
            for bar in shown.stage_bars.drain(..).chain(shown.bar.take()) {
                bar.finish_and_clear();
            }
            bars.clear().ok();
        }
        if self.mode == Mode::None {
            return;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let read = HumanBytes(self.done_bytes.load(Ordering::Relaxed));
        let read = if self.reads { format!(", {read} read") } else { String::new() };
        say(&format!("{how} in {seconds:.1} s{read}"));
        for (name, tasks) in &self.stages {
            let (c, _) = totals(status, tasks);
            let mut line =
                format!("  {name}: {} in, {} out", HumanCount(c.records_in), HumanCount(c.records_out));
            if c.runs > 0 {
                write!(line, ", {} programs run", HumanCount(c.runs)).ok();
            }
            for (what, count) in [("retried", c.retried), ("dead letters", c.dead)] {
                if count > 0 {
                    write!(line, ", {} {what}", HumanCount(count)).ok();
                }
            }
            say(&line);
        }
    }
}

fn totals(status: &Status, tasks: &[TaskId]) -> (TaskCounters, u64) {
    let mut all = TaskCounters::default();
    let mut queued = 0;
    for task in status.tasks.iter().filter(|t| tasks.contains(&t.task)) {
        let c = task.counters;
        all.records_in += c.records_in;
        all.bytes_in += c.bytes_in;
        all.records_out += c.records_out;
        all.retried += c.retried;
        all.dead += c.dead;
        all.runs += c.runs;
        all.busy += c.busy;
        queued += task.queued;
    }
    (all, queued)
}

/// A line on standard error; that it cannot be written is no reason to stop.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

impl Engine {
    /// A reason to wait, for people.
    pub(super) fn explain(&self, reason: &Reason) -> String {
        let ago = |t: worker_core::Time| format!("{:.0} s", self.now().since(t).as_secs_f64());
        let receiver = |link| self.graph.task(self.graph.link(link).to).name.clone();
        match reason {
            Reason::Committing { commits, bytes } => {
                format!("{commits} commits ({}) wait for the disk to have them", HumanBytes(*bytes))
            }
            Reason::StorageFull => "the disk is full: only what was admitted goes on".to_owned(),
            Reason::PeerDown { link, peer, since, why, attempts, next, held_records } => {
                let next = next.map_or_else(String::new, |at| {
                    format!(", next in {:.1} s", at.since(self.now()).as_secs_f64())
                });
                let (node, held) = (self.node_name(*peer), HumanCount(*held_records));
                let (to, since) = (receiver(*link), ago(*since));
                format!(
                    "{to} on node {node} unreachable for {since} ({why}), attempt {attempts}{next}; holds {held} records"
                )
            }
            Reason::UpstreamDown { link, peer, since } => {
                let from = &self.graph.task(self.graph.link(*link).from).name;
                format!(
                    "{from} on node {} has no connection to this node for {}",
                    self.node_name(*peer),
                    ago(*since)
                )
            }
            Reason::NotOpen { link, held_records } => {
                format!(
                    "{} has not answered yet; holds {} records",
                    receiver(*link),
                    HumanCount(*held_records)
                )
            }
            Reason::NoCredit { link, held_records } => {
                format!(
                    "{} takes no more for now; holds {} records",
                    receiver(*link),
                    HumanCount(*held_records)
                )
            }
            Reason::OutboxFull { link, memory_bytes, budget_bytes } => {
                let (held, budget) = (HumanBytes(*memory_bytes), HumanBytes(*budget_bytes));
                format!("{} is behind; {held} of {budget} held for it", receiver(*link))
            }
            Reason::SpillLimit { link, stored_bytes, limit_bytes } => {
                let (held, limit) = (HumanBytes(*stored_bytes), HumanBytes(*limit_bytes));
                format!("{} is behind; {held} of {limit} spilled for it", receiver(*link))
            }
            Reason::NoSlot { since, ahead, slots } => {
                format!("all {slots} slots are in use for {}, {ahead} tasks before it", ago(*since))
            }
            Reason::Backoff { attempts, until, why, records } => {
                let next = until.since(self.now()).as_secs_f64();
                format!("a batch of {records} records failed {attempts} times ({why}), next in {next:.1} s")
            }
            Reason::ChildBusy { since } => format!("its program is busy for {}", ago(*since)),
            Reason::Writing { since } => format!("a write is under way for {}", ago(*since)),
            Reason::ChildNotReading { bytes } => {
                format!("its program does not read; {} wait for it", HumanBytes(*bytes))
            }
            Reason::SourceIdle => "its input has nothing to give".to_owned(),
            Reason::Linger { .. } => "for more records, to make a larger batch".to_owned(),
        }
    }
}
