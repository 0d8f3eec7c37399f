//! What a packed file has in it, all of it, before any of it is given.

use super::super::decode::{FileReader, Unpacking};
use super::content::{Content, Gathered};
use super::known::LogId;
use crate::io::source::SourceError;
use std::fs::File;
use std::path::Path;

/// What is unpacked at once.
const PIECE_BYTES: usize = 128 * 1024;

#[derive(Debug)]
pub(super) struct Surveyed {
    /// All that it has.
    pub(super) content: Content,
    /// The logs that it begins with, those of which least is known first.
    pub(super) agree: Vec<LogId>,
    /// It does not break off: whoever packs it is done. What is damaged is, too.
    pub(super) is_whole: bool,
}

/// Unpacks all of a file; `known`: what it may be.
///
/// # Errors
/// It cannot be read.
pub(super) fn survey(
    path: &Path,
    file: &File,
    mut known: Vec<(LogId, &Content)>,
) -> Result<Surveyed, SourceError> {
    known.sort_by_key(|(_, content)| content.bytes);
    let again = file.try_clone().map_err(|source| SourceError::Open { path: path.to_owned(), source })?;
    let mut reader = FileReader::of(path, again, Unpacking::Halting)?;
    let (mut all, mut agree, mut known) = (Gathered::default(), Vec::new(), known.into_iter().peekable());
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let is_whole = loop {
        piece.clear();
        match reader.read_into(&mut piece) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(SourceError::Corrupt { .. } | SourceError::NotUnpacked { .. }) => break !reader.breaks_off(),
            Err(error) => return Err(error),
        }
        let mut rest = &piece[..];
        let end = all.bytes() + rest.len() as u64;
        while let Some((id, content)) = known.next_if(|(_, content)| content.bytes <= end) {
            let more = usize::try_from(content.bytes - all.bytes()).unwrap_or(rest.len());
            all.push(&rest[..more]);
            rest = &rest[more..];
            if all.content() == *content {
                agree.push(id);
            }
        }
        all.push(rest);
    };
    Ok(Surveyed { content: all.content(), agree, is_whole })
}
