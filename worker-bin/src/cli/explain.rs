//! `worker explain`: what a key of a file means, and what a reason to wait.

use super::exit::say;
use super::{print, print_document};
use crate::explain::{Cause, Row, Scope, WaitClass, WaitKind, causes};
use crate::pipeline::keys::catalog::{self, Entry};
use crate::text::names;
use clap::Args;
use clap_complete::ArgValueCandidates;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Arguments of `worker explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// A key of a file, such as timeout, batch.max_bytes or stage.timeout; a table of it, such as stage; or a reason that worker
    /// why, the page or a report gives, such as child_hung [default: a list of all]
    #[arg(value_name = "KEY|REASON", add = ArgValueCandidates::new(super::complete::explained))]
    pub name: Option<String>,
}

/// The end of its help.
pub const EXAMPLES: &str = "\
Examples:
  worker explain                                       # all keys and reasons
  worker explain partition_by
  worker explain stage.batch.max_bytes
  worker explain sink                                  # all keys of a sink
  worker explain child_hung                            # as worker why --json, /metrics and the page call it";

/// Tables of a file, and what they are.
const TABLES: [(&str, &str); 7] = [
    ("pipeline", "[pipeline]: the whole"),
    ("source", "[source.NAME]: what is read"),
    ("stage", "[stage.NAME]: a program that records go through"),
    ("sink", "[sink.NAME]: where records go"),
    ("test", "[[test]]: an input and what is expected of it, for worker test"),
    ("cluster", "[cluster] of a cluster file: all its nodes"),
    ("node", "[node.NAME] of a cluster file: one machine"),
];

/// Says what is asked for.
pub(super) fn explain(args: &ExplainArgs) -> ExitCode {
    let keys = catalog::all();
    let Some(name) = &args.name else { return print_document(&list(&keys)).exit_code() };
    let found = found(&keys, name);
    if !found.is_empty() {
        return print(&found.join("\n")).exit_code();
    }
    let known = known(&keys);
    let meant = names::suggestion(name, known.iter().map(String::as_str));
    let meant = meant.map_or_else(String::new, |meant| format!("; {meant}"));
    say(&format!("error: there is no key or reason {name}{meant}\nworker explain lists all"));
    ExitCode::from(2)
}

/// What there is of a name: keys, reasons, or both.
fn found(keys: &[Entry], name: &str) -> Vec<String> {
    let plain = name.trim_matches(|c: char| "[]`'\"".contains(c)).trim_start_matches("--").replace('-', "_");
    let is_key = |entry: &&Entry| {
        let parts = entry.parts();
        [entry.path.as_str(), entry.name(), &entry.whole()].contains(&plain.as_str())
            || plain.rsplit_once('.').is_some_and(|(outer, part)| {
                (outer == entry.path || outer == entry.whole()) && parts.iter().any(|known| known == part)
            })
    };
    let mut told: Vec<String> = keys.iter().filter(is_key).map(key).collect();
    if told.is_empty() && !plain.contains('.') {
        // A key of a value that is a table, which has no row of its own.
        told.extend(keys.iter().filter(|entry| entry.parts().contains(&plain)).map(key));
    }
    if let Some((table, what)) = TABLES.iter().find(|(table, _)| *table == plain) {
        told.push(format!("{what}\n\n{}", lines(keys.iter().filter(|entry| entry.table == *table))));
    }
    let said = name.to_lowercase();
    let rows = WaitKind::ALL.iter().map(|kind| kind.row());
    let is_said =
        |row: &Row| row.name == plain || [row.word, row.title, row.phrase].iter().any(|word| *word == said);
    told.extend(rows.filter(is_said).map(reason));
    told.extend(causes().into_iter().filter(|cause| cause.name == plain).map(cause));
    told
}

