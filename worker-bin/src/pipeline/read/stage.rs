//! Stages.

use super::mode::mode;
use super::program::{missing, program};
use super::{Unjoined, framing, from, key, place};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Framing, Mode, Stage};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::time::Duration;
use toml::de::DeValue;

/// How long a program may stand still before it is killed, unless its stage says otherwise.
pub(in crate::pipeline) fn default_timeout(mode: &Mode) -> Option<Duration> {
    match mode {
        Mode::Batch(_) | Mode::Records(_) => Some(Duration::from_secs(30)),
        Mode::Stream(_) => None,
    }
}

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
        None => default_timeout(&mode),
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

fn timeout<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Duration> {
    if matches!(entry.value.get_ref(), DeValue::String(text) if text == "off") {
        return None;
    }
    match reader.duration(entry)? {
        Duration::ZERO => reader.not_a(entry, "a timeout", "a duration above zero, or \"off\""),
        timeout => Some(timeout),
    }
}

fn exits<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<u8>> {
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
