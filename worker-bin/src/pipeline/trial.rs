//! A test as a pipeline of its own: files in place of its sources and sinks, and nothing that only costs time.

use super::delivery::Delivery;
use super::keys::Section as _;
use super::keys::rate::Pace;
use super::keys::test::Test;
use super::model::{
    Column, Exists, Failures, Framing, Header, KeyRule, Mode, Order, Origin, Pipeline, Sink, Source, Stage,
};
use super::plan::InOrder;
use crate::io::shared::Shared;
use crate::io::sink::{self, Tasks};
use crate::io::source::file::Files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use worker_core::config::{Retry, WhenFull};

/// How long records wait for company where all of the input is to be one batch.
const LINGER: Duration = Duration::from_secs(2);

/// A pipeline for a test, and the files that it reads and writes.
#[derive(Clone, Debug)]
pub struct Trial {
    pub pipeline: Pipeline,
    /// In the order of the pipeline's sources, as the test calls them: by source, or the stage.
    pub inputs: Vec<(String, PathBuf)>,
    pub outputs: Vec<TrialOutput>,
}

/// What one sink is given.
#[derive(Clone, Debug)]
pub struct TrialOutput {
    /// As the test calls it: the sink, or the stage.
    pub name: String,
    pub path: PathBuf,
    pub framing: Framing,
    /// Why records may come in another order than that of the input; `None`: they do not.
    pub unordered: Option<String>,
}

/// How the input is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// As far as it is read at once: one batch, of one task.
    Whole,
    /// Of so many records at most, of one task; of the stage of this number alone, where one is named.
    Of { records: u64, only: Option<usize> },
    /// Of so many records at most, and with as many tasks as the file says.
    AsItRuns { records: u64 },
}

impl Pipeline {
    /// What a test runs, with all its files in `dir`.
    #[must_use]
    pub fn trial(&self, test: &Test, dir: &Path) -> Trial {
        let index =
            test.stage.as_ref().and_then(|name| self.stages.iter().position(|stage| stage.name == *name));
        let (pipeline, inputs, outputs) = match index {
            Some(index) => self.of_stage(index, dir),
            None => self.of_all(dir),
        };
        let pipeline = Pipeline {
            delivery: Delivery::Memory,
            state_dir: None,
            headers: BTreeMap::new(),
            delivery_at: None,
            stages: pipeline.stages.into_iter().map(quick).collect(),
            tests: Vec::new(),
            noticed: Vec::new(),
            ..pipeline
        };
        Trial { pipeline, inputs, outputs }
    }

    fn of_stage(&self, index: usize, dir: &Path) -> (Pipeline, Vec<(String, PathBuf)>, Vec<TrialOutput>) {
        let stage = &self.stages[index];
        let (input, output) = (dir.join("input"), dir.join("output"));
        let (name, free) = (stage.name.clone(), self.free_name("input"));
        let is_ordered = InOrder::of(self).stages[index] || self.is_read_in_order(Origin::Stage(index));
        let sink = Sink {
            name: self.free_name("output"),
            from: vec![Origin::Stage(0)],
            target: one_file(&output),
            framing: stage.framing_out.clone(),
            order: if is_ordered { Order::Input } else { Order::Any },
            ..Sink::defaults(&self.dir)
        };
        let source = Source {
            name: free,
            input: file(&input),
            header: self.header_of(stage),
            framing: stage.framing_in.clone(),
            ..Source::defaults(&self.dir)
        };
        let unordered = (!is_ordered).then(|| several(stage)).flatten();
        let output =
            TrialOutput { name: name.clone(), path: output, framing: stage.framing_out.clone(), unordered };
        let stages = vec![Stage { from: vec![Origin::Source(0)], ..stage.clone() }];
        let pipeline = Pipeline { sources: vec![source], stages, sinks: vec![sink], ..self.clone() };
        (pipeline, vec![(name, input)], vec![output])
    }

