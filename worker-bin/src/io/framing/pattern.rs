//! Lines that match begin a record, or end one.

use super::splitter::Found;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use thiserror::Error;

/// How much of a line is looked at: of one that may begin a record the first so many bytes, of one that may end it the last.
const LOOK_BYTES_MAX: usize = 64 * 1024;

/// Most bytes that a compiled expression may take.
const SIZE_BYTES_MAX: usize = 1 << 20;

/// Which lines: a regular expression, looked for in the line without its end. It takes time in proportion to the line, whatever it is.
#[derive(Clone)]
pub struct Pattern(Regex);

/// What is wrong with a regular expression.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    #[error("is empty, so every line would match it")]
    Empty,
    #[error("matches every line, the empty one too: that is framing = \"lines\"")]
    MatchesAll,
    #[error(
        "has a newline in it, and is looked for in one line at a time: leave it out, or write $ for the line's end"
    )]
    Newline,
    #[error("is too large; say less in it, or with smaller numbers in braces")]
    TooLarge,
    /// What its parser says, in one line.
    #[error("is no regular expression: {0}")]
    Invalid(String),
}

impl Pattern {
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if has_newline(text) {
            return Err(PatternError::Newline);
        }
        let built = RegexBuilder::new(text).size_limit(SIZE_BYTES_MAX).dfa_size_limit(SIZE_BYTES_MAX).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            // Of a syntax error the parser draws the place; what it is stands last.
            error @ (regex::Error::Syntax(_) | _) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default().trim();
                PatternError::Invalid(last.strip_prefix("error: ").unwrap_or(last).to_owned())
            }
        })?;
        if matches_all(&regex) {
            return Err(PatternError::MatchesAll);
        }
        Ok(Self(regex))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a record begins with such a line.
    pub(super) fn begins(&self, record: &[u8]) -> bool {
        let line = record.split(|&byte| byte == b'\n').next().unwrap_or_default();
        self.0.is_match(head(line))
    }

    /// Whether a record ends with such a line.
    pub(super) fn ends(&self, record: &[u8]) -> bool {
        let whole = record.strip_suffix(b"\n").unwrap_or(record);
        let line = whole.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        self.0.is_match(tail(line))
    }
}

/// Whether a newline is written in it, as itself or escaped.
fn has_newline(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let is_newline = match char {
            '\\' => chars.next() == Some('n'),
            other => other == '\n',
        };
        if is_newline {
            return true;
        }
    }
    false
}

/// Whether it says nothing: it matches the empty line, one of each character, and one of all of them.
fn matches_all(regex: &Regex) -> bool {
    let printable: Vec<u8> = (b' '..=b'~').chain([b'\t']).collect();
    let long = printable.repeat(100);
    regex.is_match(b"") && printable.iter().all(|&byte| regex.is_match(&[byte])) && regex.is_match(&long)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is looked at of a line that may begin a record.
fn head(line: &[u8]) -> &[u8] {
    match line.get(..LOOK_BYTES_MAX) {
        Some(head) => head,
        None => line.strip_suffix(b"\r").unwrap_or(line),
    }
}

/// What is looked at of a line that may end a record.
fn tail(line: &[u8]) -> &[u8] {
    let tail = &line[line.len().saturating_sub(LOOK_BYTES_MAX)..];
    tail.strip_suffix(b"\r").unwrap_or(tail)
}

/// Records that begin with a line that matches.
#[derive(Debug)]
pub(in crate::io) struct Starts {
    pattern: Pattern,
    /// Where the line at hand begins.
    line: usize,
    /// It is known to be of this record: it is its first one, or does not match.
    is_own: bool,
}

impl Starts {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { pattern, line: 0, is_own: true }
    }

    pub(super) fn begin(&mut self) {
        (self.line, self.is_own) = (0, true);
    }

    pub(super) fn find(&mut self, record: &[u8], seen: usize) -> Found {
        let mut at = seen.max(self.line);
        loop {
            let newline = memchr::memchr(b'\n', &record[at..]).map(|found| at + found);
            let line = &record[self.line..newline.unwrap_or(record.len())];
            if !self.is_own && (newline.is_some() || line.len() >= LOOK_BYTES_MAX) {
                if self.pattern.0.is_match(head(line)) {
                    return Found::End(self.line);
                }
                self.is_own = true;
            }
            let Some(newline) = newline else {
                return Found::More(if self.is_own { record.len() } else { self.line });
            };
            at = newline + 1;
            (self.line, self.is_own) = (at, false);
        }
    }

    pub(super) fn drop_front(&mut self, bytes: usize) {
        self.line = self.line.saturating_sub(bytes);
    }
}

/// Records that end with a line that matches.
#[derive(Debug)]
pub(in crate::io) struct Ends {
    pattern: Pattern,
    /// Where the line at hand begins.
    line: usize,
}

impl Ends {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { pattern, line: 0 }
    }

    pub(super) fn begin(&mut self) {
        self.line = 0;
    }

    pub(super) fn find(&mut self, record: &[u8], seen: usize) -> Found {
        for found in memchr::memchr_iter(b'\n', &record[seen..]) {
            let newline = seen + found;
            if self.pattern.0.is_match(tail(&record[self.line..newline])) {
                return Found::End(newline + 1);
            }
            self.line = newline + 1;
        }
        Found::More(self.line.max(record.len().saturating_sub(LOOK_BYTES_MAX)))
    }

    pub(super) fn drop_front(&mut self, bytes: usize) {
        self.line = self.line.saturating_sub(bytes);
    }
}
