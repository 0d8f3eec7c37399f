//! `worker check`: the graph, the defaults, what bites, and whether batch stages are what they seem.

mod graph;
pub(super) mod machine;
mod memory;
pub(super) mod open_files;
mod sample;

use super::args::CheckArgs;
use super::run::{say, wrong_file};
use super::{Printed, print, print_document};
use crate::logging::say_rendered;
use crate::pipeline::plan::{Plan, Role};
use crate::pipeline::{self, Cluster, ConfigError, Detail, Pipeline, StateOptions, plan};
use crate::stderr;
use crate::text::terminal;
use std::path::Path;
use std::process::ExitCode;
use worker_core::config::NodeIx;

/// Checks a pipeline file and prints what it means.
pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let (pipeline, cluster, plan) = match checked(args) {
        Ok(checked) => checked,
        Err(error) => return wrong_file(&error),
    };
    let mut printed = print(&graph::graph(&pipeline, &plan, terminal::columns(&std::io::stdout())));
    if args.full && printed == Printed::Whole {
        let toml = pipeline::to_toml(&plan.partitions.written_into(&pipeline), Detail::Full);
        printed = match print_document(&format!("\n{toml}\n")) {
            Printed::Whole => print(&memory::worst(&plan, &pipeline)),
            unread @ (Printed::ReaderGone | Printed::Failed) => unread,
        };
    }
    let color = stderr::colors(&std::io::stderr());
    for warning in
        pipeline::warnings(&pipeline).into_iter().chain(pipeline::ignored_places(&pipeline, &cluster))
    {
        say_rendered(&warning.render(color));
    }
    if let Some(warning) = open_files::warning(&plan, pipeline.delivery) {
        say(&format!("warning: {warning}"));
    }
    for warning in machine::warnings(&pipeline, &plan, &pipeline.budgets.spill_dir(), false) {
        say(&format!("warning: {warning}"));
    }
    for missing in missing_inputs(&pipeline, &plan) {
        say(&format!("warning: {missing}"));
    }
    if let Err(errors) = plan.check_programs() {
        for error in errors {
            say(&format!("error: {error}"));
        }
        return ExitCode::from(2);
    }
    match &args.sample {
        Some(sample) => sample_run(&pipeline, sample),
        None => printed.exit_code(),
    }
}

fn checked(args: &CheckArgs) -> Result<(Pipeline, Cluster, Plan), ConfigError> {
    let pipeline = pipeline::load(&args.file, &args.set)?;
    let (cluster, me) = match (&args.cluster, &args.name) {
        (Some(file), Some(name)) => {
            let cluster = Cluster::load(file)?;
            let me = cluster.find(name)?;
            (cluster, me)
        }
        _ => (Cluster::single(), NodeIx(0)),
    };
    let node = args.name.as_deref();
    let pipeline = pipeline.with_state(StateOptions { node, ..StateOptions::default() })?;
    let plan = plan(&pipeline, &cluster, me)?;
    Ok((pipeline, cluster, plan))
}

/// Files of this node's sources that are not there now; they may be there later.
fn missing_inputs(pipeline: &Pipeline, plan: &Plan) -> Vec<String> {
    let mut missing = Vec::new();
    for task in &plan.local {
        let Role::Source(role) = &task.role else { continue };
        let what = role.input.missing(&pipeline.dir);
        missing.extend(what.map(|what| format!("source `{}`: {what}", task.stage)));
    }
    missing
}

fn sample_run(pipeline: &Pipeline, sample: &Path) -> ExitCode {
    match sample::compare(pipeline, sample) {
        Ok(report) => {
            let good = if report.is_good { ExitCode::SUCCESS } else { ExitCode::from(1) };
            print(&report.text).or_failed(good)
        }
        Err(why) => {
            say(&format!("error: --sample {}: {why}", sample.display()));
            ExitCode::from(2)
        }
    }
}
