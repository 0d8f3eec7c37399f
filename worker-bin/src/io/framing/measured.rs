//! Records whose length is known before they are read.

use super::splitter::{Found, Last};
use crate::text::units::number;
use worker_core::route::Envelope;

/// Bytes of the longest number of seven bits a byte that fits 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// What stands before each record and says how many bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    U16Be,
    U16Le,
    U32Be,
    U32Le,
    U64Be,
    U64Le,
    /// Seven bits a byte, the least first, as protocol buffers have it.
    Varint,
}

impl Prefix {
    pub const ALL: [Self; 7] =
        [Self::U16Be, Self::U16Le, Self::U32Be, Self::U32Le, Self::U64Be, Self::U64Le, Self::Varint];

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::U16Be => "u16be",
            Self::U16Le => "u16le",
            Self::U32Be => "u32be",
            Self::U32Le => "u32le",
            Self::U64Be => "u64be",
            Self::U64Le => "u64le",
            Self::Varint => "varint",
        }
    }

    pub(super) fn envelope(self) -> Envelope {
        match self {
            Self::U16Be | Self::U16Le => Envelope::Prefixed(2),
            Self::U32Be | Self::U32Le => Envelope::Prefixed(4),
            Self::U64Be | Self::U64Le => Envelope::Prefixed(8),
            Self::Varint => Envelope::Varint,
        }
    }

    /// The longest content that it can say the length of.
    #[must_use]
    pub fn content_bytes_max(self) -> u64 {
        match self {
            Self::U16Be | Self::U16Le => u16::MAX.into(),
            Self::U32Be | Self::U32Le => u32::MAX.into(),
            Self::U64Be | Self::U64Le | Self::Varint => u64::MAX,
        }
    }

    /// Appends the prefix of `bytes` of content, which are as many as it can say.
    pub(super) fn push(self, bytes: u64, to: &mut Vec<u8>) {
        let (long, short) = (bytes.to_be_bytes(), bytes.to_le_bytes());
        match self {
            Self::U16Be => to.extend_from_slice(&long[6..]),
            Self::U16Le => to.extend_from_slice(&short[..2]),
            Self::U32Be => to.extend_from_slice(&long[4..]),
            Self::U32Le => to.extend_from_slice(&short[..4]),
            Self::U64Be => to.extend_from_slice(&long),
            Self::U64Le => to.extend_from_slice(&short),
            Self::Varint => {
                let mut left = bytes;
                while left >= 0x80 {
                    to.push(left.to_le_bytes()[0] | 0x80);
                    left >>= 7;
                }
                to.push(left.to_le_bytes()[0]);
            }
        }
    }

    /// How many bytes a record has, prefix included, if that can be seen; more than there can be where nonsense is.
    fn total(self, record: &[u8]) -> Option<u64> {
        let (width, content) = match self {
            Self::U16Be => (2, u64::from(u16::from_be_bytes(first(record)?))),
            Self::U16Le => (2, u64::from(u16::from_le_bytes(first(record)?))),
            Self::U32Be => (4, u64::from(u32::from_be_bytes(first(record)?))),
            Self::U32Le => (4, u64::from(u32::from_le_bytes(first(record)?))),
            Self::U64Be => (8, u64::from_be_bytes(first(record)?)),
            Self::U64Le => (8, u64::from_le_bytes(first(record)?)),
            Self::Varint => varint(record)?,
        };
        Some(content.saturating_add(width))
    }
}

fn first<const N: usize>(record: &[u8]) -> Option<[u8; N]> {
    record.first_chunk().copied()
}

/// How many bytes the number at the beginning has, and the number.
fn varint(record: &[u8]) -> Option<(u64, u64)> {
    let (mut value, mut width) = (0_u64, 0_u32);
    for &byte in record.iter().take(VARINT_BYTES_MAX) {
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * width);
        // It does not fit 64 bits: nonsense.
        value = if shifted >> (7 * width) == bits { value | shifted } else { u64::MAX };
        width += 1;
        if byte < 0x80 {
            return Some((width.into(), value));
        }
    }
    (record.len() >= VARINT_BYTES_MAX).then_some((width.into(), u64::MAX))
}

/// Counts bytes.
#[derive(Debug)]
pub(in crate::io) struct Measured {
    by: By,
    /// Bytes of the record, once they are known.
    total: Option<u64>,
    /// Bytes of it that are not at hand any more.
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
enum By {
    Fixed(u32),
    Prefix(Prefix),
}

impl Measured {
    pub(super) fn fixed(bytes: u32) -> Self {
        Self { by: By::Fixed(bytes), total: Some(bytes.into()), dropped: 0 }
    }

    pub(super) fn prefixed(prefix: Prefix) -> Self {
        Self { by: By::Prefix(prefix), total: None, dropped: 0 }
    }

    pub(super) fn begin(&mut self) {
        self.dropped = 0;
        if matches!(self.by, By::Prefix(_)) {
            self.total = None;
        }
    }

    pub(super) fn find(&mut self, record: &[u8]) -> Found {
        if let (None, By::Prefix(prefix)) = (self.total, self.by) {
            self.total = prefix.total(record);
        }
        let Some(total) = self.total else { return Found::More(0) };
        match usize::try_from(total - self.dropped) {
            Ok(length) if length <= record.len() => Found::End(length),
            Ok(_) | Err(_) => Found::More(record.len()),
        }
    }

    pub(super) fn drop_front(&mut self, bytes: usize) {
        self.dropped += bytes as u64;
    }

    pub(super) fn last(&self, record: &[u8]) -> Last {
        let there = number(self.dropped + record.len() as u64);
        Last::Torn(match (self.by, self.total) {
            (By::Fixed(bytes), _) => format!("it has {there} of its {} bytes", number(bytes.into())),
            (By::Prefix(prefix), None) => {
                format!("of its prefix ({}) there are {there} bytes", prefix.word())
            }
            (By::Prefix(prefix), Some(total)) => format!(
                "its prefix ({}) says that it has {} bytes with that, and there are {there}",
                prefix.word(),
                number(total)
            ),
        })
    }
}
