//! What a stream's program prints in one window.

use super::collect::Collector;
use crate::explain::words;
use worker_core::event::{Failure, FailureKind, Output, Printed};
use worker_core::replay::{Divergence, Suppressor};
use worker_proto::Batch;

/// Holds what a window's program prints against what it printed when it ran over the same input before.
#[derive(Debug, Default)]
pub struct WindowOutput {
    /// `None` in memory mode: it runs once.
    before: Option<Suppressor>,
    diverged: Option<String>,
}

impl WindowOutput {
    /// `before`: what is committed of the window, where that must be printed again.
    #[must_use]
    pub fn new(before: Option<Suppressor>) -> Self {
        Self { before, diverged: None }
    }

    /// The part of what was printed that is not committed yet.
    ///
    /// # Errors
    /// What `explain` says of it: something else than before was printed.
    pub fn fresh(
        &mut self,
        printed: Batch,
        explain: impl FnOnce(&Divergence) -> String,
    ) -> Result<Batch, String> {
        let Some(before) = &mut self.before else { return Ok(printed) };
        before.pass(printed).map_err(|divergence| self.diverged.insert(explain(&divergence)).clone())
    }

    /// Routes a part that counts at once.
    pub fn route(&self, fresh: Batch, collector: &mut Collector) -> Output {
        let printed = self.before.is_some().then(|| Printed::of(&fresh));
        Output { printed, ..collector.route(fresh) }
    }

    /// The program has ended: what it printed behind its closed input, or why that does not count.
    ///
    /// # Errors
    /// How it failed, or that it did not print what it had printed before.
    pub fn ended(
        &mut self,
        result: Result<(), Failure>,
        collector: &mut Collector,
    ) -> Result<Output, Failure> {
        let missing = self.before.as_ref().map_or(0, Suppressor::missing);
        let result = match (self.diverged.take(), result) {
            (Some(message), Err(failure)) => Err(Failure { kind: FailureKind::Diverged, message, ..failure }),
            (None, Ok(())) if missing > 0 => Err(fewer(missing)),
            (_, result) => result,
        };
        if result.is_err() {
            collector.discard();
        }
        result.map(|()| collector.take())
    }
}

fn fewer(missing: u64) -> Failure {
    let message = format!(
        "the program, run again over the same input, printed {} less than were committed before; a stream's \
         program must be deterministic (sort the keys, fix seeds), or use mode = \"batch\"; --fresh starts over",
        words::records(missing)
    );
    Failure { kind: FailureKind::Diverged, message, stderr_tail: String::new(), silent: false }
}
