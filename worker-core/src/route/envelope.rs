//! What of a record is not its content.

/// What of a record is not its content: what ends it, or what stands before it.
///
/// The content is what keys are read from, what a program is asked about, and what people are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// This byte ends it, and is nowhere else in it.
    Terminated(u8),
    /// It is text of any number of lines; the newline at its end is not content.
    Lines,
    /// All of it is content.
    Bare,
    /// So many bytes before the content say how long that is.
    Prefixed(u8),
    /// The same with as many bytes as it takes, seven bits in each; the last has its highest bit clear.
    Varint,
}

impl Envelope {
    /// The content of a record; a record without what should be there is content.
    #[must_use]
    pub fn content(self, record: &[u8]) -> &[u8] {
        match self {
            Self::Terminated(byte) => record.strip_suffix(&[byte]).unwrap_or(record),
            Self::Lines => record.strip_suffix(b"\n").unwrap_or(record),
            Self::Bare => record,
            Self::Prefixed(bytes) => record.get(usize::from(bytes)..).unwrap_or(record),
            Self::Varint => {
                let end = record.iter().position(|&byte| byte < 0x80);
                end.map_or(record, |end| &record[end + 1..])
            }
        }
    }

    /// Whether newlines in the content lie between lines of a text.
    pub(super) fn has_lines(self) -> bool {
        match self {
            Self::Lines | Self::Bare | Self::Prefixed(_) | Self::Varint => true,
            Self::Terminated(_) => false,
        }
    }
}

impl From<u8> for Envelope {
    fn from(terminator: u8) -> Self {
        Self::Terminated(terminator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_the_content_is_taken_off_once() {
        for (envelope, record, content) in [
            (Envelope::Terminated(b'\n'), &b"a\n"[..], &b"a"[..]),
            (Envelope::Terminated(0), b"a\n\0", b"a\n"),
            (Envelope::Lines, b"a\nb\n\n", b"a\nb\n"),
            (Envelope::Bare, b"ab\n", b"ab\n"),
            (Envelope::Prefixed(2), b"\0\x02ab", b"ab"),
            (Envelope::Varint, b"\x02ab", b"ab"),
            (Envelope::Varint, b"\x80\x01ab", b"ab"),
            (Envelope::Lines, b"", b""),
            (Envelope::Prefixed(4), b"a", b"a"),
        ] {
            assert_eq!(envelope.content(record), content, "{envelope:?} {record:?}");
        }
    }
}
