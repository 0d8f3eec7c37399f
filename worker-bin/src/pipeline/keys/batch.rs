//! Keys of `mode = "batch"`.

use super::failures::Failures;
use super::value::{Integer, Maybe, Size, Time};
use super::{Class, Inline, Key, Keys, Section, WhenAbsent};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct BatchMode {
    /// Largest batch, in bytes.
    pub max_bytes: u64,
    /// Largest batch, in records; `None`: bytes alone decide.
    pub max_records: Option<u64>,
    /// How long records wait for company.
    pub linger: Duration,
    pub failures: Failures,
}

impl Default for BatchMode {
    fn default() -> Self {
        Self {
            max_bytes: 8 << 20,
            max_records: None,
            linger: Duration::from_millis(20),
            failures: Failures::default(),
        }
    }
}

impl Section for BatchMode {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

pub(super) const KEYS: Keys<BatchMode> = &[&Inline {
    name: "batch",
    doc: "max_records too (none); batches start small and grow",
    keys: LIMITS,
    check: |_| None,
}];

const LIMITS: Keys<BatchMode> = &[
    &Key::<BatchMode, _> {
        name: "max_bytes",
        class: Class::Tuning,
        doc: "the largest batch",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |batch| batch.max_bytes,
        set: |batch, bytes, _| batch.max_bytes = bytes,
    },
    &Key::<BatchMode, _> {
        name: "max_records",
        class: Class::Tuning,
        doc: "the largest batch",
        value: Maybe(Integer { least: 1, most: u64::MAX }),
        when_absent: WhenAbsent::Nothing("max_bytes alone decides"),
        get: |batch| batch.max_records,
        set: |batch, records, _| batch.max_records = records,
    },
    &Key::<BatchMode, _> {
        name: "linger",
        class: Class::Tuning,
        doc: "how long records wait for company",
        value: Time::Any,
        when_absent: WhenAbsent::Default,
        get: |batch| batch.linger,
        set: |batch, linger, _| batch.linger = linger,
    },
];
