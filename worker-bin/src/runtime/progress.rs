//! What a run shows while it goes on: a bar where there is a terminal, a line every few seconds where there is none.
//!
//! Progress goes to standard error; standard output belongs to the data.

use super::cell::Cell;
use super::finished;
use super::measure::InputRead;
use super::observe::Watch;
use crate::explain::words;
use crate::mutex::lock;
use crate::pipeline::plan::Plan;
use crate::report::{self, Report};
use crate::stderr;
use crate::text::terminal;
use crate::text::width::width;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use worker_core::config::{Graph, TaskId, TaskKind};
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
    /// None but where it is and how it ends.
    None,
    /// Not even that.
    Silent,
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
    graph: Graph,
    read: InputRead,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// When a line of a stage was made last, and of how many records.
    last: Vec<(Instant, u64)>,
    /// Bytes that were through at the looks of the last seconds.
    through: VecDeque<(Instant, u64)>,
}

/// Columns of the bar itself.
const BAR_COLUMNS: usize = 30;
/// A shorter bar says nothing.
const BAR_COLUMNS_MIN: usize = 5;
/// Over how many draws of the bar its rate is taken.
const RATE_LOOKS: usize = 15;

impl Progress {
    pub(super) fn new(plan: &Plan, mode: Mode, read: InputRead) -> Self {
        let mode = match mode {
            Mode::Auto if stderr::draws() => Mode::Bar,
            Mode::Bar if stderr::draws() || !std::io::stderr().is_terminal() => Mode::Bar,
            Mode::Auto | Mode::Bar => Mode::Lines,
            Mode::Lines | Mode::None | Mode::Silent => mode,
        };
        let mut stages: Vec<(String, Vec<TaskId>)> = Vec::new();
        for task in &plan.local {
            match stages.last_mut() {
                Some((name, tasks)) if *name == task.stage => tasks.push(task.id),
                Some(_) | None => stages.push((task.stage.clone(), vec![task.id])),
            }
        }
        let (begun, shown) = (Instant::now(), Mutex::default());
        Self { mode, begun, stages, graph: plan.graph.clone(), read, shown }
    }

    /// Shows progress until the run is over.
    pub(super) fn start(self: &Arc<Self>, cell: &Arc<Cell>, watch: &Arc<Watch>) {
        let every = match self.mode {
            Mode::None | Mode::Silent => return,
            Mode::Bar => BAR_EVERY,
            Mode::Auto | Mode::Lines => LINE_EVERY,
        };
        let (progress, cell, watch) = (Arc::downgrade(self), Arc::clone(cell), Arc::clone(watch));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(progress) = progress.upgrade() else { return };
                progress.show(&watch, &cell.status());
            }
        });
    }

    fn show(&self, watch: &Watch, status: &Status) {
        let mut shown = lock(&self.shown);
        let waits = waits(watch);
        if self.mode == Mode::Bar {
            let columns = terminal::size(&std::io::stderr()).0;
            let mut frame = vec![self.bar(&mut shown, status, columns)];
            frame.extend(self.stages.iter().map(|s| self.stage_line(&mut shown, status, s)));
            frame.extend(waits.map(|wait| format!("  {wait}")));
            stderr::show(frame);
            return;
        }
        let mut text = format!("[{}]", clock(self.begun.elapsed()));
        if let Some(total) = self.read.total_bytes {
            write!(text, " {} % done", percent(self.through(status), total)).ok();
        }
        for stage in &self.stages {
            write!(text, " | {}", self.stage_line(&mut shown, status, stage)).ok();
        }
        if let Some(wait) = waits {
            write!(text, " | {wait}").ok();
        }
        say(&text);
    }

    /// The line about the whole run: how far, how fast, for how long, and how much longer.
    fn bar(&self, shown: &mut Shown, status: &Status, columns: usize) -> String {
        let (done, now) = (self.through(status), Instant::now());
        shown.through.push_back((now, done));
        if shown.through.len() > RATE_LOOKS {
            shown.through.pop_front();
        }
        let (then, before) = shown.through.front().copied().unwrap_or((self.begun, 0));
        let rate = per_second(done.saturating_sub(before), now.duration_since(then));
        let elapsed = now.duration_since(self.begun);
        let (through, rate, clock) = (words::bytes(done), words::bytes(rate), clock(elapsed));
        let Some(total) = self.read.total_bytes else {
            return format!("{} read  {rate}/s  {clock}", words::bytes(self.read.done_bytes()));
        };
        let percent = format!("{:>3} %", percent(done, total));
        let clock = match left(elapsed, done, total) {
            Some(left) => format!("{clock}, left {left}"),
            None => clock,
        };
        let rest = [format!("{through}/{}", words::bytes(total)), format!("{rate}/s"), clock];
        line_of_bar(columns, (done, total), &percent, &rest)
    }

    /// Bytes of the input that have passed every stage, as far as that is seen from this node.
    fn through(&self, status: &Status) -> u64 {
        finished::through(self.read.done_bytes(), &self.graph, status)
    }

    fn stage_line(&self, shown: &mut Shown, status: &Status, stage: &(String, Vec<TaskId>)) -> String {
        let (name, tasks) = stage;
        let (counters, queued, done) = totals(status, tasks);
        let at = self.stages.iter().position(|s| s == stage).unwrap_or(0);
        let now = Instant::now();
        shown.last.resize(self.stages.len(), (self.begun, 0));
        let what = match tasks.first().map(|task| &self.graph.task(*task).kind) {
            // Only its program knows what it is done with.
            Some(TaskKind::Stream(_)) | None => (counters.records_in, "read"),
            Some(TaskKind::Source | TaskKind::Batch(_) | TaskKind::Records(_) | TaskKind::Sink) => {
                (done, "done")
            }
        };
        let (then, before) = std::mem::replace(&mut shown.last[at], (now, what.0));
        let rate = per_second(what.0.saturating_sub(before), now.duration_since(then));
        let mut line = format!("{name}: {} {}, {}/s", words::number(what.0), what.1, words::number(rate));
        for (what, count) in
            [("queued", queued), ("retried", counters.retried_records), ("dead", counters.dead_records)]
        {
            if count > 0 {
                write!(line, ", {} {what}", words::number(count)).ok();
            }
        }
        line
    }

    /// Takes the bar away and says what was done.
    pub(super) fn finish(&self, report: &Report) {
        stderr::show(Vec::new());
        let text = report::text(report, terminal::columns(&std::io::stderr()));
        match self.mode {
            Mode::Silent => {}
            Mode::None => say(&report::in_one_line(report)),
            Mode::Auto | Mode::Bar | Mode::Lines => say(text.trim_end()),
        }
    }
}

