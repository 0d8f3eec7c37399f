//! The stream of events: how things are, once a second, made once for all who read.
//!
//! Readers share what is told. One that is slow gets what is newest when it has taken what it began, and misses what was told
//! meanwhile; what it still holds of old is bounded for all readers together.

use super::connections::Held;
use super::prepared::Prepared;
use super::refusals::Refusal;
use super::subject::Subject;
use crate::mutex::lock;
use axum::body::Bytes;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often events say how things are.
const EVERY: Duration = Duration::from_secs(1);

/// Most readers at once.
pub(super) const READERS_MAX: usize = 16;

/// What all readers together hold of events that are not the newest any more, in bytes; one event in any case.
const OLD_BYTES_MAX: usize = READERS_MAX * (16 << 10);

/// How much of an event is given to a connection at once, in bytes: what it has of its own beside what is shared.
const PART_BYTES: usize = 8 << 10;

/// A part of the stream, for one reader.
pub(super) type Part = Result<Bytes, Infallible>;

/// Those who read, and what they are told.
pub(super) struct Events {
    subject: Arc<dyn Subject>,
    prepared: Arc<Prepared>,
    latest: watch::Sender<Option<Arc<Told>>>,
    readers: Mutex<Readers>,
    made: AtomicU64,
}

#[derive(Debug, Default)]
struct Readers {
    next: u64,
    reading: BTreeMap<u64, Reading>,
    /// Somebody makes events.
    told: bool,
}

/// What one reader has begun to take.
#[derive(Debug)]
struct Reading {
    event: Option<u64>,
    held: Arc<Held>,
}

/// One event, as it is sent.
#[derive(Debug)]
struct Told {
    number: u64,
    text: Bytes,
    /// The run is over.
    last: bool,
}

impl Events {
    pub(super) fn new(subject: Arc<dyn Subject>, prepared: Arc<Prepared>) -> Arc<Self> {
        Arc::new(Self {
            subject,
            prepared,
            latest: watch::Sender::new(None),
            readers: Mutex::default(),
            made: AtomicU64::new(0),
        })
    }

    /// Begins to read by this connection; nothing where so many do already.
    pub(super) fn read(self: &Arc<Self>, held: Arc<Held>) -> Option<mpsc::Receiver<Part>> {
        let number = {
            let mut readers = lock(&self.readers);
            if readers.reading.len() >= READERS_MAX {
                return None;
            }
            let number = readers.next;
            readers.next += 1;
            readers.reading.insert(number, Reading { event: None, held });
            if !std::mem::replace(&mut readers.told, true) {
                tokio::spawn(tell(Arc::clone(self)));
            }
            number
        };
        let place = Place { events: Arc::clone(self), number };
        let (sender, parts) = mpsc::channel(1);
        tokio::spawn(pass_on(place, self.latest.subscribe(), sender));
        Some(parts)
    }

    /// Whether nobody reads any more; then nobody makes events from here on, either.
    fn is_over(&self, last: bool) -> bool {
        let mut readers = lock(&self.readers);
        readers.told = !last && !readers.reading.is_empty();
        if !readers.told && !last {
            // It would be old news for who comes next.
            self.latest.send_replace(None);
        }
        !readers.told
    }

    /// Ends the reading of those that have begun with this event and are not done.
    fn close_readers_of(&self, event: u64) {
        for reading in lock(&self.readers).reading.values().filter(|reading| reading.event == Some(event)) {
            reading.held.close(Refusal::Unread);
        }
    }
}

/// One reader among all, until it is dropped.
struct Place {
    events: Arc<Events>,
    number: u64,
}

impl Place {
    /// It takes this event now, or waits for one.
    fn takes(&self, event: Option<u64>) {
        if let Some(reading) = lock(&self.events.readers).reading.get_mut(&self.number) {
            reading.event = event;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.events.readers).reading.remove(&self.number);
    }
}

