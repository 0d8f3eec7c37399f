//! A pipeline from the words of a command line, by way of the file that says the same.

use super::diagnostics::{ConfigError, SourceText};
use super::model::Pipeline;
use super::parse;
use super::text::{self, quoted, quoted_key};
use std::fmt::Write;
use std::path::Path;

/// One stage of a command line.
#[derive(Clone, Copy, Debug)]
pub struct InlineStage<'a> {
    /// Program and arguments, not split yet.
    pub command: &'a str,
    /// One process for all records, not one per batch.
    pub stream: bool,
    /// Exit statuses that are fine; `None`: 0.
    pub ok_exit: Option<&'a [u8]>,
}

/// The pipeline that reads `inputs` (globs; none: standard input), runs the stages one after another and writes
/// `output` (`None`: standard output). Relative paths start at `dir`.
///
/// # Errors
/// What is wrong with it, shown in the file that says the same.
pub fn inline(
    inputs: &[String],
    stages: &[InlineStage<'_>],
    output: Option<&str>,
    dir: &Path,
    set: &[(String, String)],
) -> Result<Pipeline, ConfigError> {
    parse(&SourceText::new("command line", &file(inputs, stages, output)), dir, set)
}

fn file(inputs: &[String], stages: &[InlineStage<'_>], output: Option<&str>) -> String {
    let mut text = String::from("[pipeline]\nname = \"inline\"\n");
    let mut from = Vec::new();
    match inputs {
        [] => source(&mut text, &mut from, "in".to_owned(), "stdin = true"),
        [one] => source(&mut text, &mut from, "in".to_owned(), &format!("file = {}", quoted(one))),
        several => {
            for (index, glob) in several.iter().enumerate() {
                source(
                    &mut text,
                    &mut from,
                    format!("in-{}", index + 1),
                    &format!("file = {}", quoted(glob)),
                );
            }
        }
    }
    let mut names: Vec<String> = vec!["out".to_owned()];
    names.extend(from.iter().cloned());
    for stage in stages {
        let name = unused_name(&names, stage.command);
        let run = quoted(stage.command);
        text += &format!("\n[stage.{}]\nfrom = {}\nrun = {run}\n", quoted_key(&name), list(&from));
        if stage.stream {
            text += "mode = \"stream\"\npartitions = 1\n";
        }
        if let Some(exits) = stage.ok_exit {
            text += &format!("ok_exit = {exits:?}\n");
        }
        names.push(name.clone());
        from = vec![name];
    }
    let target = output.map_or_else(|| "stdout = true".to_owned(), |path| format!("file = {}", quoted(path)));
    text += &format!("\n[sink.out]\nfrom = {}\n{target}\n", list(&from));
    text
}

fn source(text: &mut String, from: &mut Vec<String>, name: String, input: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "\n[source.{name}]\n{input}");
    from.push(name);
}

fn list(names: &[String]) -> String {
    text::list(names.iter().map(String::as_str))
}

/// The program's own name, with a number where it is taken.
fn unused_name(taken: &[String], command: &str) -> String {
    let program = command.split_whitespace().next().unwrap_or_default();
    let base = program.rsplit('/').next().unwrap_or_default();
    let good = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = base.chars().filter(good).take(40).collect();
    let name = name.trim_start_matches(['-', '.']);
    let name = if name.is_empty() { "stage" } else { name };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}
