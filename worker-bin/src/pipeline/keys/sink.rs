//! `[sink.NAME]`.

use super::from::{self, From};
use super::kind::{self, End, Kind};
use super::partition_by::{KeyRule, Rule};
use super::place::{Place, PlaceName};
use super::program::{self, Program};
use super::value::{Maybe, Number, Value, Words, shown_path};
use super::{Class, Key, Keys, Said, Section, Unsaid, row};
use crate::io::sink::Exists;
use crate::pipeline::diagnostics::{At, Problem, normalized};
use crate::pipeline::model::{Framing, Origin, Pipeline};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use crate::pipeline::text::quoted;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    /// What it reads from; at least one.
    pub from: Vec<Origin>,
    pub target: SinkTarget,
    /// Number of tasks, where it can have several; `None`: see [`plan`](crate::pipeline::plan()).
    pub partitions: Option<u32>,
    /// What decides the partition a record goes to; `None`: any.
    pub partition_by: Option<KeyRule>,
    /// How the records it reads end.
    pub framing: Framing,
    /// Nodes it runs on; empty if the file does not say.
    pub place: Vec<PlaceName>,
    /// The names that `from` gives, until they are looked up.
    pub(crate) named: Option<Vec<(String, At)>>,
    pub(crate) at: At,
    pub(crate) partitions_at: At,
    pub(crate) key_at: At,
}

/// What a sink writes.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkTarget {
    File {
        path: PathBuf,
        /// What happens to one that is there.
        exists: Exists,
        /// Where it is written.
        at: At,
    },
    /// A directory with one file per partition, `part-00000` and so on.
    Directory {
        path: PathBuf,
        /// What happens to files that are there.
        exists: Exists,
        /// Where it is written.
        at: At,
    },
    /// The worker's own standard output.
    Stdout,
    /// A program's standard input.
    Program(Program),
}

impl Section for Sink {
    fn unsaid(_: &Path) -> Self {
        Self {
            name: String::new(),
            from: Vec::new(),
            target: SinkTarget::Stdout,
            partitions: None,
            partition_by: None,
            framing: Framing::Lines,
            place: Vec::new(),
            named: None,
            at: At::default(),
            partitions_at: At::default(),
            key_at: At::default(),
        }
    }
}

/// What stands before the keys of its kind.
pub(crate) const HEAD: Keys<Sink> =
    &[&From { get: |sink: &Sink| &sink.from, set: |sink, names| sink.named = Some(names) }];

/// The keys of all kinds of sinks.
pub(crate) const KEYS: Keys<Sink> = &[
    &Key::<Sink, _> {
        name: "order",
        class: Class::Results,
        doc: "the only one",
        value: Order,
        unsaid: Unsaid::Nothing("any"),
        get: |_| (),
        set: |_, (), _| (),
    },
    &Key::<Sink, _> {
        name: "partitions",
        class: Class::Results,
        doc: "tasks of a directory or program",
        value: Maybe(Number { most: PARTITIONS_MAX }),
        unsaid: Unsaid::Nothing("1 for a program; for a directory as many as the largest stage before it"),
        get: |sink| sink.partitions,
        set: |sink, count, at| (sink.partitions, sink.partitions_at) = (count, at),
    },
    &Key::<Sink, _> {
        name: "partition_by",
        class: Class::Results,
        doc: "which of them a record goes to, as for stages",
        value: Maybe(Rule),
        unsaid: Unsaid::Nothing("any"),
        get: |sink| sink.partition_by.clone(),
        set: |sink, rule, at| (sink.partition_by, sink.key_at) = (rule, at),
    },
    &Key::<Sink, _> {
        name: "place",
        class: Class::Identity,
        doc: "the node that writes it, or several; local files and standard streams need it in a cluster",
        value: Place,
        unsaid: Unsaid::Nothing("any"),
        get: |sink| sink.place.clone(),
        set: |sink, place, _| sink.place = place,
    },
];

/// All kinds of sinks.
pub(crate) const KINDS: &[&dyn Kind<SinkTarget>] = &[&FILE, &STDOUT, &PROGRAM];

