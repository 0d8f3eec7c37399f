//! `worker journal`: what is in the journals of a state directory.

use super::exit::say;
use crate::manifest::Manifest;
use crate::text::names;
use clap::Subcommand;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use worker_journal::{DirStorage, InspectError, JournalError, Lock, inspect};

/// What to do with a journal.
#[derive(Clone, Debug, Subcommand)]
pub enum JournalCommand {
    /// Print segments, records, what is durable, and damage if there is any; changes nothing
    #[command(after_help = EXAMPLES)]
    Inspect {
        /// State directory, or the directory of one journal in it
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

const EXAMPLES: &str = "\
A worker that uses the directory may go on meanwhile.

Examples:
  worker journal inspect .worker/access-log
  worker journal inspect .worker/access-log/tasks/column-0

Exit status: 0 the journals can be gone on from; 1 one is damaged or cannot be read; 2 there is none.";

/// Does what the command says.
pub(super) fn journal(command: &JournalCommand) -> ExitCode {
    let JournalCommand::Inspect { directory } = command;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = inspect_all(directory, &mut out).and_then(|healthy| {
        out.flush()?;
        Ok(healthy)
    });
    match done {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        Ok(None) => {
            let shown = directory.display();
            let near = if directory.exists() { String::new() } else { names::near_path(directory) };
            say(&format!(
                "error: no journal in {shown}; expected a state directory or the directory of a journal in it{near}"
            ));
            ExitCode::from(2)
        }
        Err(InspectError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether all journals are healthy; `None` if there are none.
fn inspect_all(directory: &Path, out: &mut dyn Write) -> Result<Option<bool>, InspectError> {
    let mut healthy = None;
    for task in task_directories(directory)? {
        let storage = DirStorage::existing(&task).map_err(JournalError::from)?;
        let this = inspect(&storage, out)?;
        healthy = Some(this && healthy.unwrap_or(true));
        writeln!(out)?;
    }
    for state in [Some(directory), directory.parent().and_then(Path::parent)].into_iter().flatten() {
        match Manifest::load(state) {
            Ok(Some(manifest)) if healthy.is_some() => about(state, &manifest, out)?,
            Err(error) if healthy.is_some() => writeln!(out, "{error}")?,
            Ok(_) | Err(_) => {}
        }
    }
    Ok(healthy)
}

fn about(directory: &Path, manifest: &Manifest, out: &mut dyn Write) -> io::Result<()> {
    let Manifest { pipeline, node, incarnation, finished, .. } = manifest;
    let finished = if *finished { ", finished" } else { "" };
    writeln!(
        out,
        "{}: pipeline {pipeline}, node {node}, incarnation {incarnation}{finished}",
        directory.display()
    )?;
    match Lock::holder(directory) {
        Some(holder) => writeln!(out, "in use by {holder}"),
        None => writeln!(out, "not in use"),
    }
}

/// Every directory with segments: the given one, those of its tasks, or those of its nodes' tasks; sorted by name.
fn task_directories(directory: &Path) -> Result<Vec<PathBuf>, InspectError> {
    if has_segments(directory) {
        return Ok(vec![directory.to_owned()]);
    }
    let mut states = vec![directory.to_owned()];
    states.extend(directories_in(directory));
    let tasks = states.iter().flat_map(|state| directories_in(&state.join("tasks")));
    Ok(tasks.filter(|task| has_segments(task)).collect())
}

fn has_segments(directory: &Path) -> bool {
    entries_of(directory).iter().any(|path| path.extension().is_some_and(|e| e == "wj"))
}

fn directories_in(directory: &Path) -> Vec<PathBuf> {
    entries_of(directory).into_iter().filter(|path| path.is_dir()).collect()
}

/// Sorted; nothing if it cannot be read.
fn entries_of(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use worker_core::event::{Commit, CommitId};
    use worker_journal::{Identity, Journal, NewestPosition, Settings, random_id};
    use worker_proto::Fingerprint;

    #[test]
    fn a_state_directory_is_printed_while_it_is_in_use() {
        let state = tempfile::tempdir().unwrap();
        let task = state.path().join("tasks/errors-0");
        worker_journal::make_directory(&task).unwrap();
        let _lock = Lock::take(state.path()).unwrap();
        let manifest =
            Manifest { pipeline: "access".to_owned(), node: "a".to_owned(), ..Manifest::default() };
        manifest.store(state.path()).unwrap();
        let mut out = Vec::new();
        assert_eq!(inspect_all(state.path(), &mut out).unwrap(), None);

        let identity = Identity {
            task: "errors/0".to_owned(),
            fingerprint: Fingerprint(1),
            outputs: Vec::new(),
            new_id: random_id(),
        };
        let storage = DirStorage::new(&task).unwrap();
        let opened =
            Journal::open(storage, &identity, Settings::default(), NewestPosition::default()).unwrap();
        let mut journal = opened.journal;
        let commit = Commit { ended: true, ..Commit::empty(CommitId(1)) };
        journal.append(&commit, None).unwrap();
        for directory in [state.path(), &task] {
            let mut out = Vec::new();
            assert_eq!(inspect_all(directory, &mut out).unwrap(), Some(true));
            let text = String::from_utf8(out).unwrap();
            for expected in ["commit 1; end", "task errors/0", "pipeline access, node a", "in use by process"]
            {
                assert!(text.contains(expected), "no {expected:?} in\n{text}");
            }
        }
    }
}
