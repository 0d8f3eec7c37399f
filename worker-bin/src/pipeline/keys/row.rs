//! What is known of a key.

use super::value::Value;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::Pipeline;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::Path;

/// What else has to change, or must not, when the value of a key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The results: part of the semantic fingerprint, so that a state directory is not continued with another value.
    Results,
    /// Only how fast, with which resources and what is done about failures: free to change while a state is kept.
    Tuning,
    /// Whose state it is and where it lies: the state directory's manifest holds to it by itself.
    Identity,
}

/// A part of a file whose keys have rows: before any of them is read it is `defaults`.
pub(crate) trait Section: Sized + 'static {
    /// `dir` is where relative paths start.
    fn defaults(dir: &Path) -> Self;
}

/// The rows of a section, in the order in which they are printed.
pub(crate) type Keys<S> = &'static [&'static dyn Row<S>];

/// A key of the section `S`, whatever the type of its value.
pub(crate) trait Row<S>: Sync {
    fn name(&self) -> &'static str;

    fn info(&self) -> KeyInfo;

    /// Reads the value into the section; what is wrong with it is noted in the reader.
    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>, section: &mut S);

    /// What the section says for this key.
    fn rendered(&self, section: &S, pipeline: &Pipeline) -> Rendered;
}

/// A key without its section.
#[derive(Clone, Debug)]
pub(crate) struct KeyInfo {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    /// For people, in one phrase.
    pub(crate) doc: &'static str,
    /// JSON Schema of its values, where they are no inline table.
    pub(crate) schema: serde_json::Value,
    /// The keys of its inline table.
    pub(crate) inner: Vec<KeyInfo>,
    /// What it is where it is left out, as the file would write it.
    pub(crate) default: Option<String>,
    /// The same in words, where it depends on something or is nothing that could be written.
    pub(crate) otherwise: Option<&'static str>,
    /// It cannot be left out.
    pub(crate) is_required: bool,
}

/// The value of a key in one pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) name: &'static str,
    /// As the file would write it; `None`: there is nothing to write.
    pub(crate) text: Option<String>,
    /// What of it changes results, for the semantic fingerprint.
    pub(crate) results: Option<String>,
    pub(crate) shown: Shown,
}

/// When a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shown {
    /// Always: it is not the default, or has none.
    Always,
    /// With all defaults.
    InFull,
    Never,
}

/// A key with a value of its own.
pub(crate) struct Key<S, V: Value> {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    /// For people, in one phrase: a comment on the page of keys, a description in the schema.
    pub(crate) doc: &'static str,
    pub(crate) value: V,
    pub(crate) when_absent: WhenAbsent<S, V::T>,
    pub(crate) get: fn(&S) -> V::T,
    /// With where the value stands.
    pub(crate) set: fn(&mut S, V::T, At),
}

