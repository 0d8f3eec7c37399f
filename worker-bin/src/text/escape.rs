//! Text of others: programs, records, peers, file names. A terminal shows it and obeys none of it; a page shows it as text.

use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar as _;
use worker_core::words::is_unseen;

/// Longest piece of foreign text in a line, in characters.
const FOREIGN_CHARS_MAX: usize = 400;

/// Bytes as text on one line: what a terminal would act on, or not show, is escaped as in Rust; bytes that are no UTF-8 as
/// `\xff`. A backslash stays one: what programs quote has some already, and what was escaped before reads as once.
#[must_use]
pub fn one_line(bytes: &[u8]) -> String {
    escaped(bytes, |out, c| match c {
        '"' | '\'' | '\\' => out.push(c),
        _ => push(out, c),
    })
}

/// The same, at most so many characters of it; where it was cut stands `…`.
#[must_use]
pub fn shortened(text: &str, chars_max: usize) -> String {
    let text = one_line(text.as_bytes());
    match text.char_indices().nth(chars_max) {
        None => text,
        Some(_) => {
            let kept = text.char_indices().nth(chars_max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..kept])
        }
    }
}

/// A reason or message of a program, a record or another machine, for the middle of a sentence: one line of at most 400
/// characters, and what they are escaped as.
#[must_use]
pub fn foreign(text: &str) -> String {
    match text.char_indices().nth(FOREIGN_CHARS_MAX) {
        None => one_line(text.as_bytes()),
        Some((cut, _)) => one_line(&text.as_bytes()[..cut]) + "…",
    }
}

/// Bytes as they are, tabs included: control characters, characters that show nothing or change the direction of writing, and
/// what is no UTF-8 stand there as escapes.
#[must_use]
pub fn visible(bytes: &[u8]) -> String {
    escaped(bytes, |out, c| match c {
        '\t' => out.push(c),
        _ => push_visible(out, c),
    })
}

/// The same, lines included.
#[must_use]
pub fn lines(bytes: &[u8]) -> String {
    escaped(bytes, |out, c| match c {
        '\n' | '\t' => out.push(c),
        _ => push_visible(out, c),
    })
}

/// JSON that means the same, and has those characters as JSON escapes them: outside of strings there are none but line ends.
#[must_use]
pub fn json(text: String) -> String {
    if text.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
        return text;
    }
    escaped(text.as_bytes(), |out, c| match c {
        '\n' => out.push(c),
        _ if is_obeyed(c) => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
            write!(out, "\\u{unit:04x}").ok();
        }),
        _ => out.push(c),
    })
}

/// Whether it must not come to a terminal as it is.
pub(super) fn is_obeyed(c: char) -> bool {
    c.is_control() || is_unseen(c)
}

fn push_visible(out: &mut String, c: char) {
    if is_obeyed(c) { out.extend(c.escape_default()) } else { out.push(c) }
}

/// Text with everything escaped that means something in HTML, attributes included, or that a reader would not see.
#[must_use]
pub fn html(text: &str) -> String {
    escaped(text.as_bytes(), |out, c| match c {
        '\n' | '\t' => out.push(c),
        _ if is_obeyed(c) => push_visible(out, c),
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        _ => out.push(c),
    })
}

fn escaped(bytes: &[u8], push: impl Fn(&mut String, char)) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").ok();
        }
    }
    out
}

/// As Rust escapes it, but for marks that belong to the letter before them, without which many languages cannot be read.
fn push(out: &mut String, c: char) {
    let is_mark = c.width() == Some(0) && !c.is_control() && !is_unseen(c);
    if is_mark { out.push(c) } else { out.extend(c.escape_debug()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            one_line(b"a \x1b[31mred\x07 \xff\xc3\xa9 \"q\"\t"),
            "a \\u{1b}[31mred\\u{7} \\xffé \"q\"\\t"
        );
        assert_eq!(one_line("\u{202e}x\u{9b}1m \\".as_bytes()), "\\u{202e}x\\u{9b}1m \\");
    }

    #[test]
    fn letters_keep_their_marks() {
        for text in ["नमस्ते", "e\u{301}", "สวัสดี", "❤\u{fe0f}"] {
            assert_eq!(one_line(text.as_bytes()), text);
        }
        assert_eq!(one_line("a\u{200d}b\u{180e}".as_bytes()), "a\\u{200d}b\\u{180e}");
    }

    #[test]
    fn whole_texts_keep_their_lines_and_nothing_else_that_a_terminal_obeys() {
        let text = "a\tb\n\x1b[2J\r\u{9b}31m\x7f é \u{202e}x";
        assert_eq!(lines(text.as_bytes()), "a\tb\n\\u{1b}[2J\\r\\u{9b}31m\\u{7f} é \\u{202e}x");
    }

    #[test]
    fn what_is_escaped_twice_reads_as_once() {
        let once = one_line(b"C:\\x \x1b[m");
        assert_eq!(once, "C:\\x \\u{1b}[m");
        assert_eq!(one_line(once.as_bytes()), once);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("ääää", 4), "ääää");
        assert_eq!(shortened("äääää", 4), "äää…");
        assert_eq!(shortened("\n\n\n", 4), "\\n\\…");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(visible("naïve \"x\" \\ \t✓".as_bytes()), "naïve \"x\" \\ \t✓");
        assert_eq!(visible(b"\x1b[2J\r\x07\x00"), "\\u{1b}[2J\\r\\u{7}\\u{0}");
        assert_eq!(visible("\u{9b}31m \u{202e}evil".as_bytes()), "\\u{9b}31m \\u{202e}evil");
        assert_eq!(visible(b"a\xff\xc3b"), "a\\xff\\xc3b");
    }

    #[test]
    fn json_says_the_same_without_what_a_terminal_obeys() {
        let value = serde_json::json!({"\u{9b}": ["a\x1b\u{7f}\u{202e}", "ü😀\u{e0041}"]});
        let text = json(format!("{value:#}"));
        assert!(
            text.contains("\\u009b") && text.contains("\\udb40\\udc41") && text.contains("ü😀"),
            "{text}"
        );
        assert!(!text.chars().any(|c| c != '\n' && is_obeyed(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
        assert_eq!(json("{\n}".to_owned()), "{\n}");
    }

    #[test]
    fn no_text_becomes_a_tag_or_leaves_an_attribute() {
        let safe = html("<script>alert('x')</script>\" onload=\"y & z");
        assert!(!safe.contains(['<', '>', '"', '\'']), "{safe}");
        assert!(safe.starts_with("&lt;script&gt;alert(&#39;x&#39;)"), "{safe}");
        assert_eq!(html("a\n\x1b[m\u{202e}"), "a\n\\u{1b}[m\\u{202e}");
    }
}
