//! Bytes of records and words of programs, so that a terminal shows them and obeys none of them.

use std::fmt::Write as _;

/// Bytes as text on one line: what a terminal would act on, or not show, is escaped as in Rust; bytes that are no UTF-8
/// as `\xff`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut text, c));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").ok();
        }
    }
    text
}

/// The same, no longer than so many characters.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    let text = escaped(text.as_bytes());
    match text.char_indices().nth(chars_max) {
        None => text,
        Some(_) => {
            let kept = text.char_indices().nth(chars_max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..kept])
        }
    }
}

fn push(text: &mut String, c: char) {
    match c {
        '"' | '\'' => text.push(c),
        _ => text.extend(c.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            escaped(b"a \x1b[31mred\x07 \xff\xc3\xa9 \"q\"\t"),
            "a \\u{1b}[31mred\\u{7} \\xffé \"q\"\\t"
        );
        assert_eq!(escaped("\u{202e}x\u{9b}1m \\".as_bytes()), "\\u{202e}x\\u{9b}1m \\\\");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("ääää", 4), "ääää");
        assert_eq!(shortened("äääää", 4), "äää…");
        assert_eq!(shortened("\n\n\n", 4), "\\n\\…");
    }
}
