//! What a run shows while it goes on: a bar where there is a terminal, a line every few seconds where there is none. A node without work
//! says no line twice, but one of what is waited for whenever that changes.
//!
//! Progress goes to standard error; standard output belongs to the data.

mod waiting;

use super::observe::Watch;
use crate::explain::{Snapshot, Task, words};
use crate::pipeline::plan::Plan;
use crate::report::{self, Report};
use crate::stderr;
use crate::text::terminal;
use crate::text::units::per_cent;
use crate::text::width::width;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;
use waiting::{Said, Waiting};
use worker_core::config::TaskKind;

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

/// Shows how far a run is: what [`Snapshot`] says of it, as the page and `top` do.
#[derive(Debug)]
pub(super) struct Progress {
    mode: Mode,
    /// Those with tasks here, in the order of the pipeline.
    stages: Vec<Shown>,
    part: Part,
    said: Said,
}

/// A stage that has a line.
#[derive(Debug)]
struct Shown {
    name: String,
    /// What its number counts.
    counted: &'static str,
}

/// Of what this node's figures are.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Whose work is done.
    whose: &'static str,
    /// Input is read here.
    reads: bool,
}

/// Columns of the bar itself.
const BAR_COLUMNS: usize = 30;
/// A shorter bar says nothing.
const BAR_COLUMNS_MIN: usize = 5;

impl Progress {
    pub(super) fn new(plan: &Plan, mode: Mode) -> Self {
        let mode = match mode {
            Mode::Auto if stderr::draws() => Mode::Bar,
            Mode::Bar if stderr::draws() || !std::io::stderr().is_terminal() => Mode::Bar,
            Mode::Auto | Mode::Bar => Mode::Lines,
            Mode::Lines | Mode::None | Mode::Silent => mode,
        };
        let mut stages: Vec<Shown> = Vec::new();
        let mut reads = false;
        for task in &plan.local {
            let counted = match plan.graph.task(task.id).kind {
                // Only its program knows what it is done with.
                TaskKind::Stream(_) => "read by its program",
                TaskKind::Source | TaskKind::Batch(_) | TaskKind::Records(_) | TaskKind::Sink => "done",
            };
            reads |= matches!(plan.graph.task(task.id).kind, TaskKind::Source);
            if stages.last().is_none_or(|last| last.name != task.stage) {
                stages.push(Shown { name: task.stage.clone(), counted });
            }
        }
        let whose = if plan.nodes.len() > 1 { "this node's stages" } else { "all stages" };
        Self { mode, stages, part: Part { whose, reads }, said: Said::default() }
    }

