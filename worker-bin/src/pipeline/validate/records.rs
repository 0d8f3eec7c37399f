//! What a program that answers each record cannot be given.

use super::Joined;
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{Header, Mode, Origin};

/// Headers that would head requests.
pub(in crate::pipeline) fn records(joined: &Joined) -> Vec<Problem> {
    let mut problems = Vec::new();
    for stage in joined.stages.iter().filter(|stage| matches!(stage.mode, Mode::Records(_))) {
        for origin in &stage.from {
            let Origin::Source(index) = *origin else { continue };
            let source = &joined.sources[index];
            if source.header == Header::Repeat {
                let title = format!("`{}` answers requests, and cannot be given a header", stage.name);
                problems.push(
                    Problem::at(&stage.at, title, format!("reads `{}`", source.name))
                        .also(&source.at, "header = \"repeat\" heads batches and streams")
                        .help("use header = \"skip\", or put a stage between that makes each record whole"),
                );
            }
        }
    }
    problems
}