/// Makes an event a second while somebody reads, and one at once when the run ends.
async fn tell(events: Arc<Events>) {
    let mut tick = interval_at(Instant::now() + EVERY, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut news = events.subject.news();
    let mut old: Vec<Weak<Told>> = Vec::new();
    loop {
        // Before what is told: the last event says how it ended.
        let last = events.subject.has_ended();
        let number = events.made.fetch_add(1, Ordering::Relaxed);
        // A `Live`, of what others are told who ask for a part of it.
        let (status, why) = (events.prepared.status(), events.prepared.why());
        let text: [&[u8]; 5] = [b"event: status\ndata: {\"status\":", &status, b",\"why\":", &why, b"}\n\n"];
        let text = Bytes::from(text.concat());
        let told = Arc::new(Told { number, text, last });
        old.push(Arc::downgrade(&told));
        events.latest.send_replace(Some(told));
        bound(&events, &mut old);
        if events.is_over(last) {
            return;
        }
        tokio::select! {
            _ = tick.tick() => {}
            () = has_ended(&mut news, &events) => {}
        }
    }
}

/// Closes those that read the oldest events, where all that are read take too much.
fn bound(events: &Events, told: &mut Vec<Weak<Told>>) {
    told.retain(|told| told.strong_count() > 0);
    let sizes: Vec<(u64, usize)> =
        told.iter().filter_map(Weak::upgrade).map(|told| (told.number, told.text.len())).collect();
    for event in too_old(&sizes) {
        events.close_readers_of(event);
    }
}

/// Which events must be given up, of those that somebody holds, by their number and size; the last is the newest.
fn too_old(told: &[(u64, usize)]) -> Vec<u64> {
    let Some((_newest, old)) = told.split_last() else { return Vec::new() };
    let mut bytes: usize = old.iter().map(|(_, size)| size).sum();
    let mut given_up = Vec::new();
    for (event, size) in old.iter().take(old.len().saturating_sub(1)) {
        if bytes <= OLD_BYTES_MAX {
            break;
        }
        bytes -= size;
        given_up.push(*event);
    }
    given_up
}

/// Resolves when the run is over.
async fn has_ended(news: &mut watch::Receiver<u64>, events: &Events) {
    while news.changed().await.is_ok() {
        if events.subject.has_ended() {
            return;
        }
    }
    std::future::pending().await
}

/// Gives one reader what is newest whenever it has taken what was before.
async fn pass_on(place: Place, mut latest: watch::Receiver<Option<Arc<Told>>>, sender: mpsc::Sender<Part>) {
    loop {
        let told = latest.borrow_and_update().clone();
        if let Some(told) = told {
            place.takes(Some(told.number));
            for at in (0..told.text.len()).step_by(PART_BYTES) {
                let end = told.text.len().min(at + PART_BYTES);
                // A copy: a part that waits in a connection holds nothing that is shared.
                if sender.send(Ok(Bytes::copy_from_slice(&told.text[at..end]))).await.is_err() {
                    return;
                }
            }
            place.takes(None);
            if told.last {
                return;
            }
        }
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slow_readers_hold_of_old_events_is_bounded_for_all_together() {
        let small = 16 << 10;
        let told: Vec<_> = (0..=16).map(|event| (event, small)).collect();
        assert_eq!(too_old(&told), [0; 0], "as many as there may be readers, of a size each");
        let told: Vec<_> = (0..=18).map(|event| (event, small)).collect();
        assert_eq!(too_old(&told), [0, 1], "the oldest first");
        assert_eq!(too_old(&[(7, 1 << 20), (8, 1 << 20)]), [0; 0], "one of any size is allowed");
        assert_eq!(too_old(&[(6, 1 << 20), (7, 1 << 20), (8, 1 << 20)]), [6]);
        assert_eq!([too_old(&[]), too_old(&[(1, 1 << 30)])], [[0; 0]; 2], "the newest is everybody's");
    }
}
