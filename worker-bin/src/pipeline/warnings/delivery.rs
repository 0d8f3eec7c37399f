//! What exactly-once cannot do for ends that are no files, a line each.

use super::reached;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{EarlyExit, Mode, Origin, Pipeline, SinkTarget, SourceInput};
use crate::pipeline::units::format_size;
use crate::pipeline::warnings::whole_input::endless;
use std::collections::BTreeSet;

/// Nothing where delivery is in memory.
pub(super) fn exactly_once(pipeline: &Pipeline) -> Vec<Problem> {
    if pipeline.delivery == Delivery::Memory {
        return Vec::new();
    }
    let sources = pipeline.sources.iter().filter_map(|source| {
        let what = match &source.input {
            SourceInput::Files { .. } => return None,
            SourceInput::Stdin => {
                "standard input is journaled as it is read; at a crash, what was not read yet is lost, and what is piped in \
                 again counts again (a `file` is continued by itself)"
            }
            SourceInput::Program(_) => {
                "at a crash, what the program printed and was not in the journal yet is lost, or comes again if the \
                 program repeats it when it is run again"
            }
        };
        Some(format!("source `{}`: {what}", source.name))
    });
    let sinks = pipeline.sinks.iter().filter_map(|sink| {
        let what = match &sink.target {
            SinkTarget::File { .. } | SinkTarget::Directory { .. } => return None,
            SinkTarget::Stdout => {
                "after a crash, the last records may be printed again (a `file` gets each once)"
            }
            SinkTarget::Program(_) => {
                "after a crash, the program may be given the last records again (a `file` gets each once)"
            }
        };
        Some(format!("sink `{}` is at least once: {what}", sink.name))
    });
    sources.chain(sinks).chain(unbounded(pipeline)).map(Problem::new).collect()
}

/// Streams whose journal grows as long as something comes in; those behind what is known never to end are told otherwise.
fn unbounded(pipeline: &Pipeline) -> Vec<String> {
    let mut behind: BTreeSet<usize> = BTreeSet::new();
    let mut behind_endless: BTreeSet<usize> = BTreeSet::new();
    for (index, source) in pipeline.sources.iter().enumerate() {
        let found = match &source.input {
            SourceInput::Files { .. } => continue,
            SourceInput::Program(program) if endless(&program.argv) => &mut behind_endless,
            SourceInput::Stdin | SourceInput::Program(_) => &mut behind,
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
