//! The journal.

mod error;
mod fold;
mod format;
mod image;
mod inspect;
mod live;
mod lock;
mod manifest;
mod opening;
mod reading;
mod record;
mod recover;
mod reserve;
mod roll;
mod scan;
mod segments;
mod state;
mod storage;
mod sync;
mod tidy;
mod writer;

pub use error::{Damage, JournalError};
pub use fold::{Fold, NewestMark};
pub use format::Position;
pub use inspect::{InspectError, inspect};
pub use lock::Lock;
pub use manifest::Manifest;
pub use opening::{Identity, Opened, Settings, random_id};
pub use reading::{Extent, LinkExtents, join};
pub use reserve::Reserve;
pub use state::{StateError, make_directory, sync_directory};
pub use storage::{DirFile, DirStorage, MemFile, MemStorage, Storage, StorageError, StorageFile};
pub use sync::SyncTicket;
pub use writer::Journal;

#[cfg(test)]
mod tests;
