//! `--report`: looked at before a run begins, so that hours later there is no surprise.

use crate::io::resource::Resource;
use crate::pipeline::Pipeline;
use crate::pipeline::plan::{Plan, Role};
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
    let busy = if paths.is_empty() { Vec::new() } else { own_files(paths, pipeline, plan) };
    paths.iter().map(|path| ReportFile::check(path, &busy)).collect()
}

/// What the run reads and writes. What is read is there.
fn own_files(paths: &[PathBuf], pipeline: &Pipeline, plan: &Plan) -> Vec<Busy> {
    let may_be_read = paths.iter().any(|path| path.exists());
    let mut own = Vec::new();
    for task in &plan.local {
        let (held, what) = match &task.role {
            Role::Sink(sink) => (sink.target.holds(), format!("written by sink {}", task.stage)),
            Role::Source(_) if !may_be_read => continue,
            Role::Source(source) => {
                (source.input.holds(&pipeline.dir), format!("read by source {}", task.stage))
            }
            Role::Stage(_) => continue,
        };
        let files = held.iter().flat_map(Resource::files);
        own.extend(files.map(|path| Busy { path, what: what.clone() }));
    }
    own
}
