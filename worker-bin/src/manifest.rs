//! What a state directory belongs to.

use crate::fault;
use crate::hints;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use worker_core::config::TaskName;
use worker_journal::{StateError, sync_directory};

const NAME: &str = "manifest.json";
const NEW_NAME: &str = "manifest.json.tmp";
/// The newest format that this program knows.
const FORMAT: u64 = 2;

/// Of a directory in which every task has a journal of its own.
const FORMAT_WITHOUT_COLUMNS: u64 = 1;

/// Why a manifest is not read or written.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Made by a newer program.
    #[error(
        "{} was made by a newer worker: its format is {found}, this one knows {known}; use the newer worker",
        path.display()
    )]
    Newer {
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest one this program knows.
        known: u64,
    },
    /// Not what it should be.
    #[error(
        "{} cannot be understood ({why}); if the directory is this pipeline's, restore it from a copy or start over with \
         --fresh; otherwise choose another one with --state", path.display()
    )]
    Senseless { path: PathBuf, why: String },
    #[error("{0}{hint}", hint = hints::of_state(.0))]
    State(#[from] StateError),
}

/// What the state in a directory belongs to, and how far that has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the node.
    pub node: String,
    /// The last one used; the next is the clock's, or one more than this.
    pub incarnation: u64,
    /// What must not change, as the pipeline file says it: what the semantic fingerprint is of.
    #[serde(rename = "meaning")]
    pub semantics: BTreeMap<String, String>,
    /// Which task runs on which node.
    pub placement: BTreeMap<String, String>,
    /// The pipeline has come to its end.
    pub finished: bool,
    /// The first records that keys and programs were given when the state was begun, by source; what the input begins with
    /// later does not matter. Older versions have not kept them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "in_base64")]
    pub headers: BTreeMap<String, Bytes>,
    /// How many journals the tasks share: a task's is that of its partition modulo this. `None`: each task has its own, as
    /// older versions gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<NonZeroU32>,
}

/// The directory of the journal that a task, `stage/partition`, has in a state directory.
#[must_use]
pub fn journal_dir(state: &Path, task: &str) -> PathBuf {
    let columns = Manifest::load(state).ok().flatten().and_then(|manifest| manifest.columns);
    state.join(JOURNALS).join(journal_name(columns, task))
}

/// Where a state directory has its journals.
pub(crate) const JOURNALS: &str = "tasks";

/// What the names of journals begin with that tasks share.
pub(crate) const COLUMN: &str = "column-";

/// What the journal of a task is called where there are so many columns.
#[must_use]
pub(crate) fn journal_name(columns: Option<NonZeroU32>, task: &str) -> String {
    match columns {
        Some(columns) => {
            let partition: u32 = TaskName::of(task).partition.parse().unwrap_or(0);
            format!("{COLUMN}{}", partition % columns)
        }
        None => task.replace('/', "-"),
    }
}

/// As it is in the file.
#[derive(Serialize, Deserialize)]
struct Written<T> {
    format: u64,
    #[serde(flatten)]
    manifest: T,
}

impl Manifest {
    /// The manifest of a directory, if it has one.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn load(directory: &Path) -> Result<Option<Self>, ManifestError> {
        let path = directory.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::io("read", &path)(error).into()),
        };
        let senseless =
            |why: serde_json::Error| ManifestError::Senseless { path: path.clone(), why: why.to_string() };
        let any: Written<serde_json::Value> = serde_json::from_slice(&text).map_err(senseless)?;
        if any.format > FORMAT {
            return Err(ManifestError::Newer { path, found: any.format, known: FORMAT });
        }
        let written: Written<Self> = serde_json::from_slice(&text).map_err(senseless)?;
        Ok(Some(written.manifest))
    }

    /// Replaces the manifest of a directory, at once and durably.
    ///
    /// # Errors
    /// [`ManifestError::State`].
    pub fn store(&self, directory: &Path) -> Result<(), ManifestError> {
        let (path, new) = (directory.join(NAME), directory.join(NEW_NAME));
        let format = if self.columns.is_some() { FORMAT } else { FORMAT_WITHOUT_COLUMNS };
        let written = Written { format, manifest: self };
        let mut text = serde_json::to_vec_pretty(&written)
            .map_err(|e| ManifestError::Senseless { path: path.clone(), why: e.to_string() })?;
        text.push(b'\n');
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&new)
            .and_then(|mut file| {
                fault::around("manifest.write", || file.write_all(&text))?;
                fault::around("manifest.sync", || file.sync_all())
            })
            .map_err(StateError::io("write", &new))?;
        fault::around("manifest.rename", || std::fs::rename(&new, &path))
            .map_err(StateError::io("replace", &path))?;
        Ok(sync_directory(directory)?)
    }
}

