//! The one writer of standard error while a pipeline runs: log lines, and below them a bar that is drawn again and again.
//!
//! Nobody waits for whoever reads standard error. Lines go into a queue with a limit, the bar's frame is one slot whose newest
//! content counts, and a thread of its own writes both. A terminal that is stopped (Ctrl-S), a connection that stalls or a
//! pipe that is full stop that thread and nothing else: frames are skipped, lines past the queue are dropped and counted.

mod color;
mod frame;
mod queue;
mod write;

pub use color::Color;
pub(crate) use color::{colors, colors_wanted, draws, set_color};

use crate::text::harmless::Harmless;
use queue::{LineKind, Queue};
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// How long the end of the process waits while nothing is taken of what is left to say.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it waits for a reader that takes a little now and then.
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// Writes from a thread of its own from now on; `as_log_line` gives a line of the worker itself the form of the log.
pub(crate) fn start(as_log_line: fn(Harmless) -> Harmless) {
    if QUEUE.set(Queue::new()).is_ok()
        && let Some(queue) = QUEUE.get()
    {
        let writer = std::thread::Builder::new().name("stderr".to_owned());
        if writer.spawn(move || write::until_closed(queue, as_log_line)).is_err() {
            queue.close();
        }
    }
}

/// A line that is part of what the worker answers: how a run ended, what is wrong. It is given more room than the log.
pub fn say(line: &Harmless) {
    put(line.as_str().as_bytes(), LineKind::Answer);
}

fn put(line: &[u8], kind: LineKind) {
    match QUEUE.get() {
        Some(queue) if queue.put(line, kind) => {}
        Some(_) | None => write::directly(line),
    }
}

/// Shows these lines below all others, instead of those before; none takes them away.
pub(crate) fn show(frame: Vec<String>) {
    if let Some(queue) = QUEUE.get() {
        queue.show(frame);
    }
}

/// Waits until all is written, for as long as somebody takes it.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(PATIENCE, PATIENCE_MAX);
    }
}

/// Where the log goes, a line a call, and how what is in it is made harmless.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log(pub(crate) fn(&str) -> Harmless);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(self.0(&String::from_utf8_lossy(line)).as_str().as_bytes(), LineKind::Log);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
