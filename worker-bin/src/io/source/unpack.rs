//! Packed or encoded input becomes the bytes that are meant, as it comes: the one place that knows formats.
//!
//! ```text
//!   within a member ──its end──▶ between ──another begins──▶ within
//!      │                            └──none does──▶ behind: what is there is told of
//!      └──damage, told when all before it was given──▶ passed over
//! ```
//! Limit: [`INPUT_BYTES`] of input, what its format needs ([`MEMORY_MIB_MAX`]), and the room it is given: a small input that
//! unpacks to much costs no more.

mod bzip2;
mod format;
mod gzip;
mod lz4;
mod utf16;
mod xz;
mod zstd;

pub(super) use format::{Beginning, Encoding, Format, MARK_BYTES_MAX, UTF8_MARK};

use crate::text::units::number;
use std::fmt;

/// How much input is read at once.
const INPUT_BYTES: usize = 64 * 1024;

/// Largest dictionary or window that a format may ask for, in MiB.
const MEMORY_MIB_MAX: u32 = 128;

/// Most unpacked at once, in bytes: the formats need zeroed room.
const UNPACKED_BYTES_MAX: usize = 128 * 1024;

/// How much is kept of what is no data, in bytes.
const KEPT_BYTES_MAX: usize = 1024;

/// Input in one format, of which any part may have come.
pub(super) struct Unpacker {
    format: Format,
    place: Place,
    input: Input,
    failure: Option<Failure>,
    remark: Option<Remark>,
    /// Damaged characters are replaced.
    replaces: bool,
    wants_input: bool,
}

enum Place {
    Within(Box<dyn Member>),
    Between,
    Behind,
    PassedOver,
}

/// What unpacking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    Bytes(usize),
    /// Nothing before more input has come, or its end.
    WantsInput,
    AtItsEnd,
}

/// Why it is not unpacked any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Damaged(String),
    /// It is right as far as it goes, and is not at its end.
    BrokenOff(String),
    /// It is right, and not for us.
    Refused(String),
}

/// What is told of input that was taken to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remark {
    /// The beginning of what is no data.
    pub(super) bytes: Vec<u8>,
    /// Places, or bytes behind the data.
    count: u64,
    /// Where the first is, in bytes from 0.
    offset: u64,
}

/// A part of the input that stands by itself.
trait Member: Send {
    /// Unpacks some of `input` into `output`, which is not empty; nothing follows `input` if it is the last. Takes nothing only where
    /// there is no room, or nothing to be taken.
    fn step(&mut self, input: &[u8], output: &mut [u8], is_last: bool) -> Step;

    /// What was replaced, once it is at its end.
    fn remark(&mut self) -> Option<Remark> {
        None
    }
}

/// What one step has taken and given, also where it failed.
struct Step {
    taken: usize,
    given: usize,
    then: Result<Then, Failure>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    AtItsEnd,
}

#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// How much of them was taken.
    taken: usize,
    /// Bytes taken that are gone.
    before: u64,
    has_ended: bool,
}

impl Unpacker {
    /// Of text in which damaged characters are replaced, if `replaces`.
    pub(super) fn new(format: Format, replaces: bool) -> Self {
        let place = Place::Within(member(format, replaces));
        let input = Input::default();
        Self { format, place, input, failure: None, remark: None, replaces, wants_input: false }
    }

    /// Where more input is appended; reading nothing is its [end](Self::end_input).
    pub(super) fn input(&mut self) -> &mut Vec<u8> {
        self.wants_input = false;
        self.input.room()
    }

    pub(super) fn end_input(&mut self) {
        self.wants_input = false;
        self.input.has_ended = true;
    }

    /// Nothing more comes of what it has.
    pub(super) fn wants_input(&self) -> bool {
        self.wants_input
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// How far it is in the input, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.input.before + self.input.taken as u64
    }

    /// What is to be told of the input called `name`, which is at its end.
    pub(super) fn take_remark(&mut self, name: &str) -> Option<(Vec<u8>, String)> {
        let Remark { bytes, count, offset } = self.remark.take()?;
        let kind = self.format.name();
        let reason = if let Format::Utf16(_) = self.format {
            let (count, offset) = (number(count), number(offset));
            format!(
                "{count} places of {name} are no {kind} text, the first at about byte {offset}: U+FFFD stands for them"
            )
        } else {
            format!(
                "{} bytes behind the {kind} data of {name} are no {kind} data, and were left out",
                number(count)
            )
        };
        Some((bytes, reason))
    }

    /// Appends to `buffer`, whose spare capacity must not be empty. Behind a failure the rest of the input is passed over.
    pub(super) fn unpack_into(&mut self, buffer: &mut Vec<u8>) -> Result<Unpacked, Failure> {
        let start = buffer.len();
        let room = (buffer.capacity() - start).min(UNPACKED_BYTES_MAX);
        buffer.resize(start + room, 0);
        let unpacked = self.unpack(&mut buffer[start..]);
        let given = if let Ok(Unpacked::Bytes(given)) = unpacked { given } else { 0 };
        buffer.truncate(start + given);
        self.wants_input = unpacked == Ok(Unpacked::WantsInput);
        unpacked
    }

