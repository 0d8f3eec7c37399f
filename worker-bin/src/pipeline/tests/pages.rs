//! The page of keys says what the rows say.

use super::keys::{Place, places};
use crate::documents::pages::{cell, read, should_be};
use crate::pipeline::keys::{Class, KeyInfo, stage};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = "reference/keys.md";

/// Where the comments of the page's file begin, and how long its lines may be.
const COMMENT_COLUMN: usize = 35;
const LINE_CHARS_MAX: usize = 140;

/// Behind this heading all is written from the rows.
const TABLES: &str = "## Which table has which keys\n";

/// `UPDATE_DOCS=1 cargo test -p worker-bin --lib pages` writes it.
#[test]
fn the_page_of_keys_says_what_the_rows_say() {
    let page = read(PAGE);
    let (before, rest) = page.split_once("```toml\n").unwrap();
    let (file, after) = rest.split_once("```").unwrap();
    let (told, _) = after.split_once(TABLES).unwrap();
    let words: BTreeSet<&str> = file.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for Place { table, key, .. } in places() {
        // It is told of with the cluster file.
        let is_told = words.contains(key.name) || (key.name == "place" && told.contains("`place = \"a\"`"));
        assert!(is_told, "{table}: {} is not in the file of docs/{PAGE}: add a line for it", key.name);
    }
    should_be(PAGE, &format!("{before}```toml\n{}```{told}{TABLES}{}", commented(file), tables()));
}

/// The page's file, with what the rows say as comments: beside the first line of a table that has the key.
fn commented(file: &str) -> String {
    let mut told = BTreeSet::new();
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in file.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if let Some(title) = line.strip_prefix('[') {
            table = title.trim_start_matches('[').split(['.', ']']).next().unwrap_or_default().to_owned();
        }
        let code = line.split_once("  #").map_or(line, |(code, _)| code).trim_end();
        let (name, value) = code.split_once(" = ").unwrap_or_default();
        let known = places().into_iter().find(|place| place.table == table && place.key.name == name);
        match known {
            None => lines.push(line.to_owned()),
            Some(Place { key, .. }) if told.insert((key.name, key.doc)) => {
                lines.extend(comment(code, &tell(&key, value)));
            }
            Some(_) => lines.push(code.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// What people are told of a key beside this value.
fn tell(key: &KeyInfo, value: &str) -> String {
    let otherwise = key
        .default
        .as_deref()
        .or(key.otherwise)
        .filter(|text| *text != value.trim_matches('"') && *text != value);
    key.doc.to_owned() + &otherwise.map_or_else(String::new, |default| format!(". Default: {default}"))
}

fn comment(code: &str, text: &str) -> Vec<String> {
    let mut lines = vec![format!("{code:<0$}  #", COMMENT_COLUMN - 2)];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if last.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX {
            lines.push(format!("{:1$}#   {word}", "", COMMENT_COLUMN));
        } else {
            *last += &format!(" {word}");
        }
    }
    lines
}

/// For each table of a file its keys: what kinds or modes have them, and whether they may change.
fn tables() -> String {
    let places = places();
    let mut text = "\nWhere nothing stands under *where*, every table of that name may have the key; else those of a kind (`file`, `run`…) or in a mode \
        do. A key that *stays* must be the same as long as a state directory is kept: another value is refused, by name. \
        Others may change between two starts.\n"
        .to_owned();
    for (table, title) in [
        ("pipeline", "[pipeline]"),
        ("source", "[source.NAME]"),
        ("stage", "[stage.NAME]"),
        ("sink", "[sink.NAME]"),
        ("test", "[[test]]"),
    ] {
        text += &format!("\n### `{title}`\n\n| key | where | default | stays |\n|---|---|---|---|\n");
        let here: Vec<&Place> = places.iter().filter(|place| place.table == table).collect();
        let kinds: BTreeSet<String> = here.iter().map(|place| place.kind()).collect();
        let mut having: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut order: Vec<&Place> = Vec::new();
        for place in here {
            if !having.contains_key(place.key.name) {
                order.push(place);
            }
            having.entry(place.key.name).or_default().insert(place.kind());
        }
        for place in order {
            let among = &having[place.key.name];
            text += &row(&place.key, &if *among == kinds { String::new() } else { listed(among) });
        }
    }
    text
}

/// The kinds of a table, with those of programs as one where they all have it.
fn listed(kinds: &BTreeSet<String>) -> String {
    let of_programs = |kind: &&String| kind.starts_with("run in ");
    if kinds.iter().filter(of_programs).count() == stage::MODES.0.len() {
        let others = kinds.iter().filter(|kind| !of_programs(kind)).map(String::as_str);
        return others.chain(["run"]).collect::<Vec<_>>().join(", ");
    }
    kinds.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn row(key: &KeyInfo, among: &str) -> String {
    let default = match (&key.default, key.otherwise) {
        (Some(default), _) => format!("`{default}`"),
        (None, Some(words)) => words.to_owned(),
        (None, None) if key.is_required => "must be given".to_owned(),
        (None, None) => String::new(),
    };
    let stays = match key.class {
        Class::Results | Class::Identity => "stays",
        Class::Tuning => "",
    };
    format!("| `{}` | {} | {} | {stays} |\n", key.name, cell(among), cell(&default))
}
