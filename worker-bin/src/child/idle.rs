//! The clock of a child that does nothing.

use super::descent::{self, Activity};
use super::pipes::{Gauges, bytes_inside};
use rustix::process::Pid;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What can be seen of a child from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) group: Pid,
    pub(crate) gauges: &'a Gauges,
    /// Our copy of the reading end of its standard input.
    pub(crate) unread: &'a OwnedFd,
}

impl Watched<'_> {
    /// Returns when the child did nothing for `limit`; never without a limit.
    ///
    /// It did something when a byte moved or a process of its group used the processor or did I/O. Its clock stands
    /// still while it has no unread input, owes no answer and may expect more, and while nobody reads what it prints. Each look counts for at most one tick, so time in which
    /// this process itself was stopped or busy does not count.
    pub(crate) async fn idle_for(self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        let tick = (limit / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let (mut idle, mut looked) = (Duration::ZERO, Instant::now());
        let (mut moved, mut activity) = (None, None);
        while idle < limit {
            tokio::time::sleep(tick).await;
            let elapsed = looked.elapsed().min(tick);
            looked = Instant::now();
            let unread = bytes_inside(self.unread);
            let now = Some(self.gauges.moved(unread));
            let owes = self.gauges.closed.load(Relaxed) || self.gauges.owed.load(Relaxed) > 0;
            let waits = (unread == 0 && !owes) || self.gauges.held_up.load(Relaxed);
            if std::mem::replace(&mut moved, now) != now || waits {
                (idle, activity) = (Duration::ZERO, None);
                if waits {
                    // Nothing is expected of it until something moves: no timer runs.
                    self.gauges.has_work.notified().await;
                }
                continue;
            }
            let now = self.activity().await;
            let still = std::mem::replace(&mut activity, now.clone())
                .is_some_and(|before| now.is_some_and(|now| now.is_idle_since(&before)));
            idle = if still { idle + elapsed } else { Duration::ZERO };
        }
    }

    /// `None`: nobody knows, as there is no descriptor to look with. Reading `/proc` takes milliseconds where there are thousands
    /// of processes: not on this thread.
    pub(super) async fn activity(self) -> Option<Activity> {
        let group = self.group;
        tokio::task::spawn_blocking(move || descent::group_activity(group)).await.ok()?.ok()
    }
}
