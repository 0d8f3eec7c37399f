//! `partition_by = "key"` takes the rule of the hop before, which has to have one.

use super::Joined;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{KeyRule, Origin};

/// Stages and sinks that want the key of the hop before where there is none, or several.
pub(in crate::pipeline) fn key_rules(joined: &Joined) -> Vec<Problem> {
    let stages = joined.stages.iter().map(|s| (&s.partition_by, &s.from, &s.key_at, &s.name));
    let sinks = joined.sinks.iter().map(|s| (&s.partition_by, &s.from, &s.key_at, &s.name));
    stages
        .chain(sinks)
        .filter(|(rule, ..)| **rule == Some(KeyRule::Same))
        .filter_map(|(_, from, at, name)| before(joined, from, at, name).err())
        .collect()
}

fn before(joined: &Joined, from: &[Origin], at: &At, name: &str) -> Result<(), Problem> {
    let mut seen: Option<(&str, &KeyRule)> = None;
    for origin in from {
        let (upstream, rule) = match *origin {
            Origin::Source(index) => (joined.sources[index].name.as_str(), None),
            Origin::Stage(index) => {
                let stage = &joined.stages[index];
                (stage.name.as_str(), inherited(joined, index))
            }
        };
        let Some(rule) = rule else {
            let title = format!("`{name}` has no hop before it that decides a key");
            return Err(Problem::at(at, title, format!("`{upstream}` is not partitioned by a key"))
                .help("say what the key is, for example partition_by = { field = 1 }"));
        };
        match seen {
            Some((first, other)) if other != rule => {
                let title = format!("`{name}` would have two different keys");
                return Err(Problem::at(
                    at,
                    title,
                    format!("`{first}` and `{upstream}` are partitioned differently"),
                )
                .help("say what the key is, for example partition_by = { field = 1 }"));
            }
            Some(_) | None => seen = Some((upstream, rule)),
        }
    }
    Ok(())
}

/// The rule by which records come into a stage, found through stages that take it from the hop before.
fn inherited(joined: &Joined, mut index: usize) -> Option<&KeyRule> {
    loop {
        let stage = &joined.stages[index];
        match stage.partition_by.as_ref()? {
            KeyRule::Same => match stage.from.first()? {
                Origin::Source(_) => return None,
                Origin::Stage(upstream) => index = *upstream,
            },
            rule @ (KeyRule::Field { .. } | KeyRule::Csv(_) | KeyRule::Json(_) | KeyRule::Record) => {
                return Some(rule);
            }
        }
    }
}
