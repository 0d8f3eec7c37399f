//! Tells a blocked reader to stop.

use crate::descriptors;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;

/// Makes every [`StreamSource`](super::StreamSource) it was given to end, for good, also while it waits for input.
#[derive(Clone, Debug)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    /// Not stopped yet. Waits while there is no descriptor left.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        let make = || Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self(Arc::new(descriptors::patiently("prepare to read", make)?)))
    }

    /// Stops; again does nothing.
    pub fn stop(&self) {
        // Fails only when the counter is full, that is, when it was stopped before.
        rustix::io::write(&self.0, &1u64.to_ne_bytes()).ok();
    }
}

impl Stop {
    pub(super) fn is_stopped(&self) -> bool {
        poll(&mut [PollFd::new(self, PollFlags::IN)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Stop {
    /// Readable once stopped; never read it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
