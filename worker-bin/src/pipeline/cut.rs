//! The part of a pipeline that leads to one stage, for a look at what it gives.

use super::delivery::Delivery;
use super::diagnostics::{ConfigError, Problem};
use super::keys::Section as _;
use super::model::{Order, Origin, Pipeline, Sink};
use super::plan::InOrder;
use crate::text::names;
use std::collections::{BTreeMap, BTreeSet};

impl Pipeline {
    /// The part that leads to a source or stage, with standard output behind it and nothing else.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn cut_behind(&self, name: &str) -> Result<Pipeline, ConfigError> {
        let source = self.sources.iter().position(|source| source.name == name).map(Origin::Source);
        let stage = self.stages.iter().position(|stage| stage.name == name).map(Origin::Stage);
        let end = source.or(stage).ok_or_else(|| self.no_stage(name))?;
        let mut kept: BTreeSet<Origin> = BTreeSet::from([end]);
        let mut open = vec![end];
        while let Some(origin) = open.pop() {
            if let Origin::Stage(index) = origin {
                open.extend(self.stages[index].from.iter().copied().filter(|&up| kept.insert(up)));
            }
        }
        let (mut sources, mut stages) = (Vec::new(), Vec::new());
        let mut now: BTreeMap<Origin, Origin> = BTreeMap::new();
        for &origin in &kept {
            match origin {
                Origin::Source(index) => {
                    now.insert(origin, Origin::Source(sources.len()));
                    sources.push(self.sources[index].clone());
                }
                Origin::Stage(index) => {
                    now.insert(origin, Origin::Stage(stages.len()));
                    stages.push(self.stages[index].clone());
                }
            }
        }
        let moved = |from: &[Origin]| from.iter().filter_map(|origin| now.get(origin).copied()).collect();
        for stage in &mut stages {
            stage.from = moved(&stage.from);
        }
        let in_order = InOrder::of(self);
        let mut stages_read = self.stages.iter().zip(&in_order.stages);
        let mut sinks_read = self.sinks.iter().zip(&in_order.sinks);
        let is_read = stages_read.any(|(stage, &reads)| reads && stage.from.contains(&end))
            || sinks_read.any(|(sink, &reads)| reads && sink.from.contains(&end));
        let sink = Sink {
            order: if is_read { Order::Input } else { Order::Any },
            name: self.free_name("stdout"),
            from: moved(&[end]),
            framing: self.origin_framing(end).clone(),
            ..Sink::defaults(&self.dir)
        };
        // A look at a part is no run to be continued.
        let (delivery, state_dir, delivery_at) = (Delivery::Memory, None, None);
        // Without state it reads what is there now.
        let headers = BTreeMap::new();
        Ok(Pipeline {
            delivery,
            state_dir,
            headers,
            delivery_at,
            sources,
            stages,
            sinks: vec![sink],
            tests: Vec::new(),
            ..self.clone()
        })
    }

    fn no_stage(&self, name: &str) -> ConfigError {
        let sources = self.sources.iter().map(|source| source.name.as_str());
        let all = sources.chain(self.stages.iter().map(|stage| stage.name.as_str()));
        let problem = Problem::new(format!("`--to {name}`: {} has no stage `{name}`", self.file_name()))
            .helps(names::help(name, "sources and stages there", all));
        ConfigError::one(&self.text, problem)
    }

    /// A name that no source or stage has.
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| {
            self.sources.iter().any(|source| source.name == name)
                || self.stages.iter().any(|stage| stage.name == name)
        };
        let mut name = wanted.to_owned();
        while taken(&name) {
            name.push('_');
        }
        name
    }
}
