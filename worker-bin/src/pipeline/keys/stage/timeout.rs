//! `timeout`: how long a program may stand still.

use super::{Mode, Stage};
use crate::pipeline::keys::value::{Time, Value, any_of};
use crate::pipeline::keys::{Class, Key, Keys, WhenAbsent};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use toml::de::DeValue;

pub(super) const TIMEOUT: Keys<Stage> = &[&Key::<Stage, _> {
    name: "timeout",
    class: Class::Tuning,
    doc: "how long a program may do nothing, without a byte or processor time, before it is killed and run again; or \"off\"",
    value: Patience,
    when_absent: WhenAbsent::By(|stage| default_timeout(&stage.mode), "30s; stream off"),
    get: |stage| stage.timeout,
    set: |stage, timeout, _| stage.timeout = timeout,
}];

/// How long a program may stand still before it is killed, unless its stage says otherwise.
pub(super) fn default_timeout(mode: &Mode) -> Option<Duration> {
    match mode {
        Mode::Batch(_) | Mode::Records(_) => Some(Duration::from_secs(30)),
        Mode::Stream(_) => None,
    }
}

/// A time limit, or none.
struct Patience;

impl Value for Patience {
    type T = Option<Duration>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Option<Duration>> {
        if matches!(entry.value.get_ref(), DeValue::String(text) if text == "off") {
            return Some(None);
        }
        match reader.duration(entry)? {
            Duration::ZERO => reader.not_a(entry, "a timeout", "a duration above zero, or \"off\""),
            timeout => Some(Some(timeout)),
        }
    }

    fn text(&self, timeout: &Option<Duration>, dir: &Path) -> Option<String> {
        timeout.map_or_else(|| Some(quoted("off")), |time| Time::AboveZero.text(&time, dir))
    }

    fn schema(&self) -> serde_json::Value {
        any_of([json!({"enum": ["off"]}), Time::AboveZero.schema()])
    }
}
