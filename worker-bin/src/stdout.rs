//! The one writer of standard output where that is what a command answers; the data of a run goes there by its sink.
//!
//! What is for people, and JSON, is [`Harmless`]. Data, such as a record or a file, goes as it is into a file or a pipe: only on a
//! terminal it is escaped.

use crate::text::harmless::Harmless;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

/// What is gathered for one write, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Out {
    out: BufWriter<Stdout>,
    is_terminal: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, out), is_terminal }
    }

    pub(crate) fn say(&mut self, text: &Harmless) -> io::Result<()> {
        self.out.write_all(text.as_str().as_bytes())
    }

    /// The same as a line.
    pub(crate) fn line(&mut self, text: &Harmless) -> io::Result<()> {
        self.say(text)?;
        self.out.write_all(b"\n")
    }

    /// What may be of any bytes, and must stay as it is where it is not looked at.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_terminal { self.say(&Harmless::text(bytes)) } else { self.out.write_all(bytes) }
    }

    /// A record as a line; on a terminal it is one whatever is in it.
    pub(crate) fn record(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_terminal {
            self.say(&Harmless::record(bytes))?
        } else {
            self.out.write_all(bytes)?
        }
        self.out.write_all(b"\n")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// Nobody could read it, or the system says so.
    pub(crate) fn end(mut self) -> io::Result<()> {
        if worker_stdio::Stream::Output.was_closed() {
            return Err(io::Error::other("it is closed"));
        }
        self.out.flush()
    }
}
