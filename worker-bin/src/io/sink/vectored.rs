//! Writes whole batches with as few system calls as they need.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::io::IoSlice;
use worker_proto::Batch;

/// Most buffers that the system takes in one call.
const IOV_MAX: usize = 1024;

/// Writes the payloads of `batches` one after the other, adding to `written` what was taken.
pub(super) fn write_batches(fd: impl AsFd, batches: &[Batch], written: &mut u64) -> Result<(), Errno> {
    let fd = fd.as_fd();
    for batches in batches.chunks(IOV_MAX) {
        let mut slices: Vec<IoSlice<'_>> =
            batches.iter().filter(|b| !b.is_empty()).map(|b| IoSlice::new(b.payload())).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match rustix::io::writev(fd, left) {
                Ok(0) => return Err(Errno::IO),
                Ok(taken) => {
                    *written += taken as u64;
                    IoSlice::advance_slices(&mut left, taken);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_writable(fd)?,
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// A stream that another process made non-blocking is waited for.
fn wait_writable(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e),
    }
}
