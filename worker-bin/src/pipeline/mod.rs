//! Pipeline and cluster files: parsing, validation, placement, fingerprints.
//!
//! [`load`] reads a file into a [`Pipeline`] with every default resolved; [`plan()`] lays it out over the nodes of a
//! [`Cluster`] as tasks and links. Both report everything they find wrong, with the place in the file.

mod cluster;
mod command;
mod confine;
mod cut;
mod delivery;
mod diagnostics;
mod inline;
pub(crate) mod keys;
mod model;
pub mod plan;
mod print;
mod program;
mod read;
pub(crate) mod reader;
mod replay;
pub(crate) mod text;
mod told;
mod trial;
mod validate;
mod vars;
mod warnings;

pub use cluster::{Cluster, ClusterNode, schema_of_clusters};
pub use delivery::{Delivery, StateOptions};
pub use diagnostics::{At, ConfigError, Problem, SourceText, Warning};
pub use inline::{INLINE_OPTIONS, InlineOption, InlineWord, inline};
pub use model::{
    BatchMode, Budgets, ByEnd, Column, Confine, EarlyExit, EnvValue, Exists, Failures, Framing, Header,
    Input, KeyRule, Mode, Order, Origin, Pipeline, PlaceName, Program, RecordsMode, RecordsState, Restart,
    Share, Sink, Source, Stage, StreamMode, Test,
};
pub use plan::{Plan, plan};
pub use print::{Detail, to_toml};
pub use program::{Command, ProgramError};
pub use replay::{Inlet, Replay, ReplayError};
pub use told::{Place, Told};
pub use trial::{Batches, Trial, TrialOutput};
pub use warnings::{ignored_places, warnings};

pub(crate) use diagnostics::normalized;
pub(crate) use model::shown_path;
pub(crate) use warnings::endless;

use crate::io::resource::Resource;
use reader::Reader;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads and checks a pipeline file, which `-` reads from standard input; `set` are the variables of `--set`.
///
/// Relative paths start at the file's directory; those of one that comes through a pipe, in the working directory.
///
/// # Errors
/// The file cannot be read, or what is wrong with it.
pub fn load(path: &Path, set: &[(String, String)]) -> Result<Pipeline, ConfigError> {
    let text = SourceText::read(path)?;
    let whole = std::path::absolute(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    let is_piped = diagnostics::is_standard_input(path) || !path.is_file();
    let dir = if is_piped { std::env::current_dir().ok() } else { whole.parent().map(Path::to_owned) };
    let pipeline = parse(&text, &dir.unwrap_or_else(|| "/".into()), set)?;
    if diagnostics::is_standard_input(path) { pipeline.not_from_standard_input() } else { Ok(pipeline) }
}

/// Checks a pipeline that is not in a file, or was read already; relative paths in it start at `dir`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &SourceText, dir: &Path, set: &[(String, String)]) -> Result<Pipeline, ConfigError> {
    let dir = diagnostics::normalized(Path::new("/"), dir);
    let document = reader::parse(text.text()).map_err(|problems| ConfigError::new(text.clone(), problems))?;
    let vars = vars::Vars::of(set);
    let mut reader = Reader { text: text.text(), dir: &dir, vars, problems: Vec::new() };
    let mut draft = read::document(&mut reader, document.get_ref());
    let mut problems = std::mem::take(&mut reader.problems);
    let (unset, unused) = reader.vars.unused();
    problems.extend(unset);
    problems.extend(validate::budgets(&draft.head));
    problems.extend(validate::contradictory_ends(&draft.sources, &draft.head.budgets));
    problems.extend(validate::long_records(&draft));
    let head = draft.head.clone();
    let mut tests = std::mem::take(&mut draft.tests);
    let name = head.name.unwrap_or_else(|| default_name(text.name()));
    let joined = validate::join(draft).map_err(|more| problems.extend(more));
    if let Ok(joined) = &joined {
        problems.extend(validate::overlapping_ends(
            &dir,
            &joined.sources,
            &joined.sinks,
            validate::Nodes::AsPlaced,
        ));
        problems.extend(validate::key_rules(joined));
        problems.extend(validate::records(joined));
        problems.extend(validate::handed(joined));
        problems.extend(validate::headed(joined));
    }
    problems.extend(validate::tests(&mut tests, joined.as_ref().ok()));
    match joined {
        Ok(validate::Joined { sources, stages, sinks }) if problems.is_empty() => {
            let noticed = unused.into_iter().map(|problem| Warning::new(text, problem)).collect();
            let (delivery, delivery_at) = head.delivery;
            let state_dir = match delivery {
                Delivery::Memory => None,
                Delivery::ExactlyOnce => Some(delivery::default_state_dir(&dir, &name)),
            };
            let text = text.clone();
            Ok(Pipeline {
                name,
                delivery,
                state_dir,
                headers: BTreeMap::new(),
                budgets: head.budgets,
                dir,
                sources,
                stages,
                sinks,
                tests,
                delivery_at,
                text,
                noticed,
            })
        }
        _ => {
            diagnostics::in_file_order(&mut problems);
            Err(ConfigError::new(text.clone(), problems))
        }
    }
}

/// Whether a text is TOML at all, whatever it says.
///
/// # Errors
/// Where it is not.
pub fn check_toml(text: &SourceText) -> Result<(), ConfigError> {
    let document = reader::parse(text.text());
    document.map(drop).map_err(|problems| ConfigError::new(text.clone(), problems))
}

/// The JSON Schema of pipeline files.
#[must_use]
pub fn schema_of_pipelines() -> serde_json::Value {
    keys::schema::of_pipelines()
}

impl Pipeline {
    /// This one by the name that a file at `path` has if it does not say one.
    #[must_use]
    pub fn called_as(self, path: &Path) -> Self {
        Self { name: default_name(&path.to_string_lossy()), ..self }
    }

    /// This one, which has been read from standard input, so that nothing else can be.
    fn not_from_standard_input(self) -> Result<Self, ConfigError> {
        let reads = |source: &&Source| source.input.holds(&self.dir).contains(&Resource::StandardInput);
        let Some(source) = self.sources.iter().find(reads) else { return Ok(self) };
        let title = format!(
            "source `{}` reads standard input, from which the pipeline itself has been read",
            source.name
        );
        let problem = Problem::at(&source.at, title, "there is nothing left of it")
            .help("put the pipeline into a file; in bash also: worker run <(command that prints it)");
        Err(ConfigError::one(&self.text, problem))
    }
}

/// The file's name without extension, as far as it can be a name.
fn default_name(file: &str) -> String {
    if file == diagnostics::STANDARD_INPUT {
        return "stdin".to_owned();
    }
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' })
        .take(64)
        .collect();
    let name = name.trim_start_matches(['-', '.']);
    if name.is_empty() { "pipeline".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
