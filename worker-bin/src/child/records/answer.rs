//! One line of a child's standard output.

mod few;
mod plain;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use few::Few;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// `{"id":7,"emit":[…],"put":{…},"del":[…]}` or `{"id":7,"fail":"why"}`. Other members are ignored.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer<'a> {
    pub(super) id: u64,
    #[serde(borrow, default)]
    pub(super) emit: Few<Emit<'a>>,
    #[serde(borrow, default)]
    pub(super) put: Puts<'a>,
    #[serde(borrow, default)]
    pub(super) put_b64: Option<Box<Puts<'a>>>,
    #[serde(borrow, default)]
    pub(super) del: Few<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) del_b64: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) fail: Option<Text<'a>>,
    /// This is not all: another line with the same id goes on.
    #[serde(default)]
    pub(super) more: bool,
}

/// A string's bytes, which are UTF-8; they stand in the line where it has no escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, [u8]>);

/// A record that goes on, and its key if the answer names one.
#[derive(Debug)]
pub(super) struct Emit<'a> {
    pub(super) record: Cow<'a, [u8]>,
    pub(super) key: Option<Cow<'a, [u8]>>,
}

/// Keys and values, in the order in which they stand; a value is any JSON, kept as it is written.
#[derive(Debug, Default)]
pub(super) struct Puts<'a>(pub(super) Few<(Text<'a>, &'a [u8])>);

impl<'a> Answer<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        plain::scan(line).map_or_else(|| serde_json::from_slice(line), Ok)
    }

    /// Whether it neither emits nor changes anything.
    pub(super) fn has_no_effects(&self) -> bool {
        self.emit.as_slice().is_empty()
            && self.put.0.as_slice().is_empty()
            && self.put_b64.as_ref().is_none_or(|puts| puts.0.as_slice().is_empty())
            && self.del.as_slice().is_empty()
            && self.del_b64.as_ref().is_none_or(Vec::is_empty)
    }
}

impl Text<'_> {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// Bytes that stand in base64 in a member of this name.
pub(super) fn decoded(text: &[u8], member: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("`{member}` is no base64: {error}"))
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text.as_bytes())))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.as_bytes().to_owned())))
            }
        }
        deserializer.deserialize_str(Strings)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Emit<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Emits;
        impl<'de> Visitor<'de> for Emits {
            type Value = Emit<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a string, or {"record":"…"} or {"record_b64":"…"}, with a "key" or without"#)
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Emit<'de>, E> {
                Ok(Emit { record: Cow::Borrowed(text.as_bytes()), key: None })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Emit<'de>, E> {
                Ok(Emit { record: Cow::Owned(text.to_owned().into_bytes()), key: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Emit<'de>, A::Error> {
                let members = Members::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                let record = bytes(members.record, members.record_b64, "record_b64")?.ok_or_else(|| {
                    A::Error::custom(r#"an emitted object has neither "record" nor "record_b64""#)
                })?;
                Ok(Emit { record, key: bytes(members.key, members.key_b64, "key_b64")? })
            }
        }
        deserializer.deserialize_any(Emits)
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    record: Option<Text<'a>>,
    #[serde(borrow, default)]
    record_b64: Option<Text<'a>>,
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    key_b64: Option<Text<'a>>,
}

fn bytes<'a, E: Error>(
    plain: Option<Text<'a>>,
    encoded: Option<Text<'a>>,
    member: &str,
) -> Result<Option<Cow<'a, [u8]>>, E> {
    match (plain, encoded) {
        (Some(Text(text)), None) => Ok(Some(text)),
        (None, Some(Text(text))) => {
            decoded(&text, member).map(|bytes| Some(Cow::Owned(bytes))).map_err(E::custom)
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(E::custom(format!("`{member}` stands beside the same without _b64"))),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Puts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Puts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of keys and values")
            }

            fn visit_unit<E: Error>(self) -> Result<Puts<'de>, E> {
                Ok(Puts::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Puts<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    entries.push((key, value.get().as_bytes()));
                }
                Ok(Puts(entries.into()))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Answer<'_> {
        Answer::parse(line.as_bytes()).unwrap()
    }

    fn refused(line: &str) -> String {
        Answer::parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_answer_may_have_everything_or_nothing() {
        let answer = parse(
            r#"{"emit":["a","\u00e9\n",{"key":"k","record":"r"},{"record_b64":"/w==","x":[{}]}],"id":7,
                "put":{"a":"3","b":{"n":[1]}},"del":["c"],"later":{"x":1}}"#,
        );
        let emitted = answer.emit.as_slice();
        let records: Vec<&[u8]> = emitted.iter().map(|emit| emit.record.as_ref()).collect();
        assert_eq!(records, ["a".as_bytes(), "é\n".as_bytes(), b"r", b"\xff"]);
        assert_eq!(emitted[2].key.as_deref(), Some(&b"k"[..]));
        let put: Vec<_> = answer.put.0.as_slice().iter().map(|(key, value)| (&key.0[..], *value)).collect();
        assert_eq!(put, [(&b"a"[..], &b"\"3\""[..]), (b"b", br#"{"n":[1]}"#)]);
        assert_eq!((answer.id, &answer.del.as_slice()[0].0[..]), (7, &b"c"[..]));
        let empty = parse(r#"{"id":1,"emit":null,"put":null,"del":null,"fail":null}"#);
        assert!(empty.has_no_effects() && empty.fail.is_none() && !empty.more);
    }

    #[test]
    fn plain_strings_are_not_copied() {
        let answer = parse(r#"{"id":1,"emit":["a",{"record":"b","key":"c"}]}"#);
        assert!(answer.emit.as_slice().iter().all(|emit| matches!(emit.record, Cow::Borrowed(_))));
    }

    #[test]
    fn what_is_no_answer_is_refused_with_the_reason() {
        assert!(refused("hello").contains("expected value"));
        assert!(refused(r#"{"emit":[]}"#).contains("missing field `id`"));
        assert!(refused(r#"{"id":-1}"#).contains("u64"));
        assert!(refused(r#"{"id":1,"emit":"x"}"#).contains("expected a sequence"));
        assert!(refused(r#"{"id":1,"emit":[5]}"#).contains("expected a string"));
        assert!(refused(r#"{"id":1,"emit":[{"key":"k"}]}"#).contains("neither"));
        assert!(refused(r#"{"id":1,"emit":[{"record_b64":"%"}]}"#).contains("`record_b64` is no base64"));
        assert!(refused(r#"{"id":1,"put":["a"]}"#).contains("an object of keys"));
        assert!(refused(r#"{"id":1} {"id":2}"#).contains("trailing"));
        assert!(Answer::parse(b"{\"id\":1,\"emit\":[\"\xff\"]}").is_err());
        assert!(Answer::parse(b"{\"id\":1,\"put\":{\"a\":\"\xff\"}}").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in prop::collection::vec(any::<u8>(), 0..60)) {
            Answer::parse(&line).ok();
        }

        #[test]
        fn any_piece_of_an_answer_is_survived(cut in 0usize..80, flip in 0usize..80, to in any::<u8>()) {
            let mut line = br#"{"id":7,"emit":["a",{"key":"k","record_b64":"AA=="}],"put":{"a":3},"del":["b"]}"#.to_vec();
            let at = flip % line.len();
            line[at] = to;
            line.truncate(cut);
            Answer::parse(&line).ok();
        }
    }
}
