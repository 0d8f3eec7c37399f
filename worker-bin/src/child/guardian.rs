//! Who stands between the worker and the launcher where that is not the first process of a namespace of root's.
//!
//! Without a namespace it is the launcher's second: it adopts what a killed launcher leaves behind and kills it, and kills a stopped
//! launcher with all that is below when the worker has ended. The kernel lets it go on for that (SIGCONT, of the worker's death) should it
//! have been stopped itself.
//!
//! ```text
//!   worker ── guardian ── launcher ── programs
//! ```
//! | who ends or is stopped | who ends all programs |
//! |---|---|
//! | worker | launcher and guardian, which see the closed socket |
//! | worker, launcher stopped | guardian |
//! | worker, guardian stopped | launcher, and the guardian that goes on |
//! | launcher | guardian |
//! | guardian | worker: it adopts the launcher |
//!
//! Where there is a cgroup of all programs, it is ended as a whole, by guardian or worker; whom it was left to when all three were killed
//! at once is the next start (`cgroup.rs`).
//!
//! With a user namespace it only makes that, as it takes a process of one thread: the kernel does the rest.

use super::begin::Role;
use super::cgroup;
use super::descent;
use super::launcher_main::LAUNCHER_ARG;
use super::namespace;
use super::tag::Tag;
use super::wire::Reply;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Signals that end neither guardian nor launcher: a terminal's, and what a service manager sends to all processes of a service. Programs
/// start without.
pub(super) const WITHSTOOD: [NixSignal; 4] =
    [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP, NixSignal::SIGQUIT];

/// Starts the launcher, and ends all that is below when worker or launcher have ended.
pub(super) fn guard(soft_limit: &str, cgroup: Option<&Path>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::CONT))?;
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me))?;
    Tag { launcher: me.as_raw_pid(), child: 0 }.put_on_this_process().ok();
    withstand()?;
    let socket = socket()?;
    let mut command = command(Role::Guarded, soft_limit, socket.try_clone()?.into())?;
    let launcher = Pid::from_child(&command.args(cgroup).spawn()?);
    let launcher = pidfd_open(launcher, PidfdFlags::empty())?;
    loop {
        // Nothing is asked of the socket: that it is closed is told anyway.
        let mut ended = [PollFd::new(&socket, PollFlags::empty()), PollFd::new(&launcher, PollFlags::IN)];
        match poll(&mut ended, None) {
            Err(rustix::io::Errno::INTR) => {}
            other => {
                other?;
                break;
            }
        }
    }
    // At once, as nobody can fork faster than that.
    if let Some(cgroup) = cgroup {
        cgroup::end(cgroup);
    }
    descent::end_all(me);
    Ok(())
}

/// Starts the launcher as first process of a namespace that is this user's own.
pub(super) fn enclose(soft_limit: &str) -> io::Result<()> {
    let proc = io::stdout().as_fd().try_clone_to_owned()?;
    withstand()?;
    let mut socket = socket()?;
    let made = namespace::of_what_is_started_next_by_anybody()
        .and_then(|()| namespace::hand_on_the_right())
        // Behind the change of user namespace, which forgets it.
        .and_then(|()| Ok(set_parent_process_death_signal(Some(Signal::KILL))?))
        .and_then(|()| {
            let mut command = command(Role::Enclosed, soft_limit, socket.try_clone()?.into())?;
            command.stdout(Stdio::from(proc)).spawn()
        });
    match made {
        Ok(mut launcher) => {
            // Else its end would not be seen at the other end of it.
            drop(socket);
            close_standard_input()?;
            launcher.wait().map(drop)
        }
        Err(error) => {
            let reply =
                Reply::Failed { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() };
            socket.write_all(&reply.encode(0)?)
        }
    }
}

/// Out of the terminal's reach: what a key combination ends is decided by the worker.
fn withstand() -> io::Result<()> {
    // It fails only for the leader of a group, which is as far out of reach.
    rustix::process::setsid().ok();
    rustix::thread::set_name(c"guardian")?;
    let mut withstood = SigSet::empty();
    for signal in WITHSTOOD {
        withstood.add(signal);
    }
    Ok(withstood.thread_set_mask()?)
}

fn socket() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn close_standard_input() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?)
}

fn command(role: Role, soft_limit: &str, socket: OwnedFd) -> io::Result<Command> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(std::env::args_os().next().unwrap_or_default());
    let me = rustix::process::getpid().to_string();
    command.args([LAUNCHER_ARG, role.word(), soft_limit, &me]);
    command.stdin(Stdio::from(socket)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
