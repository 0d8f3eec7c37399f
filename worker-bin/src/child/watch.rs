//! A child that has something to do and does nothing is told of, and that it goes on, too.
//!
//! ```text
//!   nothing to do ──a byte moves──▶ looked at ──rests for IDLE_MIN──▶ told ──anything moves, or its end──▶ looked at
//!         ▲──── nothing moves ──────────┘
//! ```
//! While it has nothing to do, or buffers and was told of, no timer runs: what moves its bytes stirs the watcher.

use super::descent::Activity;
use super::idle::Watched;
use super::pipes::bytes_inside;
use super::program::PrintsTo;
use super::serve::Service;
use crate::stopped::Stopped;
use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often a child that has something to do is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For how long a child does nothing before that is told.
const IDLE_MIN: Duration = Duration::from_secs(2);

/// For how long a child does nothing with all its input read before the log gives a hint.
const HINT_AFTER: Duration = Duration::from_secs(5);

/// What a child that has something to do is seen not to do: nothing moves, and no processor is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It has unread input, owes answers, or its end is waited for.
    Hung {
        idle_for: Duration,
        /// Input it has not read, in bytes.
        unread_bytes: u64,
        /// Its standard input is closed.
        closed: bool,
    },
    /// It, or a process that it has started, does not run: by a signal, a debugger or its cgroup.
    Stopped { pid: u32, by: Stopped },
    /// It has read all it was given, and printed nothing of it.
    Buffering {
        idle_for: Duration,
        /// Bytes it was given since it last printed.
        fed_bytes: u64,
    },
}

/// Hears of a child's [`Idle`], and with `None` that it is over.
pub(crate) type IdleCallback<'a> = &'a (dyn Fn(Option<Idle>) + Sync);

/// What is owed for input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    /// Everything, when the input is over.
    Batch,
    /// Whatever the program likes, but usually something.
    Stream,
    /// An answer to each request.
    Records,
}

/// Watches one child. Dropped with it, or when it has ended: what was told is taken back then.
pub(crate) struct Watcher<'a> {
    watched: Watched<'a>,
    contract: Contract,
    service: &'a Service<'a>,
    told: bool,
    /// What was told is that it is stopped.
    stopped: bool,
    hinted: bool,
}

/// What bytes say of a child.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Bytes that it read, printed and complained in.
    moved: u64,
    unread: u64,
    owed: u64,
    closed: bool,
}

/// What the child does is a movement; what it is given is none. Nor is that its input is closed, where it has not even read what was
/// before that: it hangs on.
impl PartialEq for Look {
    fn eq(&self, other: &Self) -> bool {
        let has_unread = self.unread > 0 && other.unread > 0;
        self.moved == other.moved && (self.closed == other.closed || has_unread)
    }
}

/// How it was at the last look, and for how long.
struct Seen {
    look: Look,
    activity: Option<Activity>,
    idle_for: Duration,
}

impl Seen {
    fn new(look: Look) -> Self {
        Self { look, activity: None, idle_for: Duration::ZERO }
    }
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(watched: Watched<'a>, service: &'a Service<'a>) -> Self {
        let contract = match (service.stream, service.gathers) {
            (true, true) => Contract::Records,
            (true, false) => Contract::Stream,
            (false, _) => Contract::Batch,
        };
        Self { watched, contract, service, told: false, stopped: false, hinted: false }
    }

    /// Watches for as long as it is polled.
    pub(crate) async fn watch(mut self) -> Infallible {
        loop {
            self.watched.gauges.stirred.notified().await;
            self.look_while_it_has_work().await;
        }
    }

    /// Each look counts for at most the time since the last that was meant, so time in which this process itself was stopped
    /// does not count.
    async fn look_while_it_has_work(&mut self) {
        let mut seen = Seen::new(self.look());
        loop {
            let elapsed = self.until_next_look(&seen).await;
            let look = self.look();
            if look != seen.look {
                self.goes_on();
                seen = Seen::new(look);
                continue;
            }
            if self.idle(look, Duration::ZERO).is_none() {
                return self.goes_on();
            }
            let Some(activity) = self.watched.activity().await else {
                seen.activity = None;
                continue;
            };
            let stopped = activity.stopped;
            let before = seen.activity.replace(activity.clone());
            if let Some((pid, by)) = stopped {
                self.say_stopped(pid, by);
                continue;
            }
            if self.stopped || before.is_none_or(|before| !activity.is_idle_since(&before)) {
                self.goes_on();
                seen.idle_for = Duration::ZERO;
                continue;
            }
            seen.idle_for += elapsed;
            if let Some(idle) = self.idle(look, seen.idle_for).filter(|_| seen.idle_for >= IDLE_MIN) {
                self.say_idle(idle);
            }
        }
    }