    /// Shows progress until the run is over.
    pub(super) fn start(self: &Arc<Self>, watch: &Arc<Watch>) {
        let every = match self.mode {
            Mode::None | Mode::Silent => return,
            Mode::Bar => BAR_EVERY,
            Mode::Auto | Mode::Lines => LINE_EVERY,
        };
        let (progress, watch) = (Arc::downgrade(self), Arc::clone(watch));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(progress) = progress.upgrade() else { return };
                progress.show(&watch);
                drop(progress);
                // A line says nothing new while nothing happens; a bar has a clock that goes on.
                if every == LINE_EVERY {
                    watch.until_it_goes_on().await;
                }
            }
        });
    }

    fn show(&self, watch: &Watch) {
        let now = watch.snapshot();
        let waiting = Waiting::of(&now, &watch.explanation());
        if self.mode == Mode::Bar {
            let columns = terminal::size(&std::io::stderr()).0;
            let mut frame = vec![bar(self.part, &now, columns)];
            frame.extend(self.stages.iter().map(|stage| stage_line(&now, stage)));
            frame.extend(waiting.map(|waiting| format!("  {}", waiting.text)));
            stderr::show(frame);
            return;
        }
        if self.said.is_news(&now, waiting.as_ref()) {
            say(&self.line_of(&now, waiting));
        }
    }

    /// All of it in one line.
    pub(super) fn line(&self, now: &Snapshot, watch: &Watch) -> String {
        self.line_of(now, Waiting::of(now, &watch.explanation()))
    }

    fn line_of(&self, now: &Snapshot, waiting: Option<Waiting>) -> String {
        let mut text = format!("[{}]", clock(now.uptime_s));
        if let Some(total) = total(now) {
            let (share, read) = (per_cent(now.through_bytes, total), words::bytes(now.read_bytes));
            let whose = self.part.whose;
            write!(text, " {share} % done by {whose}, {read} of {} read", words::bytes(total)).ok();
        }
        for stage in &self.stages {
            write!(text, " | {}", stage_line(now, stage)).ok();
        }
        if let Some(waiting) = waiting {
            write!(text, " | {}", waiting.text).ok();
        }
        text
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

/// The size of all input, where it is known.
fn total(now: &Snapshot) -> Option<u64> {
    now.total_bytes.filter(|total| *total > 0)
}

/// The line about the whole run: how far, how fast, for how long, and how much longer.
fn bar(part: Part, now: &Snapshot, columns: usize) -> String {
    let elapsed = format!("{} elapsed", clock(now.uptime_s));
    let time = match now.left_s {
        Some(left) => format!("{elapsed}, {} left", clock(left)),
        None => elapsed.clone(),
    };
    let (through, read) = (words::bytes(now.through_bytes), words::bytes(now.read_bytes));
    let (rate, whose) = (report::bytes_rate(now.through_bytes_per_s), part.whose);
    // The last column stays free.
    let room = columns.saturating_sub(1);
    let Some(total) = total(now) else {
        let texts = [
            format!("{read} read, {through} done by {whose}  {rate}/s  {time}"),
            format!("{read} read  {rate}/s  {time}"),
            elapsed,
        ];
        return longest(if part.reads { &texts } else { &texts[2..] }, room).to_owned();
    };
    let (share, all) = (format!("{:>3} %", per_cent(now.through_bytes, total)), words::bytes(total));
    let beside = [
        format!("{share} done by {whose}: {through} of {all}, {read} read  {rate}/s  {time}"),
        format!("{share} done by {whose}: {through} of {all}  {rate}/s  {time}"),
        format!("{share} done: {through} of {all}  {rate}/s  {time}"),
        format!("{share} done  {rate}/s  {time}"),
        format!("{share}  {time}"),
    ];
    match beside.iter().find(|text| width(text) + 1 + BAR_COLUMNS_MIN <= room) {
        Some(text) => {
            let columns = (room - width(text) - 1).min(BAR_COLUMNS);
            let filled = u128::from(now.through_bytes.min(total)) * columns as u128 / u128::from(total);
            let filled = usize::try_from(filled).unwrap_or(columns);
            format!("{}{} {text}", "█".repeat(filled), "░".repeat(columns - filled))
        }
        // What is said matters more than the picture.
        None => {
            let alone = [&beside[3..], &[format!("{share}  {elapsed}"), share]].concat();
            longest(&alone, room).to_owned()
        }
    }
}

/// The first that fits, else the last.
fn longest(texts: &[String], room: usize) -> &str {
    texts.iter().find(|text| width(text) <= room).or(texts.last()).map_or("", String::as_str)
}

fn stage_line(now: &Snapshot, stage: &Shown) -> String {
    let tasks: Vec<&Task> = now.tasks.iter().filter(|task| task.stage == stage.name).collect();
    let sum = |field: fn(&Task) -> u64| tasks.iter().map(|task| field(task)).sum::<u64>();
    let rate = report::rate(tasks.iter().map(|task| task.in_per_s).sum());
    let done = words::number(sum(|task| task.done_records));
    let mut line = format!("{}: {done} {}, {rate}/s", stage.name, stage.counted);
    for (what, count) in [
        ("queued", sum(|task| task.queued_records)),
        ("retried (each time)", sum(|task| task.counters.retried_records)),
        ("dead", sum(|task| task.counters.dead_records)),
    ] {
        if count > 0 {
            write!(line, ", {} {what}", words::number(count)).ok();
        }
    }
    line
}

/// `0:07`, `1:02:03`.
fn clock(seconds: f64) -> String {
    let all = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A line on standard error; that it cannot be written is no reason to stop.
fn say(line: &str) {
    crate::logging::say(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::sample;

    const HERE: Part = Part { whose: "all stages", reads: true };

    /// Half of the input is through, and all of it read.
    fn half() -> Snapshot {
        let (through_bytes, total_bytes, left_s) = (1200 << 20, Some(2400 << 20), Some(11.0));
        let (read_bytes, uptime_s, through_bytes_per_s) = (2400 << 20, 12.0, 112.0 * 1_048_576.0);
        let sample = sample::calm();
        Snapshot { through_bytes, total_bytes, left_s, read_bytes, uptime_s, through_bytes_per_s, ..sample }
    }

    #[test]
    fn a_bar_is_as_long_as_there_is_room_for_and_its_time_is_always_seen_with_its_name() {
        for columns in [40, 60, 80, 120, 200] {
            let line = bar(HERE, &half(), columns);
            assert!(width(&line) < columns && line.contains('█'), "{columns}: {line}");
            assert!(line.contains(" 50 %") && line.ends_with("0:12 elapsed, 0:11 left"), "{columns}: {line}");
            assert_eq!(line.contains("GiB"), columns >= 80, "{columns}: {line}");
        }
        assert_eq!(bar(HERE, &half(), 32), " 50 %  0:12 elapsed, 0:11 left");
        assert_eq!(bar(HERE, &half(), 24), " 50 %  0:12 elapsed");
        assert_eq!(bar(HERE, &half(), 10), " 50 %");
    }

    #[test]
    fn per_cent_says_of_what_it_is_and_what_was_read_is_no_part_of_it() {
        let stuck = Snapshot { through_bytes: 0, through_bytes_per_s: 0.0, left_s: None, ..half() };
        let line = bar(HERE, &stuck, 80);
        assert!(line.contains("  0 % done by all stages: 0 B of 2.3 GiB  0 B/s  0:12 elapsed"), "{line}");
        assert!(bar(HERE, &stuck, 120).contains("0 B of 2.3 GiB, 2.3 GiB read"), "{line}");
        let node = Part { whose: "this node's stages", reads: true };
        assert!(bar(node, &half(), 200).contains(" 50 % done by this node's stages: "));
        let endless = Snapshot { total_bytes: None, ..stuck };
        assert_eq!(bar(HERE, &endless, 80), "2.3 GiB read, 0 B done by all stages  0 B/s  0:12 elapsed");
        assert_eq!(bar(Part { reads: false, ..node }, &endless, 80), "0:12 elapsed");
    }

    #[test]
    fn the_line_of_a_stage_has_the_rates_of_its_tasks_and_says_what_is_counted() {
        let mut now = sample::calm();
        (now.tasks[1].in_per_s, now.tasks[2].in_per_s) = (86.4, 0.5);
        let stage = |counted| Shown { name: "errors".to_owned(), counted };
        let line = stage_line(&now, &stage("done"));
        assert!(line.starts_with("errors: 4 000 done, 87/s, "), "{line}");
        assert!(line.contains(", 10 retried (each time), "), "{line}");
        let line = stage_line(&now, &stage("read by its program"));
        assert!(line.starts_with("errors: 4 000 read by its program, 87/s"), "{line}");
    }
}
