//! Values in JSON documents.

use super::key::NoKey;
use serde_json::Value;

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

    pub(super) fn value(&mut self, record: &[u8]) -> Result<&[u8], NoKey> {
        let invalid = |error: serde_json::Error| NoKey::InvalidJson(error.to_string());
        let document: Value = serde_json::from_slice(record).map_err(invalid)?;
        let Some(value) = document.pointer(&self.pointer) else {
            return Err(NoKey::Pointer(self.pointer.clone()));
        };
        self.text.clear();
        match value.as_str() {
            Some(content) => self.text.extend_from_slice(content.as_bytes()),
            None => serde_json::to_writer(&mut self.text, value).map_err(invalid)?,
        }
        Ok(&self.text)
    }
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
    }

    #[test]
    fn what_is_not_there_or_not_json_says_so() {
        assert_eq!(value("/a/b", r#"{"a": 1}"#).unwrap_err().to_string(), "nothing at /a/b in this JSON");
        assert!(value("/a", "{\"a\": 1} x").unwrap_err().to_string().starts_with("not JSON: "));
        assert!(value("/a", "").is_err());
        assert!(value("/a", &"[".repeat(100_000)).is_err());
    }
}
