//! The reading end of a child's standard output.

use super::pipes::Gauges;
use rustix::buffer::spare_capacity;
use rustix::io::{read, retry_on_intr};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long the output of a child that has enough to do is left to gather.
const GATHER: Duration = Duration::from_millis(1);

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
        tokio::select! {
            left = self.leave() => left.map(|()| Gathered::Something),
            () = stop.notified() => Ok(Gathered::Stopped),
        }
    }

    /// Does not wait for input for a moment, nor is woken by it.
    async fn leave(&mut self) -> io::Result<()> {
        if let Self::Watched(_) = self
            && let Self::Watched(pipe) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::Left(pipe.into_nonblocking_fd()?);
        }
        sleep(GATHER).await;
        Ok(())
    }
}

/// How fast a child answers.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    answered: u64,
    /// Answers between two readings: the most of late.
    gained: u64,
}

impl Pace {
    /// Lets a child go on for a moment, so that much is read at once, if it will not run out of work in that time. Says
    /// whether it did, or was told to stop.
    pub(crate) async fn gather(
        &mut self,
        outlet: &mut Outlet,
        gauges: &Gauges,
        stop: &Notify,
    ) -> io::Result<Gathered> {
        let answered = gauges.answered.load(Relaxed);
        self.gained = (answered - self.answered).max(self.gained - self.gained / 8);
        self.answered = answered;
        if gauges.owed.load(Relaxed) < GATHER_OWED_MIN.max(2 * self.gained) {
            return Ok(Gathered::Nothing);
        }
        outlet.gather(stop).await
    }
}

/// Whether a child was left alone for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    Something,
    Nothing,
    Stopped,
}
