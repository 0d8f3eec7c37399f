//! From TOML to sources, stages and sinks that are not joined yet.

mod ends;
mod key;
mod mode;
mod program;
mod stage;

pub(super) use mode::{default_batch_mode, default_records_mode, default_stream_mode};
pub(super) use stage::default_timeout;

use super::delivery::Delivery;
use super::diagnostics::{At, Problem};
use super::model::{Budgets, Framing, PlaceName, Sink, Source, Stage};
use super::reader::{KeyValue, Reader, Table};
use super::{diagnostics::listed, vars};
use toml::de::{DeTable, DeValue};

/// What a file says, before it is known what leads where.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    /// What is to be promised, if the file says it, and where it says so.
    pub(super) delivery: Option<(Delivery, At)>,
    pub(super) budgets: DraftBudgets,
    pub(super) sources: Vec<Source>,
    pub(super) stages: Vec<Unjoined<Stage>>,
    pub(super) sinks: Vec<Unjoined<Sink>>,
}

/// A stage or sink and the names it reads from.
#[derive(Debug)]
pub(super) struct Unjoined<T> {
    pub(super) item: T,
    /// `None`: left out.
    pub(super) from: Option<Vec<(String, At)>>,
    /// How its output is split, if it says so.
    pub(super) framing: Option<Framing>,
}

/// Budgets and where they stand, for the checks that compare them.
#[derive(Debug)]
pub(super) struct DraftBudgets {
    pub(super) budgets: Budgets,
    pub(super) max_record_at: Option<At>,
    pub(super) credit_at: Option<At>,
}

impl Default for DraftBudgets {
    fn default() -> Self {
        Self { budgets: default_budgets(), max_record_at: None, credit_at: None }
    }
}

/// What a pipeline may use unless it says otherwise.
pub(super) fn default_budgets() -> Budgets {
    Budgets {
        max_record_bytes: 1 << 20,
        credit_bytes: 1280 << 10,
        outbox_bytes: 16 << 20,
        spill_limit_bytes: 4 << 30,
        spill_dir: None,
    }
}

/// Reads a whole document; what is wrong is noted in the reader.
pub(super) fn document<'d>(reader: &mut Reader<'d>, document: &'d DeTable<'d>) -> Draft {
    let mut top = Table::new("the file", document);
    let mut draft = Draft::default();
    let header = top.take("pipeline");
    if let Some(entry) = top.take("vars") {
        variables(reader, &entry);
    }
    if let Some(table) = header.and_then(|entry| reader.table(&entry, "[pipeline]")) {
        pipeline(reader, table, &mut draft);
    }
    for (name, table) in named(reader, &mut top, "source") {
        draft.sources.push(ends::source(reader, table, name));
    }
    for (name, table) in named(reader, &mut top, "stage") {
        draft.stages.push(stage::stage(reader, table, name));
    }
    for (name, table) in named(reader, &mut top, "sink") {
        draft.sinks.push(ends::sink(reader, table, name));
    }
    top.finish(reader);
    draft
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

fn pipeline<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, draft: &mut Draft) {
    if let Some(entry) = table.take("name")
        && let Some(name) = reader.text(&entry)
        && good_name(reader, "a pipeline", &name, &entry.at())
    {
        draft.name = Some(name);
    }
    if let Some(entry) = table.take("delivery") {
        let choices = [("exactly-once", Delivery::ExactlyOnce), ("memory", Delivery::Memory)];
        draft.delivery = reader.choice(&entry, &choices).map(|delivery| (delivery, entry.at()));
    }
    let drafts = &mut draft.budgets;
    if let Some(entry) = table.take("max_record") {
        drafts.max_record_at = Some(entry.at());
        set(&mut drafts.budgets.max_record_bytes, reader.size(&entry));
    }
    if let Some(entry) = table.take("credit") {
        drafts.credit_at = Some(entry.at());
        set(&mut drafts.budgets.credit_bytes, reader.size(&entry));
    }
    if let Some(entry) = table.take("outbox") {
        set(&mut drafts.budgets.outbox_bytes, reader.size(&entry));
    }
    if let Some(entry) = table.take("spill_limit") {
        set(&mut drafts.budgets.spill_limit_bytes, reader.size(&entry));
    }
    if let Some(entry) = table.take("spill_dir") {
        drafts.budgets.spill_dir = reader.path(&entry);
    }
    table.finish(reader);
}

/// The tables below `[source]`, `[stage]` or `[sink]`, with their names.
fn named<'d>(
    reader: &mut Reader<'d>,
    top: &mut Table<'d>,
    kind: &'static str,
) -> Vec<((String, At), Table<'d>)> {
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
        found.push(((entry.key.to_owned(), entry.key_at), Table::new(title, table)));
    }
    found
}

/// Whether this can name something; names are part of task names, messages and files.
fn good_name(reader: &mut Reader<'_>, what: &str, name: &str, at: &At) -> bool {
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

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn from<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) -> Option<Vec<(String, At)>> {
    let entry = table.take("from")?;
    let names = reader.strings(&entry).unwrap_or_default();
    if names.is_empty() && matches!(entry.value.get_ref(), DeValue::Array(_)) {
        reader.problems.push(Problem::at(
            &entry.at(),
            format!("{} reads from nothing", table.title),
            "expected the name of a source or stage",
        ));
    }
    Some(names)
}

fn framing<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) -> Option<Framing> {
    let entry = table.take("framing")?;
    reader.choice(&entry, &[("lines", Framing::Lines), ("nul", Framing::Nul)])
}

fn place<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) -> Vec<PlaceName> {
    let Some(entry) = table.take("place") else { return Vec::new() };
    let names = reader.strings(&entry).unwrap_or_default();
    let mut place: Vec<PlaceName> = Vec::with_capacity(names.len());
    for (node, at) in names {
        if place.iter().any(|other| other.node == node) {
            reader.problems.push(Problem::at(
                &at,
                format!("node `{node}` is named twice in `place`"),
                "again here",
            ));
        } else {
            place.push(PlaceName { node, at });
        }
    }
    place
}

/// Exactly one of several keys has to be there; more or none is a problem.
fn exactly_one<'d>(
    reader: &mut Reader<'d>,
    table: &str,
    name_at: &At,
    keys: &[&str],
    given: &[&KeyValue<'d>],
) {
    let all = listed(keys.iter().copied(), '`', "or");
    match given {
        [_] => {}
        [] => reader.problems.push(Problem::at(
            name_at,
            format!("{table} has none of {all}"),
            format!("expected exactly one of {all}"),
        )),
        [first, second, ..] => reader.problems.push(
            Problem::at(&second.key_at, format!("{table} has more than one of {all}"), "remove this one")
                .also(&first.key_at, "or this one"),
        ),
    }
}
