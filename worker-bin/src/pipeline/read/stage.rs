//! Stages.

use super::program::{missing, program};
use super::{Unjoined, framing, from, key, place};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{BatchMode, EarlyExit, Framing, Mode, Stage, StreamMode};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{Entry, Reader, Table};
use crate::pipeline::units;
use std::time::Duration;
use toml::de::DeValue;
use worker_core::config::{MaxDead, OnError, Retry, Window};

const BATCH_KEYS: [&str; 4] = ["batch", "retry", "on_error", "max_dead"];
const STREAM_KEYS: [&str; 2] = ["window", "early_exit"];

/// How long a batch program may stand still before it is killed, unless the stage says otherwise.
pub(in crate::pipeline) const BATCH_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn stage<'d>(
    reader: &mut Reader<'d>,
    mut table: Table<'d>,
    (name, at): (String, At),
) -> Unjoined<Stage> {
    let from = from(reader, &mut table);
    let program = match table.take("run") {
        Some(run) => program(reader, &mut table, &run),
        None => {
            reader.problems.push(
                Problem::at(&at, format!("{} has no `run`", table.title), "expected a program to run")
                    .help("for example run = [\"grep\", \"error\"]"),
            );
            missing(reader, &at)
        }
    };
    let mode = mode(reader, &mut table);
    let ok_exit = table.take("ok_exit").and_then(|entry| exits(reader, &entry)).unwrap_or_else(|| vec![0]);
    let (partitions, partitions_at) = match table.take("partitions") {
        Some(entry) => (reader.count(&entry, PARTITIONS_MAX), entry.at()),
        None => (None, at.clone()),
    };
    let (rule, key_at) = key::partition_by(reader, &mut table).unzip();
    let timeout = match table.take("timeout") {
        Some(entry) => timeout(reader, &entry),
        None => matches!(mode, Mode::Batch(_)).then_some(BATCH_TIMEOUT),
    };
    let framing = framing(reader, &mut table);
    let place = place(reader, &mut table);
    table.finish(reader);
    let stage = Stage {
        name,
        from: Vec::new(),
        program,
        mode,
        ok_exit,
        partitions,
        partition_by: rule,
        timeout,
        framing_in: Framing::Lines,
        framing_out: framing.unwrap_or(Framing::Lines),
        place,
        at,
        partitions_at,
        key_at: key_at.unwrap_or_default(),
    };
    Unjoined { item: stage, from, framing }
}

fn mode<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) -> Mode {
    let given = table.take("mode");
    let stream = given.as_ref().and_then(|entry| reader.choice(entry, &[("batch", false), ("stream", true)]));
    let batch_entries = BATCH_KEYS.map(|key| table.take(key));
    let stream_entries = STREAM_KEYS.map(|key| table.take(key));
    if stream == Some(true) {
        other_mode(reader, batch_entries.iter().flatten(), "batch");
        let [window, early_exit] = stream_entries;
        let window = window.and_then(|entry| self::window(reader, &entry));
        let choices = [("error", EarlyExit::Error), ("done", EarlyExit::Done)];
        let early_exit = early_exit.and_then(|entry| reader.choice(&entry, &choices));
        Mode::Stream(StreamMode { window, early_exit: early_exit.unwrap_or(EarlyExit::Error) })
    } else {
        let mode_is_known = given.is_none() || stream.is_some();
        if mode_is_known {
            other_mode(reader, stream_entries.iter().flatten(), "stream");
        }
        Mode::Batch(batch_mode(reader, &batch_entries))
    }
}

fn other_mode<'a, 'd: 'a>(reader: &mut Reader<'d>, entries: impl Iterator<Item = &'a Entry<'d>>, mode: &str) {
    for entry in entries {
        reader.problems.push(
            Problem::at(
                &entry.key_at,
                format!("`{}` belongs to mode = \"{mode}\"", entry.key),
                "has no meaning here",
            )
            .help(format!("remove it, or write mode = \"{mode}\" (batch is the default)")),
        );
    }
}

fn batch_mode<'d>(reader: &mut Reader<'d>, entries: &[Option<Entry<'d>>; 4]) -> BatchMode {
    let mut mode = default_batch_mode();
    let [batch, retry, on_error, max_dead] = entries;
    if let Some(entry) = batch {
        limits(reader, entry, &mut mode);
    }
    if let Some(entry) = retry {
        attempts(reader, entry, &mut mode.retry);
    }
    if let Some(entry) = on_error {
        let choices = [("dead-letter", OnError::DeadLetter), ("halt", OnError::Halt)];
        super::set(&mut mode.on_error, reader.choice(entry, &choices));
    }
    if let Some(entry) = max_dead {
        super::set(&mut mode.max_dead, self::max_dead(reader, entry));
    }
    mode
}

/// What a batch stage does unless it says otherwise.
pub(in crate::pipeline) fn default_batch_mode() -> BatchMode {
    BatchMode {
        max_bytes: 8 << 20,
        max_records: None,
        linger: Duration::from_millis(20),
        retry: Retry { max_attempts: 5, initial: Duration::from_millis(100), max: Duration::from_secs(30) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Share(0.01),
    }
}

fn limits<'d>(reader: &mut Reader<'d>, entry: &Entry<'d>, mode: &mut BatchMode) {
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

fn attempts<'d>(reader: &mut Reader<'d>, entry: &Entry<'d>, retry: &mut Retry) {
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

fn max_dead<'d>(reader: &mut Reader<'d>, entry: &Entry<'d>) -> Option<MaxDead> {
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

fn window<'d>(reader: &mut Reader<'d>, entry: &Entry<'d>) -> Option<Window> {
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

fn timeout<'d>(reader: &mut Reader<'d>, entry: &Entry<'d>) -> Option<Duration> {
    if matches!(entry.value.get_ref(), DeValue::String(text) if text == "off") {
        return None;
    }
    match reader.duration(entry)? {
        Duration::ZERO => reader.not_a(entry, "a timeout", "a duration above zero, or \"off\""),
        timeout => Some(timeout),
    }
}

fn exits<'d>(reader: &mut Reader<'d>, entry: &Entry<'d>) -> Option<Vec<u8>> {
    let DeValue::Array(values) = entry.value.get_ref() else {
        return reader.wrong_type(entry.key, entry.value, "a list of exit statuses such as [0, 1]");
    };
    let mut exits = Vec::with_capacity(values.len());
    for value in values {
        exits.push(u8::try_from(reader.integer(entry.key, value, 0, 255)?).ok()?);
    }
    exits.sort_unstable();
    exits.dedup();
    if exits.is_empty() {
        return reader.not_a(entry, "a list of exit statuses", "at least one, such as [0]");
    }
    Some(exits)
}
