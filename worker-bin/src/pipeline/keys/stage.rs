//! `[stage.NAME]`.

use super::batch::{self, BatchMode};
use super::failures::{self, Failures};
use super::framing::Frames;
use super::from::{self, From};
use super::order::{Order, OrderWord};
use super::partition_by::{KeyRule, Rule};
use super::place::{Place, PlaceName};
use super::program::{self, Program};
use super::rate::{self, Pace};
use super::records::{self, RecordsMode};
use super::stream::{self, StreamMode};
use super::value::{Integer, Maybe, Number, Time, Value, Words, any_of};
use super::{Class, Key, KeyInfo, Keys, Rendered, Section, Shown, WhenAbsent, row};
use crate::child::Takes;
use crate::pipeline::diagnostics::{At, Problem, listed};
use crate::pipeline::model::{Framing, Origin, Pipeline};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use crate::pipeline::text::quoted;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use toml::de::DeValue;
use worker_core::config::WhenFull;

/// An executable between sources and sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub name: String,
    /// What it reads from; at least one.
    pub from: Vec<Origin>,
    pub program: Program,
    pub mode: Mode,
    /// Exit statuses that count as success; sorted.
    pub ok_exit: Vec<u8>,
    /// Number of tasks; `None`: see [`plan`](crate::pipeline::plan()).
    pub partitions: Option<u32>,
    /// What decides the partition a record goes to; `None`: any.
    pub partition_by: Option<KeyRule>,
    /// In which order its output comes, as far as it says that itself.
    pub order: Order,
    /// How fast it takes records.
    pub pace: Pace,
    /// What is done with what comes to it while its links are full.
    pub when_full: WhenFull,
    /// Killed after this long without moving a byte or using the processor; `None`: never.
    pub timeout: Option<Duration>,
    /// How the records it reads end.
    pub framing_in: Framing,
    /// How what it prints is split.
    pub framing_out: Framing,
    /// Nodes it runs on; empty: any.
    pub place: Vec<PlaceName>,
    /// The names that `from` gives, until they are looked up.
    pub(crate) named: Option<Vec<(String, At)>>,
    /// The framing that the file gives, until it is known how what it reads is framed.
    pub(crate) framing: Option<Framing>,
    pub(crate) framing_at: At,
    pub(crate) at: At,
    pub(crate) partitions_at: At,
    pub(crate) key_at: At,
    pub(crate) order_at: At,
    pub(crate) when_full_at: At,
}

/// How a stage's executable runs, with what only this mode knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// A fresh process per batch.
    Batch(BatchMode),
    /// One process for the life of the task or of a window.
    Stream(StreamMode),
    /// One process that answers each record.
    Records(RecordsMode),
}

/// Which mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModeName {
    Batch,
    Stream,
    Records,
}

pub(crate) const MODES: Words<ModeName> =
    Words(&[("batch", ModeName::Batch), ("stream", ModeName::Stream), ("records", ModeName::Records)]);

pub(crate) const WHEN_FULL: Words<WhenFull> = Words(&[
    ("wait", WhenFull::Wait),
    ("drop-newest", WhenFull::DropNewest),
    ("drop-oldest", WhenFull::DropOldest),
]);

pub(crate) const WHEN_FULL_DOC: &str = "wait | drop-newest | drop-oldest: what a full link to it does; drops are counted, and only without state";

/// The modes in which the keys of [`failures`] have a meaning.
const FAILING: &[ModeName] = &[ModeName::Batch, ModeName::Records];

impl Section for Stage {
    fn defaults(dir: &Path) -> Self {
        let mode = Mode::of(ModeName::Batch);
        Self {
            name: String::new(),
            from: Vec::new(),
            program: Program::defaults(dir),
            timeout: default_timeout(&mode),
            mode,
            ok_exit: vec![0],
            partitions: None,
            partition_by: None,
            order: Order::Any,
            pace: Pace::default(),
            when_full: WhenFull::Wait,
            when_full_at: At::default(),
            framing_in: Framing::Lines,
            framing_out: Framing::Lines,
            place: Vec::new(),
            named: None,
            framing: None,
            framing_at: At::default(),
            at: At::default(),
            partitions_at: At::default(),
            key_at: At::default(),
            order_at: At::default(),
        }
    }
}

