//! `partition_by`.

use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Column, KeyRule};
use crate::pipeline::reader::{KeyValue, Reader, Table};

const EXPECTED: &str = "{ field = 7 }, { csv = \"state\" }, { json = \"/user/id\" }, \"record\" or \"key\"";

/// The rule of a `partition_by` key, and where it stands.
pub(super) fn partition_by<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) -> Option<(KeyRule, At)> {
    let entry = table.take("partition_by")?;
    let rule = match entry.value.get_ref().as_table() {
        Some(table) => from_table(reader, &entry, Table::new("partition_by", table)),
        None if entry.is_string() => {
            let answer = reader.choice(&entry, &[("record", false), ("key", true)])?;
            Some(if answer { KeyRule::Answer } else { KeyRule::Record })
        }
        None => reader.wrong_type(entry.key, entry.value, EXPECTED),
    }?;
    Some((rule, entry.at()))
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
