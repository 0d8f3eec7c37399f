//! Patterns for one name, as a shell has them: `*`, `?` and `[abc]`, over names of any bytes.
//!
//! What `?` and a class stand for is one character of UTF-8, or one byte that is of none. Braces and backslashes mean themselves.

use crate::text::pathname;
use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::Chars;

/// A pattern for one part of a path.
#[derive(Clone, Debug)]
pub(super) struct NamePattern(Vec<Token>);

#[derive(Clone, Debug)]
enum Token {
    Many,
    Any,
    One(char),
    Class { is_negated: bool, ranges: Vec<RangeInclusive<char>> },
}

impl NamePattern {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut chars, mut tokens) = (text.chars(), Vec::new());
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Many,
                '?' => Token::Any,
                '[' => class(&mut chars)?,
                c => Token::One(c),
            });
        }
        Ok(Self(tokens))
    }

    pub(super) fn is_match(&self, name: &OsStr) -> bool {
        match name.to_str() {
            Some(name) => self.matches(name),
            None => self.matches(&pathname::to_text(Path::new(name))),
        }
    }

    /// Only the last star is tried again: one before it that took more would leave less to those behind it.
    fn matches(&self, name: &str) -> bool {
        let (mut tokens, mut rest) = (self.0.as_slice(), name);
        let mut last_star: Option<(&[Token], &str)> = None;
        loop {
            if let [Token::Many, behind @ ..] = tokens {
                tokens = behind;
                last_star = Some((behind, rest));
                continue;
            }
            let mut chars = rest.chars();
            match (tokens.split_first(), chars.next()) {
                (None, None) => return true,
                (Some((token, behind)), Some(c)) if token.is_match(c) => {
                    (tokens, rest) = (behind, chars.as_str());
                }
                (Some(_) | None, Some(_) | None) => {
                    let Some((behind, from)) = last_star else { return false };
                    let mut chars = from.chars();
                    if chars.next().is_none() {
                        return false;
                    }
                    (tokens, rest) = (behind, chars.as_str());
                    last_star = Some((behind, rest));
                }
            }
        }
    }
}

impl Token {
    fn is_match(&self, c: char) -> bool {
        match self {
            Self::Many => false,
            Self::Any => true,
            Self::One(own) => *own == c,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|range| range.contains(&c)) != *is_negated
            }
        }
    }
}

/// What stands behind a `[`, with the `]` that closes it; one that comes first is one of the characters.
fn class(chars: &mut Chars<'_>) -> Result<Token, String> {
    let inner = chars.as_str().strip_prefix(['!', '^']);
    let is_negated = inner.is_some();
    if let Some(inner) = inner {
        *chars = inner.chars();
    }
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next() {
            None => return Err("a `[` in it is not closed by a `]`".to_owned()),
            Some(']') if !ranges.is_empty() => return Ok(Token::Class { is_negated, ranges }),
            Some(from) => from,
        };
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                *chars = ahead;
                to
            }
            (Some(_) | None, Some(_) | None) => from,
        };
        if to < from {
            return Err(format!("{from:?} to {to:?} in it is no range: {to:?} comes first"));
        }
        ranges.push(from..=to);
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
        assert!(is_match("[{]x", "{x") && is_match("[a}]{b}", "}{b}") && !is_match("[{]", "["));
        assert!(is_match("[a-c-e]", "-") && is_match("[a-c-e]", "e") && !is_match("[a-c-e]", "d"));
        assert!(!NamePattern::parse("[a").unwrap_err().is_empty());
        assert_eq!(
            NamePattern::parse("[z-\u{7}]").unwrap_err(),
            r"'z' to '\u{7}' in it is no range: '\u{7}' comes first"
        );
    }
}