/// A bar as long as there is room for; where there is none for a bar and for what is to be said, first how much, then how fast is
/// left out.
fn line_of_bar(columns: usize, (done, total): (u64, u64), percent: &str, rest: &[String; 3]) -> String {
    let [much, fast, clock] = rest;
    // The last column stays free.
    let room = columns.saturating_sub(1);
    let texts = [
        format!("{percent}  {much}  {fast}  {clock}"),
        format!("{percent}  {fast}  {clock}"),
        format!("{percent}  {clock}"),
    ];
    let fits = |text: &&String| width(text) + 1 + BAR_COLUMNS_MIN <= room;
    let text = texts.iter().find(fits).or(texts.iter().find(|text| width(text) <= room)).unwrap_or(&texts[2]);
    let bar = room.saturating_sub(width(text) + 1).min(BAR_COLUMNS);
    if bar < BAR_COLUMNS_MIN {
        return text.clone();
    }
    let filled = u128::from(done.min(total)) * bar as u128 / u128::from(total.max(1));
    let filled = usize::try_from(filled).unwrap_or(bar);
    format!("{}{} {text}", "█".repeat(filled), "░".repeat(bar - filled))
}

/// Never 100 before all is through.
fn percent(done: u64, total: u64) -> u64 {
    done.min(total).saturating_mul(100) / total.max(1)
}

fn per_second(count: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1000 / time.as_millis().max(1)).unwrap_or(u64::MAX)
}

/// `0:07`, `1:02:03`.
fn clock(time: Duration) -> String {
    let (hours, minutes, seconds) = (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How much longer it takes at the rate of the whole run, where that can be told.
fn left(elapsed: Duration, done: u64, total: u64) -> Option<String> {
    let millis =
        elapsed.as_millis() * u128::from(total.saturating_sub(done)) / u128::from(done.min(total)).max(1);
    (done > 0).then(|| clock(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))))
}

/// What waits for something that is in its way, if anything does.
fn waits(watch: &Watch) -> Option<String> {
    let explanation = watch.explanation();
    let groups = explanation.groups();
    let first = groups.iter().find_map(|group| group.iter().find(|chain| chain.stalled))?;
    Some(words::chain(first))
}

fn totals(status: &Status, tasks: &[TaskId]) -> (TaskCounters, u64, u64) {
    let mut all = TaskCounters::default();
    let (mut queued, mut done) = (0, 0);
    for task in status.tasks.iter().filter(|t| tasks.contains(&t.task)) {
        let c = task.counters;
        all.records_in += c.records_in;
        all.bytes_in += c.bytes_in;
        all.records_out += c.records_out;
        all.retried_records += c.retried_records;
        all.dead_records += c.dead_records;
        all.programs += c.programs;
        queued += task.queued_records;
        done += task.done_records;
    }
    (all, queued, done)
}

/// A line on standard error; that it cannot be written is no reason to stop.
fn say(line: &str) {
    crate::logging::say(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_there_is_room_for_and_its_time_is_always_seen() {
        let rest = ["1.20 GiB/2.40 GiB", "112.50 MiB/s", "0:12, left 0:11"].map(str::to_owned);
        for columns in [40, 60, 80, 120, 200] {
            let line = line_of_bar(columns, (1, 2), " 50 %", &rest);
            assert!(width(&line) < columns && line.contains('█'), "{columns}: {line}");
            assert!(line.contains(" 50 %") && line.ends_with("0:12, left 0:11"), "{columns}: {line}");
            assert_eq!(line.contains("GiB"), columns >= 80, "{columns}: {line}");
        }
        assert_eq!(line_of_bar(20, (1, 2), " 50 %", &rest), " 50 %  0:12, left 0:11");
    }
}
