//! Exit statuses, as a value in a pipeline file.

use crate::pipeline::keys::value::{Integer, Value};
use crate::pipeline::reader::{KeyValue, Reader};
use serde_json::json;
use std::path::Path;
use toml::de::DeValue;

/// Exit statuses, sorted.
pub(crate) struct Exits;

impl Value for Exits {
    type T = Vec<u8>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<u8>> {
        let DeValue::Array(values) = entry.value.get_ref() else {
            return reader.wrong_type(entry.key, entry.value, "a list of exit statuses such as [0, 1]");
        };
        let mut exits = Vec::with_capacity(values.len());
        for value in values {
            exits.push(u8::try_from(reader.integer(entry.key, value, 0, 255)?).ok()?);
        }
        exits.sort_unstable();
        exits.dedup();
        if exits.is_empty() {
            return reader.not_a(entry, "a list of exit statuses", "at least one, such as [0]");
        }
        Some(exits)
    }

    fn text(&self, exits: &Vec<u8>, _: &Path) -> Option<String> {
        Some(format!("{exits:?}"))
    }

    fn schema(&self) -> serde_json::Value {
        json!({"type": "array", "items": Integer { least: 0, most: 255 }.schema(), "minItems": 1})
    }
}
