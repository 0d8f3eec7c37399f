//! `partition_by`.

use super::value::{Integer, Value, any_of, variable};
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use crate::pipeline::text::quoted;
use serde_json::json;
use std::path::Path;

/// What decides the partition of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// A field of the line.
    Field {
        /// Counts from 1.
        index: u32,
        /// Between fields; `None`: runs of blanks.
        delimiter: Option<String>,
    },
    /// A column of comma-separated values with quotes.
    Csv(Column),
    /// A place in a JSON document, as a JSON pointer.
    Json(String),
    Record,
    /// The key that the answers of the records stages before it name.
    Answer,
}

/// A column of comma-separated values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Counts from 1.
    Number(u32),
    /// As the header line of the source calls it.
    Name(String),
}

const EXPECTED: &str = "{ field = 7 }, { csv = \"state\" }, { json = \"/user/id\" }, \"record\" or \"key\"";

pub(super) struct Rule;

impl Value for Rule {
    type T = KeyRule;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<KeyRule> {
        match entry.value.get_ref().as_table() {
            Some(table) => from_table(reader, entry, Table::new("partition_by", table)),
            None if entry.is_string() => {
                let answer = reader.choice(entry, &[("record", false), ("key", true)])?;
                Some(if answer { KeyRule::Answer } else { KeyRule::Record })
            }
            None => reader.wrong_type(entry.key, entry.value, EXPECTED),
        }
    }

    fn text(&self, rule: &KeyRule, _: &Path) -> Option<String> {
        Some(match rule {
            KeyRule::Field { index, delimiter: None } => format!("{{ field = {index} }}"),
            KeyRule::Field { index, delimiter: Some(text) } => {
                format!("{{ field = {index}, delimiter = {} }}", quoted(text))
            }
            KeyRule::Csv(Column::Number(number)) => format!("{{ csv = {number} }}"),
            KeyRule::Csv(Column::Name(name)) => format!("{{ csv = {} }}", quoted(name)),
            KeyRule::Json(pointer) => format!("{{ json = {} }}", quoted(pointer)),
            KeyRule::Record => quoted("record"),
            KeyRule::Answer => quoted("key"),
        })
    }

    fn schema(&self) -> serde_json::Value {
        Self::schema_with(&["record", "key"])
    }
}

impl Rule {
    /// The schema of rules for what records have themselves.
    pub(super) fn of_records() -> serde_json::Value {
        Self::schema_with(&["record"])
    }

    fn schema_with(words: &[&str]) -> serde_json::Value {
        let number = || Integer { least: 1, most: u64::from(u32::MAX) }.schema();
        let text = || json!({"type": "string", "minLength": 1});
        let table = |properties: serde_json::Value, required: &str| json!({"type": "object", "properties": properties, "required": [required], "additionalProperties": false});
        any_of([
            json!({"enum": words}),
            variable(),
            table(json!({"field": number(), "delimiter": text()}), "field"),
            table(json!({"csv": any_of([number(), text()])}), "csv"),
            table(json!({"json": {"type": "string", "pattern": r"^$|^/|\{\{"}}), "json"),
        ])
    }
}

fn from_table<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>, mut table: Table<'d>) -> Option<KeyRule> {
    let (field, csv, json) = (table.take("field"), table.take("csv"), table.take("json"));
    let delimiter = table.take("delimiter");
    table.finish(reader);
    if let (None, Some(delimiter)) = (&field, &delimiter) {
        reader.problems.push(Problem::at(
            &delimiter.key_at,
            "`delimiter` belongs to `field`",
            "expected only beside `field`",
        ));
    }
    match (field, csv, json) {
        (Some(field), None, None) => {
            let index = reader.count(&field, u32::MAX)?;
            let delimiter = match delimiter {
                Some(entry) => Some(reader.text(&entry)?),
                None => None,
            };
            Some(KeyRule::Field { index, delimiter })
        }
        (None, Some(csv), None) => {
            if csv.is_string() {
                reader.text(&csv).map(|name| KeyRule::Csv(Column::Name(name)))
            } else {
                reader.count(&csv, u32::MAX).map(|number| KeyRule::Csv(Column::Number(number)))
            }
        }
        (None, None, Some(json)) => pointer(reader, &json).map(KeyRule::Json),
        _ => reader.not_a(entry, "a rule", EXPECTED),
    }
}

fn pointer<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
    let text = reader.string(entry)?;
    if text.is_empty() || text.starts_with('/') {
        return Some(text);
    }
    reader.fail(
        Problem::at(&entry.at(), "`json` is not a JSON pointer", "expected a path that starts with /")
            .help(format!("for example json = \"/{}\"", text.trim_start_matches("$.").replace('.', "/"))),
    )
}
