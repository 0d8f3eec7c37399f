//! The answers that most programs give, read without a parser for all of JSON.

use super::few::Few;
use super::{Answer, Emit, Puts, Text};
use crate::child::records::json::{has_none, until_special};
use std::borrow::Cow;

/// An answer whose members are `id`, `emit`, `put` and `del`, each at most once, with strings that have no escapes; values are such
/// strings or whole numbers. `None`: it is another, or none at all.
pub(super) fn scan(line: &[u8]) -> Option<Answer<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Within a string no control character stands for itself. Outside of them, which is rare, the parser takes them for blanks.
    if !has_none(line, |byte| !(b' '..0x80).contains(&byte))
        && (!has_none(line, |byte| byte < b' ') || std::str::from_utf8(line).is_err())
    {
        return None;
    }
    let mut line = Line { rest: line };
    let (mut id, mut emit, mut put, mut del) = (None, None, None, None);
    line.list(b'{', b'}', |line| {
        // Each twice is none of these.
        if id.is_none() && line.is_named(b"\"id\"")? {
            id = Some(line.id()?);
        } else if emit.is_none() && line.is_named(b"\"emit\"")? {
            emit = Some(line.emitted()?);
        } else if put.is_none() && line.is_named(b"\"put\"")? {
            put = Some(line.puts()?);
        } else if del.is_none() && line.is_named(b"\"del\"")? {
            del = Some(line.deleted()?);
        } else {
            return None;
        }
        Some(())
    })?;
    let (emit, put, del) = (emit.unwrap_or_default(), put.unwrap_or_default(), del.unwrap_or_default());
    let is_whole = line.next().is_none();
    is_whole.then_some(Answer { id: id?, emit, put, del, ..Answer::default() })
}

/// What of a line is yet to be read. Where it is cut, characters begin.
#[derive(Debug)]
struct Line<'a> {
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Takes this byte, and blanks before it, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let comes = self.next() == Some(byte);
        if comes {
            self.rest = &self.rest[1..];
        }
        comes
    }

    /// `open`, what `each` takes, with commas between, and `close`.
    fn list(&mut self, open: u8, close: u8, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if !self.takes(open) {
            return None;
        }
        if self.takes(close) {
            return Some(());
        }
        loop {
            each(self)?;
            if !self.takes(b',') {
                return self.takes(close).then_some(());
            }
        }
    }

    /// Takes the name of a member, with the colon behind it, if it is this one.
    fn is_named(&mut self, name: &[u8]) -> Option<bool> {
        self.next()?;
        let Some(rest) = self.rest.strip_prefix(name) else { return Some(false) };
        self.rest = rest;
        self.takes(b':').then_some(true)
    }

    /// A string without escapes: what stands between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        if !self.takes(b'"') {
            return None;
        }
        let (string, rest) = self.rest.split_at(until_special(self.rest));
        self.rest = rest.strip_prefix(b"\"")?;
        Some(string)
    }

    /// A whole number, as it is written.
    fn number(&mut self) -> Option<&'a [u8]> {
        self.next()?;
        let (number, rest) = self.rest.split_at(self.rest.iter().position(|byte| !byte.is_ascii_digit())?);
        self.rest = rest;
        // What is behind it may make it another number.
        let ends = matches!(rest, [b',' | b'}' | b' ', ..]);
        let is_one = !number.is_empty() && (number.len() == 1 || !number.starts_with(b"0"));
        (ends && is_one).then_some(number)
    }

    fn id(&mut self) -> Option<u64> {
        let digit = |id: u64, digit: &u8| id.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
        self.number()?.iter().try_fold(0, digit)
    }

    /// A value, as it is written.
    fn value(&mut self) -> Option<&'a [u8]> {
        if self.next()? != b'"' {
            return self.number();
        }
        let before = self.rest;
        self.string()?;
        Some(&before[..before.len() - self.rest.len()])
    }

    fn emitted(&mut self) -> Option<Few<Emit<'a>>> {
        let mut emitted = Few::None;
        self.list(b'[', b']', |line| {
            let record = Cow::Borrowed(line.string()?);
            emitted.push(Emit { record, key: None });
            Some(())
        })?;
        Some(emitted)
    }

    fn deleted(&mut self) -> Option<Few<Text<'a>>> {
        let mut deleted = Few::None;
        self.list(b'[', b']', |line| {
            deleted.push(Text(Cow::Borrowed(line.string()?)));
            Some(())
        })?;
        Some(deleted)
    }

    fn puts(&mut self) -> Option<Puts<'a>> {
        let mut puts = Few::None;
        self.list(b'{', b'}', |line| {
            let key = Text(Cow::Borrowed(line.string()?));
            if !line.takes(b':') {
                return None;
            }
            puts.push((key, line.value()?));
            Some(())
        })?;
        Some(Puts(puts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_programs_print_is_read_here() {
        for line in [
            r#"{"id":7,"emit":["a"]}"#,
            r#"{"id": 7, "put": {"key1": "3"}, "emit": ["a b é"]}"#,
            r#" { "emit" : [ ] , "del" : [ "a" , "b" ] , "put" : { "c" : 12 } , "id" : 0 } "#,
            "{\"id\":18446744073709551615}\n",
        ] {
            assert!(scan(line.as_bytes()).is_some(), "{line}");
        }
    }

    #[test]
    fn the_rest_is_left_to_the_parser() {
        for line in [
            r#"{"id":7,"emit":[{"record":"a"}]}"#,
            r#"{"id":7,"emit":["\n"]}"#,
            r#"{"id":7,"fail":"why"}"#,
            r#"{"id":7,"id":7}"#,
            r#"{"id":7,"put":{"a":1.5}}"#,
            r#"{"id":7,"put":{"a":01}}"#,
            r#"{"id":18446744073709551616}"#,
            r#"{"id":7,}"#,
            r#"{"id":7} x"#,
            r#"{"emit":[]}"#,
            "{\"id\":7,\"emit\":[\"a\tb\"]}",
            "{\"id\":\t7}",
            "",
        ] {
            assert!(scan(line.as_bytes()).is_none(), "{line}");
        }
    }

    proptest! {
        /// It may give up wherever it likes; what it takes, the parser takes for the same.
        #[test]
        fn what_is_read_here_is_what_the_parser_reads(
            members in prop::collection::vec(
                prop_oneof![
                    Just(r#""id":7"#), Just(r#""id" : 70"#), Just(r#""id":-1"#), Just(r#""emit":["a", "é"]"#),
                    Just(r#""emit":null"#), Just(r#""emit":[""]"#), Just(r#""put":{"a":"3","b":12}"#),
                    Just(r#""put":{"a":{}}"#), Just(r#""del":["x"]"#), Just(r#""more":true"#),
                ],
                0..4,
            ),
            flip in any::<prop::sample::Index>(),
            to in prop_oneof![Just(None), prop::sample::select(br#"{}[]",: \09e-"#.as_slice()).prop_map(Some), any::<u8>().prop_map(Some)],
        ) {
            let mut line = format!("{{{}}}", members.join(" ,")).into_bytes();
            if let Some(to) = to {
                let at = flip.index(line.len());
                line[at] = to;
            }
            if let Some(scanned) = scan(&line) {
                let parsed: Answer<'_> = serde_json::from_slice(&line).unwrap();
                prop_assert_eq!(format!("{scanned:?}"), format!("{parsed:?}"));
            }
        }
    }
}
