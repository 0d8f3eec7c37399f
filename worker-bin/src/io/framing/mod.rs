//! How records follow one another in a stream of bytes.
//!
//! A record is exactly the bytes of the input that belong to it, with what ends it or stands before it, so records put one
//! behind another give the input back. Only a last record of text that lacks its newline is given one.

mod csv;
mod json;
mod lines;
mod measured;
mod pattern;
mod spec;
mod splitter;

pub use measured::Prefix;
pub use pattern::{Pattern, PatternError};
pub use spec::{EXPECTED, FramingError};
pub(super) use splitter::{Found, Last, Splitter};

use crate::io::chunker::{Chunker, FinishError};
use bytes::Bytes;
use worker_core::route::Envelope;
use worker_proto::Batch;

/// What is said of a record that has another one in it.
const SEVERAL: &str = "it is more than one record";

/// How records follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Each ends with a newline.
    #[default]
    Lines,
    /// Each ends with a zero byte.
    Nul,
    /// As RFC 4180 has it: a newline within quotes ends no record.
    Csv,
    /// Each begins with a line that matches; what stands before the first such line is a record too.
    Start(Pattern),
    /// Each ends with a line that matches; what stands behind the last such line is a record too.
    End(Pattern),
    /// Each is so many lines.
    Count(u32),
    /// Each is so many bytes.
    Length(u32),
    /// Before each stands its length.
    Prefix(Prefix),
    /// Each is a JSON value.
    Json,
}

impl Framing {
    /// What of a record is not its content.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        match self {
            Self::Lines => Envelope::Terminated(b'\n'),
            Self::Nul => Envelope::Terminated(0),
            Self::Csv | Self::Start(_) | Self::End(_) | Self::Count(_) | Self::Json => Envelope::Lines,
            Self::Length(_) => Envelope::Bare,
            Self::Prefix(prefix) => prefix.envelope(),
        }
    }

    /// The byte that a last record is given where it lacks it.
    #[must_use]
    pub fn terminator(&self) -> Option<u8> {
        match self.envelope() {
            Envelope::Terminated(byte) => Some(byte),
            Envelope::Lines => Some(b'\n'),
            Envelope::Bare | Envelope::Prefixed(_) | Envelope::Varint => None,
        }
    }

    /// Whether a record is one line, or ends with a byte that is nowhere else in it.
    #[must_use]
    pub fn is_of_one_line(&self) -> bool {
        matches!(self.envelope(), Envelope::Terminated(_))
    }

    /// Whether the beginning of a record that is too long is a record.
    #[must_use]
    pub fn may_be_cut(&self) -> bool {
        match self {
            Self::Lines | Self::Nul | Self::Start(_) => true,
            Self::Csv | Self::End(_) | Self::Count(_) | Self::Length(_) | Self::Prefix(_) | Self::Json => {
                false
            }
        }
    }

    pub(super) fn splitter(&self) -> Splitter {
        Splitter::of(self)
    }

    /// Appends a record with this content.
    pub fn wrap(&self, content: &[u8], to: &mut Vec<u8>) {
        if let Self::Prefix(prefix) = self {
            prefix.push(content.len() as u64, to);
        }
        to.extend_from_slice(content);
        to.extend(self.terminator());
    }

    /// A record with this content.
    #[must_use]
    pub fn wrapped(&self, content: &[u8]) -> Vec<u8> {
        let mut record = Vec::with_capacity(content.len() + 1);
        self.wrap(content, &mut record);
        record
    }

    /// The record with this content, if there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn record(&self, content: &[u8]) -> Result<Vec<u8>, String> {
        if let Self::Prefix(prefix) = self
            && content.len() as u64 > prefix.content_bytes_max()
        {
            return Err(format!("it is too long for its prefix ({})", prefix.word()));
        }
        let record = self.wrapped(content);
        self.check(&record).map(|()| record)
    }

    /// Whether `record`, with what ends it, is no more than one record, and a whole one where only that is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, record: &[u8]) -> Result<(), String> {
        let mut splitter = self.splitter();
        match splitter.find(record, 0) {
            Found::End(length) if length == record.len() => Ok(()),
            Found::End(_) => Err(SEVERAL.to_owned()),
            Found::More(_) => match splitter.last(record) {
                Last::Whole => Ok(()),
                Last::Blank => Err("it is no JSON value".to_owned()),
                Last::Torn(why) => Err(why),
            },
        }
    }

    /// Whether `record`, with what ends it, is one record wherever it stands among others.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_among_others(&self, record: &[u8]) -> Result<(), String> {
        self.check(record)?;
        match self {
            Self::Start(pattern) if !pattern.begins(record) => Err(format!(
                "its first line does not match {pattern}, so it would be part of the one before it"
            )),
            Self::End(pattern) if !pattern.ends(record) => {
                Err(format!("its last line does not match {pattern}, so the next one would be part of it"))
            }
            Self::Lines
            | Self::Nul
            | Self::Csv
            | Self::Start(_)
            | Self::End(_)
            | Self::Count(_)
            | Self::Length(_)
            | Self::Prefix(_)
            | Self::Json => Ok(()),
        }
    }

    /// A header as programs are given it: with what ends it.
    #[must_use]
    pub fn ended(&self, header: Bytes) -> Bytes {
        match self.terminator() {
            Some(byte) if header.last() != Some(&byte) => [&header[..], &[byte]].concat().into(),
            Some(_) | None => header,
        }
    }

    /// All records of `bytes`, a last one without its end too.
    ///
    /// # Errors
    /// The last one breaks off.
    pub fn batch_of(&self, bytes: Vec<u8>) -> Result<Batch, FinishError> {
        let mut chunker = Chunker::new(self, usize::MAX, 0);
        *chunker.space() = bytes;
        Ok(chunker.finish()?.unwrap_or_else(Batch::empty))
    }
}

#[cfg(test)]
mod tests;
