//! Which dead letters were given to which replay: `STATE/replays/N`.
//!
//! - `letters.jsonl` claims letters: a line about the replay, then a line for each letter, in the order of the inputs. It is
//!   written whole or not at all, before the replay begins, under the lock of `replays`; a letter is claimed at most once.
//! - `input/SOURCE` has the records that go in at one stage, written before the claim.
//! - `state` is the state directory of the replay's own run.
//! - `done` is there once that has finished.

use super::store::LetterId;
use crate::io::dead::Letter;
use crate::io::durable;
use crate::io::framing::Framing;
use crate::io::source::{FileSource, SourceOptions, SourceReader as _};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use worker_core::config::TaskName;
use xxhash_rust::xxh3::xxh3_128;

/// Of `letters.jsonl`.
const FORMAT: u32 = 1;

/// A replay as its directory tells it.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    /// From 1.
    pub(super) number: u32,
    dir: PathBuf,
    /// What it was given; `None`: it died before that, and nothing is claimed.
    pub(super) claim: Option<Claim>,
    /// Whether it has finished.
    pub(super) done: bool,
}

/// What a replay was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Where its results go; `None`: into the sinks of the pipeline.
    pub(super) out: Option<PathBuf>,
    pub(super) inputs: Vec<ClaimInput>,
    /// The letters, those of the first input first.
    pub(super) letters: Vec<ClaimedLetter>,
}

/// A way in for letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClaimInput {
    /// The name of the source that reads them.
    pub(super) source: String,
    /// The stage or sink they go into.
    pub(super) into: String,
    /// How its records follow one another, as on a command line.
    #[serde(default)]
    pub(super) framing: String,
    /// What ends each of its records, in the claims of versions that knew no other framing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) terminator: Option<u8>,
    /// Records of the input that are no letters: a header.
    pub(super) heads: u64,
    pub(super) letters: u64,
}

impl ClaimInput {
    fn framing(&self) -> Framing {
        match self.terminator {
            Some(0) => Framing::Nul,
            Some(_) => Framing::Lines,
            None => self.framing.parse().unwrap_or_default(),
        }
    }
}

/// A letter that was given to a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimedLetter {
    pub(super) id: LetterId,
    /// When it was dead-lettered: an unfinished run may use the number of a letter that it had not committed again.
    pub(super) time: String,
}

/// What was replayed is not known.
#[derive(Debug, Error)]
pub(super) enum ClaimError {
    /// The system says no.
    #[error("cannot {what} {}: {source}; check that this user may, and that there is room", path.display())]
    System { what: &'static str, path: PathBuf, source: io::Error },
    /// Someone has changed it, or a newer version wrote it.
    #[error(
        "{}, line {line}: not what this version writes ({why}); restore it, or remove {} to count its letters as not replayed",
        path.display(), path.parent().unwrap_or(path).display()
    )]
    Line {
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::text::pathname::maybe")]
    out: Option<PathBuf>,
    inputs: Vec<ClaimInput>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    time: String,
}

/// The state directory of a replay.
pub(super) fn state_of(state: &Path, number: u32) -> PathBuf {
    dir_of(state, number).join("state")
}

/// Where replays are kept.
pub(super) fn home(state: &Path) -> PathBuf {
    state.join("replays")
}

fn dir_of(state: &Path, number: u32) -> PathBuf {
    home(state).join(number.to_string())
}

/// All replays of a state directory, the first one first.
pub(super) fn replays(state: &Path) -> Result<Vec<Replay>, ClaimError> {
    let home = home(state);
    let entries = match home.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ClaimError::System { what: "read", path: home, source }),
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| Replay::load(state, number)).collect()
}

impl Replay {
    /// A replay that has nothing yet.
    pub(super) fn new(state: &Path, number: u32) -> Self {
        Self { number, dir: dir_of(state, number), claim: None, done: false }
    }

