//! What happens to the first record of a file.

use super::SourceError;
use super::unpack::UTF8_MARK;
use bytes::Bytes;
use worker_proto::Batch;

const SHOWN_BYTES_MAX: usize = 80;

/// What happens to the first record of each file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// It is a record like the others.
    #[default]
    Keep,
    /// It is left out.
    Skip,
    /// It is left out and kept aside, to head every batch; all files must have the same.
    Repeat,
}

#[derive(Debug)]
pub(super) struct HeaderFilter {
    mode: Header,
    kept: Option<KeptHeader>,
}

/// A header put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptHeader {
    pub(super) record: Bytes,
    /// The file it was read from.
    pub(super) origin: String,
}

impl HeaderFilter {
    pub(super) fn new(mode: Header) -> Self {
        Self::with(mode, None)
    }

    /// Of a source of which an earlier life has `kept` the header.
    pub(super) fn with(mode: Header, kept: Option<KeptHeader>) -> Self {
        Self { mode, kept }
    }

    pub(super) fn keeps(&self) -> bool {
        self.mode == Header::Keep
    }

    pub(super) fn kept(&self) -> Option<Bytes> {
        self.kept.as_ref().map(|kept| kept.record.clone())
    }

    /// Takes the header off `batch`, which is the first of `name` and not empty.
    pub(super) fn take(&mut self, batch: &Batch, name: &str) -> Result<Batch, SourceError> {
        let header = batch.record(0);
        match (&self.kept, self.mode) {
            (Some(first), Header::Repeat) if without_mark(&first.record) != without_mark(header) => {
                return Err(SourceError::HeadersDiffer {
                    first: first.origin.clone(),
                    first_header: shown(&first.record),
                    second: name.to_owned(),
                    second_header: shown(header),
                });
            }
            (None, Header::Repeat) => {
                let record = Bytes::copy_from_slice(header);
                self.kept = Some(KeptHeader { record, origin: name.to_owned() });
            }
            (_, Header::Keep | Header::Skip | Header::Repeat) => {}
        }
        Ok(batch.slice(1..batch.len()))
    }
}

/// A byte order mark is nothing that two headers differ by.
fn without_mark(header: &[u8]) -> &[u8] {
    header.strip_prefix(UTF8_MARK).unwrap_or(header)
}

fn shown(header: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&header[..header.len().min(SHOWN_BYTES_MAX)]);
    let more = if header.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("{}{more}", shown.trim_end().escape_debug())
}
