//! Who descends from whom, as `/proc` tells it.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// Environment variable that marks every descendant of a child: the launcher's process id, a dot, the child's id.
pub(crate) const MARK: &str = "WORKER_LAUNCH_ID";

/// The processes whose parent is `pid` now.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().filter_map(parse_pid)),
            // The thread is gone, or this kernel was built without the list.
            Err(_) if thread.path().join("stat").exists() => return children_by_scan(pid),
            Err(_) => {}
        }
    }
    found
}

/// Every process below `pid`, parents first.
pub(crate) fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children(parent));
        next += 1;
    }
    found
}

/// Kills `pid`, its process group if it leads one, and every process below it.
pub(crate) fn kill_tree(pid: Pid) {
    let below = descendants(pid);
    // Errors mean that it is gone already or belongs to another user; the caller looks again.
    kill_process_group(pid, Signal::KILL).ok();
    kill_process(pid, Signal::KILL).ok();
    for pid in below {
        kill_process(pid, Signal::KILL).ok();
    }
}

/// The [`MARK`] in the environment that `pid` was started with; `None` if it has none or it may not be read.
pub(crate) fn mark(pid: Pid) -> Option<(i32, u64)> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value =
        environment.split(|&b| b == 0).find_map(|v| v.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    let (launcher, id) = std::str::from_utf8(value).ok()?.split_once('.')?;
    Some((launcher.parse().ok()?, id.parse().ok()?))
}

/// A number that changes whenever a process of group `group` uses processor time, reads or writes.
pub(crate) fn group_activity(group: Pid) -> u64 {
    let mut sum = 0u64;
    for pid in all_processes() {
        let Some(stat) = Stat::read(pid) else { continue };
        if stat.group == group.as_raw_pid() {
            let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            let moved = io.lines().take(2).filter_map(|l| l.split_once(": ")?.1.parse::<u64>().ok());
            sum = moved.fold(sum.wrapping_add(stat.ticks << 20), u64::wrapping_add);
        }
    }
    sum
}

fn children_by_scan(parent: Pid) -> Vec<Pid> {
    let is_child = |&pid: &Pid| Stat::read(pid).is_some_and(|stat| stat.parent == parent.as_raw_pid());
    all_processes().filter(is_child).collect()
}

fn all_processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| parse_pid(std::str::from_utf8(entry.file_name().as_bytes()).ok()?))
}

fn parse_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// The part of `/proc/PID/stat` that matters here.
struct Stat {
    parent: i32,
    group: i32,
    /// User and system time of the process and its reaped children, in clock ticks.
    ticks: u64,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The command name stands in parentheses and may hold anything; the last one closes it.
        let rest = std::str::from_utf8(&text[memchr::memrchr(b')', &text)? + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            ticks: (11..15).filter_map(number).sum(),
        })
    }
}
