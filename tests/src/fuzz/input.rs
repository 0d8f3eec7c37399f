//! Bytes as the decisions of a target.

/// Bytes that are taken one after the other; behind the last one there are zeros.
#[derive(Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// The same as an index.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::from(self.byte()) % len
    }

    pub(super) fn chance(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly a small number, sometimes any.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=0xf7 => u64::from(small),
            0xf8..=0xfb => self.take(2).iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
            0xfc | 0xfd => self.take(8).iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
            0xfe => u64::MAX >> 1,
            0xff => u64::MAX,
        }
    }

    /// The next `count` bytes, or as many as there are.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// So many bytes as a byte says, or as many as there are.
    pub(super) fn some(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        self.take(count)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
