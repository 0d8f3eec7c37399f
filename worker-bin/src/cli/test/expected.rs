//! What a test gives to the sources and expects of the sinks.

use crate::pipeline::{ByEnd, Pipeline, Test};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A test with its inputs and outputs, wherever they are written.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) test: &'a Test,
    /// By source; of a stage, by its name.
    pub(super) inputs: BTreeMap<String, Vec<u8>>,
    /// By sink, those that are compared; of a stage, by its name.
    pub(super) outputs: BTreeMap<String, Vec<u8>>,
}

impl<'a> Expected<'a> {
    /// Reads it; or says what cannot be read and what to do.
    pub(super) fn of(pipeline: &Pipeline, test: &'a Test) -> Result<Self, Vec<String>> {
        let (sources, sinks): (Vec<&str>, Vec<&str>) = match &test.stage {
            Some(stage) => (vec![stage], vec![stage]),
            None => (
                pipeline.sources.iter().map(|source| source.name.as_str()).collect(),
                pipeline.sinks.iter().map(|sink| sink.name.as_str()).collect(),
            ),
        };
        let mut wrong = Vec::new();
        let mut read =
            |names: Vec<&str>, what, text: &Option<ByEnd<String>>, file: &Option<ByEnd<PathBuf>>| {
                let mut found = BTreeMap::new();
                for name in names {
                    match content(name, text, file) {
                        Some(Ok(bytes)) => _ = found.insert(name.to_owned(), bytes),
                        Some(Err(why)) => wrong.push(format!("test `{}`: {what}_file: {why}", test.label)),
                        None => {}
                    }
                }
                found
            };
        let inputs = read(sources, "input", &test.input, &test.input_file);
        let outputs = read(sinks, "output", &test.output, &test.output_file);
        if wrong.is_empty() { Ok(Self { test, inputs, outputs }) } else { Err(wrong) }
    }
}

/// What is said for one source or sink, if something is.
fn content(
    name: &str,
    text: &Option<ByEnd<String>>,
    file: &Option<ByEnd<PathBuf>>,
) -> Option<Result<Vec<u8>, String>> {
    if let Some(text) = text.as_ref().and_then(|text| text.of(name)) {
        return Some(Ok(text.clone().into_bytes()));
    }
    let path = file.as_ref()?.of(name)?;
    let read = std::fs::read(path);
    Some(
        read.map_err(|error| {
            format!("cannot read {}: {error}; make it, or name another file", path.display())
        }),
    )
}
