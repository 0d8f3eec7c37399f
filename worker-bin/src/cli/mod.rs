//! The command line.

pub mod args;
pub mod run;

use args::WorkerCommand;
use std::process::ExitCode;

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match args.command {
        WorkerCommand::Run(args) => {
            let Some(file) = &args.file else { return ExitCode::from(2) };
            match crate::pipeline::load(file, &args.set) {
                Ok(pipeline) => run::run(&pipeline, &args),
                Err(error) => run::wrong_file(&error),
            }
        }
        WorkerCommand::Check(_) => ExitCode::from(2),
        WorkerCommand::Node(args) => run::node(&args),
    }
}
