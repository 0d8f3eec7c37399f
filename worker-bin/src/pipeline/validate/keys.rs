//! `partition_by = "key"` takes the key that an answer names, so it stands behind records stages only, and not before one:
//! the key decides the way and does not travel with the record.

use super::Joined;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{KeyRule, Mode, Origin};

/// Stages and sinks that want the key of an answer where there is none, or where it would be needed once more.
pub(in crate::pipeline) fn key_rules(joined: &Joined) -> Vec<Problem> {
    let stages = joined.stages.iter().map(|s| (&s.partition_by, &s.from, &s.key_at, s.name.as_str()));
    let sinks = joined.sinks.iter().map(|s| (&s.partition_by, &s.from, &s.key_at, s.name.as_str()));
    let unanswered = stages
        .chain(sinks)
        .filter(|(rule, ..)| **rule == Some(KeyRule::Answer))
        .filter_map(|(_, from, at, name)| unanswered(joined, from, at, name));
    let is_records = |mode: &Mode| matches!(mode, Mode::Records(_));
    let keyless = joined
        .stages
        .iter()
        .filter(|s| s.partition_by == Some(KeyRule::Answer) && is_records(&s.mode))
        .map(|s| {
            Problem::at(&s.key_at, format!("`{}` would not know the key of a record", s.name), "the key of an answer says where a record goes, and is not in it")
                .help("let the answers before it emit records that hold the key, and name its place: partition_by = { json = \"/key\" }, for example")
        });
    unanswered.chain(keyless).collect()
}

fn unanswered(joined: &Joined, from: &[Origin], at: &At, name: &str) -> Option<Problem> {
    let other = from.iter().find_map(|origin| match *origin {
        Origin::Source(index) => Some((joined.sources[index].name.as_str(), "is a source")),
        Origin::Stage(index) => {
            let stage = &joined.stages[index];
            match stage.mode {
                Mode::Records(_) => None,
                Mode::Batch(_) => Some((stage.name.as_str(), "is of mode batch")),
                Mode::Stream(_) => Some((stage.name.as_str(), "is of mode stream")),
            }
        }
    });
    let (upstream, what) = other?;
    let title = format!("`{name}` takes its key from answers, and `{upstream}` gives none");
    Some(
        Problem::at(at, title, format!("`{upstream}` {what}; only mode = \"records\" answers with keys"))
            .help("say what the key is, for example partition_by = { field = 1 }"),
    )
}