/// Bytes of any kind as JSON's text.
mod in_base64 {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<String, Bytes>, to: S) -> Result<S::Ok, S::Error> {
        let texts = map.iter().map(|(name, bytes)| (name, BASE64_STANDARD.encode(bytes)));
        texts.collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Bytes>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        let bytes = texts.into_iter().map(|(name, text)| Ok((name, BASE64_STANDARD.decode(text)?.into())));
        bytes.collect::<Result<_, base64::DecodeError>>().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            pipeline: "p".to_owned(),
            node: "a".to_owned(),
            incarnation: 5,
            semantics: [("stage.s.run", "grep x"), ("stage.s.mode", "batch")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            placement: [("s/0".to_owned(), "a".to_owned())].into(),
            finished: false,
            headers: [("in".to_owned(), Bytes::from_static(b"a,\xff\n"))].into(),
            columns: NonZeroU32::new(2),
        }
    }

    #[test]
    fn it_is_read_back_as_written_and_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::load(directory.path()).unwrap(), None);
        manifest().store(directory.path()).unwrap();
        assert_eq!(Manifest::load(directory.path()).unwrap(), Some(manifest()));
        let finished = Manifest { finished: true, ..manifest() };
        finished.store(directory.path()).unwrap();
        assert_eq!(Manifest::load(directory.path()).unwrap(), Some(finished));
        assert!(!directory.path().join(NEW_NAME).exists());
    }

    #[test]
    fn one_of_a_version_that_kept_no_headers_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let old = Manifest { headers: BTreeMap::new(), columns: None, ..manifest() };
        old.store(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert!(!text.contains("headers") && !text.contains("columns"), "{text}");
        assert!(text.contains("\"format\": 1"), "an older worker knows it: {text}");
        assert_eq!(Manifest::load(directory.path()).unwrap().unwrap(), old);
    }

    #[test]
    fn a_task_s_journal_is_that_of_its_column_or_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let of = |task: &str| journal_dir(directory.path(), task);
        manifest().store(directory.path()).unwrap();
        let column = |index: u32| directory.path().join(format!("tasks/column-{index}"));
        assert_eq!((of("s/0"), of("s/3"), of("a/b/4")), (column(0), column(1), column(0)));
        Manifest { columns: None, ..manifest() }.store(directory.path()).unwrap();
        assert_eq!(of("a/b/4"), directory.path().join("tasks/a-b-4"));
    }

    #[test]
    fn a_newer_or_senseless_one_is_refused_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let refusal = |text: &str| {
            std::fs::write(directory.path().join(NAME), text).unwrap();
            Manifest::load(directory.path()).unwrap_err().to_string()
        };
        let newer = refusal(r#"{"format": 3, "unheard": "of"}"#);
        assert!(newer.contains("newer worker") && newer.contains("manifest.json"), "{newer}");
        for text in ["", "{", "[]", r#"{"format": 1}"#, r#"{"format": "1"}"#] {
            let refused = refusal(text);
            assert!(refused.contains("cannot be understood") && refused.contains("--fresh"), "{refused}");
        }
    }
}
