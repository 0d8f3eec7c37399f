//! What a source has given before it fails goes on its way first: a failure ends everything at once, and would take it along.

use super::Reading;
use crate::awake::Laps;
use crate::runtime::cell::Traffic;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(20);
/// So long nothing may wait, for what is on its way between two tasks, or in a program that has read it.
const QUIET: Duration = Duration::from_millis(100);
/// What does not move for so long is not waited for …
const STILL_MAX: Duration = Duration::from_secs(10);
/// … and what moves not for ever.
const MOVING_MAX: Duration = Duration::from_secs(60);

impl Reading {
    /// Waits until all is done that can be done with what was read; not where it is told to stop.
    pub(super) fn settle(&mut self) {
        let (mut laps, mut all, mut still) = (Laps::new(), Duration::ZERO, Duration::ZERO);
        let mut last = Traffic::default();
        while all < MOVING_MAX {
            let passed = laps.passed();
            all += passed;
            still += passed;
            let Some(now) = self.context.reporter.traffic() else { return };
            if now.moved == 0 {
                return;
            }
            if now != last {
                (last, still) = (now, Duration::ZERO);
            }
            let patience = if now.waiting == 0 { QUIET } else { STILL_MAX };
            if still >= patience || !self.wait_until(Instant::now() + LOOK) {
                return;
            }
        }
    }
}
