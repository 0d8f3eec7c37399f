//! `worker check`: the graph, the defaults, what bites, and whether batch stages are what they seem.

pub(super) mod graph;
mod json;
pub(super) mod machine;
mod memory;
pub(super) mod open_files;
mod sample;

use super::args::CheckArgs;
use super::exit::{FAILED, WRONG, say, wrong_file};
use super::{Printed, print, print_document, print_json, test};
use crate::child::{Containment, containment_here};
use crate::logging::say_rendered;
use crate::pipeline::plan::{Plan, Role};
use crate::pipeline::{self, Cluster, ConfigError, Detail, Pipeline, StateOptions, Told, Warning, plan};
use crate::stderr;
use crate::text::terminal;
use std::path::Path;
use std::process::ExitCode;
use worker_core::config::NodeIx;

/// A pipeline that can be read, and where it runs.
struct Checked {
    pipeline: Pipeline,
    cluster: Cluster,
    plan: Plan,
}

/// Something that is allowed and probably not meant.
enum Finding {
    InFile(Warning),
    Plain(String),
}

/// Checks a pipeline file and prints what it means.
pub(super) fn check(args: &CheckArgs) -> ExitCode {
    ExitCode::from(status(args))
}

/// The same, as the status that it ends with.
pub(super) fn status(args: &CheckArgs) -> u8 {
    let checked = Checked::load(args);
    if args.json {
        let report = match &checked {
            Ok(checked) => json::Report::of(args, checked),
            Err(error) => json::Report::wrong(args, error.told()),
        };
        return print_json(&report).status(report.status());
    }
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            wrong_file(&error);
            return WRONG;
        }
    };
    let printed = checked.print(args.full);
    let color = stderr::colors(&std::io::stderr());
    for warning in checked.warnings() {
        warning.say(color);
    }
    let errors = checked.errors();
    for error in &errors {
        say(&format!("error: {error}"));
    }
    match &args.sample {
        _ if !errors.is_empty() => WRONG,
        Some(sample) => sample_run(&checked.pipeline, sample),
        None => printed.status(0),
    }
}

impl Checked {
    fn load(args: &CheckArgs) -> Result<Self, ConfigError> {
        let pipeline = pipeline::load(&args.file, &args.set)?;
        let (cluster, me) = match (&args.cluster, &args.name) {
            (Some(file), Some(name)) => {
                let cluster = Cluster::load(file)?;
                let me = cluster.find(name)?;
                cluster.may_listen(me)?;
                (cluster, me)
            }
            _ => (Cluster::single(), NodeIx(0)),
        };
        let node = args.name.as_deref();
        let pipeline = pipeline.with_state(StateOptions { node, ..StateOptions::default() })?;
        let plan = plan(&pipeline, &cluster, me)?;
        Ok(Self { pipeline, cluster, plan })
    }

    fn print(&self, is_full: bool) -> Printed {
        let Self { pipeline, plan, .. } = self;
        let printed = print(&graph::graph(pipeline, plan, terminal::columns(&std::io::stdout())));
        if !is_full || printed != Printed::Whole {
            return printed;
        }
        let toml = pipeline::to_toml(&plan.partitions.written_into(pipeline), Detail::Full);
        match print_document(&format!("\n{toml}\n")) {
            Printed::Whole => print(&(memory::worst(plan, pipeline) + &what_ends_programs())),
            unread @ (Printed::ReaderGone | Printed::Failed) => unread,
        }
    }

    /// What bites: in the file, on this machine, in what there is to read.
    fn warnings(&self) -> Vec<Finding> {
        let Self { pipeline, cluster, plan } = self;
        let in_file =
            pipeline::warnings(pipeline).into_iter().chain(pipeline::ignored_places(pipeline, cluster));
        let machine = machine::warnings(pipeline, plan, &pipeline.budgets.spill_dir(), false);
        let plain = open_files::warning(plan, pipeline.delivery).into_iter().chain(machine);
        let plain = plain.chain(missing_inputs(pipeline, plan)).chain(test::missing_files(pipeline));
        in_file.map(Finding::InFile).chain(plain.map(Finding::Plain)).collect()
    }

    /// Programs that cannot be started here.
    fn errors(&self) -> Vec<String> {
        let errors = self.plan.check_programs().err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }
}

impl Finding {
    fn say(&self, color: bool) {
        match self {
            Self::InFile(warning) => say_rendered(&warning.render(color)),
            Self::Plain(warning) => say(&format!("warning: {warning}")),
        }
    }

    fn told(&self) -> Told {
        match self {
            Self::InFile(warning) => warning.told(),
            Self::Plain(warning) => Told::plain(warning.clone()),
        }
    }
}

/// In a line, for people.
fn what_ends_programs() -> String {
    match containment() {
        Ok(containment) => format!("programs end with the worker, here by {containment}\n"),
        Err(error) => format!("programs cannot be started here: {error}\n"),
    }
}

fn containment() -> std::io::Result<Containment> {
    containment_here(&std::env::current_exe()?)
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

fn sample_run(pipeline: &Pipeline, sample: &Path) -> u8 {
    match sample::compare(pipeline, sample) {
        Ok(report) => print(&report.text).status(if report.is_good { 0 } else { FAILED }),
        Err(why) => {
            say(&format!("error: --sample {}: {why}", sample.display()));
            WRONG
        }
    }
}
