//! What standard output, standard error and the admin address are given: text of which a terminal shows everything and obeys nothing.
//!
//! What programs, records, peers and file names say is kept as it came, and escaped here, on its way out. Nothing else is taken by
//! `stderr`, `stdout` and the answers of `admin`, so nothing can be forgotten.

use super::escape::{is_obeyed, json, lines, visible};
use serde::Serialize;
use std::fmt;

/// Text that can be printed anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harmless(String);

impl Harmless {
    /// Text for people; its lines stay lines.
    #[must_use]
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self(lines(text.as_ref()))
    }

    /// A record, on one line.
    #[must_use]
    pub fn record(bytes: &[u8]) -> Self {
        Self(visible(bytes))
    }

    /// Text with colours of our own (`ESC [ … m`); what others said is escaped in it already, as it is of one line.
    #[must_use]
    pub fn coloured(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\u{1b}') {
            let (before, behind) = rest.split_at(at);
            out.push_str(&lines(before.as_bytes()));
            let kept = colour(behind);
            out.push_str(&behind[..kept]);
            if kept == 0 {
                out.push_str("\\u{1b}");
            }
            rest = &behind[kept.max(1)..];
        }
        out.push_str(&lines(rest.as_bytes()));
        Self(out)
    }

    /// A value as JSON on one line.
    ///
    /// # Errors
    /// It has no form in JSON, such as a map whose keys are no strings.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(value).map(|text| Self(json(text)))
    }

    /// A value as JSON for people, with a line end behind it.
    ///
    /// # Errors
    /// As [`Harmless::json`].
    pub fn pretty_json(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string_pretty(value).map(|text| Self(json(text) + "\n"))
    }

    /// A line of JSON that others have made.
    #[must_use]
    pub fn made_json(line: String) -> Self {
        Self(json(line))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// Whether there is something in a text that a terminal would obey, or a reader not see.
    #[must_use]
    pub fn is_needed_for(text: &str) -> bool {
        text.chars().any(is_obeyed)
    }
}

/// How long the colour is with which a text begins; 0 if it begins with none.
fn colour(text: &str) -> usize {
    let Some(codes) = text.strip_prefix("\u{1b}[") else { return 0 };
    match codes.find(|c: char| !(c.is_ascii_digit() || c == ';')) {
        Some(end) if codes[end..].starts_with('m') => "\u{1b}[".len() + end + 1,
        Some(_) | None => 0,
    }
}

impl fmt::Display for Harmless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
