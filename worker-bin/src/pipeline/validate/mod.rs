//! Checks that need more than one key: what leads where, and what excludes what.

mod ends;
mod framing;
mod graph;
mod handed;
mod headed;
mod keys;
mod records;
mod test;

pub(super) use ends::{Nodes, contradictory_ends, overlapping_ends};
pub(super) use framing::long_records;
pub(super) use graph::{Joined, join};
pub(super) use handed::handed;
pub(super) use headed::headed;
pub(super) use keys::key_rules;
pub(super) use records::records;
pub(super) use test::tests;

use super::diagnostics::{At, Problem};
use super::keys::pipeline::Head;
use crate::io::chunker::MAX_RECORD_BYTES_OF_FRAME;
use crate::text::units::format_size;
use worker_proto::limits::{FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES};

/// Bytes that a record costs beside its own, against credit: a byte that ends it and its end offset.
const RECORD_OVERHEAD_BYTES: u64 = 5;

/// A record fits a frame, and credit takes at least one.
pub(super) fn budgets(head: &Head) -> Vec<Problem> {
    let budgets = &head.budgets;
    let most = MAX_RECORD_BYTES_OF_FRAME;
    let nowhere = At::default();
    let max_record_at = head.max_record_at.as_ref();
    if budgets.max_record_bytes > most {
        let title = format!("`max_record` of {} fits no frame", format_size(budgets.max_record_bytes));
        let label = format!(
            "at most {most} bytes: a frame has {} with {} bytes around the record",
            format_size(FRAME_BYTES_MAX as u64),
            FRAME_OVERHEAD_BYTES + 1
        );
        return vec![
            Problem::at(max_record_at.unwrap_or(&nowhere), title, label)
                .help("split longer records before they come here, or let them name a file"),
        ];
    }
    let needed = budgets.max_record_bytes + RECORD_OVERHEAD_BYTES;
    if budgets.credit_bytes < needed {
        let title = format!(
            "`credit` of {} does not take one record of `max_record`, {}",
            format_size(budgets.credit_bytes),
            format_size(budgets.max_record_bytes)
        );
        let at = head.credit_at.as_ref().or(max_record_at).unwrap_or(&nowhere);
        return vec![
            Problem::at(at, title, format!("credit has to be at least {needed} bytes"))
                .help("raise `credit` or lower `max_record`"),
        ];
    }
    Vec::new()
}
