//! Keys and headers that stand in the first line of a source's first file.

use super::place::Places;
use crate::io::source::SourceOptions;
use crate::pipeline::diagnostics::{At, Problem, suggestion};
use crate::pipeline::model::{Column, Header, KeyRule, Origin, Pipeline};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use worker_core::config::NodeIx;
use worker_core::route::PartitionBy;

/// How records are spread over a stage's or sink's tasks, in the order of the pipeline's lists; `None`: without a key.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) stages: Vec<Option<PartitionBy>>,
    pub(super) sinks: Vec<Option<PartitionBy>>,
}

/// Finds every rule's column.
pub(super) fn keys(pipeline: &Pipeline) -> Result<Keys, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut keys = Keys { stages: Vec::new(), sinks: Vec::new() };
    for stage in &pipeline.stages {
        let rule = resolve(pipeline, stage.partition_by.as_ref(), &stage.from, &stage.key_at);
        keys.stages.push(rule.unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        }));
    }
    for sink in &pipeline.sinks {
        let rule = resolve(pipeline, sink.partition_by.as_ref(), &sink.from, &sink.key_at);
        keys.sinks.push(rule.unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        }));
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems) }
}

fn resolve(
    pipeline: &Pipeline,
    rule: Option<&KeyRule>,
    from: &[Origin],
    at: &At,
) -> Result<Option<PartitionBy>, Box<Problem>> {
    let Some(rule) = rule else { return Ok(None) };
    Ok(Some(match rule {
        KeyRule::Field { index, delimiter } => {
            let delimiter = delimiter.as_ref().map(|text| text.clone().into_bytes());
            PartitionBy::Field { index: counted(*index), delimiter }
        }
        KeyRule::Csv(Column::Number(number)) => PartitionBy::Csv { column: counted(*number) },
        KeyRule::Csv(Column::Name(name)) => PartitionBy::Csv { column: column(pipeline, name, from, at)? },
        KeyRule::Json(pointer) => PartitionBy::Json { pointer: pointer.clone() },
        KeyRule::Record => PartitionBy::Record,
        KeyRule::Answer => PartitionBy::Given,
    }))
}

fn counted(number: u32) -> NonZeroUsize {
    NonZeroUsize::new(number as usize).unwrap_or(NonZeroUsize::MIN)
}

/// The place of a named column in the header of the one source upstream.
fn column(pipeline: &Pipeline, name: &str, from: &[Origin], at: &At) -> Result<NonZeroUsize, Box<Problem>> {
    let sources = sources_above(pipeline, from);
    let [source] = sources.as_slice() else {
        let names: Vec<&str> = sources.iter().map(|&index| pipeline.sources[index].name.as_str()).collect();
        let title = format!("column `{name}` cannot be looked up: records come from several sources");
        return Err(Box::new(
            Problem::at(at, title, format!("sources: {}", names.join(", ")))
                .help("use the column's number, counted from 1: { csv = 3 }"),
        ));
    };
    let header = header(pipeline, *source).map_err(|why| {
        let title =
            format!("column `{name}` cannot be looked up in source `{}`", pipeline.sources[*source].name);
        Box::new(Problem::at(at, title, why).help(
            "use the column's number, counted from 1: { csv = 3 }; or make the file readable on this node",
        ))
    })?;
    let columns = csv_fields(&header);
    match columns.iter().position(|column| column == name) {
        Some(index) => Ok(NonZeroUsize::MIN.saturating_add(index)),
        None => {
            let title =
                format!("the header of source `{}` has no column `{name}`", pipeline.sources[*source].name);
            let shown: Vec<&str> = columns.iter().map(String::as_str).take(20).collect();
            Err(Box::new(
                Problem::at(at, title, "not found there")
                    .help_if(suggestion(name, columns.iter().map(String::as_str)))
                    .help(format!("columns there: {}", shown.join(", "))),
            ))
        }
    }
}

