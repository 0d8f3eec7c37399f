//! The table in the documentation.

use crate::cell::{Delivery, Fault};

const DOCUMENT: &str = include_str!("../../../docs/ends.md");

/// What a cell promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Each record exactly once, in order, when the same command has run again.
    Once,
    /// Each record, in order of its first coming; the last ones before the fault may come again.
    AtLeastOnce,
    /// Everything up to some record, each once: what was read before a clean end.
    WhatWasRead,
    /// Something up to some record, each once; what was on its way is lost with the process.
    Lost,
    /// The run ends with an error that names it; nothing comes twice.
    Fails,
    /// It cannot happen.
    Never,
}

/// The rows of the table: the end, the delivery, and the promise for each fault.
pub(crate) struct Table(Vec<(String, String, Vec<Promise>)>);

impl Table {
    pub(crate) fn read() -> Self {
        let lines = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
        Self(lines.map(row).collect())
    }

    /// The ends, in the order of the table.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, ..)| name.as_str()).collect();
        names.dedup();
        names
    }

    pub(crate) fn cell(&self, name: &str, delivery: Delivery, fault: Fault) -> Promise {
        let row = self.0.iter().find(|(n, d, _)| n == name && d == delivery.name());
        let (_, _, promises) = row.unwrap_or_else(|| panic!("no row for {name} and {delivery:?}"));
        promises[fault as usize]
    }
}

fn row(line: &str) -> (String, String, Vec<Promise>) {
    let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let [name, delivery, promises @ ..] = &*cells else { panic!("a short row: {line}") };
    assert_eq!(promises.len(), Fault::ALL.len(), "{line}");
    let name = name.replace('`', "");
    (name, (*delivery).to_owned(), promises.iter().map(|words| promise(words)).collect())
}

fn promise(words: &str) -> Promise {
    match words {
        "once" => Promise::Once,
        "at least once" => Promise::AtLeastOnce,
        "what was read" => Promise::WhatWasRead,
        "lost" => Promise::Lost,
        "fails" => Promise::Fails,
        "–" => Promise::Never,
        other => panic!("no promise is called {other:?}"),
    }
}
