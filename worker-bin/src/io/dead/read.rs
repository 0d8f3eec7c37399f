//! Reads files of dead letters, of both kinds.

use super::DeadLogError;
use super::line::word;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::Error as _;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use worker_core::config::TaskName;
use worker_core::event::Contents;

/// A dead letter as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Letter {
    /// Its number within the task, from 1; `None` in memory mode.
    pub id: Option<u64>,
    /// When it was dead-lettered, RFC 3339, UTC.
    pub time: String,
    /// The task, as `stage/partition`.
    pub task: String,
    pub stage: String,
    /// Why, in one line.
    pub reason: String,
    /// Runs it was in.
    pub attempts: u32,
    /// What the program ended with, if it did by itself.
    pub exit_status: Option<i32>,
    /// What ended the program.
    pub signal: Option<i32>,
    /// The record, without its terminator.
    pub record: Bytes,
    /// The last lines a program said on standard error; empty if there are none.
    pub stderr_tail: String,
    /// The batch it was in when it failed for good.
    pub batch_id: Option<String>,
    pub origin: Option<LetterOrigin>,
    /// What `record` is.
    pub contents: Contents,
    /// What its record stands under, without its terminator, where a stage of the pipeline has printed it.
    pub header: Option<Bytes>,
}

/// How a record arrived at the task that could not process it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LetterOrigin {
    /// The task that sent it.
    pub from: Option<String>,
    /// Its position on that link.
    pub seq: u64,
}

/// The letters of some files, one after the other.
///
/// A line that is no letter is an error and the next one follows. A last line without its end is one in the file of a run that kept
/// no state; in a state it is none that counts, and left out.
#[derive(Debug)]
pub struct Letters {
    files: VecDeque<PathBuf>,
    /// No commits say what counts.
    all_count: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    reader: BufReader<File>,
    /// Of the line read last.
    line: u64,
}

/// The letters in `path`: a file, or a directory of which all files called `….jsonl` are read, sorted by name. No such
/// directory has no letters.
///
/// # Errors
/// The path exists and cannot be read.
pub fn read_letters(path: &Path) -> Result<Letters, DeadLogError> {
    let (mut all_count, entries) = (false, path.read_dir());
    let files = match entries {
        Ok(entries) => letter_files(entries),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            all_count = true;
            Ok([path.to_owned()].into())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(VecDeque::new()),
        Err(e) => Err(e),
    };
    let files = files.map_err(|source| DeadLogError::Read { path: path.to_owned(), source })?;
    Ok(Letters { files, all_count, open: None })
}

fn letter_files(entries: std::fs::ReadDir) -> io::Result<VecDeque<PathBuf>> {
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files.into())
}

impl Letters {
    /// The file that the letter or error given last is from.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.open.as_ref().map(|open| open.path.as_path())
    }

    fn advance(&mut self) -> Result<Option<Letter>, DeadLogError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let Some(path) = self.files.pop_front() else { return Ok(None) };
                    self.open.insert(Open::new(path)?)
                }
            };
            match open.next_line(self.all_count)? {
                Some(line) => return open.parse(&line).map(Some),
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Letters {
    type Item = Result<Letter, DeadLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Open {
    fn new(path: PathBuf) -> Result<Self, DeadLogError> {
        match File::open(&path) {
            Ok(file) => Ok(Self { path, reader: BufReader::new(file), line: 0 }),
            Err(source) => Err(DeadLogError::Read { path, source }),
        }
    }

    fn next_line(&mut self, all_count: bool) -> Result<Option<Vec<u8>>, DeadLogError> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line);
        read.map_err(|source| DeadLogError::Read { path: self.path.clone(), source })?;
        self.line += 1;
        if all_count && !line.is_empty() && !line.ends_with(b"\n") {
            return Err(DeadLogError::BreaksOff { path: self.path.clone(), line: self.line });
        }
        Ok(line.ends_with(b"\n").then_some(line))
    }

    fn parse(&self, line: &[u8]) -> Result<Letter, DeadLogError> {
        serde_json::from_slice(line).map_err(|source| DeadLogError::Line {
            path: self.path.clone(),
            line: self.line,
            source,
        })
    }
}