/// What it means that a key is left out.
pub(crate) enum WhenAbsent<S, T> {
    /// An error.
    Required,
    /// The value of [`Section::defaults`].
    Default,
    /// What other keys say; in words.
    By(fn(&S) -> T, &'static str),
    /// What is found elsewhere, in words; always printed.
    Found(&'static str),
    /// Nothing, in words; so the default is not printed.
    Nothing(&'static str),
}

impl<S: Section, V: Value> Row<S> for Key<S, V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn info(&self) -> KeyInfo {
        let root = Path::new("/");
        let (default, otherwise) = match &self.when_absent {
            WhenAbsent::Required => (None, None),
            WhenAbsent::Default => (self.value.text(&(self.get)(&S::defaults(root)), root), None),
            WhenAbsent::By(_, words) | WhenAbsent::Found(words) | WhenAbsent::Nothing(words) => {
                (None, Some(*words))
            }
        };
        KeyInfo {
            name: self.name,
            class: self.class,
            doc: self.doc,
            schema: self.value.schema(),
            inner: Vec::new(),
            default,
            otherwise,
            is_required: matches!(self.when_absent, WhenAbsent::Required),
        }
    }

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>, section: &mut S) {
        if let Some(value) = self.value.read(reader, entry) {
            (self.set)(section, value, entry.at());
        }
    }

    fn rendered(&self, section: &S, pipeline: &Pipeline) -> Rendered {
        let value = (self.get)(section);
        let default = || (self.get)(&S::defaults(&pipeline.dir));
        let shown = match &self.when_absent {
            WhenAbsent::Default if value == default() => Shown::InFull,
            WhenAbsent::By(by, _) if value == by(section) => Shown::InFull,
            WhenAbsent::Nothing(_) if value == default() => Shown::Never,
            WhenAbsent::Required | WhenAbsent::Found(_) => Shown::Always,
            WhenAbsent::Default | WhenAbsent::By(..) | WhenAbsent::Nothing(_) => Shown::Always,
        };
        let text = self.value.text(&value, &pipeline.dir);
        Rendered { name: self.name, results: self.class.results(text.as_ref()), text, shown }
    }
}

/// A key whose value is an inline table with rows of its own, over the same section.
pub(crate) struct Inline<S: 'static> {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: Keys<S>,
    /// What is wrong with the values together: a title and a label.
    pub(crate) check: fn(&S) -> Option<(&'static str, String)>,
}

impl<S: Section> Row<S> for Inline<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn info(&self) -> KeyInfo {
        let inner = infos(self.keys);
        KeyInfo {
            name: self.name,
            class: inner
                .iter()
                .map(|key| key.class)
                .find(|&class| class == Class::Results)
                .unwrap_or(Class::Tuning),
            doc: self.doc,
            schema: serde_json::Value::Null,
            default: table(inner.iter().map(|key| (key.name, key.default.as_ref()))),
            otherwise: None,
            is_required: false,
            inner,
        }
    }

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>, section: &mut S) {
        let Some(mut table) = reader.table(entry, self.name) else { return };
        read(self.keys, reader, &mut table, section);
        table.finish(reader);
        if let Some((title, label)) = (self.check)(section) {
            reader.problems.push(Problem::at(&entry.at(), title, label));
        }
    }

    fn rendered(&self, section: &S, pipeline: &Pipeline) -> Rendered {
        let inner = rendered(self.keys, section, pipeline);
        let shown = inner.iter().map(|key| key.shown.min(Shown::InFull)).min().unwrap_or(Shown::Never);
        let text = table(inner.iter().map(|key| (key.name, key.text.as_ref())));
        let results = table(inner.iter().map(|key| (key.name, key.results.as_ref())));
        Rendered { name: self.name, text, results, shown }
    }
}

/// A key of a part of the section `S`, which has rows of its own.
pub(crate) struct Within<S: 'static, P: 'static> {
    pub(crate) row: &'static dyn Row<P>,
    pub(crate) part: fn(&S) -> &P,
    pub(crate) part_mut: fn(&mut S) -> &mut P,
}

impl<S: 'static, P: 'static> Row<S> for Within<S, P> {
    fn name(&self) -> &'static str {
        self.row.name()
    }

    fn info(&self) -> KeyInfo {
        self.row.info()
    }

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>, section: &mut S) {
        self.row.read(reader, entry, (self.part_mut)(section));
    }

    fn rendered(&self, section: &S, pipeline: &Pipeline) -> Rendered {
        self.row.rendered((self.part)(section), pipeline)
    }
}

impl Class {
    /// What the semantic fingerprint takes of a value.
    fn results(self, text: Option<&String>) -> Option<String> {
        match self {
            Self::Results => text.cloned(),
            Self::Tuning | Self::Identity => None,
        }
    }
}

/// Reads the keys of a table that have rows here; gives those that were there.
pub(crate) fn read<'d, S>(
    keys: Keys<S>,
    reader: &mut Reader<'d>,
    table: &mut Table<'d>,
    section: &mut S,
) -> Vec<KeyValue<'d>> {
    let mut given = Vec::new();
    for key in keys {
        if let Some(entry) = table.take(key.name()) {
            key.read(reader, &entry, section);
            given.push(entry);
        }
    }
    given
}

pub(crate) fn rendered<S>(keys: Keys<S>, section: &S, pipeline: &Pipeline) -> Vec<Rendered> {
    keys.iter().map(|key| key.rendered(section, pipeline)).collect()
}

pub(crate) fn infos<S>(keys: Keys<S>) -> Vec<KeyInfo> {
    keys.iter().map(|key| key.info()).collect()
}

/// The keys of an inline table that have a text; `None`: none has.
fn table<'a>(texts: impl Iterator<Item = (&'a str, Option<&'a String>)>) -> Option<String> {
    let keys: Vec<String> =
        texts.filter_map(|(name, text)| text.map(|text| format!("{name} = {text}"))).collect();
    (!keys.is_empty()).then(|| format!("{{ {} }}", keys.join(", ")))
}
