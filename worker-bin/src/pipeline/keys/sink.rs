//! `[sink.NAME]`.

use super::from::{self, From};
use super::kind;
use super::order::{Order, OrderWord};
use super::partition_by::{KeyRule, Rule};
use super::place::{Place, PlaceName};
use super::rate::{self, Pace};
use super::stage::{self, Mode};
use super::value::{Maybe, Number};
use super::{Class, Key, Keys, Rendered, Section, WhenAbsent, row};
use crate::io::shared::Shared;
use crate::io::sink::stdout::StandardOutput;
use crate::io::sink::{AnySink, KINDS, Tasks};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Framing, Origin, Pipeline};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{Reader, Table};
use std::path::Path;
use std::sync::Arc;
use worker_core::config::WhenFull;

#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    /// What it reads from; at least one.
    pub from: Vec<Origin>,
    pub target: AnySink,
    /// Number of tasks, where it can have several; `None`: see [`plan`](crate::pipeline::plan()).
    pub partitions: Option<u32>,
    /// What decides the partition a record goes to; `None`: any.
    pub partition_by: Option<KeyRule>,
    /// In which order it writes, as far as it says that itself.
    pub order: Order,
    /// How fast it takes records.
    pub pace: Pace,
    /// What is done with what comes to it while its links are full.
    pub when_full: WhenFull,
    /// How the records it reads end.
    pub framing: Framing,
    /// Nodes it runs on; empty if the file does not say.
    pub place: Vec<PlaceName>,
    /// The names that `from` gives, until they are looked up.
    pub(crate) named: Option<Vec<(String, At)>>,
    pub(crate) at: At,
    pub(crate) partitions_at: At,
    pub(crate) key_at: At,
    pub(crate) order_at: At,
    pub(crate) when_full_at: At,
}

impl Section for Sink {
    fn defaults(_: &Path) -> Self {
        Self {
            name: String::new(),
            from: Vec::new(),
            target: Shared(Arc::new(StandardOutput)),
            partitions: None,
            partition_by: None,
            order: Order::Any,
            pace: Pace::default(),
            when_full: WhenFull::Wait,
            when_full_at: At::default(),
            framing: Framing::Lines,
            place: Vec::new(),
            named: None,
            at: At::default(),
            partitions_at: At::default(),
            key_at: At::default(),
            order_at: At::default(),
        }
    }
}

/// What stands before the keys of its kind.
pub(crate) const HEAD: Keys<Sink> =
    &[&From { get: |sink: &Sink| &sink.from, set: |sink, names| sink.named = Some(names) }];

/// The keys of all kinds of sinks.
pub(crate) const KEYS: Keys<Sink> = &[
    &Key::<Sink, _> {
        name: "order",
        class: Class::Results,
        doc: "any | input: whether records are written as they come, or in the order of the source, through all stages before it",
        value: OrderWord,
        when_absent: WhenAbsent::Nothing("any, or as the stage that it reads from says"),
        get: |sink| sink.order,
        set: |sink, order, at| (sink.order, sink.order_at) = (order, at),
    },
    &Key::<Sink, _> {
        name: "partitions",
        class: Class::Results,
        doc: "how many tasks a directory or program has",
        value: Maybe(Number { most: PARTITIONS_MAX }),
        when_absent: WhenAbsent::Nothing(
            "1 for a program; for a directory as many as the largest stage before it",
        ),
        get: |sink| sink.partitions,
        set: |sink, count, at| (sink.partitions, sink.partitions_at) = (count, at),
    },
    &Key::<Sink, _> {
        name: "partition_by",
        class: Class::Results,
        doc: "the key by which a record goes to one of its tasks, as for stages",
        value: Maybe(Rule),
        when_absent: WhenAbsent::Nothing("any"),
        get: |sink| sink.partition_by.clone(),
        set: |sink, rule, at| (sink.partition_by, sink.key_at) = (rule, at),
    },
    &rate::rate::<Sink>(
        "how fast it takes records at most, in all its tasks together: so many records, or bytes, a second (/s), minute (/m) or hour (/h)",
        |sink| sink.pace.rate,
        |sink, rate, at| sink.pace.set_rate(rate, at),
    ),
    &rate::burst::<Sink>(|sink| sink.pace.burst, |sink, burst, at| sink.pace.set_burst(burst, at)),
    &Key::<Sink, _> {
        name: "when_full",
        class: Class::Tuning,
        doc: stage::WHEN_FULL_DOC,
        value: stage::WHEN_FULL,
        when_absent: WhenAbsent::Nothing("wait"),
        get: |sink| sink.when_full,
        set: |sink, when_full, at| (sink.when_full, sink.when_full_at) = (when_full, at),
    },
    &Key::<Sink, _> {
        name: "place",
        class: Class::Identity,
        doc: "the node that writes it, or several; local files and standard streams need it in a cluster",
        value: Place,
        when_absent: WhenAbsent::Nothing("any"),
        get: |sink| sink.place.clone(),
        set: |sink, place, _| sink.place = place,
    },
];

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, (name, at): (String, At)) -> Sink {
    let mut sink = Sink { partitions_at: at.clone(), ..Sink::defaults(reader.dir) };
    let given = row::read(HEAD, reader, &mut table, &mut sink);
    from::refuse_nothing(reader, &table.title, &given, sink.named.as_deref());
    let is_keyed = table.has("partition_by");
    let lone: Vec<_> =
        stage::keyed().filter(|_| !is_keyed).filter_map(|key| table.peek(key).cloned()).collect();
    sink.target = kind::read(KINDS, reader, &mut table, &at);
    if let Some(Mode::Records(_)) = sink.target.stage().map(|stage| &stage.mode) {
        reader.problems.extend(lone.iter().map(stage::needs_a_key));
    }
    row::read(KEYS, reader, &mut table, &mut sink);
    table.finish(reader);
    reader.problems.extend(sink.pace.problem(None));
    if let Some(keyed) = sink.target.keyed(sink.partition_by.as_ref()) {
        sink.target = keyed;
    }
    one_task_only(reader, &sink);
    Sink { name, at, ..sink }
}

impl Sink {
    pub(crate) fn rendered(&self, pipeline: &Pipeline) -> Vec<Rendered> {
        let target = kind::rendered(KINDS, &self.target, pipeline);
        [row::rendered(HEAD, self, pipeline), target, row::rendered(KEYS, self, pipeline)].concat()
    }
}

fn one_task_only(reader: &mut Reader<'_>, sink: &Sink) {
    let Some(count) = sink.partitions.filter(|&count| count > 1) else { return };
    let Tasks::One(what) = sink.target.tasks() else { return };
    reader.problems.push(
        Problem::at(&sink.partitions_at, format!("`partitions` cannot be {count} here"), what)
            .help("a `file` that ends in / is a directory and gets one file per partition"),
    );
}
