//! The journal.

mod error;
mod fold;
mod format;
mod image;
mod live;
mod opening;
mod reading;
mod record;
mod recover;
mod roll;
mod scan;
mod segments;
mod storage;
mod sync;
mod tidy;
mod writer;

pub use error::{Damage, JournalError};
pub use fold::{Fold, NewestMark};
pub use format::Position;
pub use opening::{Identity, Opened, Settings, random_id};
pub use reading::{Extent, LinkExtents, join};
pub use storage::{DirFile, DirStorage, MemFile, MemStorage, Storage, StorageError, StorageFile};
pub use sync::SyncTicket;
pub use writer::Journal;

#[cfg(test)]
mod tests;
