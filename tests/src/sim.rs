//! A deterministic simulation of several nodes: real cores, everything around them made up, one clock, one seed.
//!
//! Phase one injects faults (DESIGN.md section 6): connections break with everything under way lost or late, directions are cut,
//! processes stop, die and come back, sinks and programs fail. Phase two heals all of it but what was chosen to stay.
//! All the while an observer that knows the truth holds every frame, every action and the result against the
//! rules in [`check::Check`]. The parts:
//!
//! - the model, what is true: `model`; what frames may say about it: `wire`
//! - the system under test: `world`, `process`, `carry` behind the worker's own dispatch, `transit`, with simulated surroundings in `driver`, `program` and `net`
//! - the transitions: [`plan`], what there is, [`fault`], what goes wrong, and `faults`, what that does
//! - what survives a process, with `delivery = "exactly-once"`: `disk`, `fold` and `durable`
//! - the assertions: [`check`], their names, `budgets`, and `verdict`, what must be so in the end.
//!
//! The same seed gives the same run: replay one with `WORKER_SIM_SEED=n`, and read it with `WORKER_SIM_TRACE=1`.

mod budgets;
pub mod campaign;
mod carry;
pub mod check;
mod copies;
mod disk;
mod driver;
mod durable;
mod ends;
mod exactly_once;
pub mod fault;
mod faults;
mod fold;
mod halting;
mod headed;
mod in_order;
mod life;
mod model;
mod net;
pub mod plan;
mod process;
pub mod program;
mod result;
pub mod rng;
pub mod scenario;
mod trace;
mod transit;
mod verdict;
mod wire;
mod work;
mod world;

use check::Violation;
pub use life::Stats;
use plan::Plan;
use std::panic::{AssertUnwindSafe, catch_unwind};
use worker_core::event::NodeError;
use worker_core::stall::Stall;
use world::World;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that happened; equal for equal runs.
    pub trace: u64,
    /// The first rule broken.
    pub violation: Option<Violation>,
    /// What the run was like.
    pub stats: Stats,
    /// By task: when the last record took effect there, in µs.
    pub last_effect_us: Vec<u64>,
    /// By node: how it ended.
    pub ends: Vec<NodeEnd>,
    /// Why work still waits, as the cores say.
    pub stalls: Vec<Stall>,
}

/// How a node was at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEnd {
    /// It was running.
    Up,
    /// It was dead.
    Down,
    /// All its work was done.
    Finished,
    /// The pipeline had failed.
    Halted(NodeError),
}

/// Runs a plan to its end.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let print = std::env::var_os("WORKER_SIM_TRACE").is_some();
    let mut world = World::new(plan.clone(), print);
    let deadline = plan.heal_us + world::drain_bound(plan);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.run(deadline)?;
        world.judge()
    }));
    let violation = match result {
        Ok(checked) => checked.err(),
        Err(panic) => Some(Violation::panic(&panic_text(&*panic))),
    };
    world.outcome(violation)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_owned()
}
