//! `worker completions`: a script for a shell, and what it is answered when it asks this binary.
//!
//! The scripts ask with `VARIABLE` set, so what they offer is never older than the binary; names come from the workers that run
//! here, and from the files that stand in the line.

use super::args::WorkerArgs;
use super::exit::say;
use super::print_document;
use crate::admin::Graph;
use crate::admin::client::Client;
use crate::admin::registry::{self, Found};
use crate::pipeline::keys::catalog;
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Set by the scripts where they ask, and by nobody else.
const VARIABLE: &str = "WORKER_COMPLETE";

/// How long a worker may take to say what it has: who presses a key waits no longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Largest file that is looked into, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `worker completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

/// The end of its help.
pub const EXAMPLES: &str = "\
The script asks worker itself at each key, so it also knows the stages of workers that run here (worker tap <TAB>) and those of a file \
in the line (worker run jobs.toml --to <TAB>).

Examples:
  source <(worker completions bash)                    # in ~/.bashrc; for zsh likewise in ~/.zshrc, behind compinit
  worker completions bash > ~/.local/share/bash-completion/completions/worker
  worker completions fish > ~/.config/fish/completions/worker.fish
  eval (worker completions elvish | slurp)             # in rc.elv
  worker completions powershell | Out-String | Invoke-Expression";

/// Answers a shell that asks, if one does.
pub(super) fn answered() -> Option<ExitCode> {
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(WorkerArgs::command)
        .var(VARIABLE)
        .completer("worker")
        .try_complete(std::env::args_os(), here.as_deref());
    match asked {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => {
            say(&format!("error: {error}"));
            Some(ExitCode::from(2))
        }
    }
}

/// Prints the script.
pub(super) fn completions(args: CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    let written = Shells::builtins()
        .completer(args.shell.name())
        .map(|shell| shell.write_registration(VARIABLE, "worker", "worker", "worker", &mut script));
    match written {
        Some(Ok(())) => print_document(&String::from_utf8_lossy(&script)).exit_code(),
        Some(Err(error)) => {
            say(&format!("error: cannot write the script: {error}"));
            ExitCode::FAILURE
        }
        None => {
            say(&format!("error: there is no script for {}", args.shell.name()));
            ExitCode::FAILURE
        }
    }
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Elvish => "elvish",
            Self::Powershell => "powershell",
        }
    }
}

/// The sources, stages and sinks of workers that run here, of the pipeline that the line names if it does.
pub(super) fn running_stages() -> Vec<CompletionCandidate> {
    let meant = option_of_line("--pipeline");
    let found = registry::list().unwrap_or_default();
    let is_meant =
        |found: &Found| found.alive && meant.as_ref().is_none_or(|name| found.entry.pipeline == *name);
    let clients = found.iter().filter(|found| is_meant(found)).filter_map(|found| found.entry.client());
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked: Vec<Client> = clients.collect();
    let graphs = runtime.block_on(async {
        let asked: Vec<_> = asked
            .into_iter()
            .map(|client| tokio::spawn(async move { client.get::<Graph>("/api/v1/pipeline").await.ok() }))
            .collect();
        let mut graphs = Vec::new();
        let end = tokio::time::Instant::now() + PATIENCE;
        for answer in asked {
            graphs.extend(tokio::time::timeout_at(end, answer).await.ok().and_then(Result::ok).flatten());
        }
        graphs
    });
    let stages = graphs.iter().flat_map(|graph| {
        graph.stages.iter().map(|stage| (stage.name.clone(), format!("of {}", graph.pipeline)))
    });
    candidates(stages)
}

/// The pipelines of workers that run here, or ended lately.
pub(super) fn pipelines() -> Vec<CompletionCandidate> {
    let found = registry::list().unwrap_or_default().into_iter();
    candidates(found.map(|found| {
        let is = if found.alive { "runs" } else { "has ended" };
        (found.entry.pipeline, format!("{is}, on node {}", found.entry.node))
    }))
}

/// The sources, stages and sinks of the pipeline file in the line.
pub(super) fn stages_of_file() -> Vec<CompletionCandidate> {
    let of = |kind: &'static str| names(kind).into_iter().map(move |name| (name, kind.to_owned()));
    candidates(of("stage").chain(of("source")).chain(of("sink")))
}

/// The nodes of the cluster file in the line.
pub(super) fn nodes_of_file() -> Vec<CompletionCandidate> {
    candidates(names("node").into_iter().map(|name| (name, String::new())))
}

/// The variables of the pipeline file in the line.
pub(super) fn variables_of_file() -> Vec<CompletionCandidate> {
    candidates(names("vars").into_iter().map(|name| (format!("{name}="), String::new())))
}

/// The tests of the pipeline file in the line that have names.
pub(super) fn tests_of_file() -> Vec<CompletionCandidate> {
    let files = files_of_line();
    let tests = files.iter().filter_map(|file| file.get("test")?.as_array()).flatten();
    let names = tests.filter_map(|test| test.get("name").or(test.get("stage"))?.as_str());
    candidates(names.map(|name| (name.to_owned(), String::new())))
}

/// All that `worker explain` knows.
pub(super) fn explained() -> Vec<CompletionCandidate> {
    let known = super::explain::known(&catalog::all());
    candidates(known.into_iter().map(|name| (name, String::new())))
}

/// Each name once, with what is said of it: shells put it into the line as it is, so none that a shell would read as anything else.
fn candidates(names: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let mut told = BTreeSet::new();
    let each = names.filter(|(name, _)| is_one_word(name) && told.insert(name.clone()));
    each.map(|(name, about)| {
        let about = (!about.is_empty()).then(|| about.into());
        CompletionCandidate::new(name).help(about)
    })
    .collect()
}

/// Whether each shell reads it as one word that means itself.
fn is_one_word(name: &str) -> bool {
    let mean_themselves = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.,:=/@+%[]".contains(&byte);
    name.bytes().all(mean_themselves)
}

/// The keys of a table of the TOML files in the line.
fn names(table: &str) -> Vec<String> {
    let files = files_of_line();
    let tables = files.iter().filter_map(|file| file.get(table)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

/// The TOML files in the line, however wrong they are else.
fn files_of_line() -> Vec<toml::Table> {
    let paths = std::env::args_os().map(PathBuf::from).filter(|word| is_toml(word));
    paths.filter_map(|path| toml::from_str(&std::fs::read_to_string(path).ok()?).ok()).collect()
}

fn is_toml(path: &Path) -> bool {
    let is_small = |metadata: std::fs::Metadata| metadata.is_file() && metadata.len() <= FILE_BYTES_MAX;
    path.extension().is_some_and(|end| end == "toml") && path.metadata().is_ok_and(is_small)
}

/// The value of an option of the line that is completed.
fn option_of_line(option: &str) -> Option<String> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let apart = words.windows(2).find(|pair| pair[0] == option).map(|pair| pair[1].clone());
    let joined =
        || words.iter().find_map(|word| word.strip_prefix(option)?.strip_prefix('=').map(str::to_owned));
    apart.or_else(joined)
}

#[cfg(test)]
mod tests {
    use super::candidates;

    #[test]
    fn no_name_is_offered_that_a_shell_would_read_as_something_else() {
        let names = ["upper", "upper case", "$(touch x)", "a\nb", "in-2.csv", "`x`", "a;b", "it's"];
        let offered = candidates(names.iter().map(|name| ((*name).to_owned(), String::new())));
        let offered: Vec<_> = offered.iter().map(|each| each.get_value().to_owned()).collect();
        assert_eq!(offered, ["upper", "in-2.csv"]);
    }
}
