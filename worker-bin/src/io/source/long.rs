//! What becomes of input that is not as it should be: records over `max_record`, packed files that are damaged.

use crate::io::chunker::{LongRecord, MAX_RECORD_BYTES_MAX};
use crate::io::framing::Framing;
use crate::text::units::number;
use bytes::Bytes;
use worker_core::event::DeadLetter;
use worker_proto::Batch;

/// How much of a record is kept in its dead letter, in bytes.
const LETTER_BYTES_MAX: usize = 64 * 1024;

/// What becomes of a record over `max_record`. What does not go on is in a dead letter, so it is counted and told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLong {
    #[default]
    Halt,
    /// It does not go on.
    DeadLetter,
    /// Its beginning goes on.
    Cut,
}

/// What becomes of packed or encoded input that is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    #[default]
    Halt,
    /// What can be unpacked before the damage counts; what cannot be is told of in a dead letter.
    Skip,
}

/// What one record came to.
#[derive(Debug)]
pub(super) struct Shortened {
    /// What goes on: one record, or none.
    pub(super) batch: Batch,
    pub(super) letter: DeadLetter,
}

impl OnLong {
    pub(super) fn passes_over(self) -> bool {
        self != Self::Halt
    }

    /// What becomes of `long`, record `record` of the input `name`, which begins at its byte `offset`.
    pub(super) fn treat(
        self,
        mut long: LongRecord,
        (name, record, offset): (&str, u64, u64),
        framing: &Framing,
        max_record: usize,
    ) -> Shortened {
        let (length, max_record) = (long.length(), max_record.min(MAX_RECORD_BYTES_MAX));
        let which = format!(
            "record {} of {name} (bytes {} to {}) has {} bytes",
            number(record),
            number(offset),
            number(offset + length),
            number(length)
        );
        match self {
            Self::Halt | Self::DeadLetter => {
                long.head.extend_from_slice(&long.rest);
                let (kept, held) = first(long.head, length, "all of it");
                let reason = format!("{which}, more than max_record = {max_record} allows; {held}");
                Shortened { batch: Batch::empty(), letter: letter(&kept, reason, framing) }
            }
            Self::Cut => {
                let passed_on = whole_characters(&long.head);
                let mut rest = long.head.split_off(passed_on);
                rest.extend_from_slice(&long.rest);
                let (kept, held) = first(rest, length - passed_on as u64, "all that lies behind them");
                let went_on = number(passed_on as u64);
                let reason = format!("{which}, and was cut: its first {went_on} bytes went on; {held}");
                let batch = Batch::of_one(framing.wrapped(&long.head).into());
                Shortened { batch, letter: letter(&kept, reason, framing) }
            }
        }
    }
}

/// What a letter keeps of `bytes`, the beginning of `length`, and how its reason says so; `all` is what they are.
fn first(mut bytes: Vec<u8>, length: u64, all: &str) -> (Vec<u8>, String) {
    bytes.truncate(LETTER_BYTES_MAX);
    let held = match bytes.len() as u64 {
        kept if kept == length => format!("this letter holds {all}"),
        kept => format!("of {all} this letter holds the first {} bytes", number(kept)),
    };
    (bytes, held)
}

/// A letter whose content is `bytes`, as they stand in the input.
pub(super) fn letter(bytes: &[u8], reason: String, framing: &Framing) -> DeadLetter {
    DeadLetter::of_input(Bytes::from(framing.wrapped(bytes)), reason)
}

/// How much of `head` to keep so that a text is not cut within a character.
fn whole_characters(head: &[u8]) -> usize {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => head.len(),
    }
}
