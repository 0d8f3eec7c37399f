//! Text of others on a terminal: all of it, and nothing that a terminal would obey.

use std::fmt::Write as _;

/// Bytes as a terminal may be shown them: control characters, characters that change the direction of writing, and what is no
/// text stand there as escapes.
pub(super) fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => text.push(c),
                _ if c.is_control() || is_unseen(c) => text.extend(c.escape_default()),
                _ => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").ok();
        }
    }
    text
}

/// It shows nothing, or changes how others are shown.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(visible("naïve \"x\" \\ \t✓".as_bytes()), "naïve \"x\" \\ \t✓");
        assert_eq!(visible(b"\x1b[2J\r\x07\x00"), "\\u{1b}[2J\\r\\u{7}\\u{0}");
        assert_eq!(visible("\u{9b}31m \u{202e}evil".as_bytes()), "\\u{9b}31m \\u{202e}evil");
        assert_eq!(visible(b"a\xff\xc3b"), "a\\xff\\xc3b");
    }
}
