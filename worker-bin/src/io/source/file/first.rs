//! The first record of a file.

use super::decode::{FileReader, Unpacking};
use crate::io::chunker::{Chunker, LeftOut, LongRecord, Piece, RecordTooLong};
use crate::io::source::{OnDamage, SourceError, SourceOptions};
use bytes::Bytes;
use std::path::Path;

/// The first record of a file, unpacked, with what ends it; `None` if the file is empty, or damaged before its end and that is
/// skipped.
///
/// # Errors
/// As [`next_chunk`](crate::io::source::SourceReader::next_chunk).
pub fn first_record(path: &Path, options: &SourceOptions) -> Result<Option<Bytes>, SourceError> {
    first_of(FileReader::open(path, None, Unpacking::of(options))?, path, options)
}

/// The first record of the file `path`, just opened.
pub(super) fn first_of(
    mut reader: FileReader,
    path: &Path,
    options: &SourceOptions,
) -> Result<Option<Bytes>, SourceError> {
    let SourceOptions { framing, max_record, on_damage, .. } = options;
    // Only the first record counts here, not those behind it.
    let mut chunker = Chunker::new(framing, *max_record, 0).passing_over_long(true);
    let too_long = |source| SourceError::TooLong { name: path.display().to_string(), source };
    loop {
        let ended = match reader.read_into(chunker.space()) {
            Err(SourceError::Corrupt { .. }) if *on_damage == OnDamage::Skip => return Ok(None),
            read => read? == 0,
        };
        let left_out = if ended { chunker.end_record().map_err(too_long)?.left_out } else { None };
        match chunker.flush_piece().map_err(too_long)? {
            Some(Piece::Records(batch)) => return Ok(Some(Bytes::copy_from_slice(batch.record(0)))),
            Some(Piece::Long(LongRecord { record, offset, .. })) => {
                return Err(too_long(RecordTooLong { limit: *max_record, record, offset }));
            }
            None if ended => match left_out {
                Some(LeftOut::Torn(torn)) if *on_damage == OnDamage::Halt => {
                    return Err(SourceError::torn(path.display().to_string(), torn).0);
                }
                Some(LeftOut::Torn(_) | LeftOut::Blanks(_)) | None => return Ok(None),
            },
            None => {}
        }
    }
}
