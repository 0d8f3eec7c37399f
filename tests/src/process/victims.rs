//! Processes to be killed: a worker's launcher and programs, with all that those have started.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;

/// Every living descendant of a process.
#[must_use]
pub fn descendants(of: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some((parent, true)) = parent_and_life(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![of];
    let mut looked = 0;
    while let Some(parent) = found.get(looked) {
        found.extend(children.remove(parent).unwrap_or_default());
        looked += 1;
    }
    found.remove(0);
    found
}

/// Kills a process; whether it was there and alive.
#[must_use]
pub fn kill_living(pid: i32) -> bool {
    // The descriptor keeps the number from being another process's by the time of the kill.
    let Some(file) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    let alive = parent_and_life(pid).is_some_and(|(_, alive)| alive);
    alive && pidfd_send_signal(file, Signal::KILL).is_ok()
}

/// The parent of a process, and whether it is more than an exit status that waits to be read.
fn parent_and_life(pid: i32) -> Option<(i32, bool)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    Some((fields.next()?.parse().ok()?, !matches!(state, "Z" | "X" | "x")))
}