    fn load(state: &Path, number: u32) -> Result<Self, ClaimError> {
        let replay = Self::new(state, number);
        let (claim, done) = (Claim::load(&replay.claim_path())?, replay.done_path().exists());
        Ok(Self { claim, done, ..replay })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The state directory of its run.
    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The directory of its inputs.
    pub(super) fn inputs(&self) -> PathBuf {
        self.dir.join("input")
    }

    fn claim_path(&self) -> PathBuf {
        self.dir.join("letters.jsonl")
    }

    fn done_path(&self) -> PathBuf {
        self.dir.join("done")
    }

    /// Claims letters, all or none, on stable storage when this returns.
    pub(super) fn claim(&mut self, claim: Claim) -> Result<(), ClaimError> {
        let path = self.claim_path();
        let written = durable::replace_file(&path, &claim.text(), "replay.claim");
        written.map_err(|source| ClaimError::System { what: "write", path, source })?;
        self.claim = Some(claim);
        Ok(())
    }

    /// Notes that its run has finished.
    pub(super) fn finish(&mut self) -> Result<(), ClaimError> {
        let path = self.done_path();
        let written = durable::replace_file(&path, b"finished\n", "replay.done");
        written.map_err(|source| ClaimError::System { what: "write", path, source })?;
        self.done = true;
        Ok(())
    }

    /// The letters it was given, by their records, to tell which of them have failed again.
    pub(super) fn given(&self) -> Result<Given, ClaimError> {
        let mut given = Given::default();
        let Some(claim) = &self.claim else { return Ok(given) };
        let mut letters = claim.letters.iter();
        for input in &claim.inputs {
            let path = self.inputs().join(&input.source);
            let read = |source| ClaimError::System { what: "read", path: path.clone(), source };
            let framing = input.framing();
            let envelope = framing.envelope();
            let mut given_here = 0..input.heads + input.letters;
            let options =
                SourceOptions { framing, max_record: usize::MAX, is_plain: true, ..SourceOptions::default() };
            let mut reader = FileSource::of(vec![path.clone()], &options);
            while let Some(batch) = reader.next_chunk().map_err(|error| read(io::Error::other(error)))? {
                // Damaged or not, the file has no more than it was given.
                for (record, number) in batch.iter().zip(&mut given_here) {
                    if number < input.heads {
                        continue;
                    }
                    let Some(letter) = letters.next() else { break };
                    let key = (input.source.clone(), xxh3_128(envelope.content(record)));
                    given.by_record.entry(key).or_default().push_back(letter.id.clone());
                }
            }
        }
        Ok(given)
    }
}

/// Letters that a replay was given and that were not found again among its own.
#[derive(Debug, Default)]
pub(super) struct Given {
    by_record: HashMap<(String, u128), VecDeque<LetterId>>,
}

impl Given {
    /// The letter that this one, of the replay, was before. Of several with equal records, each is found once.
    pub(super) fn before(&mut self, letter: &Letter) -> Option<LetterId> {
        let sender = match &letter.origin {
            Some(origin) => origin.from.as_deref()?,
            None => letter.task.as_str(),
        };
        self.by_record
            .get_mut(&(TaskName::of(sender).stage.to_owned(), xxh3_128(&letter.record)))?
            .pop_front()
    }
}

impl Claim {
    fn load(path: &Path) -> Result<Option<Self>, ClaimError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ClaimError::System { what: "read", path: path.to_owned(), source }),
        };
        let wrong = |line, why: String| ClaimError::Line { path: path.to_owned(), line, why };
        let mut lines = text.split(|&byte| byte == b'\n').zip(1_u64..).filter(|(line, _)| !line.is_empty());
        let (head, _) = lines.next().ok_or_else(|| wrong(1, "it is empty".to_owned()))?;
        let head: Head = serde_json::from_slice(head).map_err(|error| wrong(1, error.to_string()))?;
        if head.format != FORMAT {
            return Err(wrong(1, format!("format {}, known is {FORMAT}", head.format)));
        }
        let letters = lines.map(|(line, number)| {
            let line: Line =
                serde_json::from_slice(line).map_err(|error| wrong(number, error.to_string()))?;
            let id = line.id.parse().map_err(|_| wrong(number, format!("no dead letter: {}", line.id)))?;
            Ok(ClaimedLetter { id, time: line.time })
        });
        let letters = letters.collect::<Result<Vec<_>, ClaimError>>()?;
        if letters.len() as u64 != head.inputs.iter().map(|input| input.letters).sum::<u64>() {
            return Err(wrong(1, "it does not say as many letters as follow".to_owned()));
        }
        Ok(Some(Self { out: head.out, inputs: head.inputs, letters }))
    }

    fn text(&self) -> Vec<u8> {
        let head = Head { format: FORMAT, out: self.out.clone(), inputs: self.inputs.clone() };
        let mut text = serde_json::to_vec(&head).expect("strings and numbers always serialise");
        text.push(b'\n');
        for letter in &self.letters {
            let line = Line { id: letter.id.to_string(), time: letter.time.clone() };
            serde_json::to_writer(&mut text, &line).expect("strings always serialise");
            text.push(b'\n');
        }
        text
    }
}

/// Who has claimed what.
#[derive(Debug, Default)]
pub(super) struct Claimed<'a> {
    by_letter: HashMap<(&'a LetterId, &'a str), &'a Replay>,
}

impl<'a> Claimed<'a> {
    /// By all these replays.
    pub(super) fn by(replays: &'a [Replay]) -> Self {
        let letters = replays.iter().flat_map(|replay| {
            let letters = replay.claim.iter().flat_map(|claim| &claim.letters);
            letters.map(move |letter| ((&letter.id, letter.time.as_str()), replay))
        });
        Self { by_letter: letters.collect() }
    }

