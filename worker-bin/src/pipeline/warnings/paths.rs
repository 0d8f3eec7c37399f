//! Programs that are given relative paths, and run where those lead elsewhere.

use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{Origin, Pipeline, Program};

pub(super) fn of_another_directory(pipeline: &Pipeline) -> Vec<Problem> {
    let is_given_paths = |origin: &Origin| match *origin {
        Origin::Source(index) => pipeline.sources[index].input.gives_relative_paths(),
        Origin::Stage(_) => false,
    };
    let stages = pipeline.stages.iter().filter(|stage| stage.from.iter().any(is_given_paths));
    let sinks = pipeline.sinks.iter().filter(|sink| sink.from.iter().any(is_given_paths));
    let stages = stages.map(|stage| (stage.name.as_str(), &stage.program));
    let sinks = sinks.filter_map(|sink| Some((sink.name.as_str(), &sink.target.stage()?.program)));
    let programs = stages.chain(sinks);
    let is_elsewhere = |(_, program): &(&str, &Program)| program.cwd != pipeline.dir;
    programs.filter(is_elsewhere).map(|(name, program)| elsewhere(pipeline, name, program)).collect()
}

fn elsewhere(pipeline: &Pipeline, name: &str, program: &Program) -> Problem {
    let (dir, cwd) = (pipeline.dir.display(), pipeline.shown_path(&program.cwd));
    let title = format!("`{name}` is given paths that are relative to another directory");
    let runs = format!("it runs in {}, and they start at {dir}", cwd.display());
    Problem::at(&program.at, title, runs).help("leave `cwd` out, or list a pattern that begins with /")
}
