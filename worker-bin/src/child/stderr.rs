//! A child's standard error: always drained, its end kept, the rest logged at a bounded rate.

use super::pipes::Gauges;
use crate::mutex::lock;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// How much of it is kept for the error, in bytes.
const TAIL_BYTES: usize = 8 * 1024;

/// Lines logged per second and stage.
const LOG_LINES_MAX: u32 = 20;

/// Longest line logged, in bytes.
const LOG_LINE_BYTES_MAX: usize = 1024;

/// How often one stage's children may write to the log together.
#[derive(Clone, Debug, Default)]
pub struct LogLimit(Arc<Mutex<Option<RateWindow>>>);

#[derive(Debug)]
struct RateWindow {
    began: Instant,
    lines: u32,
}

impl LogLimit {
    /// Whether one more line may be logged now; the first that may not is answered with a note.
    fn admits(&self, stage: &str) -> bool {
        let mut window = lock(&self.0);
        let now = Instant::now();
        let current = window.get_or_insert(RateWindow { began: now, lines: 0 });
        if now.duration_since(current.began) >= Duration::from_secs(1) {
            *current = RateWindow { began: now, lines: 0 };
        }
        current.lines = current.lines.saturating_add(1);
        if current.lines == LOG_LINES_MAX + 1 {
            tracing::info!(
                stage,
                "more on standard error than {LOG_LINES_MAX} lines a second: the rest is not logged"
            );
        }
        current.lines <= LOG_LINES_MAX
    }
}

/// What is kept of it.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    /// Start of a line whose end was not read yet.
    line: Vec<u8>,
}

impl Tail {
    /// What is kept, as text.
    pub(crate) fn text(&self) -> String {
        let kept = &self.bytes[self.bytes.len().saturating_sub(TAIL_BYTES)..];
        String::from_utf8_lossy(kept).trim_end().to_owned()
    }

    fn push(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        if self.bytes.len() + kept.len() > 2 * TAIL_BYTES {
            self.bytes.drain(..self.bytes.len().saturating_sub(TAIL_BYTES));
        }
        self.bytes.extend_from_slice(kept);
    }

    fn log(&mut self, mut bytes: &[u8], source: &Source<'_>) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.keep_line(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if !self.log_line(source) {
                // A flood: go on behind its last whole line.
                bytes = memchr::memrchr(b'\n', bytes).map_or(bytes, |last| &bytes[last + 1..]);
            }
        }
        self.keep_line(bytes);
    }

    fn keep_line(&mut self, bytes: &[u8]) {
        let room = LOG_LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn log_line(&mut self, source: &Source<'_>) -> bool {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return true;
        }
        let admitted = source.limit.admits(source.stage);
        if admitted {
            let line = String::from_utf8_lossy(&line).replace(char::is_control, " ");
            tracing::info!(stage = source.stage, task = source.task, "{line}");
        }
        admitted
    }
}

/// Whose standard error it is.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) stage: &'a str,
    pub(crate) task: &'a str,
    pub(crate) limit: &'a LogLimit,
}

/// Reads to the end, or until told to stop.
pub(crate) async fn drain(
    pipe: pipe::Receiver,
    source: &Source<'_>,
    tail: &mut Tail,
    gauges: &Gauges,
    stop: &Notify,
) {
    let mut buffer = Vec::new();
    loop {
        let ready = tokio::select! {
            ready = pipe.readable() => ready,
            () = stop.notified() => break,
        };
        if ready.is_err() {
            break;
        }
        buffer.resize(64 * 1024, 0);
        match pipe.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                gauges.has_complained(count as u64);
                tail.push(&buffer[..count]);
                tail.log(&buffer[..count], source);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    tail.log_line(source);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_8_kib() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            tail.push(format!("{number}\n").as_bytes());
        }
        let text = tail.text();
        assert!(text.ends_with("99998\n99999"), "{text}");
        assert!((TAIL_BYTES - 8..=TAIL_BYTES).contains(&text.len()), "{}", text.len());
    }

    #[test]
    fn a_flood_is_logged_at_the_limit_only() {
        let limit = LogLimit::default();
        let admitted = (0..1000).filter(|_| limit.admits("s")).count();
        assert!(admitted >= LOG_LINES_MAX as usize && admitted < 100, "{admitted}");
    }
}
