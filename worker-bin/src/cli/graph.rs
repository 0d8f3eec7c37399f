//! `worker graph`: the pipeline as a drawing of Mermaid or Graphviz.

use super::check::graph::{key_text, order_text, source_text};
use super::exit::wrong_file;
use super::print_document;
use crate::pipeline::plan::{InOrder, Plan};
use crate::pipeline::{self, Cluster, ConfigError, KeyRule, Origin, Pipeline, plan};
use crate::text::escape::shortened;
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use worker_core::config::NodeIx;

/// Arguments of `worker graph`.
#[derive(Clone, Debug, Args)]
pub struct GraphArgs {
    /// Pipeline file, or - for standard input
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// As Mermaid, which GitHub, GitLab and many editors draw where it stands in Markdown; this is the default
    #[arg(long, conflicts_with = "dot")]
    pub mermaid: bool,
    /// As Graphviz reads it: worker graph FILE --dot | dot -Tsvg > graph.svg
    #[arg(long)]
    pub dot: bool,
    /// Value of a variable of the file; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::args::variable)]
    pub set: Vec<(String, String)>,
}

/// The end of its help.
pub const EXAMPLES: &str = "\
Examples:
  worker graph access.toml                             # Mermaid: put it between ```mermaid and ``` in Markdown
  worker graph access.toml --dot | dot -Tsvg > access.svg";

/// Characters of a label's line.
const LABEL_CHARS_MAX: usize = 60;

/// Prints the drawing.
pub(super) fn graph(args: &GraphArgs) -> ExitCode {
    match drawn(args) {
        Ok(drawing) => print_document(&drawing).exit_code(),
        Err(error) => wrong_file(&error),
    }
}

fn drawn(args: &GraphArgs) -> Result<String, ConfigError> {
    let pipeline = pipeline::load(&args.file, &args.set)?;
    // A file for a cluster is drawn without it, too: its places say nothing of what leads where.
    let plan = plan(&pipeline, &Cluster::single(), NodeIx(0))?;
    let drawing = Drawing::of(&pipeline, &plan);
    Ok(if args.dot { drawing.dot() } else { drawing.mermaid() })
}

/// What is drawn, whoever draws it.
#[derive(Debug)]
struct Drawing {
    title: String,
    boxes: Vec<Box>,
    /// From one box to another, and what stands beside it.
    arrows: Vec<(usize, usize, String)>,
}

#[derive(Debug)]
struct Box {
    kind: Kind,
    name: String,
    lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Source,
    Stage,
    Sink,
}

impl Drawing {
    fn of(pipeline: &Pipeline, plan: &Plan) -> Self {
        let mut drawing = Self { title: pipeline.name.clone(), boxes: Vec::new(), arrows: Vec::new() };
        for source in &pipeline.sources {
            drawing.add(Kind::Source, &source.name, &[&source_text(source, &pipeline.dir)]);
        }
        let stages = pipeline.sources.len();
        let place = |origin: &Origin| match *origin {
            Origin::Source(index) => index,
            Origin::Stage(index) => stages + index,
        };
        let InOrder { stages: stages_read, sinks: sinks_read, .. } = &plan.in_order;
        for (index, stage) in pipeline.stages.iter().enumerate() {
            let mode = format!("{}{}", stage.mode.word(), tasks(plan.partitions.stages[index]));
            let at = drawing.add(Kind::Stage, &stage.name, &[&shell_words::join(&stage.program.argv), &mode]);
            let label = beside(stage.partition_by.as_ref(), stages_read[index]);
            drawing.arrows.extend(stage.from.iter().map(|from| (place(from), at, label.clone())));
        }
        for (index, sink) in pipeline.sinks.iter().enumerate() {
            let target =
                format!("{}{}", sink.target.describe(&pipeline.dir), tasks(plan.partitions.sinks[index]));
            let at = drawing.add(Kind::Sink, &sink.name, &[&target]);
            let label = beside(sink.partition_by.as_ref(), sinks_read[index]);
            drawing.arrows.extend(sink.from.iter().map(|from| (place(from), at, label.clone())));
        }
        drawing
    }

    fn add(&mut self, kind: Kind, name: &str, lines: &[&str]) -> usize {
        let lines = lines.iter().map(|line| shortened(line, LABEL_CHARS_MAX)).collect();
        self.boxes.push(Box { kind, name: name.to_owned(), lines });
        self.boxes.len() - 1
    }

    fn mermaid(&self) -> String {
        let mut text = format!("---\ntitle: {}\n---\nflowchart LR\n", serde_json::json!(self.title));
        for (index, shown) in self.boxes.iter().enumerate() {
            let (open, close) = match shown.kind {
                Kind::Source => ("([", "])"),
                Kind::Stage => ("[", "]"),
                Kind::Sink => ("[(", ")]"),
            };
            let lines = std::iter::once(&shown.name).chain(&shown.lines).map(|line| for_mermaid(line));
            let label = lines.collect::<Vec<_>>().join("<br>");
            writeln!(text, "    n{index}{open}\"{label}\"{close}").ok();
        }
        for (from, to, label) in &self.arrows {
            let label =
                if label.is_empty() { String::new() } else { format!("|\"{}\"|", for_mermaid(label)) };
            writeln!(text, "    n{from} -->{label} n{to}").ok();
        }
        text
    }

    fn dot(&self) -> String {
        let mut text = format!(
            "digraph {} {{\n    rankdir=LR;\n    node [fontname=\"sans-serif\"];\n",
            for_dot(&self.title)
        );
        for (index, shown) in self.boxes.iter().enumerate() {
            let shape = match shown.kind {
                Kind::Source => "oval",
                Kind::Stage => "box",
                Kind::Sink => "cylinder",
            };
            let lines: Vec<&str> =
                std::iter::once(&shown.name).chain(&shown.lines).map(String::as_str).collect();
            writeln!(text, "    n{index} [shape={shape}, label={}];", for_dot(&lines.join("\n"))).ok();
        }
        for (from, to, label) in &self.arrows {
            let label = if label.is_empty() { String::new() } else { format!(" [label={}]", for_dot(label)) };
            writeln!(text, "    n{from} -> n{to}{label};").ok();
        }
        text + "}\n"
    }
}

/// What stands beside an arrow into something.
fn beside(key: Option<&KeyRule>, in_order: bool) -> String {
    let words = format!("{}{}", key_text(key), order_text(in_order));
    shortened(words.trim(), LABEL_CHARS_MAX)
}

fn tasks(count: u32) -> String {
    if count == 1 { String::new() } else { format!(" × {count}") }
}

/// Text of a label in quotes: all that Mermaid, Markdown or HTML may take for something else is written by its number.
fn for_mermaid(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | '*' | '_' | '~' | '|' | ';' | '%' | '[' | ']'
            | '{' | '}' | '(' | ')' | '$' | '@' | ':' | '/' => {
                write!(label, "#{};", u32::from(c)).ok();
            }
            _ => label.push(c),
        }
    }
    label
}

/// Text as Graphviz quotes it.
fn for_dot(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}
