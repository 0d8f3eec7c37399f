//! How a child breaks the protocol.

use crate::io::chunker::raise_max_record;
use crate::text::escape::foreign;
use crate::text::units::number;
use thiserror::Error;

/// Longest quotation of what it printed, in characters.
const QUOTE_CHARS_MAX: usize = 120;

/// A child's line breaks a rule. Reads behind the program's name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum ProtocolFault {
    #[error(
        "printed a line that is no answer ({why}): {shown}; expected {{\"id\":N,\"emit\":[…]}} on one line and nothing \
         else on standard output (other things belong on standard error)"
    )]
    NotAnswer { shown: String, why: String },
    #[error("answered id {id}, which it was not asked: expected one of {first} to {last}")]
    Unknown { id: u64, first: u64, last: u64 },
    #[error("answered id {id}, though nothing waits for an answer")]
    Unasked { id: u64 },
    #[error(
        "answered id {id} twice: one answer a request (a long one in several lines, all but the last with \"more\":true)"
    )]
    Twice { id: u64 },
    #[error(
        "answered id {id} before id {before}, which has the same key: answers for one key must come in the order of their ids"
    )]
    KeyOrder { id: u64, before: u64 },
    #[error(
        "answered id {id} before id {before}: without `partition_by` answers must come in the order of their ids"
    )]
    Order { id: u64, before: u64 },
    #[error(
        "answered id {id} before id {before}: a tick and the end must be answered behind everything before them, and \
         before everything behind them"
    )]
    Barrier { id: u64, before: u64 },
    #[error(
        "put or deleted the key {named} in its answer to id {id}, which may only name its own key, {own}"
    )]
    ForeignKey { id: u64, named: String, own: String },
    #[error(
        "emitted a record that contains the byte that ends records ({}) in its answer to id {id}: emit several records, or choose \
         another `framing`", shown_byte(*byte)
    )]
    Terminator { id: u64, byte: u8 },
    #[error(
        "emitted in its answer to id {id} what is not one record where there are {words}: {why}; emit each record by itself and \
         whole, or choose another `framing` for this stage"
    )]
    Unframed { id: u64, words: String, why: String },
    #[error(
        "emitted a record of {bytes} bytes in its answer to id {id}, longer than {limit}; {}",
        raise_max_record(*bytes as u64), bytes = number(*bytes as u64), limit = number(*limit as u64)
    )]
    LongRecord { id: u64, bytes: usize, limit: usize },
    #[error(
        "emitted a record in its answer to id {id}, which nobody reads: a sink answers with {{\"id\":{id}}} or a \"fail\"; make it a \
         [stage] where its records go on"
    )]
    NobodyReads { id: u64 },
    #[error("answered id {id} with \"fail\" and with effects: a record either fails or has effects")]
    FailAndMore { id: u64 },
    #[error("answered the {what} with \"fail\": {why}")]
    FailedTurn { what: &'static str, why: String },
    #[error("answered id {id} wrongly: {why}")]
    Wrong { id: u64, why: String },
    #[error(
        "keeps id {first} waiting while it has answered {bytes} bytes for later ids, more than {limit} may be held; answer \
         nearer to the order of ids, or lower `in_flight`",
        bytes = number(*bytes), limit = number(*limit)
    )]
    TooFarAhead { first: u64, bytes: u64, limit: u64 },
    #[error("printed a line after it had answered the end: {shown}")]
    AfterEnd { shown: String },
}

impl ProtocolFault {
    pub(super) fn not_answer(line: &[u8], why: &serde_json::Error) -> Self {
        Self::NotAnswer { shown: shown(line), why: foreign(&why.to_string()) }
    }

    /// A tick or the end is answered with `fail`.
    pub(super) fn failed_turn(what: &'static str, why: &str) -> Self {
        Self::FailedTurn { what, why: foreign(why) }
    }

    pub(super) fn foreign_key(id: u64, named: &[u8], own: &[u8]) -> Self {
        Self::ForeignKey { id, named: shown(named), own: shown(own) }
    }
}

/// Bytes for people: escaped, in quotes, and not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * QUOTE_CHARS_MAX)]);
    let short: String = text.chars().take(QUOTE_CHARS_MAX).flat_map(char::escape_debug).collect();
    let more = if text.chars().count() > QUOTE_CHARS_MAX || text.len() < bytes.len() {
        format!("… ({} bytes)", number(bytes.len() as u64))
    } else {
        String::new()
    };
    format!("\"{short}\"{more}")
}

fn shown_byte(byte: u8) -> String {
    match byte {
        b'\n' => "newline".to_owned(),
        0 => "NUL".to_owned(),
        other => format!("{other:#04x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_printed_is_escaped_and_shortened() {
        assert_eq!(shown(b"a\t\"b\x1b\xff\n"), "\"a\\t\\\"b\\u{1b}\u{fffd}\"");
        let failed = ProtocolFault::failed_turn("tick", &"\u{1b}[2J".repeat(1000)).to_string();
        assert!(
            !failed.contains('\u{1b}') && failed.contains("\\u{1b}[2J") && failed.len() < 5000,
            "{failed}"
        );
        let long = shown(&[b'x'; 5000]);
        assert_eq!(long, format!("\"{}\"… (5 000 bytes)", "x".repeat(120)));
    }
}
