//! Why a journal does not open or does not go on.

use super::format::VERSION;
use super::storage::{StorageError, no_descriptor};
use thiserror::Error;
use worker_core::words::number;

/// Why a journal does not open or does not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk. If it [is full](JournalError::is_full), nothing is lost: the same call may be repeated when there is room.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// What was on stable storage is not there any more.
    #[error("the journal in {place} cannot be used: {damage}")]
    Damaged {
        /// Where the journal is.
        place: String,
        /// What is wrong and what to do.
        damage: Damage,
    },
    /// The journal is another task's or another pipeline's.
    #[error(
        "the journal in {place} belongs to {found}, expected {expected}; give it a directory of its own, or start over"
    )]
    NotOurs {
        /// Where the journal is.
        place: String,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A sync failed before. What was written since the last good one may be lost, whatever later syncs say.
    #[error(
        "the journal in {place} stopped at its first failed sync ({why}); nothing was acknowledged after it. Check the disk, then start again with the same state: what is durable is gone on from"
    )]
    Poisoned {
        /// Where the journal is.
        place: String,
        /// What the sync said.
        why: String,
    },
    /// Another process has gone on with this journal.
    #[error(
        "segment {segment} of the journal in {place} exists already: another process uses the same state directory; stop one of both"
    )]
    Fenced {
        /// Where the journal is.
        place: String,
        /// The segment that was to be made.
        segment: String,
    },
    /// What a source has read, and what is still needed of it, is not there any more.
    #[error("{0}")]
    Input(String),
    /// The caller asks for what is not in the journal: a mistake in this program.
    #[error("mistake in the worker: {0}; please report it")]
    Misuse(String),
}

impl JournalError {
    /// There was no room: on the disk, or for one more open file.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Full { .. }))
    }

    /// It was not the disk that had no room: nothing on it need be given up.
    #[must_use]
    pub fn is_about_descriptors(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Full { source, .. }) if no_descriptor(source))
    }
}

/// What is wrong with a journal's files.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// Bytes that were on stable storage have changed.
    #[error(
        "segment {segment} is damaged at byte {offset} ({what}), and what was written there was on stable storage, so it \
         cannot be left out; restore the state directory from a copy, or start over",
        offset = number(*offset)
    )]
    Bytes {
        /// File name of the segment.
        segment: String,
        /// Byte offset in it.
        offset: u64,
        /// What was found there instead.
        what: String,
    },
    /// A file is gone.
    #[error(
        "segment {segment} is missing, and what was written there is still needed; restore it from a copy, or start over"
    )]
    Missing {
        /// File name of the segment.
        segment: String,
    },
    /// Files of several journals are mixed.
    #[error("segments {segment} and {other} are of different journals; restore the directory from one copy")]
    Mixed {
        /// File name of one.
        segment: String,
        /// File name of the other.
        other: String,
    },
    /// Made by a newer program.
    #[error(
        "made by a newer worker: its format has version {version}, this one knows {VERSION}; use the newer worker"
    )]
    Newer {
        /// The version it has.
        version: u32,
    },
    /// Valid by its checksums, but without meaning.
    #[error(
        "segment {segment} has a record at byte {offset} that makes no sense ({what}); this is a mistake in the worker that wrote it, please report it",
        offset = number(*offset)
    )]
    Senseless {
        /// File name of the segment.
        segment: String,
        /// Byte offset in it.
        offset: u64,
        /// What was found there instead.
        what: String,
    },
}
