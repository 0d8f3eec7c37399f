//! What writes a sink.

use super::{Moved, PipeReader, SinkError, SinkSync};
use crate::io::identity::FileId;
use crate::io::made::Made;
use bytes::Bytes;
use std::fmt::Debug;
use std::path::Path;
use worker_proto::Batch;

/// Writes records to the outside. Blocks.
///
/// Only files that were opened durably have positions: the position taken after a write says how long the file is then, and becomes
/// true when a sync that started after the write has succeeded. What was written to a pipe is done when its [reader](Self::reader) has
/// taken it. Of the others nobody can tell what arrived: after a crash they get the last records again.
pub trait SinkWriter: Debug + Send {
    /// Writes all of `batches`, in order.
    ///
    /// # Errors
    /// [`SinkError`]; how much of them was written is unknown but for the count in the message.
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError>;

    /// Writes the header of what comes, unless it goes behind records under the same.
    ///
    /// # Errors
    /// As [`write`](Self::write), and [`SinkError::Headed`].
    fn write_header(&mut self, header: &Batch) -> Result<(), SinkError> {
        self.write(std::slice::from_ref(header))
    }

    /// Everything was written: hands it over to the system and closes. Only what has positions is synced to the disk.
    ///
    /// # Errors
    /// [`SinkError`].
    fn close(&mut self) -> Result<(), SinkError>;

    /// What it has made so far, for whoever knows whether the run begins; else it goes by what is written.
    fn take_made(&mut self) -> Made {
        Made::default()
    }

    /// Does what cannot wait for the next write; `false`: there is never anything like that.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn tend(&mut self) -> Result<bool, SinkError> {
        Ok(false)
    }

    /// Makes everything ready for the first write and gives the first position, which is true already. It must be on stable
    /// storage before the first write.
    ///
    /// # Errors
    /// [`SinkError`].
    fn begin(&mut self) -> Result<Option<Bytes>, SinkError> {
        Ok(None)
    }

    /// What a later life needs to go on behind everything written so far.
    fn position(&self) -> Option<Bytes> {
        None
    }

    /// Returns when everything written so far is on stable storage.
    ///
    /// # Errors
    /// [`SinkError::Sync`]; the sink is of no use after it.
    fn sync(&mut self) -> Result<(), SinkError> {
        self.sync_handle().map_or(Ok(()), |handle| handle.sync())
    }

    /// The file that it writes, as it was named.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Where what it writes is to be found, whatever it is.
    fn place(&self) -> Option<&Path> {
        self.file()
    }

    /// Which file that is, if it is a regular one or a pipe.
    ///
    /// A pipeline that reads such a file must not start: it would destroy its input, or read its own output for ever.
    fn identity(&self) -> Option<FileId> {
        None
    }

    /// Counts what is taken of its writes there from now on.
    fn count_into(&mut self, moved: Moved);

    /// Whose taking makes a write done, where every record is to count: the reader of a pipe, which a file has not.
    fn reader(&self) -> Option<PipeReader> {
        None
    }

    /// To sync from another thread while writing goes on; `None` where there is nothing to sync.
    fn sync_handle(&self) -> Option<SinkSync> {
        None
    }
}
