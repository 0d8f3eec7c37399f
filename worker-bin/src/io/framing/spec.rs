//! Framings as they are written on a command line, and told of.

use super::{Framing, Pattern, PatternError, Prefix};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What may be written.
pub const EXPECTED: &str = "lines, nul, csv, json, start=REGEX, end=REGEX, lines=N, length=N or prefix=u32be (u16be … u64le, varint)";

/// What is wrong with a framing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FramingError {
    #[error("expected {EXPECTED}")]
    Unknown,
    #[error("`{key}` cannot be {value}: expected a whole number from 1 to {most}", most = u32::MAX)]
    Number { key: &'static str, value: String },
    #[error("`prefix` cannot be {0}: expected u16be, u16le, u32be, u32le, u64be, u64le or varint")]
    Prefix(String),
    #[error("the expression of `{key}` {error}")]
    Pattern { key: &'static str, error: PatternError },
}

impl FromStr for Framing {
    type Err = FramingError;

    fn from_str(text: &str) -> Result<Self, FramingError> {
        let number = |key, value: &str| match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(FramingError::Number { key, value: value.to_owned() }),
        };
        let pattern = |key, value| Pattern::new(value).map_err(|error| FramingError::Pattern { key, error });
        match text.split_once('=') {
            None => match text {
                "lines" => Ok(Self::Lines),
                "nul" => Ok(Self::Nul),
                "csv" => Ok(Self::Csv),
                "json" => Ok(Self::Json),
                _ => Err(FramingError::Unknown),
            },
            Some(("start", value)) => pattern("start", value).map(Self::Start),
            Some(("end", value)) => pattern("end", value).map(Self::End),
            Some(("lines", value)) => number("lines", value).map(Self::Count),
            Some(("length", value)) => number("length", value).map(Self::Length),
            Some(("prefix", value)) => value.parse().map(Self::Prefix),
            Some(_) => Err(FramingError::Unknown),
        }
    }
}

impl FromStr for Prefix {
    type Err = FramingError;

    fn from_str(text: &str) -> Result<Self, FramingError> {
        let known = Self::ALL.into_iter().find(|prefix| prefix.word() == text);
        known.ok_or_else(|| FramingError::Prefix(text.to_owned()))
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => f.write_str("lines"),
            Self::Nul => f.write_str("nul"),
            Self::Csv => f.write_str("csv"),
            Self::Json => f.write_str("json"),
            Self::Start(pattern) => write!(f, "start={pattern}"),
            Self::End(pattern) => write!(f, "end={pattern}"),
            Self::Count(lines) => write!(f, "lines={lines}"),
            Self::Length(bytes) => write!(f, "length={bytes}"),
            Self::Prefix(prefix) => write!(f, "prefix={}", prefix.word()),
        }
    }
}

impl Framing {
    /// What its records are, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Lines => "lines".to_owned(),
            Self::Nul => "nul".to_owned(),
            Self::Csv => "CSV with quoted newlines".to_owned(),
            Self::Json => "JSON values".to_owned(),
            Self::Start(pattern) => format!("records that begin at /{pattern}/"),
            Self::End(pattern) => format!("records that end at /{pattern}/"),
            Self::Count(1) => "records of 1 line".to_owned(),
            Self::Count(lines) => format!("records of {lines} lines"),
            Self::Length(1) => "records of 1 byte".to_owned(),
            Self::Length(bytes) => format!("records of {bytes} bytes"),
            Self::Prefix(prefix) => format!("records behind their length ({})", prefix.word()),
        }
    }
}
