//! Files that match a pattern, or the one named pipe or device that it names.

mod decode;
mod files;
mod first;
mod fixed;
mod follow;
mod listing;
mod name;
mod paths;
mod pattern;
mod pipe;
mod position;
mod referred;
mod walk;

pub use files::FileSource;
pub use first::first_record;
pub use fixed::SourceFiles;
pub(super) use fixed::prefix_hash;
use follow::{FollowReader, Following, Since, Sum};
pub use paths::expand;
pub(super) use paths::{AllMatches, outside};
pub(crate) use pattern::Pattern;
pub(crate) use referred::ReferredFiles;

use super::{
    AnySource, Ending, Lives, Opened, Opening, SourceEnd, SourceError, SourceOptions, SourceReader,
    StreamSource,
};
use crate::io::names;
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::io::source::unpack::Format;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::source::Source;
use crate::pipeline::keys::value::{Flag, Maybe, Text, Time, Value, Words, any_of};
use crate::pipeline::keys::{Class, Key, Section, WhenAbsent};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::list;
use crate::pipeline::{At, Problem};
use crate::text::pathname;
use bytes::Bytes;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use worker_journal::Fold;
use worker_stdio::Stream;

/// Of so many files it is said beforehand what they are.
const LOOKED_AT_MAX: usize = 100;

/// How long a followed file stays silent before it is closed.
const IDLE: Duration = Duration::from_secs(300);

/// Files, sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// As written; at least one.
    pub patterns: Vec<String>,
    /// They are what they are, whatever they begin with.
    pub is_plain: bool,
    /// They are read as they grow, and as others come.
    pub(crate) follow: bool,
    /// Where that begins, if that is said.
    pub(crate) since: Option<Since>,
    /// How long a followed file stays silent before it is closed, if that is said.
    pub(crate) idle: Option<Duration>,
    /// A key that only followed files have, and where it is.
    pub(crate) of_follow: Option<(&'static str, At)>,
    pub at: At,
}

impl Section for Files {
    fn defaults(_: &Path) -> Self {
        Self {
            patterns: Vec::new(),
            is_plain: false,
            follow: false,
            since: None,
            idle: None,
            of_follow: None,
            at: At::default(),
        }
    }
}

pub(super) const KIND: End<AnySource, Files> = End {
    keys: &[
        &Key::<Files, _> {
            name: "file",
            class: Class::Results,
            doc: "the files that are read: a glob, sorted by name, or a list of them; relative to this file; gzip, zstd, bzip2, xz, lz4 and UTF-16 are known by their first bytes, and decoded",
            value: Globs,
            when_absent: WhenAbsent::Required,
            get: |files| files.patterns.clone(),
            set: |files, patterns, _| files.patterns = patterns,
        },
        &Key::<Files, _> {
            name: "follow",
            class: Class::Results,
            doc: "whether files are read on as they grow and are rotated, new ones too, like tail -F; it never ends",
            value: Maybe(Flag),
            when_absent: WhenAbsent::Nothing("false"),
            get: |files| files.follow.then_some(true),
            set: |files, follow, _| files.follow = follow == Some(true),
        },
        &Key::<Files, _> {
            name: "since",
            class: Class::Tuning,
            doc: "start | end: where the first start of the pipeline begins in files that are followed",
            value: Maybe(Words(&[("start", Since::Start), ("end", Since::End)])),
            when_absent: WhenAbsent::Nothing("\"start\""),
            get: |files| files.since,
            set: |files, since, at| {
                files.since = since;
                files.misused("since", at);
            },
        },
        &Key::<Files, _> {
            name: "idle",
            class: Class::Tuning,
            doc: "how long a followed file may be silent before it is closed; then its last line counts even without its end",
            value: Maybe(Time::AboveZero),
            when_absent: WhenAbsent::Nothing("\"5m\""),
            get: |files| files.idle,
            set: |files, idle, at| {
                files.idle = idle;
                files.misused("idle", at);
            },
        },
    ],
    make: |files, at| Shared(Arc::new(Files { at, ..files })),
    of: Shared::of,
    is_meant: |_, _| true,
    misplaced: |entry, title| {
        let what = format!("`{}` belongs to files", entry.key);
        Problem::at(&entry.key_at, what, format!("{title} reads none"))
            .help("remove it, or name files with `file`")
    },
};

