//! `[[test]]`.

use super::value::{Integer, Maybe, Value, any_of};
use super::{Class, Key, Keys, Rendered, Section, WhenAbsent, row};
use crate::pipeline::diagnostics::{At, Problem, normalized};
use crate::pipeline::model::Pipeline;
use crate::pipeline::reader::{KeyValue, Reader, Table, Value as TomlValue};
use crate::pipeline::text::{quoted, quoted_key};
use serde_json::{Value as Schema, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An input and what is expected of it: of a stage alone, or of the whole pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Test {
    /// What `worker test` calls it, if the file says that.
    pub(crate) name: Option<String>,
    /// What it calls it.
    pub label: String,
    /// `None`: the whole pipeline.
    pub stage: Option<String>,
    pub input: Option<ByEnd<String>>,
    pub input_file: Option<ByEnd<PathBuf>>,
    pub output: Option<ByEnd<String>>,
    pub output_file: Option<ByEnd<PathBuf>>,
    /// How many records are expected to become dead letters.
    pub dead_letters: u64,
    pub(crate) at: At,
    pub(crate) name_at: At,
    pub(crate) stage_at: At,
    pub(crate) input_at: At,
    pub(crate) output_at: At,
}

/// Something for the only source or sink that there is, or for each of several by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByEnd<T> {
    One(T),
    Each(BTreeMap<String, T>),
}

impl<T> ByEnd<T> {
    /// What is for the source or sink of this name, which is the only one or not.
    pub fn of(&self, name: &str) -> Option<&T> {
        match self {
            Self::One(one) => Some(one),
            Self::Each(each) => each.get(name),
        }
    }

    /// The names that it has.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let each = match self {
            Self::One(_) => None,
            Self::Each(each) => Some(each),
        };
        each.into_iter().flat_map(|each| each.keys().map(String::as_str))
    }
}

impl Section for Test {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

pub(crate) const KEYS: Keys<Test> = &[
    &Key::<Test, _> {
        name: "name",
        class: Class::Tuning,
        doc: "what `worker test FILE NAME` and its reports call it",
        value: Maybe(Label),
        when_absent: WhenAbsent::Nothing("its stage, or pipeline"),
        get: |test| test.name.clone(),
        set: |test, name, at| (test.name, test.name_at) = (name, at),
    },
    &Key::<Test, _> {
        name: "stage",
        class: Class::Tuning,
        doc: "the stage that is tried alone",
        value: Maybe(super::value::Text),
        when_absent: WhenAbsent::Nothing("the whole pipeline, from its sources to its sinks"),
        get: |test| test.stage.clone(),
        set: |test, stage, at| (test.stage, test.stage_at) = (stage, at),
    },
    &Key::<Test, _> {
        name: "input",
        class: Class::Tuning,
        doc: "the input, as it is; where there are several sources, a table: { a = \"1\\n\", b = \"2\\n\" }",
        value: Maybe(Texts),
        when_absent: WhenAbsent::Nothing("input_file"),
        get: |test| test.input.clone(),
        set: |test, input, at| (test.input, test.input_at) = (input, at),
    },
    &Key::<Test, _> {
        name: "input_file",
        class: Class::Tuning,
        doc: "the file that has the input, or a table of files",
        value: Maybe(Paths),
        when_absent: WhenAbsent::Nothing("input"),
        get: |test| test.input_file.clone(),
        set: |test, input, at| (test.input_file, test.input_at) = (input, at),
    },
    &Key::<Test, _> {
        name: "output",
        class: Class::Tuning,
        doc: "what is expected; where there are several sinks, a table, in which those that do not matter are left out",
        value: Maybe(Texts),
        when_absent: WhenAbsent::Nothing("output_file"),
        get: |test| test.output.clone(),
        set: |test, output, at| (test.output, test.output_at) = (output, at),
    },
    &Key::<Test, _> {
        name: "output_file",
        class: Class::Tuning,
        doc: "the file that has the expected output, or a table of files",
        value: Maybe(Paths),
        when_absent: WhenAbsent::Nothing("output"),
        get: |test| test.output_file.clone(),
        set: |test, output, at| (test.output_file, test.output_at) = (output, at),
    },
    &Key::<Test, _> {
        name: "dead_letters",
        class: Class::Tuning,
        doc: "how many records are expected to become dead letters",
        value: Integer { least: 0, most: u64::MAX },
        when_absent: WhenAbsent::Default,
        get: |test| test.dead_letters,
        set: |test, count, _| test.dead_letters = count,
    },
];

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, at: At) -> Test {
    let mut test = Test { at, ..Test::default() };
    let given = row::read(KEYS, reader, &mut table, &mut test);
    table.finish(reader);
    for (what, file) in [("input", "input_file"), ("output", "output_file")] {
        if !given.iter().any(|entry| entry.key == what || entry.key == file) {
            let title = format!("a test has no {what}");
            let help = format!(
                "write it here, {what} = \"a line\\n\", or name a file that has it: {file} = \"tests/{what}.txt\""
            );
            reader.problems.push(Problem::at(&test.at, title, format!("`{what}` is missing")).help(help));
        }
    }
    test
}