/// What stands before the keys of its program.
const FROM: Keys<Stage> =
    &[&From { get: |stage: &Stage| &stage.from, set: |stage, names| stage.named = Some(names) }];

const MODE: Keys<Stage> = &[&mode_key(WhenAbsent::Default)];

/// The same of a program that is a sink.
const MODE_OF_SINK: Keys<Stage> = &[&mode_key(WhenAbsent::By(|_| ModeName::Stream, "stream"))];

const fn mode_key(when_absent: WhenAbsent<Stage, ModeName>) -> Key<Stage, Words<ModeName>> {
    Key {
        name: "mode",
        class: Class::Results,
        doc: "batch | stream | records",
        value: MODES,
        when_absent,
        get: |stage| stage.mode.mode_name(),
        set: |stage, mode, _| stage.set_mode(mode),
    }
}

/// Keys of how a program is run that differ from a stage's to a sink's.
#[derive(Clone, Copy)]
struct How {
    mode: Keys<Stage>,
    batch: Keys<BatchMode>,
    stream: Keys<StreamMode>,
}

const HOW: How = How { mode: MODE, batch: batch::OUTPUT, stream: &[] };

const HOW_OF_SINK: How = How { mode: MODE_OF_SINK, batch: &[], stream: stream::OF_SINK };

const OUTCOME: Keys<Stage> = &[&Key::<Stage, _> {
    name: "ok_exit",
    class: Class::Results,
    doc: "exit statuses that are fine: grep says 1 for \"no match\"",
    value: Exits,
    when_absent: WhenAbsent::Default,
    get: |stage| stage.ok_exit.clone(),
    set: |stage, exits, _| stage.ok_exit = exits,
}];

const TASKS: Keys<Stage> = &[
    &Key::<Stage, _> {
        name: "partitions",
        class: Class::Results,
        doc: "tasks",
        value: Maybe(Number { most: PARTITIONS_MAX }),
        when_absent: WhenAbsent::Nothing(
            "cores for batch; for stream and records 1, or cores with partition_by",
        ),
        get: |stage| stage.partitions,
        set: |stage, count, at| (stage.partitions, stage.partitions_at) = (count, at),
    },
    &Key::<Stage, _> {
        name: "partition_by",
        class: Class::Results,
        doc: "lines with equal keys meet in one task. Fields count from 1, blanks part them; or \
              { field = 1, delimiter = \",\" }, { csv = \"state\" }, { csv = 4 }, { json = \"/user/id\" }, \"record\" (the whole \
              line), \"key\" (behind mode = \"records\": the key that an answer names)",
        value: Maybe(Rule),
        when_absent: WhenAbsent::Nothing("any task"),
        get: |stage| stage.partition_by.clone(),
        set: |stage, rule, at| (stage.partition_by, stage.key_at) = (rule, at),
    },
    &Key::<Stage, _> {
        name: "order",
        class: Class::Results,
        doc: "or \"input\": its records come in, and what comes of them goes on, in the order of the source",
        value: OrderWord,
        when_absent: WhenAbsent::Nothing("any, or as who reads from it says"),
        get: |stage| stage.order,
        set: |stage, order, at| (stage.order, stage.order_at) = (order, at),
    },
];

const TIMEOUT: Keys<Stage> = &[&Key::<Stage, _> {
    name: "timeout",
    class: Class::Tuning,
    doc: "killed and run again after so long without a byte or processor time; or \"off\"",
    value: Patience,
    when_absent: WhenAbsent::By(|stage| default_timeout(&stage.mode), "30s; stream off"),
    get: |stage| stage.timeout,
    set: |stage, timeout, _| stage.timeout = timeout,
}];

const REST: Keys<Stage> = &[
    &rate::rate::<Stage>(
        "takes no more, in all its tasks together",
        |stage| stage.pace.rate,
        |stage, rate, at| stage.pace.set_rate(rate, at),
    ),
    &rate::burst::<Stage>(|stage| stage.pace.burst, |stage, burst, at| stage.pace.set_burst(burst, at)),
    &Key::<Stage, _> {
        name: "when_full",
        class: Class::Tuning,
        doc: WHEN_FULL_DOC,
        value: WHEN_FULL,
        when_absent: WhenAbsent::Nothing("wait"),
        get: |stage| stage.when_full,
        set: |stage, when_full, at| (stage.when_full, stage.when_full_at) = (when_full, at),
    },
    &Key::<Stage, _> {
        name: "framing",
        class: Class::Results,
        doc: "how what it prints is split, as that of a source",
        value: Frames,
        when_absent: WhenAbsent::By(Stage::default_framing, "as what it reads; with input = \"arg\" lines"),
        get: |stage| stage.framing_out.clone(),
        set: |stage, framing, at| (stage.framing, stage.framing_at) = (Some(framing), at),
    },
    &Key::<Stage, _> {
        name: "place",
        class: Class::Identity,
        doc: "the node it runs on, or several",
        value: Place,
        when_absent: WhenAbsent::Nothing("any"),
        get: |stage| stage.place.clone(),
        set: |stage, place, _| stage.place = place,
    },
];

