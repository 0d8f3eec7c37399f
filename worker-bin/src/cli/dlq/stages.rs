//! Which stages dead letters may be of.

use super::store::{Store, StoreError};
use crate::manifest::Manifest;
use crate::pipeline::Pipeline;
use crate::text::names;
use std::collections::BTreeSet;

/// Names that are kept of letters.
const SEEN_MAX: usize = 10_000;

/// What names a stage can have, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// Of a pipeline file or of a state.
    known: BTreeSet<String>,
    /// Of letters.
    seen: BTreeSet<String>,
}

impl Stages {
    pub(super) fn of(store: &Store, pipeline: Option<&Pipeline>) -> Self {
        let mut known: BTreeSet<String> = BTreeSet::new();
        if let Some(pipeline) = pipeline {
            known.extend(pipeline.sources.iter().map(|source| source.name.clone()));
            known.extend(pipeline.stages.iter().map(|stage| stage.name.clone()));
            known.extend(pipeline.sinks.iter().map(|sink| sink.name.clone()));
        }
        if let Store::State(dir) = store {
            let placement = Manifest::load(dir).ok().flatten().unwrap_or_default().placement;
            let stages = placement.keys().filter_map(|task| task.rsplit_once('/'));
            known.extend(stages.map(|(stage, _)| stage.to_owned()));
        }
        Self { known, seen: BTreeSet::new() }
    }

    /// There is a letter of this one.
    pub(super) fn seen(&mut self, stage: &str) {
        if self.seen.len() < SEEN_MAX && !self.seen.contains(stage) {
            self.seen.insert(stage.to_owned());
        }
    }

    /// Whether there is such a stage, now that all letters were seen.
    ///
    /// # Errors
    /// There is none; or there are only letters to go by, and they are of others, one of which was probably meant.
    pub(super) fn check(&self, stage: &str) -> Result<(), StoreError> {
        if self.known.contains(stage) || self.seen.contains(stage) {
            return Ok(());
        }
        let all = || self.known.union(&self.seen).map(String::as_str);
        if self.known.is_empty() && names::meant(stage, all()).is_none() {
            return Ok(());
        }
        Err(StoreError::NoStage { stage: stage.to_owned(), there: names::tail(stage, "stages there", all()) })
    }
}
