//! Which format input is in, known by its first bytes.

/// Longest of the marks, in bytes.
pub(in crate::io::source) const MARK_BYTES_MAX: usize = 6;

/// What a text in UTF-8 may begin with, though it means nothing there.
pub(in crate::io::source) const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// A format that is unpacked or decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io::source) enum Format {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lz4,
    Utf16(Endian),
}

/// Which byte of a unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io::source) enum Endian {
    Little,
    Big,
}

/// How input is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io::source) struct Encoding {
    /// For each of its first bytes, the least and the most that it is.
    mark: &'static [(u8, u8)],
    /// In a message.
    pub(in crate::io::source) what: &'static str,
    /// What decodes it.
    pub(in crate::io::source) command: &'static str,
    /// What it is decoded as here.
    pub(in crate::io::source) format: Option<Format>,
}

/// Where two could be meant, the longer mark comes first.
const ENCODINGS: [Encoding; 11] = [
    packed(&marks::GZIP, "gzip data", "gzip -dc", Format::Gzip),
    packed(&marks::ZSTD, "zstd data", "zstd -dc", Format::Zstd),
    // A frame to be skipped that comes before the data.
    packed(&marks::SKIPPED, "zstd data", "zstd -dc", Format::Zstd),
    packed(&marks::XZ, "xz data", "xz -dc", Format::Xz),
    packed(&marks::BZIP2, "bzip2 data", "bzip2 -dc", Format::Bzip2),
    packed(&marks::BZIP2_EMPTY, "bzip2 data", "bzip2 -dc", Format::Bzip2),
    packed(&marks::LZ4, "lz4 data", "lz4 -dc", Format::Lz4),
    Encoding {
        mark: &marks::UTF32_LITTLE,
        what: "UTF-32 text",
        command: "iconv -f UTF-32 -t UTF-8",
        format: None,
    },
    Encoding {
        mark: &marks::UTF32_BIG,
        what: "UTF-32 text",
        command: "iconv -f UTF-32 -t UTF-8",
        format: None,
    },
    packed(&marks::UTF16_LITTLE, "UTF-16 text", "iconv -f UTF-16 -t UTF-8", Format::Utf16(Endian::Little)),
    packed(&marks::UTF16_BIG, "UTF-16 text", "iconv -f UTF-16 -t UTF-8", Format::Utf16(Endian::Big)),
];

const fn packed(
    mark: &'static [(u8, u8)],
    what: &'static str,
    command: &'static str,
    format: Format,
) -> Encoding {
    Encoding { mark, what, command, format: Some(format) }
}

mod marks {
    pub(super) const GZIP: [(u8, u8); 3] = exact([0x1f, 0x8b, 8]);
    pub(super) const ZSTD: [(u8, u8); 4] = exact([0x28, 0xb5, 0x2f, 0xfd]);
    pub(super) const SKIPPED: [(u8, u8); 4] = [(0x50, 0x5f), (0x2a, 0x2a), (0x4d, 0x4d), (0x18, 0x18)];
    pub(super) const XZ: [(u8, u8); 6] = exact([0xfd, b'7', b'z', b'X', b'Z', 0]);
    // Text may begin so, but not go on with a digit and the number of a block, or that of the end.
    pub(super) const BZIP2: [(u8, u8); 6] = bzip2(0x31, 0x41);
    pub(super) const BZIP2_EMPTY: [(u8, u8); 6] = bzip2(0x17, 0x72);
    pub(super) const LZ4: [(u8, u8); 4] = exact([4, 0x22, 0x4d, 0x18]);
    pub(super) const UTF32_LITTLE: [(u8, u8); 4] = exact([0xff, 0xfe, 0, 0]);
    pub(super) const UTF32_BIG: [(u8, u8); 4] = exact([0, 0, 0xfe, 0xff]);
    pub(super) const UTF16_LITTLE: [(u8, u8); 2] = exact([0xff, 0xfe]);
    pub(super) const UTF16_BIG: [(u8, u8); 2] = exact([0xfe, 0xff]);

