//! What a run shows while it goes on: a bar where there is a terminal, a line every few seconds where there is none.
//!
//! Progress goes to standard error; standard output belongs to the data.

use super::engine::{Engine, lock};
use crate::explain::words;
use crate::pipeline::plan::Plan;
use crate::report::{self, Report};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use worker_core::config::TaskId;
use worker_core::status::{Status, TaskCounters};

/// How to show progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A bar on a terminal, else lines.
    #[default]
    Auto,
    Bar,
    /// A line every few seconds.
    Lines,
    None,
}

/// How often a bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(200);

/// How often a line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    mode: Mode,
    begun: Instant,
    /// Name, tasks here and on other nodes' behalf, in the order of the pipeline.
    stages: Vec<(String, Vec<TaskId>)>,
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
        let (begun, shown) = (Instant::now(), Mutex::default());
        Self { mode, begun, stages, total_bytes: total_bytes.filter(|&t| t > 0), done_bytes, shown }
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
                let status = engine.status();
                engine.progress().show(&engine, &status);
            }
        });
    }

    /// Input read, and all there is of it where that is known; in bytes.
    pub(super) fn read(&self) -> (u64, Option<u64>) {
        (self.done_bytes.load(Ordering::Relaxed), self.total_bytes)
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

    fn show(&self, engine: &Engine, status: &Status) {
        let mut shown = lock(&self.shown);
        let waits = waits(engine);
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

    /// Takes the bars away and says what was done.
    pub(super) fn finish(&self, report: &Report) {
        let mut shown = lock(&self.shown);
        if let Some(bars) = shown.bars.take() {
            // A bar that is not finished draws itself once more when it is dropped.
            let shown = &mut *shown;
            for bar in shown.stage_bars.drain(..).chain(shown.bar.take()) {
                bar.finish_and_clear();
            }
            bars.clear().ok();
        }
        if self.mode != Mode::None {
            say(report::text(report).trim_end());
        }
    }
}

/// What waits for something that is in its way, if anything does.
fn waits(engine: &Engine) -> Option<String> {
    let explanation = engine.explanation();
    let groups = explanation.groups();
    let first = groups.iter().find_map(|group| group.iter().find(|chain| chain.stalled))?;
    Some(words::chain(first))
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
    crate::logging::say(line);
}
