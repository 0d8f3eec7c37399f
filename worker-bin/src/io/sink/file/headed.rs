//! A header that goes behind what a file holds already.

use crate::io::sink::SinkError;
use crate::text::escape::shortened;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use worker_core::event::Headers;
use worker_proto::Batch;

/// What a byte order mark and the end of a line take.
const AROUND_BYTES: usize = 3 + 2;

/// What is read of the beginning, to be shown.
const SHOWN_BYTES: usize = 512;

const SHOWN_MAX: usize = 80;

/// Whether the first `length` bytes of `file` begin with this header.
///
/// # Errors
/// They begin with something else, or cannot be read.
pub(super) fn is_headed(
    (path, file): (&Path, &File),
    length: u64,
    header: &Batch,
) -> Result<bool, SinkError> {
    if length == 0 {
        return Ok(false);
    }
    let (header, wanted) = (header.payload(), Headers::text(header.payload()));
    let most = (wanted.len() + AROUND_BYTES).max(SHOWN_BYTES) as u64;
    let mut begin = vec![0; usize::try_from(length.min(most)).unwrap_or(0)];
    let read = file.read_exact_at(&mut begin, 0);
    read.map_err(|source| SinkError::Open { path: path.to_owned(), source })?;
    let begin = begin.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&begin);
    // What ends the header ends it there; a file that has nothing else may lack it.
    let ends = |rest: &[u8]| {
        let has_end = header.last() != wanted.last();
        !has_end || rest.is_empty() || [&b"\n"[..], b"\r\n", b"\0"].iter().any(|end| rest.starts_with(end))
    };
    if begin.strip_prefix(wanted).is_some_and(ends) {
        return Ok(true);
    }
    let found = begin.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let shown = |text: &[u8]| format!("\"{}\"", shortened(&String::from_utf8_lossy(text), SHOWN_MAX));
    let (path, found, header) = (path.to_owned(), shown(found), shown(wanted));
    Err(SinkError::Headed { path, found, header })
}