    const fn bzip2(first: u8, second: u8) -> [(u8, u8); 6] {
        [(b'B', b'B'), (b'Z', b'Z'), (b'h', b'h'), (b'1', b'9'), (first, first), (second, second)]
    }

    const fn exact<const N: usize>(bytes: [u8; N]) -> [(u8, u8); N] {
        let mut mark = [(0, 0); N];
        let mut at = 0;
        while at < N {
            mark[at] = (bytes[at], bytes[at]);
            at += 1;
        }
        mark
    }
}

/// The first bytes of input, as far as they have come and have to be looked at.
#[derive(Debug, Default)]
pub(in crate::io::source) struct Beginning {
    seen: Vec<u8>,
    is_passed: bool,
}

impl Format {
    /// What decoding takes at most, whatever the format, in bytes.
    pub(in crate::io::source) const MEMORY_BYTES_MAX: u64 = (super::MEMORY_MIB_MAX as u64 * 2 + 8) << 20;

    /// In a message.
    pub(in crate::io::source) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Utf16(_) => "UTF-16",
        }
    }

    /// Whether it is for saving room, and not for characters.
    pub(in crate::io::source) fn is_compression(self) -> bool {
        match self {
            Self::Gzip | Self::Zstd | Self::Xz | Self::Bzip2 | Self::Lz4 => true,
            Self::Utf16(_) => false,
        }
    }

    /// What decoding it takes at most, in bytes.
    pub(in crate::io::source) fn memory_bytes(self) -> u64 {
        match self {
            Self::Gzip | Self::Utf16(_) => 1 << 20,
            Self::Bzip2 => 5 << 20,
            Self::Lz4 => 16 << 20,
            Self::Zstd => u64::from(super::MEMORY_MIB_MAX + 4) << 20,
            // A dictionary that grows is copied, and what was given back of it is not with the system at once.
            Self::Xz => Self::MEMORY_BYTES_MAX,
        }
    }

    /// What tries whether input is damaged.
    pub(in crate::io::source) fn check(self) -> &'static str {
        match self {
            Self::Gzip => "gzip -t",
            Self::Zstd => "zstd -t",
            Self::Xz => "xz -t",
            Self::Bzip2 => "bzip2 -t",
            Self::Lz4 => "lz4 -t",
            Self::Utf16(_) => "iconv -f UTF-16 -t UTF-8",
        }
    }

    /// What decodes it.
    pub(in crate::io::source) fn command(self) -> &'static str {
        ENCODINGS.iter().find(|e| e.format == Some(self)).map_or("", |encoding| encoding.command)
    }

    /// Whether `rest`, which follows a member, is another one; `None`: more has to be there. Formats that hold their members themselves
    /// have none here.
    pub(super) fn begins_member(self, rest: &[u8], is_all: bool) -> Option<bool> {
        let mark: &[(u8, u8)] = match self {
            Self::Gzip => &marks::GZIP[..2],
            Self::Bzip2 => &marks::BZIP2[..4],
            Self::Zstd | Self::Xz | Self::Lz4 | Self::Utf16(_) => return Some(false),
        };
        let has_enough = rest.len() >= mark.len();
        if has_enough || is_all || !fits(mark, rest) { Some(has_enough && fits(mark, rest)) } else { None }
    }
}

impl Beginning {
    /// Of input whose beginning was looked at in an earlier life.
    pub(in crate::io::source) fn passed() -> Self {
        Self { seen: Vec::new(), is_passed: true }
    }

    pub(in crate::io::source) fn is_passed(&self) -> bool {
        self.is_passed
    }

