//! `worker status`: the state of running workers.

use super::args::StatusArgs;
use super::find::{ask, find, line};
use super::{FAILED, Failure};
use crate::admin::registry;
use crate::child::Containment;
use crate::cli::exit::say;
use crate::cli::{print, print_json};
use crate::explain::{Drain, RunState, Snapshot, Stage, Task, Why, words};
use crate::report;
use crate::text::escape::one_line;
use crate::text::table::{Column, Table};
use crate::text::terminal;
use crate::text::width::{left, width, wrapped_keeping_indent};
use std::fmt::Write as _;
use std::process::ExitCode;

pub(super) async fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    if args.list {
        return list(args.json);
    }
    let heard = ask(&find(&args.target)?).await;
    for note in &heard.notes {
        say(&format!("warning: {}", words::foreign(note)));
    }
    if heard.snapshots.is_empty() {
        return Err(Failure::new(FAILED, "no worker answers"));
    }
    if args.json {
        return Ok(print_json(&heard.snapshots).exit_code());
    }
    let room = terminal::columns(&std::io::stdout());
    let said: Vec<_> = heard.snapshots.iter().map(|snapshot| short(snapshot, room)).collect();
    Ok(print(&said.join("\n")).exit_code())
}

fn list(json: bool) -> Result<ExitCode, Failure> {
    let dir = registry::dir();
    let found = registry::list().map_err(|error| {
        Failure::new(FAILED, format!("cannot read the runtime directory {}: {error}", dir.display()))
    })?;
    if json {
        let entries: Vec<_> =
            found.iter().map(|f| serde_json::json!({ "alive": f.alive, "worker": f.entry })).collect();
        return Ok(print_json(&entries).exit_code());
    }
    if found.is_empty() {
        return Ok(print(&(registry::none_found("") + "\n")).exit_code());
    }
    let lines: Vec<_> = found.iter().map(line).collect();
    Ok(print(&format!("{}\n(entries with tokens: {})\n", lines.join("\n"), dir.display())).exit_code())
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Draining => "stopping",
        RunState::Done => "done",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}

/// That of a node that runs, or ran.
fn state_of(snapshot: &Snapshot) -> &'static str {
    match snapshot.drain {
        Some(Drain::UnderWay) => "draining",
        Some(Drain::Done) => "drained",
        None => state(snapshot.state),
    }
}

/// One node in a line a stage.
fn short(snapshot: &Snapshot, room: Option<usize>) -> String {
    let mut text = format!(
        "{} on node {} ({}, {}, pid {}), for {}\n",
        snapshot.pipeline,
        snapshot.node,
        snapshot.delivery,
        state_of(snapshot),
        snapshot.pid,
        words::duration(snapshot.uptime_s)
    );
    let rows: Vec<_> = snapshot.stages.iter().map(|stage| cells(snapshot, stage)).collect();
    for line in lines(&rows, room) {
        text.push_str(&line);
        text.push('\n');
    }
    let memory = &snapshot.memory;
    writeln!(
        text,
        "  records held: {} in memory, {} on disk; process: {}",
        words::bytes(memory.held_bytes),
        words::bytes(memory.spilled_bytes),
        words::bytes(memory.resident_bytes)
    )
    .ok();
    if let Some(containment) = Containment::of(&snapshot.containment) {
        writeln!(text, "  programs end with the worker, by {containment}").ok();
    }
    text
}

/// Without heads: each cell says what it is.
const COLUMNS: [Column; 4] =
    [Column::left("", None, 0), Column::right("", 2), Column::right("", 3), Column::right("", 4)];

/// Blanks before a stage, and before what goes on in a line of its own.
const INDENT: usize = 2;

/// A stage in a line where all fit; else what does not fit stands below it. Nothing is cut or left out.
fn lines(rows: &[Row], room: Option<usize>) -> Vec<String> {
    let cells: Vec<_> = rows.iter().map(|row| row.cells.to_vec()).collect();
    let table = Table::lines(&COLUMNS, &cells, INDENT, None);
    let fits = |wide: usize| room.is_none_or(|room| wide <= room);
    let wide = table.iter().map(|line| width(line)).max().unwrap_or(0);
    let mut all = Vec::new();
    for (line, row) in table.into_iter().zip(rows) {
        let [name, counts @ ..] = &row.cells;
        let beside = left(&line, wide) + "  " + &row.rest;
        match () {
            () if !fits(wide) => {
                let counts = counts.iter().filter(|count| !count.is_empty());
                let said: Vec<&str> = counts
                    .chain(Some(&row.rest).filter(|rest| !rest.is_empty()))
                    .map(String::as_str)
                    .collect();
                all.extend(below(name, INDENT, room));
                all.extend(below(&said.join(", "), 2 * INDENT, room));
            }
            () if fits(width(beside.trim_end())) => all.push(beside.trim_end().to_owned()),
            () => {
                all.push(line);
                all.extend(below(&row.rest, 2 * INDENT, room));
            }
        }
    }
    all
}

