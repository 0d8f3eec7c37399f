//! What a finished run has written, and whether it is still there.

use crate::io::sink::SinkError;
use crate::manifest::journal_dir;
use crate::pipeline::plan::{LocalTask, Plan, Role};
use std::path::Path;
use worker_journal::{DirStorage, committed_position};

/// Says of the files that the finished run in `state` has written which of them are not as it left them, if any. That is no
/// fault: a result is used where its owner puts it.
#[must_use]
pub fn no_longer_there(plan: &Plan, state: &Path) -> Option<String> {
    let mut changed = plan.local.iter().filter_map(|task| since_then(task, state).err());
    let first = changed.next()?.afterwards();
    let more = match changed.count() {
        0 => String::new(),
        1 => ", and one more file is not as it was".to_owned(),
        more => format!(", and {more} more files are not as they were"),
    };
    Some(format!("{first}{more}; nothing is written again unless you start over"))
}

/// What has become of a sink's file since the end; nothing if that is not known.
fn since_then(task: &LocalTask, state: &Path) -> Result<(), SinkError> {
    let Role::Sink(sink) = &task.role else { return Ok(()) };
    let journal = DirStorage::existing(&journal_dir(state, &task.name)).ok();
    let position = journal.and_then(|journal| committed_position(&journal, &task.name).ok().flatten());
    position.map_or(Ok(()), |position| sink.target.delivered(&position))
}
