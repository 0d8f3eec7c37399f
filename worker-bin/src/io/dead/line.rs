//! One line of a file of dead letters.

use super::Envelopes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};
use worker_core::event::{Contents, DeadLetter, FailureKind};
use worker_proto::Seq;

#[derive(Serialize)]
pub(super) struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u64>,
    time: String,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<&'a str>,
    reason: &'a str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_tail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin<'a>>,
    /// Where no `origin` says that it is a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<&'static str>,
    /// What the record stands under, where a stage of the pipeline has printed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_b64: Option<String>,
}

#[derive(Serialize)]
struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    seq: Seq,
}

impl<'a> Line<'a> {
    /// A `letter` of `task`, whose records are in `envelopes`; `from` names the task that sent the record.
    pub(super) fn new(
        task: &'a str,
        from: Option<&'a str>,
        letter: &'a DeadLetter,
        envelopes: Envelopes,
        now: SystemTime,
    ) -> Self {
        let record = envelopes.content(letter);
        let text = std::str::from_utf8(record);
        let (exit_status, signal) = ending(letter.cause);
        let mut line = Self {
            id: None,
            time: rfc3339(now),
            task,
            stage: None,
            reason: &letter.reason,
            attempts: letter.attempts,
            exit_status,
            signal,
            record: text.ok(),
            record_b64: text.is_err().then(|| STANDARD.encode(record)),
            stderr_tail: Some(letter.stderr_tail.as_str()).filter(|tail| !tail.is_empty()),
            batch_id: None,
            origin: letter.origin.map(|(_, seq)| Origin { from, seq }),
            contents: letter.origin.is_none().then(|| word(letter.contents)),
            header: None,
            header_b64: None,
        };
        if let Some(header) = envelopes.header(letter) {
            line.stands_under(header);
        }
        line
    }

    /// What heads its record, unless that is known.
    pub(super) fn stands_under(&mut self, header: &'a [u8]) {
        if self.header.is_some() || self.header_b64.is_some() {
            return;
        }
        match std::str::from_utf8(header) {
            Ok(text) => self.header = Some(text),
            Err(_) => self.header_b64 = Some(STANDARD.encode(header)),
        }
    }
}

/// The line as it is in the file, its end included.
pub(super) fn text_of(line: &Line<'_>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(line).expect("strings and numbers always serialise");
    bytes.push(b'\n');
    bytes
}

/// What a letter holds, as files say it.
pub(crate) fn word(contents: Contents) -> &'static str {
    match contents {
        Contents::Record => "record",
        Contents::Input => "input",
    }
}

/// Exit status and signal of the program, if it ended by itself.
fn ending(cause: Option<FailureKind>) -> (Option<i32>, Option<i32>) {
    match cause {
        Some(FailureKind::Exit(status)) => (Some(status), None),
        Some(FailureKind::Signal(signal)) => (None, Some(signal)),
        None
        | Some(
            FailureKind::CannotStart
            | FailureKind::Timeout
            | FailureKind::Output
            | FailureKind::EarlyExit
            | FailureKind::Diverged
            | FailureKind::WorkerDied
            | FailureKind::Records
            | FailureKind::Injected
            | FailureKind::Worker,
        ) => (None, None),
    }
}

/// UTC with milliseconds, such as `2024-02-29T23:59:59.999Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day since 1970-01-01, counted in years that begin in March, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_rfc_3339() {
        let at = |seconds, ms| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(ms));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 0), "2000-02-28T23:59:59.000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
        assert_eq!(at(1_709_251_200, 0), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(4_102_444_799, 0), "2099-12-31T23:59:59.000Z");
    }
}
