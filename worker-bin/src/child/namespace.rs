//! A PID namespace for programs: when its first process ends, however that comes, the kernel ends all others.
//!
//! Programs then have process ids of their own and see a `/proc` with nothing but themselves, as in a container.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Pid, PidfdFlags, Uid, pidfd_open};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_capabilities,
};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

/// Where processes are looked at.
const PROC: &str = "/proc";

/// What this thread starts next is the first process of a new namespace.
///
/// # Errors
/// It may not: that is for root, or for who has a user namespace.
pub(super) fn of_what_is_started_next() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID)?)
}

/// The same for a user who is not root, by a user namespace in which they stay who they are. This process must have one thread.
///
/// # Errors
/// The system allows it to nobody, or not to this program.
pub(super) fn of_what_is_started_next_by_anybody() -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
    stay(user, group)
}

/// There is no network for this process and what it starts, not even the machine itself. This process must have one thread.
///
/// # Errors
/// The system allows it to nobody, or not to this program.
pub(super) fn without_networks() -> io::Result<()> {
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    stay(user, group)
}

/// Who is who in a new user namespace: this user, and nobody else.
fn stay(user: Uid, group: Gid) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
    std::fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))
}

/// What this process and its descendants find in `/proc` from now on is its own namespace. What is mounted elsewhere meanwhile is mounted
/// for them, too.
///
/// # Errors
/// It may not.
pub(super) fn show_in_proc() -> io::Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_SLAVE | MsFlags::MS_REC, NONE)?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), PROC, Some("proc"), plain, NONE)?)
}

/// What this process executes next may make namespaces, too, as it may in the user namespace that it has made.
///
/// # Errors
/// It may not itself.
pub(super) fn hand_on_the_right() -> io::Result<()> {
    let own = capabilities(None)?;
    let inheritable = own.inheritable | CapabilitySet::SYS_ADMIN;
    set_capabilities(None, CapabilitySets { inheritable, ..own })?;
    Ok(configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)?)
}

/// This process and what it starts have no right any more that others have not.
///
/// # Errors
/// The system does not know them.
pub(super) fn give_up_rights() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// Gives the processes of this namespace numbers far from small ones: scripts make names of them for files that others see, too.
pub(super) fn number_apart(owner: i32) {
    /// Spreads neighbours.
    const SPREAD: u32 = 4_099;
    let Some(most) =
        std::fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|most| most.trim().parse().ok())
    else {
        return;
    };
    let most: u32 = most;
    let room = most / 4;
    let last = most / 2 + owner.unsigned_abs().wrapping_mul(SPREAD) % room.max(1);
    // Without it, which takes a kernel that can restore processes, they count from 2.
    std::fs::write("/proc/sys/kernel/ns_last_pid", last.to_string()).ok();
}

/// A look at processes as who opens it knows them.
pub(super) fn open_proc() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(PROC, flags, Mode::empty())?)
}

/// The number that this process has for who opened `proc`.
pub(super) fn own_number(proc: impl AsFd) -> io::Result<Pid> {
    let link = rustix::fs::readlinkat(proc, "self", Vec::new())?;
    parsed(&link.to_string_lossy())
}

/// The number that a child of this process, not reaped yet, has for who opened `proc`.
pub(super) fn number_of(child: Pid, proc: impl AsFd) -> io::Result<Pid> {
    let handle = pidfd_open(child, PidfdFlags::empty())?;
    let path = format!("self/fdinfo/{}", handle.as_raw_fd());
    let info = rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    std::fs::File::from(info).read_to_string(&mut text)?;
    parsed(text.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap_or_default())
}

fn parsed(number: &str) -> io::Result<Pid> {
    let pid = number.trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a process without a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_into_its_own_proc_sees_the_usual_numbers() {
        let proc = open_proc().expect("a look");
        assert_eq!(own_number(&proc).expect("a number"), rustix::process::getpid());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = Pid::from_child(&child);
        let number = number_of(pid, &proc);
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert_eq!(number.expect("a number"), pid);
    }
}
