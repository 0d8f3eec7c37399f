//! What a run takes: by the clock, and of the processors.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What some processes took together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    /// User and system time of the process itself, without its children; of all of them where there are several.
    pub(crate) own: Duration,
    /// The same with its children, and theirs.
    pub(crate) all: Duration,
}

/// Begun before the processes are started, asked when all have been waited for.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Instant,
    children: Duration,
    this: Duration,
}

impl Meter {
    pub(crate) fn begin() -> Self {
        Self {
            children: used(UsageWho::RUSAGE_CHILDREN),
            this: used(UsageWho::RUSAGE_SELF),
            begun: Instant::now(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Processor time of processes that were waited for since, and of what they waited for.
    pub(crate) fn children(&self) -> Duration {
        used(UsageWho::RUSAGE_CHILDREN).saturating_sub(self.children)
    }

    /// Processor time of this process, where it does the work itself.
    pub(crate) fn this(&self) -> Duration {
        used(UsageWho::RUSAGE_SELF).saturating_sub(self.this)
    }
}

/// Runs a command, which must succeed.
pub(crate) fn time(command: &mut Command) -> Took {
    let meter = Meter::begin();
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    finish(child, &meter)
}

/// Waits for a process, which must succeed; no other may have been waited for since the meter's begin.
pub(crate) fn finish(mut child: Child, meter: &Meter) -> Took {
    let own = own_at_end(&child);
    let wall = meter.elapsed();
    let status = child.wait().expect("wait for the process");
    assert!(status.success(), "{status}");
    Took { wall, own, all: meter.children() }
}

/// Waits for the process's end, and leaves it as a zombie, which still says what it took without its children.
fn own_at_end(child: &Child) -> Duration {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    waitid(WaitId::Pid(Pid::from_child(child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .expect("wait for the process");
    own(child.id())
}

/// Processor time of a process that runs, without its children.
pub(crate) fn own(pid: u32) -> Duration {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a process id"));
    let clock = ClockId::pid_cpu_clock_id(pid).expect("the process has a clock");
    clock.now().expect("the clock of the process").into()
}

fn used(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("ask for processor time");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}
