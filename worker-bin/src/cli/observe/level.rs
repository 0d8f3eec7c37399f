//! `worker log-level`.

use super::args::LevelArgs;
use super::find::{Target, find, none_any_more};
use super::{FAILED, Failure};
use crate::admin::Changed;
use crate::cli::print;
use crate::explain::words;
use std::process::ExitCode;

/// Changes what every worker that is meant logs, from now on.
pub(super) async fn log_level(args: &LevelArgs) -> Result<ExitCode, Failure> {
    let Target::Running { instances, notes } = find(&args.target)? else {
        return Err(Failure::new(FAILED, none_any_more()));
    };
    let filter = match &args.part {
        Some(part) => format!("+{part}={}", args.level),
        None => format!("+{}", args.level),
    };
    let (mut did, mut errors) = (String::new(), notes);
    for instance in &instances {
        match instance.client.post::<Changed>("/api/v1/log", filter.clone()).await {
            Ok(changed) => did += &format!("node {}: {}\n", instance.node, words::foreign(&changed.did)),
            Err(error) => {
                errors.push(format!("node {}: {}", instance.node, words::foreign(&error.to_string())));
            }
        }
    }
    let printed = print(&did).exit_code();
    if errors.is_empty() { Ok(printed) } else { Err(Failure::new(FAILED, errors.join("\n"))) }
}