impl Test {
    pub(crate) fn rendered(&self, pipeline: &Pipeline) -> Vec<Rendered> {
        row::rendered(KEYS, self, pipeline)
    }
}

/// The name of a test: any text in one line.
struct Label;

impl Value for Label {
    type T = String;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
        let name = reader.text(entry)?;
        if name.trim().is_empty() || name.starts_with('-') || name.chars().any(char::is_control) {
            return reader.not_a(
                entry,
                "the name of a test",
                "a text in one line that does not begin with -",
            );
        }
        Some(name)
    }

    fn text(&self, name: &String, _: &Path) -> Option<String> {
        Some(quoted(name))
    }

    fn schema(&self) -> Schema {
        json!({"type": "string", "pattern": "^[^-\\u0000-\\u001f][^\\u0000-\\u001f]*$"})
    }
}

/// A text, which may be empty and in which nothing is replaced, or a table of them.
struct Texts;

impl Value for Texts {
    type T = ByEnd<String>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Self::T> {
        by_end(reader, entry, |reader, key, value| match value.get_ref().as_str() {
            Some(text) => Some(text.to_owned()),
            None => reader.wrong_type(key, value, "a string"),
        })
    }

    fn text(&self, texts: &Self::T, _: &Path) -> Option<String> {
        Some(shown(texts, |text| quoted(text)))
    }

    fn schema(&self) -> Schema {
        of_strings(&json!({"type": "string"}))
    }
}

/// A path, or a table of them; absolute once they are read.
struct Paths;

impl Value for Paths {
    type T = ByEnd<PathBuf>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Self::T> {
        by_end(reader, entry, |reader, key, value| {
            let text = reader.string_value(key, value)?;
            if text.is_empty() {
                let problem = Problem::at(&At(value.span()), format!("`{key}` is empty"), "expected a path");
                return reader.fail(problem);
            }
            reader.refuse_shell_variables(&text, &At(value.span()))?;
            Some(normalized(reader.dir, Path::new(&text)))
        })
    }

    fn text(&self, paths: &Self::T, dir: &Path) -> Option<String> {
        Some(shown(paths, |path| quoted(&super::value::shown_path(dir, path))))
    }

    fn schema(&self) -> Schema {
        of_strings(&json!({"type": "string", "minLength": 1}))
    }
}

fn by_end<'d, T>(
    reader: &mut Reader<'d>,
    entry: &KeyValue<'d>,
    read: fn(&mut Reader<'d>, &str, &TomlValue<'d>) -> Option<T>,
) -> Option<ByEnd<T>> {
    let Some(table) = entry.value.get_ref().as_table() else {
        if entry.is_string() {
            return read(reader, entry.key, entry.value).map(ByEnd::One);
        }
        return reader.wrong_type(
            entry.key,
            entry.value,
            "a string, or a table of strings by source or sink",
        );
    };
    let mut each = BTreeMap::new();
    for entry in Table::new(entry.key, table).into_entries() {
        each.insert(entry.key.to_owned(), read(reader, entry.key, entry.value)?);
    }
    if each.is_empty() {
        return reader.not_a(entry, "a table of strings", "at least one, such as { log = \"…\" }");
    }
    Some(ByEnd::Each(each))
}

fn shown<T>(values: &ByEnd<T>, show: impl Fn(&T) -> String) -> String {
    match values {
        ByEnd::One(one) => show(one),
        ByEnd::Each(each) => {
            let each: Vec<String> =
                each.iter().map(|(name, value)| format!("{} = {}", quoted_key(name), show(value))).collect();
            format!("{{ {} }}", each.join(", "))
        }
    }
}

fn of_strings(string: &Schema) -> Schema {
    let table = json!({"type": "object", "additionalProperties": string, "minProperties": 1});
    any_of([string.clone(), table])
}
