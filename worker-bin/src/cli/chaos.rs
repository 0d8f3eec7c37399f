//! `--chaos`: what is made to fail, and what cannot be.

mod compare;

pub(super) use compare::run_and_compare;

use super::args::ChaosArgs;
use crate::chaos::{Chaos, Fault, Rates, may_be_killed};
use crate::pipeline::plan::Plan;
use crate::pipeline::{Delivery, Pipeline};
use std::collections::BTreeSet;
use std::sync::Arc;
use worker_core::config::TaskName;

/// The schedule of a run, if there is to be one.
pub(super) fn chaos(args: &ChaosArgs, pipeline: &Pipeline, plan: &Plan) -> Option<Arc<Chaos>> {
    let rates = args.chaos_rate.unwrap_or_default();
    let rates = args.chaos_process.map_or(rates, |share| rates.with_process(share));
    args.chaos.map(|seed| Arc::new(Chaos::new(seed, rates, spared(&rates, pipeline, plan))))
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
    if rates.has(Fault::Disk) && pipeline.delivery == Delivery::Memory {
        spared.push("writes to disk, as this run keeps no state".to_owned());
    }
    spared
}
