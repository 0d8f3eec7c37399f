//! The thread that follows the reader of a pipe, where every record is to count: a write is done when he has taken it.
//!
//! ```text
//!   written ──he takes all of it──▶ Written
//!      └─────he leaves────▶ Partly, through the last record that he took whole; then the next reader is waited for, or he is gone
//! ```
//! What he had taken and not used, and what another process has written to the same pipe, nobody knows. Limit: it holds the
//! writes of which something lies in the pipe.

use crate::io::sink::{Moved, PipeReader, Seen};
use crate::runtime::context::Reporter;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use worker_core::event::{SinkEvent, WorkId};
use worker_proto::Batch;

/// A pipe does not tell when it is read from, so it is looked at: so often while it is, and while it is not.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(20);

/// How long it is waited for the next look. That becomes longer only when nothing has happened for so long: a burst of writes must not
/// make looks rare, because only so many writes may be under way, and the next one waits for a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    wait: Duration,
}

/// Why it is looked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Something is written, or was taken.
    News,
    /// It was waited in vain.
    Time,
}

impl Default for Pace {
    fn default() -> Self {
        Self { wait: LOOK_EVERY }
    }
}

impl Pace {
    fn woken(&mut self, by: By) {
        self.wait = match by {
            By::News => LOOK_EVERY,
            By::Time => (self.wait * 2).min(LOOK_EVERY_MAX),
        };
    }
}

/// What the thread that writes tells the one that follows.
#[derive(Debug)]
pub(super) struct Follower(Sender<News>);

#[derive(Debug)]
enum News {
    /// This is going to be written.
    Write(WorkId, Vec<Batch>),
    /// The last write has found no reader.
    NoReader,
    /// And there will be no other.
    Gone,
}

#[derive(Debug)]
struct Following {
    reader: PipeReader,
    moved: Moved,
    reporter: Reporter,
    stopped: Arc<AtomicBool>,
    waiting: VecDeque<Waiting>,
    /// Where the last write ends, in bytes of all.
    end: u64,
    is_gone: bool,
    /// The last write has found no reader, and is not under way.
    has_given_up: bool,
    /// It was told that nobody reads.
    is_told: bool,
}

/// A write that is not done.
#[derive(Debug)]
struct Waiting {
    work: WorkId,
    batches: Vec<Batch>,
    begin: u64,
    end: u64,
    /// Of it, what was told to be done: records, and their bytes.
    told: (u64, u64),
}

