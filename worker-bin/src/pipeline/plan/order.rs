//! Which stages and sinks are given their records in the order of the source, and where that cannot be.

use super::partitions::Partitions;
use crate::pipeline::diagnostics::{At, Problem, listed};
use crate::pipeline::model::{Mode, Order, Origin, Pipeline};

/// Who reads in order: who says `order = "input"`, who reads from a stage that says it, and the stages between those and the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InOrder {
    /// In the order of the pipeline's stages.
    pub stages: Vec<bool>,
    /// In the order of its sinks.
    pub sinks: Vec<bool>,
}

impl InOrder {
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let gives = |from: &[Origin]| {
            let says = |origin: &Origin| match *origin {
                Origin::Stage(index) => pipeline.stages[index].order == Order::Input,
                Origin::Source(_) => false,
            };
            from.iter().any(says)
        };
        let sinks: Vec<bool> =
            pipeline.sinks.iter().map(|sink| sink.order == Order::Input || gives(&sink.from)).collect();
        let mut stages: Vec<bool> =
            pipeline.stages.iter().map(|stage| stage.order == Order::Input || gives(&stage.from)).collect();
        let mut need = |from: &[Origin]| {
            for origin in from {
                if let Origin::Stage(index) = *origin {
                    stages[index] = true;
                }
            }
        };
        pipeline.sinks.iter().zip(&sinks).filter(|(_, reads)| **reads).for_each(|(sink, _)| need(&sink.from));
        // Whoever is read from stands before who reads.
        for (index, stage) in pipeline.stages.iter().enumerate().rev() {
            if stages[index] {
                stage.from.iter().for_each(|origin| {
                    if let Origin::Stage(before) = *origin {
                        stages[before] = true;
                    }
                });
            }
        }
        Self { stages, sinks }
    }
}

/// What reads in order.
struct Reader<'a> {
    name: &'a str,
    from: &'a [Origin],
    at: &'a At,
    /// Where it says so itself.
    said: Option<&'a At>,
}

/// # Errors
/// Where records of tasks side by side cannot be brought into the order of one source.
pub(super) fn check(
    pipeline: &Pipeline,
    in_order: &InOrder,
    partitions: &Partitions,
) -> Result<(), Vec<Problem>> {
    let stages = pipeline.stages.iter().zip(&in_order.stages).filter(|(_, reads)| **reads);
    let stages = stages.map(|(stage, _)| Reader {
        name: &stage.name,
        from: &stage.from,
        at: &stage.at,
        said: (stage.order == Order::Input).then_some(&stage.order_at),
    });
    let sinks = pipeline.sinks.iter().zip(&in_order.sinks).filter(|(_, reads)| **reads);
    let sinks = sinks.map(|(sink, _)| Reader {
        name: &sink.name,
        from: &sink.from,
        at: &sink.at,
        said: (sink.order == Order::Input).then_some(&sink.order_at),
    });
    let mut problems: Vec<Problem> = Vec::new();
    for reader in stages.chain(sinks) {
        problems.extend(several(pipeline, &reader));
        problems
            .extend(reader.from.iter().filter_map(|&origin| mixes(pipeline, partitions, origin, &reader)));
    }
    problems.dedup();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Records of two origins have no order.
fn several(pipeline: &Pipeline, reader: &Reader<'_>) -> Option<Problem> {
    if reader.from.len() < 2 {
        return None;
    }
    let names = reader.from.iter().map(|&origin| pipeline.origin_name(origin));
    let title = format!("`{}` cannot be in the order of the input: it reads from several", reader.name);
    let label = format!("between records of {} there is no order", listed(names, '`', "and"));
    let files = "one source can read several files, one after the other: file = [\"a.txt\", \"b.txt\"]";
    Some(Problem::at(reader.said.unwrap_or(reader.at), title, label).help(format!(
        "let it read from one of them and give the others readers of their own, or leave order = \"input\" out; {files}"
    )))
}

/// A source in several places, and a stage whose tasks mix what they read or cannot tell what came of what.
fn mixes(
    pipeline: &Pipeline,
    partitions: &Partitions,
    origin: Origin,
    reader: &Reader<'_>,
) -> Option<Problem> {
    let count = partitions.of(origin);
    if count < 2 {
        return None;
    }
    let name = pipeline.origin_name(origin);
    let title = format!("`{}` cannot be in the order of the input", reader.name);
    let (at, label, help) = match origin {
        Origin::Source(index) => (
            &pipeline.sources[index].at,
            format!("source `{name}` is read in {count} places, and between those there is no order"),
            "give it one place, or leave order = \"input\" out".to_owned(),
        ),
        Origin::Stage(index) => {
            let stage = &pipeline.stages[index];
            let keyed = stage.partition_by.is_some();
            match &stage.mode {
                _ if keyed => (
                    &stage.key_at,
                    format!(
                        "`{name}` deals its records by their keys to {count} tasks, and what those give has no order"
                    ),
                    format!(
                        "say partitions = 1 for `{name}`, or order = \"input\" before it only: each of its keys is then given its records in order"
                    ),
                ),
                Mode::Stream(_) => (
                    &stage.partitions_at,
                    format!(
                        "of what the {count} programs of `{name}` print, nobody can tell which input it came of"
                    ),
                    format!("say partitions = 1 for `{name}`, or mode = \"batch\" or \"records\""),
                ),
                Mode::Batch(_) | Mode::Records(_) => return None,
            }
        }
    };
    Some(asked(Problem::at(at, title, label), reader).help(help))
}

fn asked(problem: Problem, reader: &Reader<'_>) -> Problem {
    match reader.said {
        Some(at) => problem.also(at, "asks for the order of the input"),
        None => problem,
    }
}
