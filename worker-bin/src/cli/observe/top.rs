//! `worker top`: the live view in a terminal.

use super::Failure;
use super::args::TopArgs;
use std::process::ExitCode;

pub(super) async fn top(_args: &TopArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(super::FAILED, "not built yet"))
}
