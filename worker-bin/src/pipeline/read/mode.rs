//! `mode`, and the keys that belong to one way of running only.

use crate::pipeline::diagnostics::{Problem, listed};
use crate::pipeline::model::{BatchMode, EarlyExit, Mode, RecordsMode, RecordsState, StreamMode};
use crate::pipeline::reader::{KeyValue, Reader, Table};
use crate::pipeline::units;
use std::collections::BTreeMap;
use std::time::Duration;
use worker_core::config::{MaxDead, OnError, Retry, Window};

/// Which way of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Batch,
    Stream,
    Records,
}

const WAYS: [(&str, Way); 3] = [("batch", Way::Batch), ("stream", Way::Stream), ("records", Way::Records)];

/// Keys that have a meaning in some ways of running only.
const KEYS: [(&str, &[Way]); 11] = [
    ("batch", &[Way::Batch]),
    ("retry", &[Way::Batch, Way::Records]),
    ("on_error", &[Way::Batch, Way::Records]),
    ("max_dead", &[Way::Batch, Way::Records]),
    ("window", &[Way::Stream]),
    ("early_exit", &[Way::Stream]),
    ("replay_limit", &[Way::Stream]),
    ("in_flight", &[Way::Records]),
    ("tick", &[Way::Records]),
    ("state", &[Way::Records]),
    ("state_budget", &[Way::Records]),
];

/// How many requests may be unanswered unless it is said: a quarter of it costs the worker half as much again for a record,
/// because wake-ups, commits and notes serve fewer; four times as many gain nothing, and a death puts more in doubt.
const IN_FLIGHT: u64 = 1024;

/// Most requests that may be unanswered.
const IN_FLIGHT_MAX: u64 = 65_536;

/// The keys of [`KEYS`] that a stage has.
type Given<'d> = BTreeMap<&'static str, KeyValue<'d>>;

pub(super) fn mode<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) -> Mode {
    let entry = table.take("mode");
    let said = entry.as_ref().map(|entry| reader.choice(entry, &WAYS));
    let is_keyed = table.has("partition_by");
    let given: Given<'d> =
        KEYS.iter().filter_map(|&(key, _)| table.take(key).map(|entry| (key, entry))).collect();
    let way = said.flatten().unwrap_or(Way::Batch);
    if said != Some(None) {
        of_other_ways(reader, &given, way);
    }
    match way {
        Way::Batch => Mode::Batch(batch(reader, &given)),
        Way::Stream => Mode::Stream(stream(reader, &given)),
        Way::Records => {
            if !is_keyed {
                state_without_key(reader, &given);
            }
            Mode::Records(records(reader, &given))
        }
    }
}

/// Refuses keys that have no meaning in this way of running.
fn of_other_ways<'d>(reader: &mut Reader<'d>, given: &Given<'d>, way: Way) {
    for (key, ways) in KEYS {
        let Some(entry) = given.get(key).filter(|_| !ways.contains(&way)) else { continue };
        let word = |way: &Way| WAYS.iter().find(|(_, other)| other == way).map_or("", |&(word, _)| word);
        let modes = listed(ways.iter().map(word), '"', "or");
        let problem =
            Problem::at(&entry.key_at, format!("`{key}` belongs to mode = {modes}"), "has no meaning here");
        reader.problems.push(match (key, way) {
            ("window", Way::Records) => problem
                .help("remove it; how many requests may be unanswered is in_flight, and totals can be printed at every tick"),
            _ => problem.help(format!("remove it, or write mode = {modes} (batch is the default)")),
        });
    }
}

/// State is kept by key.
fn state_without_key<'d>(reader: &mut Reader<'d>, given: &Given<'d>) {
    for key in ["state", "state_budget"] {
        if let Some(entry) = given.get(key) {
            reader.problems.push(
                Problem::at(
                    &entry.key_at,
                    format!("`{key}` needs a key"),
                    "values are kept by the key of records",
                )
                .help("say what the key is, for example partition_by = { field = 1 }, or remove this line"),
            );
        }
    }
}

fn batch<'d>(reader: &mut Reader<'d>, given: &Given<'d>) -> BatchMode {
    let mut mode = default_batch_mode();
    if let Some(entry) = given.get("batch") {
        limits(reader, entry, &mut mode);
    }
    failures(reader, given, (&mut mode.retry, &mut mode.on_error, &mut mode.max_dead));
    mode
}

/// What a batch stage does unless it says otherwise.
pub(in crate::pipeline) fn default_batch_mode() -> BatchMode {
    BatchMode {
        max_bytes: 8 << 20,
        max_records: None,
        linger: Duration::from_millis(20),
        retry: DEFAULT_RETRY,
        on_error: OnError::DeadLetter,
        max_dead: DEFAULT_MAX_DEAD,
    }
}

const DEFAULT_RETRY: Retry =
    Retry { max_attempts: 5, initial: Duration::from_millis(100), max: Duration::from_secs(30) };
const DEFAULT_MAX_DEAD: MaxDead = MaxDead::Share(0.01);

