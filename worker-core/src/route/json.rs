//! Values in JSON documents, compared as they are written: a key is never rounded into another one.

use super::key::NoKey;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// As serde_json's own limit: what nests deeper is refused, not followed.
const DEPTH_MAX: usize = 128;

/// What a file in UTF-8 may begin with, and so its first record; it is no part of the document.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the value at one JSON pointer (RFC 6901).
#[derive(Debug)]
pub(super) struct Pointer {
    pointer: String,
    text: Vec<u8>,
}

impl Pointer {
    pub(super) fn new(pointer: String) -> Self {
        Self { pointer, text: Vec::new() }
    }

    // Its frame is large: readers of other keys would pay for it.
    #[inline(never)]
    pub(super) fn value(&mut self, record: &[u8]) -> Result<&[u8], NoKey> {
        let record = record.strip_prefix(BYTE_ORDER_MARK).unwrap_or(record);
        // Of a JSON text sequence (RFC 7464).
        let record = record.strip_prefix(b"\x1e").unwrap_or(record);
        let document = serde_json::from_slice(record).map_err(invalid)?;
        let Some(value) = find(document, &self.pointer)? else {
            return Err(NoKey::Pointer(self.pointer.clone()));
        };
        self.text.clear();
        if value.get().starts_with('"') {
            self.text.extend_from_slice(Text::of(value)?.0.as_bytes());
        } else {
            write_compact(value, 0, &mut self.text)?;
        }
        Ok(&self.text)
    }
}

fn invalid(error: serde_json::Error) -> NoKey {
    NoKey::InvalidJson(error.to_string())
}

/// A string's content; borrowed where nothing in it is escaped.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Text<'a> {
    fn of(value: &'a RawValue) -> Result<Self, NoKey> {
        serde_json::from_str(value.get()).map_err(invalid)
    }
}

type Members<'a> = BTreeMap<Text<'a>, &'a RawValue>;

fn find<'a>(document: &'a RawValue, pointer: &str) -> Result<Option<&'a RawValue>, NoKey> {
    if pointer.is_empty() {
        return Ok(Some(document));
    }
    let Some(path) = pointer.strip_prefix('/') else { return Ok(None) };
    let mut value = document;
    for token in path.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        let inner = match value.get().as_bytes().first() {
            Some(b'{') => {
                let mut members: Members<'a> = serde_json::from_str(value.get()).map_err(invalid)?;
                members.remove(&Text(Cow::Owned(token)))
            }
            Some(b'[') => {
                let elements: Vec<&'a RawValue> = serde_json::from_str(value.get()).map_err(invalid)?;
                index(&token).and_then(|index| elements.get(index).copied())
            }
            _ => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// The position that a pointer's token names in an array: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    plain.then(|| token.parse().ok()).flatten()
}

/// Writes a value without blanks, an object's members by name.
fn write_compact(value: &RawValue, depth: usize, text: &mut Vec<u8>) -> Result<(), NoKey> {
    let raw = value.get();
    if depth == DEPTH_MAX {
        return Err(NoKey::InvalidJson(format!("it nests deeper than {DEPTH_MAX}")));
    }
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(raw).map_err(invalid)?;
            text.push(b'{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                serde_json::to_writer(&mut *text, &name.0).map_err(invalid)?;
                text.push(b':');
                write_compact(member, depth + 1, text)?;
            }
            text.push(b'}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw).map_err(invalid)?;
            text.push(b'[');
            for (at, element) in elements.into_iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                write_compact(element, depth + 1, text)?;
            }
            text.push(b']');
        }
        Some(b'"') => serde_json::to_writer(text, &Text::of(value)?.0).map_err(invalid)?,
        Some(b'-' | b'0'..=b'9') => text.extend_from_slice(number(raw).as_bytes()),
        _ => text.extend_from_slice(raw.as_bytes()),
    }
    Ok(())
}

/// A number's text: as it is written, but for fractions and exponents that a double holds, whose text is the double's
/// (`1.50` is `1.5`). Keyed state of older versions has their keys so.
fn number(raw: &str) -> Cow<'_, str> {
    let integer = !raw.contains(['.', 'e', 'E']);
    match serde_json::from_str::<Value>(raw) {
        Ok(Value::Number(read)) if !integer || read.is_i64() || read.is_u64() || raw == "-0" => {
            let text = read.to_string();
            let same = decimal(raw).is_some_and(|value| Some(value) == decimal(&text));
            if same { text.into() } else { raw.into() }
        }
        _ => raw.into(),
    }
}

