//! JSON Schemas (draft 7) of the files, for editors.

use super::kind::Kind;
use super::stage::{self, ModeName};
use super::value::object;
use super::{KeyInfo, pipeline, records, row, sink, source, test};
use crate::io;
use serde_json::{Map, Value as Schema, json};

/// The schema of pipeline files.
pub(crate) fn of_pipelines() -> Schema {
    let source = one_of_kinds(&[], io::source::KINDS, row::infos(source::KEYS));
    let sink = one_of_kinds(&row::infos(sink::HEAD), io::sink::KINDS, row::infos(sink::KEYS));
    let value = json!({"type": ["string", "number", "boolean"]});
    file(
        "A worker pipeline",
        &[
            ("pipeline", object(&row::infos(pipeline::KEYS))),
            ("vars", json!({"type": "object", "additionalProperties": value})),
            ("source", named(source)),
            ("stage", named(of_stages())),
            ("sink", named(sink)),
            ("test", json!({"type": "array", "items": object(&row::infos(test::KEYS))})),
        ],
    )
}

/// The schema of cluster files, whose nodes have these keys.
pub(crate) fn of_clusters(node: &[KeyInfo], shared: &[KeyInfo]) -> Schema {
    file("The nodes of a worker cluster", &[("cluster", object(shared)), ("node", named(object(node)))])
}

fn file(title: &str, tables: &[(&str, Schema)]) -> Schema {
    let tables: Map<String, Schema> =
        tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone())).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "properties": tables,
        "additionalProperties": false,
    })
}

/// Tables below a table, by names that people choose.
fn named(table: Schema) -> Schema {
    json!({
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"},
        "additionalProperties": table,
    })
}

/// A table that is of exactly one kind, with the keys of that kind and those of all.
fn one_of_kinds<E>(head: &[KeyInfo], kinds: &[&dyn Kind<E>], rest: Vec<KeyInfo>) -> Schema {
    let kinds: Vec<Vec<KeyInfo>> = kinds.iter().map(|kind| kind.infos()).collect();
    let mut keys: Vec<KeyInfo> = head.to_vec();
    for key in kinds.iter().flatten() {
        if !keys.iter().any(|known| known.name == key.name) {
            // Only a table of its kind needs it.
            keys.push(KeyInfo { is_required: false, ..key.clone() });
        }
    }
    keys.extend(rest);
    let mut table = object(&keys);
    table["oneOf"] = kinds
        .iter()
        .map(|kind| {
            let others = kinds.iter().flatten().filter(|key| !kind.iter().any(|own| own.name == key.name));
            json!({"required": [kind[0].name], "not": any_given(others.map(|key| key.name))})
        })
        .collect();
    table
}

fn of_stages() -> Schema {
    let keys = stage::infos();
    let infos: Vec<KeyInfo> = keys.iter().map(|(key, _)| key.clone()).collect();
    let mut table = object(&infos);
    table["allOf"] = stage::MODES
        .0
        .iter()
        .map(|&(word, mode)| {
            let others = keys.iter().filter(|(_, modes)| !modes.contains(&mode)).map(|(key, _)| key.name);
            let mut is_meant = json!({"properties": {"mode": {"const": word}}});
            if mode != ModeName::Batch {
                is_meant["required"] = json!(["mode"]);
            }
            json!({"if": is_meant, "then": {"not": any_given(others)}})
        })
        .collect();
    let keyed =
        row::infos(records::KEYED).into_iter().map(|key| (key.name.to_owned(), json!(["partition_by"])));
    table["dependencies"] = Schema::Object(keyed.collect());
    table
}

/// Any of these keys is there.
fn any_given<'a>(keys: impl Iterator<Item = &'a str>) -> Schema {
    json!({"anyOf": keys.map(|key| json!({"required": [key]})).collect::<Vec<_>>()})
}
