//! `worker run` and `worker node`: from the command line to a run and back to an exit status.

mod durable;
mod ended;

use super::args::{LogArgs, NodeArgs, OfCluster, ProcessArgs, ProgressMode, RunArgs};
use super::check::{machine, open_files};
use super::exit::{WRONG, failed, say, wrong_file};
use super::room::when_there_is_room;
use super::{chaos, finished as found_finished, reports};
use crate::admin::AdminSettings;
use crate::child::Launcher;
use crate::descriptors;
use crate::io::beside::{WriteRefused, try_writing};
use crate::logging::{self, Form, say_rendered};
use crate::otel::Otel;
use crate::pipeline::plan::{Plan, plan};
use crate::pipeline::{self, Cluster, Delivery, Mode, Pipeline};
use crate::report::{Report, ReportFile};
use crate::runtime::{self, Durable, Ended, Options, RunError, progress};
use crate::stderr;
use durable::Nothing;
use ended::said;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use worker_core::config::NodeIx;
use worker_net::{HttpsFiles, Tls};

/// Runs a pipeline in this process.
#[must_use]
pub fn run(pipeline: &Pipeline, args: &RunArgs) -> ExitCode {
    let mut cluster = Cluster::single();
    if let Some(slots) = args.slots.or_else(|| slots_for(pipeline, args)) {
        cluster = cluster.with_slots(NodeIx(0), slots);
    }
    let fresh = args.state.fresh;
    let process = Process {
        args: &args.process,
        limit: args.limit,
        linger: Duration::ZERO,
        fresh,
        admin: OfCluster::default(),
        tls: None,
    };
    process.start(pipeline, &cluster, NodeIx(0), Vec::new())
}

/// As many slots as `-j` wants programs at once, where that is more than there would be.
pub(super) fn slots_for(pipeline: &Pipeline, args: &RunArgs) -> Option<NonZeroUsize> {
    if args.file.is_some() || args.slots.is_some() {
        return None;
    }
    slots_wanted(pipeline)
}

/// The same of any pipeline.
pub(super) fn slots_wanted(pipeline: &Pipeline) -> Option<NonZeroUsize> {
    let batches = pipeline.stages.iter().filter(|stage| matches!(stage.mode, Mode::Batch(_)));
    let tasks = batches.filter_map(|stage| usize::try_from(stage.partitions?).ok()).max()?;
    NonZeroUsize::new(tasks).filter(|tasks| tasks.get() > Cluster::single().slots(NodeIx(0)))
}

/// Runs one node of several.
#[must_use]
pub fn node(args: &NodeArgs) -> ExitCode {
    let loaded = pipeline::load(&args.file, &args.set).and_then(|pipeline| {
        let cluster = Cluster::load(&args.cluster)?;
        let me = cluster.find(&args.name)?;
        let pipeline = pipeline.with_state(args.state.options(Some(&args.name)))?;
        Ok((pipeline, cluster, me))
    });
    let (pipeline, mut cluster, me) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return wrong_file(&error),
    };
    if chaos::lives::are_wanted(&args.process.chaos) {
        return chaos::lives::run(&pipeline, Some(&args.file), args.state.fresh);
    }
    if let Some(slots) = args.slots {
        cluster = cluster.with_slots(me, slots);
    }
    let tls = match identity(&cluster, me) {
        Ok(tls) => tls,
        Err(status) => return status,
    };
    let node = &cluster.nodes()[usize::from(me.0)];
    let files = node.tls.as_ref().map(|tls| HttpsFiles { cert: tls.cert.clone(), key: tls.key.clone() });
    let admin = OfCluster { place: node.admin_place(), files, insecure: cluster.insecure() };
    let addresses = cluster.nodes().iter().map(|node| node.address.clone()).collect();
    let process = Process {
        args: &args.process,
        limit: args.limit,
        linger: args.linger,
        fresh: args.state.fresh,
        admin,
        tls,
    };
    process.start(&pipeline, &cluster, me, addresses)
}

/// By what a node proves who it is; without, it listens where only this machine reaches it, or says what that means.
fn identity(cluster: &Cluster, me: NodeIx) -> Result<Option<Arc<Tls>>, ExitCode> {
    cluster.may_listen(me).map_err(|error| wrong_file(&error))?;
    if let Some(warning) = cluster.warning(me) {
        say(&format!("warning: {warning}"));
    }
    let node = &cluster.nodes()[usize::from(me.0)];
    let Some(files) = node.tls.clone() else { return Ok(None) };
    let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    match Tls::load(files, &node.name, &names) {
        Ok(tls) => Ok(Some(Arc::new(tls))),
        Err(error) => {
            say(&format!("error: {error}"));
            Err(ExitCode::from(WRONG))
        }
    }
}

