//! The other side, made up: servers that keep what they are given in files, and fail by a schedule.

use crate::Failure;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use worker_journal::fault;

/// What a server says to a mail.
pub(crate) enum Answer {
    /// 250: it has it.
    Taken,
    /// 450, or nobody there: try again.
    NotNow,
    /// 550: not this mail.
    Never(&'static str),
}

pub(crate) struct Servers {
    dir: PathBuf,
    /// How many more calls find nobody.
    down: BTreeMap<String, u64>,
}

impl Servers {
    /// `schedule`: `DEST=CALLS`, each.
    pub(crate) fn new(dir: PathBuf, schedule: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut down = BTreeMap::new();
        for entry in schedule {
            let (name, calls) = entry.split_once('=').ok_or("expected DEST=CALLS, such as alice=3")?;
            down.insert(name.to_owned(), calls.parse()?);
        }
        Ok(Self { dir, down })
    }

    /// Hands a mail over, `ID BODY\n`.
    pub(crate) fn call(&mut self, destination: &str, mail: &[u8]) -> io::Result<Answer> {
        if let Some(calls) = self.down.get_mut(destination).filter(|calls| **calls > 0) {
            *calls -= 1;
            return Ok(Answer::NotNow);
        }
        if mail.splitn(2, |byte| *byte == b' ').nth(1).is_some_and(|body| body.starts_with(b"!")) {
            return Ok(Answer::Never("refused"));
        }
        let mut file = OpenOptions::new().append(true).create(true).open(self.dir.join(destination))?;
        fault::around("mailqueue.call", || file.write_all(mail))?;
        Ok(Answer::Taken)
    }
}