/// How long a program may stand still before it is killed, unless its stage says otherwise.
fn default_timeout(mode: &Mode) -> Option<Duration> {
    match mode {
        Mode::Batch(_) | Mode::Records(_) => Some(Duration::from_secs(30)),
        Mode::Stream(_) => None,
    }
}

/// Keys, each with the modes of running that have it.
pub(crate) type KeysOfModes = Vec<(KeyInfo, &'static [ModeName])>;

const ALL: &[ModeName] = &[ModeName::Batch, ModeName::Stream, ModeName::Records];

/// All keys, in the order in which they are read.
pub(crate) fn infos() -> KeysOfModes {
    let head = with_modes([(row::infos(FROM), ALL)]);
    let tail = with_modes([(row::infos(TASKS), ALL), (row::infos(TIMEOUT), ALL), (row::infos(REST), ALL)]);
    [head, how_infos(HOW), with_modes([(row::infos(OUTCOME), ALL)]), tail].concat()
}

/// Those of a program that is a sink.
pub(crate) fn sink_infos() -> KeysOfModes {
    let tail = with_modes([(row::infos(OUTCOME), ALL), (row::infos(TIMEOUT), ALL)]);
    [how_infos(HOW_OF_SINK), tail].concat()
}

/// What runs, and how.
fn how_infos(how: How) -> KeysOfModes {
    with_modes([
        (row::infos(program::KEYS), ALL),
        (row::infos(how.mode), ALL),
        (row::infos(batch::KEYS), &[ModeName::Batch]),
        (row::infos(how.batch), &[ModeName::Batch]),
        (row::infos(failures::KEYS), FAILING),
        (row::infos(stream::KEYS), &[ModeName::Stream]),
        (row::infos(how.stream), &[ModeName::Stream]),
        (row::infos(records::KEYS), &[ModeName::Records]),
        (row::infos(records::KEYED), &[ModeName::Records]),
    ])
}

fn with_modes<const N: usize>(groups: [(Vec<KeyInfo>, &'static [ModeName]); N]) -> KeysOfModes {
    groups.into_iter().flat_map(|(keys, modes)| keys.into_iter().map(move |key| (key, modes))).collect()
}

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, (name, at): (String, At)) -> Stage {
    let mut stage = Stage { partitions_at: at.clone(), ..Stage::defaults(reader.dir) };
    let given = row::read(FROM, reader, &mut table, &mut stage);
    from::refuse_nothing(reader, &table.title, &given, stage.named.as_deref());
    let given = row::read(program::KEYS, reader, &mut table, &mut stage.program);
    if !given.iter().any(|entry| entry.key == "run") {
        reader.problems.push(
            Problem::at(&at, format!("{} has no `run`", table.title), "expected a program to run")
                .help("for example run = [\"grep\", \"error\"]"),
        );
    }
    let is_keyed = table.has("partition_by");
    for entry in mode(reader, &mut table, &mut stage, HOW).iter().filter(|_| !is_keyed) {
        reader.problems.push(needs_a_key(entry));
    }
    row::read(OUTCOME, reader, &mut table, &mut stage);
    row::read(TASKS, reader, &mut table, &mut stage);
    row::read(TIMEOUT, reader, &mut table, &mut stage);
    row::read(REST, reader, &mut table, &mut stage);
    table.finish(reader);
    reader.problems.extend(stage.pace.problem(None));
    Stage { name, at, ..stage }
}

/// The program of a sink, from its keys.
pub(crate) fn read_sink<'d>(reader: &mut Reader<'d>, given: &[KeyValue<'d>]) -> Stage {
    let mut table = Table::of("the program of a sink", given.to_vec());
    let mut stage = Stage::defaults(reader.dir);
    stage.set_mode(ModeName::Stream);
    row::read(program::KEYS, reader, &mut table, &mut stage.program);
    mode(reader, &mut table, &mut stage, HOW_OF_SINK);
    row::read(OUTCOME, reader, &mut table, &mut stage);
    row::read(TIMEOUT, reader, &mut table, &mut stage);
    stage
}

/// The keys for which records must have one.
pub(crate) fn keyed() -> impl Iterator<Item = &'static str> {
    records::KEYED.iter().map(|key| key.name())
}

/// That a key is given where records have none.
pub(crate) fn needs_a_key(entry: &KeyValue<'_>) -> Problem {
    let title = format!("`{}` needs a key", entry.key);
    Problem::at(&entry.key_at, title, "values are kept by the key of records")
        .help("say what the key is, for example partition_by = { field = 1 }, or remove this line")
}

/// `mode`, and the keys that belong to one mode only; gives those that need a key of records.
fn mode<'d>(
    reader: &mut Reader<'d>,
    table: &mut Table<'d>,
    stage: &mut Stage,
    how: How,
) -> Vec<KeyValue<'d>> {
    let before = reader.problems.len();
    let default = stage.mode.word();
    row::read(how.mode, reader, table, stage);
    let mode = stage.mode.mode_name();
    // Where the mode is not clear, it is not clear either which keys belong to others.
    let is_clear = reader.problems.len() == before;
    let mut keys = KeysByMode { is_clear, reader, table, mode, default };
    let (mut batch, mut failures) = (BatchMode::default(), Failures::default());
    let (mut stream, mut records) = (StreamMode::default(), RecordsMode::default());
    keys.read(&[ModeName::Batch], batch::KEYS, &mut batch);
    keys.read(&[ModeName::Batch], how.batch, &mut batch);
    keys.read(FAILING, failures::KEYS, &mut failures);
    keys.read(&[ModeName::Stream], stream::KEYS, &mut stream);
    keys.read(&[ModeName::Stream], how.stream, &mut stream);
    keys.read(&[ModeName::Records], records::KEYS, &mut records);
    let keyed = keys.read(&[ModeName::Records], records::KEYED, &mut records);
    stage.mode = match mode {
        ModeName::Batch => Mode::Batch(BatchMode { failures, ..batch }),
        ModeName::Stream => Mode::Stream(stream),
        ModeName::Records => Mode::Records(RecordsMode { failures, ..records }),
    };
    keyed
}

