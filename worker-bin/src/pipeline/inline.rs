//! A pipeline from the words of a command line, by way of the file that says the same.

use super::diagnostics::{ConfigError, SourceText, Written};
use super::model::Pipeline;
use super::parse;
use super::text::{self, quoted, quoted_key};
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
/// What is wrong with it, shown in its words, or else in the file that says the same.
pub fn inline(
    inputs: &[String],
    stages: &[InlineStage<'_>],
    output: Option<&str>,
    dir: &Path,
    set: &[(String, String)],
) -> Result<Pipeline, ConfigError> {
    let (text, written) = file(inputs, stages, output);
    parse(&SourceText::new("command line", &text).written(written), dir, set)
}

fn file(inputs: &[String], stages: &[InlineStage<'_>], output: Option<&str>) -> (String, Written) {
    let mut text = String::from("[pipeline]\nname = \"inline\"\n");
    let mut written = Written::default();
    let mut from = Vec::new();
    if inputs.is_empty() {
        text += "\n[source.in]\nstdin = true\n";
        from.push("in".to_owned());
    }
    for (index, glob) in inputs.iter().enumerate() {
        let name = if inputs.len() == 1 { "in".to_owned() } else { format!("in-{}", index + 1) };
        text += &format!("\n[source.{name}]\n");
        value(&mut text, &mut written, ("file", "-i"), glob);
        from.push(name);
    }
    let mut names: Vec<String> = vec!["out".to_owned()];
    names.extend(from.iter().cloned());
    for stage in stages {
        let name = unused_name(&names, stage.command);
        text += &format!("\n[stage.{}]\nfrom = {}\n", quoted_key(&name), list(&from));
        value(&mut text, &mut written, ("run", if stage.stream { "-S" } else { "-s" }), stage.command);
        if stage.stream {
            text += "mode = \"stream\"\npartitions = 1\n";
        }
        if let Some(exits) = stage.ok_exit {
            text += &format!("ok_exit = {exits:?}\n");
        }
        names.push(name.clone());
        from = vec![name];
    }
    text += &format!("\n[sink.out]\nfrom = {}\n", list(&from));
    match output {
        Some(path) => value(&mut text, &mut written, ("file", "-o"), path),
        None => text += "stdout = true\n",
    }
    (text, written)
}

/// A key's value, which stands behind an option on the command line.
fn value(text: &mut String, written: &mut Written, (key, option): (&str, &str), value: &str) {
    let value = quoted(value);
    *text += &format!("{key} = ");
    written.add(option, &value, text.len()..text.len() + value.len());
    *text += &value;
    text.push('\n');
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
