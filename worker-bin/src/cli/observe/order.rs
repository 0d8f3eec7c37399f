//! `worker pause` and `worker resume`.

use super::args::OrderArgs;
use super::find::{Target, find, none_any_more};
use super::{FAILED, Failure, WRONG};
use crate::admin::Changed;
use crate::admin::client::{ClientError, encoded};
use crate::cli::{print, print_json};
use crate::explain::words;
use hyper::StatusCode;
use serde_json::json;
use std::process::ExitCode;

/// Gives the order to every node that is meant; those without a task of the stage do not count.
pub(super) async fn pause(args: &OrderArgs, paused: bool) -> Result<ExitCode, Failure> {
    let Target::Running { instances, notes } = find(&args.target)? else {
        return Err(Failure::new(FAILED, none_any_more()));
    };
    let word = if paused { "pause" } else { "resume" };
    let path = format!("/api/v1/stages/{}/{word}", encoded(&args.stage));
    let (mut did, mut errors, mut wrong) = (Vec::new(), notes, true);
    let mut nodes = Vec::new();
    for instance in &instances {
        match instance.client.post::<Changed>(&path, String::new()).await {
            Ok(changed) => {
                nodes.push(json!({"node": instance.node, "did": changed.did, "tasks": changed.tasks}));
                let tasks = match changed.tasks.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", changed.tasks.join(", ")),
                };
                did.push(format!("node {}: {}{tasks}\n", instance.node, changed.did));
            }
            Err(error) => {
                // A node without a task of the stage says so, too.
                wrong &= matches!(error, ClientError::Refused { status: StatusCode::BAD_REQUEST, .. });
                nodes.push(json!({"node": instance.node, "error": error.to_string()}));
                errors.push(format!("node {}: {}", instance.node, words::foreign(&error.to_string())))
            }
        }
    }
    if did.is_empty() {
        return Err(Failure::new(
            if wrong && !instances.is_empty() { WRONG } else { FAILED },
            errors.join("\n"),
        ));
    }
    if args.json {
        return Ok(print_json(&nodes).exit_code());
    }
    Ok(print(&did.concat()).exit_code())
}
