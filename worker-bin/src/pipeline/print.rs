//! A pipeline as a file that [`load`](super::load) reads back to an equal one.

use super::keys::{Rendered, Shown};
use super::model::{Origin, Pipeline};
use super::text::{quoted, quoted_key};

/// How much to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What differs from the defaults.
    Short,
    Full,
}

/// The file that says what this pipeline is.
#[must_use]
pub fn to_toml(pipeline: &Pipeline, detail: Detail) -> String {
    let mut out = Printer { pipeline, detail, lines: Vec::new() };
    out.table("[pipeline]".to_owned(), &[], pipeline.rendered());
    for source in &pipeline.sources {
        out.table(format!("\n[source.{}]", quoted_key(&source.name)), &[], source.rendered(pipeline));
    }
    for stage in &pipeline.stages {
        out.table(format!("\n[stage.{}]", quoted_key(&stage.name)), &stage.from, stage.rendered(pipeline));
    }
    for sink in &pipeline.sinks {
        out.table(format!("\n[sink.{}]", quoted_key(&sink.name)), &sink.from, sink.rendered(pipeline));
    }
    for test in &pipeline.tests {
        out.table("\n[[test]]".to_owned(), &[], test.rendered(pipeline));
    }
    out.lines.join("\n") + "\n"
}

#[derive(Debug)]
struct Printer<'a> {
    pipeline: &'a Pipeline,
    detail: Detail,
    lines: Vec<String>,
}

impl Printer<'_> {
    fn table(&mut self, title: String, from: &[Origin], rendered: Vec<Rendered>) {
        let least = match self.detail {
            Detail::Short => Shown::Always,
            Detail::Full => Shown::InFull,
        };
        self.lines.push(title);
        for Rendered { name, text, .. } in rendered.into_iter().filter(|key| key.shown <= least) {
            match (name, from, text) {
                ("from", _, _) if self.is_straight_line() => {}
                ("from", [one], _) => self.say(name, &quoted(self.pipeline.origin_name(*one))),
                (_, _, Some(text)) => self.say(name, &text),
                (_, _, None) => {}
            }
        }
    }

    fn say(&mut self, key: &str, text: &str) {
        self.lines.push(format!("{key} = {text}"));
    }

    /// Whether `from` can be left out: one source, each stage reads from the one before, one sink.
    fn is_straight_line(&self) -> bool {
        let pipeline = self.pipeline;
        let before = |index: usize| match index {
            0 => Origin::Source(0),
            index => Origin::Stage(index - 1),
        };
        self.detail == Detail::Short
            && pipeline.sources.len() == 1
            && pipeline.stages.iter().enumerate().all(|(index, stage)| stage.from == [before(index)])
            && matches!(pipeline.sinks.as_slice(), [sink] if sink.from == [before(pipeline.stages.len())])
    }
}
