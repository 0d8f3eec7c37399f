//! `[stage.NAME]`.

mod exits;
mod mode;
mod timeout;

use super::framing::Frames;
use super::from::{self, From};
use super::order::{Order, OrderWord};
use super::partition_by::{KeyRule, Rule};
use super::place::{Place, PlaceName};
use super::program::{self, Program};
use super::rate::{self, Pace};
use super::records;
use super::value::{Maybe, Number, Words};
use super::{Class, Key, Keys, Rendered, Section, Shown, WhenAbsent, row};
use crate::child::Takes;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Framing, Origin, Pipeline};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::Path;
use std::time::Duration;
use worker_core::config::WhenFull;

pub(crate) use exits::Exits;
pub use mode::Mode;
use mode::{ALL, HOW, HOW_OF_SINK, MODE, MODE_OF_SINK, how_infos, mode, with_modes};
pub(crate) use mode::{KeysOfModes, MODES, ModeName};
use timeout::{TIMEOUT, default_timeout};

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
    /// In a replay: what heads its records is known from the letters alone, so those that fail again say it again.
    pub(crate) is_headed_by_letters: bool,
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

pub(crate) const WHEN_FULL: Words<WhenFull> = Words(&[
    ("wait", WhenFull::Wait),
    ("drop-newest", WhenFull::DropNewest),
    ("drop-oldest", WhenFull::DropOldest),
]);

pub(crate) const WHEN_FULL_DOC: &str = "wait | drop-newest | drop-oldest: what a full link to it does; drops are counted, and only without state";

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
            is_headed_by_letters: false,
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
        doc: "how many tasks it has",
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
        doc: "the key of a record: those with equal keys meet in one task. Fields count from 1, blanks part them; or \
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
        doc: "any | input: whether its records come in, and what comes of them goes on, as it comes or in the order of the source",
        value: OrderWord,
        when_absent: WhenAbsent::Nothing("any, or as who reads from it says"),
        get: |stage| stage.order,
        set: |stage, order, at| (stage.order, stage.order_at) = (order, at),
    },
];

const REST: Keys<Stage> = &[
    &rate::rate::<Stage>(
        "how fast it takes records at most, in all its tasks together: so many records, or bytes, a second (/s), minute (/m) or hour (/h)",
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
        doc: "what a record is in what its program prints, with the values of a source's framing",
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
}
