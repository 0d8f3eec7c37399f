//! Keys of `mode = "records"`.

use super::failures::Failures;
use super::value::{Integer, Maybe, Size, Time, Words};
use super::{Class, Key, Keys, Section, WhenAbsent};
use std::path::Path;
use std::time::Duration;

/// Settings of programs that answer each record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordsMode {
    /// How many requests may be unanswered.
    pub in_flight: u64,
    /// How the program gets back the values it has put; a stage without key keeps none.
    pub state: RecordsState,
    /// Most state of one task, keys and values; in bytes.
    pub state_budget_bytes: u64,
    /// How often the program is told that time has passed; `None`: never.
    pub tick: Option<Duration>,
    pub failures: Failures,
}

/// How a records program gets back the values it has put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsState {
    /// All of them in the first lines after a start.
    Hello,
    /// With each request the value of its key; so there is one request of a key under way.
    Inline,
}

/// How many requests may be unanswered unless it is said: a quarter of it costs the worker half as much again for a record,
/// because wake-ups, commits and notes serve fewer; four times as many gain nothing, and a death puts more in doubt.
const IN_FLIGHT: u64 = 1024;

/// Most requests that may be unanswered.
const IN_FLIGHT_MAX: u64 = 65_536;

impl Default for RecordsMode {
    fn default() -> Self {
        Self {
            in_flight: IN_FLIGHT,
            state: RecordsState::Hello,
            state_budget_bytes: 64 << 20,
            tick: None,
            failures: Failures::default(),
        }
    }
}

impl Section for RecordsMode {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

pub(super) const KEYS: Keys<RecordsMode> = &[
    &Key::<RecordsMode, _> {
        name: "in_flight",
        class: Class::Tuning,
        doc: "how many requests the program may have that it has not answered yet",
        value: Integer { least: 1, most: IN_FLIGHT_MAX },
        when_absent: WhenAbsent::Default,
        get: |records| records.in_flight,
        set: |records, count, _| records.in_flight = count,
    },
    &Key::<RecordsMode, _> {
        name: "tick",
        class: Class::Results,
        doc: "how often the program is asked for something, records or not",
        value: Maybe(Time::AboveZero),
        when_absent: WhenAbsent::Nothing("never"),
        get: |records| records.tick,
        set: |records, tick, _| records.tick = tick,
    },
];

/// What only a stage with `partition_by` has, because values are kept by key.
pub(super) const KEYED: Keys<RecordsMode> = &[
    &Key::<RecordsMode, _> {
        name: "state",
        class: Class::Results,
        doc: "hello | inline: whether the program is told what is kept by key when it starts, all of it, or with each request, that of its key",
        value: Words(&[("hello", RecordsState::Hello), ("inline", RecordsState::Inline)]),
        when_absent: WhenAbsent::Default,
        get: |records| records.state,
        set: |records, state, _| records.state = state,
    },
    &Key::<RecordsMode, _> {
        name: "state_budget",
        class: Class::Tuning,
        doc: "the most state that one task keeps; more of it halts the run",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |records| records.state_budget_bytes,
        set: |records, bytes, _| records.state_budget_bytes = bytes,
    },
];
