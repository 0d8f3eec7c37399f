//! Command lines that are nearly right: what was probably meant.

use super::RunArgs;
use crate::pipeline::INLINE_OPTIONS;
use clap::Command;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::path::Path;

/// A pipeline is in a file or on the command line.
///
/// # Errors
/// It is in both, or in none.
pub(super) fn one_pipeline(run: &RunArgs) -> Result<(), clap::Error> {
    match (&run.file, run.inline.words.first()) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (Some(file), Some(word)) => Err(error(
            ErrorKind::ArgumentConflict,
            &format!(
                "{} describes a pipeline on the command line, and {} is one in a file: write its key into the file, or leave \
                 the file out\n\n  worker run -s 'COMMAND' {} … --print-toml  shows the key",
                word.option.written(),
                file.display(),
                word.option.written(),
            ),
        )),
        (None, None) => Err(error(
            ErrorKind::MissingRequiredArgument,
            "there is no pipeline: name its FILE, or describe it, for example -i 'logs/*.log' -s 'grep 500' -o out.txt\n\n\
             Usage: worker run [OPTIONS] FILE\n       \
             worker run [OPTIONS] [-i GLOB]… [-s|-S|-R COMMAND]… [-o FILE]\n\n\
             For more information, try 'worker run --help'.",
        )),
    }
}

/// What says what is missing before it shows how to use it.
pub(super) fn said_first(command: Command) -> Command {
    command.arg_required_else_help(false).mut_subcommands(said_first)
}

/// The error of a command line without a command, with the one that it is probably for.
pub(super) fn with_the_command(found: clap::Error, argv: &[OsString]) -> clap::Error {
    let is_without = matches!(found.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
    let Some(first) = argv.get(1).and_then(|word| word.to_str()).filter(|_| is_without) else { return found };
    let is_file =
        || Path::new(first).extension().is_some_and(|end| end == "toml") || Path::new(first).is_file();
    let is_option = || {
        let names = |short: Option<char>| {
            short.is_some_and(|short| first.strip_prefix('-').is_some_and(|rest| rest.starts_with(short)))
        };
        first == "-"
            || INLINE_OPTIONS.iter().any(|option| {
                names(option.short) && !first.starts_with("--")
                    || first
                        .strip_prefix("--")
                        .is_some_and(|long| long.split('=').next() == Some(option.long))
            })
    };
    if !is_file() && !is_option() {
        return found;
    }
    let meant: Vec<String> = argv.iter().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
    error(
        ErrorKind::InvalidSubcommand,
        &format!(
            "what is to be done with {first} is not said; to run it: worker run {}\n\nFor more information, try '--help'.",
            meant.join(" ")
        ),
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    match word.len() == name.len() {
        true => shell_words::quote(word).into_owned(),
        false => format!("{}={}", shell_words::quote(name), shell_words::quote(value)),
    }
}

fn error(kind: ErrorKind, message: &str) -> clap::Error {
    clap::Error::raw(kind, format!("{message}\n"))
}
