//! Keys and headers that stand in the first line of a source's first file.

use super::place::Places;
use crate::io::source::SourceOptions;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Column, Header, KeyRule, Origin, Pipeline};
use crate::text::names;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use worker_core::config::NodeIx;
use worker_core::route::PartitionBy;

/// The first record of each source's first file, with what ends it: as it was when the state was begun, or as it is now.
#[derive(Debug)]
pub(super) struct FirstRecords<'a> {
    pipeline: &'a Pipeline,
    /// By source, those that were asked for.
    found: BTreeMap<String, Bytes>,
}

impl<'a> FirstRecords<'a> {
    pub(super) fn of(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, found: BTreeMap::new() }
    }

    /// That of a source; or why it is not known.
    fn of_source(&mut self, index: usize) -> Result<Bytes, String> {
        let source = &self.pipeline.sources[index];
        let known = self.found.get(&source.name).or_else(|| self.pipeline.headers.get(&source.name));
        let header = match known {
            Some(header) => header.clone(),
            None => {
                let max_record = self.pipeline.budgets.max_record_bytes;
                let max_record = usize::try_from(max_record).unwrap_or(usize::MAX);
                let (framing, on_damage) = (source.framing.clone(), source.on_damage);
                let options = SourceOptions { framing, max_record, on_damage, ..SourceOptions::default() };
                source.input.header(&self.pipeline.dir, &options)?
            }
        };
        self.found.insert(source.name.clone(), header.clone());
        Ok(header)
    }

    pub(super) fn into_headers(self) -> BTreeMap<String, Bytes> {
        self.found
    }
}

/// How records are spread over a stage's or sink's tasks, in the order of the pipeline's lists; `None`: without a key.
#[derive(Debug)]
pub(super) struct Keys {
    /// By what a source's sample is taken.
    pub(super) sources: Vec<Option<PartitionBy>>,
    pub(super) stages: Vec<Option<PartitionBy>>,
    pub(super) sinks: Vec<Option<PartitionBy>>,
}

/// Finds every rule's column.
pub(super) fn keys(pipeline: &Pipeline, first: &mut FirstRecords<'_>) -> Result<Keys, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut keys = Keys { sources: Vec::new(), stages: Vec::new(), sinks: Vec::new() };
    for (index, source) in pipeline.sources.iter().enumerate() {
        let sample = &source.sample;
        let rule = resolve(first, sample.by.as_ref(), &[Origin::Source(index)], &sample.by_at);
        keys.sources.push(rule.unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        }));
    }
    for stage in &pipeline.stages {
        let rule = resolve(first, stage.partition_by.as_ref(), &stage.from, &stage.key_at);
        keys.stages.push(rule.unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        }));
    }
    for sink in &pipeline.sinks {
        let rule = resolve(first, sink.partition_by.as_ref(), &sink.from, &sink.key_at);
        keys.sinks.push(rule.unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        }));
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems) }
}

fn resolve(
    first: &mut FirstRecords<'_>,
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
        KeyRule::Csv(Column::Name(name)) => PartitionBy::Csv { column: column(first, name, from, at)? },
        KeyRule::Json(pointer) => PartitionBy::Json { pointer: pointer.clone() },
        KeyRule::Record => PartitionBy::Record,
        KeyRule::Answer => PartitionBy::Given,
    }))
}

fn counted(number: u32) -> NonZeroUsize {
    NonZeroUsize::new(number as usize).unwrap_or(NonZeroUsize::MIN)
}

