//! Keys of `mode = "stream"`.

use super::program::{self, Restart};
use super::value::{Integer, Maybe, Size, Time, Value, Words, any_of};
use super::{Class, Key, Keys, Section, WhenAbsent};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use crate::text::units::format_duration;
use serde_json::json;
use std::path::Path;
use worker_core::config::Window;

/// Settings of stream processes.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamMode {
    /// When standard input is closed; `None`: at the end of input.
    pub window: Option<Window>,
    /// What it means if the program ends before its input does.
    pub early_exit: EarlyExit,
    /// In exactly-once, or for `restart`, most input of one window that is kept to run it again; in bytes.
    pub replay_limit_bytes: u64,
    /// Whether a sink's program that failed is started again until it has taken its input.
    pub restart: Restart,
}

/// What it means if a stream program ends with success before its input does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyExit {
    Error,
    /// The task is done.
    Done,
}

impl Default for StreamMode {
    fn default() -> Self {
        Self {
            window: None,
            early_exit: EarlyExit::Error,
            replay_limit_bytes: 8 << 30,
            restart: Restart::Never,
        }
    }
}

impl Section for StreamMode {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

pub(super) const KEYS: Keys<StreamMode> = &[
    &Key::<StreamMode, _> {
        name: "window",
        class: Class::Results,
        doc: "when the program is ended and started anew: every so often, or with { records = 100000 } after so many",
        value: Maybe(Cut),
        when_absent: WhenAbsent::Nothing("at the end of input"),
        get: |stream| stream.window,
        set: |stream, window, _| stream.window = window,
    },
    &Key::<StreamMode, _> {
        name: "early_exit",
        class: Class::Results,
        doc: "error | done: whether a program that ends early (head) has failed, or ends its task",
        value: Words(&[("error", EarlyExit::Error), ("done", EarlyExit::Done)]),
        when_absent: WhenAbsent::Default,
        get: |stream| stream.early_exit,
        set: |stream, exit, _| stream.early_exit = exit,
    },
    &Key::<StreamMode, _> {
        name: "replay_limit",
        class: Class::Tuning,
        doc: "the most input of a window that is kept to run it again, with exactly-once or `restart`",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |stream| stream.replay_limit_bytes,
        set: |stream, bytes, _| stream.replay_limit_bytes = bytes,
    },
];

/// Those that only a sink has.
pub(super) const OF_SINK: Keys<StreamMode> = &[&Key::<StreamMode, _> {
    name: "restart",
    class: Class::Tuning,
    doc: "never | on-failure: when it is started again, after 1 s, up to 1 min if it goes on failing; it is given all since the last window again",
    value: program::RESTARTS_OF_SINK,
    when_absent: WhenAbsent::Default,
    get: |stream| stream.restart,
    set: |stream, restart, _| stream.restart = restart,
}];

/// How a window is cut.
struct Cut;

const RECORDS: Integer = Integer { least: 1, most: u64::MAX };

impl Value for Cut {
    type T = Window;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Window> {
        let mut table = reader.table(entry, "a window")?;
        let (every, records) = (table.take("every"), table.take("records"));
        table.finish(reader);
        match (every, records) {
            (Some(every), None) => Time::AboveZero.read(reader, &every).map(Window::Every),
            (None, Some(records)) => RECORDS.read(reader, &records).map(Window::Records),
            (Some(_), Some(_)) | (None, None) => {
                reader.not_a(entry, "a window", "{ every = \"1m\" } or { records = 100000 }")
            }
        }
    }

    fn text(&self, window: &Window, _: &Path) -> Option<String> {
        Some(match window {
            Window::Every(every) => format!("{{ every = {} }}", quoted(&format_duration(*every))),
            Window::Records(records) => format!("{{ records = {records} }}"),
        })
    }

    fn schema(&self) -> serde_json::Value {
        let of = |key: &str, value: serde_json::Value| json!({"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": false});
        any_of([of("every", Time::AboveZero.schema()), of("records", RECORDS.schema())])
    }
}
