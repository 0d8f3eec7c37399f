//! The answers that most programs give, read without a parser for all of JSON.

use super::{Answer, Emit, Puts, Text};
use crate::child::records::json::plain_bytes;
use std::borrow::Cow;

/// An answer whose members are `id`, `emit`, `put` and `del`, each at most once, with strings that have no escapes; values are such
/// strings or whole numbers. `None`: it is another, or none at all.
pub(super) fn scan(line: &[u8]) -> Option<Answer<'_>> {
    let mut line = Line { text: std::str::from_utf8(line).ok()?, at: 0 };
    let mut id = None;
    let mut answer = Answer::default();
    line.members(|name, line| {
        match name {
            "id" if id.is_none() => id = Some(line.number()?.parse().ok()?),
            "emit" if answer.emit.is_none() => answer.emit = Some(line.emitted()?),
            "put" if answer.put.is_none() => answer.put = Some(line.puts()?),
            "del" if answer.del.is_none() => answer.del = Some(line.deleted()?),
            _ => return None,
        }
        Some(())
    })?;
    line.next().is_none().then_some(Answer { id: id?, ..answer })
}

/// A line, and how far it was read.
#[derive(Debug)]
struct Line<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Line<'a> {
    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            let next = self.text.as_bytes().get(self.at).copied();
            if !matches!(next, Some(b' ' | b'\t' | b'\r' | b'\n')) {
                return next;
            }
            self.at += 1;
        }
    }

    /// Takes this byte, and blanks before it, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let comes = self.next() == Some(byte);
        self.at += usize::from(comes);
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

    fn members(&mut self, mut each: impl FnMut(&'a str, &mut Self) -> Option<()>) -> Option<()> {
        self.list(b'{', b'}', |line| {
            let name = line.string()?;
            if !line.takes(b':') {
                return None;
            }
            each(name, line)
        })
    }

    /// A string without escapes: what stands between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        if !self.takes(b'"') {
            return None;
        }
        let string = self.text.get(self.at..)?;
        let string = &string[..plain_bytes(string.as_bytes())];
        self.at += string.len();
        (self.text.as_bytes().get(self.at) == Some(&b'"')).then(|| {
            self.at += 1;
            string
        })
    }

    /// A whole number, as it is written.
    fn number(&mut self) -> Option<&'a str> {
        self.next()?;
        let number = self.text.get(self.at..)?;
        let number = &number[..number.bytes().position(|byte| !byte.is_ascii_digit())?];
        self.at += number.len();
        // What is behind it may make it another number.
        let ends =
            matches!(self.text.as_bytes().get(self.at), Some(b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n'));
        let is_one = !number.is_empty() && (number.len() == 1 || !number.starts_with('0'));
        (ends && is_one).then_some(number)
    }

    /// A value, as it is written.
    fn value(&mut self) -> Option<&'a str> {
        if self.next()? != b'"' {
            return self.number();
        }
        let start = self.at;
        self.string()?;
        self.text.get(start..self.at)
    }

    fn emitted(&mut self) -> Option<Vec<Emit<'a>>> {
        let mut emitted = Vec::new();
        self.list(b'[', b']', |line| {
            let record = Cow::Borrowed(line.string()?.as_bytes());
            emitted.push(Emit { record, key: None });
            Some(())
        })?;
        Some(emitted)
    }

    fn deleted(&mut self) -> Option<Vec<Text<'a>>> {
        let mut deleted = Vec::new();
        self.list(b'[', b']', |line| {
            deleted.push(Text(Cow::Borrowed(line.string()?)));
            Some(())
        })?;
        Some(deleted)
    }

    fn puts(&mut self) -> Option<Puts<'a>> {
        let mut puts = Vec::new();
        self.members(|key, line| {
            puts.push((Text(Cow::Borrowed(key)), line.value()?));
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