fn stream<'d>(reader: &mut Reader<'d>, given: &Given<'d>) -> StreamMode {
    let mut mode = default_stream_mode();
    mode.window = given.get("window").and_then(|entry| window(reader, entry));
    if let Some(entry) = given.get("early_exit") {
        let choices = [("error", EarlyExit::Error), ("done", EarlyExit::Done)];
        super::set(&mut mode.early_exit, reader.choice(entry, &choices));
    }
    if let Some(entry) = given.get("replay_limit") {
        super::set(&mut mode.replay_limit_bytes, reader.size(entry));
    }
    mode
}

/// What a stream stage does unless it says otherwise.
pub(in crate::pipeline) fn default_stream_mode() -> StreamMode {
    StreamMode { window: None, early_exit: EarlyExit::Error, replay_limit_bytes: 8 << 30 }
}

fn records<'d>(reader: &mut Reader<'d>, given: &Given<'d>) -> RecordsMode {
    let mut mode = default_records_mode();
    if let Some(entry) = given.get("in_flight") {
        super::set(&mut mode.in_flight, reader.integer(entry.key, entry.value, 1, IN_FLIGHT_MAX));
    }
    if let Some(entry) = given.get("tick") {
        mode.tick = match reader.duration(entry) {
            Some(Duration::ZERO) => reader.not_a(entry, "a length", "a duration above zero"),
            tick => tick,
        };
    }
    if let Some(entry) = given.get("state") {
        let choices = [("hello", RecordsState::Hello), ("inline", RecordsState::Inline)];
        super::set(&mut mode.state, reader.choice(entry, &choices));
    }
    if let Some(entry) = given.get("state_budget") {
        super::set(&mut mode.state_budget_bytes, reader.size(entry));
    }
    failures(reader, given, (&mut mode.retry, &mut mode.on_error, &mut mode.max_dead));
    mode
}

/// What a records stage does unless it says otherwise.
pub(in crate::pipeline) fn default_records_mode() -> RecordsMode {
    RecordsMode {
        in_flight: IN_FLIGHT,
        state: RecordsState::Hello,
        state_budget_bytes: 64 << 20,
        tick: None,
        retry: DEFAULT_RETRY,
        on_error: OnError::DeadLetter,
        max_dead: DEFAULT_MAX_DEAD,
    }
}

/// What happens to work that fails.
fn failures<'d>(
    reader: &mut Reader<'d>,
    given: &Given<'d>,
    (retry, on_error, max_dead): (&mut Retry, &mut OnError, &mut MaxDead),
) {
    if let Some(entry) = given.get("retry") {
        attempts(reader, entry, retry);
    }
    if let Some(entry) = given.get("on_error") {
        let choices = [("dead-letter", OnError::DeadLetter), ("halt", OnError::Halt)];
        super::set(on_error, reader.choice(entry, &choices));
    }
    if let Some(entry) = given.get("max_dead") {
        super::set(max_dead, self::max_dead(reader, entry));
    }
}

fn limits<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>, mode: &mut BatchMode) {
    let Some(mut table) = reader.table(entry, "batch") else { return };
    if let Some(entry) = table.take("max_bytes") {
        super::set(&mut mode.max_bytes, reader.size(&entry));
    }
    if let Some(entry) = table.take("max_records") {
        mode.max_records = reader.integer(entry.key, entry.value, 1, u64::MAX);
    }
    if let Some(entry) = table.take("linger") {
        super::set(&mut mode.linger, reader.duration(&entry));
    }
    table.finish(reader);
}

fn attempts<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>, retry: &mut Retry) {
    let Some(mut table) = reader.table(entry, "retry") else { return };
    if let Some(entry) = table.take("max_attempts") {
        super::set(&mut retry.max_attempts, reader.count(&entry, u32::MAX));
    }
    if let Some(entry) = table.take("initial") {
        super::set(&mut retry.initial, reader.duration(&entry));
    }
    if let Some(entry) = table.take("max") {
        super::set(&mut retry.max, reader.duration(&entry));
    }
    table.finish(reader);
    if retry.max < retry.initial {
        reader.problems.push(Problem::at(
            &entry.at(),
            "`max` of `retry` is below its `initial`",
            format!(
                "initial is {}, max is {}",
                units::format_duration(retry.initial),
                units::format_duration(retry.max)
            ),
        ));
    }
}

fn max_dead<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<MaxDead> {
    const EXPECTED: &str = "a share of the input such as \"1%\", or a number of records";
    if entry.value.get_ref().is_integer() {
        return reader.integer(entry.key, entry.value, 0, u64::MAX).map(MaxDead::Records);
    }
    if !entry.is_string() {
        return reader.wrong_type(entry.key, entry.value, EXPECTED);
    }
    match units::parse_share(&reader.string(entry)?) {
        Some(share) => Some(MaxDead::Share(share)),
        None => reader.not_a(entry, "a share", EXPECTED),
    }
}

fn window<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Window> {
    let mut table = reader.table(entry, "a window")?;
    let (every, records) = (table.take("every"), table.take("records"));
    table.finish(reader);
    match (every, records) {
        (Some(every), None) => match reader.duration(&every)? {
            Duration::ZERO => reader.not_a(&every, "a length", "a duration above zero"),
            every => Some(Window::Every(every)),
        },
        (None, Some(records)) => reader.integer(records.key, records.value, 1, u64::MAX).map(Window::Records),
        (Some(_), Some(_)) | (None, None) => {
            reader.not_a(entry, "a window", "{ every = \"1m\" } or { records = 100000 }")
        }
    }
}