    /// What is done with the first record of a stage's input: as by the source that it reads from. Where it goes by a column's
    /// name and reads from no source, its input begins with the names of its columns.
    fn header_of(&self, stage: &Stage) -> Header {
        let of_source = stage.from.iter().find_map(|origin| match *origin {
            Origin::Source(index) => Some(self.sources[index].header),
            Origin::Stage(index) => self.stages[index].gives_header().then_some(Header::Repeat),
        });
        match (of_source, &stage.partition_by) {
            (Some(header), _) => header,
            (None, Some(KeyRule::Csv(Column::Name(_)))) => Header::Skip,
            (None, _) => Header::Keep,
        }
    }

    fn is_read_in_order(&self, origin: Origin) -> bool {
        let in_order = InOrder::of(self);
        let stages = self.stages.iter().zip(&in_order.stages).map(|(stage, reads)| (&stage.from, *reads));
        let sinks = self.sinks.iter().zip(&in_order.sinks).map(|(sink, reads)| (&sink.from, *reads));
        stages.chain(sinks).any(|(from, reads)| reads && from.contains(&origin))
    }

    fn of_all(&self, dir: &Path) -> (Pipeline, Vec<(String, PathBuf)>, Vec<TrialOutput>) {
        let mut inputs = Vec::new();
        let sources = self.sources.iter().enumerate().map(|(index, source)| {
            let path = dir.join(format!("input-{index}"));
            inputs.push((source.name.clone(), path.clone()));
            Source { input: file(&path), pace: Pace::default(), place: Vec::new(), ..source.clone() }
        });
        let sources = sources.collect();
        let (sinks, outputs) = self.with_sinks_in(dir);
        (Pipeline { sources, sinks, ..self.clone() }, inputs, outputs)
    }

    /// Its sinks as files in `dir`.
    fn with_sinks_in(&self, dir: &Path) -> (Vec<Sink>, Vec<TrialOutput>) {
        let mut outputs = Vec::new();
        let in_order = InOrder::of(self);
        let sinks = self.sinks.iter().enumerate().map(|(index, sink)| {
            let path = dir.join(format!("output-{index}"));
            outputs.push(TrialOutput {
                name: sink.name.clone(),
                path: path.clone(),
                framing: sink.framing.clone(),
                unordered: if in_order.sinks[index] { None } else { self.unordered(sink) },
            });
            Sink {
                target: one_file(&path),
                partitions: None,
                partition_by: None,
                pace: Pace::default(),
                when_full: WhenFull::Wait,
                place: Vec::new(),
                ..sink.clone()
            }
        });
        (sinks.collect(), outputs)
    }

    /// The same over the same input, without state, into files in `dir`: what comes of it without any fault.
    #[must_use]
    pub fn undisturbed(&self, dir: &Path) -> Trial {
        let (sinks, outputs) = self.with_sinks_in(dir);
        let pipeline = Pipeline {
            delivery: Delivery::Memory,
            state_dir: None,
            headers: BTreeMap::new(),
            delivery_at: None,
            sinks,
            tests: Vec::new(),
            noticed: Vec::new(),
            ..self.clone()
        };
        Trial { pipeline, inputs: Vec::new(), outputs }
    }

    /// Why what comes to a sink may have lost the order of the source.
    fn unordered(&self, sink: &Sink) -> Option<String> {
        // A program has one task unless the file says more, a directory as many as what comes to it.
        let is_one = match sink.partitions {
            Some(partitions) => partitions == 1,
            None => sink.target.stage().is_some() || matches!(sink.target.tasks(), Tasks::One(_)),
        };
        if !is_one {
            return Some(format!("`{}` has several tasks", sink.name));
        }
        let (mut reader, mut from) = (&sink.name, &sink.from);
        loop {
            let [origin] = from.as_slice() else {
                return Some(format!("`{reader}` reads from several at once"));
            };
            let Origin::Stage(index) = *origin else { return None };
            let stage = &self.stages[index];
            if let Some(why) = several(stage) {
                return Some(why);
            }
            (reader, from) = (&stage.name, &stage.from);
        }
    }
}

