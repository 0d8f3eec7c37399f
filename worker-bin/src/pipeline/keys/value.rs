//! Kinds of values that several keys have: how they are read, written, and what a schema says of them.

use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use crate::text::pathname;
use crate::text::units::{format_duration, format_size};
use serde_json::{Value as Schema, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::row::{Class, KeyInfo};

/// A kind of value.
pub(crate) trait Value: Sync + 'static {
    type T: PartialEq;

    /// The value; what is wrong with it is noted in the reader.
    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Self::T>;

    /// As a file in `dir` would write it; `None`: there is nothing to write.
    fn text(&self, value: &Self::T, dir: &Path) -> Option<String>;

    fn schema(&self) -> Schema;
}

/// Bytes, at least 1.
pub(crate) struct Size;

impl Value for Size {
    type T = u64;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<u64> {
        reader.size(entry)
    }

    fn text(&self, bytes: &u64, _: &Path) -> Option<String> {
        Some(quoted(&format_size(*bytes)))
    }

    fn schema(&self) -> Schema {
        let size = r"^\s*[0-9]+\s*(B|[KkMmGgTt][Ii]?[Bb])?\s*$";
        any_of([
            json!({"type": "integer", "minimum": 1}),
            json!({"type": "string", "pattern": size, "title": "a size such as \"64KiB\"", "examples": ["64KiB"]}),
            variable(),
        ])
    }
}

/// A length of time.
pub(crate) enum Time {
    /// Zero as well.
    Any,
    AboveZero,
}

impl Value for Time {
    type T = Duration;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Duration> {
        match (self, reader.duration(entry)?) {
            (Self::AboveZero, Duration::ZERO) => reader.not_a(entry, "a length", "a duration above zero"),
            (_, time) => Some(time),
        }
    }

    fn text(&self, time: &Duration, _: &Path) -> Option<String> {
        Some(quoted(&format_duration(*time)))
    }

    fn schema(&self) -> Schema {
        let number = match self {
            Self::Any => "[0-9]+",
            Self::AboveZero => "[0-9]*[1-9][0-9]*",
        };
        let time = format!(r"^\s*{number}\s*(us|ms|s|m|h|d)\s*$");
        let (title, examples) = ("a length of time such as \"90s\"", ["90s"]);
        any_of([json!({"type": "string", "pattern": time, "title": title, "examples": examples}), variable()])
    }
}

/// A whole number.
pub(crate) struct Integer {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Value for Integer {
    type T = u64;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<u64> {
        reader.integer(entry.key, entry.value, self.least, self.most)
    }

    fn text(&self, number: &u64, _: &Path) -> Option<String> {
        Some(number.to_string())
    }

    fn schema(&self) -> Schema {
        let mut number = json!({"type": "integer", "minimum": self.least});
        if self.most < u64::MAX {
            number["maximum"] = self.most.into();
        }
        any_of([number, variable()])
    }
}

/// A whole number of at least 1 that fits 32 bits.
pub(crate) struct Number {
    pub(crate) most: u32,
}

impl Value for Number {
    type T = u32;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<u32> {
        reader.count(entry, self.most)
    }

    fn text(&self, number: &u32, _: &Path) -> Option<String> {
        Some(number.to_string())
    }

    fn schema(&self) -> Schema {
        Integer { least: 1, most: self.most.into() }.schema()
    }
}

/// True or false.
pub(crate) struct Flag;

impl Value for Flag {
    type T = bool;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<bool> {
        reader.boolean(entry)
    }

    fn text(&self, value: &bool, _: &Path) -> Option<String> {
        Some(value.to_string())
    }

    fn schema(&self) -> Schema {
        json!({"type": "boolean"})
    }
}

/// A string that is not empty.
pub(crate) struct Text;

impl Value for Text {
    type T = String;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
        reader.text(entry)
    }

    fn text(&self, text: &String, _: &Path) -> Option<String> {
        Some(quoted(text))
    }

    fn schema(&self) -> Schema {
        json!({"type": "string", "minLength": 1})
    }
}

/// A path relative to the file; absolute once it is read.
pub(crate) struct FilePath;

impl Value for FilePath {
    type T = PathBuf;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<PathBuf> {
        reader.path(entry)
    }

    fn text(&self, path: &PathBuf, dir: &Path) -> Option<String> {
        Some(quoted(&shown_path(dir, path)))
    }

    fn schema(&self) -> Schema {
        Text.schema()
    }
}

/// A path as a file in `dir` would write it: relative where it lies below.
pub(crate) fn shown_path(dir: &Path, path: &Path) -> String {
    pathname::to_text(&crate::pipeline::shown_path(dir, path))
}

/// One of a few words.
pub(crate) struct Words<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Sync> Value for Words<T> {
    type T = T;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<T> {
        reader.choice(entry, self.0)
    }

    fn text(&self, value: &T, _: &Path) -> Option<String> {
        let word = self.0.iter().find(|(_, known)| known == value).map(|(word, _)| quoted(word));
        debug_assert!(
            word.is_some(),
            "a value without a word cannot be printed, nor be part of a fingerprint"
        );
        word
    }

    fn schema(&self) -> Schema {
        let words: Vec<&str> = self.0.iter().map(|&(word, _)| word).collect();
        any_of([json!({"enum": words}), variable()])
    }
}

/// A value that there may be.
pub(crate) struct Maybe<V>(pub(crate) V);

impl<V: Value> Value for Maybe<V> {
    type T = Option<V::T>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Option<V::T>> {
        self.0.read(reader, entry).map(Some)
    }

    fn text(&self, value: &Option<V::T>, dir: &Path) -> Option<String> {
        value.as_ref().and_then(|value| self.0.text(value, dir))
    }

    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

/// A text with a variable of the file in it, whose value is not known yet.
pub(crate) fn variable() -> Schema {
    json!({"type": "string", "pattern": r"\{\{.*\}\}"})
}

pub(crate) fn any_of<const N: usize>(schemas: [Schema; N]) -> Schema {
    json!({"anyOf": Schema::from(schemas.to_vec())})
}

/// A table with these keys and no others.
pub(crate) fn object(keys: &[KeyInfo]) -> Schema {
    let properties: serde_json::Map<String, Schema> =
        keys.iter().map(|key| (key.name.to_owned(), described(key))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

/// The schema of a key's values, with what people are told of it.
fn described(key: &KeyInfo) -> Schema {
    let mut schema = if key.inner.is_empty() { key.schema.clone() } else { object(&key.inner) };
    let default = key.default.as_ref().map(|text| toml_value(text));
    let words = key.otherwise.map(|words| format!(". Default: {words}"));
    let tied = match key.class {
        Class::Results | Class::Identity => "",
        Class::Tuning => ". May change while a state is kept",
    };
    schema["description"] = format!("{}{}{tied}", key.doc, words.unwrap_or_default()).into();
    if let Some(default) = default.flatten() {
        schema["default"] = default;
    }
    schema
}

/// What a value of the file is in JSON.
fn toml_value(text: &str) -> Option<Schema> {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    serde_json::to_value(table.get("value")?).ok()
}