/// The place of a named column in the header of the one source upstream.
fn column(
    first: &mut FirstRecords<'_>,
    name: &str,
    from: &[Origin],
    at: &At,
) -> Result<NonZeroUsize, Box<Problem>> {
    let pipeline = first.pipeline;
    if let Some(stage) = own_header_above(pipeline, from) {
        let title = format!("column `{name}` cannot be looked up: `{stage}` prints a header of its own");
        return Err(Box::new(
            Problem::at(at, title, "that header is not known before the run")
                .help("use the column's number in what comes here, counted from 1: { csv = 3 }"),
        ));
    }
    let sources = sources_above(pipeline, from);
    let [source] = sources.as_slice() else {
        let names: Vec<&str> = sources.iter().map(|&index| pipeline.sources[index].name.as_str()).collect();
        let title = format!("column `{name}` cannot be looked up: records come from several sources");
        return Err(Box::new(
            Problem::at(at, title, format!("sources: {}", names.join(", ")))
                .help("use the column's number, counted from 1: { csv = 3 }"),
        ));
    };
    let header = first.of_source(*source).map_err(|why| {
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
            Err(Box::new(Problem::at(at, title, "not found there").helps(names::help(
                name,
                "columns there",
                columns.iter().map(String::as_str),
            ))))
        }
    }
}

/// A stage before these, or among them, whose header is not that of the source.
fn own_header_above<'a>(pipeline: &'a Pipeline, from: &[Origin]) -> Option<&'a str> {
    all_above(pipeline, from).into_iter().find_map(|origin| match origin {
        Origin::Source(_) => None,
        Origin::Stage(index) => {
            Some(&pipeline.stages[index]).filter(|s| s.gives_header()).map(|s| s.name.as_str())
        }
    })
}

/// Whatever records come from, at any distance.
fn all_above(pipeline: &Pipeline, from: &[Origin]) -> BTreeSet<Origin> {
    let mut seen: BTreeSet<Origin> = from.iter().copied().collect();
    let mut open: Vec<Origin> = from.to_vec();
    while let Some(origin) = open.pop() {
        if let Origin::Stage(index) = origin {
            open.extend(pipeline.stages[index].from.iter().copied().filter(|&origin| seen.insert(origin)));
        }
    }
    seen
}

/// The sources whose records can reach something that reads from these, at any distance.
fn sources_above(pipeline: &Pipeline, from: &[Origin]) -> Vec<usize> {
    all_above(pipeline, from)
        .into_iter()
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

pub(super) fn headers(
    pipeline: &Pipeline,
    (places, me): (&Places, NodeIx),
    first: &mut FirstRecords<'_>,
) -> Result<Headers, Vec<Problem>> {
    let mut problems = Vec::new();
    let stages = pipeline.stages.iter().zip(&places.stages).map(|(stage, nodes)| {
        let is_here = nodes.contains(&me);
        is_here.then(|| repeated(first, (&stage.name, &stage.at), &stage.from, &mut problems)).flatten()
    });
    let stages = stages.collect();
    let sinks = pipeline.sinks.iter().zip(&places.sinks).map(|(sink, nodes)| {
        let is_here = nodes.contains(&me) && sink.target.stage().is_some();
        is_here.then(|| repeated(first, (&sink.name, &sink.at), &sink.from, &mut problems)).flatten()
    });
    let sinks = sinks.collect();
    if problems.is_empty() { Ok(Headers { stages, sinks }) } else { Err(problems) }
}

/// The one header that is repeated by what a stage or sink reads from.
fn repeated(
    first: &mut FirstRecords<'_>,
    (name, at): (&str, &At),
    from: &[Origin],
    problems: &mut Vec<Problem>,
) -> Option<Bytes> {
    let pipeline = first.pipeline;
    let mut common: Option<(usize, Bytes)> = None;
    for &origin in from {
        let Origin::Source(index) = origin else { continue };
        let source = &pipeline.sources[index];
        if source.header != Header::Repeat {
            continue;
        }
        match (first.of_source(index), &common) {
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
            (Ok(_), Some((other, _))) => problems.push(
                Problem::at(at, format!("`{name}` would get two different headers"), "reads both")
                    .also(&source.at, "one header")
                    .also(&pipeline.sources[*other].at, "another")
                    .help("give each source a stage of its own"),
            ),
        }
    }
    common.map(|(_, header)| header)
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
