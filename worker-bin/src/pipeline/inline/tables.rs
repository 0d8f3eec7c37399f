//! Which option belongs to which table of the file.

use super::InlineWord;
use super::options::{Meaning, Place};
use crate::pipeline::diagnostics::listed;

/// The inputs among which `-` is standard input.
const STANDARD_INPUT_KEY: &str = "file";

/// The tables of the file, as far as words say something for them.
#[derive(Debug, Default)]
pub(super) struct Tables<'a> {
    pub(super) pipeline: Vec<Line<'a>>,
    /// `None`: standard input.
    pub(super) inputs: Option<Inputs<'a>>,
    pub(super) source: Vec<Line<'a>>,
    pub(super) stages: Vec<StageTable<'a>>,
    pub(super) sink: Vec<Line<'a>>,
}

/// The patterns of the source.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) key: &'static str,
    pub(super) words: Vec<&'a InlineWord>,
}

#[derive(Debug)]
pub(super) struct StageTable<'a> {
    pub(super) command: &'a InlineWord,
    pub(super) mode: &'static str,
    pub(super) lines: Vec<Line<'a>>,
}

/// A key, its value as the file writes it, and the word that says it.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub(super) key: &'static str,
    pub(super) text: String,
    pub(super) word: &'a InlineWord,
}

/// Words that do not go together; each is named by its position.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) word: usize,
    pub(super) title: String,
    pub(super) label: String,
    pub(super) also: Option<(usize, String)>,
    pub(super) help: String,
}

impl<'a> Tables<'a> {
    /// # Errors
    /// All that is wrong with where the words stand.
    pub(super) fn of(words: &'a [InlineWord]) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = inputs_together(words);
        mistakes.extend(one_output(words));
        mistakes.extend(contradictions(words));
        let mut tables = Self::default();
        let mut for_all: Vec<(usize, &[&str], Line<'a>)> = Vec::new();
        let mut for_stages: Vec<Line<'a>> = Vec::new();
        // What stands behind the output and behind no stage after it is the sink's.
        let mut behind_output = false;
        for (index, word) in words.iter().enumerate() {
            match &word.option.meaning {
                Meaning::Input(key) => tables.input(key, word),
                Meaning::Stage(mode) => {
                    behind_output = false;
                    tables.stages.push(StageTable { command: word, mode, lines: Vec::new() });
                }
                Meaning::Keys(place, lines) => {
                    let lines = lines(&word.value).unwrap_or_default().into_iter();
                    let lines = lines.map(|(key, text)| Line { key, text, word });
                    behind_output |= word.option.long == "output";
                    match (place, tables.stages.last_mut()) {
                        (Place::Pipeline, _) => lines.for_each(|line| say(&mut tables.pipeline, line)),
                        (Place::Source, _) => lines.for_each(|line| say(&mut tables.source, line)),
                        (Place::SourceOrStage(_), None) => {
                            lines.for_each(|line| say(&mut tables.source, line));
                        }
                        (Place::Sink, _) => lines.for_each(|line| say(&mut tables.sink, line)),
                        (Place::StageOrSink, _) if behind_output => {
                            lines.for_each(|line| say(&mut tables.sink, line));
                        }
                        (Place::StageOrSink, None) => lines.for_each(|line| {
                            say(&mut tables.sink, line.clone());
                            for_stages.push(line);
                        }),
                        (Place::StageOrSink, Some(stage)) => {
                            lines.for_each(|line| say(&mut stage.lines, line));
                        }
                        (Place::Stage(modes) | Place::SourceOrStage(modes), Some(stage))
                            if modes.contains(&stage.mode) =>
                        {
                            lines.for_each(|line| say(&mut stage.lines, line));
                        }
                        (Place::Stage(modes) | Place::SourceOrStage(modes), Some(stage)) => {
                            mistakes.push(other_mode(index, word, modes, stage));
                        }
                        (Place::Stage(modes), None) => {
                            for_all.extend(lines.map(|line| (index, *modes, line)))
                        }
                    }
                }
            }
        }
        mistakes.extend(tables.say_to_all(for_all));
        for line in for_stages {
            let silent = |stage: &&mut StageTable<'_>| !stage.says(line.key);
            tables.stages.iter_mut().filter(silent).for_each(|stage| stage.lines.push(line.clone()));
        }
        if mistakes.is_empty() { Ok(tables) } else { Err(mistakes) }
    }

    fn input(&mut self, key: &'static str, word: &'a InlineWord) {
        if word.value != "-" || key != STANDARD_INPUT_KEY {
            let inputs = self.inputs.get_or_insert_with(|| Inputs { key, words: Vec::new() });
            inputs.words.push(word);
        }
    }

    /// What stands before all stages counts for each that does not say it itself.
    fn say_to_all(&mut self, lines: Vec<(usize, &[&str], Line<'a>)>) -> Vec<Mistake> {
        let said: Vec<Vec<&str>> =
            self.stages.iter().map(|stage| stage.lines.iter().map(|line| line.key).collect()).collect();
        let mut mistakes = Vec::new();
        for (index, modes, line) in lines {
            let mut is_for_one = false;
            for (stage, said) in self.stages.iter_mut().zip(&said) {
                if modes.contains(&stage.mode) {
                    is_for_one = true;
                    if !said.contains(&line.key) {
                        say(&mut stage.lines, line.clone());
                    }
                }
            }
            if !is_for_one {
                mistakes.push(for_no_stage(index, line.word, modes));
            }
        }
        mistakes
    }
}

impl StageTable<'_> {
    pub(super) fn says(&self, key: &str) -> bool {
        self.lines.iter().any(|line| line.key == key)
    }
}

/// What is said last counts.
fn say<'a>(lines: &mut Vec<Line<'a>>, line: Line<'a>) {
    lines.retain(|other| other.key != line.key);
    lines.push(line);
}

