//! `framing`.

use super::value::{Value, any_of, variable};
use crate::io::framing::{Framing, Pattern, Prefix};
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use crate::pipeline::text::quoted;
use serde_json::json;
use std::path::Path;

const EXPECTED: &str = "\"lines\", \"nul\", \"csv\", { start = REGEX }, { end = REGEX }, { lines = 4 }, { length = 80 }, \
                        { prefix = \"u32be\" } or { json = true }";

/// The words alone; JSON is written as a table, and by who forgets that as a word.
const WORDS: &[&str] = &["lines", "nul", "csv", "json"];

pub(super) struct Frames;

impl Value for Frames {
    type T = Framing;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Framing> {
        match entry.value.get_ref().as_table() {
            Some(table) => from_table(reader, entry, Table::new("framing", table)),
            None if entry.is_string() => from_word(reader, entry),
            None => reader.wrong_type(entry.key, entry.value, EXPECTED),
        }
    }

    fn text(&self, framing: &Framing, _: &Path) -> Option<String> {
        Some(in_file(framing))
    }

    fn schema(&self) -> serde_json::Value {
        let number = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
        let number = || any_of([number.clone(), variable()]);
        let text = || json!({"type": "string", "minLength": 1});
        let prefixes: Vec<&str> = Prefix::ALL.iter().map(|prefix| prefix.word()).collect();
        let table = |key: &str, value: serde_json::Value| json!({"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": false});
        any_of([
            json!({"enum": WORDS}),
            variable(),
            table("start", text()),
            table("end", text()),
            table("lines", number()),
            table("length", number()),
            table("prefix", any_of([json!({"enum": prefixes}), variable()])),
            table("json", json!({"const": true})),
        ])
    }
}

/// As a file writes it.
pub(crate) fn in_file(framing: &Framing) -> String {
    match framing {
        Framing::Lines => quoted("lines"),
        Framing::Nul => quoted("nul"),
        Framing::Csv => quoted("csv"),
        Framing::Start(pattern) => format!("{{ start = {} }}", quoted(pattern.as_str())),
        Framing::End(pattern) => format!("{{ end = {} }}", quoted(pattern.as_str())),
        Framing::Count(lines) => format!("{{ lines = {lines} }}"),
        Framing::Length(bytes) => format!("{{ length = {bytes} }}"),
        Framing::Prefix(prefix) => format!("{{ prefix = {} }}", quoted(prefix.word())),
        Framing::Json => "{ json = true }".to_owned(),
    }
}

fn from_word<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Framing> {
    let text = reader.string(entry)?;
    let known = [Framing::Lines, Framing::Nul, Framing::Csv, Framing::Json];
    if let Some((_, framing)) = WORDS.iter().zip(known).find(|(word, _)| **word == text) {
        return Some(framing);
    }
    // As it is written on a command line.
    let as_table = text.parse::<Framing>().ok().map(|framing| in_file(&framing));
    let title = format!("`framing` cannot be \"{text}\"");
    reader.fail(
        Problem::at(&entry.at(), title, format!("expected {EXPECTED}"))
            .help_if(crate::text::names::suggestion(&text, WORDS.iter().copied()))
            .help_if(as_table.map(|table| format!("in a file it is written framing = {table}"))),
    )
}

fn from_table<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>, mut table: Table<'d>) -> Option<Framing> {
    let keys = ["start", "end", "lines", "length", "prefix", "json"];
    let mut given: Vec<KeyValue<'d>> = keys.into_iter().filter_map(|key| table.take(key)).collect();
    let others = table.has_more();
    table.finish(reader);
    if given.len() > 1 {
        let mut problem = Problem::at(&given[1].key_at, "`framing` says two things", "a second one");
        problem = problem.also(&given[0].key_at, "the first");
        return reader.fail(problem.help("leave one of them: a record has one beginning or end"));
    }
    let Some(given) = given.pop() else {
        return if others { None } else { reader.not_a(entry, "a framing", EXPECTED) };
    };
    match given.key {
        "start" => pattern(reader, &given).map(Framing::Start),
        "end" => pattern(reader, &given).map(Framing::End),
        "lines" => reader.count(&given, u32::MAX).map(Framing::Count),
        "length" => reader.count(&given, u32::MAX).map(Framing::Length),
        "prefix" => prefix(reader, &given).map(Framing::Prefix),
        _ => match reader.boolean(&given)? {
            true => Some(Framing::Json),
            false => reader.fail(
                Problem::at(&given.at(), "`json` cannot be false", "expected true")
                    .help("for records that are lines leave `framing` out"),
            ),
        },
    }
}

fn pattern<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Pattern> {
    let text = reader.string(entry)?;
    match Pattern::new(&text) {
        Ok(pattern) => Some(pattern),
        Err(error) => reader.fail(
            Problem::at(&entry.at(), format!("the expression of `{}` {error}", entry.key), "").help(format!(
                "give one that matches a line that is a record's {} and no other, as \"{}\"; in single quotes a backslash needs no other",
                if entry.key == "start" { "first" } else { "last" },
                if entry.key == "start" { "^>" } else { "^//$" },
            )),
        ),
    }
}

fn prefix<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Prefix> {
    let choices: Vec<(&'static str, Prefix)> =
        Prefix::ALL.iter().map(|&prefix| (prefix.word(), prefix)).collect();
    reader.choice(entry, &choices)
}
