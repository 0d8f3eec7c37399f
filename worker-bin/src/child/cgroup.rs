//! A cgroup (v2) of all programs of a worker: one write ends every process in it, however they fork meanwhile and whatever they have taken
//! off.
//!
//! The launcher goes into it before it starts anything, so that all programs are born there; its guardian and the worker stay outside and
//! make the write. A worker that is killed together with both leaves the cgroup behind, and with it a handle on all its programs: the next
//! start of a worker in the same cgroup ends them. Whose cgroup is alive says a lock, as of directories for files.

use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the names of such cgroups begin with.
const PREFIX: &str = "worker-programs-";

/// So often another is made where one is there already, or is swept away between its making and its locking.
const ATTEMPTS_MAX: usize = 16;

/// How long processes that were killed are waited for, deep in the kernel as they may be.
const LAST_WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(1);

/// One that this process has made.
#[derive(Debug)]
pub(super) struct Cgroup {
    dir: PathBuf,
    /// The kernel lets go of it with the process, whatever ends that.
    _lock: File,
}

impl Cgroup {
    /// Makes one below that of this process, and ends what workers have left there that are not alive any more.
    ///
    /// # Errors
    /// There is no such hierarchy, this user may not, or the kernel cannot end a whole cgroup (before Linux 5.14).
    pub(super) fn make() -> io::Result<Self> {
        let own = own().ok_or(io::ErrorKind::NotFound)?;
        sweep(&own);
        for attempt in 0..ATTEMPTS_MAX {
            let dir = own.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            if !dir.join("cgroup.kill").exists() {
                fs::remove_dir(&dir)?;
                return Err(io::ErrorKind::Unsupported.into());
            }
            if let Some(lock) = locked(&dir)? {
                return Ok(Self { dir, _lock: lock });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends all that is in it.
    pub(super) fn end(&self) {
        end(&self.dir);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Where something is in it, whoever guards it is about to end that.
        remove(&self.dir).ok();
    }
}

/// This process goes into it, and whatever it starts from now on.
pub(super) fn enter(dir: &Path) -> io::Result<()> {
    fs::write(dir.join("cgroup.procs"), "0")
}

/// Ends all that is in a cgroup, and removes it.
pub(super) fn end(dir: &Path) {
    let deadline = Instant::now() + LAST_WAIT;
    // It is gone already, or what is left in it is told by its not becoming empty.
    while fs::write(dir.join("cgroup.kill"), "1").is_ok() && remove(dir).is_err() {
        if Instant::now() > deadline {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// Removes it with those in it, if no process is there.
fn remove(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// Ends what is in the cgroups of workers that are not alive any more.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let dir = entry.path();
        let Ok(Some(_lock)) = locked(&dir) else { continue };
        let is_left =
            fs::read_to_string(dir.join("cgroup.events")).is_ok_and(|text| text.contains("populated 1"));
        end(&dir);
        if is_left {
            tracing::warn!(cgroup = %dir.display(), "ended programs that a worker has left which was killed together with all that guarded them");
        }
    }
}

/// `None`: it is somebody else's, or was removed meanwhile.
fn locked(dir: &Path) -> io::Result<Option<File>> {
    let lock = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(dir.exists().then_some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The directory of this process's cgroup.
fn own() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    place(&groups, &mounts)
}

/// Where the cgroup that `/proc/PID/cgroup` tells of is mounted, by `/proc/PID/mountinfo`.
fn place(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // A path outside of what is mounted, or of what this process's namespace of cgroups shows, begins with `..`.
        let below = group.strip_prefix(root).ok().filter(|below| !below.starts_with(".."))?;
        // Blanks of its name would be written otherwise.
        (!point.contains('\\')).then(|| Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_cgroup_is_found_where_its_hierarchy_is_mounted() {
        let hybrid = "24 21 0:20 / /sys/fs/cgroup ro shared:6 - tmpfs tmpfs ro\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let groups = "9:name=systemd:/\n4:memory:/x\n0::/user.slice/session-3.scope\n";
        let own = place(groups, hybrid).unwrap();
        assert_eq!(own, Path::new("/sys/fs/cgroup/unified/user.slice/session-3.scope"));
        assert_eq!(place("0::/\n", hybrid).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        // Of a container that shares the namespace of cgroups.
        let part = "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(place("0::/docker/abc/in\n", part).unwrap(), Path::new("/sys/fs/cgroup/in"));
        assert_eq!(place("0::/docker/other\n", part), None);
        assert_eq!(place("0::/../other\n", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"), None);
        assert_eq!(place("4:memory:/x\n", hybrid), None);
    }
}
