//! Answers in text and in JSON: as for a terminal, on which somebody may look at them.

use crate::text::escape::one_line;
use crate::text::harmless::Harmless;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// As plain text.
impl IntoResponse for Harmless {
    fn into_response(self) -> Response {
        self.as_str().to_owned().into_response()
    }
}

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match Harmless::json(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, line(&error.to_string())).into_response(),
    }
}

/// What is wrong, in one line whatever is quoted.
pub(super) fn line(text: &str) -> Harmless {
    Harmless::text(one_line(text.trim_end().as_bytes()) + "\n")
}
