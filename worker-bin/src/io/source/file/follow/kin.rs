//! Which logs a file may be a copy of, found by its name and its beginning, so that many files cost no look at each pair.

use super::catalog::Log;
use super::content::Content;
use super::find::Seen;
use super::known::{FileKey, LogId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// So much of a file that was found in this look tells it from others.
const HEAD_BYTES_MAX: usize = 1024;

/// The logs that are known, for one look.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// By directory, then by what the name of a copy begins with.
    by_name: HashMap<PathBuf, HashMap<Vec<u8>, Group>>,
    /// Logs that are in no file, by the first hash of their content, and by the file that they were in.
    gone_by_first: HashMap<u64, Vec<LogId>>,
    gone_by_file: HashMap<FileKey, Vec<LogId>>,
}

/// Logs whose copies are called alike.
#[derive(Debug, Default)]
struct Group {
    /// Of which is known what their files begin with.
    heads: BTreeMap<Vec<u8>, Vec<LogId>>,
    /// The others, by the first hash of what was given of them, where that is so much.
    others: HashMap<Option<u64>, Vec<LogId>>,
}

/// What a file begins with; as far as it was not changed when that was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Head(Option<Vec<u8>>);

impl Head {
    pub(super) fn of(file: &File, seen: &Seen) -> io::Result<Self> {
        let most = usize::try_from(seen.length).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX);
        let mut head = vec![0; most];
        let read = file.read_at(&mut head, 0)?;
        let metadata = file.metadata()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let is_as_seen = read == most && (metadata.len(), modified) == (seen.length, seen.modified);
        Ok(Self(is_as_seen.then_some(head)))
    }
}

impl Kin {
    pub(super) fn of<'a>(logs: impl Iterator<Item = (&'a LogId, &'a Log)>) -> Self {
        let mut kin = Self::default();
        for (&id, log) in logs {
            kin.add(id, log, Head::default());
        }
        kin
    }

    /// Another log, or one that is in another file now.
    pub(super) fn add(&mut self, id: LogId, log: &Log, head: Head) {
        let known = &log.known;
        if log.is_gone() {
            self.gone_by_file.entry(known.file).or_default().push(id);
            if let Some(first) = known.content.first_hash() {
                self.gone_by_first.entry(first).or_default().push(id);
            }
        }
        let directory = known.path.parent().unwrap_or(Path::new(""));
        if !self.by_name.contains_key(directory) {
            self.by_name.insert(directory.to_owned(), HashMap::new());
        }
        let Some(names) = self.by_name.get_mut(directory) else { return };
        let stems = BTreeSet::from([stem(&known.origin), stem(&known.path)]);
        for stem in stems {
            let group = names.entry(stem.to_vec()).or_default();
            match &head.0 {
                // Of what was packed the content is another.
                Some(head) if known.packed.is_none() => group.heads.entry(head.clone()).or_default().push(id),
                Some(_) | None => group.others.entry(known.content.first_hash()).or_default().push(id),
            }
        }
    }

    /// Whose copy a file may be that begins so: those called like it, but for those of which this look knows that they begin otherwise,
    /// and those that are gone and begin alike.
    pub(super) fn candidates(&self, seen: &Seen, head: &Head, content: &Content) -> BTreeSet<LogId> {
        let mut found = BTreeSet::new();
        let name = seen.path.file_name().unwrap_or_default().as_bytes();
        let names = self.by_name.get(seen.path.parent().unwrap_or(Path::new("")));
        let groups =
            names.into_iter().flat_map(|names| (0..=name.len()).filter_map(|end| names.get(&name[..end])));
        for group in groups {
            match content.first_hash() {
                Some(first) => {
                    found.extend(group.others.get(&None).into_iter().flatten());
                    found.extend(group.others.get(&Some(first)).into_iter().flatten());
                }
                None => found.extend(group.others.values().flatten()),
            }
            match &head.0 {
                // What is a copy of a file is no longer than it.
                Some(head) => {
                    let alike =
                        group.heads.range(head.clone()..).take_while(|(own, _)| own.starts_with(head));
                    found.extend(alike.flat_map(|(_, ids)| ids));
                }
                None => found.extend(group.heads.values().flatten()),
            }
        }
        found.extend(self.gone_by_file.get(&seen.key).into_iter().flatten());
        let alike = content.first_hash().and_then(|first| self.gone_by_first.get(&first));
        found.extend(alike.into_iter().flatten());
        found
    }
}

/// What the names of copies begin with.
fn stem(path: &Path) -> &[u8] {
    let name = path.file_name().unwrap_or_default();
    Path::new(name).file_stem().unwrap_or(name).as_bytes()
}
