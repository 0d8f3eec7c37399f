//! A pipeline from the words of a command line, by way of the file that says the same.

mod options;
pub(super) mod said;
mod tables;
mod values;

pub use options::{InlineOption, OPTIONS as INLINE_OPTIONS};

use super::diagnostics::{At, ConfigError, Problem, SourceText, Written};
use super::model::Pipeline;
use super::parse;
use super::text::{quoted, quoted_key};
use std::ops::Range;
use std::path::Path;
use tables::{Line, Tables};

/// An option of a command line, with its value if it has one.
#[derive(Clone, Debug)]
pub struct InlineWord {
    pub option: &'static InlineOption,
    pub value: String,
}

/// The pipeline that these options describe, in the order in which they stand. Relative paths start at `dir`.
///
/// # Errors
/// What is wrong with it, shown in its words, or else in the file that says the same.
pub fn inline(words: &[InlineWord], dir: &Path, set: &[(String, String)]) -> Result<Pipeline, ConfigError> {
    let tables = Tables::of(words).map_err(|problems| as_written(words, problems))?;
    let (text, written) = file(&tables);
    parse(&SourceText::new("command line", &text).written(written), dir, set)
}

/// What is wrong with the words themselves, each by its place among them.
fn as_written(words: &[InlineWord], mistakes: Vec<tables::Mistake>) -> ConfigError {
    let (mut text, mut places) = (String::new(), Vec::<Range<usize>>::new());
    for word in words {
        let shown = word.shown();
        places.push(text.len()..text.len() + shown.len());
        text += &shown;
        text.push('\n');
    }
    let at = |word: usize| At(places.get(word).cloned().unwrap_or_default());
    let problems = mistakes.into_iter().map(|mistake| {
        let problem = Problem::at(&at(mistake.word), mistake.title, mistake.label).help(mistake.help);
        mistake.also.into_iter().fold(problem, |problem, (word, label)| problem.also(&at(word), label))
    });
    ConfigError::new(SourceText::new("command line", &text), problems.collect())
}

impl InlineWord {
    /// As people write it; a value with blanks or quotes as a file would have it.
    fn shown(&self) -> String {
        let option = self.option.written();
        match self.option.value {
            None => option,
            Some(_) => format!("{option} {}", self.shown_value()),
        }
    }

    fn shown_value(&self) -> String {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | ',' | '/' | '%');
        if !self.value.is_empty() && self.value.chars().all(is_plain) {
            return self.value.clone();
        }
        quoted(&self.value)
    }
}

/// The file, and which parts of it stand on the command line.
fn file(tables: &Tables<'_>) -> (String, Written) {
    let mut file =
        File { text: String::from("[pipeline]\nname = \"inline\"\n"), written: Written::default() };
    file.lines(&tables.pipeline);
    file.text += "\n[source.in]\n";
    match &tables.inputs {
        None => file.text += "stdin = true\n",
        Some(inputs) => file.input(inputs.key, &inputs.words),
    }
    file.lines(&tables.source);
    let mut from = "in".to_owned();
    let mut names = vec![from.clone(), "out".to_owned()];
    for stage in &tables.stages {
        let name = unused_name(&names, &stage.command.value);
        file.text += &format!("\n[stage.{}]\nfrom = [{}]\n", quoted_key(&name), quoted(&from));
        file.value("run", stage.command);
        if stage.mode != "batch" {
            file.text += &format!("mode = {}\n", quoted(stage.mode));
        }
        if stage.mode == "stream" && !stage.says("partitions") && !stage.says("partition_by") {
            file.text += "partitions = 1\n";
        }
        file.lines(&stage.lines);
        names.push(name.clone());
        from = name;
    }
    file.text += &format!("\n[sink.out]\nfrom = [{}]\n", quoted(&from));
    if !tables.sink.iter().any(|line| matches!(line.key, "file" | "stdout")) {
        file.text += "stdout = true\n";
    }
    file.lines(&tables.sink);
    (file.text, file.written)
}

/// A file that is made of words.
struct File {
    text: String,
    written: Written,
}

impl File {
    fn lines(&mut self, lines: &[Line<'_>]) {
        for Line { key, text, word, .. } in lines {
            let made = format!("{key} = {text}");
            self.written.add_whole(&word.shown(), self.text.len()..self.text.len() + made.len());
            self.text += &made;
            self.text.push('\n');
        }
    }

    /// A key whose value is the word's.
    fn value(&mut self, key: &str, word: &InlineWord) {
        self.text += &format!("{key} = ");
        self.part(word);
        self.text.push('\n');
    }

    /// One pattern, or a list of them.
    fn input(&mut self, key: &str, words: &[&InlineWord]) {
        if let [word] = words {
            return self.value(key, word);
        }
        self.text += &format!("{key} = [");
        for (index, word) in words.iter().enumerate() {
            self.text += if index == 0 { "" } else { ", " };
            self.part(word);
        }
        self.text += "]\n";
    }

    fn part(&mut self, word: &InlineWord) {
        let value = quoted(&word.value);
        self.written.add(&word.option.written(), &value, self.text.len()..self.text.len() + value.len());
        self.text += &value;
    }
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
