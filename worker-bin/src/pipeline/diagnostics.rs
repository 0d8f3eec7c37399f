//! What is wrong with a file, shown with the line and a caret under it.

use super::inline::said::in_options;
use crate::text::escape::one_line;
use crate::text::names;
use crate::text::units::{bytes as size, number};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A pipeline or cluster file that cannot be used, with everything found wrong in it.
#[derive(Clone, Debug)]
pub struct ConfigError {
    text: SourceText,
    /// As many as are shown.
    problems: Vec<Problem>,
    /// How many there are behind them.
    more: usize,
}

/// Mistakes that are shown: whoever has more begins with these.
const SHOWN_MAX: usize = 20;

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug)]
pub struct Warning {
    text: SourceText,
    problem: Problem,
}

/// One thing that is wrong: what, where, what was expected and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    title: String,
    marks: Vec<(Range<usize>, String)>,
    help: Vec<String>,
}

/// Where something stands in its file, in bytes. All positions are equal, so that models compare by meaning.
#[derive(Clone, Debug, Default)]
pub struct At(pub Range<usize>);

/// A file's text, kept so that later messages can show its lines. All texts are equal, as positions are.
#[derive(Clone, Debug)]
pub struct SourceText {
    name: String,
    text: Arc<str>,
    /// As people wrote it, where that is not this text.
    written: Option<Arc<Written>>,
}

/// The options of a command line that a text was made of, one a line.
#[derive(Debug, Default)]
pub(super) struct Written {
    text: String,
    /// Which parts of the made text stand in this one, and where.
    places: Vec<(Range<usize>, Place)>,
}

/// Where a part of a made text was written.
#[derive(Debug)]
enum Place {
    /// As it is, from here on.
    From(usize),
    /// In other words, which are these.
    Whole(Range<usize>),
}

impl Written {
    /// `value`, behind an option such as `-s`, stands at `made` in the text that is made.
    pub(super) fn add(&mut self, option: &str, value: &str, made: Range<usize>) {
        let at = self.text.len() + option.len() + 1;
        self.text += &format!("{option} {value}\n");
        self.places.push((made, Place::From(at)));
    }

    /// `words`, such as `--key 7`, stand for all that is at `made` in the text that is made.
    pub(super) fn add_whole(&mut self, words: &str, made: Range<usize>) {
        let at = self.text.len()..self.text.len() + words.len();
        // Several keys may come from the same words.
        let at = match self.places.last() {
            Some((_, Place::Whole(last))) if self.text.get(last.clone()) == Some(words) => last.clone(),
            Some(_) | None => {
                self.text += words;
                self.text.push('\n');
                at
            }
        };
        self.places.push((made, Place::Whole(at)));
    }

    /// Where that is which stands at `range` in the made text.
    fn place(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let holds = |made: &&(Range<usize>, Place)| made.0.start <= range.start && range.end <= made.0.end;
        let (made, place) = self.places.iter().find(holds)?;
        Some(match place {
            Place::From(at) => range.start - made.start + at..range.end - made.start + at,
            Place::Whole(at) => at.clone(),
        })
    }
}

impl ConfigError {
    pub(super) fn new(text: SourceText, mut problems: Vec<Problem>) -> Self {
        let more = problems.len().saturating_sub(SHOWN_MAX);
        problems.truncate(SHOWN_MAX);
        Self { text, problems, more }
    }

    pub(super) fn one(text: &SourceText, problem: Problem) -> Self {
        Self::new(text.clone(), vec![problem])
    }

