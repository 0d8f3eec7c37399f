//! Fields of a line.

use memchr::memmem;

const WORD: usize = size_of::<u64>();
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

/// Field `index` (from 1) between runs of spaces and tabs, or how many fields there are.
pub(super) fn by_blanks(line: &[u8], index: usize) -> Result<&[u8], usize> {
    between_blanks::<false>(line, index)
}

/// The same of a text of several lines, where newlines are blanks too.
pub(super) fn by_blanks_and_newlines(text: &[u8], index: usize) -> Result<&[u8], usize> {
    between_blanks::<true>(text, index)
}

fn between_blanks<const NEWLINES: bool>(line: &[u8], index: usize) -> Result<&[u8], usize> {
    let mut seen = 0;
    let mut after_blank = true;
    let mut words = line.chunks_exact(WORD);
    for (at, word) in words.by_ref().enumerate() {
        let blanks = blanks::<NEWLINES>(u64::from_le_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]));
        let starts = !blanks & HIGH & (blanks << 8 | u64::from(after_blank) << 7);
        let found = starts.count_ones() as usize;
        if seen + found >= index {
            let start = at * WORD + nth_marked(starts, index - seen - 1);
            return Ok(until_blank::<NEWLINES>(&line[start..]));
        }
        seen += found;
        after_blank = blanks >> 63 == 1;
    }
    let rest = words.remainder();
    let base = line.len() - rest.len();
    for (at, &byte) in rest.iter().enumerate() {
        let blank = is_blank::<NEWLINES>(byte);
        seen += usize::from(after_blank && !blank);
        if seen == index {
            return Ok(until_blank::<NEWLINES>(&line[base + at..]));
        }
        after_blank = blank;
    }
    Err(seen)
}

/// Field `index` (from 1) between delimiters, or how many fields there are. Two delimiters in a row have an empty field
/// between them; an empty delimiter never occurs.
pub(super) fn by_delimiter<'a>(line: &'a [u8], index: usize, delimiter: &[u8]) -> Result<&'a [u8], usize> {
    match delimiter {
        [] => between(line, index, 0, std::iter::empty()),
        [byte] => between(line, index, 1, memchr::memchr_iter(*byte, line)),
        longer => between(line, index, longer.len(), memmem::find_iter(line, longer)),
    }
}

fn between(
    line: &[u8],
    index: usize,
    width: usize,
    mut at: impl Iterator<Item = usize>,
) -> Result<&[u8], usize> {
    let mut start = 0;
    for seen in 1.. {
        let end = at.next();
        if seen == index {
            return Ok(&line[start..end.unwrap_or(line.len())]);
        }
        match end {
            Some(end) => start = end + width,
            None => return Err(seen),
        }
    }
    Err(0)
}

fn until_blank<const NEWLINES: bool>(line: &[u8]) -> &[u8] {
    let mut words = line.chunks_exact(WORD);
    for (at, word) in words.by_ref().enumerate() {
        let blanks = blanks::<NEWLINES>(u64::from_le_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]));
        if blanks != 0 {
            return &line[..at * WORD + nth_marked(blanks, 0)];
        }
    }
    let rest = words.remainder();
    let blank = rest.iter().position(|&byte| is_blank::<NEWLINES>(byte));
    &line[..line.len() - rest.len() + blank.unwrap_or(rest.len())]
}

fn is_blank<const NEWLINES: bool>(byte: u8) -> bool {
    byte == b' ' || byte == b'\t' || (NEWLINES && byte == b'\n')
}

/// The high bit of every byte of `word` that is blank; exact, no false marks from neighbours.
fn blanks<const NEWLINES: bool>(word: u64) -> u64 {
    let is = |byte: u8| {
        let zeroed = word ^ (LOW * u64::from(byte));
        !(((zeroed & !HIGH) + !HIGH) | zeroed) & HIGH
    };
    let blanks = is(b' ') | is(b'\t');
    if NEWLINES { blanks | is(b'\n') } else { blanks }
}

/// Index of the byte with mark number `n` (from 0).
fn nth_marked(mut marks: u64, n: usize) -> usize {
    for _ in 0..n {
        marks &= marks - 1;
    }
    marks.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_at_both_ends_make_no_fields() {
        assert_eq!(by_blanks(b"  a \t b  ", 2), Ok(&b"b"[..]));
        assert_eq!(by_blanks(b"  a \t b  ", 3), Err(2));
        assert_eq!(by_blanks(b"", 1), Err(0));
    }

    #[test]
    fn delimiters_in_a_row_have_an_empty_field_between_them() {
        assert_eq!(by_delimiter(b"a,,c", 2, b","), Ok(&b""[..]));
        assert_eq!(by_delimiter(b"a,,c,", 4, b","), Ok(&b""[..]));
        assert_eq!(by_delimiter(b"a::b:c::d", 2, b"::"), Ok(&b"b:c"[..]));
        assert_eq!(by_delimiter(b"", 1, b","), Ok(&b""[..]));
        assert_eq!(by_delimiter(b"a,b", 3, b","), Err(2));
        assert_eq!(by_delimiter(b"a,b", 2, b""), Err(1));
    }

    proptest! {
        #[test]
        fn blank_fields_are_those_of_a_plain_split(line in "[ab\t é\\x09\\x21\\x20]{0,40}", index in 1usize..12) {
            let plain: Vec<&str> = line.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
            let want = plain.get(index - 1).map(|field| field.as_bytes()).ok_or(plain.len());
            prop_assert_eq!(by_blanks(line.as_bytes(), index), want);
            let text = line.replace('\t', "\n");
            let fields = by_blanks_and_newlines(text.as_bytes(), index).map(<[u8]>::len);
            prop_assert_eq!(fields, want.map(<[u8]>::len), "a newline is as good as a tab");
        }
    }
}
