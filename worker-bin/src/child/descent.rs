//! Who descends from whom, as `/proc` tells it.

use super::tag::Tag;
use crate::stopped::{Stopped, stopped};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the end of all waits for processes that cannot be killed (another user's, or deep in the kernel).
const LAST_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether they have died, at first and later.
const DEATH_LOOK: Duration = Duration::from_micros(200);
const DEATH_LOOK_MAX: Duration = Duration::from_millis(20);

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

/// Kills every descendant of this process, `me`, again and again until there is none.
pub(crate) fn end_all(me: Pid) {
    let deadline = Instant::now() + LAST_WAIT;
    let mut wait = DEATH_LOOK;
    loop {
        for pid in descendants(me) {
            kill_process(pid, Signal::KILL).ok();
        }
        let mut left = false;
        for pid in children(me) {
            left |= !reaped(pid);
        }
        if (!left && children(me).is_empty()) || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(DEATH_LOOK_MAX);
    }
}

/// Reaps `pid` if it has ended.
pub(crate) fn reaped(pid: Pid) -> bool {
    !matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}

/// What a file below `/proc` says; `None` where there is nothing, or it is not for us. An error, as without a free descriptor,
/// means that nobody knows.
fn look(path: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What the processes of a group have done since their starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Bytes read and written, whatever with.
    moved: u64,
    processor: Duration,
    /// One of them that is stopped, and by what.
    pub(crate) stopped: Option<(u32, Stopped)>,
}

/// So little use of the processor between two looks is none: it is what a sleeping program's signals and timers take.
const NO_WORK: Duration = Duration::from_micros(20);

impl Activity {
    /// Whether nothing was done between `before` and this.
    pub(crate) fn is_idle_since(&self, before: &Activity) -> bool {
        self.moved == before.moved && self.processor.saturating_sub(before.processor) <= NO_WORK
    }

    fn add(&mut self, pid: Pid, stat: &Stat) -> io::Result<()> {
        let io = look(&format!("/proc/{pid}/io"))?.unwrap_or_default();
        let io = String::from_utf8_lossy(&io);
        let moved = io.lines().take(2).filter_map(|l| l.split_once(": ")?.1.parse::<u64>().ok());
        self.moved = moved.fold(self.moved, u64::wrapping_add);
        self.processor += stat.of_children + processor(pid).unwrap_or(stat.own);
        let id = u32::try_from(pid.as_raw_pid()).unwrap_or_default();
        self.stopped = self.stopped.or_else(|| Some((id, stopped(id)?)));
        Ok(())
    }
}

/// What the processes of group `group` have done. A program that sleeps between two records works, however short that is.
///
/// # Errors
/// It cannot be looked at now.
pub(crate) fn group_activity(group: Pid) -> io::Result<Activity> {
    let mut activity = Activity::default();
    for pid in all_processes()? {
        if let Some(stat) = Stat::read(pid)?.filter(|stat| stat.group == group.as_raw_pid()) {
            activity.add(pid, &stat)?;
        }
    }
    Ok(activity)
}

/// What still runs of a child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// The names and numbers of its processes.
    pub(crate) names: Vec<String>,
    /// What they have done.
    pub(crate) activity: Activity,
    /// One of them reads from something that records may come by.
    pub(crate) may_hold_input: bool,
}

/// What still runs of the child `id` of `launcher`, whose group is `group`.
///
/// # Errors
/// It cannot be looked at now.
pub(crate) fn survivors(launcher: Pid, id: u64, group: Pid) -> io::Result<Left> {
    let (mut left, tag) = (Left::default(), Tag { launcher: launcher.as_raw_pid(), child: id });
    for pid in all_processes()? {
        let Some(stat) = Stat::read(pid)?.filter(|stat| !stat.has_ended) else { continue };
        if stat.group == group.as_raw_pid() || Tag::of(pid) == Some(tag) {
            left.activity.add(pid, &stat)?;
            left.names.push(format!("{} ({pid})", stat.name));
            left.may_hold_input = left.may_hold_input || may_hold_input(pid);
        }
    }
    Ok(left)
}

/// How a descriptor is open, in its flags.
const ACCESS: i32 = 0o3;
const WRITE_ONLY: i32 = 0o1;

/// Whether a process may have some of what its program was given: its standard input is something else than `/dev/null`, or it
/// has a pipe open for reading. Where nobody may look, it may.
fn may_hold_input(pid: Pid) -> bool {
    let open = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    let reads = |number: &str| {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok()).unwrap_or_default();
        flags & ACCESS != WRITE_ONLY
    };
    let is_pipe = |path: &Path| fs::metadata(path).is_ok_and(|what| what.file_type().is_fifo());
    open.flatten().any(|entry| match entry.file_name().to_str() {
        Some("1" | "2") | None => false,
        Some("0") => fs::read_link(entry.path()).is_ok_and(|to| to != Path::new("/dev/null")),
        Some(number) => is_pipe(&entry.path()) && reads(number),
    })
}

/// Whether a process runs and is of this group.
pub(crate) fn is_in_group(pid: Pid, group: Pid) -> bool {
    Stat::read(pid).ok().flatten().is_some_and(|stat| !stat.has_ended && stat.group == group.as_raw_pid())
}

/// The processor time of all threads of a process, where the kernel counts it in more than ticks.
fn processor(pid: Pid) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let used = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    });
    let sum = used.fold(0_u64, u64::wrapping_add);
    (sum > 0).then(|| Duration::from_nanos(sum))
}

fn children_by_scan(parent: Pid) -> Vec<Pid> {
    let stat = |pid| Stat::read(pid).ok().flatten();
    let is_child = |&pid: &Pid| stat(pid).is_some_and(|stat| stat.parent == parent.as_raw_pid());
    all_processes().map(|all| all.filter(is_child).collect()).unwrap_or_default()
}

fn all_processes() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| parse_pid(std::str::from_utf8(entry.file_name().as_bytes()).ok()?)))
}

fn parse_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// What a clock tick of `/proc` is: USER_HZ is 100 on every architecture that this runs on.
const TICK_NS: u64 = 10_000_000;

/// The part of `/proc/PID/stat` that matters here.
struct Stat {
    name: String,
    /// Nobody has asked for its end yet.
    has_ended: bool,
    parent: i32,
    group: i32,
    /// User and system time of the process, and of its reaped children.
    own: Duration,
    of_children: Duration,
}

impl Stat {
    fn read(pid: Pid) -> io::Result<Option<Self>> {
        let text = look(&format!("/proc/{pid}/stat"))?;
        Ok(text.and_then(|text| Self::parse(&text)))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The command name stands in parentheses and may hold anything; the last one closes it.
        let (opens, closes) = (memchr::memchr(b'(', text)?, memchr::memrchr(b')', text)?);
        let name = String::from_utf8_lossy(text.get(opens + 1..closes)?).into_owned();
        let rest = std::str::from_utf8(&text[closes + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let time = |at| Duration::from_nanos((ticks(at) + ticks(at + 1)).wrapping_mul(TICK_NS));
        let has_ended = matches!(*fields.first()?, "Z" | "X");
        Some(Self {
            name,
            has_ended,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            own: time(11),
            of_children: time(13),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_looked_at_is_not_gone() {
        assert!(matches!(look("/proc/self/stat"), Ok(Some(_))));
        assert!(matches!(look("/proc/0/stat"), Ok(None)), "there is no such process");
        look("/proc/self/task")
            .expect_err("what is no file cannot be read, and that says nothing of a process");
    }
}
