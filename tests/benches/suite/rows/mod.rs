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
mod skew;
mod starts;
mod tasks;
mod trickle;

use super::figure::Figure;
use super::suite::Suite;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) measure: fn(&Suite) -> Vec<Figure>,
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: job::NAME,
        what: "479 MB of lines → grep → keyed count in mawk → file, against the shell pipe and GNU parallel",
        measure: job::measure,
    },
    Row {
        name: pass::NAME,
        what: "the same lines through cat and cat, against the shell pipe",
        measure: pass::measure,
    },
    Row {
        name: link::NAME,
        what: "records between two processes over loopback, against bare TCP",
        measure: link::measure,
    },
    Row {
        name: records::NAME,
        what: "`records` with a Python and a Rust program, against the program between two cat",
        measure: records::measure,
    },
    Row {
        name: skew::NAME,
        what: "one batch in 50 takes 20 times as long, over 2 and 8 tasks, against GNU parallel",
        measure: skew::measure,
    },
    Row {
        name: latency::NAME,
        what: "how long a record takes, of one hop and of two `records` stages, at 10, 50 and 90 % of the peak rate",
        measure: latency::measure,
    },
    Row {
        name: trickle::NAME,
        what: "a link with little to carry beside a flooded one",
        measure: trickle::measure,
    },
    Row {
        name: dead::NAME,
        what: "a healthy link while the node of another is dead",
        measure: dead::measure,
    },
    Row { name: back::NAME, what: "from a node's return to its full rate", measure: back::measure },
    Row {
        name: tasks::NAME,
        what: "1 to 1,000 tasks: threads, memory, disk, start",
        measure: tasks::measure,
    },
    Row {
        name: cost::NAME,
        what: "a tuple in the core: by links, by tuples on their way, in instructions",
        measure: cost::measure,
    },
    Row {
        name: journal::NAME,
        what: "commits against one file with one sync, recovery, syncs of a run",
        measure: journal::measure,
    },
    Row {
        name: starts::NAME,
        what: "a process for each record, against posix_spawn",
        measure: starts::measure,
    },
    Row {
        name: idle::NAME,
        what: "memory, wake-ups, start, size of a worker without work",
        measure: idle::measure,
    },
    Row { name: order::NAME, what: "filters with `-k`, against the same without", measure: order::measure },
    Row { name: observed::NAME, what: "a job watched, against the same alone", measure: observed::measure },
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
