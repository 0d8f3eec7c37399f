//! `[source.NAME]`.

use super::framing::Frames;
use super::kind;
use super::place::{Place, PlaceName};
use super::rate::Pace;
use super::sample::{OfRecords, Sample, ShareText};
use super::value::{Integer, Maybe, Words};
use super::{Class, Key, Keys, Rendered, Section, WhenAbsent, rate, row};
use crate::io::shared::Shared;
use crate::io::source::stdin::StandardInput;
use crate::io::source::{AnySource, Ending, Header, KINDS, OnDamage, OnLong};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Framing, Pipeline};
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::Path;
use std::sync::Arc;

/// Where records come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: String,
    pub input: AnySource,
    /// What is done with the first line of each file.
    pub header: Header,
    pub framing: Framing,
    pub(crate) framing_at: At,
    /// How fast it gives records.
    pub pace: Pace,
    /// Which of its records go on.
    pub sample: Sample,
    /// What becomes of records over `max_record`.
    pub on_long: OnLong,
    /// What becomes of packed input that is damaged.
    pub on_damage: OnDamage,
    /// Nodes that read it; empty if the file does not say.
    pub place: Vec<PlaceName>,
    pub(crate) at: At,
}

impl Section for Source {
    fn defaults(_: &Path) -> Self {
        Self {
            name: String::new(),
            input: Shared(Arc::new(StandardInput)),
            header: Header::Keep,
            framing: Framing::Lines,
            framing_at: At::default(),
            pace: Pace::default(),
            sample: Sample::default(),
            on_long: OnLong::Halt,
            on_damage: OnDamage::Halt,
            place: Vec::new(),
            at: At::default(),
        }
    }
}

/// The keys of all kinds of sources.
pub(crate) const KEYS: Keys<Source> = &[
    &Key::<Source, _> {
        name: "header",
        class: Class::Results,
        doc: "keep | skip | repeat: whether the first line is a record, is left out, or heads every batch, for programs that want it",
        value: Words(&[("keep", Header::Keep), ("skip", Header::Skip), ("repeat", Header::Repeat)]),
        when_absent: WhenAbsent::Default,
        get: |source| source.header,
        set: |source, header, _| source.header = header,
    },
    &Key::<Source, _> {
        name: "framing",
        class: Class::Results,
        doc: "what a record is: lines | nul | csv | { start = \"^>\" } | { end = \"^//$\" } | { lines = 4 } | { length = 80 } | { prefix = \"u32be\" } | { json = true }; stages have it too, for what they print",
        value: Frames,
        when_absent: WhenAbsent::Default,
        get: |source| source.framing.clone(),
        set: |source, framing, at| (source.framing, source.framing_at) = (framing, at),
    },
    &rate::rate::<Source>(
        "how fast it is read at most: so many records a second (/s), minute (/m) or hour (/h), or bytes: \"2MiB/s\"; stages and sinks \
         have it too, for what they take",
        |source| source.pace.rate,
        |source, rate, at| source.pace.set_rate(rate, at),
    ),
    &rate::burst::<Source>(|source| source.pace.burst, |source, burst, at| source.pace.set_burst(burst, at)),
    &Key::<Source, _> {
        name: "sample",
        class: Class::Results,
        doc: "the part of its records that goes on, the same at every start: drawn at random, or by sample_by; with header = \"keep\" also the first, which may be a header",
        value: Maybe(ShareText),
        when_absent: WhenAbsent::Nothing("all of them"),
        get: |source| source.sample.share,
        set: |source, share, _| source.sample.share = share,
    },
    &Key::<Source, _> {
        name: "sample_by",
        class: Class::Results,
        doc: "the key of a sample, as in partition_by: records with equal keys go on together, or not at all",
        value: Maybe(OfRecords),
        when_absent: WhenAbsent::Nothing("each for itself"),
        get: |source| source.sample.by.clone(),
        set: |source, by, at| source.sample.set_by(by, at),
    },
    &Key::<Source, _> {
        name: "sample_seed",
        class: Class::Results,
        doc: "which records a sample has: another number draws others",
        value: Maybe(Integer { least: 0, most: i64::MAX as u64 }),
        when_absent: WhenAbsent::Nothing("0"),
        get: |source| source.sample.seed,
        set: |source, seed, at| source.sample.set_seed(seed, at),
    },
    &Key::<Source, _> {
        name: "on_long",
        class: Class::Tuning,
        doc: "halt | dead-letter | cut: what becomes of a record over max_record; what does not go on is a dead letter, with its place and length",
        value: Words(&[("halt", OnLong::Halt), ("dead-letter", OnLong::DeadLetter), ("cut", OnLong::Cut)]),
        when_absent: WhenAbsent::Default,
        get: |source| source.on_long,
        set: |source, on_long, _| source.on_long = on_long,
    },
    &Key::<Source, _> {
        name: "on_damage",
        class: Class::Tuning,
        doc: "halt | skip: what becomes of packed input that is damaged, a last record that breaks off, or a listed file that is gone; what is whole counts, and a dead letter tells of the rest",
        value: Words(&[("halt", OnDamage::Halt), ("skip", OnDamage::Skip)]),
        when_absent: WhenAbsent::Default,
        get: |source| source.on_damage,
        set: |source, on_damage, _| source.on_damage = on_damage,
    },
    &Key::<Source, _> {
        name: "place",
        class: Class::Identity,
        doc: "the node that reads it, or several; local files and standard streams need it in a cluster",
        value: Place,
        when_absent: WhenAbsent::Nothing("any"),
        get: |source| source.place.clone(),
        set: |source, place, _| source.place = place,
    },
];

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, (name, at): (String, At)) -> Source {
    let mut source = Source::defaults(reader.dir);
    source.input = kind::read(KINDS, reader, &mut table, &at);
    let given = row::read(KEYS, reader, &mut table, &mut source);
    table.finish(reader);
    reader.problems.extend(source.pace.problem(source.input.rate()));
    reader.problems.extend(source.sample.problem());
    if source.header == Header::Repeat && !source.input.has_header() {
        let at = given.iter().find(|entry| entry.key == "header").map(KeyValue::at);
        let never_ends = source.input.ending() == Ending::Never;
        let (title, help) = match source.input.holds(reader.dir).is_empty() || !never_ends {
            true => {
                ("`header = \"repeat\"` needs files", "read a file with `file`, or use \"keep\" or \"skip\"")
            }
            false => (
                "`header = \"repeat\"` is not for files that are followed",
                "use \"skip\", which leaves out the first line of each file, or \"keep\"; or read them once, without `follow`",
            ),
        };
        let problem = Problem::at(&at.unwrap_or_default(), title, "the header must be known before the run");
        reader.problems.push(problem.help(help));
        source.header = Header::Keep;
    }
    if source.on_long == OnLong::Cut && !source.framing.may_be_cut() {
        let at = given.iter().find(|entry| entry.key == "on_long").map(KeyValue::at).unwrap_or_default();
        let title = format!("`on_long = \"cut\"` cannot be with {}", source.framing.words());
        let problem = Problem::at(&at, title, "a record that is cut short is none of these");
        let problem = problem.also(&source.framing_at, "said here").help("use \"dead-letter\" or \"halt\"");
        reader.problems.push(problem);
        source.on_long = OnLong::Halt;
    }
    Source { name, at, ..source }
}

impl Source {
    pub(crate) fn rendered(&self, pipeline: &Pipeline) -> Vec<Rendered> {
        [kind::rendered(KINDS, &self.input, pipeline), row::rendered(KEYS, self, pipeline)].concat()
    }
}