fn key(entry: &Entry) -> String {
    let mut text = format!("{}: a key of {}\n\n", entry.path, entry.place());
    text += &format!("  {}\n\n", entry.info.doc);
    field(&mut text, "takes", &entry.takes());
    field(&mut text, "default", &entry.default());
    field(&mut text, "example", &entry.example());
    field(&mut text, "state", entry.state());
    text
}

fn reason(row: Row) -> String {
    let mut text = format!("{}: {}, a reason to wait\n\n  {}\n\n", row.name, row.title, row.meaning.trim());
    field(&mut text, "called", &format!("{} (in short); waited for {}", row.word, row.phrase));
    field(
        &mut text,
        "holds up",
        match row.scope {
            Scope::Task => "all that a task does",
            Scope::Link => "what goes over one link; the task's other outputs go on",
        },
    );
    field(
        &mut text,
        "class",
        match row.class {
            WaitClass::Blocked => {
                "blocked: something is in the way; after --stall-after it is a stall, and /readyz says so"
            }
            WaitClass::Working => "working: work is being done, and others wait for its end",
            WaitClass::Idle => "idle: there is nothing to do",
            WaitClass::Paused => "paused: the user wants it so",
        },
    );
    let advice = row.advice.map_or_else(|| nothing_to_do(row.class).to_owned(), in_general);
    field(&mut text, "do", &advice);
    if !row.figures.is_empty() {
        field(&mut text, "in JSON", &row.figures.join(", "));
    }
    text
}

fn nothing_to_do(class: WaitClass) -> &'static str {
    match class {
        WaitClass::Blocked => "look at what is named with it",
        WaitClass::Working => {
            "nothing is wrong; where it limits the throughput, a faster program or more partitions help"
        }
        WaitClass::Idle | WaitClass::Paused => "nothing is wrong",
    }
}

fn cause(cause: Cause) -> String {
    let mut text = format!(
        "{}: why a node is not connected, with peer_down\n\n  The node is: {}\n\n",
        cause.name, cause.state
    );
    let advice = cause.advice.or(WaitKind::PeerDown.row().advice).unwrap_or_default();
    field(&mut text, "do", &in_general(advice));
    text
}

/// Advice that names no task and no node.
fn in_general(advice: &str) -> String {
    let mut text = advice.to_owned();
    let places = [
        ("{on}", "TASK", "what is waited for"),
        ("{node}", "NODE", "the node of that"),
        ("{stage}", "STAGE", "the stage that waits"),
    ];
    for (place, name, what) in places {
        if text.contains(place) {
            text = text.replace(place, name) + &format!("; {name} is {what}");
        }
    }
    text
}

fn field(text: &mut String, name: &str, value: &str) {
    writeln!(text, "  {name:<9} {value}").ok();
}

fn list(keys: &[Entry]) -> String {
    let mut text = "Keys; worker explain KEY tells more of one:\n".to_owned();
    for (table, what) in TABLES {
        text += &format!("\n{what}\n{}", lines(keys.iter().filter(|entry| entry.table == table)));
    }
    text += "\nReasons to wait, of worker why, the page and reports:\n\n";
    for row in WaitKind::ALL.iter().map(|kind| kind.row()) {
        writeln!(text, "  {:<22} {}", row.name, row.meaning.trim()).ok();
    }
    text += "\nWhy a node is not connected:\n\n";
    for cause in causes() {
        writeln!(text, "  {:<22} {}", cause.name, cause.state).ok();
    }
    text
}

/// A line for each key, however many tables tell of it.
fn lines<'a>(keys: impl Iterator<Item = &'a Entry>) -> String {
    let mut told: Vec<&str> = Vec::new();
    let mut text = String::new();
    for entry in keys {
        if !told.contains(&entry.path.as_str()) {
            told.push(&entry.path);
            writeln!(text, "  {:<22} {}", entry.path, short(entry.info.doc)).ok();
        }
    }
    text
}

