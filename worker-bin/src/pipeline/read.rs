//! From TOML to sources, stages and sinks that are not joined yet.

use super::diagnostics::{At, Problem};
use super::keys::pipeline::Head;
use super::keys::{Section as _, pipeline, sink, source, stage, test};
use super::model::{Sink, Source, Stage, Test};
use super::reader::{KeyValue, Reader, Table};
use super::vars;
use toml::de::{DeTable, DeValue};

/// What a file says, before it is known what leads where.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) head: Head,
    pub(super) sources: Vec<Source>,
    pub(super) stages: Vec<Stage>,
    pub(super) sinks: Vec<Sink>,
    pub(super) tests: Vec<Test>,
}

/// Reads a whole document; what is wrong is noted in the reader.
pub(super) fn document<'d>(reader: &mut Reader<'d>, document: &'d DeTable<'d>) -> Draft {
    let mut top = Table::new("the file", document);
    let head = top.take("pipeline");
    if let Some(entry) = top.take("vars") {
        variables(reader, &entry);
    }
    let head = match head.and_then(|entry| reader.table(&entry, "[pipeline]")) {
        Some(table) => pipeline::read(reader, table),
        None => Head::defaults(reader.dir),
    };
    let sources = named(reader, &mut top, "source", source::read);
    let stages = named(reader, &mut top, "stage", stage::read);
    let sinks = named(reader, &mut top, "sink", sink::read);
    let tests = tests(reader, &mut top);
    top.finish(reader);
    Draft { head, sources, stages, sinks, tests }
}

fn variables<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) {
    let Some(table) = reader.table(entry, "[vars]") else { return };
    for entry in table.into_entries() {
        let value = match entry.value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let _: Option<()> = reader.wrong_type(entry.key, entry.value, "a string or a number");
                continue;
            }
        };
        if vars::is_name(entry.key) {
            reader.vars.declare(entry.key, value, entry.key_at);
        } else {
            reader.problems.push(Problem::at(
                &entry.key_at,
                format!("`{}` cannot be the name of a variable", entry.key),
                "expected letters, digits, `_` and `-`, a letter first",
            ));
        }
    }
}

/// The tables below `[source]`, `[stage]` or `[sink]`.
fn named<'d, T>(
    reader: &mut Reader<'d>,
    top: &mut Table<'d>,
    kind: &'static str,
    read: fn(&mut Reader<'d>, Table<'d>, (String, At)) -> T,
) -> Vec<T> {
    let Some(entry) = top.take(kind) else { return Vec::new() };
    let Some(tables) = reader.table(&entry, format!("[{kind}]")) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in tables.into_entries() {
        let title = format!("[{kind}.{}]", entry.key);
        let DeValue::Table(table) = entry.value.get_ref() else {
            reader.problems.push(
                Problem::at(&entry.key_at, format!("[{kind}] holds tables only"), "a key of which table?")
                    .help(format!("give the {kind} a name: [{kind}.name], and put the key below it")),
            );
            continue;
        };
        good_name(reader, &format!("a {kind}"), entry.key, &entry.key_at);
        found.push(read(reader, Table::new(title, table), (entry.key.to_owned(), entry.key_at)));
    }
    found
}

/// The tables called `[[test]]`.
fn tests<'d>(reader: &mut Reader<'d>, top: &mut Table<'d>) -> Vec<Test> {
    let Some(entry) = top.take("test") else { return Vec::new() };
    let Some(tables) = entry.value.get_ref().as_array() else {
        reader.problems.push(
            Problem::at(&entry.key_at, "a test is a table of a list", "there may be several")
                .help("write [[test]], in two brackets and without a name; name = \"…\" stands below it"),
        );
        return Vec::new();
    };
    let mut tests = Vec::new();
    for value in tables.iter() {
        match value.get_ref().as_table() {
            Some(table) => tests.push(test::read(reader, Table::new("[[test]]", table), At(value.span()))),
            None => _ = reader.wrong_type::<()>("test", value, "a table"),
        }
    }
    tests
}

/// Whether this can name something; names are part of task names, messages and files.
pub(super) fn good_name(reader: &mut Reader<'_>, what: &str, name: &str, at: &At) -> bool {
    let good = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !good {
        reader.problems.push(Problem::at(
            at,
            format!("`{name}` cannot be the name of {what}"),
            "expected up to 64 letters, digits, `_`, `-` and `.`, a letter or digit first",
        ));
    }
    good
}