    /// The replay that a letter was given to.
    pub(super) fn of<'b>(&'b self, id: &'b LetterId, letter: &'b Letter) -> Option<&'a Replay> {
        let by_letter: &HashMap<(&'b LetterId, &'b str), &'a Replay> = &self.by_letter;
        by_letter.get(&(id, letter.time.as_str())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::dead::LetterOrigin;
    use bytes::Bytes;

    fn letter(task: &str, record: &'static [u8], from: Option<&str>) -> Letter {
        Letter {
            id: Some(1),
            time: "t1".to_owned(),
            task: task.to_owned(),
            stage: "errors".to_owned(),
            reason: "r".to_owned(),
            attempts: 1,
            exit_status: None,
            signal: None,
            record: Bytes::from_static(record),
            stderr_tail: String::new(),
            batch_id: None,
            origin: from.map(|from| LetterOrigin { from: Some(from.to_owned()), seq: 1 }),
            contents: worker_core::event::Contents::Record,
            header: None,
        }
    }

    fn claimed(id: &str) -> ClaimedLetter {
        ClaimedLetter { id: id.parse().unwrap(), time: "t1".to_owned() }
    }

    fn input(heads: u64, letters: u64) -> ClaimInput {
        let (source, into) = ("dead-letters-errors".to_owned(), "errors".to_owned());
        ClaimInput { source, into, framing: "lines".to_owned(), terminator: None, heads, letters }
    }

    fn claim(letters: &[&str]) -> Claim {
        let letters: Vec<ClaimedLetter> = letters.iter().map(|id| claimed(id)).collect();
        Claim { out: Some("out".into()), inputs: vec![input(1, letters.len() as u64)], letters }
    }

    fn replay(state: &Path, number: u32) -> Replay {
        let replay = Replay::new(state, number);
        std::fs::create_dir_all(replay.inputs()).unwrap();
        replay
    }

    #[test]
    fn a_claim_is_found_again_and_names_its_letters() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replays(dir.path()).unwrap().is_empty());
        replay(dir.path(), 1);
        let mut second = replay(dir.path(), 2);
        second.claim(claim(&["errors/0:17", "r1/errors/0:2"])).unwrap();
        second.finish().unwrap();
        let all = replays(dir.path()).unwrap();
        assert_eq!((all[0].number, &all[0].claim, all[0].done), (1, &None, false));
        assert_eq!(
            (all[1].claim.as_ref(), all[1].done),
            (Some(&claim(&["errors/0:17", "r1/errors/0:2"])), true)
        );
        let claims = Claimed::by(&all);
        let letter = letter("errors/0", b"x", None);
        let of =
            |id: &str, letter: &Letter| claims.of(&id.parse().unwrap(), letter).map(|replay| replay.number);
        assert_eq!((of("errors/0:17", &letter), of("errors/0:18", &letter)), (Some(2), None));
        // The number was used again by a run that had not committed the first one.
        let later = Letter { time: "t2".to_owned(), ..letter };
        assert_eq!(of("errors/0:17", &later), None);
    }

    #[test]
    fn a_letter_that_failed_again_is_known_by_its_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut replay = replay(dir.path(), 1);
        std::fs::write(replay.inputs().join("dead-letters-errors"), "head\na\nb\na\n").unwrap();
        replay.claim(claim(&["errors/0:1", "errors/0:2", "errors/1:1"])).unwrap();
        let mut given = replay.given().unwrap();
        let mut before = |letter: &Letter| given.before(letter).map(|id| id.to_string());
        let again = letter("errors/0", b"a", Some("dead-letters-errors/0"));
        assert_eq!(before(&again).as_deref(), Some("errors/0:1"));
        assert_eq!(before(&again).as_deref(), Some("errors/1:1"));
        assert_eq!(before(&again), None);
        assert_eq!(before(&letter("dead-letters-errors/0", b"b", None)).as_deref(), Some("errors/0:2"));
        assert_eq!(before(&letter("errors/0", b"head", Some("dead-letters-errors/0"))), None);
        assert_eq!(before(&letter("next/0", b"a", Some("errors/0"))), None);
    }

    #[test]
    fn damaged_claims_are_refused_with_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut replay = replay(dir.path(), 1);
        replay.claim(claim(&["errors/0:1", "errors/0:2"])).unwrap();
        let path = replay.claim_path();
        let whole = std::fs::read_to_string(&path).unwrap();
        for (text, says) in [
            (String::new(), "line 1: not what this version writes (it is empty)"),
            (whole.replacen("\"format\":1", "\"format\":2", 1), "format 2, known is 1"),
            (whole.replace("errors/0:2", "errors"), "line 3: "),
            (whole.lines().take(2).collect::<Vec<_>>().join("\n"), "as many letters as follow"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = replays(dir.path()).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
