//! Processes of this machine that do not run until somebody lets them: by a signal, a debugger, or a frozen cgroup.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What keeps a process from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SIGSTOP, or one of the terminal.
    Signal,
    Debugger,
    Frozen,
}

/// What keeps process `pid` from running, if something does.
#[must_use]
pub fn stopped(pid: u32) -> Option<Stopped> {
    match state(pid)? {
        b'T' => Some(Stopped::Signal),
        b't' => Some(Stopped::Debugger),
        _ => is_frozen(pid).then_some(Stopped::Frozen),
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stopped::Signal => "stopped by a signal (SIGSTOP)",
            Stopped::Debugger => "stopped by a debugger",
            Stopped::Frozen => "stopped with its cgroup, which is frozen",
        })
    }
}

impl Stopped {
    /// What lets the process go on.
    #[must_use]
    pub fn advice(self, pid: u32) -> String {
        match self {
            Stopped::Signal => format!("kill -CONT {pid} lets it go on"),
            Stopped::Debugger => "let it go on in the debugger, or detach it".to_owned(),
            Stopped::Frozen => {
                "thaw it: docker unpause, systemctl thaw, or 0 in its cgroup.freeze".to_owned()
            }
        }
    }
}

fn state(pid: u32) -> Option<u8> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The command name stands in parentheses and may hold anything; the last one closes it.
    text.get(memchr::memrchr(b')', &text)? + 2).copied()
}

fn is_frozen(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines()
        .filter_map(|line| freezer(line, Path::new("/sys/fs/cgroup")))
        .any(|(file, says)| fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line == says)))
}

/// The file in which a cgroup of a process (a line of `/proc/PID/cgroup`) says that it is frozen, and how.
fn freezer(line: &str, mounted: &Path) -> Option<(PathBuf, &'static str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
    match controllers {
        "" => Some((mounted.join(path).join("cgroup.events"), "frozen 1")),
        "freezer" => Some((mounted.join("freezer").join(path).join("freezer.state"), "FROZEN")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn a_stopped_process_is_seen_and_a_sleeping_one_is_not() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = Pid::from_child(&child);
        let mut seen = Vec::new();
        for (signal, is) in [(Signal::STOP, Some(Stopped::Signal)), (Signal::CONT, None)] {
            kill_process(pid, signal).expect("a signal");
            let end = Instant::now() + Duration::from_secs(5);
            while stopped(child.id()) != is && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            seen.push(stopped(child.id()));
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert_eq!(seen, [Some(Stopped::Signal), None]);
        assert_eq!(stopped(child.id()), None, "it is gone");
    }

    #[test]
    fn both_kinds_of_cgroups_say_it_in_a_file() {
        let at = |line| freezer(line, Path::new("/c")).map(|(file, says)| (file.display().to_string(), says));
        assert_eq!(at("0::/a/b"), Some(("/c/a/b/cgroup.events".to_owned(), "frozen 1")));
        assert_eq!(at("7:freezer:/a"), Some(("/c/freezer/a/freezer.state".to_owned(), "FROZEN")));
        assert_eq!(at("3:cpu,cpuacct:/a"), None);
    }
}
