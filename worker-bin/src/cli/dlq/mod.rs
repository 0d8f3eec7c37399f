//! `worker dlq`: dead letters, from a look at them to another run with them.

pub mod args;
mod claims;
mod damaged;
mod json;
mod list;
mod replay;
mod repro;
mod show;
mod stages;
mod store;

use super::exit::{say, wrong_file};
use crate::cli::args::RunArgs;
use args::{DlqArgs, DlqCommand};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use store::StoreError;
use thiserror::Error;

/// Does what the command line says.
pub(super) fn dlq(args: &DlqArgs) -> ExitCode {
    ended(match &args.command {
        DlqCommand::List(args) => list::list(args),
        DlqCommand::Show(args) => show::show(args),
        DlqCommand::Repro(args) => repro::repro(args),
        DlqCommand::Replay(args) => replay::replay(args),
    })
}

/// `worker run FILE --resume-failed`: what failed in the last run, and nothing else.
pub(super) fn resume_failed(args: &RunArgs, file: &Path) -> ExitCode {
    ended(replay::all_that_failed(args, file))
}

fn ended(result: Result<ExitCode, Failed>) -> ExitCode {
    match result {
        Ok(code) => code,
        // A reader that has gone is no error.
        Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error @ Failed::Output(_)) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
        Err(Failed::Store(StoreError::Config(error))) => wrong_file(&error),
        Err(error @ (Failed::Store(_) | Failed::Repro(_) | Failed::Replay(_))) => {
            say(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Why a command ended early.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory for a program.
    #[error(transparent)]
    Repro(#[from] repro::ReproError),
    #[error(transparent)]
    Replay(#[from] replay::ReplayError),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl From<claims::ClaimError> for Failed {
    fn from(error: claims::ClaimError) -> Self {
        Self::Store(error.into())
    }
}
