//! What is promised about each record, and where the state that this takes is kept.

use super::diagnostics::{At, ConfigError, Problem, normalized};
use super::model::{Header, Pipeline};
use crate::io::source::SourceFiles;
use crate::io::source::file::list_path;
use crate::manifest::Manifest;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use worker_core::config::WhenFull;

/// What is promised about each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Survives everything but the death of a process.
    Memory,
    /// The result is what it would have been had nothing failed.
    ExactlyOnce,
}

/// What a command line says about state.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateOptions<'a> {
    /// `--state`: relative to where the worker was started.
    pub dir: Option<&'a Path>,
    /// `--fresh`.
    pub fresh: bool,
    /// The node of a cluster file: it has a directory of its own below.
    pub node: Option<&'a str>,
}

impl Delivery {
    /// As it is written in a pipeline file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl Pipeline {
    /// Settles [`Pipeline::delivery`] and [`Pipeline::state_dir`]: `--state` asks for exactly-once where the file does not
    /// say; without it, state is in `.worker/NAME` beside a file that asks for exactly-once.
    ///
    /// # Errors
    /// State is wanted and the file asks for delivery in memory, `--fresh` without state, or a sink that writes into it.
    pub fn with_state(mut self, options: StateOptions<'_>) -> Result<Self, ConfigError> {
        let problem = match (options.dir, self.delivery, &self.delivery_at) {
            (Some(dir), Delivery::Memory, Some(at)) => Some(no_state_in_memory(dir, at)),
            (None, Delivery::Memory, _) if options.fresh => Some(nothing_to_start_over()),
            (Some(_) | None, _, _) => None,
        };
        if let Some(problem) = problem {
            return Err(ConfigError::one(&self.text, problem));
        }
        if let Some(dir) = options.dir {
            let whole = std::path::absolute(dir).map_err(|error| ConfigError::unreadable(dir, &error))?;
            self.delivery = Delivery::ExactlyOnce;
            self.state_dir = Some(normalized(Path::new("/"), &whole));
        }
        if let (Some(dir), Some(node)) = (&mut self.state_dir, options.node) {
            dir.push(node);
        }
        match self.sink_in_state().or_else(|| self.drop_with_state()) {
            Some(problem) => Err(ConfigError::one(&self.text, problem)),
            None => {
                if !options.fresh {
                    self.headers = self.headers_of_the_first_start();
                }
                Ok(self)
            }
        }
    }

    /// What is wrong with a state directory is said by whoever opens it.
    fn headers_of_the_first_start(&self) -> BTreeMap<String, Bytes> {
        let (Delivery::ExactlyOnce, Some(dir)) = (self.delivery, &self.state_dir) else {
            return BTreeMap::new();
        };
        let manifest = Manifest::load(dir).ok().flatten().filter(|manifest| manifest.pipeline == self.name);
        let Some(manifest) = manifest else { return BTreeMap::new() };
        let mut headers = manifest.headers;
        for source in self.sources.iter().filter(|source| source.header == Header::Repeat) {
            if !headers.contains_key(&source.name)
                && let Ok(files) = SourceFiles::load(&list_path(dir, &format!("{}/0", source.name)))
                && let Some(header) = files.header()
            {
                headers.insert(source.name.clone(), source.framing.ended(header));
            }
        }
        headers
    }

    /// What is dropped is lost, and with state nothing may be.
    fn drop_with_state(&self) -> Option<Problem> {
        if self.delivery != Delivery::ExactlyOnce {
            return None;
        }
        let stages = self.stages.iter().map(|stage| (stage.when_full, &stage.when_full_at));
        let sinks = self.sinks.iter().map(|sink| (sink.when_full, &sink.when_full_at));
        let (_, at) = stages.chain(sinks).find(|(when_full, _)| *when_full != WhenFull::Wait)?;
        let title = "`when_full` drops records, and this run keeps state so that none is lost";
        Some(
            Problem::at(at, title, "with state every link waits")
                .help("run without --state and with delivery = \"memory\"; or remove this line"),
        )
    }

    fn sink_in_state(&self) -> Option<Problem> {
        let state = self.state_dir.as_ref()?;
        self.sinks.iter().find_map(|sink| {
            let end = &sink.target;
            end.holds().iter().find(|held| held.written().is_some_and(|path| path.starts_with(state)))?;
            let title = format!("sink `{}` would write into the state directory", sink.name);
            let label = format!("state is kept in {}", state.display());
            Some(
                Problem::at(end.at().unwrap_or(&sink.at), title, label)
                    .help("name another directory with --state, or another file here"),
            )
        })
    }
}

/// Where state is kept for a file that asks for exactly-once.
pub(super) fn default_state_dir(dir: &Path, name: &str) -> PathBuf {
    dir.join(".worker").join(name)
}

fn no_state_in_memory(dir: &Path, at: &At) -> Problem {
    let title = format!("`--state {}`: this file keeps no state", dir.display());
    Problem::at(at, title, "asks for delivery in memory")
        .help("write delivery = \"exactly-once\", or remove this line: --state alone asks for it; or run without --state")
}

fn nothing_to_start_over() -> Problem {
    Problem::new("`--fresh` starts over what a state directory holds, and this run has none").help(
        "run without --fresh; or keep state, with --state DIR or delivery = \"exactly-once\" in [pipeline]",
    )
}
