//! Patterns for one name, as a shell has them: `*`, `?` and `[abc]`, over names of any bytes.
//!
//! What `?` and a class stand for is one character of UTF-8, or one byte that is of none.

use crate::text::pathname;
use globset::GlobBuilder;
use regex_lite::Regex;
use std::ffi::OsStr;
use std::path::Path;

/// A pattern for one part of a path.
#[derive(Clone, Debug)]
pub(super) struct NamePattern(Regex);

impl NamePattern {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // Braces mean themselves.
        let text: String = text.chars().fold(String::new(), |text, c| match c {
            '{' | '}' => text + "[" + c.encode_utf8(&mut [0; 4]) + "]",
            _ => text + c.encode_utf8(&mut [0; 4]),
        });
        let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(false).build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        Regex::new(&over_characters(glob.regex())).map(Self).map_err(|error| error.to_string())
    }

    pub(super) fn is_match(&self, name: &OsStr) -> bool {
        match name.to_str() {
            Some(name) => self.0.is_match(name),
            None => self.0.is_match(&pathname::to_text(Path::new(name))),
        }
    }
}

/// The expression of a glob, which is one over bytes (`(?-u)`), as one over characters.
fn over_characters(regex: &str) -> String {
    let mut rest = regex.strip_prefix("(?-u)").unwrap_or(regex);
    let (mut all, mut bytes) = (String::from("(?s)"), Vec::new());
    loop {
        let escaped = rest.strip_prefix("\\x").and_then(|hex| hex.get(..2));
        if let Some(byte) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &rest[4..];
            continue;
        }
        all.push_str(&String::from_utf8_lossy(&std::mem::take(&mut bytes)));
        let mut chars = rest.chars();
        match (chars.next(), rest.starts_with('\\')) {
            (Some(backslash), true) => all.extend([Some(backslash), chars.next()].into_iter().flatten()),
            (Some(c), _) => all.push(c),
            (None, _) => return all,
        }
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn is_match(pattern: &str, name: impl AsRef<[u8]>) -> bool {
        NamePattern::parse(pattern).unwrap().is_match(OsStr::from_bytes(name.as_ref()))
    }

    #[test]
    fn a_character_is_one_however_many_bytes_it_has() {
        for name in ["caf\u{e9}", "caf\u{20ac}", "caf\u{1f600}", "cafe", "caf\n"] {
            let of = |pattern| is_match(pattern, name);
            assert!(of("caf?") && of("[!x]af?") && of("caf*") && !of("caf??"), "{name}");
        }
        assert!(is_match("[\u{e9}]", "\u{e9}") && !is_match("[\u{e9}]", "\u{e8}"));
        assert!(is_match("[\u{e0}-\u{ef}]x", "\u{e9}x") && !is_match("[!\u{e0}-\u{ef}]x", "\u{e9}x"));
        assert!(is_match("[\u{e9}\u{20ac}]", "\u{20ac}") && !is_match("[\u{e9}\u{20ac}]", "\u{ac}"));
        assert!(is_match("*\u{e9}*", "x\u{e9}y") && is_match("\u{20ac}?", "\u{20ac}\u{e9}"));
    }

    #[test]
    fn in_a_name_that_is_no_text_it_is_a_byte() {
        assert!(is_match("?", b"\xff") && is_match("[!a]", b"\xff") && is_match("*.log", b"\xe9.log"));
        assert!(is_match("??", b"\xe2\x82"), "the beginning of a character is none");
        assert!(is_match("\u{e9}*", b"\xc3\xa9\xff"));
        assert!(is_match("*\u{10ffff}", b"x\xff") && !is_match("*\u{10ffff}", b"x\xfe"));
    }

    #[test]
    fn stars_take_what_is_left_to_them() {
        for (pattern, yes, no) in [
            ("*", vec!["", "a", "abc"], vec![]),
            ("a*b", vec!["ab", "aab", "a-b-b"], vec!["a", "abc", "b"]),
            ("*a*b*", vec!["ab", "xaxbx", "aabb"], vec!["ba", "a"]),
            ("x*[0-9].log", vec!["x1.log", "xx.log9.log"], vec!["x.log", "x1.logs"]),
        ] {
            for name in yes {
                assert!(is_match(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!is_match(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_means_something_to_an_expression_means_itself() {
        for c in "\\.+()|^$#&-~{}\"' %@,;:=xu".chars() {
            assert!(is_match(&format!("?{c}*"), format!("\u{e9}{c}x")), "{c}");
            assert!(!is_match(&format!("?{c}"), "\u{e9}a"), "{c}");
        }
        assert!(is_match("?\\xe9", "\u{e8}\\xe9") && !is_match("?\\xe9", "\u{e8}\u{e9}"));
        assert!(is_match("[]a]", "]") && is_match("[!]a]", "b") && !is_match("[^]a]", "]"));
        assert!(
            is_match("[a-]", "-") && is_match("[-a]", "-") && is_match("[*]", "*") && !is_match("[*]", "a")
        );
        assert!(
            is_match("[&&]", "&")
                && is_match("[~~a]", "~")
                && is_match("[[a]", "[")
                && is_match("[\\d]", "d")
        );
        assert!(!NamePattern::parse("[a").unwrap_err().is_empty());
        assert!(!NamePattern::parse("[z-a]").unwrap_err().is_empty());
    }
}
