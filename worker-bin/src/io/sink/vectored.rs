//! Writes whole batches with as few system calls as they need.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use worker_proto::Batch;

/// Most buffers that the system takes in one call.
const IOV_MAX: usize = 1024;

/// A call that takes longer shows that the reader is slow.
const SLOW: Duration = Duration::from_millis(100);

/// What a slow reader is given at once, in bytes: a page of its pipe, so that it can be seen whether it reads.
const SLOW_PIECE_BYTES: usize = 4096;

/// What a sink has written, for those who look while a write is under way.
#[derive(Clone, Debug, Default)]
pub struct Moved(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    slow: AtomicBool,
}

impl Moved {
    /// Bytes taken so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn add(&self, taken: usize, begun: Instant) {
        self.0.bytes.fetch_add(taken as u64, Ordering::Relaxed);
        if begun.elapsed() > SLOW {
            self.0.slow.store(true, Ordering::Relaxed);
        }
    }
}

/// Writes the payloads of `batches` one after the other, adding to `written` what was taken.
pub(super) fn write_batches(
    fd: impl AsFd,
    batches: &[Batch],
    written: &mut u64,
    moved: &Moved,
) -> Result<(), Errno> {
    let payloads: Vec<&[u8]> = batches.iter().map(|batch| &batch.payload()[..]).collect();
    write_slices(fd, &payloads, written, moved)
}

/// The same for pieces of payloads.
pub(super) fn write_slices(
    fd: impl AsFd,
    payloads: &[&[u8]],
    written: &mut u64,
    moved: &Moved,
) -> Result<(), Errno> {
    let fd = fd.as_fd();
    if moved.0.slow.swap(false, Ordering::Relaxed) {
        return write_pieces(fd, payloads, written, moved);
    }
    for payloads in payloads.chunks(IOV_MAX) {
        let mut slices: Vec<IoSlice<'_>> = payloads
            .iter()
            .filter(|payload| !payload.is_empty())
            .map(|payload| IoSlice::new(payload))
            .collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let taken = take(fd, left, written, moved)?;
            IoSlice::advance_slices(&mut left, taken);
        }
    }
    Ok(())
}

/// In small pieces, because the reader was slow the last time; it is slow again if all of it takes long.
fn write_pieces(
    fd: BorrowedFd<'_>,
    payloads: &[&[u8]],
    written: &mut u64,
    moved: &Moved,
) -> Result<(), Errno> {
    let begun = Instant::now();
    for piece in payloads.iter().flat_map(|payload| payload.chunks(SLOW_PIECE_BYTES)) {
        let mut left = piece;
        while !left.is_empty() {
            let taken = take(fd, &[IoSlice::new(left)], written, moved)?;
            left = &left[taken..];
        }
    }
    moved.add(0, begun);
    Ok(())
}

/// One call; gives how much it took, which is nothing when it was interrupted.
fn take(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    written: &mut u64,
    moved: &Moved,
) -> Result<usize, Errno> {
    let begun = Instant::now();
    match rustix::io::writev(fd, slices) {
        Ok(0) => Err(Errno::IO),
        Ok(taken) => {
            *written += taken as u64;
            moved.add(taken, begun);
            Ok(taken)
        }
        Err(Errno::INTR) => Ok(0),
        Err(Errno::AGAIN) => {
            wait_writable(fd)?;
            moved.add(0, begun);
            Ok(0)
        }
        Err(e) => Err(e),
    }
}

/// A stream that another process made non-blocking is waited for.
fn wait_writable(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e),
    }
}
