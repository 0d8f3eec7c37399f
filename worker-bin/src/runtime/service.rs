//! What a service manager (systemd, `Type=notify`) is told: that the run has begun, what it does, that it stops, and to its
//! watchdog that it gets on. Without such a manager nothing here does anything.
//!
//! The watchdog is for bugs of the worker alone: work that has not moved while something is known to be in its way (a node that is
//! dead, a program that hangs) is none, and a new start would not help it. So a process is in order that can still be looked at
//! and in which whatever waits has moved since the last look, or says for what.

use super::observe::Watch;
use super::progress::Progress;
use crate::explain::Snapshot;
use crate::text::escape;
use sd_notify::NotifyState;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// How often the status is told anew, where no watchdog wants to hear more often.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The service that this process is, if whoever started it wants to be told of it.
#[derive(Debug)]
pub(super) struct Service(Option<Sender<Told>>);

#[derive(Debug)]
enum Told {
    Stopping,
}

impl Service {
    /// Tells that the run has begun, and goes on telling until it is over.
    pub(super) fn begin(progress: &Arc<Progress>, watch: &Arc<Watch>) -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (sender, told) = channel();
        let (progress, watch) = (Arc::clone(progress), Arc::downgrade(watch));
        let started = thread::Builder::new()
            .name("service".to_owned())
            // A manager that does not listen, and a node that cannot be looked at, hold this thread alone up.
            .spawn(move || tell(&told, &progress, &watch));
        if let Err(error) = &started {
            tracing::warn!("the service manager is told nothing: {error}");
        }
        Self(started.is_ok().then_some(sender))
    }

    /// The run is about to stop.
    pub(super) fn stops(&self) {
        if let Some(sender) = &self.0 {
            sender.send(Told::Stopping).ok();
        }
    }
}

fn tell(told: &Receiver<Told>, progress: &Progress, watch: &Weak<Watch>) {
    let watchdog = sd_notify::watchdog_enabled();
    // Half of it, as its manual wants; a look may take its time.
    let every = watchdog.map_or(STATUS_EVERY, |limit| (limit / 2).min(STATUS_EVERY));
    let mut news = vec![NotifyState::Ready];
    let (mut moved, mut stopping) = (None, false);
    loop {
        let Some(watch) = watch.upgrade() else { return };
        let now = watch.snapshot();
        // A line end would begin another word of it.
        let status = escape::one_line(progress.line(&now, &watch).as_bytes());
        news.push(NotifyState::Status(&status));
        // How long a stop may take is limited elsewhere.
        if is_in_order(&now, &mut moved) || stopping {
            news.push(NotifyState::Watchdog);
        }
        if !sent(&news) {
            return;
        }
        drop(watch);
        news = match told.recv_timeout(every) {
            Ok(Told::Stopping) if stopping => Vec::new(),
            Ok(Told::Stopping) => {
                stopping = true;
                vec![NotifyState::Stopping]
            }
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}

/// Whether anybody hears it.
fn sent(states: &[NotifyState<'_>]) -> bool {
    let result = sd_notify::notify(states);
    if let Err(error) = &result {
        tracing::warn!("the service manager cannot be told: {error}");
    }
    result.is_ok()
}

/// Whether a new start could help nothing: see above. `moved` is what had moved at the look before.
fn is_in_order(now: &Snapshot, moved: &mut Option<u64>) -> bool {
    let tasks = now.tasks.iter();
    let all =
        tasks.map(|task| task.counters.records_in + task.counters.records_out + task.done_records).sum();
    let before = moved.replace(all);
    before != Some(all) || now.tasks.iter().all(|task| task.queued_records == 0 || !task.waits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::sample;

    #[test]
    fn only_work_that_rests_without_a_reason_is_no_order() {
        let mut moved = None;
        let mut now = sample::calm();
        for task in &mut now.tasks {
            (task.queued_records, task.waits) = (5, Vec::new());
        }
        assert!(is_in_order(&now, &mut moved), "the first look knows of nothing before");
        assert!(!is_in_order(&now, &mut moved), "nothing has moved, and nobody says why");
        now.tasks[0].counters.records_out += 1;
        assert!(is_in_order(&now, &mut moved), "something has moved");
        now.tasks.iter_mut().for_each(|task| task.queued_records = 0);
        assert!(is_in_order(&now, &mut moved), "nothing waits");
    }

    #[test]
    fn work_that_says_for_what_it_waits_is_in_order() {
        let mut now = sample::snapshot();
        let why = now.tasks.iter().flat_map(|task| &task.waits).next().expect("somebody waits").clone();
        for task in &mut now.tasks {
            (task.queued_records, task.waits) = (5, vec![why.clone()]);
        }
        let mut moved = None;
        assert!(is_in_order(&now, &mut moved) && is_in_order(&now, &mut moved));
    }
}
