//! The other end of a named pipe, held by the test over all starts of the worker.

use rustix::fs::OFlags;
use rustix::io::ioctl_fionread;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use worker_tests::process::Scratch;

/// Held while bytes are on their way from a pipe to a file.
static TAKING: Mutex<()> = Mutex::new(());

fn taking() -> MutexGuard<'static, ()> {
    TAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_both(path: &Path) -> File {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).expect("a small number");
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(nonblock).open(path).expect("the pipe")
}

/// Makes a pipe, if there is none yet.
fn is_new(scratch: &Scratch) -> Option<PathBuf> {
    let path = scratch.path("fifo");
    if path.exists() {
        return None;
    }
    scratch.shell("mkfifo fifo");
    Some(path)
}

/// Writes `in.txt` into the pipe, once, and leaves. That somebody reads it is held by the test process, to its end.
pub(crate) fn write(scratch: &Scratch) {
    let Some(path) = is_new(scratch) else { return };
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).expect("a small number");
    let reader = OpenOptions::new().read(true).custom_flags(nonblock).open(&path).expect("the pipe");
    let input = scratch.read("in.txt");
    let mut writer = OpenOptions::new().write(true).open(&path).expect("the pipe");
    std::thread::spawn(move || writer.write_all(&input));
    std::mem::forget(reader);
}

/// Reads the pipe into `got.txt` as long as the test process lives.
pub(crate) fn read(scratch: &Scratch) {
    let Some(path) = is_new(scratch) else { return };
    let mut pipe = open_both(&path);
    let mut got = File::create(scratch.path("got.txt")).expect("a file");
    std::thread::spawn(move || {
        let mut bytes = [0; 65536];
        loop {
            {
                let _taking = taking();
                while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                    got.write_all(&bytes[..count]).expect("the file is written");
                }
            }
            let mut fds = [rustix::event::PollFd::new(&pipe, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).ok();
        }
    });
}

/// All that was written to the pipe so far.
pub(crate) fn got(scratch: &Scratch) -> Vec<u8> {
    let Ok(true) = scratch.path("fifo").try_exists() else { return Vec::new() };
    let pipe = open_both(&scratch.path("fifo"));
    loop {
        let taking = taking();
        if ioctl_fionread(&pipe).unwrap_or(0) == 0 {
            return scratch.read("got.txt");
        }
        drop(taking);
        std::thread::yield_now();
    }
}
