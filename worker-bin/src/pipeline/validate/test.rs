//! What tests say of stages, sources and sinks, and what they leave open.

use super::Joined;
use crate::pipeline::diagnostics::{At, Problem, listed};
use crate::pipeline::keys::test::{ByEnd, Test};
use crate::pipeline::model::KeyRule;
use crate::text::names;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Names the tests, and finds what is wrong with them.
pub(in crate::pipeline) fn tests(tests: &mut [Test], joined: Option<&Joined>) -> Vec<Problem> {
    let mut problems = named(tests);
    for test in tests.iter() {
        let Some(joined) = joined else { continue };
        match &test.stage {
            Some(stage) => problems.extend(of_stage(test, stage, joined)),
            None => {
                let sources: Vec<&str> = joined.sources.iter().map(|source| source.name.as_str()).collect();
                let sinks: Vec<&str> = joined.sinks.iter().map(|sink| sink.name.as_str()).collect();
                let input = (&test.input, &test.input_file);
                problems.extend(by_end(test, ("input", "source", &test.input_at), input, &sources));
                let output = (&test.output, &test.output_file);
                problems.extend(by_end(test, ("output", "sink", &test.output_at), output, &sinks));
                problems.extend(no_input(test, &sources));
            }
        }
    }
    problems
}

/// Gives every test a name of its own; two that the file names alike are a mistake.
fn named(tests: &mut [Test]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for test in tests.iter_mut() {
        let Some(name) = test.name.clone() else { continue };
        if !taken.insert(name.clone()) {
            let title = format!("two tests are called `{name}`");
            problems.push(Problem::at(&test.name_at, title, "the second one").help("give it another name"));
        }
        test.label = name;
    }
    for test in tests.iter_mut().filter(|test| test.name.is_none()) {
        let plain = test.stage.clone().unwrap_or_else(|| "pipeline".to_owned());
        let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
        let free = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains(name));
        test.label = free.unwrap_or(plain);
        taken.insert(test.label.clone());
    }
    problems
}

fn of_stage(test: &Test, name: &str, joined: &Joined) -> Vec<Problem> {
    let Some(stage) = joined.stages.iter().find(|stage| stage.name == name) else {
        return vec![no_stage(test, name, joined)];
    };
    let mut problems = Vec::new();
    let tables = [
        (test.input.as_ref().is_some_and(is_table), &test.input_at),
        (test.input_file.as_ref().is_some_and(is_table), &test.input_at),
        (test.output.as_ref().is_some_and(is_table), &test.output_at),
        (test.output_file.as_ref().is_some_and(is_table), &test.output_at),
    ];
    for (_, at) in tables.iter().filter(|(is_table, _)| *is_table) {
        problems.push(
            Problem::at(
                at,
                format!("a table is for tests of the whole pipeline, and `{name}` is one stage"),
                "expected a string",
            )
            .help("give the string alone, or leave `stage` out"),
        );
    }
    problems.extend(twice(test, &test.input, &test.input_file, ("input", &test.input_at)));
    problems.extend(twice(test, &test.output, &test.output_file, ("output", &test.output_at)));
    if stage.partition_by == Some(KeyRule::Answer) {
        let title = format!("`{name}` cannot be tested alone");
        let label = "goes by keys that the answers of the stage before it name";
        problems.push(
            Problem::at(&test.stage_at, title, label).help("leave `stage` out and test the whole pipeline"),
        );
    }
    problems
}

fn no_stage(test: &Test, name: &str, joined: &Joined) -> Problem {
    let stages: Vec<&str> = joined.stages.iter().map(|stage| stage.name.as_str()).collect();
    let is_source = joined.sources.iter().any(|source| source.name == name);
    let is_sink = joined.sinks.iter().any(|sink| sink.name == name);
    let label = match (is_source, is_sink) {
        (true, _) => "a source is no stage",
        (_, true) => "a sink is no stage",
        (false, false) => "there is none",
    };
    let helps = match joined.stages.is_empty() {
        true => vec!["there are none: leave `stage` out to test the whole pipeline".to_owned()],
        false => names::help(name, "stages there", stages),
    };
    Problem::at(
        &test.stage_at,
        format!("test `{}` is of a stage `{name}` that this file does not have", test.label),
        label,
    )
    .helps(helps)
}

fn is_table<T>(value: &ByEnd<T>) -> bool {
    match value {
        ByEnd::One(_) => false,
        ByEnd::Each(_) => true,
    }
}

fn twice(
    test: &Test,
    text: &Option<ByEnd<String>>,
    file: &Option<ByEnd<PathBuf>>,
    (what, at): (&str, &At),
) -> Option<Problem> {
    let ((Some(ByEnd::One(_)), Some(_)) | (Some(_), Some(ByEnd::One(_)))) = (text, file) else { return None };
    let title = format!("test `{}` has two {what}s", test.label);
    Some(
        Problem::at(at, title, format!("`{what}` and `{what}_file` say the same"))
            .help(format!("remove one of `{what}` and `{what}_file`")),
    )
}

/// What is wrong with what is said of sources, or of sinks.
fn by_end(
    test: &Test,
    (what, kind, at): (&str, &str, &At),
    (text, file): (&Option<ByEnd<String>>, &Option<ByEnd<PathBuf>>),
    known: &[&str],
) -> Vec<Problem> {
    let mut problems: Vec<Problem> = twice(test, text, file, (what, at)).into_iter().collect();
    let (texts, files) = (text.iter().flat_map(ByEnd::names), file.iter().flat_map(ByEnd::names));
    let mut seen = BTreeSet::new();
    for name in texts.chain(files) {
        if !known.contains(&name) {
            let title = format!(
                "test `{}` has an {what} of a {kind} `{name}` that this file does not have",
                test.label
            );
            problems.push(Problem::at(at, title, "there is none").helps(names::help(
                name,
                &format!("{kind}s there"),
                known.iter().copied(),
            )));
        } else if !seen.insert(name) {
            let title = format!("test `{}` has two {what}s of `{name}`", test.label);
            problems.push(
                Problem::at(at, title, "").help(format!("remove it from `{what}` or from `{what}_file`")),
            );
        }
    }
    let is_one = matches!(text, Some(ByEnd::One(_))) || matches!(file, Some(ByEnd::One(_)));
    if is_one && known.len() > 1 {
        let title = format!("test `{}` does not say of which {kind} its {what} is", test.label);
        let all = known.iter().map(|name| format!("{name} = \"…\"")).collect::<Vec<_>>().join(", ");
        problems.push(
            Problem::at(
                at,
                title,
                format!("there are {}: {}", known.len(), listed(known.iter().copied(), '`', "and")),
            )
            .help(format!("write a table: {what} = {{ {all} }}")),
        );
    }
    problems
}

/// Sources that nothing is said of, where something is said of others.
fn no_input(test: &Test, sources: &[&str]) -> Option<Problem> {
    let has = |name: &str| {
        test.input.as_ref().is_some_and(|input| input.of(name).is_some())
            || test.input_file.as_ref().is_some_and(|input| input.of(name).is_some())
    };
    let is_said = test.input.is_some() || test.input_file.is_some();
    let missing = sources.iter().find(|name| !has(name)).filter(|_| is_said)?;
    let title = format!("test `{}` has no input for source `{missing}`", test.label);
    Some(
        Problem::at(&test.input_at, title, "every source needs one")
            .help(format!("add it, and if nothing is to come from there: {missing} = \"\"")),
    )
}