impl SourceEnd for Files {
    fn describe(&self) -> String {
        format!("{} {}", if self.follow { "follows" } else { "reads" }, shown_patterns(&self.patterns))
    }

    fn at(&self) -> Option<&At> {
        Some(&self.at)
    }

    fn holds(&self, dir: &Path) -> Vec<Resource> {
        Resource::matching(dir, &self.patterns)
    }

    fn local(&self) -> Option<&'static str> {
        Some("reads local files")
    }

    fn ending(&self) -> Ending {
        if self.follow { Ending::Never } else { Ending::Certain }
    }

    fn check(&self, _: &Source, _: u64) -> Option<Problem> {
        let (key, at) = self.of_follow.as_ref().filter(|_| !self.follow)?;
        let problem =
            Problem::at(at, format!("`{key}` is for files that are followed"), "they are read once");
        Some(problem.help("add follow = true, or remove it"))
    }

    fn sum(&self) -> Option<Box<dyn Fold>> {
        self.follow.then(|| Box::new(Sum::default()) as Box<dyn Fold>)
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        None
    }

    fn missing(&self, dir: &Path) -> Option<String> {
        // What is followed may come.
        if self.follow {
            return None;
        }
        expand(dir, &self.patterns).err().map(|error| error.to_string())
    }

    fn decodes(&self, dir: &Path) -> Vec<(&'static str, u64)> {
        let mut formats = Vec::new();
        for path in self.first_paths(dir, LOOKED_AT_MAX) {
            if let Some(format) =
                decode::format_of(&path).map(|format| (format.name(), format.memory_bytes()))
                && !formats.contains(&format)
            {
                formats.push(format);
            }
        }
        formats
    }

    fn may_decode(&self, dir: &Path) -> Option<u64> {
        if self.follow {
            return Some(Format::MEMORY_BYTES_MAX);
        }
        let paths = self.first_paths(dir, LOOKED_AT_MAX + 1);
        let is_known = paths.len() <= LOOKED_AT_MAX && paths.iter().all(|path| path.is_file());
        (!is_known).then_some(Format::MEMORY_BYTES_MAX)
    }

    fn has_header(&self) -> bool {
        !self.follow
    }

    fn header(&self, dir: &Path, options: &SourceOptions) -> Result<Bytes, String> {
        for file in self.matches(dir).map_err(|error| error.to_string())? {
            let file = file.map_err(|error| error.to_string())?.path;
            // What is read of anything else is gone from it.
            if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                return Err(format!(
                    "{} is no regular file: its first record is known only when it is read, and looking at it would take it away",
                    file.display()
                ));
            }
            let first = first_record(&file, options);
            if let Some(header) = first.map_err(|error| error.to_string())? {
                return Ok(options.framing.ended(header));
            }
        }
        Err("the file is empty".to_owned())
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError> {
        if self.follow {
            return Ok(Opened::Reader(Box::new(self.followed(opening)?)));
        }
        let reader: Box<dyn SourceReader> = match (self.stream(opening)?, &opening.durable) {
            (Some(stream), _) => Box::new(stream),
            (None, None) => {
                let found = self.matches(opening.dir)?;
                Box::new(FileSource::find(found, opening.dir, &self.options(opening), opening.stop.clone())?)
            }
            (None, Some(lives)) => Box::new(self.fixed(opening, lives)?),
        };
        Ok(Opened::Reader(reader))
    }
}

impl Files {
    fn options(&self, opening: &Opening<'_>) -> SourceOptions {
        SourceOptions { is_plain: self.is_plain, ..opening.options.clone() }
    }

    fn followed(&self, opening: &Opening<'_>) -> Result<FollowReader, SourceError> {
        let following = Following {
            base: opening.dir,
            patterns: &self.patterns,
            since: self.since.unwrap_or_default(),
            idle: self.idle.unwrap_or(IDLE),
            stop: opening.stop.clone(),
            durable: opening.durable.as_ref().map(|lives| (lives.position.clone(), lives.state)),
        };
        FollowReader::open(following, &self.options(opening))
    }

    fn misused(&mut self, key: &'static str, at: At) {
        self.of_follow.get_or_insert((key, at));
    }