/// Reads keys that have a meaning in some modes only.
struct KeysByMode<'r, 'd> {
    reader: &'r mut Reader<'d>,
    table: &'r mut Table<'d>,
    mode: ModeName,
    /// What it is where it is not said.
    default: &'static str,
    is_clear: bool,
}

impl<'d> KeysByMode<'_, 'd> {
    fn read<S>(&mut self, modes: &[ModeName], keys: Keys<S>, section: &mut S) -> Vec<KeyValue<'d>> {
        if modes.contains(&self.mode) {
            return row::read(keys, self.reader, self.table, section);
        }
        for key in keys {
            let entry = self.table.take(key.name());
            if let Some(entry) = entry.filter(|_| self.is_clear) {
                let problem = misplaced(&entry, modes, (self.mode, self.default));
                self.reader.problems.push(problem);
            }
        }
        Vec::new()
    }
}

/// That a key has no meaning in this mode.
fn misplaced(entry: &KeyValue<'_>, modes: &[ModeName], (mode, default): (ModeName, &str)) -> Problem {
    let words = modes.iter().filter_map(|one| MODES.0.iter().find(|(_, other)| other == one));
    let modes = listed(words.map(|&(word, _)| word), '"', "or");
    let title = format!("`{}` belongs to mode = {modes}", entry.key);
    let problem = Problem::at(&entry.key_at, title, "has no meaning here");
    match (entry.key, mode) {
        ("restart", _) => problem.help(
            "remove it: programs in batches and for records are always started again, as `retry` says",
        ),
        ("window", ModeName::Records) => problem
            .help("remove it; how many requests may be unanswered is in_flight, and totals can be printed at every tick"),
        ("output_header", ModeName::Stream) => problem.help(
            "remove it: a program that runs once prints its header once, and that goes on as a record; one that runs for each window or \
             partition should print none (mlr --headerless-csv-output, csvformat --skip-header …), or run in mode = \"batch\"",
        ),
        ("output_header", ModeName::Records) => problem.help("remove it: each record that is emitted is a record"),
        _ => problem.help(format!("remove it, or write mode = {modes} ({default} is the default)")),
    }
}