/// Standard input is the only one, and all of them are of one kind.
fn inputs_together(words: &[InlineWord]) -> Vec<Mistake> {
    let inputs: Vec<(usize, &str, &InlineWord)> = (words.iter().enumerate())
        .filter_map(|(index, word)| match word.option.meaning {
            Meaning::Input(key) => Some((index, key, word)),
            Meaning::Stage(_) | Meaning::Keys(..) => None,
        })
        .collect();
    let Some(&(first, key, _)) = inputs.first() else { return Vec::new() };
    let mut mistakes = Vec::new();
    if let Some(&(index, ..)) = inputs
        .iter()
        .find(|(_, key, word)| word.value == "-" && *key == STANDARD_INPUT_KEY)
        .filter(|_| inputs.len() > 1)
    {
        mistakes.push(Mistake {
            word: index,
            title: "standard input is read alone, or not at all".to_owned(),
            label: "stands beside other inputs".to_owned(),
            also: None,
            help: "join them before: cat FILE - | worker run …".to_owned(),
        });
    }
    if let Some(&(index, ..)) = inputs.iter().find(|(_, other, _)| *other != key) {
        mistakes.push(Mistake {
            word: index,
            title: "a pipeline on the command line has one source".to_owned(),
            label: "another one".to_owned(),
            also: Some((first, "the first".to_owned())),
            help: "use one of them, or write a file with two sources".to_owned(),
        });
    }
    mistakes
}

fn one_output(words: &[InlineWord]) -> Option<Mistake> {
    let mut outputs = words.iter().enumerate().filter(|(_, word)| word.option.long == "output");
    let (first, _) = outputs.next()?;
    let (second, _) = outputs.next()?;
    Some(Mistake {
        word: second,
        title: "a pipeline on the command line has one output".to_owned(),
        label: "another one".to_owned(),
        also: Some((first, "the first".to_owned())),
        help: "use one of them, or write a file with two sinks: --print-toml gives the file for one"
            .to_owned(),
    })
}

/// Two options that give one key of one table different meanings; the same option twice is only said anew.
fn contradictions(words: &[InlineWord]) -> Vec<Mistake> {
    let mut said: Vec<(Option<usize>, bool, &str, usize)> = Vec::new();
    let mut mistakes = Vec::new();
    let (mut stage, mut behind_output) = (None, false);
    for (index, word) in words.iter().enumerate() {
        let (place, lines) = match &word.option.meaning {
            Meaning::Input(_) => continue,
            Meaning::Stage(_) => {
                (stage, behind_output) = (Some(index), false);
                continue;
            }
            Meaning::Keys(place, lines) => (place, lines),
        };
        behind_output |= word.option.long == "output";
        let (of, is_end) = match place {
            Place::Pipeline | Place::Source | Place::Sink => (None, true),
            Place::StageOrSink if behind_output => (None, true),
            Place::SourceOrStage(_) => (stage, stage.is_none()),
            Place::Stage(_) | Place::StageOrSink => (stage, false),
        };
        for (key, _) in lines(&word.value).unwrap_or_default() {
            let is_same = |other: &&(Option<usize>, bool, &str, usize)| {
                (other.0, other.1, other.2) == (of, is_end, key)
                    && words[other.3].option.long != word.option.long
            };
            if let Some(&(.., first)) = said.iter().find(is_same) {
                mistakes.push(contradicts(first, index, words));
            }
            said.push((of, is_end, key, index));
        }
    }
    mistakes
}

fn contradicts(first: usize, index: usize, words: &[InlineWord]) -> Mistake {
    let [one, other] = [first, index].map(|index| words[index].option.written());
    Mistake {
        word: index,
        title: format!("{one} and {other} cannot both be"),
        label: "says otherwise".to_owned(),
        also: Some((first, "says one thing".to_owned())),
        help: "leave one of them out".to_owned(),
    }
}

fn other_mode(index: usize, word: &InlineWord, modes: &[&str], stage: &StageTable<'_>) -> Mistake {
    Mistake {
        word: index,
        title: format!("{} has no meaning behind {}", word.option.written(), stage.command.option.written()),
        label: format!("stands behind the stage {}", stage.command.shown()),
        also: None,
        help: format!("it belongs behind {}: move it there, or remove it", stages(modes)),
    }
}

fn for_no_stage(index: usize, word: &InlineWord, modes: &[&str]) -> Mistake {
    Mistake {
        word: index,
        title: format!("{} counts for no stage here", word.option.written()),
        label: format!("there is no {}", stages(modes)),
        also: None,
        help: format!("it counts for {}: add one, or remove it", stages(modes)),
    }
}

/// The options that begin stages of these modes.
fn stages(modes: &[&str]) -> String {
    let options = super::INLINE_OPTIONS.iter().filter(|option| match option.meaning {
        Meaning::Stage(mode) => modes.contains(&mode),
        Meaning::Input(_) | Meaning::Keys(..) => false,
    });
    let options: Vec<String> = options.map(super::InlineOption::written).collect();
    listed(options.iter().map(String::as_str), '`', "or").replace('`', "")
}
