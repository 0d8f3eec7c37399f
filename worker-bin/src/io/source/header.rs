//! What happens to the first record of a file.

use super::SourceError;
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

/// Takes headers off.
#[derive(Debug)]
pub(super) struct HeaderFilter {
    mode: Header,
    kept: Option<(Bytes, String)>,
}

impl HeaderFilter {
    pub(super) fn new(mode: Header) -> Self {
        Self { mode, kept: None }
    }

    pub(super) fn keeps(&self) -> bool {
        self.mode == Header::Keep
    }

    pub(super) fn kept(&self) -> Option<Bytes> {
        self.kept.as_ref().map(|(header, _)| header.clone())
    }

    /// Takes the header off `batch`, which is the first of `name` and not empty.
    pub(super) fn take(&mut self, batch: &Batch, name: &str) -> Result<Batch, SourceError> {
        let header = batch.record(0);
        match (&self.kept, self.mode) {
            (Some((first, origin)), Header::Repeat) if first != header => {
                return Err(SourceError::HeadersDiffer {
                    first: origin.clone(),
                    first_header: shown(first),
                    second: name.to_owned(),
                    second_header: shown(header),
                });
            }
            (None, Header::Repeat) => self.kept = Some((Bytes::copy_from_slice(header), name.to_owned())),
            (_, Header::Keep | Header::Skip | Header::Repeat) => {}
        }
        Ok(batch.slice(1..batch.len()))
    }
}

fn shown(header: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&header[..header.len().min(SHOWN_BYTES_MAX)]);
    let more = if header.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("{}{more}", shown.trim_end().escape_debug())
}