impl Follower {
    pub(super) fn start(
        task: &str,
        (reader, moved): (PipeReader, Moved),
        reporter: Reporter,
        stopped: Arc<AtomicBool>,
    ) -> Result<Self, String> {
        let (sender, news) = channel();
        let end = moved.bytes();
        let following = Following {
            reader,
            moved,
            reporter,
            stopped,
            waiting: VecDeque::new(),
            end,
            is_gone: false,
            has_given_up: false,
            is_told: false,
        };
        let thread = std::thread::Builder::new().name(format!("{task} reader"));
        let started = thread.spawn(move || following.follow(&news));
        started.map(|_| Self(sender)).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// This is going to be written now.
    pub(super) fn writes(&self, work: WorkId, batches: &[Batch]) {
        self.0.send(News::Write(work, batches.to_vec())).ok();
    }

    /// The last write has found no reader, and waits for one.
    pub(super) fn no_reader(&self) {
        self.0.send(News::NoReader).ok();
    }

    /// The last write has found no reader, and there will be no other.
    pub(super) fn gone(&self) {
        // Who has ended has told so himself.
        self.0.send(News::Gone).ok();
    }
}

impl Following {
    fn follow(mut self, news: &Receiver<News>) {
        let mut pace = Pace::default();
        loop {
            if self.waiting.is_empty() && !self.is_gone {
                match news.recv() {
                    Ok(next) => self.note(next),
                    // All that was written is done.
                    Err(_) => return,
                }
                pace.woken(By::News);
            }
            news.try_iter().for_each(|next| self.note(next));
            let seen = self.reader.look(&self.moved);
            if self.tell_done(seen) {
                pace.woken(By::News);
            }
            if self.goes(seen) || self.stopped.load(Ordering::Relaxed) || !self.reporter.is_heard() {
                return;
            }
            if self.waiting.is_empty() {
                continue;
            }
            match news.recv_timeout(pace.wait) {
                Ok(next) => {
                    self.note(next);
                    pace.woken(By::News);
                }
                Err(RecvTimeoutError::Timeout) => pace.woken(By::Time),
                // The run is over, or has failed.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn note(&mut self, news: News) {
        match news {
            News::Write(work, batches) => {
                let begin = self.end;
                self.end += batches.iter().map(|batch| batch.bytes() as u64).sum::<u64>();
                self.waiting.push_back(Waiting { work, batches, begin, end: self.end, told: (0, 0) });
            }
            News::NoReader => self.has_given_up = true,
            News::Gone => self.is_gone = true,
        }
    }

    /// Tells what was taken whole; says whether that was anything.
    fn tell_done(&mut self, seen: Seen) -> bool {
        let mut is_some = false;
        while self.waiting.front().is_some_and(|waiting| waiting.end <= seen.taken)
            && let Some(done) = self.waiting.pop_front()
        {
            self.reporter.tell(SinkEvent::Written { work: done.work, position: None });
            is_some = true;
        }
        is_some
    }

    /// What it means that nobody reads any more; says whether nobody will.
    fn goes(&mut self, seen: Seen) -> bool {
        self.has_given_up &= !seen.has_reader;
        // Of a write that is under way it is not known yet how much went into the pipe.
        let is_known = self.has_given_up || seen.written >= self.end;
        let is_left = self.is_gone || !(seen.has_reader || self.waiting.is_empty()) && is_known;
        if is_left && let Some(first) = self.waiting.front_mut() {
            let (records, bytes) = first.taken_whole(seen.taken);
            let before = first.told;
            // A look while a system call writes may show less than the one before.
            if records > before.0 {
                first.told = (records, bytes);
                let (work, records, bytes) = (first.work, records - before.0, bytes - before.1);
                self.reporter.tell(SinkEvent::Partly { work, records, bytes });
            }
        }
        if self.is_gone || (is_left && !self.reader.has_name()) {
            if seen.unread > 0 {
                tracing::warn!(
                    bytes = seen.unread,
                    "whoever read {} has left this in the pipe: the next start writes it again",
                    self.reader.name()
                );
            }
            self.reporter.tell(SinkEvent::ReaderGone);
            return true;
        }
        if (is_left || seen.has_reader) && is_left != std::mem::replace(&mut self.is_told, is_left) {
            self.tell_waiting(is_left);
        }
        false
    }

    fn tell_waiting(&self, waits: bool) {
        if waits {
            let name = self.reader.name();
            tracing::warn!("waiting for a reader: nobody reads {name}; it is written to when somebody does");
            self.reporter.waits_for_reader(name.to_owned());
        } else {
            self.reporter.waits_for_room(None);
        }
    }
}

impl Waiting {
    /// How many of its records end before so many bytes of all, and how many bytes they have.
    fn taken_whole(&self, taken: u64) -> (u64, u64) {
        whole(&self.batches, taken.saturating_sub(self.begin))
    }
}

/// How many records of `batches` lie in their first `taken` bytes, and how many bytes they have.
pub(super) fn whole(batches: &[Batch], taken: u64) -> (u64, u64) {
    let (mut records, mut bytes) = (0, 0);
    for record in batches.iter().flat_map(Batch::iter) {
        let end = bytes + record.len() as u64;
        if end > taken {
            break;
        }
        (records, bytes) = (records + 1, end);
    }
    (records, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where eight writes may be under way, a burst of them waited 20 ms for its reader, who had taken them long before.
    #[test]
    fn a_burst_of_writes_does_not_make_looks_rare() {
        let mut pace = Pace::default();
        (0..8).for_each(|_| pace.woken(By::News));
        assert_eq!(pace.wait, LOOK_EVERY);
        (0..8).for_each(|_| pace.woken(By::Time));
        assert_eq!(pace.wait, LOOK_EVERY_MAX, "who reads nothing is looked at less and less");
        pace.woken(By::News);
        assert_eq!(pace.wait, LOOK_EVERY);
    }
}
