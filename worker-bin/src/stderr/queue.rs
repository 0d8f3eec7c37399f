//! What is still to be written.

use crate::mutex::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of log that may wait; what comes beyond is dropped and counted.
const LOG_BYTES_MAX: usize = 256 * 1024;
/// The same where answers are counted in.
const BYTES_MAX: usize = 1024 * 1024;
/// What the writer takes at once, in bytes or one line.
const TAKEN_BYTES: usize = 16 * 1024;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    Log,
    /// Part of how the run ended or of what is wrong.
    Answer,
}

/// Lines and the frame on their way to the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// Something was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
    frame: Vec<String>,
    redraw: bool,
    /// The writer is at what it has taken.
    writing: bool,
    /// Counts what was taken by whoever reads.
    progress: u64,
    closed: bool,
}

/// What the writer writes next.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) lines: Vec<u8>,
    /// Lines that found no room behind these.
    pub(super) dropped: u64,
    pub(super) frame: Vec<String>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), written: Condvar::new() }
    }

    /// Queues a line, or counts it as dropped; `false`: there is no writer.
    pub(super) fn put(&self, line: &[u8], kind: LineKind) -> bool {
        let mut state = lock(&self.state);
        if state.closed {
            return false;
        }
        let room = match kind {
            LineKind::Log => LOG_BYTES_MAX,
            LineKind::Answer => BYTES_MAX,
        };
        // One line is taken whatever its length, and none overtakes those that were dropped.
        let fits = state.bytes == 0 || state.bytes + line.len() <= room;
        if fits && (state.dropped == 0 || kind == LineKind::Answer) {
            state.bytes += line.len();
            state.lines.push_back(line.to_vec());
        } else {
            state.dropped += 1;
        }
        self.work.notify_one();
        true
    }

    pub(super) fn show(&self, frame: Vec<String>) {
        let mut state = lock(&self.state);
        if state.frame != frame {
            state.frame = frame;
            state.redraw = true;
            self.work.notify_one();
        }
    }

    /// What is to be written next; waits until there is something. `None` when it is closed.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut state = lock(&self.state);
        state.writing = false;
        self.written.notify_all();
        while state.lines.is_empty() && state.dropped == 0 && !state.redraw {
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = Taken { frame: state.frame.clone(), ..Taken::default() };
        while taken.lines.len() < TAKEN_BYTES
            && let Some(line) = state.lines.pop_front()
        {
            state.bytes -= line.len();
            taken.lines.extend_from_slice(&line);
            if !line.ends_with(b"\n") {
                taken.lines.push(b'\n');
            }
        }
        if state.lines.is_empty() {
            taken.dropped = std::mem::take(&mut state.dropped);
        }
        state.redraw = false;
        state.writing = true;
        Some(taken)
    }

    /// Some of what was taken is written.
    pub(super) fn progressed(&self) {
        lock(&self.state).progress += 1;
        self.written.notify_all();
    }

    /// Nobody writes any more.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        *state = State { closed: true, ..State::default() };
        self.written.notify_all();
        self.work.notify_one();
    }

    /// Waits until all is written; at most `patience` in which nothing is, and `patience_max` in all.
    pub(super) fn flush(&self, patience: Duration, patience_max: Duration) {
        let begun = Instant::now();
        let mut moved = begun;
        let mut state = lock(&self.state);
        while state.writing || !state.lines.is_empty() || state.dropped > 0 || state.redraw {
            let now = Instant::now();
            let end = (moved + patience).min(begun + patience_max);
            if now >= end {
                return;
            }
            let before = state.progress;
            state = self.written.wait_timeout(state, end - now).unwrap_or_else(PoisonError::into_inner).0;
            if state.progress != before {
                moved = Instant::now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_behind_what_did_and_an_answer_has_room_left() {
        let queue = Queue::new();
        let line = vec![b'x'; 1000];
        let sent = LOG_BYTES_MAX / 1000 + 7;
        for _ in 0..sent {
            assert!(queue.put(&line, LineKind::Log));
        }
        assert!(queue.put(b"error: the end", LineKind::Answer));
        let (mut lines, mut dropped) = (Vec::new(), 0);
        while dropped == 0 {
            let taken = queue.take().unwrap();
            lines.extend(taken.lines);
            dropped = taken.dropped;
        }
        assert_eq!(dropped, 7);
        assert!(lines.ends_with(b"\nerror: the end\n"));
        assert_eq!(lines.iter().filter(|&&b| b == b'\n').count() + 7, sent + 1);
    }

    #[test]
    fn a_frame_that_nobody_took_is_replaced_by_the_next() {
        let queue = Queue::new();
        for n in 0..100 {
            queue.show(vec![format!("frame {n}")]);
        }
        assert_eq!(queue.take().unwrap().frame, ["frame 99"]);
    }

    #[test]
    fn the_end_waits_no_longer_than_it_must_for_a_reader_that_is_not_there() {
        let queue = Queue::new();
        queue.put(b"a", LineKind::Answer);
        let begun = Instant::now();
        queue.flush(Duration::from_millis(50), Duration::from_secs(60));
        assert!((Duration::from_millis(50)..Duration::from_secs(30)).contains(&begun.elapsed()));
        queue.close();
        queue.flush(Duration::from_secs(60), Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