/// Runs the part of a pipeline that dead letters go through.
pub(super) fn replay(pipeline: &Pipeline, cluster: &Cluster, args: &ProcessArgs) -> ExitCode {
    let admin = OfCluster::default();
    let process = Process { args, limit: None, linger: Duration::ZERO, fresh: false, admin, tls: None };
    process.start(pipeline, cluster, NodeIx(0), Vec::new())
}

/// What `run`, `node` and replays have in common.
struct Process<'a> {
    args: &'a ProcessArgs,
    limit: Option<u64>,
    linger: Duration,
    fresh: bool,
    /// What the cluster file says of the admin API.
    admin: OfCluster,
    /// By what it proves which node it is.
    tls: Option<Arc<Tls>>,
}

impl Process<'_> {
    fn start(&self, pipeline: &Pipeline, cluster: &Cluster, me: NodeIx, addresses: Vec<String>) -> ExitCode {
        let node = &cluster.nodes()[usize::from(me.0)].name;
        let otel = self.args.otel.as_ref().map(|at| Otel::start(at, &pipeline.name, node)).transpose();
        let otel = match otel {
            Ok(otel) => otel,
            Err(why) => {
                say(&format!("error: --otel: {why}"));
                return ExitCode::from(WRONG);
            }
        };
        start_log(&self.args.log, otel.as_deref());
        let admin = match self.args.admin.settings(&self.admin) {
            Ok(admin) => admin,
            Err(error) => {
                say(&format!("error: {error}"));
                return ExitCode::from(WRONG);
            }
        };
        descriptors::raise_limit();
        let warnings = if self.args.log.quiet { Vec::new() } else { pipeline::warnings(pipeline) };
        for warning in warnings {
            say_rendered(&warning.render(stderr::colors(&std::io::stderr())));
        }
        let plan = match plan(pipeline, cluster, me) {
            Ok(plan) => plan,
            Err(error) => return wrong_file(&error),
        };
        if let Err(errors) = plan.check_programs() {
            for error in errors {
                say(&format!("error: {error}"));
            }
            return ExitCode::from(WRONG);
        }
        if !self.args.log.quiet {
            self.warn_of_the_machine(pipeline, &plan);
        }
        let reports = match reports::check(&self.args.report, pipeline, &plan) {
            Ok(reports) => reports,
            Err(error) => {
                say(&format!("error: {error}"));
                return ExitCode::from(WRONG);
            }
        };
        if let Err(why) = self.try_dead_letters(pipeline) {
            say(&why);
            return ExitCode::from(WRONG);
        }
        let chaos = match chaos::chaos(&self.args.chaos, pipeline, &plan) {
            Ok(chaos) => chaos,
            Err(why) => return failed(&why),
        };
        if let Some(chaos) = &chaos {
            crate::chaos::begin(chaos);
        }
        let options = Options { otel: otel.clone(), chaos, ..self.options(pipeline, addresses, admin) };
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&format!("cannot start: {error}")),
        };
        let code = runtime.block_on(self.live(pipeline, plan, options, &reports));
        if let Some(otel) = otel {
            otel.shutdown();
        }
        // Threads may still wait on it, and a runtime that shuts down panics under them; the process ends now anyway.
        std::mem::forget(runtime);
        code
    }

    fn warn_of_the_machine(&self, pipeline: &Pipeline, plan: &Plan) {
        let spill_dir = self.args.spill_dir.clone().unwrap_or_else(|| pipeline.budgets.spill_dir());
        let of_files = open_files::warning(plan, pipeline.delivery).into_iter();
        for warning in of_files.chain(machine::warnings(pipeline, plan, &spill_dir, true)) {
            say(&format!("warning: {warning}"));
        }
    }

    /// Whether `--dead-letters` will do, now and not hours later.
    fn try_dead_letters(&self, pipeline: &Pipeline) -> Result<(), String> {
        let Some(path) = &self.args.dead_letters else { return Ok(()) };
        if pipeline.delivery == Delivery::ExactlyOnce {
            if !self.args.log.quiet {
                say(
                    "warning: --dead-letters is not used: with state dead letters are in the state directory",
                );
            }
            return Ok(());
        }
        try_writing(path).map_err(|error| {
            let path = path.display();
            match error {
                WriteRefused::NoFile(what) => {
                    format!("error: --dead-letters {path}: it is {what}; name a file that may be made or replaced")
                }
                WriteRefused::System(error) => format!(
                    "error: --dead-letters {path}: cannot write there: {error}; the directory must exist and be writable"
                ),
            }
        })
    }

    fn launcher(&self) -> std::io::Result<Launcher> {
        let launcher = Launcher::start_in(&std::env::current_exe()?, self.args.pid_namespace.into())?;
        tracing::info!("programs end with the worker, by {}", launcher.containment());
        Ok(launcher)
    }

    async fn live(
        &self,
        pipeline: &Pipeline,
        plan: Plan,
        options: Options,
        reports: &[ReportFile],
    ) -> ExitCode {
        if let Err(error) = runtime::survive_file_size_limit() {
            return failed(&format!("cannot listen for signals: {error}"));
        }
        let launcher = match self.launcher() {
            Ok(launcher) => launcher,
            Err(error) => return failed(&format!("cannot start the launcher of programs: {error}")),
        };
        let mut durable = match self.durable(pipeline, &plan) {
            Ok(durable) => durable,
            Err(Nothing::Wrong) => return ExitCode::from(WRONG),
            Err(Nothing::Finished { dir, dead }) => {
                let exit_status = self.finished_already(pipeline, &plan, dir, dead);
                let chaos = options.chaos.map(|chaos| chaos.report());
                // One of an earlier run is not to be taken for this one's.
                let report = found_finished::report(pipeline, &plan, dir, dead);
                write(reports, &Report { exit_status, chaos, ..report });
                return ExitCode::from(exit_status);
            }
        };
        let opened = when_there_is_room(|| {
            let open = |durable: &mut Option<Durable>| {
                runtime::open(&plan, &pipeline.dir, options.max_record, self.limit, durable.as_mut())
            };
            match open(&mut durable) {
                Err(error) if durable.as_mut().is_some_and(|durable| durable.makes_room(&error)) => {
                    open(&mut durable)
                }
                opened => opened,
            }
        });
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(durable) = durable {
                    durable.take_back();
                }
                say(&format!("error: {error}"));
                return ExitCode::from(WRONG);
            }
        };
        if let Err(error) = when_there_is_room(|| runtime::try_spill_dir(&options)) {
            opened.take_back(durable);
            return ExitCode::from(said(Err(error)));
        }
        if durable.is_none() {
            self.warn_of_memory(pipeline);
        }
        let chaos = options.chaos.clone();
        let (result, report) = match Box::pin(runtime::run(plan, opened, durable, launcher, options)).await {
            Ok(Ended { result, report }) => (result, Some(report)),
            Err(error) => (Err(error), None),
        };
        let signal = match &result {
            Ok(summary) | Err(RunError::Pipeline { summary, .. }) => summary.interrupted,
            Err(RunError::Stopped { signal, .. }) => Some(*signal),
            Err(RunError::Listen(_) | RunError::Admin(_) | RunError::System { .. } | RunError::Spill(_)) => {
                None
            }
        };
        let status = said(result);
        let chaos = chaos.map(|chaos| chaos.report());
        if let Some(chaos) = chaos.as_ref().filter(|_| !self.args.log.quiet) {
            say(&chaos.text());
        }
        if let Some(report) = report {
            write(reports, &Report { exit_status: status, signal, chaos, ..*report });
        }
        ExitCode::from(status)
    }

    fn warn_of_memory(&self, pipeline: &Pipeline) {
        if !self.args.log.quiet {
            say(&format!(
                "{}: delivery = \"memory\": if this process dies, what it has accepted and not finished is lost",
                pipeline.name
            ));
        }
    }

    fn options(&self, pipeline: &Pipeline, addresses: Vec<String>, admin: AdminSettings) -> Options {
        let default_name = || PathBuf::from(format!("{}.dead-letters.jsonl", pipeline.name));
        let mode = match self.args.progress {
            ProgressMode::Auto if self.args.log.format == Form::Json => progress::Mode::None,
            ProgressMode::Auto => progress::Mode::Auto,
            ProgressMode::Bar => progress::Mode::Bar,
            ProgressMode::Lines => progress::Mode::Lines,
            ProgressMode::None => progress::Mode::None,
        };
        Options {
            name: pipeline.name.clone(),
            max_record: usize::try_from(pipeline.budgets.max_record_bytes).unwrap_or(usize::MAX),
            limit: self.limit,
            spill_dir: self.args.spill_dir.clone().unwrap_or_else(|| pipeline.budgets.spill_dir()),
            dead_letters: self.args.dead_letters.clone().unwrap_or_else(default_name),
            drain_timeout: self.args.drain_timeout,
            linger: self.linger,
            addresses,
            tls: self.tls.clone(),
            admin,
            delivery: pipeline.delivery.word(),
            otel: None,
            chaos: None,
            stall_after: self.args.stall_after,
            progress: if self.args.log.quiet { progress::Mode::Silent } else { mode },
        }
    }
}

/// What happened to the data stands already: a report that cannot be written changes no exit status.
fn write(reports: &[ReportFile], report: &Report) {
    for file in reports {
        if let Err(error) = file.write(report) {
            say(&format!("error: {error}; the run ended as said above"));
        }
    }
}

fn start_log(args: &LogArgs, otel: Option<&Otel>) {
    let default = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = args.filter.as_deref().unwrap_or(default);
    if let Err(error) = logging::start(filter, args.format, otel) {
        say(&format!("warning: --log {error}; using {default}"));
        logging::start(default, args.format, otel).ok();
    }
}
