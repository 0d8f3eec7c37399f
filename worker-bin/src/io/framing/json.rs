//! JSON values one behind another, on one line or on several.

use super::splitter::{Found, Last};

/// Follows strings, and how deep brackets stand.
///
/// Which bracket it is and what stands between is not looked at: a value that is wrong goes on as it is, for the program to say. A
/// value has the blanks before it and, behind it, those up to the newline. So values may follow each other without any (`{}{}`), on
/// lines (NDJSON), printed prettily, or each behind a record separator (RFC 7464).
#[derive(Debug, Default)]
pub(in crate::io) struct Json {
    state: State,
    depth: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    /// In an array or an object.
    Inside,
    Text,
    /// Behind a backslash in a string.
    Escaped,
    /// In a number, a word, or what is nothing that JSON has.
    Bare,
    Behind,
}

impl Json {
    pub(super) fn find(&mut self, record: &[u8], seen: usize) -> Found {
        let mut at = seen;
        while let Some(&byte) = record.get(at) {
            match self.state {
                State::Before => self.first(byte),
                State::Inside => self.inside(byte),
                State::Text => {
                    let Some(found) = memchr::memchr2(b'"', b'\\', &record[at..]) else { break };
                    at += found;
                    self.state = match record[at] {
                        b'\\' => State::Escaped,
                        _ if self.depth == 0 => State::Behind,
                        _ => State::Inside,
                    };
                }
                State::Escaped => self.state = State::Text,
                State::Bare | State::Behind => match byte {
                    b'\n' => return Found::End(at + 1),
                    b' ' | b'\t' | b'\r' => self.state = State::Behind,
                    b'{' | b'[' | b'"' | 0x1e => return Found::End(at),
                    _ if self.state == State::Behind => return Found::End(at),
                    _ => {}
                },
            }
            at += 1;
        }
        Found::More(record.len())
    }

    fn first(&mut self, byte: u8) {
        match byte {
            // With the separator of JSON text sequences, and the bytes of a byte order mark.
            b' ' | b'\t' | b'\r' | b'\n' | 0x1e | 0xef | 0xbb | 0xbf => {}
            b'{' | b'[' => (self.state, self.depth) = (State::Inside, 1),
            b'"' => self.state = State::Text,
            _ => self.state = State::Bare,
        }
    }

    fn inside(&mut self, byte: u8) {
        match byte {
            b'"' => self.state = State::Text,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.state = State::Behind;
                }
            }
            _ => {}
        }
    }

    /// Whether a value is at its end, and only its newline may still come.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Behind
    }

    pub(super) fn last(&self) -> Last {
        match self.state {
            State::Before => Last::Blank,
            State::Bare | State::Behind => Last::Whole,
            State::Inside => Last::Torn("its JSON value is not at its end".to_owned()),
            State::Text | State::Escaped => {
                Last::Torn("a string in its JSON value is not at its end".to_owned())
            }
        }
    }
}