/// Of a doc what fits in a line.
fn short(doc: &str) -> String {
    const CHARS_MAX: usize = 90;
    match doc.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", doc[..at].rsplit_once(' ').map_or(&doc[..at], |(whole, _)| whole)),
        None => doc.to_owned(),
    }
}

/// Every name that can be asked for.
pub(super) fn known(keys: &[Entry]) -> Vec<String> {
    let mut known: Vec<String> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
    for entry in keys {
        known.extend([entry.name().to_owned(), entry.path.clone(), entry.whole()]);
        known.extend(entry.parts());
    }
    known.extend(WaitKind::ALL.iter().map(|kind| kind.row().name.to_owned()));
    known.extend(causes().iter().map(|cause| cause.name.to_owned()));
    known.sort();
    known.dedup();
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_reason_is_told_whole() {
        let keys = catalog::all();
        assert!(keys.len() > 60, "{}", keys.len());
        for name in known(&keys) {
            let told = found(&keys, &name).join("\n");
            assert!(!told.is_empty(), "{name}");
        }
        for entry in &keys {
            for name in [&entry.path, &entry.whole()] {
                assert!(found(&keys, name).iter().any(|told| told.contains(entry.info.doc)), "{name}");
            }
            assert!(!entry.info.doc.is_empty() && entry.takes() != "a value", "{entry:?}");
        }
        for row in WaitKind::ALL.iter().map(|kind| kind.row()) {
            assert!(!row.meaning.is_empty(), "{row:?}");
            for name in [row.name, row.word, row.title] {
                let told = found(&keys, name).join("\n");
                assert!(told.contains(row.meaning.trim()), "{name}: {told}");
            }
            let told = reason(row);
            let is_place = |part: &str| {
                part.split_once('}').is_some_and(|(name, _)| name.chars().all(char::is_alphabetic))
            };
            assert!(!told.split('{').skip(1).any(is_place), "a place in a text was not filled in: {told}");
            assert!(told.contains("\n  do        "), "{told}");
        }
        assert_eq!(found(&keys, "nothing-of-that-name"), [""; 0]);
    }

    /// A doc stands alone when it is asked for: it is no rest of the line before it in a file of all keys, and says what the key
    /// decides, not only what becomes of one of its values.
    #[test]
    fn every_doc_begins_a_sentence_of_its_own() {
        const RESTS: [&str; 8] = ["or", "and", "too", "also", "as", "others", "other", "those"];
        const VERBS_AND_ARTICLES: [&str; 5] = ["a", "no", "reads", "writes", "lines"];
        let wrong = |doc: &str| {
            let first = doc.split_whitespace().next().unwrap_or_default();
            RESTS.contains(&first)
                || VERBS_AND_ARTICLES.contains(&first)
                || first.ends_with(':')
                || first.starts_with('…')
                || doc.ends_with('…')
                || doc.split_whitespace().count() < 3
                || doc.contains("the next")
        };
        let torn: Vec<String> = catalog::all()
            .iter()
            .filter(|entry| wrong(entry.info.doc))
            .map(|entry| format!("{}: {}", entry.whole(), entry.info.doc))
            .collect();
        assert!(torn.is_empty(), "{torn:#?}");
        let told = WaitKind::ALL.iter().map(|kind| reason(kind.row()));
        let tuples: Vec<String> = told.filter(|told| told.contains("tuple")).collect();
        assert!(tuples.is_empty(), "users know records: {tuples:#?}");
    }

    #[test]
    fn one_key_is_told_once_where_tables_agree_and_for_each_where_they_do_not() {
        let keys = catalog::all();
        insta::assert_snapshot!("max_bytes", found(&keys, "stage.batch.max_bytes").join("\n"));
        insta::assert_snapshot!("spill_limit", found(&keys, "spill_limit").join("\n"));
        insta::assert_snapshot!("partition_by", found(&keys, "stage.partition_by.csv").join("\n"));
        insta::assert_snapshot!("hangs", found(&keys, "hangs").join("\n"));
    }
}
