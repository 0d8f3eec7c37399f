//! Bodies of requests: small, and there soon.

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use std::time::Duration;

/// Longest body, in bytes: one is a log filter.
const BODY_MAX: usize = 4096;

/// How long one may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// All of a body, or what is wrong with it.
pub(super) async fn whole(body: Body) -> Result<Bytes, StatusCode> {
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// What its sender is told.
pub(super) fn refused(status: StatusCode) -> Response {
    let why = "a body has at most 4096 bytes, and comes within 5 seconds\n";
    (status, [(header::CONNECTION, "close")], why).into_response()
}
