//! A fixed number of lines.

use super::splitter::{Found, Last};

#[derive(Debug)]
pub(in crate::io) struct Counted {
    lines: u32,
    left: u32,
}

impl Counted {
    pub(super) fn new(lines: u32) -> Self {
        Self { lines, left: lines }
    }

    pub(super) fn begin(&mut self) {
        self.left = self.lines;
    }

    pub(super) fn find(&mut self, record: &[u8], seen: usize) -> Found {
        for at in memchr::memchr_iter(b'\n', &record[seen..]) {
            self.left -= 1;
            if self.left == 0 {
                return Found::End(seen + at + 1);
            }
        }
        Found::More(record.len())
    }

    pub(super) fn last(&self, record: &[u8]) -> Last {
        let unended = u32::from(record.last().is_some_and(|&byte| byte != b'\n'));
        Last::Torn(format!("it has {} of its {} lines", self.lines - self.left + unended, self.lines))
    }
}
