//! A file, or a directory with one for each partition.

mod durable;
mod fifo;
mod headed;
mod plain;

pub use durable::{DurableFileSink, SinkSync};
pub use fifo::FifoSink;
pub use plain::{Exists, FileSink};

use super::{AnySink, Lives, SinkEnd, SinkError, SinkWriter, StreamSink, Tasks};
use crate::io::names;
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::value::{Text, Value, Words, shown_path};
use crate::pipeline::keys::{Class, Key, Section, WhenAbsent};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use crate::pipeline::{At, Problem, normalized};
use crate::text::pathname;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use worker_stdio::Stream;

/// What a sink writes to disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// Absolute.
    pub path: PathBuf,
    /// It is a directory with a file for each partition, `part-00000` and so on.
    pub is_directory: bool,
    pub exists: Exists,
    pub at: At,
}

impl Section for Files {
    fn defaults(_: &Path) -> Self {
        Self::one(PathBuf::new(), Exists::Error)
    }
}

pub(super) const KIND: End<AnySink, Files> = End {
    keys: &[
        &Key::<Files, _> {
            name: "file",
            class: Class::Results,
            doc: "the file that is written; one that ends in / is a directory: one file per partition; missing directories are made",
            value: FileOrDirectory,
            when_absent: WhenAbsent::Required,
            get: |files| (files.path.clone(), files.is_directory),
            set: |files, path, _| (files.path, files.is_directory) = path,
        },
        &Key::<Files, _> {
            name: "exists",
            class: Class::Tuning,
            doc: "error | replace | append: what becomes of a file that is there before the first run",
            value: Words(&[
                ("error", Exists::Error),
                ("replace", Exists::Replace),
                ("append", Exists::Append),
            ]),
            when_absent: WhenAbsent::Default,
            get: |files| files.exists,
            set: |files, exists, _| files.exists = exists,
        },
    ],
    make: |files, at| Shared(Arc::new(Files { at, ..files })),
    of: Shared::of,
    is_meant: |_, _| true,
    misplaced: |entry, _| {
        let title = format!("`{}` belongs to `file`", entry.key);
        Problem::at(&entry.key_at, title, "this sink writes no file").help("remove it")
    },
};

impl SinkEnd for Files {
    fn describe(&self, dir: &Path) -> String {
        let path = crate::pipeline::shown_path(dir, &self.path);
        format!("writes {}{}", path.display(), if self.is_directory { "/part-*" } else { "" })
    }

    fn at(&self) -> Option<&At> {
        Some(&self.at)
    }

    fn holds(&self) -> Vec<Resource> {
        let path = self.path.clone();
        vec![if self.is_directory { Resource::Parts(path) } else { Resource::File(path) }]
    }

    fn local(&self) -> Option<&'static str> {
        Some(if self.is_directory { "writes local files" } else { "writes a local file" })
    }

    fn tasks(&self) -> Tasks {
        if self.is_directory { Tasks::AsUpstream } else { Tasks::One("one file has one sink task") }
    }

    fn partition(&self, number: u32) -> Option<AnySink> {
        let path = self.is_directory.then(|| part_path(&self.path, number))?;
        Some(Shared(Arc::new(Self { path, is_directory: false, ..self.clone() })))
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        None
    }

    fn appends(&self) -> bool {
        self.exists == Exists::Append
    }

    fn appending(&self) -> Option<AnySink> {
        Some(Shared(Arc::new(Self { exists: Exists::Append, ..self.clone() })))
    }

    fn in_the_way(&self) -> Option<&Path> {
        let is_full = || self.path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0);
        (self.exists == Exists::Error && is_full()).then_some(&self.path)
    }

    fn delivered(&self, position: &[u8]) -> Result<(), SinkError> {
        DurableFileSink::delivered(&self.path, position)
    }

    fn open(
        &self,
        terminator: Option<u8>,
        lives: Option<Lives<'_>>,
    ) -> Result<Option<Box<dyn SinkWriter>>, SinkError> {
        Ok(Some(match lives {
            None if names(&self.path, Stream::Output) => Box::new(StreamSink::stdout()?),
            Some(_) if names(&self.path, Stream::Output) => Box::new(StreamSink::stdout()?.followed()),
            _ if names(&self.path, Stream::Error) && Stream::Error.was_closed() => {
                return Err(SinkError::Closed { what: "error" });
            }
            None if FifoSink::is_at(&self.path) => Box::new(FifoSink::new(&self.path)),
            Some(_) if FifoSink::is_at(&self.path) => Box::new(FifoSink::new(&self.path).followed()),
            None => Box::new(FileSink::open(&self.path, self.exists, terminator)?),
            Some(lives) => {
                Box::new(DurableFileSink::open(&self.path, self.exists, terminator, lives.position)?)
            }
        }))
    }
}

impl Files {
    /// One file.
    #[must_use]
    pub fn one(path: PathBuf, exists: Exists) -> Self {
        Self { path, is_directory: false, exists, at: At::default() }
    }
}

/// The file of one partition.
pub(in crate::io) fn part_path(dir: &Path, partition: u32) -> PathBuf {
    dir.join(format!("part-{partition:05}"))
}

/// Whether this could be the file of a partition.
pub(in crate::io) fn is_part(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("part-").is_some_and(|n| n.len() >= 5 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// An absolute path, and whether it is that of a directory.
struct FileOrDirectory;

impl Value for FileOrDirectory {
    type T = (PathBuf, bool);

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<(PathBuf, bool)> {
        let text = reader.text(entry)?;
        reader.refuse_shell_variables(&text, &entry.at())?;
        if text == "-" {
            return reader.fail(
                Problem::at(&entry.at(), "`-` is no file", "a file of that name would be \"./-\"")
                    .help("for standard output write stdout = true"),
            );
        }
        Some((normalized(reader.dir, &pathname::to_path(&text)), text.ends_with('/')))
    }

    fn text(&self, (path, is_directory): &(PathBuf, bool), dir: &Path) -> Option<String> {
        let path = Some(shown_path(dir, path)).filter(|path| path != "-").unwrap_or_else(|| "./-".to_owned());
        Some(quoted(&if *is_directory { format!("{}/", path.trim_end_matches('/')) } else { path }))
    }

    fn schema(&self) -> serde_json::Value {
        Text.schema()
    }
}
