//! Pipes to and from a child.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// What a pipe should hold, in bytes: 64 KiB, the system's default, halve the speed.
pub(crate) const PIPE_BYTES: usize = 1 << 20;

/// Most buffers of one vectored write.
const VECTORS_MAX: usize = 64;

/// A pipe, close-on-exec and as large as allowed: its reading and its writing end.
pub(crate) fn pipe_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // EPERM: the user has reached the limit for large pipes; a small one is slower but works.
    rustix::pipe::fcntl_setpipe_size(&writing, PIPE_BYTES).ok();
    Ok((reading, writing))
}

/// What moves through a child's pipes, watched by its clock.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Bytes written to its standard input.
    pub(crate) fed: AtomicU64,
    /// Bytes read from its standard output.
    pub(crate) printed: AtomicU64,
    /// Bytes read from its standard error.
    pub(crate) complained: AtomicU64,
    /// Everything meant for its standard input was written, and the pipe closed.
    pub(crate) closed: AtomicBool,
    /// Answers that it owes, where each request gets one.
    pub(crate) owed: AtomicU64,
    /// Answers that it gave.
    pub(crate) answered: AtomicU64,
    /// Bytes that had been written to its standard input when it last printed.
    pub(crate) fed_at_print: AtomicU64,
    /// What it prints is not read now, for a reason that is not its own.
    pub(crate) held_up: AtomicBool,
    /// Told whenever bytes move, or the pipe is closed: who watches it, and its clock.
    pub(crate) stirred: Notify,
    pub(crate) has_work: Notify,
}

impl Gauges {
    /// Bytes that the child has moved, of which `unread` lie in its pipe: what it is given is not its doing.
    pub(crate) fn moved(&self, unread: u64) -> u64 {
        let read = self.fed.load(Relaxed).saturating_sub(unread);
        read + self.printed.load(Relaxed) + self.complained.load(Relaxed)
    }

    fn stir(&self) {
        self.stirred.notify_one();
        self.has_work.notify_one();
    }

    /// It printed so many bytes more.
    pub(crate) fn has_printed(&self, bytes: u64) {
        self.printed.fetch_add(bytes, Relaxed);
        self.fed_at_print.store(self.fed.load(Relaxed), Relaxed);
        self.stir();
    }

    /// What it prints is not read from now on, or is again.
    pub(crate) fn is_held_up(&self, held_up: bool) {
        self.held_up.store(held_up, Relaxed);
        self.stir();
    }

    /// It complained in so many bytes more.
    pub(crate) fn has_complained(&self, bytes: u64) {
        self.complained.fetch_add(bytes, Relaxed);
        self.stir();
    }
}

/// The writing end of a child's standard input.
#[derive(Debug)]
pub(crate) struct Stdin<'a> {
    pub(crate) pipe: pipe::Sender,
    pub(crate) gauges: &'a Gauges,
}

impl Stdin<'_> {
    /// Writes from the front of `pieces`, waiting until the pipe takes some; written pieces are removed.
    pub(crate) async fn write(&self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        loop {
            tokio::task::consume_budget().await;
            let mut slices = [IoSlice::new(&[]); VECTORS_MAX];
            let count =
                pieces.iter().zip(&mut slices).map(|(piece, slice)| *slice = IoSlice::new(piece)).count();
            match self.pipe.try_write_vectored(&slices[..count]) {
                Ok(written) => {
                    self.gauges.fed.fetch_add(written as u64, Relaxed);
                    self.gauges.stir();
                    advance(pieces, written);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pipe.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The child reads to the end of what was written.
    pub(crate) fn close(self) {
        drop(self.pipe);
        self.gauges.closed.store(true, Relaxed);
        self.gauges.stir();
    }
}

fn advance(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written -= first.len();
        pieces.pop_front();
    }
}

/// How many bytes lie in a pipe.
pub(crate) fn bytes_inside(end: &OwnedFd) -> u64 {
    rustix::io::ioctl_fionread(end).unwrap_or(0)
}