/// A number's digits without zeros at either end, and the power of ten of the last one.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let trailing = i64::try_from(digits.len() - kept.len()).ok()?;
    let shift = trailing - i64::try_from(fraction.len()).ok()?;
    let digits = kept.trim_start_matches('0').to_owned();
    let power = if digits.is_empty() { 0 } else { exponent.parse::<i64>().ok()?.checked_add(shift)? };
    Some((negative, digits, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(pointer: &str, record: &str) -> Result<String, NoKey> {
        let mut reader = Pointer::new(pointer.to_owned());
        reader.value(record.as_bytes()).map(|key| String::from_utf8_lossy(key).into_owned())
    }

    #[test]
    fn strings_give_their_content_and_the_rest_its_compact_text() {
        let record = r#"{"user": {"id": 7, "name": "a\"\u00e9", "ok": true, "x/y~z": [1, {"b": null}]}}"#;
        assert_eq!(value("/user/id", record).as_deref(), Ok("7"));
        assert_eq!(value("/user/name", record).as_deref(), Ok("a\"é"));
        assert_eq!(value("/user/ok", record).as_deref(), Ok("true"));
        assert_eq!(value("/user/x~1y~0z", record).as_deref(), Ok(r#"[1,{"b":null}]"#));
        assert_eq!(value("/user/x~1y~0z/0", record).as_deref(), Ok("1"));
        assert_eq!(value("", " \"whole\" ").as_deref(), Ok("whole"));
        assert_eq!(value("/a", "\u{1e}{\"a\": 1}").as_deref(), Ok("1"), "of a JSON text sequence");
        assert_eq!(
            value("/user/id", &format!("\u{feff}{record}")).as_deref(),
            Ok("7"),
            "the first of a file"
        );
    }

    #[test]
    fn what_is_not_there_or_not_json_says_so() {
        assert_eq!(value("/a/b", r#"{"a": 1}"#).unwrap_err().to_string(), "nothing at /a/b in this JSON");
        assert_eq!(
            value("/a/01", r#"{"a": [1, 2]}"#).unwrap_err().to_string(),
            "nothing at /a/01 in this JSON"
        );
        assert!(value("/a", "{\"a\": 1} x").unwrap_err().to_string().starts_with("not JSON: "));
        assert!(value("/a", "").is_err());
        assert!(value("/a", &"[".repeat(100_000)).is_err());
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        assert!(value("/a", &deep).is_err());
    }

    #[test]
    fn numbers_that_no_machine_word_holds_stay_apart() {
        for as_written in [
            "98765432109876543210",
            "98765432109876543211",
            "18446744073709551616",
            "100000000000000000000",
            "-9223372036854775809",
            "0.10000000000000000000001",
            "12345678901234567890.5",
            "1e400",
            "1e-400",
        ] {
            assert_eq!(value("/id", &format!("{{\"id\": {as_written}}}")).as_deref(), Ok(as_written));
            let nested = format!("{{\"x\":[{as_written}]}}");
            assert_eq!(value("/a", &format!("{{\"a\": {nested}}}")).as_deref(), Ok(nested.as_str()));
        }
        assert_eq!(value("/id", r#"{"id": 7, "beside": 1e999}"#).as_deref(), Ok("7"));
    }

    /// Keyed state that older versions have written is found under the same bytes.
    #[test]
    fn what_was_one_key_before_has_the_bytes_it_had() {
        let records = [
            "0",
            "-0",
            "1",
            "-7",
            "1.0",
            "1.50",
            "1e3",
            "1E3",
            "1.5e-7",
            "0.1",
            "-0.0",
            "0e5",
            "2.5e20",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "123456789.125",
            "true",
            "null",
            r#"{"b": 1, "a": {"d": [1.0, "\u00e9\n"], "c": {}}, "b": 2}"#,
            "[ ]",
            "{ }",
            r#"[1, "a\/b", 1e2]"#,
        ];
        for record in records {
            let before = serde_json::from_str::<Value>(record).unwrap().to_string();
            assert_eq!(value("", record).as_deref(), Ok(before.as_str()), "{record}");
        }
        for (pointer, record) in [
            ("/a\u{e9}", "{\"a\\u00e9\": \"x\\ty\"}"),
            ("/a", r#"{"a": "old", "a": "new"}"#),
            ("/0/", r#"[{"": "empty name"}]"#),
        ] {
            let document = serde_json::from_str::<Value>(record).unwrap();
            let before = document.pointer(pointer).unwrap().as_str().unwrap();
            assert_eq!(value(pointer, record).as_deref(), Ok(before), "{record}");
        }
    }
}
