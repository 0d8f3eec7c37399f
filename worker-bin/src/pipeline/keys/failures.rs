//! What happens to work that fails: keys that batch and records stages have.

use super::value::{Number, Time, Value, Words, any_of, variable};
use super::{Class, Inline, Key, Keys, Section, WhenAbsent};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use crate::text::units::{format_duration, format_share, parse_share};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use worker_core::config::{MaxDead, OnError, Retry};

#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    /// Attempts of a batch, or runs that may end with one record alone in flight, and the waits between them.
    pub retry: Retry,
    /// What happens to a record that fails alone.
    pub on_error: OnError,
    /// How many dead letters are too many.
    pub max_dead: MaxDead,
}

impl Default for Failures {
    fn default() -> Self {
        let retry =
            Retry { max_attempts: 5, initial: Duration::from_millis(100), max: Duration::from_secs(30) };
        Self { retry, on_error: OnError::DeadLetter, max_dead: MaxDead::Share(0.01) }
    }
}

impl Section for Failures {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

pub(super) const KEYS: Keys<Failures> = &[
    &Inline {
        name: "retry",
        doc: "how often a batch or a record is tried, and the waits between its attempts",
        keys: RETRY,
        check: |failures| {
            let Retry { initial, max, .. } = failures.retry;
            (max < initial).then(|| {
                let (initial, max) = (format_duration(initial), format_duration(max));
                ("`max` of `retry` is below its `initial`", format!("initial is {initial}, max is {max}"))
            })
        },
    },
    &Key::<Failures, _> {
        name: "on_error",
        class: Class::Tuning,
        doc: "dead-letter | halt: what becomes of a record that fails alone",
        value: Words(&[("dead-letter", OnError::DeadLetter), ("halt", OnError::Halt)]),
        when_absent: WhenAbsent::Default,
        get: |failures| failures.on_error,
        set: |failures, on_error, _| failures.on_error = on_error,
    },
    &Key::<Failures, _> {
        name: "max_dead",
        class: Class::Tuning,
        doc: "the most dead letters, as a share of the input or as a number: more of them (of a share also more than 100) fail the pipeline",
        value: Limit,
        when_absent: WhenAbsent::Default,
        get: |failures| failures.max_dead,
        set: |failures, max_dead, _| failures.max_dead = max_dead,
    },
];

const RETRY: Keys<Failures> = &[
    &Key::<Failures, _> {
        name: "max_attempts",
        class: Class::Tuning,
        doc: "how often a batch or a record is tried, the first time included",
        value: Number { most: u32::MAX },
        when_absent: WhenAbsent::Default,
        get: |failures| failures.retry.max_attempts,
        set: |failures, count, _| failures.retry.max_attempts = count,
    },
    &Key::<Failures, _> {
        name: "initial",
        class: Class::Tuning,
        doc: "the wait before the second attempt; each one after it is twice as long",
        value: Time::Any,
        when_absent: WhenAbsent::Default,
        get: |failures| failures.retry.initial,
        set: |failures, time, _| failures.retry.initial = time,
    },
    &Key::<Failures, _> {
        name: "max",
        class: Class::Tuning,
        doc: "the longest wait between two attempts",
        value: Time::Any,
        when_absent: WhenAbsent::Default,
        get: |failures| failures.retry.max,
        set: |failures, time, _| failures.retry.max = time,
    },
];

/// A share of the input, or a number of records.
struct Limit;

impl Value for Limit {
    type T = MaxDead;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<MaxDead> {
        const EXPECTED: &str = "a share of the input such as \"1%\", or a number of records";
        if entry.value.get_ref().is_integer() {
            return reader.integer(entry.key, entry.value, 0, u64::MAX).map(MaxDead::Records);
        }
        if !entry.is_string() {
            return reader.wrong_type(entry.key, entry.value, EXPECTED);
        }
        match parse_share(&reader.string(entry)?) {
            Some(share) if share >= 1.0 => Some(MaxDead::Unlimited),
            Some(share) => Some(MaxDead::Share(share)),
            None => reader.not_a(entry, "a share", EXPECTED),
        }
    }

    fn text(&self, limit: &MaxDead, _: &Path) -> Option<String> {
        Some(match limit {
            MaxDead::Records(records) => records.to_string(),
            MaxDead::Share(share) => quoted(&format_share(*share)),
            MaxDead::Unlimited => quoted("100%"),
        })
    }

    fn schema(&self) -> serde_json::Value {
        let share = r"^\s*(0*(100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?)|\.[0-9]+)\s*%\s*$";
        any_of([
            json!({"type": "integer", "minimum": 0}),
            json!({"type": "string", "pattern": share, "title": "a share such as \"0.5%\"", "examples": ["0.5%"]}),
            variable(),
        ])
    }
}
