//! `worker fmt`: pipeline and cluster files in one layout.

pub(crate) mod layout;

use super::exit::{say, wrong_file};
use super::{files, print_document};
use crate::pipeline::{ConfigError, SourceText, check_toml};
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;

/// Arguments of `worker fmt`.
#[derive(Clone, Debug, Args)]
pub struct FmtArgs {
    /// Files to lay out anew, in place; or - for standard input to standard output
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Change nothing; name the files that would change, and end with status 1 if there are any
    #[arg(long)]
    pub check: bool,
}

/// The end of its help.
pub const EXAMPLES: &str = "\
Blanks and empty lines change, nothing else: comments, order and the way values are written stay. Lines end as the first one does, \
with CRLF or LF; those within strings stay, and so does a byte order mark. A file that is no TOML is left as it is.

Examples:
  worker fmt access.toml
  worker fmt --check *.toml                            # in CI
  worker run -s 'jq .user' --print-toml | worker fmt -

Exit status: 0 fine; 1 with --check, a file would change; 2 a file is no TOML, or cannot be read or written.";

/// Why a file is not laid out. It is as it was then.
#[derive(Debug, Error)]
enum FmtError {
    /// It cannot be read, or is no TOML.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{} is no regular file, and cannot be replaced; - lays standard input out to standard output", .0.display())]
    NoFile(PathBuf),
    #[error("cannot write {}: {source}; it is as it was", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A fault of ours.
    #[error("{} would mean something else when laid out, which is a bug of this program: it is left as it was", .0.display())]
    Meaning(PathBuf),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    AsItWas,
    Changes,
    /// Standard output could not be written; that was said.
    Unwritten,
}

/// Lays files out.
pub(super) fn fmt(args: &FmtArgs) -> ExitCode {
    let (mut failed, mut changes, mut unwritten) = (false, false, false);
    for path in &args.files {
        match one(path, args.check) {
            Ok(Done::AsItWas) => {}
            Ok(Done::Changes) => changes = true,
            Ok(Done::Unwritten) => unwritten = true,
            Err(FmtError::Config(error)) => {
                wrong_file(&error);
                failed = true;
            }
            Err(error) => {
                say(&format!("error: {error}"));
                failed = true;
            }
        }
    }
    match () {
        () if failed => ExitCode::from(2),
        () if unwritten || (args.check && changes) => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    }
}

fn one(path: &Path, only_check: bool) -> Result<Done, FmtError> {
    let is_stream = path == Path::new("-");
    if !is_stream && path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(FmtError::NoFile(path.to_owned()));
    }
    let source = SourceText::read(path)?;
    check_toml(&source)?;
    let text = source.text();
    let fresh = layout::laid_out(text);
    if meaning(&fresh) != meaning(text) || layout::laid_out(&fresh) != fresh {
        return Err(FmtError::Meaning(path.to_owned()));
    }
    let changes = fresh != text;
    match (is_stream, only_check, changes) {
        (true, false, _) => Ok(match print_document(&fresh).is_failure() {
            true => Done::Unwritten,
            false => Done::AsItWas,
        }),
        (_, true, true) => {
            say(&format!("{} would change", source.name()));
            Ok(Done::Changes)
        }
        (false, false, true) => {
            files::replace(path, &fresh)
                .map_err(|source| FmtError::Write { path: path.to_owned(), source })?;
            Ok(Done::Changes)
        }
        (_, _, false) => Ok(Done::AsItWas),
    }
}

fn meaning(text: &str) -> Option<toml::Table> {
    toml::from_str(text).ok()
}
