//! Input that is packed, or text of another encoding, known by its first bytes.
//!
//! Streams are refused, and files where they are not unpacked: a later life could not go on in the middle of them, and lines of them would be none.

/// Longest of the marks, in bytes.
pub(in crate::io::source) const MARK_BYTES_MAX: usize = 6;

/// How a stream is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io::source) struct Encoding {
    mark: &'static [u8],
    /// In a message.
    pub(in crate::io::source) what: &'static str,
    /// What decodes it.
    pub(in crate::io::source) command: &'static str,
}

const ENCODINGS: [Encoding; 7] = [
    Encoding { mark: &[0x1f, 0x8b, 8], what: "gzip data", command: "gzip -dc" },
    Encoding { mark: &[0x28, 0xb5, 0x2f, 0xfd], what: "zstd data", command: "zstd -dc" },
    Encoding { mark: &[0xfd, b'7', b'z', b'X', b'Z', 0], what: "xz data", command: "xz -dc" },
    Encoding { mark: b"BZh", what: "bzip2 data", command: "bzip2 -dc" },
    Encoding { mark: &[4, 0x22, 0x4d, 0x18], what: "lz4 data", command: "lz4 -dc" },
    Encoding { mark: &[0xff, 0xfe], what: "UTF-16 text", command: "iconv -f UTF-16 -t UTF-8" },
    Encoding { mark: &[0xfe, 0xff], what: "UTF-16 text", command: "iconv -f UTF-16 -t UTF-8" },
];

/// The first bytes of a stream, as far as they have come and have to be looked at.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    seen: Vec<u8>,
    is_passed: bool,
}

impl Beginning {
    /// Of a stream whose beginning was looked at in an earlier life.
    pub(super) fn passed() -> Self {
        Self { seen: Vec::new(), is_passed: true }
    }

    pub(super) fn is_passed(&self) -> bool {
        self.is_passed
    }

    /// Looks at what comes next; says how the stream is encoded, if it is.
    pub(super) fn look(&mut self, more: &[u8]) -> Option<&'static Encoding> {
        let room = MARK_BYTES_MAX - self.seen.len();
        self.seen.extend_from_slice(&more[..more.len().min(room)]);
        let seen = &self.seen[..];
        let is_one = |encoding: &&Encoding| {
            // Text may begin so, but not go on with a digit and the number that bzip2 has behind it.
            seen.starts_with(encoding.mark) && (encoding.mark != b"BZh" || is_bzip2(seen))
        };
        let found = ENCODINGS.iter().find(is_one);
        self.is_passed =
            seen.len() == MARK_BYTES_MAX || found.is_some() || !ENCODINGS.iter().any(|e| may_be(e, seen));
        found
    }
}

/// How a file is encoded that begins so and is not unpacked by itself.
pub(in crate::io::source) fn of_plain(head: &[u8; MARK_BYTES_MAX]) -> Option<&'static Encoding> {
    Beginning::default().look(head)
}

fn is_bzip2(seen: &[u8]) -> bool {
    matches!(seen, [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41])
}

/// Whether a mark may still follow.
fn may_be(encoding: &Encoding, seen: &[u8]) -> bool {
    encoding.mark.starts_with(seen) || seen.starts_with(encoding.mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&[u8]]) -> Option<&'static str> {
        let mut beginning = Beginning::default();
        pieces.iter().find_map(|piece| beginning.look(piece)).map(|encoding| encoding.command)
    }

    #[test]
    fn a_mark_is_known_in_one_piece_and_byte_by_byte() {
        let marked: [(&[u8], &str); 6] = [
            (b"\x1f\x8b\x08\x00..", "gzip -dc"),
            (b"\x28\xb5\x2f\xfd..", "zstd -dc"),
            (b"\xfd7zXZ\x00..", "xz -dc"),
            (b"BZh91AY&SY", "bzip2 -dc"),
            (b"\x04\x22\x4d\x18..", "lz4 -dc"),
            (b"\xff\xfea\x00", "iconv -f UTF-16 -t UTF-8"),
        ];
        for (bytes, command) in marked {
            assert_eq!(found(&[bytes]), Some(command));
            let singles: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(found(&singles), Some(command));
        }
    }

    #[test]
    fn text_is_no_mark() {
        for text in [&b"BZh, he said\n"[..], b"BZh9\n", b"B", b"", b"\x1f\x8b\n", b"{}\n", b"\xef\xbb\xbfx\n"]
        {
            assert_eq!(found(&[text]), None, "{text:?}");
        }
        let mut beginning = Beginning::default();
        beginning.look(b"a");
        assert!(beginning.is_passed(), "nothing more is looked at");
    }
}