const FILE: End<SinkTarget, FileKeys> = End {
    keys: &[
        &Key::<FileKeys, _> {
            name: "file",
            class: Class::Results,
            doc: "one that ends in / is a directory: one file per partition",
            value: FileOrDirectory,
            unsaid: Unsaid::Required,
            get: |file| (file.path.clone(), file.is_directory),
            set: |file, path, at| ((file.path, file.is_directory), file.at) = (path, at),
        },
        &Key::<FileKeys, _> {
            name: "exists",
            class: Class::Tuning,
            doc: "or replace, append: what becomes of a file that is there before the first run",
            value: Words(&[
                ("error", Exists::Error),
                ("replace", Exists::Replace),
                ("append", Exists::Append),
            ]),
            unsaid: Unsaid::Default,
            get: |file| file.exists,
            set: |file, exists, _| file.exists = exists,
        },
    ],
    make: |FileKeys { path, is_directory, exists, at }| match is_directory {
        true => SinkTarget::Directory { path, exists, at },
        false => SinkTarget::File { path, exists, at },
    },
    of: |target| {
        match target {
            SinkTarget::File { path, exists, at } => Some((path, exists, at, false)),
            SinkTarget::Directory { path, exists, at } => Some((path, exists, at, true)),
            SinkTarget::Stdout | SinkTarget::Program(_) => None,
        }
        .map(|(path, exists, at, is_directory)| FileKeys {
            path: path.clone(),
            is_directory,
            exists: *exists,
            at: at.clone(),
        })
    },
    is_meant: |_, _| true,
    misplaced: |entry, _| {
        let title = format!("`{}` belongs to `file`", entry.key);
        Problem::at(&entry.key_at, title, "this sink writes no file").help("remove it")
    },
};

const STDOUT: End<SinkTarget, kind::Standard> = End {
    keys: &[&Key::<kind::Standard, _> {
        name: "stdout",
        class: Class::Results,
        doc: "writes to the worker's standard output",
        value: kind::OnlyTrue,
        unsaid: Unsaid::Required,
        get: |_| (),
        set: |_, (), _| (),
    }],
    make: |kind::Standard| SinkTarget::Stdout,
    of: |target| matches!(target, SinkTarget::Stdout).then_some(kind::Standard),
    is_meant: kind::must_be_true,
    misplaced: program::misplaced,
};

const PROGRAM: End<SinkTarget, Program> = End {
    keys: program::KEYS,
    make: SinkTarget::Program,
    of: |target| match target {
        SinkTarget::Program(program) => Some(program.clone()),
        SinkTarget::File { .. } | SinkTarget::Directory { .. } | SinkTarget::Stdout => None,
    },
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

/// A sink that writes files, as its keys say it.
struct FileKeys {
    path: PathBuf,
    is_directory: bool,
    exists: Exists,
    at: At,
}

impl Section for FileKeys {
    fn unsaid(_: &Path) -> Self {
        Self { path: PathBuf::new(), is_directory: false, exists: Exists::Error, at: At::default() }
    }
}

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, (name, at): (String, At)) -> Sink {
    let mut sink = Sink { partitions_at: at.clone(), ..Sink::unsaid(reader.dir) };
    let given = row::read(HEAD, reader, &mut table, &mut sink);
    from::refuse_nothing(reader, &table.title, &given, sink.named.as_deref());
    sink.target = kind::read(KINDS, reader, &mut table, &at);
    row::read(KEYS, reader, &mut table, &mut sink);
    table.finish(reader);
    one_task_only(reader, &sink);
    Sink { name, at, ..sink }
}

impl Sink {
    pub(crate) fn said(&self, pipeline: &Pipeline) -> Vec<Said> {
        let target = kind::said(KINDS, &self.target, pipeline);
        [row::said(HEAD, self, pipeline), target, row::said(KEYS, self, pipeline)].concat()
    }
}

fn one_task_only(reader: &mut Reader<'_>, sink: &Sink) {
    let Some(count) = sink.partitions.filter(|&count| count > 1) else { return };
    let what = match sink.target {
        SinkTarget::File { .. } => "one file has one sink task",
        SinkTarget::Stdout => "standard output has one sink task",
        SinkTarget::Directory { .. } | SinkTarget::Program(_) => return,
    };
    reader.problems.push(
        Problem::at(&sink.partitions_at, format!("`partitions` cannot be {count} here"), what)
            .help("a `file` that ends in / is a directory and gets one file per partition"),
    );
}

/// An absolute path, and whether it is that of a directory.
struct FileOrDirectory;

impl Value for FileOrDirectory {
    type T = (PathBuf, bool);

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<(PathBuf, bool)> {
        let text = reader.text(entry)?;
        reader.refuse_shell_variables(&text, &entry.at())?;
        Some((normalized(reader.dir, Path::new(&text)), text.ends_with('/')))
    }

    fn text(&self, (path, is_directory): &(PathBuf, bool), dir: &Path) -> Option<String> {
        let path = shown_path(dir, path);
        Some(quoted(&if *is_directory { format!("{}/", path.trim_end_matches('/')) } else { path }))
    }

    fn schema(&self) -> serde_json::Value {
        super::value::Text.schema()
    }
}

/// In which order records are written; what is not said is not printed.
struct Order;

impl Order {
    const WORDS: Words<()> = Words(&[("any", ())]);
}

impl Value for Order {
    type T = ();

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<()> {
        Self::WORDS.read(reader, entry)
    }

    fn text(&self, (): &(), _: &Path) -> Option<String> {
        None
    }

    fn schema(&self) -> serde_json::Value {
        Self::WORDS.schema()
    }
}
