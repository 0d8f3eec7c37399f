//! The reading end of a child's standard output.

use super::pipes::{Gauges, PIPE_BYTES};
use rustix::buffer::spare_capacity;
use rustix::io::{read, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long the output of a child that has enough to do is left to gather: at least, and at most.
const GATHER_MIN: Duration = Duration::from_millis(1);
const GATHER_MAX: Duration = Duration::from_millis(8);

/// What part of what it owes a child answers meanwhile: it must not run out of work.
const GATHER_SHARE: f64 = 0.25;

/// A child that owes fewer answers is heard at once.
const GATHER_OWED_MIN: u64 = 64;

/// A pipe that is watched for input, or left alone for a while.
///
/// A watched one wakes this process at each write of the child, even if it is not empty; for a program that
/// writes one answer at a time that costs more than all other work, on both sides.
#[derive(Debug)]
pub(crate) enum Outlet {
    Watched(pipe::Receiver),
    Left(OwnedFd),
    Gone,
}

impl Outlet {
    /// Reads what there is; `WouldBlock` if there is nothing.
    pub(crate) fn try_read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Watched(pipe) => pipe.try_read_buf(into),
            Self::Left(pipe) => Ok(retry_on_intr(|| read(pipe, spare_capacity(into)))?),
            Self::Gone => Ok(0),
        }
    }

    /// Waits until there is something to read.
    pub(crate) async fn readable(&mut self) -> io::Result<()> {
        if let Self::Left(_) = self
            && let Self::Left(pipe) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::Watched(pipe::Receiver::from_owned_fd_unchecked(pipe)?);
        }
        match self {
            Self::Watched(pipe) => pipe.readable().await,
            Self::Left(_) | Self::Gone => Ok(()),
        }
    }

    /// Lets output gather for a moment, unless it is told to stop.
    pub(crate) async fn gather(&mut self, stop: &Notify) -> io::Result<Gathered> {
        self.gather_for(GATHER_MIN, stop).await
    }

    async fn gather_for(&mut self, time: Duration, stop: &Notify) -> io::Result<Gathered> {
        tokio::select! {
            left = self.leave(time) => left.map(|()| Gathered::Something),
            () = stop.notified() => Ok(Gathered::Stopped),
        }
    }

    /// Does not wait for input for a moment, nor is woken by it.
    async fn leave(&mut self, time: Duration) -> io::Result<()> {
        if let Self::Watched(_) = self
            && let Self::Watched(pipe) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::Left(pipe.into_nonblocking_fd()?);
        }
        sleep(time).await;
        Ok(())
    }
}

/// How fast a child answers.
#[derive(Debug)]
pub(crate) struct Pace {
    answered: u64,
    read: Instant,
    /// Answers a second: the most of late.
    rate: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { answered: 0, read: Instant::now(), rate: 0.0 }
    }
}

impl Pace {
    /// Lets a child go on for a moment, so that much is read at once, if it will not run out of work in that time. Says
    /// whether it did, or was told to stop.
    ///
    /// Each reading costs much the same, with all that follows from it, however little is read; and what a child still owes waits for
    /// longer than what it has answered meanwhile.
    pub(crate) async fn gather(
        &mut self,
        outlet: &mut Outlet,
        gauges: &Gauges,
        stop: &Notify,
    ) -> io::Result<Gathered> {
        let (answered, now) = (gauges.answered.load(Relaxed), Instant::now());
        let time = now.duration_since(std::mem::replace(&mut self.read, now)).max(GATHER_MIN);
        let gained = answered - std::mem::replace(&mut self.answered, answered);
        self.rate = (gained as f64 / time.as_secs_f64()).max(self.rate * 0.875);
        match self.time_for(gauges.owed.load(Relaxed)) {
            Some(time) => outlet.gather_for(time, stop).await,
            None => Ok(Gathered::Nothing),
        }
    }

    /// How long a child that owes so many answers may be left alone.
    fn time_for(&self, owed: u64) -> Option<Duration> {
        let time = Duration::try_from_secs_f64(owed as f64 * GATHER_SHARE / self.rate.max(1.0));
        let time = time.unwrap_or(GATHER_MAX).min(GATHER_MAX);
        // At least it is a moment, in which it would answer no more than half.
        (owed >= GATHER_OWED_MIN && time >= GATHER_MIN / 2).then(|| time.max(GATHER_MIN))
    }
}

/// How many times in a row a child that prints fast is heard at once.
const RUSH_TURNS: u32 = 32;

/// Whether a child prints so fast that it must not be left alone.
#[derive(Debug)]
pub(crate) struct Rush {
    /// So much at once is nearly all that its pipe holds: it may have had to wait for its reader.
    much: usize,
    /// Read since it was last asked.
    bytes: usize,
    turns: u32,
}

impl Rush {
    /// Of a child that prints into this pipe, which may hold less than was asked for.
    pub(crate) fn through(pipe: impl AsFd) -> Self {
        Self::of(rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(PIPE_BYTES))
    }

    fn of(pipe_bytes: usize) -> Self {
        Self { much: pipe_bytes / 4 * 3, bytes: 0, turns: 0 }
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Asked when there is nothing more to read for now.
    pub(crate) fn is_on(&mut self) -> bool {
        let fills = std::mem::take(&mut self.bytes) >= self.much;
        self.turns = if fills { RUSH_TURNS } else { self.turns.saturating_sub(1) };
        self.turns > 0
    }
}

/// Whether a child was left alone for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    Something,
    Nothing,
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fills_its_pipe_is_heard_at_once_for_a_while() {
        let mut rush = Rush::of(4096);
        let mut after = |bytes| {
            rush.read(bytes);
            rush.is_on()
        };
        assert!(!after(3071));
        assert!(after(3072));
        assert_eq!((0..100).take_while(|_| after(1)).count(), 31);
        assert!(!after(1));
    }

    #[test]
    fn a_child_is_left_alone_for_as_long_as_it_has_more_than_enough_to_do() {
        let pace = |rate| Pace { rate, ..Pace::default() };
        assert_eq!(pace(100_000.0).time_for(1024), Some(Duration::from_micros(2560)));
        assert_eq!(pace(1_000_000.0).time_for(2048), Some(GATHER_MIN));
        assert_eq!(pace(1_000_000.0).time_for(1999), None, "it would have nothing more to do");
        assert_eq!(pace(1_000.0).time_for(1024), Some(GATHER_MAX));
        assert_eq!(pace(0.0).time_for(64), Some(GATHER_MAX));
        assert_eq!(pace(0.0).time_for(63), None, "it is heard at once");
    }
}
