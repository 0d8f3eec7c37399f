//! A dead letter as JSON, with what the store knows about it.

use super::store::LetterId;
use crate::io::dead::{Letter, word};
use crate::text::harmless::Harmless;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct ShownLetter<'a> {
    id: String,
    time: &'a str,
    stage: &'a str,
    task: &'a str,
    reason: &'a str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// The replay that it was given to.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<u32>,
    /// The letter that it was before it was replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_b64: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stderr_tail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin<'a>>,
    contents: &'static str,
}

#[derive(Serialize)]
struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    seq: u64,
}

impl<'a> ShownLetter<'a> {
    pub(super) fn new(
        id: &LetterId,
        letter: &'a Letter,
        replayed: Option<u32>,
        before: Option<&LetterId>,
    ) -> Self {
        let text = std::str::from_utf8(&letter.record);
        Self {
            id: id.to_string(),
            time: &letter.time,
            stage: &letter.stage,
            task: &letter.task,
            reason: &letter.reason,
            attempts: letter.attempts,
            exit_status: letter.exit_status,
            signal: letter.signal,
            replayed,
            before: before.map(ToString::to_string),
            record: text.ok(),
            record_b64: text.is_err().then(|| STANDARD.encode(&letter.record)),
            stderr_tail: &letter.stderr_tail,
            batch_id: letter.batch_id.as_deref(),
            origin: letter
                .origin
                .as_ref()
                .map(|origin| Origin { from: origin.from.as_deref(), seq: origin.seq }),
            contents: word(letter.contents),
        }
    }

    pub(super) fn line(&self) -> Harmless {
        Harmless::json(self).expect("strings and numbers always serialise")
    }
}
