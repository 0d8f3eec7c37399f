//! Where dead letters are, and what they are called.

use super::args::LettersArgs;
use super::claims::{self, ClaimError};
use crate::admin::registry;
use crate::explain::Snapshot;
use crate::io::dead::{DeadLogError, Letter, log_path, read_letters};
use crate::pipeline::{self, ConfigError, Pipeline, StateOptions};
use crate::text::names;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;
use worker_core::config::TaskName;

/// Letters that are compared with the name of one that is not there.
const NEAR_MAX: usize = 10_000;

/// The name of a dead letter: `errors/0:17`, or `r2/errors/0:17` for one of the second replay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LetterId {
    /// The replay that dead-lettered it; `None`: the pipeline's own run.
    pub(super) replay: Option<u32>,
    /// `stage/partition`.
    pub(super) task: String,
    /// Its number within the task; in a file of a run without state, its line.
    pub(super) number: u64,
}

/// What holds dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// A state directory, with those of its replays.
    State(PathBuf),
    /// The file of a run that kept no state; it is not there where that run had no dead letters.
    File(PathBuf),
}

/// A dead letter and its name.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: LetterId,
    pub(super) letter: Letter,
}

/// Why dead letters cannot be found.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    /// The pipeline file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of dead letters cannot be read.
    #[error(transparent)]
    Letters(#[from] DeadLogError),
    /// What was replayed is not known.
    #[error(transparent)]
    Claims(#[from] ClaimError),
    /// A stage that nothing knows.
    #[error("there is no stage {stage}{there}")]
    NoStage {
        stage: String,
        /// Those there are.
        there: String,
    },
    /// Neither a file nor a directory.
    #[error("say where dead letters are: a pipeline file, --state DIR or --letters FILE")]
    Nowhere,
    #[error(
        "there is no state directory {}: nothing was run with it yet; name the directory of the run with --state{}", .0.display(),
        names::near_path(.0)
    )]
    NoState(PathBuf),
    /// A directory of something else.
    #[error("{} is no state directory: it has no manifest.json; name the directory of the run with --state", .0.display())]
    NotState(PathBuf),
    /// A directory of several nodes.
    #[error("{} holds the state of several nodes: say which, --state {}", dir.display(), nodes.join(" or --state "))]
    Nodes {
        dir: PathBuf,
        /// The directories of nodes in it.
        nodes: Vec<String>,
    },
    #[error("there is no file of dead letters {}: no record was dead-lettered, or {}{}", path.display(),
        elsewhere(state.as_deref()), names::near_path(path))]
    NoFile {
        path: PathBuf,
        /// Where the last run of the pipeline on this machine kept its state.
        state: Option<PathBuf>,
    },
    #[error(
        "`{0}` is no dead letter: expected TASK:NUMBER as `worker dlq list` shows it, such as errors/0:17"
    )]
    BadId(String),
    /// A name of nothing.
    #[error("there is no dead letter {id} in {}{near}; `worker dlq list` shows those that are there", place.display())]
    NoLetter {
        id: LetterId,
        /// The one that was probably meant.
        near: String,
        /// Where it was searched.
        place: PathBuf,
    },
}

/// Where else they may be.
fn elsewhere(state: Option<&Path>) -> String {
    match state {
        Some(dir) => format!("they are in the state of its last run here: name it, --state {}", dir.display()),
        None => "the run was started elsewhere (name the file with --letters) or kept state (name its directory with --state)".to_owned(),
    }
}

/// What is known of the last run of a pipeline on this machine.
#[derive(Default)]
struct LastRun {
    state: Option<PathBuf>,
    /// It has ended, and said at its end that it had dead-lettered nothing.
    had_none: bool,
}

impl LastRun {
    fn of(pipeline: &str) -> Self {
        let found = registry::list().unwrap_or_default();
        let Some(last) = found.into_iter().find(|found| found.entry.pipeline == pipeline) else {
            return Self::default();
        };
        let state = last.entry.state;
        let none = |last: Box<Snapshot>| last.tasks.iter().all(|task| task.counters.dead_records == 0);
        let had_none = state.is_none() && last.entry.last.is_some_and(none);
        Self { state: state.filter(|dir| dir.is_dir()), had_none }
    }
}