    /// Waits until it is worth looking again, and says how much of that time counts.
    async fn until_next_look(&self, seen: &Seen) -> Duration {
        if self.told && self.look() != seen.look {
            return Duration::ZERO;
        }
        let buffers = matches!(self.idle(seen.look, seen.idle_for), Some(Idle::Buffering { .. }));
        let wait = match (self.told, buffers) {
            (false, _) | (true, false) => LOOK_EVERY,
            (true, true) if !self.hinted => HINT_AFTER.saturating_sub(seen.idle_for),
            (true, true) => {
                self.movement(seen.look).await;
                return Duration::ZERO;
            }
        };
        let begun = Instant::now();
        if self.told {
            tokio::time::timeout(wait, self.movement(seen.look)).await.ok();
        } else {
            tokio::time::sleep(wait).await;
        }
        begun.elapsed().min(wait)
    }

    async fn movement(&self, since: Look) {
        while self.look() == since {
            self.watched.gauges.stirred.notified().await;
        }
    }

    fn look(&self) -> Look {
        let gauges = self.watched.gauges;
        let unread = bytes_inside(self.watched.unread);
        Look {
            moved: gauges.moved(unread),
            unread,
            owed: gauges.owed.load(Relaxed),
            closed: gauges.closed.load(Relaxed),
        }
    }

    /// What is to be said of a child that looks so and is idle; nothing if it has nothing to do.
    fn idle(&self, look: Look, idle_for: Duration) -> Option<Idle> {
        let gauges = self.watched.gauges;
        if gauges.held_up.load(Relaxed) {
            return None;
        }
        let fed_bytes = gauges.fed.load(Relaxed).saturating_sub(gauges.fed_at_print.load(Relaxed));
        let Look { unread: unread_bytes, closed, .. } = look;
        let silent = gauges.printed.load(Relaxed) == 0;
        let prints_to = self.service.program.prints_to;
        let has_all = unread_bytes == 0 && !closed;
        match self.contract {
            // Who is not read may be as silent as it likes.
            Contract::Stream if has_all => (fed_bytes > 0 && prints_to == PrintsTo::Records)
                .then_some(Idle::Buffering { idle_for, fed_bytes }),
            // One that prints an answer at once has printed something.
            Contract::Records if has_all && silent && look.owed > 0 => {
                Some(Idle::Buffering { idle_for, fed_bytes })
            }
            Contract::Batch | Contract::Stream | Contract::Records => {
                let works = unread_bytes > 0 || closed || look.owed > 0;
                works.then_some(Idle::Hung { idle_for, unread_bytes, closed })
            }
        }
    }

    fn say_idle(&mut self, idle: Idle) {
        if !std::mem::replace(&mut self.told, true) {
            (self.service.on_idle)(Some(idle));
        }
        match idle {
            Idle::Buffering { idle_for, .. } if idle_for >= HINT_AFTER && !self.hinted => {
                self.hinted = true;
                hint(self.service);
            }
            Idle::Buffering { .. } | Idle::Hung { .. } | Idle::Stopped { .. } => {}
        }
    }

    fn say_stopped(&mut self, pid: u32, by: Stopped) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.told = true;
            (self.service.on_idle)(Some(Idle::Stopped { pid, by }));
        }
    }

    fn goes_on(&mut self) {
        self.stopped = false;
        if std::mem::take(&mut self.told) {
            (self.service.on_idle)(None);
        }
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.goes_on();
    }
}

fn hint(service: &Service<'_>) {
    tracing::info!(
        stage = service.program.stage,
        task = service.env.task,
        "{} has read its input and prints nothing: it probably buffers its output (stdbuf -oL, python -u, grep \
         --line-buffered; normal for aggregates)",
        service.program.name()
    );
}

#[cfg(test)]
mod tests;
