//! Telling a stage that fails from records that fail.

use crate::config::MaxDead;
use crate::event::{Failure, FailureKind};

/// So many single records failing alike, with no success before, are the stage's fault and not the records'.
const SYSTEMATIC_FAILURES: u32 = 16;

/// Counts single records that failed alike since the start, while nothing succeeded.
#[derive(Debug)]
pub(super) struct Systematic {
    alike: Option<(FailureKind, u32)>,
    /// A record succeeded, or all may fail.
    excluded: bool,
}

impl Systematic {
    /// For a stage of which so many records may fail.
    pub(super) fn new(max_dead: MaxDead) -> Self {
        Self { alike: None, excluded: max_dead == MaxDead::Unlimited }
    }

    pub(super) fn succeeded(&mut self) {
        self.excluded = true;
    }

    /// A record failed alone; gives why the stage must stop, if it must.
    pub(super) fn failed(&mut self, failure: &Failure) -> Option<String> {
        if self.excluded {
            return None;
        }
        let count = match self.alike {
            Some((kind, count)) if kind == failure.kind => count + 1,
            Some(_) | None => 1,
        };
        self.alike = Some((failure.kind, count));
        (count >= SYSTEMATIC_FAILURES).then(|| {
            let why = advised(failure);
            format!("the first {SYSTEMATIC_FAILURES} records all failed alike: {why}")
        })
    }
}

/// The failure's message; for a silent exit 1 with the key that makes it a success, unless the driver has said so.
fn advised(failure: &Failure) -> String {
    let message = &failure.message;
    if failure.kind == FailureKind::Exit(1) && failure.silent && !message.contains("ok_exit") {
        return format!(
            "{message}; it printed nothing: if status 1 is how it says \"no match\", set ok_exit = [0, 1]"
        );
    }
    message.clone()
}
