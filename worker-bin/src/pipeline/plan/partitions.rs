//! How many tasks everything has.

use crate::io::sink::Tasks;
use crate::pipeline::cluster::Cluster;
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{Mode, Origin, Pipeline, Sink, Stage};
use crate::pipeline::plan::PARTITIONS_MAX;

/// How many tasks each source, stage and sink has, in the order of the pipeline's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions {
    pub sources: Vec<u32>,
    pub stages: Vec<u32>,
    pub sinks: Vec<u32>,
}

impl Partitions {
    /// Of a source or stage.
    #[must_use]
    pub fn of(&self, origin: Origin) -> u32 {
        match origin {
            Origin::Source(index) => self.sources[index],
            Origin::Stage(index) => self.stages[index],
        }
    }

    /// The same pipeline with these numbers written in it.
    #[must_use]
    pub fn written_into(&self, pipeline: &Pipeline) -> Pipeline {
        let mut pipeline = pipeline.clone();
        for (stage, &count) in pipeline.stages.iter_mut().zip(&self.stages) {
            stage.partitions = Some(count);
        }
        for (sink, &count) in pipeline.sinks.iter_mut().zip(&self.sinks) {
            sink.partitions = Some(count);
        }
        pipeline
    }
}

pub(super) fn partitions(pipeline: &Pipeline, cluster: &Cluster) -> Result<Partitions, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut partitions = Partitions { sources: Vec::new(), stages: Vec::new(), sinks: Vec::new() };
    for source in &pipeline.sources {
        let places = if cluster.is_from_file() { source.place.len().max(1) } else { 1 };
        partitions.sources.push(u32::try_from(places).unwrap_or(u32::MAX));
    }
    for stage in &pipeline.stages {
        match of_stage(stage, cluster) {
            Ok(count) => partitions.stages.push(count),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for sink in &pipeline.sinks {
        let count = of_sink(sink, &partitions);
        partitions.sinks.push(count);
    }
    Ok(partitions)
}

fn of_stage(stage: &Stage, cluster: &Cluster) -> Result<u32, Problem> {
    if let Some(count) = stage.partitions {
        return Ok(count);
    }
    if matches!(stage.mode, Mode::Stream(_) | Mode::Records(_)) && stage.partition_by.is_none() {
        return Ok(1);
    }
    let Some(slots) = cluster.slots_in_all() else {
        let title = format!("`{}` does not say how many partitions it has", stage.name);
        return Err(Problem::at(&stage.at, title, "every node has to compute the same number")
            .help("add partitions = … here, or slots = … to every node of the cluster file"));
    };
    Ok(u32::try_from(slots).unwrap_or(PARTITIONS_MAX).min(PARTITIONS_MAX))
}

fn of_sink(sink: &Sink, partitions: &Partitions) -> u32 {
    match sink.target.tasks() {
        Tasks::One(_) => 1,
        Tasks::Any => sink.partitions.unwrap_or(1),
        Tasks::AsUpstream => {
            let largest = sink.from.iter().map(|&origin| partitions.of(origin)).max();
            sink.partitions.or(largest).unwrap_or(1)
        }
    }
}
