//! `[source.NAME]`.

use super::kind::{self, End, Kind};
use super::place::{Place, PlaceName};
use super::program::{self, Program};
use super::value::{Value, Words};
use super::{Class, Key, Keys, Said, Section, Unsaid, row};
use crate::io::source::Header;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Framing, Pipeline};
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::Path;

/// Where records come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: String,
    pub input: SourceInput,
    /// What is done with the first line of each file.
    pub header: Header,
    pub framing: Framing,
    /// Nodes that read it; empty if the file does not say.
    pub place: Vec<PlaceName>,
    pub(crate) at: At,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceInput {
    /// Files that match a glob, sorted by name.
    Files {
        /// As written; relative to [`Pipeline::dir`].
        pattern: String,
        /// Where it is written.
        at: At,
    },
    /// The worker's own standard input.
    Stdin,
    /// What a program prints.
    Program(Program),
}

impl Section for Source {
    fn unsaid(_: &Path) -> Self {
        Self {
            name: String::new(),
            input: SourceInput::Stdin,
            header: Header::Keep,
            framing: Framing::Lines,
            place: Vec::new(),
            at: At::default(),
        }
    }
}

/// The keys of all kinds of sources.
pub(crate) const KEYS: Keys<Source> = &[
    &Key::<Source, _> {
        name: "header",
        class: Class::Results,
        doc: "keep | skip | repeat: the first line heads every batch, for programs that want it",
        value: Words(&[("keep", Header::Keep), ("skip", Header::Skip), ("repeat", Header::Repeat)]),
        unsaid: Unsaid::Default,
        get: |source| source.header,
        set: |source, header, _| source.header = header,
    },
    &Key::<Source, _> {
        name: "framing",
        class: Class::Results,
        doc: "lines | nul; stages have it too, for what they print",
        value: super::FRAMING,
        unsaid: Unsaid::Default,
        get: |source| source.framing,
        set: |source, framing, _| source.framing = framing,
    },
    &Key::<Source, _> {
        name: "place",
        class: Class::Identity,
        doc: "the node that reads it, or several; local files and standard streams need it in a cluster",
        value: Place,
        unsaid: Unsaid::Nothing("any"),
        get: |source| source.place.clone(),
        set: |source, place, _| source.place = place,
    },
];

/// All kinds of sources.
pub(crate) const KINDS: &[&dyn Kind<SourceInput>] = &[&FILES, &PROGRAM, &STDIN];

const FILES: End<SourceInput, Files> = End {
    keys: &[&Key::<Files, _> {
        name: "file",
        class: Class::Results,
        doc: "glob, sorted by name; gzip and zstd by their first bytes; relative to this file",
        value: Glob,
        unsaid: Unsaid::Required,
        get: |files| files.pattern.clone(),
        set: |files, pattern, at| *files = Files { pattern, at },
    }],
    make: |Files { pattern, at }| SourceInput::Files { pattern, at },
    of: |input| match input {
        SourceInput::Files { pattern, at } => Some(Files { pattern: pattern.clone(), at: at.clone() }),
        SourceInput::Stdin | SourceInput::Program(_) => None,
    },
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

const PROGRAM: End<SourceInput, Program> = End {
    keys: program::KEYS,
    make: SourceInput::Program,
    of: |input| match input {
        SourceInput::Program(program) => Some(program.clone()),
        SourceInput::Files { .. } | SourceInput::Stdin => None,
    },
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

const STDIN: End<SourceInput, kind::Standard> = End {
    keys: &[&Key::<kind::Standard, _> {
        name: "stdin",
        class: Class::Results,
        doc: "reads the worker's standard input",
        value: kind::OnlyTrue,
        unsaid: Unsaid::Required,
        get: |_| (),
        set: |_, (), _| (),
    }],
    make: |kind::Standard| SourceInput::Stdin,
    of: |input| matches!(input, SourceInput::Stdin).then_some(kind::Standard),
    is_meant: kind::must_be_true,
    misplaced: program::misplaced,
};

/// A source that reads files, as its keys say it.
struct Files {
    pattern: String,
    at: At,
}

impl Section for Files {
    fn unsaid(_: &Path) -> Self {
        Self { pattern: String::new(), at: At::default() }
    }
}

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, (name, at): (String, At)) -> Source {
    let mut source = Source::unsaid(reader.dir);
    source.input = kind::read(KINDS, reader, &mut table, &at);
    let given = row::read(KEYS, reader, &mut table, &mut source);
    table.finish(reader);
    if source.header == Header::Repeat && !matches!(source.input, SourceInput::Files { .. }) {
        let at = given.iter().find(|entry| entry.key == "header").map(KeyValue::at);
        let title = "`header = \"repeat\"` needs files";
        let problem = Problem::at(&at.unwrap_or_default(), title, "the header must be known before the run");
        reader.problems.push(problem.help("read a file with `file`, or use \"keep\" or \"skip\""));
        source.header = Header::Keep;
    }
    Source { name, at, ..source }
}

impl Source {
    pub(crate) fn said(&self, pipeline: &Pipeline) -> Vec<Said> {
        [kind::said(KINDS, &self.input, pipeline), row::said(KEYS, self, pipeline)].concat()
    }
}

/// A glob as written; whether it matches anything is known only on the node that reads it.
struct Glob;

impl Value for Glob {
    type T = String;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
        let text = reader.text(entry)?;
        reader.refuse_shell_variables(&text, &entry.at())?;
        match glob::Pattern::new(&text) {
            Ok(_) => Some(text),
            Err(error) => reader.fail(
                Problem::at(&entry.at(), format!("this pattern cannot be used: {}", error.msg), "").help(
                    "patterns know *, ?, [abc] and **; to mean such a character itself, put it in brackets: [*]",
                ),
            ),
        }
    }

    fn text(&self, pattern: &String, dir: &Path) -> Option<String> {
        super::value::Text.text(pattern, dir)
    }

    fn schema(&self) -> serde_json::Value {
        super::value::Text.schema()
    }
}
