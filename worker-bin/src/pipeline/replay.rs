//! The part of a pipeline that dead letters go through again.

use super::delivery::Delivery;
use super::keys::Section as _;
use super::model::{Column, Exists, Framing, Header, KeyRule, Mode, Order, Origin, Pipeline, Sink, Source};
use super::plan::{Plan, Role};
use crate::io::shared::Shared;
use crate::io::sink::{self, Tasks};
use crate::io::source::file::Files;
use crate::text::names;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use worker_core::config::{MaxDead, WhenFull};
use worker_core::route::PartitionBy;

/// A pipeline for dead letters, and the files that it reads.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Every way in, and what is behind it.
    pub pipeline: Pipeline,
    /// Its sources, in the order of the pipeline.
    pub inlets: Vec<Inlet>,
}

/// A source of a replay: one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlet {
    /// The name of the source.
    pub source: String,
    /// The stage or sink that its records go into.
    pub into: String,
    /// The file, which is yet to be written; absolute.
    pub path: PathBuf,
    /// How its records end.
    pub framing: Framing,
    /// Its first record, with what ends it: what heads the batches of the stage, and is no letter.
    pub header: Option<Bytes>,
    /// Whether letters go in here; else it has the header only.
    pub has_letters: bool,
}

/// Why letters cannot go through a pipeline.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReplayError {
    /// It has no such stage.
    #[error(
        "{file} has no stage `{stage}` any more{stages}; take the file that the run was made with, or name other letters"
    )]
    NoStage {
        /// The one that letters would go into.
        stage: String,
        file: String,
        /// Those that it has.
        stages: String,
    },
    /// Records go there by keys that letters do not have.
    #[error(
        "`{stage}` is partitioned by the key that the answers of the stage before it name, and dead letters do not have that \
         key; give their records to the pipeline as new input"
    )]
    NoKey {
        /// Where letters would go.
        stage: String,
    },
    /// One file cannot hold records that end differently.
    #[error(
        "--out: `{one}` and `{other}` are given records that end differently; replay their letters one stage at a time"
    )]
    Framings { one: String, other: String },
}

