//! The columns of both tables: what they show, how wide they are, and what they sort by.

use super::figures::{at_work, count, percent, short};
use super::rows::{LinkRow, StageRow};
use crate::explain::{StageKind, words};
use crate::text::width::fit;

/// A column of a table of `R`s, beside the first, which has the name.
#[derive(Debug)]
pub(super) struct Column<R> {
    pub(super) title: &'static str,
    /// What it is, for the help.
    pub(super) what: &'static str,
    /// The key that sorts by it.
    pub(super) key: char,
    pub(super) width: usize,
    /// The narrowest terminal that shows it.
    pub(super) from_width: usize,
    pub(super) text: fn(&R) -> String,
    /// The largest stands first.
    pub(super) value: fn(&R) -> f64,
}

/// The key that gives the order of the pipeline back.
pub(super) const PIPELINE_ORDER: char = 'p';

#[expect(clippy::cast_precision_loss, reason = "a value to sort by")]
fn float(number: u64) -> f64 {
    number as f64
}

pub(super) const STAGES: &[Column<StageRow>] = &[
    Column {
        title: "IN/S",
        what: "records done a second",
        key: 'i',
        width: 6,
        from_width: 0,
        text: |r| if r.kind == StageKind::Source { "–".to_owned() } else { short(r.in_per_s) },
        value: |r| if r.kind == StageKind::Source { 0.0 } else { r.in_per_s },
    },
    Column {
        title: "OUT/S",
        what: "records given a second",
        key: 'o',
        width: 6,
        from_width: 50,
        text: |r| short(r.out_per_s),
        value: |r| r.out_per_s,
    },
    Column {
        title: "QUEUED",
        what: "records taken and not processed",
        key: 'u',
        width: 7,
        from_width: 0,
        text: |r| count(r.queued),
        value: |r| float(r.queued),
    },
    Column {
        title: "HELD",
        what: "records given and not acknowledged by the stages behind",
        key: 'h',
        width: 6,
        from_width: 60,
        text: |r| count(r.held),
        value: |r| float(r.held),
    },
    Column {
        title: "DEAD",
        what: "records dead-lettered",
        key: 'd',
        width: 6,
        from_width: 40,
        text: |r| count(r.dead),
        value: |r| float(r.dead),
    },
    Column {
        title: "RETRY",
        what: "records given to a program again, counted each time",
        key: 't',
        width: 6,
        from_width: 80,
        text: |r| count(r.retried),
        value: |r| float(r.retried),
    },
    Column {
        title: "BUSY",
        what: "share of the last seconds in which its programs worked; of a stream's, in which it was behind",
        key: 'y',
        width: 5,
        from_width: 0,
        text: |r| at_work(r.kind, r.busy),
        value: |r| r.busy,
    },
    Column {
        title: "BLOCKED BY",
        what: "what it waited for most in the last seconds, and for which share of them",
        key: 'b',
        width: 15,
        from_width: 70,
        text: |r| {
            let said = r.blocked.map(|(kind, share)| format!("{} {}", kind.row().word, percent(share)));
            said.unwrap_or_else(|| "–".to_owned())
        },
        value: |r| r.blocked.map_or(0.0, |(_, share)| share),
    },
    Column {
        title: "BEHIND",
        what: "what its sources have not read of the files that they follow",
        key: 'l',
        width: 8,
        from_width: 96,
        text: |r| r.lag_bytes.map_or_else(|| "–".to_owned(), words::bytes),
        value: |r| r.lag_bytes.map_or(-1.0, float),
    },
    Column {
        title: "TASKS",
        what: "tasks that were heard of, of all there are",
        key: 's',
        width: 7,
        from_width: 110,
        text: |r| {
            let (heard, all) = r.tasks;
            if heard == all { all.to_string() } else { format!("{heard}/{all}") }
        },
        value: |r| float(r.tasks.1),
    },
    Column {
        title: "NODES",
        what: "where they run",
        key: 'n',
        width: 12,
        from_width: 130,
        text: |r| fit(&r.nodes, 12),
        value: |r| float(r.nodes.matches(',').count() as u64),
    },
];

pub(super) const LINKS: &[Column<LinkRow>] = &[
    Column {
        title: "ACK/S",
        what: "records acknowledged a second",
        key: 'i',
        width: 6,
        from_width: 0,
        text: |r| short(r.per_s),
        value: |r| r.per_s,
    },
    Column {
        title: "HELD",
        what: "records sent on and not acknowledged",
        key: 'h',
        width: 6,
        from_width: 0,
        text: |r| count(r.held),
        value: |r| float(r.held),
    },
    Column {
        title: "MEMORY",
        what: "their bytes in memory",
        key: 'm',
        width: 8,
        from_width: 0,
        text: |r| words::bytes(r.memory_bytes),
        value: |r| float(r.memory_bytes),
    },
    Column {
        title: "ON DISK",
        what: "their bytes on disk",
        key: 'd',
        width: 8,
        from_width: 60,
        text: |r| words::bytes(r.spilled_bytes),
        value: |r| float(r.spilled_bytes),
    },
    Column {
        title: "IN FLIGHT",
        what: "records sent and not acknowledged",
        key: 'f',
        width: 10,
        from_width: 100,
        text: |r| count(r.in_flight),
        value: |r| float(r.in_flight),
    },
    Column {
        title: "RETRY",
        what: "records sent more than once",
        key: 't',
        width: 6,
        from_width: 60,
        text: |r| count(r.retried),
        value: |r| float(r.retried),
    },
    Column {
        title: "CREDIT",
        what: "what the receiver still takes",
        key: 'c',
        width: 8,
        from_width: 110,
        text: |r| r.credit_bytes.map_or_else(|| "–".to_owned(), words::bytes),
        value: |r| r.credit_bytes.map_or(-1.0, float),
    },
    Column {
        title: "UNMOVED",
        what: "for how long nothing was acknowledged while something was held",
        key: 'b',
        width: 12,
        from_width: 70,
        text: |r| if r.unmoved_s < 1.0 { "–".to_owned() } else { words::duration(r.unmoved_s) },
        value: |r| r.unmoved_s,
    },
];

/// By what a table is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SortOrder {
    /// A column; `None`: the order of the pipeline.
    pub(super) by: Option<usize>,
    pub(super) reversed: bool,
}

impl SortOrder {
    pub(super) fn sort<R>(self, rows: &mut [R], columns: &[Column<R>]) {
        if let Some(column) = self.by.and_then(|index| columns.get(index)) {
            rows.sort_by(|a, b| (column.value)(b).total_cmp(&(column.value)(a)));
        }
        if self.reversed {
            rows.reverse();
        }
    }

    /// The order that a key asks for; asked again, it is turned around.
    pub(super) fn by_key<R>(self, key: char, columns: &[Column<R>]) -> Option<Self> {
        let by = if key == PIPELINE_ORDER {
            None
        } else {
            Some(columns.iter().position(|column| column.key == key)?)
        };
        Some(Self { by, reversed: self.by == by && !self.reversed })
    }

    /// The column to the right or left of the present one, among the order of the pipeline and those that are seen.
    pub(super) fn beside<R>(self, to_the_right: bool, columns: &[Column<R>], width: usize) -> Self {
        let seen: Vec<Option<usize>> = std::iter::once(None)
            .chain((0..columns.len()).filter(|index| columns[*index].from_width <= width).map(Some))
            .collect();
        let at = seen.iter().position(|by| *by == self.by).unwrap_or(0);
        let next = if to_the_right { (at + 1) % seen.len() } else { (at + seen.len() - 1) % seen.len() };
        Self { by: seen[next], reversed: false }
    }
}