impl Store {
    /// What the command line means: a pipeline file, a file of dead letters, or neither beside `--state` or `--letters`.
    pub(super) fn find(
        file: Option<&Path>,
        from: &LettersArgs,
    ) -> Result<(Self, Option<Pipeline>), StoreError> {
        let letters = file.filter(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        if let Some(letters) = letters {
            return Ok((Self::file(letters)?, None));
        }
        let pipeline = match file {
            Some(file) => Some(load(file, from)?),
            None => None,
        };
        let store = match (&from.letters, &pipeline) {
            (Some(letters), _) => Self::file(letters)?,
            (None, Some(pipeline)) => Self::of(pipeline)?,
            (None, None) => Self::state(from.state.as_deref().ok_or(StoreError::Nowhere)?)?,
        };
        Ok((store, pipeline))
    }

    /// Where a pipeline's dead letters are.
    pub(super) fn of(pipeline: &Pipeline) -> Result<Self, StoreError> {
        match &pipeline.state_dir {
            Some(dir) => Self::state(dir),
            None => match Self::file(&newest(&pipeline.name)) {
                Err(StoreError::NoFile { path, .. }) => {
                    let last = LastRun::of(&pipeline.name);
                    if last.had_none {
                        return Ok(Self::File(path));
                    }
                    Err(StoreError::NoFile { path, state: last.state })
                }
                store => store,
            },
        }
    }

    fn state(dir: &Path) -> Result<Self, StoreError> {
        if dir.join("manifest.json").exists() {
            return Ok(Self::State(dir.to_owned()));
        }
        let Ok(entries) = dir.read_dir() else { return Err(StoreError::NoState(dir.to_owned())) };
        let nodes = entries.flatten().map(|entry| entry.path());
        let mut nodes: Vec<String> = nodes
            .filter(|path| path.join("manifest.json").exists())
            .map(|path| path.display().to_string())
            .collect();
        nodes.sort();
        match nodes.is_empty() {
            true => Err(StoreError::NotState(dir.to_owned())),
            false => Err(StoreError::Nodes { dir: dir.to_owned(), nodes }),
        }
    }

    /// A file of dead letters.
    pub(super) fn file(path: &Path) -> Result<Self, StoreError> {
        match path.is_file() {
            true => Ok(Self::File(path.to_owned())),
            false => Err(StoreError::NoFile { path: path.to_owned(), state: None }),
        }
    }

    /// Where it is kept what was replayed: of a run that kept no state, in a directory beside its file of dead letters.
    pub(super) fn home(&self) -> PathBuf {
        match self {
            Self::State(dir) => dir.clone(),
            Self::File(file) => {
                let mut beside = file.clone().into_os_string();
                beside.push(".replayed");
                beside.into()
            }
        }
    }

    /// What was replayed.
    pub(super) fn replays(&self) -> Result<Vec<claims::Replay>, StoreError> {
        Ok(claims::replays(&self.home())?)
    }

    /// All letters, those of the pipeline's run first. An error is about one line or one file, and others follow.
    pub(super) fn letters(
        &self,
        replays: &[claims::Replay],
    ) -> impl Iterator<Item = Result<Kept, StoreError>> + use<> {
        let own = match self {
            Self::File(file) => file.clone(),
            Self::State(dir) => dir.join("dead"),
        };
        let of_replays = replays.iter().map(|replay| (Some(replay.number), replay.state().join("dead")));
        let places: Vec<(Option<u32>, PathBuf)> = std::iter::once((None, own)).chain(of_replays).collect();
        places.into_iter().flat_map(|(replay, place)| letters_in(replay, &place))
    }

    pub(super) fn letter(&self, id: &LetterId) -> Result<Letter, StoreError> {
        let place = match (self, id.replay) {
            (Self::File(file), None) => file.clone(),
            (Self::State(dir), None) => id.log(dir),
            (Self::File(_) | Self::State(_), Some(number)) => id.log(&claims::state_of(&self.home(), number)),
        };
        let none = || {
            let near = self.near(id, &self.replays().unwrap_or_default());
            StoreError::NoLetter { id: id.clone(), near, place: self.path().to_owned() }
        };
        if !place.is_file() {
            return Err(none());
        }
        for kept in letters_in(id.replay, &place) {
            match kept {
                Ok(kept) if kept.id == *id => return Ok(kept.letter),
                // Another line is damaged, or another file: list says so.
                Ok(_)
                | Err(StoreError::Letters(DeadLogError::Line { .. } | DeadLogError::BreaksOff { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(none())
    }

    /// `; did you mean …?` for the name of nothing, if there is a letter of that number whose task is called nearly so.
    pub(super) fn near(&self, id: &LetterId, replays: &[claims::Replay]) -> String {
        let same = self.letters(replays).flatten().filter(|kept| kept.id.number == id.number);
        let ids: Vec<String> = same.map(|kept| kept.id.to_string()).take(NEAR_MAX).collect();
        let meant = names::suggestion(&id.to_string(), ids.iter().map(String::as_str));
        meant.map_or_else(String::new, |meant| format!("; {meant}"))
    }

    /// `in` where it is, or that there is no such place.
    pub(super) fn place(&self) -> String {
        match self {
            Self::File(path) if !path.exists() => ": the last run had none".to_owned(),
            Self::State(path) | Self::File(path) => format!(" in {}", path.display()),
        }
    }

    /// The directory or file.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::State(path) | Self::File(path) => path,
        }
    }
}

fn load(file: &Path, from: &LettersArgs) -> Result<Pipeline, ConfigError> {
    let options = StateOptions { dir: from.state.as_deref(), ..StateOptions::default() };
    pipeline::load(file, &from.set)?.with_state(options)
}

/// The file of the latest run: later ones have a number in their names.
fn newest(name: &str) -> PathBuf {
    let first = PathBuf::from(format!("{name}.dead-letters.jsonl"));
    let later = (1_u32..).map(|n| PathBuf::from(format!("{name}.dead-letters-{n}.jsonl")));
    later.take_while(|path| path.exists()).last().unwrap_or(first)
}

fn letters_in(replay: Option<u32>, place: &Path) -> impl Iterator<Item = Result<Kept, StoreError>> + use<> {
    let (letters, unreadable) = match read_letters(place) {
        Ok(letters) => (Some(letters), None),
        Err(error) => (None, Some(Err(error.into()))),
    };
    let kept = letters.into_iter().flatten().zip(1_u64..).map(move |(letter, line)| {
        let letter = letter?;
        let number = letter.id.unwrap_or(line);
        Ok(Kept { id: LetterId { replay, task: letter.task.clone(), number }, letter })
    });
    unreadable.into_iter().chain(kept)
}

impl LetterId {
    fn log(&self, state: &Path) -> PathBuf {
        let TaskName { stage, partition } = TaskName::of(&self.task);
        log_path(state, stage, partition.parse().unwrap_or(0))
    }
}

impl FromStr for LetterId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = || StoreError::BadId(text.to_owned());
        let (place, number) = text.rsplit_once(':').ok_or_else(bad)?;
        let number = number.parse().map_err(|_| bad())?;
        let parts: Vec<&str> = place.split('/').collect();
        let (replay, stage, partition) = match parts.as_slice() {
            [stage, partition] => (None, stage, partition),
            [replay, stage, partition] => {
                let replay = replay.strip_prefix('r').and_then(|n| n.parse().ok());
                (Some(replay.ok_or_else(bad)?), stage, partition)
            }
            _ => return Err(bad()),
        };
        let partition: u32 = partition.parse().map_err(|_| bad())?;
        if stage.is_empty() || stage.starts_with('.') {
            return Err(bad());
        }
        Ok(Self { replay, task: format!("{stage}/{partition}"), number })
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(replay) = self.replay {
            write!(f, "r{replay}/")?;
        }
        write!(f, "{}:{}", self.task, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown() {
        for text in ["errors/0:17", "r2/errors/12:1"] {
            assert_eq!(text.parse::<LetterId>().unwrap().to_string(), text);
        }
        let id: LetterId = "r2/errors/12:1".parse().unwrap();
        assert_eq!((id.replay, id.task.as_str(), id.number), (Some(2), "errors/12", 1));
        for text in [
            "",
            "errors",
            "errors/0",
            "errors:1",
            "errors/x:1",
            "x/errors/0:1",
            "a/b/c/0:1",
            "../0:1",
            "/0:1",
            "e/0:-1",
        ] {
            let message = text.parse::<LetterId>().unwrap_err().to_string();
            assert!(message.contains("expected TASK:NUMBER"), "{message}");
        }
    }

    #[test]
    fn a_letter_without_number_is_known_by_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.dead-letters.jsonl");
        let line = r#"{"time":"t","task":"a/1","reason":"r","attempts":1,"record":"x"}"#;
        std::fs::write(&path, format!("{line}\nnonsense\n{line}\n")).unwrap();
        let store = Store::File(path);
        let all: Vec<_> = store.letters(&[]).map(|kept| kept.map(|kept| kept.id.to_string())).collect();
        let shown: Vec<&str> = all.iter().flatten().map(String::as_str).collect();
        assert_eq!((all.len(), shown), (3, vec!["a/1:1", "a/1:3"]));
        assert_eq!(&store.letter(&"a/1:3".parse().unwrap()).unwrap().record[..], b"x");
        for missing in ["a/1:2", "a/0:1", "a/1:4"] {
            let message = store.letter(&missing.parse().unwrap()).unwrap_err().to_string();
            assert!(message.starts_with(&format!("there is no dead letter {missing} in ")), "{message}");
        }
    }

    #[test]
    fn directories_that_are_no_state_say_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let says = |path: &Path, text: &str| {
            let message = Store::state(path).unwrap_err().to_string();
            assert!(message.contains(text), "{message}");
        };
        says(&dir.path().join("nowhere"), "there is no state directory");
        says(dir.path(), "has no manifest.json");
        for node in ["b", "a"] {
            std::fs::create_dir(dir.path().join(node)).unwrap();
            std::fs::write(dir.path().join(node).join("manifest.json"), "{}").unwrap();
        }
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        says(dir.path(), &format!("say which, --state {} or --state {}", a.display(), b.display()));
        assert_eq!(Store::state(&a).unwrap(), Store::State(a));
    }
}
