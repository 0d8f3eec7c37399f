//! `worker tap`: records as they pass.

use super::Failure;
use super::args::TapArgs;
use std::process::ExitCode;

pub(super) async fn tap(_args: &TapArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(super::FAILED, "not built yet"))
}
