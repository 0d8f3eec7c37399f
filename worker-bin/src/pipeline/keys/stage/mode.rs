//! How a stage's program is run, and the keys that only some ways of running have.

use super::Stage;
use crate::pipeline::diagnostics::{Problem, listed};
use crate::pipeline::keys::batch::{self, BatchMode};
use crate::pipeline::keys::failures::{self, Failures};
use crate::pipeline::keys::records::{self, RecordsMode};
use crate::pipeline::keys::stream::{self, StreamMode};
use crate::pipeline::keys::value::Words;
use crate::pipeline::keys::{Class, Key, KeyInfo, Keys, Rendered, WhenAbsent, program, row};
use crate::pipeline::model::Pipeline;
use crate::pipeline::reader::{KeyValue, Reader, Table};

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

impl Mode {
    pub(super) fn of(mode: ModeName) -> Self {
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

    pub(super) fn mode_name(&self) -> ModeName {
        match self {
            Self::Batch(_) => ModeName::Batch,
            Self::Stream(_) => ModeName::Stream,
            Self::Records(_) => ModeName::Records,
        }
    }
}

pub(super) const ALL: &[ModeName] = &[ModeName::Batch, ModeName::Stream, ModeName::Records];

/// The modes in which the keys of [`failures`] have a meaning.
const FAILING: &[ModeName] = &[ModeName::Batch, ModeName::Records];

/// Keys of how a program is run that differ from a stage's to a sink's.
#[derive(Clone, Copy)]
pub(super) struct How {
    mode: Keys<Stage>,
    batch: Keys<BatchMode>,
    stream: Keys<StreamMode>,
}

pub(super) const HOW: How = How { mode: MODE, batch: batch::OUTPUT, stream: &[] };

pub(super) const HOW_OF_SINK: How = How { mode: MODE_OF_SINK, batch: &[], stream: stream::OF_SINK };

pub(super) const MODE: Keys<Stage> = &[&mode_key(WhenAbsent::Default)];

/// The same of a program that is a sink.
pub(super) const MODE_OF_SINK: Keys<Stage> = &[&mode_key(WhenAbsent::By(|_| ModeName::Stream, "stream"))];

const fn mode_key(when_absent: WhenAbsent<Stage, ModeName>) -> Key<Stage, Words<ModeName>> {
    Key {
        name: "mode",
        class: Class::Results,
        doc: "batch | stream | records: whether its program is run for each batch of records, once for all of them, or answers each of them in JSON",
        value: MODES,
        when_absent,
        get: |stage| stage.mode.mode_name(),
        set: |stage, mode, _| stage.set_mode(mode),
    }
}

/// Keys, each with the modes of running that have it.
pub(crate) type KeysOfModes = Vec<(KeyInfo, &'static [ModeName])>;

/// What runs, and how.
pub(super) fn how_infos(how: How) -> KeysOfModes {
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

pub(super) fn with_modes<const N: usize>(groups: [(Vec<KeyInfo>, &'static [ModeName]); N]) -> KeysOfModes {
    groups.into_iter().flat_map(|(keys, modes)| keys.into_iter().map(move |key| (key, modes))).collect()
}

/// `mode`, and the keys that belong to one mode only; gives those that need a key of records.
pub(super) fn mode<'d>(
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
    pub(super) fn of_mode(&self, how: How, pipeline: &Pipeline) -> Vec<Rendered> {
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
