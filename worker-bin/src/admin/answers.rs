//! Answers in text and in JSON: as for a terminal, on which somebody may look at them.

use crate::text::escape::one_line;
use crate::text::harmless::Harmless;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// As plain text.
impl IntoResponse for Harmless {
    fn into_response(self) -> Response {
        self.into_string().into_response()
    }
}

/// JSON that is there already.
pub(super) fn made_json(text: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match Harmless::json(value) {
        Ok(text) => made_json(text.into_string().into()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, line(&error.to_string())).into_response(),
    }
}

/// What is wrong, in one line whatever is quoted.
pub(super) fn line(text: &str) -> Harmless {
    Harmless::text(one_line(text.trim_end().as_bytes()) + "\n")
}