fn below(text: &str, indent: usize, room: Option<usize>) -> Vec<String> {
    let line = " ".repeat(indent) + text;
    match room {
        Some(room) => wrapped_keeping_indent(&line, room, &" ".repeat(indent)),
        None => vec![line],
    }
}

/// How far behind the files are that its tasks follow, or that all that is there was read.
fn followed(tasks: &[&Task]) -> Vec<String> {
    let lag = tasks.iter().filter_map(|task| task.lag_bytes).reduce(|a, b| a + b);
    let behind = lag.filter(|&lag| lag > 0).map(|lag| format!("{} behind", words::bytes(lag)));
    let awaited = |task: &&Task| {
        task.waits.iter().find_map(|wait| {
            let Why::AwaitingLines { files, .. } = &wait.why else { return None };
            Some(format!("waits for new lines in {}", words::foreign(files)))
        })
    };
    let awaited = tasks.iter().map(awaited).collect::<Option<Vec<_>>>();
    behind.into_iter().chain(awaited.and_then(|awaited| awaited.into_iter().next())).collect()
}

/// What is said of a stage.
struct Row {
    /// Its name, what came in and went out, and its rate.
    cells: [String; 4],
    rest: String,
}

fn cells(snapshot: &Snapshot, stage: &Stage) -> Row {
    let name = one_line(stage.name.as_bytes());
    let tasks: Vec<_> = snapshot.tasks.iter().filter(|task| task.stage == stage.name).collect();
    if tasks.is_empty() {
        let rest = format!("on {}", one_line(stage.nodes.join(", ").as_bytes()));
        return Row { cells: [name, String::new(), String::new(), String::new()], rest };
    }
    let sum = |field: fn(&Task) -> u64| tasks.iter().map(|task| field(task)).sum::<u64>();
    let rate: f64 = tasks.iter().map(|task| task.in_per_s).sum();
    let paused = tasks.iter().filter(|task| task.paused).count();
    let mut rest = Vec::new();
    match paused {
        0 => {}
        all if all == tasks.len() => rest.push("paused".to_owned()),
        some => rest.push(format!("{some} of {} tasks paused", tasks.len())),
    }
    for (what, count) in [
        ("queued", sum(|t| t.queued_records)),
        ("retried", sum(|t| t.counters.retried_records)),
        ("dead", sum(|t| t.counters.dead_records)),
        ("left out", sum(|t| t.counters.left_out_records)),
    ] {
        if count > 0 {
            rest.push(format!("{} {what}", words::number(count)));
        }
    }
    rest.extend(followed(&tasks));
    let count = |count, what| format!("{} {what}", words::number(count));
    // What is not done is queued, also where a program has it in hand.
    let taken = sum(|t| t.done_records);
    let given = sum(|t| t.counters.records_out);
    let cells = [name, count(taken, "in"), count(given, "out"), format!("{}/s", report::rate(rate))];
    Row { cells, rest: rest.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name: &str, counts: [&str; 3], rest: &str| Row {
            cells: [name, counts[0], counts[1], counts[2]].map(str::to_owned),
            rest: rest.to_owned(),
        };
        vec![
            row("rows", ["5 882 701 in", "5 882 701 out", "850 534/s"], "1 208 left out"),
            row("municipal_and_county", ["4 in", "3 out", "0/s"], "12 queued, 3 retried, 14 dead"),
            row("out", ["", "", ""], "on b"),
        ]
    }

    #[test]
    fn where_there_is_room_a_stage_has_a_line() {
        let wide = lines(&rows(), None);
        assert_eq!(wide, lines(&rows(), Some(100)));
        assert_eq!(
            wide[1],
            "  municipal_and_county          4 in          3 out        0/s  12 queued, 3 retried, 14 dead"
        );
    }

    #[test]
    fn no_word_is_cut_or_left_out_in_any_room() {
        let said = |lines: &[String]| {
            let mut words: Vec<String> = lines
                .join(" ")
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            words.sort_unstable();
            words
        };
        let all = said(&lines(&rows(), None));
        for room in 24..100 {
            let narrow = lines(&rows(), Some(room));
            assert_eq!(said(&narrow), all, "{room}");
            assert!(narrow.iter().all(|line| width(line) <= room), "{room}: {narrow:#?}");
        }
        let narrow = lines(&rows(), Some(80));
        assert_eq!(
            narrow[1..3],
            [
                "  municipal_and_county          4 in          3 out        0/s",
                "    12 queued, 3 retried, 14 dead",
            ]
        );
    }
}
