//! Looking at running workers: `worker why`, `status`, `top`, `tap`, and the orders `pause`, `resume`, `stop`, `drain` and `log-level`.

pub mod args;
mod find;
mod level;
mod order;
mod status;
mod stop;
mod tap;
mod top;
mod why;

use super::exit::say;
use args::ObserveCommand;
use std::future::Future;
use std::process::ExitCode;

/// Nothing to look at, or it cannot be.
const FAILED: u8 = 1;
/// The command line is wrong, or names nothing.
const WRONG: u8 = 2;

/// Does what the command line says.
#[must_use]
pub fn observe(command: &ObserveCommand) -> ExitCode {
    match command {
        ObserveCommand::Why(args) => wait(why::why(args)),
        ObserveCommand::Status(args) => wait(status::status(args)),
        ObserveCommand::Top(args) => wait(top::top(args)),
        ObserveCommand::Tap(args) => wait(tap::tap(args)),
        ObserveCommand::Pause(args) => wait(order::pause(args, true)),
        ObserveCommand::Resume(args) => wait(order::pause(args, false)),
        ObserveCommand::Stop(args) => wait(stop::stop(args)),
        ObserveCommand::Drain(args) => wait(stop::drain(args)),
        ObserveCommand::LogLevel(args) => wait(level::log_level(args)),
    }
}

fn wait(work: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::new(FAILED, format!("cannot start: {error}"))),
    };
    runtime.block_on(work).unwrap_or_else(|failure| fail(&failure))
}

fn fail(failure: &Failure) -> ExitCode {
    say(&format!("error: {}", failure.why));
    ExitCode::from(failure.status)
}

/// Why a command could not do its work, for people, and its exit status.
#[derive(Debug)]
struct Failure {
    status: u8,
    why: String,
}

impl Failure {
    fn new(status: u8, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}
