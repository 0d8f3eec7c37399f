//! What exactly-once cannot do for ends that are no files, a line each.

use super::reached;
use crate::io::source::Ending;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{EarlyExit, Mode, Origin, Pipeline};
use crate::text::units::format_size;
use std::collections::BTreeSet;

/// Nothing where delivery is in memory.
pub(super) fn exactly_once(pipeline: &Pipeline) -> Vec<Problem> {
    if pipeline.delivery == Delivery::Memory {
        return Vec::new();
    }
    let sources = pipeline.sources.iter().filter_map(|source| {
        let what = source.input.at_a_crash()?;
        Some(format!("source `{}`: {what}", source.name))
    });
    let sinks = pipeline.sinks.iter().filter_map(|sink| {
        let what = sink.target.at_a_crash()?;
        Some(format!("sink `{}` is at least once: {what}", sink.name))
    });
    sources.chain(sinks).chain(unbounded(pipeline)).map(Problem::new).collect()
}

/// Streams whose journal grows as long as something comes in; those behind what is known never to end are told otherwise.
fn unbounded(pipeline: &Pipeline) -> Vec<String> {
    let mut behind: BTreeSet<usize> = BTreeSet::new();
    let mut behind_endless: BTreeSet<usize> = BTreeSet::new();
    for (index, source) in pipeline.sources.iter().enumerate() {
        let found = match source.input.ending() {
            Ending::Certain => continue,
            Ending::Never => &mut behind_endless,
            Ending::Unknown => &mut behind,
        };
        found.extend(reached(pipeline, Origin::Source(index)));
    }
    let mut lines = Vec::new();
    for &index in behind.difference(&behind_endless) {
        let Mode::Stream(stream) = &pipeline.stages[index].mode else { continue };
        if stream.window.is_none() && stream.early_exit == EarlyExit::Error {
            lines.push(format!(
                "stage `{}`: without `window`, everything it reads stays in the journal until its input ends, up to replay_limit = \"{}\"",
                pipeline.stages[index].name,
                format_size(stream.replay_limit_bytes)
            ));
        }
    }
    lines
}
