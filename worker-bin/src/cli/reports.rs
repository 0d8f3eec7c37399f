//! `--report`: looked at before a run begins, so that hours later there is no surprise.

use crate::pipeline::Pipeline;
use crate::pipeline::plan::{Plan, Role, Target};
use crate::report::{Busy, ReportFile, ReportFileError};
use std::path::PathBuf;

/// The files of `--report`, each found writable and none of them a file of the run itself.
///
/// # Errors
/// The first that will not do.
pub(super) fn check(
    paths: &[PathBuf],
    pipeline: &Pipeline,
    plan: &Plan,
) -> Result<Vec<ReportFile>, ReportFileError> {
    let busy = if paths.is_empty() { Vec::new() } else { own_files(pipeline, plan) };
    paths.iter().map(|path| ReportFile::check(path, &busy)).collect()
}

/// What the run reads and writes.
fn own_files(pipeline: &Pipeline, plan: &Plan) -> Vec<Busy> {
    let mut own = Vec::new();
    for task in &plan.local {
        match &task.role {
            Role::Sink(sink) => {
                if let Target::File { path, .. } = &sink.target {
                    own.push(Busy { path: path.clone(), what: format!("written by sink {}", task.stage) });
                }
            }
            Role::Source(source) => {
                let crate::pipeline::SourceInput::Files { pattern, .. } = &source.input else { continue };
                // What is wrong with a pattern is said when it is opened.
                let read = crate::io::source::expand(&pipeline.dir, &[pattern]).unwrap_or_default();
                let what = format!("read by source {}", task.stage);
                own.extend(read.into_iter().map(|path| Busy { path, what: what.clone() }));
            }
            Role::Stage(_) => {}
        }
    }
    own
}
