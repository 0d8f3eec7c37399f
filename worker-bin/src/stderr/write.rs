//! Writing to standard error, in pieces and without giving up where the system says "not now".

use super::frame::{self, ERASE};
use super::queue::{Queue, Taken};
use crate::text::harmless::Harmless;
use crate::text::terminal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{IsTerminal as _, Write as _};

/// What is written at once: whether somebody reads is seen after each.
const PIECE_BYTES: usize = 4096;

/// Writes what is queued until standard error is gone.
pub(super) fn until_closed(queue: &Queue, as_log_line: fn(Harmless) -> Harmless) {
    let terminal = std::io::stderr().is_terminal();
    let mut drawn = false;
    while let Some(taken) = queue.take() {
        let text = text(taken, terminal, &mut drawn, as_log_line);
        if write(&text, || queue.progressed()).is_err() {
            queue.close();
            return;
        }
    }
}

/// Everything at once: what is drawn is taken away, the lines follow, the frame is drawn below them.
fn text(taken: Taken, terminal: bool, drawn: &mut bool, as_log_line: fn(Harmless) -> Harmless) -> Vec<u8> {
    let mut text = Vec::with_capacity(taken.lines.len() + 256);
    if std::mem::take(drawn) {
        text.extend_from_slice(ERASE.as_bytes());
    }
    text.extend_from_slice(&taken.lines);
    if taken.dropped > 0 {
        let lines = if taken.dropped == 1 { "line of log was" } else { "lines of log were" };
        let why = format!("warning: {} {lines} dropped: standard error was not read in time", taken.dropped);
        text.extend_from_slice(as_log_line(Harmless::text(why)).as_str().as_bytes());
        text.push(b'\n');
    }
    if terminal && !taken.frame.is_empty() {
        text.extend_from_slice(frame::drawn(&taken.frame, terminal::size(&std::io::stderr())).as_bytes());
        *drawn = true;
    }
    text
}

/// Writes from this thread; that it cannot is no reason to stop.
pub(super) fn directly(line: &[u8]) {
    write(line, || ()).and_then(|()| if line.ends_with(b"\n") { Ok(()) } else { write(b"\n", || ()) }).ok();
}

fn write(mut text: &[u8], mut progressed: impl FnMut()) -> std::io::Result<()> {
    let mut stderr = std::io::stderr();
    while !text.is_empty() {
        match stderr.write(&text[..text.len().min(PIECE_BYTES)]) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                text = &text[written..];
                progressed();
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // Whoever shares it has made it so.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