    /// A file that cannot be read at all.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let near = if is_missing { names::near_path(path) } else { String::new() };
        let problem = Problem::new(format!("cannot read {}: {error}{near}", path.display()))
            .help("name an existing file that this user may read");
        Self::one(&SourceText::new(path.display().to_string(), ""), problem)
    }

    pub(super) fn text(&self) -> &SourceText {
        &self.text
    }

    /// What is wrong, in the order of the file, as far as it is shown.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is said of those that are not shown, if there are any.
    pub(super) fn rest(&self) -> Option<String> {
        match self.more {
            0 => None,
            1 => Some("1 more error is not shown".to_owned()),
            more => Some(format!("{} more errors are not shown", number(more as u64))),
        }
    }

    /// The message for people, with colours for a terminal if wanted; ends without a newline.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let shown = render_all(&self.text, &self.problems, &Level::ERROR, color);
        match self.rest() {
            Some(rest) => format!("{shown}\n\n{rest}; mend these first"),
            None => shown,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigError {}

impl Warning {
    pub(super) fn new(text: &SourceText, problem: Problem) -> Self {
        Self { text: text.clone(), problem }
    }

    pub(super) fn text(&self) -> &SourceText {
        &self.text
    }

    pub(super) fn problem(&self) -> &Problem {
        &self.problem
    }

    #[must_use]
    pub fn title(&self) -> &str {
        &self.problem.title
    }

    /// The message for people, with colours for a terminal if wanted; ends without a newline.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        render_all(&self.text, std::slice::from_ref(&self.problem), &Level::WARNING, color)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Problem {
    /// A problem of the file as a whole.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), marks: Vec::new(), help: Vec::new() }
    }

    /// A problem at a place; `label` stands beside the caret.
    pub(crate) fn at(at: &At, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self { title: title.into(), marks: vec![(at.0.clone(), label.into())], help: Vec::new() }
    }

    /// Another place that has to do with it.
    pub(crate) fn also(mut self, at: &At, label: impl Into<String>) -> Self {
        self.marks.push((at.0.clone(), label.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn helps(mut self, help: impl IntoIterator<Item = String>) -> Self {
        self.help.extend(help);
        self
    }

    pub(crate) fn help_if(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What stands beside each of its places.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().map(|(_, label)| label.as_str())
    }

    fn position(&self) -> usize {
        self.marks.first().map_or(usize::MAX, |(range, _)| range.start)
    }
}

/// Sorts problems by their place in the file.
pub(super) fn in_file_order(problems: &mut [Problem]) {
    problems.sort_by_key(Problem::position);
}

impl PartialEq for At {
    fn eq(&self, _: &At) -> bool {
        true
    }
}

impl Eq for At {}

impl PartialEq for SourceText {
    fn eq(&self, _: &SourceText) -> bool {
        true
    }
}

impl SourceText {
    /// A text and the name that messages give it.
    #[must_use]
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), text: text.into(), written: None }
    }

    /// The same, made of what people wrote on a command line.
    pub(super) fn written(self, written: Written) -> Self {
        Self { written: Some(Arc::new(written)), ..self }
    }

    /// The text of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let (bytes, name) = match is_standard_input(path) {
            true => (from_standard_input(), STANDARD_INPUT.to_owned()),
            false => (File::open(path).and_then(at_most_one_more), one_line(path.as_os_str().as_bytes())),
        };
        let bytes = bytes.map_err(|error| ConfigError::unreadable(Path::new(&name), &error))?;
        if bytes.len() as u64 > BYTES_MAX {
            let most = size(BYTES_MAX);
            let problem = Problem::new(format!(
                "{name} has more than {most}, and such a file has at most {most}"
            ))
            .help(
                "name a pipeline or cluster file; what records are read from stands in it, as [source.NAME]",
            );
            return Err(ConfigError::one(&SourceText::new(name, ""), problem));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, &text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
                let problem = Problem::new(format!("{name}:{line}: this is not UTF-8 text"))
                    .help("TOML files are UTF-8; save the file in that encoding");
                Err(ConfigError::one(&Self::new(name, ""), problem))
            }
        }
    }

    /// The name that messages give it, normally its path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a problem is shown in, and its places there: what cannot be shown as it was written is shown in the text.
    pub(super) fn shown(&self, problem: &Problem) -> (&str, Vec<Range<usize>>) {
        let ranges = || problem.marks.iter().map(|(range, _)| range);
        let as_written = self.written.as_ref().and_then(|written| {
            let places = ranges().map(|range| written.place(range)).collect::<Option<_>>()?;
            Some((written.text.as_str(), places))
        });
        as_written.unwrap_or_else(|| (&self.text, ranges().cloned().collect()))
    }

    /// What to do, in the words that this was written in.
    pub(super) fn advice(&self, problem: &Problem) -> Vec<String> {
        match &self.written {
            None => problem.help.clone(),
            Some(_) => problem.help.iter().map(|help| in_options(help)).collect(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Of a pipeline or cluster file.
const BYTES_MAX: u64 = 4 << 20;

/// What messages call a file that is read from standard input.
pub(super) const STANDARD_INPUT: &str = "standard input";

/// Whether a path on the command line means standard input.
pub(super) fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn from_standard_input() -> std::io::Result<Vec<u8>> {
    if worker_stdio::Stream::Input.was_closed() {
        return Err(std::io::Error::other("it is closed"));
    }
    at_most_one_more(std::io::stdin().lock())
}

/// All of it, or one byte more than a file may have.
fn at_most_one_more(file: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The absolute form of a path without `.` and `..`, found without asking the file system.
pub(crate) fn normalized(base: &Path, path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::ParentDir => {
                whole.pop();
            }
            std::path::Component::CurDir => {}
            std::path::Component::Prefix(_)
            | std::path::Component::RootDir
            | std::path::Component::Normal(_) => whole.push(part),
        }
    }
    whole
}

/// `a, b or c`, each in the given quotes.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, quote: char, last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("{quote}{word}{quote}")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

fn render_all(text: &SourceText, problems: &[Problem], level: &Level<'static>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(100);
    let rendered: Vec<String> = problems.iter().map(|p| render_one(&renderer, text, p, level)).collect();
    rendered.join("\n\n")
}

fn render_one(renderer: &Renderer, text: &SourceText, problem: &Problem, level: &Level<'static>) -> String {
    let mut group = Group::with_title(level.clone().primary_title(problem.title.as_str()));
    if !problem.marks.is_empty() {
        let (shown, places) = text.shown(problem);
        let end = shown.len();
        let marks = places.iter().zip(&problem.marks).enumerate().map(|(index, (range, (_, label)))| {
            let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let range = range.start.min(end)..range.end.min(end);
            let mark = kind.span(range);
            if label.is_empty() { mark } else { mark.label(label.as_str()) }
        });
        group = group.element(Snippet::source(shown).path(text.name.as_str()).annotations(marks));
    }
    let helps = text.advice(problem);
    for help in &helps {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}
