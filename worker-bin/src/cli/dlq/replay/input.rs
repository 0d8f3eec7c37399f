//! The files that a replay reads.

use super::choice::Chosen;
use super::error::ReplayError;
use crate::cli::dlq::Failed;
use crate::cli::dlq::claims::{Claim, ClaimInput, ClaimedLetter, Replay};
use crate::cli::dlq::store::{Kept, Store};
use crate::cli::exit::say;
use crate::io::durable;
use crate::pipeline::{self, Inlet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes the inputs of a replay, on stable storage when this returns, and gives what is to be claimed.
pub(super) fn write(
    store: &Store,
    replays: &[Replay],
    replay: &Replay,
    parts: &pipeline::Replay,
    chosen: &Chosen,
    out: Option<PathBuf>,
) -> Result<Claim, Failed> {
    let directory = replay.inputs();
    prepare(replay).map_err(|source| ReplayError::write(&directory, source))?;
    let max_record = parts.pipeline.budgets.max_record_bytes;
    let mut inputs =
        parts.inlets.iter().map(|inlet| Input::create(inlet, max_record)).collect::<Result<Vec<_>, _>>()?;
    // A damaged line was told when letters were chosen.
    for kept in store.letters(replays).flatten() {
        let Some(into) = chosen.way_of(&kept.id) else { continue };
        let input = inputs.iter_mut().find(|input| input.inlet.has_letters && input.inlet.into == into);
        match input.map_or(Ok(()), |input| input.add(kept)) {
            // One that was not asked for by its name keeps no others back.
            Err(error @ ReplayError::Unfit { .. }) if !chosen.is_named() => say(&format!("warning: {error}")),
            added => added?,
        }
    }
    let mut claim = Claim { out, inputs: Vec::new(), letters: Vec::new() };
    for input in inputs {
        input.end(&mut claim)?;
    }
    durable::sync_directory(&directory, "replay").map_err(|source| ReplayError::write(&directory, source))?;
    Ok(claim)
}

/// Makes its directories; what an earlier attempt has left, before it claimed anything, goes.
fn prepare(replay: &Replay) -> io::Result<()> {
    durable::make_directory(replay.dir(), "replay")?;
    match std::fs::remove_dir_all(replay.inputs()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    durable::make_directory(&replay.inputs(), "replay")
}

struct Input<'a> {
    inlet: &'a Inlet,
    max_record: u64,
    file: BufWriter<File>,
    letters: Vec<ClaimedLetter>,
}

impl<'a> Input<'a> {
    fn create(inlet: &'a Inlet, max_record: u64) -> Result<Self, ReplayError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&inlet.path);
        let file = BufWriter::new(file.map_err(|source| ReplayError::write(&inlet.path, source))?);
        let mut input = Self { inlet, max_record, file, letters: Vec::new() };
        input.put(inlet.header.as_deref().unwrap_or_default())?;
        Ok(input)
    }

    fn add(&mut self, kept: Kept) -> Result<(), ReplayError> {
        let Kept { id, letter } = kept;
        let framing = &self.inlet.framing;
        let unfit = |why| ReplayError::Unfit { id: id.clone(), into: self.inlet.into.clone(), why };
        if letter.record.len() as u64 > self.max_record {
            return Err(unfit("it is longer than `max_record`".to_owned()));
        }
        let record = framing.record(&letter.record);
        let record = record.and_then(|record| framing.check_among_others(&record).map(|()| record));
        let record = record.map_err(|why| {
            let words = framing.words();
            unfit(format!("{why}; if `framing` has changed since, put it back (now it reads {words})"))
        })?;
        self.put(&record)?;
        self.letters.push(ClaimedLetter { id, time: letter.time });
        Ok(())
    }

    fn end(mut self, claim: &mut Claim) -> Result<(), ReplayError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|source| ReplayError::write(&self.inlet.path, source))?;
        claim.inputs.push(ClaimInput {
            source: self.inlet.source.clone(),
            into: self.inlet.into.clone(),
            framing: self.inlet.framing.to_string(),
            terminator: None,
            heads: u64::from(self.inlet.header.is_some()),
            letters: self.letters.len() as u64,
        });
        claim.letters.append(&mut self.letters);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ReplayError> {
        let path: &Path = &self.inlet.path;
        self.file.write_all(bytes).map_err(|source| ReplayError::write(path, source))
    }
}
