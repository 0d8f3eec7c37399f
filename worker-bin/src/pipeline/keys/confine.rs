//! `limits`, `user` and `sandbox`: what a program may use, who it is, and what it sees.

use super::program::Program;
use super::value::{Flag, Integer, Maybe, Size, Text, Time, Value, any_of, shown_path};
use super::{Class, Inline, Key, WhenAbsent};
use crate::pipeline::diagnostics::normalized;
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::list;
use serde_json::{Value as Schema, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program may use and see; by default what the worker may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confine {
    pub limits: Limits,
    pub user: Option<String>,
    /// Below these it may read; with `write` the only files that it sees.
    pub read: Option<Vec<PathBuf>>,
    /// Below these it may do anything.
    pub write: Option<Vec<PathBuf>>,
    /// Whether it has a network; `None`: as the worker.
    pub net: Option<bool>,
}

/// What each of its processes may use at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    pub cpu: Option<Duration>,
    pub open_files: Option<u64>,
    pub processes: Option<u64>,
    pub file_size_bytes: Option<u64>,
}

pub(super) const LIMITS: Inline<Program> = Inline {
    name: "limits",
    doc: "what each process of the program may use at most; processes is of all that its user has, so name one where the worker is root",
    keys: &[
        &Key::<Program, _> {
            name: "memory",
            class: Class::Tuning,
            doc: "address space: what asks for more is refused it",
            value: Maybe(Size),
            when_absent: WhenAbsent::Nothing("no limit"),
            get: |program| program.confine.limits.memory_bytes,
            set: |program, bytes, _| program.confine.limits.memory_bytes = bytes,
        },
        &Key::<Program, _> {
            name: "cpu",
            class: Class::Tuning,
            doc: "processor time, in whole seconds: SIGXCPU ends what has used it up",
            value: Maybe(Time::AboveZero),
            when_absent: WhenAbsent::Nothing("no limit"),
            get: |program| program.confine.limits.cpu,
            set: |program, time, _| program.confine.limits.cpu = time,
        },
        &Key::<Program, _> {
            name: "open_files",
            class: Class::Tuning,
            doc: "open files, its pipes among them",
            value: Maybe(Integer { least: 3, most: 1 << 30 }),
            when_absent: WhenAbsent::Nothing("no limit"),
            get: |program| program.confine.limits.open_files,
            set: |program, count, _| program.confine.limits.open_files = count,
        },
        &Key::<Program, _> {
            name: "processes",
            class: Class::Tuning,
            doc: "processes and threads of its user, those of other programs included; root has no such limit",
            value: Maybe(Integer { least: 1, most: 1 << 30 }),
            when_absent: WhenAbsent::Nothing("no limit"),
            get: |program| program.confine.limits.processes,
            set: |program, count, _| program.confine.limits.processes = count,
        },
        &Key::<Program, _> {
            name: "file_size",
            class: Class::Tuning,
            doc: "the size of a file that it writes: SIGXFSZ ends what writes more",
            value: Maybe(Size),
            when_absent: WhenAbsent::Nothing("no limit"),
            get: |program| program.confine.limits.file_size_bytes,
            set: |program, bytes, _| program.confine.limits.file_size_bytes = bytes,
        },
    ],
    check: |_| None,
};

pub(super) const USER: Key<Program, Maybe<Text>> = Key {
    name: "user",
    class: Class::Tuning,
    doc: "the user that the program runs as, by name or number; the worker must be root for that",
    value: Maybe(Text),
    when_absent: WhenAbsent::Nothing("the worker's"),
    get: |program| program.confine.user.clone(),
    set: |program, user, _| program.confine.user = user,
};

pub(super) const SANDBOX: Inline<Program> = Inline {
    name: "sandbox",
    doc: "what the program sees of files and networks",
    keys: &[
        &Key::<Program, _> {
            name: "read",
            class: Class::Tuning,
            doc: "files and directories that it may read and run; with read or write it sees no others but its own file, what the system's \
                  programs need (/usr, /lib, /proc, a few files of /etc) and WORKER_TMPDIR",
            value: Maybe(Paths),
            when_absent: WhenAbsent::Nothing("all"),
            get: |program| program.confine.read.clone(),
            set: |program, paths, _| program.confine.read = paths,
        },
        &Key::<Program, _> {
            name: "write",
            class: Class::Tuning,
            doc: "files and directories that it may also make, change and remove",
            value: Maybe(Paths),
            when_absent: WhenAbsent::Nothing("all"),
            get: |program| program.confine.write.clone(),
            set: |program, paths, _| program.confine.write = paths,
        },
        &Key::<Program, _> {
            name: "net",
            class: Class::Tuning,
            doc: "whether it has a network: with false not even that of the machine itself",
            value: Maybe(Flag),
            when_absent: WhenAbsent::Nothing("as the worker"),
            get: |program| program.confine.net,
            set: |program, net, _| program.confine.net = net,
        },
    ],
    check: |_| None,
};

/// Paths relative to the file; absolute once they are read.
struct Paths;

impl Value for Paths {
    type T = Vec<PathBuf>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<PathBuf>> {
        let paths = reader.strings(entry)?;
        if paths.iter().any(|(path, _)| path.is_empty()) {
            return reader.not_a(
                entry,
                "a list of paths",
                "paths that are not empty, such as [\"data\", \"/srv/models\"]",
            );
        }
        Some(paths.into_iter().map(|(path, _)| normalized(reader.dir, Path::new(&path))).collect())
    }

    fn text(&self, paths: &Vec<PathBuf>, dir: &Path) -> Option<String> {
        let shown: Vec<String> = paths.iter().map(|path| shown_path(dir, path)).collect();
        Some(list(shown.iter().map(String::as_str)))
    }

    fn schema(&self) -> Schema {
        let path = json!({"type": "string", "minLength": 1});
        any_of([path.clone(), json!({"type": "array", "items": path})])
    }
}
