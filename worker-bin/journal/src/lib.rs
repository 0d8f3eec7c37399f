//! The journal: what tasks have committed, kept through any crash (ARCHITECTURE.md, "Exactly once").
//!
//! # What it must do
//!
//! - A commit is there whole or not at all, after `kill -9` and after loss of power, at any moment.
//! - What was durable stays, or the journal refuses to open and says where it is damaged (I10). Nothing is skipped.
//! - After the first sync that fails nothing is believed any more (I9): the page cache may show what is not on the disk, and
//!   later syncs may say that all is well.
//! - Appending does not wait for syncing, and one sync serves everything appended before it.
//! - Disk is bounded by what is live: outputs that are not acknowledged, and what a stream's open window needs to run again.
//! - Outputs past a link's memory are read back from here: spilling costs nothing more.
//!
//! A [`Journal`] belongs to one task, or to several that share it, and has no thread. [`DirStorage`] is a directory of its own for it, [`MemStorage`] a disk
//! for tests that forgets and fails. Beside the journals, a state directory has a [`Lock`] and a [`Reserve`].
//!
//! ```
//! use worker_core::event::{Body, Chunk, Commit, CommitId};
//! use worker_core::{Batch, Fingerprint, LinkId, Seq};
//! use worker_journal::{Identity, Journal, MemStorage, NewestPosition, Settings, random_id};
//!
//! let (disk, link) = (MemStorage::new(), LinkId(0));
//! let identity =
//!     Identity { task: "count/0".into(), fingerprint: Fingerprint(1), outputs: vec![link], new_id: random_id() };
//! let open = || Journal::open(disk.clone(), &identity, Settings::default(), NewestPosition::default());
//!
//! let mut journal = open()?.journal;
//! let batch = Batch::from_terminated("one\ntwo\n".into(), b'\n');
//! let chunk = Chunk { link, body: Body::Memory(batch.clone()) };
//! let commit = Commit { outputs: vec![(Seq(1), chunk)], ..Commit::empty(CommitId(1)) };
//! journal.append(&commit, None)?;
//! // Durable when this has run, on any thread, while the journal is appended to.
//! let ticket = journal.to_sync().expect("something is not durable");
//! journal.synced(ticket.run()?);
//! drop(journal);
//!
//! disk.crash(7);
//! let opened = open()?;
//! assert_eq!(opened.state.commits, 1);
//! assert_eq!(opened.journal.read(link, Seq(1), 2)?, batch);
//! # Ok::<(), worker_journal::JournalError>(())
//! ```
//!
//! `examples/mailqueue` is a whole program around it.
//!
//! # Layout
//!
//! Records follow each other in *segments*, files named by ascending numbers in 16 hexadecimal digits, `….wj`. Numbers are
//! not used twice. A *position* counts bytes of records over all segments that ever were. Everything is little endian.
//!
//! ```text
//! segment  magic "WKJ1"  version u32  journal id u64  number u64  epoch u64
//!          base u64          position of the first record
//!          durable_to u64    everything before this was durable when the file got its name
//!          fingerprint u64   of the pipeline
//!          crc u32           of all before; then 4 zero bytes
//! record   magic A7 77  kind u8  0  len u32
//!          durable_to u64    everything before this was durable when the record was written
//!          crc u32           of the payload, begun with the record before: records cannot be exchanged or left out
//!          check u32         of this header, begun with journal id, segment number and the record's offset in the file
//!          payload           of len bytes
//! ```
//!
//! A payload is a length (u32), a *head* of that length in MessagePack, and raw bytes. The check binds a record to its place:
//! whatever a reused file held before is no record, and records are found behind bad bytes. A file has room set aside behind
//! its records, so the file's end says nothing. Files that made room are used again under a new name.
//!
//! | kind | | head | raw bytes |
//! |---|---|---|---|
//! | 1 | life | epoch | |
//! | 2 | commit | number, inputs, outputs, dead letters, window's step | position; inline outputs; admitted batches that are not referred to |
//! | 3 | stage | size of the batch | a batch that a later commit may refer to |
//! | 4 | state | none | a chunk of the keyed state, or the newest position |
//! | 5 | checkpoint | segments it needs; how many state records before it | everything as of here |
//! | 6 | copied | size; link and sequence number | a batch that was moved here |
//! | 7 | note | what is about to be in flight | |
//! | 8 | of | whose the records behind it are | |
//! | 9 | part | how many state records before it | everything of one task as of here |
//!
//! A batch is its end offsets followed by its records, with a checksum of both in the head, so that it can be read alone. A commit
//! that is too large for one record is several: its outputs are staged, and nothing of it counts before the commit itself.
//!
//! Where several tasks share a journal (version 3), a record is of the task that the last *of* record before it in the segment
//! names, or of the first; staged and copied batches are of none, because no two tasks send on one link. A checkpoint begins
//! then with a part for each task but the last, and a stream's admission refers to what another of the tasks sent. A journal of one task
//! (version 1) has none of this; one of version 2 has no references.
//!
//! Every segment has one checkpoint, before its first commit. A checkpoint says all there is to know but the batches
//! themselves, whose places it names.
//!
//! # Recovery
//!
//! 1. *Start* is the newest segment with a whole checkpoint of which all that it needs is whole. That is a sum of commits,
//!    durable or not, so segments before it which it does not need may be gone.
//! 2. Everything from there to the first bad bytes counts; a segment must begin where the one before it ends.
//! 3. If any record or segment header, behind the bad bytes too, says that the journal was durable further than that, it is
//!    damaged and refused. Else what lies behind is a tail that was never durable, torn in any way, and is cut off.
//! 4. A new segment is written: the next epoch, a copy of each live batch that is not known to be durable, a checkpoint. It is
//!    synced before it gets its name, and its name before anything acts. So whatever an earlier life has seen of the
//!    page cache is true from then on, and the old tail is never appended to.
//!
//! # Freeing
//!
//! A segment is removed or used again when nothing in it is live, and the newest *durable* checkpoint lies behind it and does not
//! need it. When segments take more than four times what is live (and four more), live outputs of the oldest mostly dead
//! segment are copied forward, a little with each commit. What a window needs moves only with a checkpoint, from segments that are mostly
//! dead: of a journal that tasks share, a window would else hold all that the others had written meanwhile.

mod admitting;
mod check;
mod directory;
mod error;
pub mod fault;
mod fold;
mod format;
mod full;
mod image;
mod images;
mod input;
mod inspect;
mod live;
mod lock;
mod note;
mod opening;
mod reading;
mod record;
mod recover;
mod reserve;
mod roll;
mod scan;
mod segments;
mod sense;
mod storage;
mod sync;
mod tidy;
mod writer;

pub use directory::{StateError, make_directory, sync_directory};
pub use error::{Damage, JournalError};
pub use fold::{Fold, NewestPosition};
pub use format::Position;
pub use images::Member;
pub use input::InputFiles;
pub use inspect::{Finding, Found, InspectError, committed_dead_bytes, committed_position, inspect};
pub use lock::Lock;
pub use opening::{
    EndedAt, Identity, MemberIdentity, Opened, OpenedMember, OpenedShared, Settings, SharedIdentity,
    random_id,
};
pub use reading::{Extent, LinkExtents, join};
pub use reserve::Reserve;
pub use storage::{
    DirFile, DirStorage, MemFile, MemStorage, Storage, StorageError, StorageFile, size_limit_advice,
};
pub use sync::SyncTicket;
pub use writer::Journal;

#[cfg(test)]
mod tests;