impl Trial {
    /// Its pipeline, with the input cut like this.
    #[must_use]
    pub fn in_batches(&self, batches: Batches) -> Pipeline {
        let mut pipeline = self.pipeline.clone();
        for (index, stage) in pipeline.stages.iter_mut().enumerate() {
            let Mode::Batch(batch) = &mut stage.mode else { continue };
            let records = match batches {
                Batches::Of { records, only } if only.is_none_or(|only| only == index) => Some(records),
                Batches::AsItRuns { records } => Some(records),
                Batches::Whole | Batches::Of { .. } => None,
            };
            match records {
                Some(records) => {
                    batch.max_records = Some(batch.max_records.map_or(records, |max| max.min(records)))
                }
                None => batch.linger = batch.linger.max(LINGER),
            }
            if stage.partition_by.is_none() && !matches!(batches, Batches::AsItRuns { .. }) {
                stage.partitions = Some(1);
            }
        }
        pipeline
    }

    /// The stages whose input is cut into batches, with their numbers.
    pub fn batch_stages(&self) -> impl Iterator<Item = (usize, &str)> {
        let stages = self.pipeline.stages.iter().enumerate();
        stages
            .filter(|(_, stage)| matches!(stage.mode, Mode::Batch(_)))
            .map(|(index, stage)| (index, stage.name.as_str()))
    }

    /// Whether one task hands on to one, but for what [`Batches::AsItRuns`] has side by side.
    #[must_use]
    pub fn is_single_file(&self) -> bool {
        let stages = &self.pipeline.stages;
        let is_one = |stage: &Stage| stage.partition_by.is_none() || stage.partitions == Some(1);
        let from =
            stages.iter().map(|stage| &stage.from).chain(self.pipeline.sinks.iter().map(|sink| &sink.from));
        stages
            .iter()
            .all(|stage| matches!(stage.mode, Mode::Batch(_)) && is_one(stage) || several(stage).is_none())
            && from.into_iter().all(|from| from.len() == 1)
    }

    /// Whether there is a program that can be killed only where a journal keeps what it was given.
    #[must_use]
    pub fn has_streams(&self) -> bool {
        self.pipeline.stages.iter().any(|stage| matches!(stage.mode, Mode::Stream(_)))
    }
}

/// Why a stage gives its records in no order.
fn several(stage: &Stage) -> Option<String> {
    let is_alone = match (stage.partitions, &stage.mode) {
        (Some(partitions), _) => partitions == 1,
        (None, Mode::Batch(_)) => false,
        (None, Mode::Stream(_) | Mode::Records(_)) => stage.partition_by.is_none(),
    };
    (!is_alone).then(|| format!("`{}` has several tasks and order = \"any\"", stage.name))
}

/// The same stage, without waits that are for real work.
fn quick(mut stage: Stage) -> Stage {
    let failures = match &mut stage.mode {
        Mode::Batch(batch) => Some(&mut batch.failures),
        Mode::Records(records) => Some(&mut records.failures),
        Mode::Stream(_) => None,
    };
    if let Some(Failures { retry, .. }) = failures {
        let (initial, max) = (Duration::from_millis(1), Duration::from_millis(10));
        *retry = Retry { initial: retry.initial.min(initial), max: retry.max.min(max), ..*retry };
    }
    Stage { pace: Pace::default(), when_full: WhenFull::Wait, place: Vec::new(), ..stage }
}

/// A source that reads this file, packed or not.
fn file(path: &Path) -> crate::io::source::AnySource {
    let literal = path.to_string_lossy().chars().map(literal).collect();
    Shared(Arc::new(Files { patterns: vec![literal], ..Files::defaults(path) }))
}

/// A character of a pattern that stands for itself.
fn literal(c: char) -> String {
    match c {
        '*' | '?' | '[' => format!("[{c}]"),
        _ => c.to_string(),
    }
}

fn one_file(path: &Path) -> crate::io::sink::AnySink {
    Shared(Arc::new(sink::file::Files::one(path.to_owned(), Exists::Replace)))
}
