//! File descriptors: as many as this process may have, and waiting where there are none left.
//!
//! Having none left is like a full disk: it passes when something else ends, so whoever needs one waits, and no run fails by it.

use crate::mutex::lock;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The soft limit that this process was started with.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// When it was said last that there are none.
static SAID: Mutex<Option<Instant>> = Mutex::new(None);
const SAY_EVERY: Duration = Duration::from_secs(10);

const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_millis(200);

/// Raises the soft limit of open files to the hard one. Programs are given back what this process was started with.
pub(crate) fn raise_limit() {
    let limit = *STARTED_WITH.get_or_init(|| getrlimit(Resource::Nofile));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
}

/// The soft limit for programs, as text for the launcher; none where it was never raised.
pub(crate) fn limit_of_programs() -> Option<String> {
    STARTED_WITH.get()?.current.map(|soft| soft.to_string())
}

/// What the launcher does first with what [`limit_of_programs`] said: all that it starts has the limit.
pub(crate) fn lower_limit(soft: &str) {
    if let Ok(soft) = soft.parse() {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(soft), ..limit }).ok();
    }
}

/// As many as this process can have.
pub(crate) fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// No descriptor is left, of this process or of the system.
pub(crate) fn none_left(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| [Errno::MFILE, Errno::NFILE].contains(&Errno::from_raw_os_error(code)))
}

/// Does what needs a descriptor, again and again while there is none. Blocks.
pub(crate) fn patiently<T>(what: &str, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = Pause::default();
    loop {
        match act() {
            Err(error) if none_left(&error) => std::thread::sleep(pause.next(what, &error.to_string())),
            done => {
                if done.is_ok() {
                    pause.over(what);
                }
                return done;
            }
        }
    }
}

/// Opens a file to read it, as soon as there is a descriptor for it. Blocks.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    patiently("open a file", || File::open(path))
}

/// How long to wait until what the system had no room for is tried again; says it, but not for everybody who waits.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    last: Option<Duration>,
}

impl Pause {
    pub(crate) fn next(&mut self, what: &str, why: &str) -> Duration {
        if self.last.is_none() && due() {
            tracing::warn!(why, "cannot {what} for now; it is tried again until it works");
        }
        let next = self.last.map_or(WAIT_MIN, |last| (last * 2).min(WAIT_MAX));
        self.last = Some(next);
        next
    }

    pub(crate) fn over(&self, what: &str) {
        if self.last.is_some() {
            tracing::debug!("can {what} again");
        }
    }
}

/// Whether it was not said lately.
fn due() -> bool {
    let mut said = lock(&SAID);
    let due = said.is_none_or(|at| at.elapsed() >= SAY_EVERY);
    if due {
        *said = Some(Instant::now());
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_descriptor_waits_and_other_errors_are_told() {
        let mut left = 3;
        let done = patiently("open it", || {
            left -= 1;
            if left > 0 { Err(Errno::MFILE.into()) } else { Ok(left) }
        });
        assert_eq!(done.unwrap(), 0);
        let refused = patiently("open it", || Err::<(), _>(Errno::ACCESS.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
