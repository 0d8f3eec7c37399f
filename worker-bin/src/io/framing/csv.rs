//! Comma-separated values as RFC 4180 has them: a newline within quotes ends no record.

use super::splitter::{Found, Last};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Follows quotes. A quote opens a field only where one begins: in `5" disk` it is a character like any other. So what separates
/// fields matters, and each of `,`, `;`, `|` and a tab may be it.
#[derive(Debug, Default)]
pub(in crate::io) struct Csv {
    is_quoted: bool,
    /// Where the last quote is that closed a field.
    closed: Option<usize>,
    /// The record's front is not at hand any more.
    has_dropped: bool,
}

impl Csv {
    pub(super) fn find(&mut self, record: &[u8], seen: usize) -> Found {
        let mut at = seen;
        loop {
            let rest = &record[at..];
            if self.is_quoted {
                let Some(found) = memchr::memchr(b'"', rest) else { break };
                at += found;
                (self.is_quoted, self.closed) = (false, Some(at));
            } else {
                let Some(found) = memchr::memchr2(b'"', b'\n', rest) else { break };
                at += found;
                if record[at] == b'\n' {
                    return Found::End(at + 1);
                }
                self.is_quoted = self.opens(record, at);
            }
            at += 1;
        }
        // What a quote is, the byte before it decides, and behind a byte order mark all of that.
        let is_decided = self.has_dropped || record.len() > BYTE_ORDER_MARK.len() + 1;
        Found::More(if is_decided { record.len() - 1 } else { 0 })
    }

    fn opens(&self, record: &[u8], at: usize) -> bool {
        let before = &record[..at];
        match before.last() {
            None | Some(b',' | b';' | b'|' | b'\t') => true,
            // A doubled quote is one within the field.
            Some(b'"') => self.closed == Some(at - 1),
            Some(_) => !self.has_dropped && before == BYTE_ORDER_MARK,
        }
    }

    pub(super) fn drop_front(&mut self, bytes: usize) {
        self.has_dropped |= bytes > 0;
        self.closed = self.closed.and_then(|at| at.checked_sub(bytes));
    }

    pub(super) fn last(&self) -> Last {
        if self.is_quoted {
            return Last::Torn("a quote in it is opened and never closed".to_owned());
        }
        Last::Whole
    }
}
