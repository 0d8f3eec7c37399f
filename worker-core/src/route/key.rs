//! What a record's key is, and reading it.

use super::csv::CsvReader;
use super::envelope::Envelope;
use super::field;
#[cfg(feature = "json-keys")]
use super::json::Pointer;
use std::num::NonZeroUsize;
use thiserror::Error;

/// Where a record's key is: in its content, never in what ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionBy {
    /// A field of the line.
    Field {
        /// Which, from 1.
        index: NonZeroUsize,
        /// What lies between two fields, at least one byte; `None`: runs of spaces and tabs, and of newlines in records that have
        /// several lines, as in awk.
        delimiter: Option<Vec<u8>>,
    },
    /// A column of comma-separated values (RFC 4180): the content, whether it is quoted or not.
    Csv {
        /// Which, from 1.
        column: NonZeroUsize,
    },
    /// A value in a JSON document: the content of a string, the compact text of anything else. Numbers are as they are written:
    /// `1`, `1.0` and `98765432109876543210` are three keys; only a fraction or an exponent that a double holds exactly is
    /// written its way (`1.50` is `1.5`, `1e3` is `1000.0`). Only with the feature
    /// `json-keys`.
    #[cfg(feature = "json-keys")]
    Json {
        /// Where, as in RFC 6901: `/user/id`; empty for the whole document.
        pointer: String,
    },
    /// The whole record.
    Record,
    /// Not in the record: it comes beside it, from what made the record (see [`Router::route_given`](super::Router::route_given)).
    Given,
}

/// Why a record has no key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoKey {
    /// It has fewer fields.
    #[error("no field {wanted}: the record has {has}")]
    Field {
        /// Which field is the key, from 1.
        wanted: usize,
        /// How many there are.
        has: usize,
    },
    /// It has fewer columns.
    #[error("no column {wanted}: the record has {has}")]
    Column {
        /// Which column is the key, from 1.
        wanted: usize,
        /// How many there are.
        has: usize,
    },
    /// It is not JSON.
    #[cfg(feature = "json-keys")]
    #[error("not JSON: {0}")]
    InvalidJson(String),
    /// It has no value at the pointer.
    #[cfg(feature = "json-keys")]
    #[error("nothing at {0} in this JSON")]
    Pointer(String),
    /// Its key had to come beside it, and did not.
    #[error(
        "no key was given with this record; the answer that emits it has to name one: {{\"key\": …, \"record\": …}}"
    )]
    NotGiven,
}

/// Reads the keys of records that were routed by them, for the task that received them.
#[derive(Debug)]
pub struct RecordKey(KeyReader);

impl RecordKey {
    /// Reads what an edge routes by, in records that have their content in `envelope`.
    #[must_use]
    pub fn new(by: PartitionBy, envelope: impl Into<Envelope>) -> Self {
        Self(KeyReader::new(by, envelope.into()))
    }

    /// The key of `record`, which is content only.
    ///
    /// # Errors
    /// [`NoKey`] says what is missing; always for [`PartitionBy::Given`], which is not in the record.
    pub fn of<'a>(&'a mut self, record: &'a [u8]) -> Result<&'a [u8], NoKey> {
        self.0.key(record, None)
    }
}

/// Reads keys, with the scratch space that takes.
#[derive(Debug)]
pub(super) enum KeyReader {
    Blanks {
        index: usize,
        /// Newlines are blanks too.
        over_lines: bool,
    },
    Delimited {
        index: usize,
        delimiter: Vec<u8>,
    },
    Csv(CsvReader),
    #[cfg(feature = "json-keys")]
    Json(Pointer),
    Record,
    Given,
}

impl KeyReader {
    pub(super) fn new(by: PartitionBy, envelope: Envelope) -> Self {
        match by {
            PartitionBy::Field { index, delimiter: None } => {
                Self::Blanks { index: index.get(), over_lines: envelope.has_lines() }
            }
            PartitionBy::Field { index, delimiter: Some(delimiter) } => {
                Self::Delimited { index: index.get(), delimiter }
            }
            PartitionBy::Csv { column } => Self::Csv(CsvReader::new(column, envelope)),
            #[cfg(feature = "json-keys")]
            PartitionBy::Json { pointer } => Self::Json(Pointer::new(pointer)),
            PartitionBy::Record => Self::Record,
            PartitionBy::Given => Self::Given,
        }
    }

    /// The key of `record`, which is content only; `given` is the key that came beside it.
    pub(super) fn key<'a>(
        &'a mut self,
        record: &'a [u8],
        given: Option<&'a [u8]>,
    ) -> Result<&'a [u8], NoKey> {
        match self {
            Self::Blanks { index, over_lines } => {
                let found = if *over_lines {
                    field::by_blanks_and_newlines(record, *index)
                } else {
                    field::by_blanks(record, *index)
                };
                found.map_err(|has| NoKey::Field { wanted: *index, has })
            }
            Self::Delimited { index, delimiter } => field::by_delimiter(record, *index, delimiter)
                .map_err(|has| NoKey::Field { wanted: *index, has }),
            Self::Csv(reader) => reader.column(record),
            #[cfg(feature = "json-keys")]
            Self::Json(pointer) => pointer.value(record),
            Self::Record => Ok(record),
            Self::Given => given.ok_or(NoKey::NotGiven),
        }
    }
}