impl Pipeline {
    /// What letters for the stages and sinks `into`, each with the header that its letters stand under (without what ends it), go through, with inputs in `inputs` and its own `state`; into the file
    /// `out`, or into the sinks of the pipeline, behind what they have. `plan` is of this pipeline, on one node.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn replay(
        &self,
        plan: &Plan,
        into: &BTreeMap<&str, Option<Bytes>>,
        (inputs, state): (&Path, &Path),
        out: Option<&Path>,
    ) -> Result<Replay, ReplayError> {
        let mut cut = Cut { whole: self, plan, inputs, into, sources: Vec::new(), inlets: Vec::new() };
        for &name in into.keys() {
            cut.check(name)?;
        }
        let kept = self.behind(into);
        let mut stages = Vec::new();
        let mut moved: BTreeMap<Origin, Origin> = BTreeMap::new();
        for &index in &kept {
            moved.insert(Origin::Stage(index), Origin::Stage(stages.len()));
            let mut stage = self.stages[index].clone();
            stage.from = stage.from.iter().filter_map(|from| moved.get(from).copied()).collect();
            stage.partition_by = cut.key(&stage.name, &self.stages[index].from, stage.partition_by.take());
            stage.partitions = Some(plan.partitions.stages[index]);
            unlimited(&mut stage.mode);
            // What is tried again is behind its turn.
            stage.order = Order::Any;
            stage.when_full = WhenFull::Wait;
            stage.place = Vec::new();
            let header = cut.header(&stage.name);
            stage.is_headed_by_letters = cut.is_headed_by_letters(&stage.name);
            if into.contains_key(stage.name.as_str()) || header.is_some() {
                let has_letters = into.contains_key(stage.name.as_str());
                stage.from.push(cut.inlet(&stage.name, &stage.framing_in, header, has_letters));
            }
            stages.push(stage);
        }
        let mut sinks = Vec::new();
        for (index, sink) in self.sinks.iter().enumerate() {
            let mut sink = sink.clone();
            sink.from = sink.from.iter().filter_map(|from| moved.get(from).copied()).collect();
            sink.partition_by = cut.key(&sink.name, &self.sinks[index].from, sink.partition_by.take());
            if into.contains_key(sink.name.as_str()) {
                sink.from.push(cut.inlet(&sink.name, &sink.framing, cut.header(&sink.name), true));
            }
            if sink.from.is_empty() {
                continue;
            }
            if let Some(headed) =
                sink.target.headed_by_letters().filter(|_| cut.is_headed_by_letters(&sink.name))
            {
                sink.target = headed;
            }
            sink.place = Vec::new();
            sink.order = Order::Any;
            sink.when_full = WhenFull::Wait;
            append(&mut sink, plan.partitions.sinks[index]);
            sinks.push(sink);
        }
        if let Some(out) = out {
            sinks = vec![one_file(&sinks, out)?];
        }
        let Cut { sources, inlets, .. } = cut;
        let pipeline = Pipeline {
            delivery: Delivery::ExactlyOnce,
            state_dir: Some(state.to_owned()),
            headers: BTreeMap::new(),
            delivery_at: None,
            sources,
            stages,
            sinks,
            tests: Vec::new(),
            noticed: Vec::new(),
            ..self.clone()
        };
        Ok(Replay { pipeline, inlets })
    }

    /// Where a record goes that its sender could not route for want of a key: to the one reader that wants a key.
    #[must_use]
    pub fn keyed_reader(&self, sender: &str) -> Option<&str> {
        let from = |origins: &[Origin]| origins.iter().any(|&origin| self.origin_name(origin) == sender);
        let stages = self.stages.iter().map(|s| (&s.name, &s.from, &s.partition_by));
        let sinks = self.sinks.iter().map(|s| (&s.name, &s.from, &s.partition_by));
        let mut keyed = stages.chain(sinks).filter(|(_, origins, by)| by.is_some() && from(origins));
        match (keyed.next(), keyed.next()) {
            (Some((name, ..)), None) => Some(name),
            (Some(_) | None, _) => None,
        }
    }

    /// The stages of these names, and all that read from them, directly or not; in the order of the pipeline.
    fn behind(&self, into: &BTreeMap<&str, Option<Bytes>>) -> Vec<usize> {
        let mut kept: Vec<usize> = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let reads = stage.from.iter().any(|from| matches!(from, Origin::Stage(up) if kept.contains(up)));
            if reads || into.contains_key(stage.name.as_str()) {
                kept.push(index);
            }
        }
        kept
    }
}

/// The cut while it is made.
struct Cut<'a> {
    whole: &'a Pipeline,
    plan: &'a Plan,
    inputs: &'a Path,
    into: &'a BTreeMap<&'a str, Option<Bytes>>,
    sources: Vec<Source>,
    inlets: Vec<Inlet>,
}

