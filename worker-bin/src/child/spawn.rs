//! Starting a process as the leader of a session of its own, without a fork of this one's memory and without unsafe code.
//!
//! A session is what keeps programs apart: nobody can join the process group of another session, or be let go on (SIGCONT) by it without the
//! right to signal it, and no terminal can be reached through one that has none.

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, chdir, fchdir};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

/// `POSIX_SPAWN_SETSID` of glibc and musl, which the crate does not name.
const SETSID: i32 = 0x80;

/// Where programs are looked for when there is no `PATH`, as the C library does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Starts processes for a process of one thread, which goes to the directory of each and comes back.
#[derive(Debug)]
pub(super) struct Spawner {
    /// The directory of this process.
    home: OwnedFd,
    is_away: bool,
    environment: BTreeMap<OsString, OsString>,
}

/// What is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spawned<'a> {
    pub(super) argv: &'a [OsString],
    pub(super) cwd: Option<&'a Path>,
    pub(super) clear_env: bool,
    pub(super) env: &'a [(OsString, OsString)],
}

impl Spawner {
    pub(super) fn of_this_process() -> io::Result<Self> {
        let home = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { home, is_away: false, environment: std::env::vars_os().collect() })
    }

    /// Starts it on these standard input, output and error; signals have no handlers and are not kept from it.
    pub(super) fn spawn(&mut self, what: Spawned<'_>, stdio: &[OwnedFd; 3]) -> io::Result<Pid> {
        self.go_to(what.cwd)?;
        let spawned = self.spawn_here(what, stdio);
        self.is_away = self.is_away && fchdir(&self.home).is_err();
        spawned
    }

    fn go_to(&mut self, cwd: Option<&Path>) -> io::Result<()> {
        // From where this process cannot come back to its own directory, as that is not for this user, it can go to others.
        if self.is_away && !cwd.is_some_and(Path::is_absolute) {
            fchdir(&self.home)?;
            self.is_away = false;
        }
        if let Some(cwd) = cwd {
            chdir(cwd)?;
            self.is_away = true;
        }
        Ok(())
    }

    fn spawn_here(&self, what: Spawned<'_>, stdio: &[OwnedFd; 3]) -> io::Result<Pid> {
        let environment = self.environment(what);
        let program = what.argv.first().ok_or(io::ErrorKind::InvalidInput)?;
        let program = found(program, environment.get(OsStr::new("PATH")).copied())?;
        let argv = what.argv.iter().map(|word| c_string(word.as_bytes().to_vec()));
        let argv = argv.collect::<io::Result<Vec<CString>>>()?;
        let environment = environment
            .iter()
            .map(|(name, value)| c_string([name.as_bytes(), b"=", value.as_bytes()].concat()));
        let environment = environment.collect::<io::Result<Vec<CString>>>()?;
        let mut ends = PosixSpawnFileActions::init()?;
        for (end, number) in stdio.iter().zip(0..) {
            ends.add_dup2(end.as_raw_fd(), number)?;
        }
        let pid = posix_spawn(program.as_c_str(), &ends, &attributes()?, &argv, &environment)?;
        Pid::from_raw(pid.as_raw()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn environment<'a>(&'a self, what: Spawned<'a>) -> BTreeMap<&'a OsStr, &'a OsStr> {
        let own = self.environment.iter().filter(|_| !what.clear_env);
        let all = own.chain(what.env.iter().map(|(name, value)| (name, value)));
        all.map(|(name, value)| (name.as_os_str(), value.as_os_str())).collect()
    }
}

fn attributes() -> io::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    let flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    attributes.set_flags(flags | PosixSpawnFlags::from_bits_retain(SETSID))?;
    attributes.set_sigmask(&SigSet::empty())?;
    let mut not_ignored = SigSet::empty();
    // Rust ignores it; programs expect to be ended by it.
    not_ignored.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&not_ignored)?;
    Ok(attributes)
}

/// The file that this name means with this `PATH`.
pub(super) fn found(program: &OsStr, path: Option<&OsStr>) -> io::Result<CString> {
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let name = program.as_bytes();
    if name.is_empty() {
        return Err(Errno::NOENT.into());
    }
    if name.contains(&b'/') {
        return c_string(name.to_vec());
    }
    let mut why = Errno::NOENT;
    for dir in path.as_bytes().split(|&byte| byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        let candidate = Path::new(OsStr::from_bytes(dir)).join(program);
        match rustix::fs::access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return c_string(candidate.into_os_string().into_vec()),
            // It is there; of a directory that is not for this user nobody knows.
            Err(Errno::ACCESS) if candidate.exists() => why = Errno::ACCESS,
            Ok(()) | Err(_) => {}
        }
    }
    Err(why.into())
}

fn c_string(bytes: Vec<u8>) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_name_is_the_first_file_of_the_path_that_can_be_run() {
        let dir = tempfile::tempdir().unwrap();
        for (place, mode) in [("plain", 0o644), ("good", 0o755), ("later", 0o755)] {
            std::fs::create_dir(dir.path().join(place)).unwrap();
            let file = dir.path().join(place).join("tool");
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("directory/tool")).unwrap();
        let path = |places: &[&str]| -> OsString {
            let places: Vec<String> =
                places.iter().map(|place| dir.path().join(place).display().to_string()).collect();
            places.join(":").into()
        };
        let all = path(&["missing", "directory", "plain", "good", "later"]);
        let tool = found("tool".as_ref(), Some(&all)).unwrap();
        assert_eq!(tool.as_bytes(), dir.path().join("good/tool").as_os_str().as_bytes());
        let errno =
            |name: &str, path: &OsStr| found(name.as_ref(), Some(path)).unwrap_err().raw_os_error().unwrap();
        assert_eq!(errno("tool", &path(&["missing", "directory"])), Errno::NOENT.raw_os_error());
        assert_eq!(errno("tool", &path(&["plain", "missing"])), Errno::ACCESS.raw_os_error());
        assert_eq!(errno("", &all), Errno::NOENT.raw_os_error());
        assert_eq!(found("./tool".as_ref(), Some(&all)).unwrap().as_bytes(), b"./tool");
    }
}