/// A line before its two kinds of records are one.
#[derive(Deserialize)]
#[serde(expecting = "a dead letter")]
struct Raw {
    id: Option<u64>,
    time: String,
    task: String,
    stage: Option<String>,
    reason: String,
    attempts: u32,
    exit_status: Option<i32>,
    signal: Option<i32>,
    record: Option<String>,
    record_b64: Option<String>,
    #[serde(default)]
    stderr_tail: String,
    batch_id: Option<String>,
    origin: Option<LetterOrigin>,
    contents: Option<String>,
    header: Option<String>,
    header_b64: Option<String>,
}

/// How the reasons begin of records without a key.
const NO_KEY: [&str; 5] = ["no field ", "no column ", "not JSON: ", "nothing at ", "no key was given "];

impl Raw {
    /// A version before did not say it: what came without an origin was a record if it is there for want of a key.
    fn contents(&self) -> Contents {
        let is_record = match (&self.origin, self.contents.as_deref()) {
            (Some(_), _) => true,
            (None, Some(contents)) => contents == word(Contents::Record),
            (None, None) => NO_KEY.iter().any(|reason| self.reason.starts_with(reason)),
        };
        if is_record { Contents::Record } else { Contents::Input }
    }
}

impl TryFrom<Raw> for Letter {
    type Error = serde_json::Error;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        let contents = raw.contents();
        let record = match (raw.record, raw.record_b64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(packed)) => STANDARD.decode(packed).map_err(Self::Error::custom)?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(Self::Error::custom("expected one of `record` and `record_b64`"));
            }
        };
        let header = match (raw.header, raw.header_b64) {
            (Some(text), _) => Some(text.into_bytes()),
            (None, Some(packed)) => Some(STANDARD.decode(packed).map_err(Self::Error::custom)?),
            (None, None) => None,
        };
        let stage = TaskName::of(&raw.task).stage.to_owned();
        Ok(Self {
            id: raw.id,
            time: raw.time,
            stage: raw.stage.unwrap_or(stage),
            task: raw.task,
            reason: raw.reason,
            attempts: raw.attempts,
            exit_status: raw.exit_status,
            signal: raw.signal,
            record: record.into(),
            stderr_tail: raw.stderr_tail,
            batch_id: raw.batch_id,
            origin: raw.origin,
            contents,
            header: header.map(Bytes::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::dead::{DeadLetterFile, DeadLetterLog, NewLetter};
    use std::fs;
    use worker_core::event::{DeadLetter, FailureKind};
    use worker_core::route::NoKey;
    use worker_proto::{LinkId, Seq};

    fn dead(record: &'static [u8], cause: Option<FailureKind>) -> DeadLetter {
        DeadLetter {
            batch_id: None,
            record: Bytes::from_static(record),
            reason: "no \"good\"".to_owned(),
            attempts: 3,
            stderr_tail: "é\n".to_owned(),
            cause,
            origin: Some((LinkId(1), Seq(7))),
            contents: Contents::Record,
            header: None,
        }
    }

    #[test]
    fn letters_come_back_as_they_were_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("by_key-12.jsonl");
        let mut log = DeadLetterLog::open(path.clone(), "by_key/12".to_owned(), b'\n'.into(), 0).unwrap();
        let (text, binary) = (dead(b"a \x00\r\n", Some(FailureKind::Signal(9))), dead(b"\xff", None));
        let first = NewLetter { letter: &text, from: Some("log/0"), batch_id: Some("b1") };
        log.append(&[first, NewLetter { letter: &binary, from: None, batch_id: None }]).unwrap();
        let mut letters = read_letters(dir.path()).unwrap();
        let got: Vec<Letter> = letters.by_ref().map(Result::unwrap).collect();
        let want = Letter {
            id: Some(1),
            time: got[0].time.clone(),
            task: "by_key/12".to_owned(),
            stage: "by_key".to_owned(),
            reason: "no \"good\"".to_owned(),
            attempts: 3,
            exit_status: None,
            signal: Some(9),
            record: Bytes::from_static(b"a \x00\r"),
            stderr_tail: "é\n".to_owned(),
            batch_id: Some("b1".to_owned()),
            origin: Some(LetterOrigin { from: Some("log/0".to_owned()), seq: 7 }),
            contents: Contents::Record,
            header: None,
        };
        assert_eq!(got[0], want);
        assert_eq!((got[1].id, &got[1].record[..]), (Some(2), &b"\xff"[..]));
        assert_eq!(got[1].origin, Some(LetterOrigin { from: None, seq: 7 }));
        assert_eq!(read_letters(&path).unwrap().count(), 2);
    }

    #[test]
    fn files_of_memory_mode_are_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile::new(dir.path().join("job.dead.jsonl"));
        file.put("a/b/3", None, &dead(b"1\n", Some(FailureKind::Exit(2))), b'\n'.into()).unwrap();
        let letters: Vec<Letter> = read_letters(dir.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!((letters[0].id, letters[0].stage.as_str()), (None, "a/b"));
        assert_eq!((letters[0].exit_status, letters[0].signal), (Some(2), None));
    }

    #[test]
    fn bad_lines_are_told_and_an_unfinished_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let good = r#"{"time":"t","task":"a/0","reason":"r","attempts":1,"record":"x","later":{"n":1}}"#;
        let both = good.replace("\"later\"", "\"record_b64\":\"AA==\",\"l\"");
        let text = format!("{good}\nnonsense\n{both}\n\n{good}\n{}", &good[..40]);
        fs::write(dir.path().join("b.jsonl"), text).unwrap();
        fs::write(dir.path().join("a.jsonl"), "").unwrap();
        fs::write(dir.path().join("c.txt"), "nonsense\n").unwrap();
        let all: Vec<_> = read_letters(dir.path()).unwrap().collect();
        assert_eq!(all.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, false, true]);
        let message = all[1].as_ref().unwrap_err().to_string();
        assert!(message.contains("b.jsonl, line 2: not a dead letter"), "{message}");
        assert!(all[2].as_ref().unwrap_err().to_string().contains("one of `record` and `record_b64`"));
    }

    #[test]
    fn a_letter_says_whether_it_holds_a_record_and_one_of_a_version_before_by_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in-0.jsonl");
        let mut log = DeadLetterLog::open(path.clone(), "in/0".to_owned(), b'\n'.into(), 0).unwrap();
        let no_key = NoKey::Field { wanted: 7, has: 1 }.to_string();
        let (record, input) = (
            DeadLetter::new(Bytes::from_static(b"x\n"), no_key),
            DeadLetter::of_input(Bytes::from_static(b"y\n"), "record 1 of it was cut".to_owned()),
        );
        let new = |letter| NewLetter { letter, from: None, batch_id: None };
        log.append(&[new(&record), new(&input)]).unwrap();
        let contents = || -> Vec<Contents> {
            read_letters(&path).unwrap().map(|letter| letter.unwrap().contents).collect()
        };
        let (now, text) = (contents(), fs::read_to_string(&path).unwrap());
        assert_eq!(now, [Contents::Record, Contents::Input], "{text}");
        let before = text.replace(r#","contents":"record""#, "").replace(r#","contents":"input""#, "");
        assert!(!before.contains("contents"), "{before}");
        fs::write(&path, before).unwrap();
        assert_eq!(contents(), now);
        let pointer = NoKey::Pointer("/a".to_owned()).to_string();
        for no_key in [NoKey::Column { wanted: 1, has: 0 }.to_string(), NoKey::NotGiven.to_string(), pointer]
        {
            assert!(NO_KEY.iter().any(|reason| no_key.starts_with(reason)), "{no_key}");
        }
    }

    #[test]
    fn no_directory_has_no_letters() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_letters(&dir.path().join("dead")).unwrap().count(), 0);
        assert_eq!(read_letters(dir.path()).unwrap().count(), 0);
    }
}