impl Cut<'_> {
    fn check(&self, name: &str) -> Result<(), ReplayError> {
        let stages = self.whole.stages.iter().map(|stage| (&stage.name, &stage.partition_by));
        let sinks = self.whole.sinks.iter().map(|sink| (&sink.name, &sink.partition_by));
        match stages.chain(sinks).find(|(known, _)| *known == name) {
            Some((_, Some(KeyRule::Answer))) => Err(ReplayError::NoKey { stage: name.to_owned() }),
            Some(_) => Ok(()),
            None => Err(ReplayError::NoStage {
                stage: name.to_owned(),
                file: self.whole.file_name().to_owned(),
                stages: names::tail(
                    name,
                    "stages there",
                    self.whole.stages.iter().map(|stage| stage.name.as_str()),
                ),
            }),
        }
    }

    /// The same rule without a column's name, which only the header of the whole pipeline's source explains.
    fn key(&self, reader: &str, from: &[Origin], rule: Option<KeyRule>) -> Option<KeyRule> {
        let found = match &rule {
            Some(KeyRule::Csv(Column::Name(_))) => self.routed_by(reader, from),
            _ => None,
        };
        match found {
            Some(PartitionBy::Csv { column }) => {
                let number = u32::try_from(column.get()).unwrap_or(u32::MAX);
                Some(KeyRule::Csv(Column::Number(number)))
            }
            _ => rule,
        }
    }

    /// How the plan routes records to a stage or sink.
    fn routed_by(&self, reader: &str, from: &[Origin]) -> Option<PartitionBy> {
        let origin = *from.first()?;
        let stages = self.whole.stages.iter().map(|stage| (&stage.name, &stage.from));
        let sinks = self.whole.sinks.iter().map(|sink| (&sink.name, &sink.from));
        let mut readers = stages.chain(sinks).filter(|(_, from)| from.contains(&origin));
        let edge = readers.position(|(name, _)| name == reader)?;
        let sender = self.whole.origin_name(origin);
        self.plan.local.iter().find(|task| task.stage == sender)?.edges.get(edge)?.by.clone()
    }

    /// What heads every batch of a stage.
    fn header(&self, stage: &str) -> Option<Bytes> {
        let task = self.plan.local.iter().find(|task| task.stage == stage)?;
        match &task.role {
            Role::Stage(run) => run.header.clone().or_else(|| {
                let mut header = Vec::new();
                task.framing_in.wrap(self.into.get(stage)?.as_ref()?, &mut header);
                Some(header.into())
            }),
            Role::Source(_) | Role::Sink(_) => None,
        }
    }

    /// Whether nothing but the letters for it says what heads its records.
    fn is_headed_by_letters(&self, stage: &str) -> bool {
        self.into.get(stage).is_some_and(Option::is_some)
    }

    fn inlet(&mut self, into: &str, framing: &Framing, header: Option<Bytes>, has_letters: bool) -> Origin {
        let mut source = self.whole.free_name(&format!("dead-letters-{into}"));
        while self.whole.sinks.iter().any(|sink| sink.name == source) {
            source.push('_');
        }
        let path = self.inputs.join(&source);
        self.sources.push(Source {
            name: source.clone(),
            input: Shared(Arc::new(Files {
                patterns: vec![path.to_string_lossy().into_owned()],
                is_plain: true,
                ..Files::defaults(&self.whole.dir)
            })),
            header: if header.is_some() { Header::Repeat } else { Header::Keep },
            framing: framing.clone(),
            ..Source::defaults(&self.whole.dir)
        });
        let (into, framing) = (into.to_owned(), framing.clone());
        self.inlets.push(Inlet { source, into, path, framing, header, has_letters });
        Origin::Source(self.sources.len() - 1)
    }
}

/// All of them may fail again.
fn unlimited(mode: &mut Mode) {
    match mode {
        Mode::Batch(batch) => batch.failures.max_dead = MaxDead::Unlimited,
        Mode::Records(records) => records.failures.max_dead = MaxDead::Unlimited,
        Mode::Stream(_) => {}
    }
}

/// Behind what the sink has, in as many files as before.
fn append(sink: &mut Sink, partitions: u32) {
    if let Some(appending) = sink.target.appending() {
        sink.target = appending;
    }
    if !matches!(sink.target.tasks(), Tasks::One(_)) {
        sink.partitions = Some(partitions);
    }
}

/// One file in place of all sinks.
fn one_file(sinks: &[Sink], path: &Path) -> Result<Sink, ReplayError> {
    let first = &sinks[0];
    if let Some(other) = sinks.iter().find(|sink| sink.framing != first.framing) {
        return Err(ReplayError::Framings { one: first.name.clone(), other: other.name.clone() });
    }
    let from: BTreeSet<Origin> = sinks.iter().flat_map(|sink| sink.from.iter().copied()).collect();
    Ok(Sink {
        name: first.name.clone(),
        from: from.into_iter().collect(),
        target: Shared(Arc::new(sink::file::Files::one(path.to_owned(), Exists::Error))),
        framing: first.framing.clone(),
        ..Sink::defaults(path)
    })
}

#[cfg(test)]
mod tests;
