//! Kinds of ends: each is named by a key of its own, and has keys that no other kind has.

use super::row::{self, KeyInfo, Keys, Rendered, Section, Shown};
use super::value::Value;
use crate::pipeline::diagnostics::{At, Problem, listed};
use crate::pipeline::model::Pipeline;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::Path;

/// A kind of source or sink; `E` is what all kinds are read as.
pub(crate) trait Kind<E>: Sync {
    /// Its keys; the first one names it.
    fn infos(&self) -> Vec<KeyInfo>;

    /// Whether the key that names it counts as given.
    fn is_meant<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> bool;

    /// The end that these keys say; none of them if no kind was named.
    fn read<'d>(&self, reader: &mut Reader<'d>, given: &[KeyValue<'d>]) -> E;

    /// What the end says for its keys; `None`: it is of another kind.
    fn rendered(&self, end: &E, pipeline: &Pipeline) -> Option<Vec<Rendered>>;

    /// That one of its keys is given to an end of another kind; `title` is how messages call that one.
    fn misplaced(&self, entry: &KeyValue<'_>, title: &str) -> Problem;
}

/// A kind whose keys are the rows of a section.
pub(crate) struct End<E: 'static, S: 'static> {
    pub(crate) keys: Keys<S>,
    /// With where the key that names it stands.
    pub(crate) make: fn(S, At) -> E,
    /// The section of an end, if it is of this kind.
    pub(crate) of: fn(&E) -> Option<S>,
    pub(crate) is_meant: for<'d> fn(&mut Reader<'d>, &KeyValue<'d>) -> bool,
    pub(crate) misplaced: fn(&KeyValue<'_>, &str) -> Problem,
}

impl<E, S: Section> Kind<E> for End<E, S> {
    fn infos(&self) -> Vec<KeyInfo> {
        row::infos(self.keys)
    }

    fn is_meant<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> bool {
        (self.is_meant)(reader, entry)
    }

    fn read<'d>(&self, reader: &mut Reader<'d>, given: &[KeyValue<'d>]) -> E {
        let mut section = S::defaults(reader.dir);
        for entry in given {
            if let Some(key) = self.keys.iter().find(|key| key.name() == entry.key) {
                key.read(reader, entry, &mut section);
            }
        }
        (self.make)(section, given.first().map(KeyValue::at).unwrap_or_default())
    }

    fn rendered(&self, end: &E, pipeline: &Pipeline) -> Option<Vec<Rendered>> {
        let mut said = row::rendered(self.keys, &(self.of)(end)?, pipeline);
        // The key that names the kind says something even where all in it is left out.
        said.iter_mut().take(1).for_each(|key| key.shown = Shown::Always);
        Some(said)
    }

    fn misplaced(&self, entry: &KeyValue<'_>, title: &str) -> Problem {
        (self.misplaced)(entry, title)
    }
}

/// Reads the end of a table that names exactly one of the kinds.
pub(super) fn read<'d, E>(
    kinds: &[&dyn Kind<E>],
    reader: &mut Reader<'d>,
    table: &mut Table<'d>,
    name_at: &At,
) -> E {
    let keys: Vec<Vec<&'static str>> =
        kinds.iter().map(|kind| kind.infos().iter().map(|key| key.name).collect()).collect();
    let mut named: Vec<(usize, KeyValue<'d>)> = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        if let Some(entry) = table.take(keys[index][0])
            && kind.is_meant(reader, &entry)
        {
            named.push((index, entry));
        }
    }
    exactly_one(reader, &table.title, name_at, keys.iter().map(|keys| keys[0]), &named);
    // Where none is named, the last one, which has no other keys, lets reading go on.
    let (chosen, mut given) = match named.into_iter().next() {
        Some((index, entry)) => (index, vec![entry]),
        None => (kinds.len() - 1, Vec::new()),
    };
    for (index, kind) in kinds.iter().enumerate() {
        for &key in &keys[index][1..] {
            match table.take(key) {
                Some(entry) if keys[chosen].contains(&key) => given.push(entry),
                Some(entry) => reader.problems.push(kind.misplaced(&entry, &table.title)),
                None => {}
            }
        }
    }
    kinds[chosen].read(reader, &given)
}

pub(super) fn rendered<E>(kinds: &[&dyn Kind<E>], end: &E, pipeline: &Pipeline) -> Vec<Rendered> {
    kinds.iter().find_map(|kind| kind.rendered(end, pipeline)).unwrap_or_default()
}

/// Exactly one of several keys has to be there; more or none is a problem.
fn exactly_one<'d>(
    reader: &mut Reader<'d>,
    table: &str,
    name_at: &At,
    keys: impl Iterator<Item = &'static str>,
    given: &[(usize, KeyValue<'d>)],
) {
    let all = listed(keys, '`', "or");
    match given {
        [_] => {}
        [] => reader.problems.push(Problem::at(
            name_at,
            format!("{table} has none of {all}"),
            format!("expected exactly one of {all}"),
        )),
        [(_, first), (_, second), ..] => reader.problems.push(
            Problem::at(&second.key_at, format!("{table} has more than one of {all}"), "remove this one")
                .also(&first.key_at, "or this one"),
        ),
    }
}

/// The value of a key that says all by being there; [`must_be_true`] has looked at it.
pub(crate) struct OnlyTrue;

impl Value for OnlyTrue {
    type T = ();

    fn read<'d>(&self, _: &mut Reader<'d>, _: &KeyValue<'d>) -> Option<()> {
        Some(())
    }

    fn text(&self, (): &(), _: &Path) -> Option<String> {
        Some("true".to_owned())
    }

    fn schema(&self) -> serde_json::Value {
        serde_json::json!({"const": true})
    }
}

pub(crate) fn must_be_true<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> bool {
    match reader.boolean(entry) {
        Some(true) | None => true,
        Some(false) => {
            let problem =
                Problem::at(&entry.at(), format!("`{}` can only be true", entry.key), "remove it instead");
            reader.problems.push(problem);
            false
        }
    }
}
