//! A named pipe among files: its turn waits for its writer, it is read as any pipe, and a stop ends both.

use crate::descriptors;
use crate::io::source::stream::StreamSource;
use crate::io::source::{Header, SourceOptions, Stop};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Whether it is a named pipe.
pub(super) fn is_at(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// The pipe or device at `path`, without waiting for its writer, nor for what it has to give.
pub(super) fn open_now(path: &Path) -> io::Result<File> {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(nonblock);
    descriptors::patiently("open a pipe", || options.open(path))
}

/// The pipe at `path` once a writer has come; `None` where `stop` came first.
pub(super) fn open(path: &Path, stop: &Stop) -> io::Result<Option<File>> {
    let pipe = open_now(path)?;
    loop {
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(&pipe, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        if !fds[1].revents().is_empty() {
            break;
        }
    }
    Ok(Some(pipe))
}

/// Gives its records as they come. How many are wanted of all files, and headers, are the affair of who reads all of them.
pub(super) fn read(path: &Path, pipe: File, options: &SourceOptions, stop: &Stop) -> StreamSource {
    let options = SourceOptions { header: Header::Keep, limit: None, ..options.clone() };
    StreamSource::new(pipe.into(), path.display().to_string(), &options, stop.clone())
}
