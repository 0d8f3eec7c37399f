//! What is allowed and bites.

use super::diagnostics::Warning;
use super::model::Pipeline;

/// Everything about a pipeline that is probably not meant.
#[must_use]
pub fn warnings(pipeline: &Pipeline) -> Vec<Warning> {
    pipeline.noticed.clone()
}