    fn matches(&self, dir: &Path) -> Result<AllMatches, SourceError> {
        AllMatches::of(dir, &self.patterns)
    }

    /// So many of them, as far as they can be found.
    fn first_paths(&self, dir: &Path, max: usize) -> Vec<PathBuf> {
        let found = self.matches(dir).into_iter().flatten().map_while(Result::ok);
        found.map(|found| found.path).take(max).collect()
    }

    /// The files of the first life, with the lengths that they had.
    fn fixed(&self, opening: &Opening<'_>, lives: &Lives<'_>) -> Result<FileSource, SourceError> {
        if let Some(position) = &lives.position {
            let files = SourceFiles::load(&lives.list)?;
            let source = FileSource::resume(files, position, &self.options(opening))?;
            return Ok(source.referred(lives.may_refer));
        }
        // What this very run writes there is no input.
        let paths = outside(self.matches(opening.dir)?, lives.state)?;
        let files = SourceFiles::fix(paths, &self.options(opening))?;
        files.store(&lives.list)?;
        Ok(FileSource::fixed(files, &self.options(opening)).referred(lives.may_refer))
    }

    /// The one path that is named, opened, if that is no regular file: it is read as it comes.
    fn stream(&self, opening: &Opening<'_>) -> Result<Option<StreamSource>, SourceError> {
        let [pattern] = self.patterns.as_slice() else { return Ok(None) };
        let path = opening.dir.join(pathname::to_path(pattern));
        if names(&path, Stream::Input) && Stream::Input.was_closed() {
            return Err(SourceError::Closed);
        }
        if !is_stream(&path) {
            return Ok(None);
        }
        // A named pipe is opened without waiting for its writer: that is waited for by whoever reads.
        let opened = pipe::open_now(&path);
        let file = opened.map_err(|source| SourceError::Open { path: path.clone(), source })?;
        let stream = opening.stream(file.into(), path.display().to_string())?;
        Ok(Some(stream.found_at(path)))
    }
}

/// For people.
pub(super) fn shown_patterns(patterns: &[String]) -> String {
    let shown = patterns.iter().map(|pattern| pathname::to_path(pattern).display().to_string());
    shown.collect::<Vec<_>>().join(", ")
}

fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo() || kind.is_char_device()
    })
}

/// Where a state directory keeps the list of a source task's files.
#[must_use]
pub fn list_path(state: &Path, task: &str) -> PathBuf {
    state.join("sources").join(format!("{}.list", task.replace('/', "-")))
}

/// A glob as written, or several; whether they match anything is known only on the node that reads them.
pub(super) struct Globs;

impl Value for Globs {
    type T = Vec<String>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<String>> {
        let globs = reader.strings(entry)?;
        if globs.is_empty() {
            return reader.not_a(entry, "a list of files", "at least one, such as [\"logs/*.log\"]");
        }
        let whole = globs.len();
        let good: Vec<String> =
            globs.into_iter().filter_map(|(text, at)| glob(reader, entry.key, text, &at)).collect();
        (good.len() == whole).then_some(good)
    }

    fn text(&self, patterns: &Vec<String>, dir: &Path) -> Option<String> {
        match patterns.as_slice() {
            [one] => Text.text(one, dir),
            several => Some(list(several.iter().map(String::as_str))),
        }
    }

    fn schema(&self) -> serde_json::Value {
        let several = serde_json::json!({"type": "array", "items": Text.schema(), "minItems": 1});
        any_of([Text.schema(), several])
    }
}

fn glob(reader: &mut Reader<'_>, key: &str, text: String, at: &At) -> Option<String> {
    if text.is_empty() {
        return reader.fail(Problem::at(at, format!("`{key}` is empty"), "expected some text"));
    }
    if text == "-" {
        return reader.fail(
            Problem::at(at, "`-` is no file", "a file of that name would be \"./-\"")
                .help("for standard input write stdin = true (-i -)"),
        );
    }
    reader.refuse_shell_variables(&text, at)?;
    match Pattern::parse(&text) {
        Ok(_) => Some(text),
        Err(why) => reader.fail(Problem::at(at, format!("this pattern cannot be used: {why}"), "").help(
            "patterns know *, ?, [abc] and **; to mean such a character itself, put it in brackets: [*]",
        )),
    }
}
