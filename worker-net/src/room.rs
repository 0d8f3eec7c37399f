//! One budget for the large frames that are being received, of all connections that were accepted.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// What the budget is counted in, in bytes.
const UNIT_BYTES: usize = 1024;

/// The budget, as one connection sees it.
#[derive(Debug)]
pub(crate) struct Room {
    units: PollSemaphore,
    units_max: usize,
}

/// Room for one frame; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    _units: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units_max = (bytes_max / UNIT_BYTES).max(1);
        Self { units: PollSemaphore::new(Arc::new(Semaphore::new(units_max))), units_max }
    }

    /// The same budget for another connection.
    pub(crate) fn share(&self) -> Self {
        Self { units: self.units.clone(), units_max: self.units_max }
    }

    /// Waits for `bytes`, in the order of asking. More than there is at all counts as all.
    pub(crate) fn poll_reserve(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<Reserved> {
        let units = bytes.div_ceil(UNIT_BYTES).min(self.units_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let units = ready!(self.units.poll_acquire_many(cx, units));
        Poll::Ready(Reserved { _units: units.expect("the semaphore is never closed") })
    }
}
