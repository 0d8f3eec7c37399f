//! Which of its three standard streams this process was started without.
//!
//! Rust's runtime opens `/dev/null` in the place of those that are closed before `main` is called, and from then on nobody can
//! tell them from a `/dev/null` that was meant: what is written there would be lost, and called done. So this looks before that
//! runtime does, in a constructor that the loader calls. That a constructor is named to the linker, and that a number is looked
//! at that may be no open descriptor, is all that is unsafe here, and nothing else is in this crate.

#![expect(
    unsafe_code,
    reason = "a constructor is named to the linker, and descriptors are looked at that may be closed"
)]

use rustix::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A bit for each that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

#[used]
// SAFETY: the section holds pointers to functions that the loader calls once, before `main` and any thread; `look` is one, and
// arguments that it does not take are no harm where C calls it.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    /// Its descriptor.
    #[must_use]
    pub fn number(self) -> RawFd {
        match self {
            Self::Input => 0,
            Self::Output => 1,
            Self::Error => 2,
        }
    }

    /// Whether this process was started without it.
    #[must_use]
    pub fn was_closed(self) -> bool {
        CLOSED.load(Relaxed) & (1 << self.number()) != 0
    }
}

extern "C" fn look() {
    for stream in [Stream::Input, Stream::Output, Stream::Error] {
        // SAFETY: the descriptor is only asked for its flags, and only now; that it may be closed is what is asked.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.number()) };
        if rustix::io::fcntl_getfd(fd).is_err() {
            CLOSED.fetch_or(1 << stream.number(), Relaxed);
        }
    }
}
