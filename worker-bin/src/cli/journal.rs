//! `worker journal`: what is in the journals of a state directory.

use super::exit::say;
use crate::manifest::Manifest;
use crate::stdout::Out;
use crate::text::harmless::Harmless;
use crate::text::{names, pathname};
use clap::Subcommand;
use serde::Serialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use worker_journal::{DirStorage, Finding, InspectError, JournalError, Lock, inspect};

/// What to do with a journal.
#[derive(Clone, Debug, Subcommand)]
pub enum JournalCommand {
    /// Print segments, records, what is durable, and damage if there is any; changes nothing
    #[command(after_help = EXAMPLES)]
    Inspect {
        /// State directory, or the directory of one journal in it
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Print what is found as JSON, one object a line
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLES: &str = "\
A worker that uses the directory may go on meanwhile.

With --json each line says in \"found\" what it is: journal, segment, record, end, recovered, damaged, claim, and at the end, of the \
directory as a whole, state.

Examples:
  worker journal inspect .worker/access-log
  worker journal inspect .worker/access-log/tasks/column-0
  worker journal inspect --json .worker/access-log | jq -c 'select(.found == \"recovered\") | .tasks[] | {task, commit, ended}'

Exit status: 0 the journals can be gone on from; 1 one is damaged or cannot be read; 2 there is none.";

/// Does what the command says.
pub(super) fn journal(command: &JournalCommand) -> ExitCode {
    let JournalCommand::Inspect { directory, json } = command;
    let mut out = Out::new();
    let done = inspect_all(directory, *json, &mut |text| out.line(text)).and_then(|healthy| {
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

/// Whether all journals are healthy; `None` if there are none. The text goes to `tell`, line by line.
fn inspect_all(
    directory: &Path,
    json: bool,
    tell: &mut dyn FnMut(&Harmless) -> io::Result<()>,
) -> Result<Option<bool>, InspectError> {
    let mut healthy = None;
    for task in task_directories(directory)? {
        let storage = DirStorage::existing(&task).map_err(JournalError::from)?;
        let mut found = |finding: &Finding| {
            tell(&if json { Harmless::json(finding)? } else { Harmless::text(finding.to_string()) })
        };
        let this = inspect(&storage, &mut found)?;
        healthy = Some(this && healthy.unwrap_or(true));
        if !json {
            tell(&Harmless::text(""))?;
        }
    }
    if healthy.is_none() {
        return Ok(None);
    }
    for state in [Some(directory), directory.parent().and_then(Path::parent)].into_iter().flatten() {
        if let Some(about) = About::of(state) {
            tell(&if json {
                Harmless::json(&about).map_err(io::Error::from)?
            } else {
                Harmless::text(about.to_string())
            })?;
        }
    }
    Ok(healthy)
}

/// What a state directory says of itself as a whole.
#[derive(Debug, Serialize)]
#[serde(tag = "found", rename = "state")]
struct About {
    #[serde(serialize_with = "pathname::serialize")]
    directory: PathBuf,
    /// Nothing where it cannot be read.
    manifest: Option<AboutManifest>,
    /// Why it cannot be read.
    damage: Option<String>,
    /// Who uses it now.
    in_use_by: Option<String>,
}

#[derive(Debug, Serialize)]
struct AboutManifest {
    pipeline: String,
    node: String,
    incarnation: u64,
    finished: bool,
}

impl About {
    /// Nothing where the directory is none of a state.
    fn of(directory: &Path) -> Option<Self> {
        let (manifest, damage) = match Manifest::load(directory) {
            Ok(manifest) => (Some(manifest?), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let manifest = manifest.map(|Manifest { pipeline, node, incarnation, finished, .. }| AboutManifest {
            pipeline,
            node,
            incarnation,
            finished,
        });
        let in_use_by = Lock::holder(directory);
        Some(Self { directory: directory.to_owned(), manifest, damage, in_use_by })
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(damage) = &self.damage {
            return f.write_str(damage);
        }
        if let Some(AboutManifest { pipeline, node, incarnation, finished }) = &self.manifest {
            let finished = if *finished { ", finished" } else { "" };
            let directory = self.directory.display();
            writeln!(
                f,
                "{directory}: pipeline {pipeline}, node {node}, incarnation {incarnation}{finished}"
            )?;
        }
        match &self.in_use_by {
            Some(holder) => write!(f, "in use by {holder}"),
            None => write!(f, "not in use"),
        }
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
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use worker_core::event::{Commit, CommitId};
    use worker_journal::{Identity, Journal, NewestPosition, Settings, random_id};
    use worker_proto::Fingerprint;

    /// What is printed of healthy journals.
    fn told(directory: &Path, json: bool) -> String {
        let mut told = String::new();
        let mut tell = |text: &Harmless| {
            told += &format!("{text}\n");
            Ok(())
        };
        assert_eq!(inspect_all(directory, json, &mut tell).unwrap(), Some(true));
        told
    }

    #[test]
    fn a_state_directory_is_printed_while_it_is_in_use() {
        let state = tempfile::tempdir().unwrap();
        let task = state.path().join("tasks/errors-0");
        worker_journal::make_directory(&task).unwrap();
        let _lock = Lock::take(state.path()).unwrap();
        let manifest =
            Manifest { pipeline: "access".to_owned(), node: "a".to_owned(), ..Manifest::default() };
        manifest.store(state.path()).unwrap();
        assert_eq!(inspect_all(state.path(), false, &mut |_| Ok(())).unwrap(), None);

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
            let text = told(directory, false);
            for expected in ["commit 1; end", "task errors/0", "pipeline access, node a", "in use by process"]
            {
                assert!(text.contains(expected), "no {expected:?} in\n{text}");
            }
        }
        let lines: Vec<serde_json::Value> =
            told(state.path(), true).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<&str> = lines.iter().map(|line| line["found"].as_str().unwrap()).collect();
        assert_eq!(found.first().copied(), Some("journal"));
        assert_eq!(found[found.len() - 2..], ["recovered", "state"]);
        let commit = lines.iter().find(|line| line["kind"] == "commit").unwrap();
        assert_eq!(
            (&commit["found"], &commit["commit"], &commit["ended"]),
            (&"record".into(), &1.into(), &true.into())
        );
        assert_eq!(lines[lines.len() - 2]["tasks"][0]["task"], "errors/0");
        let about = &lines[lines.len() - 1];
        assert_eq!(
            (&about["manifest"]["pipeline"], &about["manifest"]["finished"]),
            (&"access".into(), &false.into())
        );
        assert!(about["in_use_by"].as_str().unwrap().starts_with("process "), "{about}");
    }

    #[test]
    fn a_directory_of_any_name_is_said() {
        let directory = PathBuf::from(OsStr::from_bytes(b"/tmp/\xe9tat"));
        let about = About { directory, manifest: None, damage: None, in_use_by: None };
        let line = serde_json::to_value(&about).unwrap();
        assert_eq!(line["directory"], "/tmp/\u{10ffe9}tat");
    }
}
