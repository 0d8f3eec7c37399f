//! The paths of a list: how they are found, and kept for later lives.

use crate::io::framing::Framing;
use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::file::{AllMatches, outside};
use crate::io::source::{SourceError, SourceOptions, kept};
use crate::text::escape::one_line;
use crate::text::units::number;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const TAG: Tag = *b"WSN1";

/// Paths in their order, each with a zero byte behind it, which no path has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names(Vec<u8>);

impl Names {
    /// What `patterns` below `dir` name now, but for what is in `own`; each was there, and can be a record.
    pub(super) fn find(
        dir: &Path,
        patterns: &[String],
        own: Option<&Path>,
        options: &SourceOptions,
    ) -> Result<Self, SourceError> {
        let mut names = Vec::new();
        for pattern in patterns {
            let matches = AllMatches::of(dir, &[pattern])?;
            let base = if Path::new(pattern).is_absolute() { Path::new("") } else { dir };
            let mut add = |path: PathBuf| {
                can_be_listed(&path)?;
                let name = below(base, &path);
                can_be_record(&name, &path, options)?;
                names.extend_from_slice(&name);
                names.push(0);
                Ok(())
            };
            match own {
                Some(own) => outside(matches, own)?.into_iter().try_for_each(&mut add)?,
                None => matches.map(|found| Ok(found?.path)).try_for_each(|path| add(path?))?,
            }
        }
        Ok(Self(names))
    }

    /// As [`Self::store`] left them.
    pub(super) fn load(path: &Path) -> Result<Self, SourceError> {
        let list = |source| SourceError::List { path: path.to_owned(), source };
        let invalid = |error| list(io::Error::new(io::ErrorKind::InvalidData, error));
        let stored = kept::load(path).map_err(list)?;
        decode(&stored).map_err(invalid)
    }

    /// Durable when this returns.
    pub(super) fn store(&self, path: &Path) -> Result<(), SourceError> {
        let stored = kept::store(path, &Writer::new(TAG).string(&self.0).finish());
        stored.map_err(|source| SourceError::List { path: path.to_owned(), source })
    }

    /// Tells this list from any other.
    pub(super) fn hash(&self) -> u64 {
        xxh3_64(&self.0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether a path begins at this byte, or the list ends there.
    pub(super) fn is_boundary(&self, at: usize) -> bool {
        at == 0 || self.0.get(at - 1) == Some(&0)
    }

    /// The paths from the one on that begins at byte `at`.
    pub(super) fn from(&self, at: usize) -> impl Iterator<Item = &[u8]> {
        let rest = self.0.get(at..).unwrap_or_default();
        rest.split_inclusive(|&byte| byte == 0).map(|name| name.strip_suffix(&[0]).unwrap_or(name))
    }
}

/// What is there has a name, whatever a link leads to: nobody opens it here.
pub(super) fn can_be_listed(path: &Path) -> Result<(), SourceError> {
    let there = path.symlink_metadata();
    there.map_err(|source| SourceError::Open { path: path.to_owned(), source })?;
    if path.is_dir() { Err(SourceError::Directory { path: path.to_owned() }) } else { Ok(()) }
}

fn decode(bytes: &[u8]) -> Result<Names, LayoutError> {
    let mut reader = Reader::new(bytes, TAG)?;
    let names = reader.string()?.to_vec();
    reader.finish()?;
    if names.last().is_some_and(|&last| last != 0) { Err(LayoutError::Short) } else { Ok(Names(names)) }
}

/// `path` as it was asked for below `base`. No program takes it for an option or for standard input.
fn below(base: &Path, path: &Path) -> Vec<u8> {
    let (base, path) = (base.as_os_str().as_bytes(), path.as_os_str().as_bytes());
    let rest = path.strip_prefix(base).filter(|_| !base.is_empty());
    let rest = rest.map_or(path, |rest| rest.strip_prefix(b"/").unwrap_or(rest));
    if rest.starts_with(b"-") { [b"./", rest].concat() } else { rest.to_vec() }
}

/// The path that a name stands for in `dir`.
pub(super) fn path(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

fn can_be_record(name: &[u8], path: &Path, options: &SourceOptions) -> Result<(), SourceError> {
    let (max, framing) = (options.max_record, &options.framing);
    let (why, what) = if name.len() > max {
        let length = number(name.len() as u64);
        let why = format!("it has {length} bytes, more than max_record = {max} allows");
        (why, "raise max_record in [pipeline] (--max-record)".to_owned())
    } else if *framing == Framing::Lines && name.contains(&b'\n') {
        let what = "say framing = \"nul\" of its source (--framing nul), which carries any path";
        ("it has a newline in it, with which a record ends".to_owned(), what.to_owned())
    } else {
        match framing.record(name) {
            Ok(_) => return Ok(()),
            Err(why) => (why, "use another framing of its source: \"nul\" carries any path".to_owned()),
        }
    };
    Err(SourceError::NoRecord { path: one_line(path.as_os_str().as_bytes()), why, what })
}