/// The sources whose records can reach something that reads from these, at any distance.
fn sources_above(pipeline: &Pipeline, from: &[Origin]) -> Vec<usize> {
    let mut seen: BTreeSet<Origin> = from.iter().copied().collect();
    let mut open: Vec<Origin> = from.to_vec();
    while let Some(origin) = open.pop() {
        if let Origin::Stage(index) = origin {
            open.extend(pipeline.stages[index].from.iter().copied().filter(|&origin| seen.insert(origin)));
        }
    }
    seen.into_iter()
        .filter_map(|origin| match origin {
            Origin::Source(index) => Some(index),
            Origin::Stage(_) => None,
        })
        .collect()
}

/// The headers that every batch and process begins with: of the stages, and of the sinks that are programs; looked up only for
/// those that run here.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) stages: Vec<Option<Bytes>>,
    pub(super) sinks: Vec<Option<Bytes>>,
}

pub(super) fn headers(pipeline: &Pipeline, places: &Places, me: NodeIx) -> Result<Headers, Vec<Problem>> {
    let mut problems = Vec::new();
    let stages = pipeline.stages.iter().zip(&places.stages).map(|(stage, nodes)| {
        let is_here = nodes.contains(&me);
        is_here.then(|| repeated(pipeline, (&stage.name, &stage.at), &stage.from, &mut problems)).flatten()
    });
    let stages = stages.collect();
    let sinks = pipeline.sinks.iter().zip(&places.sinks).map(|(sink, nodes)| {
        let is_here = nodes.contains(&me) && sink.target.stage().is_some();
        is_here.then(|| repeated(pipeline, (&sink.name, &sink.at), &sink.from, &mut problems)).flatten()
    });
    let sinks = sinks.collect();
    if problems.is_empty() { Ok(Headers { stages, sinks }) } else { Err(problems) }
}

/// The one header that is repeated by what a stage or sink reads from.
fn repeated(
    pipeline: &Pipeline,
    (name, at): (&str, &At),
    from: &[Origin],
    problems: &mut Vec<Problem>,
) -> Option<Bytes> {
    let mut common: Option<(usize, Bytes)> = None;
    for &origin in from {
        let Origin::Source(index) = origin else { continue };
        let source = &pipeline.sources[index];
        if source.header != Header::Repeat {
            continue;
        }
        match (header(pipeline, index), &common) {
            (Err(why), _) => problems.push(
                Problem::at(
                    &source.at,
                    format!("the header of source `{}` cannot be repeated", source.name),
                    why,
                )
                .help("make the file readable on this node, or use header = \"keep\" or \"skip\""),
            ),
            (Ok(header), None) => common = Some((index, header)),
            (Ok(header), Some((_, other))) if header == *other => {}
            (Ok(_), Some((first, _))) => problems.push(
                Problem::at(at, format!("`{name}` would get two different headers"), "reads both")
                    .also(&source.at, "one header")
                    .also(&pipeline.sources[*first].at, "another")
                    .help("give each source a stage of its own"),
            ),
        }
    }
    common.map(|(_, header)| header)
}

/// The first record of a source's first file, with its terminator; or why it is not known.
fn header(pipeline: &Pipeline, source: usize) -> Result<Bytes, String> {
    let source = &pipeline.sources[source];
    let max_record = usize::try_from(pipeline.budgets.max_record_bytes).unwrap_or(usize::MAX);
    let terminator = source.framing.terminator();
    source.input.header(&pipeline.dir, &SourceOptions { terminator, max_record, ..SourceOptions::default() })
}

/// The fields of one line of comma-separated values; a quoted field may hold commas and doubled quotes.
fn csv_fields(header: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(header);
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\0']).trim_end_matches('\r');
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let field_is_empty = fields.last().is_none_or(String::is_empty);
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                push(&mut fields, '"');
            }
            '"' if quoted => quoted = false,
            '"' if field_is_empty => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => push(&mut fields, c),
        }
    }
    fields
}

fn push(fields: &mut [String], c: char) {
    if let Some(field) = fields.last_mut() {
        field.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_may_be_quoted() {
        assert_eq!(csv_fields(b"a,\"b, c\",\"say \"\"hi\"\"\",d\r\n"), ["a", "b, c", "say \"hi\"", "d"]);
        assert_eq!(csv_fields("\u{feff}iata,name\n".as_bytes()), ["iata", "name"]);
        assert_eq!(csv_fields(b""), [""]);
    }
}
