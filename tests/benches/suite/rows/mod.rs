//! The rows, in the order of the table.

mod back;
mod cost;
mod dead;
mod idle;
mod job;
mod journal;
mod latency;
mod link;
mod observed;
mod order;
mod pass;
mod records;
mod short;
mod skew;
mod starts;
mod tasks;
mod trickle;

use super::figure::Figure;
use super::suite::Suite;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) about: fn() -> About,
    pub(crate) measure: fn(&Suite) -> Vec<Figure>,
}

/// What a stranger needs to know to do the same, in Markdown.
pub(crate) struct About {
    pub(crate) input: String,
    /// Programs, as command lines, and how large batches are.
    pub(crate) runs: String,
    /// What the row is held against.
    pub(crate) limit: String,
    /// Blocks of commands and files; mostly none.
    pub(crate) by_hand: String,
}

impl About {
    fn new(input: impl Into<String>, runs: impl Into<String>, limit: impl Into<String>) -> Self {
        Self { input: input.into(), runs: runs.into(), limit: limit.into(), by_hand: String::new() }
    }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: job::NAME,
        what: "479 MB of lines → grep → keyed count in mawk → file, against the shell pipe and GNU parallel",
        about: job::about,
        measure: job::measure,
    },
    Row {
        name: pass::NAME,
        what: "the same lines through cat and cat, against the shell pipe",
        about: pass::about,
        measure: pass::measure,
    },
    Row {
        name: short::NAME,
        what: "116 MB of lines of 2 and 3 bytes through cat and cat, against the shell pipe",
        about: short::about,
        measure: short::measure,
    },
    Row {
        name: link::NAME,
        what: "records between two processes over loopback, against bare TCP",
        about: link::about,
        measure: link::measure,
    },
    Row {
        name: records::NAME,
        what: "`records` with a Python and a Rust program, against the program between two cat",
        about: records::about,
        measure: records::measure,
    },
    Row {
        name: skew::NAME,
        what: "one batch in 50 takes 20 times as long, over 2 and 8 tasks, against GNU parallel",
        about: skew::about,
        measure: skew::measure,
    },
    Row {
        name: latency::NAME,
        what: "how long a record takes, of one hop and of two `records` stages, at 10, 50 and 90 % of the peak rate",
        about: latency::about,
        measure: latency::measure,
    },
    Row {
        name: trickle::NAME,
        what: "a link with little to carry beside a flooded one",
        about: trickle::about,
        measure: trickle::measure,
    },
    Row {
        name: dead::NAME,
        what: "a healthy link while the node of another is dead",
        about: dead::about,
        measure: dead::measure,
    },
    Row {
        name: back::NAME,
        what: "from a node's return to its full rate",
        about: back::about,
        measure: back::measure,
    },
    Row {
        name: tasks::NAME,
        what: "1 to 1,000 tasks: threads, memory, disk, start",
        about: tasks::about,
        measure: tasks::measure,
    },
    Row {
        name: cost::NAME,
        what: "a tuple in the core: by links, by tuples on their way, in instructions",
        about: cost::about,
        measure: cost::measure,
    },
    Row {
        name: journal::NAME,
        what: "commits against one file with one sync, recovery, syncs of a run",
        about: journal::about,
        measure: journal::measure,
    },
    Row {
        name: starts::NAME,
        what: "a process for each record, against posix_spawn",
        about: starts::about,
        measure: starts::measure,
    },
    Row {
        name: idle::NAME,
        what: "memory, wake-ups, start, size of a worker without work",
        about: idle::about,
        measure: idle::measure,
    },
    Row {
        name: order::NAME,
        what: "filters with `-k`, against the same without",
        about: order::about,
        measure: order::measure,
    },
    Row {
        name: observed::NAME,
        what: "a job watched, against the same alone",
        about: observed::about,
        measure: observed::measure,
    },
];

/// What this program is when it is started again by a row.
pub(crate) fn role(name: &str) -> Option<fn(&[String])> {
    match name {
        link::BARE_ROLE => Some(link::bare_receiver),
        link::NODE_ROLE => Some(link::receiving_node),
        records::ROLE => Some(records::answer),
        skew::ROLE => Some(skew::wait),
        latency::GIVER_ROLE => Some(latency::giver),
        latency::TAKER_ROLE => Some(latency::taker),
        _ => None,
    }
}
