//! How far the reader of a pipe is: it has taken what was written, less what still lies in the pipe.

use super::Moved;
use crate::mutex::lock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

/// The other end of a pipe that is written, for those who look while a write is under way.
#[derive(Clone, Debug)]
pub struct PipeReader {
    name: String,
    has_name: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The end that is written, while it is open.
    pipe: Option<OwnedFd>,
    /// Bytes that were written, and taken out of a pipe again to be written to another.
    back: u64,
}

/// What a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that were written to it, but for those of a system call that goes on.
    pub written: u64,
    /// Bytes that were taken out of the pipe.
    pub taken: u64,
    /// Bytes that lie in it.
    pub unread: u64,
    /// Somebody has it open to read.
    pub has_reader: bool,
}

impl PipeReader {
    /// `has_name`: another reader can come when one has left.
    #[must_use]
    pub fn new(name: String, has_name: bool) -> Self {
        Self { name, has_name, state: Arc::default() }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether another reader can come when one has left.
    #[must_use]
    pub fn has_name(&self) -> bool {
        self.has_name
    }

    /// The pipe was opened, or closed.
    pub(super) fn is_at(&self, pipe: Option<OwnedFd>) {
        lock(&self.state).pipe = pipe;
    }

    /// The pipe is closed, and `take` takes back what lies in it: who looks meanwhile waits, as it would seem to be read.
    pub(super) fn taking_back(&self, take: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let mut state = lock(&self.state);
        let taken = take();
        state.pipe = None;
        state.back += taken.len() as u64;
        taken
    }

    /// Bytes that another process has written as well lie in the pipe like those counted in `written`.
    #[must_use]
    pub fn look(&self, written: &Moved) -> Seen {
        // Before it is looked what lies there: what is written meanwhile counts as not taken.
        let written = written.bytes();
        let state = lock(&self.state);
        let unread = state.pipe.as_ref().map_or(0, held);
        let has_reader = state.pipe.as_ref().is_some_and(has_reader);
        let written = written.saturating_sub(state.back);
        Seen { written, taken: written.saturating_sub(unread), unread, has_reader }
    }
}

/// Whether somebody has a pipe open to read.
pub(super) fn has_reader(pipe: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&pipe, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && !fds[0].revents().contains(PollFlags::ERR)
}

/// Bytes that lie in a pipe.
pub(super) fn held(pipe: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}