    fn unpack(&mut self, output: &mut [u8]) -> Result<Unpacked, Failure> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let (has_input, has_ended) = (!self.input.rest().is_empty(), self.input.has_ended);
            match &mut self.place {
                Place::Within(member) => {
                    let step = member.step(self.input.rest(), output, has_ended);
                    let goes_on = matches!(step.then, Ok(Then::More));
                    self.input.taken += step.taken;
                    self.move_on(step.then);
                    if step.given > 0 {
                        return Ok(Unpacked::Bytes(step.given));
                    }
                    if goes_on && step.taken == 0 {
                        if !has_input && !has_ended {
                            return Ok(Unpacked::WantsInput);
                        }
                        self.move_on(Err(Failure::BrokenOff("it breaks off".to_owned())));
                    }
                }
                Place::Between => match self.format.begins_member(self.input.rest(), has_ended) {
                    None => return Ok(Unpacked::WantsInput),
                    Some(true) => self.place = Place::Within(member(self.format, self.replaces)),
                    Some(false) => self.place = Place::Behind,
                },
                Place::Behind | Place::PassedOver if has_input => self.pass_over(),
                Place::Behind | Place::PassedOver if has_ended => {
                    // Zeros fill the blocks of tapes.
                    let is_nothing = self.format == Format::Gzip;
                    self.remark.take_if(|remark| is_nothing && remark.bytes.is_empty());
                    return Ok(Unpacked::AtItsEnd);
                }
                Place::Behind | Place::PassedOver => return Ok(Unpacked::WantsInput),
            }
        }
    }

    fn move_on(&mut self, then: Result<Then, Failure>) {
        match then {
            Ok(Then::More) => {}
            Ok(Then::AtItsEnd) => {
                if let Place::Within(member) = &mut self.place {
                    self.remark = member.remark();
                }
                self.place = Place::Between;
            }
            Err(failure) => (self.failure, self.place) = (Some(failure), Place::PassedOver),
        }
    }

    /// Takes all that has come and is not data.
    fn pass_over(&mut self) {
        let offset = self.offset();
        let rest = self.input.rest();
        if matches!(self.place, Place::Behind) {
            let remark = self.remark.get_or_insert_with(|| Remark { offset, ..Remark::default() });
            remark.add(rest, self.format == Format::Gzip);
        }
        self.input.taken = self.input.bytes.len();
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unpacker({:?} at {})", self.format, self.offset())
    }
}

/// Text that begins with a byte order mark of UTF-8 is told of once: programs are given it as it is.
#[derive(Debug, Default)]
pub(super) struct Utf8Mark {
    was_said: bool,
}

impl Utf8Mark {
    pub(super) fn warn(&mut self, name: &str) {
        if !std::mem::replace(&mut self.was_said, true) {
            tracing::warn!(
                "{name} begins with a byte order mark (UTF-8), which programs are given with its first record; columns are named without \
                 it. Where it is in the way, take it off first: sed '1s/^\\xef\\xbb\\xbf//'"
            );
        }
    }
}

impl Remark {
    /// `zeros_are_nothing`: they are kept only where something else is, too.
    fn add(&mut self, bytes: &[u8], zeros_are_nothing: bool) {
        self.count += bytes.len() as u64;
        let is_nothing = zeros_are_nothing && self.bytes.is_empty() && bytes.iter().all(|&byte| byte == 0);
        if !is_nothing {
            let room = KEPT_BYTES_MAX - self.bytes.len();
            self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

impl Input {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// With room for more behind what is not taken.
    fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.before += self.taken as u64;
        self.taken = 0;
        self.bytes.reserve(INPUT_BYTES);
        &mut self.bytes
    }
}

impl Step {
    fn more(taken: usize, given: usize) -> Self {
        Self { taken, given, then: Ok(Then::More) }
    }

    fn failed(taken: usize, given: usize, why: impl fmt::Display) -> Self {
        Self { taken, given, then: Err(Failure::Damaged(why.to_string())) }
    }
}

fn member(format: Format, replaces: bool) -> Box<dyn Member> {
    match format {
        Format::Gzip => Box::new(gzip::Gzip::new()),
        Format::Zstd => zstd::Zstd::member(),
        Format::Xz => Box::new(xz::Xz::new()),
        Format::Bzip2 => Box::new(bzip2::Bzip2::new()),
        Format::Lz4 => Box::new(lz4::Lz4::new()),
        Format::Utf16(endian) => Box::new(utf16::Utf16::new(endian, replaces)),
    }
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
