//! What has changed between two pipelines, or two placements, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Such as `stage.errors.run`; `stage.errors` for one that is there on one side only.
    pub key: String,
    /// What it was; `None`: it was not there.
    pub old: Option<String>,
    /// What it is; `None`: it is not there any more.
    pub new: Option<String>,
}

/// What differs between two maps of [`semantics`](super::semantics), in the order of their keys. A whole source, stage or sink that is
/// there on one side only is one difference; the order of names is one only if there is no other.
#[must_use]
pub fn differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for difference in changes(old, new) {
        let item = difference.key.rsplit_once('.').map_or("", |(item, _)| item).to_owned();
        let gone = !has(new, &item);
        if !gone && has(old, &item) {
            found.push(difference);
        } else if found.last().is_none_or(|last| last.key != item) {
            let what = |texts| Some(what(texts, &item));
            let (old, new) = if gone { (what(old), None) } else { (None, what(new)) };
            found.push(Difference { key: item, old, new });
        }
    }
    if found.len() > 1 {
        found.retain(|difference| difference.key != "pipeline.order");
    }
    found
}

/// Which tasks run elsewhere than before, by two maps of [`placement`](super::placement).
#[must_use]
pub fn moves(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Difference> {
    changes(old, new)
}

/// Differences for people, a line each.
#[must_use]
pub fn render(differences: &[Difference]) -> String {
    differences.iter().map(|difference| format!("  {difference}\n")).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.replace('\n', "\\n");
        write!(f, "{}: ", self.key)?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "was {}, is now {}", line(old), line(new)),
            (Some(old), None) => write!(f, "was {}, is not there any more", line(old)),
            (None, Some(new)) => write!(f, "was not there, is now {}", line(new)),
            (None, None) => f.write_str("was never there"),
        }?;
        match (self.key.ends_with(".partitions"), &self.old) {
            (true, Some(old)) => write!(f, " (partitions = {old} in the file keeps it)"),
            (_, _) => Ok(()),
        }
    }
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Difference> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .map(|key| Difference { key: key.clone(), old: old.get(key).cloned(), new: new.get(key).cloned() })
        .filter(|difference| difference.old != difference.new)
        .collect()
}

/// Whether there is a table of this name.
fn has(texts: &BTreeMap<String, String>, item: &str) -> bool {
    let first = format!("{item}.");
    texts.range(first.clone()..).next().is_some_and(|(key, _)| key.starts_with(&first))
}

/// What a source, stage or sink does, in short.
fn what(texts: &BTreeMap<String, String>, item: &str) -> String {
    ["run", "file", "stdin", "stdout"]
        .iter()
        .find_map(|key| texts.get(&format!("{item}.{key}")).map(|text| format!("{key} = {text}")))
        .unwrap_or_default()
}
