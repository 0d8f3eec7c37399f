//! A pipeline file, read and checked: what is wrong is said in few words that a terminal can take, and what is right is printed as a
//! file that means the same.

use super::is_fit_to_print;
use std::path::Path;
use worker_bin::fuzzing;
use worker_bin::pipeline::{
    Cluster, ConfigError, Detail, Pipeline, SourceText, parse, plan, to_toml, warnings,
};
use worker_core::config::NodeIx;

/// As many mistakes are shown.
const PROBLEMS_MAX: usize = 20;

/// The longest of all that is said of a file, in bytes: of each mistake a few lines of a terminal's width.
const WORDS_BYTES_MAX: usize = 100_000;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(fresh) = fuzzing::laid_out(text) {
        assert_eq!(fuzzing::laid_out(&fresh).as_ref(), Some(&fresh), "what is laid out stays as it is");
        let meaning = |text: &str| read(text).map(|pipeline| to_toml(&pipeline, Detail::Full)).ok();
        assert_eq!(meaning(&fresh), meaning(text), "{fresh}");
    }
    match read(text) {
        Ok(pipeline) => check(&pipeline),
        Err(error) => is_short(&error),
    }
}

fn read(text: &str) -> Result<Pipeline, ConfigError> {
    parse(&SourceText::new("fuzz.toml", text), Path::new("/nowhere"), &[])
}

fn check(pipeline: &Pipeline) {
    warnings(pipeline).iter().for_each(|warning| is_fit_to_print(&warning.render(false)));
    for detail in [Detail::Short, Detail::Full] {
        let printed = to_toml(pipeline, detail);
        let again = read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        // In full, what was left to a default is given.
        let same = match detail {
            Detail::Short => again == *pipeline,
            Detail::Full => {
                (&again.sources, &again.stages, &again.sinks, &again.tests)
                    == (&pipeline.sources, &pipeline.stages, &pipeline.sinks, &pipeline.tests)
            }
        };
        assert!(same, "it means something else: {printed}");
        assert_eq!(to_toml(&again, detail), printed);
    }
    // Files that are there are looked into for their headers.
    if pipeline.sources.iter().any(|source| format!("{:?}", source.input).contains("\"/")) {
        return;
    }
    match plan(pipeline, &Cluster::single(), NodeIx(0)) {
        Ok(plan) => {
            let again = read(&to_toml(pipeline, Detail::Full)).map(|again| planned(&again));
            assert_eq!(again.ok().flatten(), Some(plan.semantic_fingerprint.0));
        }
        Err(error) => is_short(&error),
    }
}

fn planned(pipeline: &Pipeline) -> Option<u64> {
    plan(pipeline, &Cluster::single(), NodeIx(0)).ok().map(|plan| plan.semantic_fingerprint.0)
}

fn is_short(error: &ConfigError) {
    let problems = error.problems().len();
    assert!((1..=PROBLEMS_MAX).contains(&problems), "{problems} mistakes are shown");
    let said = error.render(false);
    is_fit_to_print(&said);
    assert!(said.len() < WORDS_BYTES_MAX, "{} bytes are said", said.len());
}