impl Stage {
    /// How what it prints is split where it does not say so: whoever is given arguments does not see what ends records.
    pub(in crate::pipeline) fn default_framing(&self) -> Framing {
        match &self.mode {
            Mode::Batch(batch) if batch.input.takes() == Takes::Arguments => Framing::Lines,
            Mode::Batch(_) | Mode::Stream(_) | Mode::Records(_) => self.framing_in.clone(),
        }
    }

    /// Whether what it gives has a header, which comes once.
    pub(crate) fn gives_header(&self) -> bool {
        matches!(&self.mode, Mode::Batch(batch) if batch.output_header)
    }

    fn set_mode(&mut self, mode: ModeName) {
        self.mode = Mode::of(mode);
        self.timeout = default_timeout(&self.mode);
    }

    pub(crate) fn rendered(&self, pipeline: &Pipeline) -> Vec<Rendered> {
        let of = |keys| row::rendered(keys, self, pipeline);
        let how = [row::rendered(program::KEYS, &self.program, pipeline), of(MODE)].concat();
        let tasks = [of(OUTCOME), of(TASKS)].concat();
        [of(FROM), how, tasks, self.of_mode(HOW, pipeline), of(TIMEOUT), of(REST)].concat()
    }

    /// The same of a program that is a sink.
    pub(crate) fn rendered_sink(&self, pipeline: &Pipeline) -> Vec<Rendered> {
        let of = |keys| row::rendered(keys, self, pipeline);
        let mut how =
            [of(MODE_OF_SINK), of(OUTCOME), self.of_mode(HOW_OF_SINK, pipeline), of(TIMEOUT)].concat();
        // State of a version whose sinks had none of these keys is gone on with.
        how.iter_mut().filter(|key| key.shown != Shown::Always).for_each(|key| key.results = None);
        [row::rendered(program::KEYS, &self.program, pipeline), how].concat()
    }

    fn of_mode(&self, how: How, pipeline: &Pipeline) -> Vec<Rendered> {
        match &self.mode {
            Mode::Batch(mode) => [
                row::rendered(batch::KEYS, mode, pipeline),
                row::rendered(how.batch, mode, pipeline),
                row::rendered(failures::KEYS, &mode.failures, pipeline),
            ]
            .concat(),
            Mode::Stream(mode) => {
                [row::rendered(stream::KEYS, mode, pipeline), row::rendered(how.stream, mode, pipeline)]
                    .concat()
            }
            Mode::Records(mode) => {
                let keyed = if self.partition_by.is_some() { records::KEYED } else { &[] };
                [
                    row::rendered(records::KEYS, mode, pipeline),
                    row::rendered(keyed, mode, pipeline),
                    row::rendered(failures::KEYS, &mode.failures, pipeline),
                ]
                .concat()
            }
        }
    }
}

impl Mode {
    fn of(mode: ModeName) -> Self {
        match mode {
            ModeName::Batch => Self::Batch(BatchMode::default()),
            ModeName::Stream => Self::Stream(StreamMode::default()),
            ModeName::Records => Self::Records(RecordsMode::default()),
        }
    }

    /// As it is written in a pipeline file.
    #[must_use]
    pub fn word(&self) -> &'static str {
        MODES.0.iter().find(|(_, mode)| *mode == self.mode_name()).map_or("", |&(word, _)| word)
    }

    fn mode_name(&self) -> ModeName {
        match self {
            Self::Batch(_) => ModeName::Batch,
            Self::Stream(_) => ModeName::Stream,
            Self::Records(_) => ModeName::Records,
        }
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

/// Exit statuses, sorted.
pub(crate) struct Exits;

impl Value for Exits {
    type T = Vec<u8>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<u8>> {
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

    fn text(&self, exits: &Vec<u8>, _: &Path) -> Option<String> {
        Some(format!("{exits:?}"))
    }

    fn schema(&self) -> serde_json::Value {
        json!({"type": "array", "items": Integer { least: 0, most: 255 }.schema(), "minItems": 1})
    }
}
