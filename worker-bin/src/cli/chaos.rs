//! `--chaos`: what is made to fail, and what cannot be.

mod compare;
pub(super) mod lives;

pub(super) use compare::run_and_compare;

use super::args::{ChaosArgs, RunArgs};
use super::run;
use crate::chaos::{Chaos, Counts, Fault, Rates, may_be_killed};
use crate::pipeline::plan::Plan;
use crate::pipeline::{Delivery, Pipeline};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use worker_core::config::TaskName;

/// The schedule of a run, if there is to be one.
///
/// # Errors
/// Where its faults are noted cannot be written.
pub(super) fn chaos(
    args: &ChaosArgs,
    pipeline: &Pipeline,
    plan: &Plan,
) -> Result<Option<Arc<Chaos>>, String> {
    let Some(seed) = args.chaos else { return Ok(None) };
    let wanted = args.chaos_rate.unwrap_or_default();
    let mut spared = spared(&wanted, pipeline, plan);
    let (Some(life), Some(notes)) = (args.chaos_life, &args.chaos_notes) else {
        let rates = wanted.that_leave_the_worker();
        if wanted.end_the_worker() {
            spared.push("the worker itself, as nobody starts this one again".to_owned());
        }
        let rates = args.chaos_process.map_or(rates, |share| rates.with(Fault::Process, share));
        return Ok(Some(Arc::new(Chaos::new(seed, rates, spared))));
    };
    let counts = Counts::in_file(notes)
        .map_err(|error| format!("--chaos: cannot note faults in {}: {error}", notes.display()))?;
    lives::end_with_parent();
    Ok(Some(Arc::new(Chaos::new(seed, wanted, spared).in_life(life, counts, life <= lives::LIVES_MAX))))
}

/// Runs a pipeline; where its worker is to end by faults, in another process, which is started again.
pub(super) fn run(pipeline: &Pipeline, args: &RunArgs) -> ExitCode {
    match lives::are_wanted(&args.process.chaos) {
        true => lives::run(pipeline, args.file.as_deref(), args.state.fresh),
        false => run::run(pipeline, args),
    }
}

/// What nothing is done to, and why, in words.
fn spared(rates: &Rates, pipeline: &Pipeline, plan: &Plan) -> Vec<String> {
    let mut spared = Vec::new();
    if rates.has(Fault::Program) {
        let has_journal = pipeline.delivery == Delivery::ExactlyOnce;
        let kept = plan.local.iter().filter(|task| {
            let kind = &plan.graph.task(task.id).kind;
            task.runs_program() && !may_be_killed(kind, has_journal)
        });
        let names: BTreeSet<&str> = kept.map(|task| TaskName::of(&task.name).stage).collect();
        for name in names {
            spared.push(match pipeline.sources.iter().any(|source| source.name == name) {
                true => format!("the program of source {name}, whose output cannot be had again"),
                false => {
                    format!("the program of {name}, which in memory cannot be run again (mode = \"stream\")")
                }
            });
        }
    }
    if rates.has(Fault::Link) && plan.nodes.len() == 1 {
        spared.push("links, as there is one process (worker node has them)".to_owned());
    }
    let touch_disks = [Fault::Disk, Fault::Sync, Fault::Slow].into_iter().any(|fault| rates.has(fault));
    if touch_disks && pipeline.delivery == Delivery::Memory {
        spared.push("writes to disk, as this run keeps no state".to_owned());
    }
    spared
}
