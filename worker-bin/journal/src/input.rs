//! What a source reads, referred to where it lies: its commits need not have the records again.
//!
//! Only files that stay as they are while the run goes on are referred to, as their reader says ([`Origin`](worker_core::event::Origin)), and
//! only when their bytes are on stable storage: then the reference is as good as a copy. The place, the length and a checksum of the records
//! with their ends are in the journal, so a file that was changed all the same is refused by its name, and never read as something else.

use super::error::JournalError;
use super::fold::Fold;
use super::images::Member;
use super::record::{self, Location};
use super::storage::Storage;
use super::writer::Journal;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use worker_proto::Batch;

/// The files that a source reads, in the order of their numbers.
pub trait InputFiles: Debug + Send + Sync {
    /// Fills `buffer` with what lies at `offset` of a file. Blocks.
    ///
    /// # Errors
    /// Why it cannot be read, with the file's name and what to do.
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> Result<(), String>;

    /// A file's name, for people.
    fn name(&self, file: u32) -> String;

    /// Whether a file is there, and is the one that was read. Blocks.
    ///
    /// # Errors
    /// What is wrong, with the file's name.
    fn check(&self, file: u32) -> Result<(), String>;
}

/// So many files are named that are not as they were.
const SHOWN_MAX: usize = 20;

impl<S: Storage, F: Fold> Journal<S, F> {
    /// What a task reads: from now on its commits refer to it where they can, and what refers to it already can be read. The journal of a
    /// single task is written as older programs know it, and they know no references.
    pub fn reads(&mut self, member: Member, files: Arc<dyn InputFiles>) {
        if self.refers() {
            self.inputs.insert(member, files);
        }
    }

    /// Whether commits may refer to what a task reads.
    #[must_use]
    pub fn refers(&self) -> bool {
        self.folds.len() > 1
    }

    /// That all files which are still referred to are there, and are those that were read: to be asked when it is said what each task
    /// [reads](Self::reads), and before anything depends on them. Blocks.
    ///
    /// # Errors
    /// [`JournalError::Input`] names all that are not.
    pub fn check_inputs(&self) -> Result<(), JournalError> {
        let referred: BTreeSet<(Member, u32)> = self.images.locations().filter_map(Location::input).collect();
        let check = |(member, file): (Member, u32)| match self.inputs.get(&member) {
            Some(files) => files.check(file),
            None => {
                let task = self.images.task(member).map_or("a task", |image| image.task.as_str());
                Err(format!("file {file} of what {task} reads is not known: the list of its files is gone"))
            }
        };
        let wrong: Vec<String> = referred.into_iter().filter_map(|file| check(file).err()).collect();
        let Some(more) = wrong.len().checked_sub(SHOWN_MAX.min(wrong.len())).filter(|_| !wrong.is_empty())
        else {
            return Ok(());
        };
        let mut named = wrong.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
        if more > 0 {
            named.push_str(&format!("; and {more} more"));
        }
        let put = if wrong.len() == 1 { "it back as it was" } else { "them back as they were" };
        Err(JournalError::Input(format!(
            "what was read is still needed, and is not there as it was: {named}; put {put}, or start over with --fresh"
        )))
    }
}

/// The records at a place of what a source reads.
pub(super) fn read(files: &dyn InputFiles, at: &Location) -> Result<Batch, JournalError> {
    let (_, file) = at.input().unwrap_or_default();
    let changed = || {
        let (name, from, to) = (files.name(file), at.offset, at.offset + at.span.payload_bytes);
        JournalError::Input(format!(
            "{name} has changed since it was read: bytes {from} to {to} are not what they were, and they are still needed; put it back as \
             it was, or start over with --fresh"
        ))
    };
    let mut payload = vec![0; usize::try_from(at.span.payload_bytes).map_err(|_| changed())?];
    files.read_at(file, at.offset, &mut payload).map_err(JournalError::Input)?;
    let Some(&terminator) = payload.last() else { return Err(changed()) };
    let mut bytes = Vec::with_capacity(usize::try_from(at.span.bytes()).map_err(|_| changed())?);
    for end in memchr::memchr_iter(terminator, &payload) {
        bytes.extend_from_slice(&u32::try_from(end + 1).map_err(|_| changed())?.to_le_bytes());
    }
    bytes.extend_from_slice(&payload);
    record::batch(Bytes::from(bytes), &at.span).map_err(|_| changed())
}

/// Nobody has said what the task reads.
pub(super) fn unknown(at: &Location) -> JournalError {
    let (member, file) = at.input().unwrap_or_default();
    JournalError::Misuse(format!("file {file} of what task {} reads is not known", member.0))
}
