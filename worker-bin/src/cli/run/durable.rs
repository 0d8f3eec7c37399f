//! The state directory of a run: opened, or why there is nothing to run.

use super::Process;
use crate::cli::exit::{INCOMPLETE, say};
use crate::cli::room::when_there_is_room;
use crate::cli::state;
use crate::explain::words;
use crate::pipeline::plan::Plan;
use crate::pipeline::{Delivery, Pipeline};
use crate::runtime::{self, Durable, Found};
use std::path::Path;

/// Why there is nothing to run.
pub(super) enum Nothing<'a> {
    /// As was said.
    Wrong,
    /// By the state in `dir` all is done, with so many dead letters.
    Finished { dir: &'a Path, dead: u64 },
}

impl Process<'_> {
    /// The state directory, opened, where the pipeline has one; or why there is nothing to run.
    pub(super) fn durable<'p>(
        &self,
        pipeline: &'p Pipeline,
        plan: &Plan,
    ) -> Result<Option<Durable>, Nothing<'p>> {
        let (Delivery::ExactlyOnce, Some(dir)) = (pipeline.delivery, &pipeline.state_dir) else {
            return Ok(None);
        };
        let wrong = |error: &dyn std::fmt::Display| {
            say(&format!("error: {error}"));
            Nothing::Wrong
        };
        if self.limit.is_some() {
            return Err(wrong(
                &"--limit ends the input for good, and the state would say that all is done: use --to to look at a part, or \
                 delivery = \"memory\"",
            ));
        }
        if let Err(error) = runtime::not_foreign(dir) {
            return Err(wrong(&error));
        }
        if self.fresh {
            if let Some(path) = state::sink_in_the_way(plan).filter(|_| state::is_there(dir)) {
                return Err(wrong(&format!(
                    "--fresh: {} is of the run that would be removed; move it away, or set exists = \"replace\" for its sink \
                     (nothing was removed)",
                    path.display()
                )));
            }
            match state::remove(dir) {
                Ok(Some(what)) => say(&what),
                Ok(None) => {}
                Err(error) => return Err(wrong(&error)),
            }
        }
        match when_there_is_room(|| Durable::open(plan, &pipeline.name, dir, plan.nodes.len() == 1)) {
            Ok(Found::Open(durable)) => {
                if !self.args.log.quiet {
                    say(&format!("{}: exactly once, state in {}", pipeline.name, dir.display()));
                }
                Ok(Some(*durable))
            }
            Ok(Found::Finished { dead }) => Err(Nothing::Finished { dir, dead }),
            Err(error) => Err(wrong(&error)),
        }
    }

    /// Says that earlier runs have done it all; gives the exit status.
    pub(super) fn finished_already(&self, pipeline: &Pipeline, plan: &Plan, dir: &Path, dead: u64) -> u8 {
        let name = &pipeline.name;
        say(&format!("{name}: finished already, by the state in {}; --fresh starts over", dir.display()));
        if let Some(changed) = runtime::no_longer_there(plan, dir) {
            say(&format!("{name}: {changed}"));
        }
        if !self.args.report.is_empty() {
            say(&format!("{name}: the report says no more than that: this run had nothing to do"));
        }
        if dead == 0 {
            return 0;
        }
        let (letters, dir) = (words::dead_letters(dead), runtime::dead_dir(dir));
        say(&format!("{letters} {} in {}", words::are(dead), dir.display()));
        INCOMPLETE
    }
}