    /// Looks at what comes next; says how the input is encoded, if it is.
    pub(in crate::io::source) fn look(&mut self, more: &[u8]) -> Option<&'static Encoding> {
        let room = MARK_BYTES_MAX - self.seen.len();
        self.seen.extend_from_slice(&more[..more.len().min(room)]);
        let is_open =
            |encoding: &Encoding| self.seen.len() < encoding.mark.len() && fits(encoding.mark, &self.seen);
        let found = ENCODINGS.iter().position(|encoding| is(encoding, &self.seen));
        let before = found.unwrap_or(ENCODINGS.len());
        let may_be_marked = self.seen.len() < UTF8_MARK.len() && UTF8_MARK.starts_with(&self.seen);
        self.is_passed = !may_be_marked && !ENCODINGS[..before].iter().any(is_open);
        found.filter(|_| self.is_passed).map(|found| &ENCODINGS[found])
    }

    /// Nothing comes behind what was looked at.
    pub(in crate::io::source) fn end(&mut self) -> Option<&'static Encoding> {
        if std::mem::replace(&mut self.is_passed, true) {
            return None;
        }
        ENCODINGS.iter().find(|encoding| is(encoding, &self.seen))
    }

    /// How input is encoded that begins with `head`, which is [`MARK_BYTES_MAX`] long or all there is.
    pub(in crate::io::source) fn of(head: &[u8]) -> Option<&'static Encoding> {
        let mut beginning = Self::default();
        beginning.look(head).or_else(|| beginning.end())
    }
}

fn is(encoding: &Encoding, seen: &[u8]) -> bool {
    seen.len() >= encoding.mark.len() && fits(encoding.mark, seen)
}

/// As far as both go.
fn fits(mark: &[(u8, u8)], seen: &[u8]) -> bool {
    mark.iter().zip(seen).all(|((least, most), byte)| (least..=most).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&[u8]]) -> Option<&'static str> {
        let mut beginning = Beginning::default();
        let found = pieces.iter().find_map(|piece| beginning.look(piece));
        found.or_else(|| beginning.end()).map(|encoding| encoding.command)
    }

    #[test]
    fn a_mark_is_known_in_one_piece_and_byte_by_byte() {
        let marked: [(&[u8], &str); 13] = [
            (b"\x1f\x8b\x08\x00..", "gzip -dc"),
            (b"\x28\xb5\x2f\xfd..", "zstd -dc"),
            (b"\x5e\x2a\x4d\x18..", "zstd -dc"),
            (b"\xfd7zXZ\x00..", "xz -dc"),
            (b"BZh91AY&SY", "bzip2 -dc"),
            (b"BZh9\x17\x72\x45\x38\x50\x90", "bzip2 -dc"),
            (b"\x04\x22\x4d\x18..", "lz4 -dc"),
            (b"\xff\xfea\x00", "iconv -f UTF-16 -t UTF-8"),
            (b"\xff\xfe", "iconv -f UTF-16 -t UTF-8"),
            (b"\xff\xfe\0", "iconv -f UTF-16 -t UTF-8"),
            (b"\xfe\xff\x00a", "iconv -f UTF-16 -t UTF-8"),
            (b"\xff\xfe\0\0a\0\0\0", "iconv -f UTF-32 -t UTF-8"),
            (b"\0\0\xfe\xff\0\0\0a", "iconv -f UTF-32 -t UTF-8"),
        ];
        for (bytes, command) in marked {
            assert_eq!(found(&[bytes]), Some(command));
            let singles: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(found(&singles), Some(command), "{bytes:?}");
        }
    }

    #[test]
    fn text_is_no_mark() {
        let texts = [&b"BZh, he said\n"[..], b"BZh9\n", b"BZh9", b"B", b"", b"\x1f\x8b\n", b"{}\n", b"P*M\n"];
        for text in texts.into_iter().chain([&b"\xef\xbb\xbfx\n"[..], b"\xfd7zXZ", b"\0\0"]) {
            assert_eq!(found(&[text]), None, "{text:?}");
        }
        let mut beginning = Beginning::default();
        beginning.look(b"a");
        assert!(beginning.is_passed(), "nothing more is looked at");
    }

    #[test]
    fn what_follows_a_member_is_known_when_enough_of_it_is_there() {
        for (format, begins) in [(Format::Gzip, &b"\x1f\x8b"[..]), (Format::Bzip2, b"BZh1")] {
            assert_eq!(format.begins_member(begins, false), Some(true));
            assert_eq!(format.begins_member(&begins[..1], false), None);
            assert_eq!(format.begins_member(&begins[..1], true), Some(false));
            assert_eq!(format.begins_member(b"", true), Some(false));
            assert_eq!(format.begins_member(b"x", false), Some(false));
        }
    }
}
