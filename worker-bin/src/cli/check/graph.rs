//! The graph as text that fits the terminal.

use crate::pipeline::plan::Plan;
use crate::pipeline::{
    Column, Framing, Header, Input, KeyRule, Mode, Origin, Pipeline, Program, Sink, Source, Stage,
};
use crate::text::escape::one_line;
use crate::text::width::fit;
use std::collections::BTreeSet;
use std::path::Path;
use worker_core::config::TaskName;

/// The pipeline from its sources to its sinks, and how many tasks and links it makes.
pub(super) fn graph(pipeline: &Pipeline, plan: &Plan, room: Option<usize>) -> String {
    let mut drawing = Drawing { pipeline, plan, room, shown: BTreeSet::new(), lines: Vec::new() };
    let delivery = pipeline.delivery.word();
    let state = pipeline
        .state_dir
        .as_ref()
        .map_or_else(String::new, |dir| format!(", state in {}", pipeline.shown_path(dir).display()));
    drawing.line("", &format!("{} (delivery = \"{delivery}\"{state})", pipeline.name));
    for index in 0..pipeline.sources.len() {
        drawing.lines.push(String::new());
        drawing.source(index);
    }
    drawing.lines.push(String::new());
    let (tasks, links) = (plan.graph.tasks.len(), plan.graph.links.len());
    drawing.lines.push(format!("{} on {}, {}", counted(tasks, "task"), nodes(plan), counted(links, "link")));
    drawing.lines.join("\n") + "\n"
}

/// What reads from something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    Stage(usize),
    Sink(usize),
}

#[derive(Debug)]
struct Drawing<'a> {
    pipeline: &'a Pipeline,
    plan: &'a Plan,
    /// Columns of the terminal.
    room: Option<usize>,
    shown: BTreeSet<Reader>,
    lines: Vec<String>,
}

impl Drawing<'_> {
    fn source(&mut self, index: usize) {
        let source = &self.pipeline.sources[index];
        let text =
            format!("{}  {}{}", source.name, source_text(source, &self.pipeline.dir), self.on(&source.name));
        self.line("", &text);
        self.readers(Origin::Source(index), "");
    }

    /// Everything that reads from `origin`, drawn below it.
    fn readers(&mut self, origin: Origin, indent: &str) {
        // A line of the drawing at a time, so that long pipelines do not deepen the stack.
        let mut open: Vec<(Reader, String, bool)> = Vec::new();
        push(&mut open, self.readers_of(origin), indent);
        while let Some((reader, indent, last)) = open.pop() {
            let head = format!("{indent}{}", if last { "`- " } else { "|- " });
            let (name, text) = match reader {
                Reader::Stage(index) => (&self.pipeline.stages[index].name, self.stage_text(index)),
                Reader::Sink(index) => (&self.pipeline.sinks[index].name, self.sink_text(index)),
            };
            if !self.shown.insert(reader) {
                self.line(&head, &format!("{name}  (as above)"));
                continue;
            }
            self.line(&head, &text);
            if let Reader::Stage(index) = reader {
                let below = format!("{indent}{}", if last { "   " } else { "|  " });
                push(&mut open, self.readers_of(Origin::Stage(index)), &below);
            }
        }
    }

    fn readers_of(&self, origin: Origin) -> Vec<Reader> {
        let stages = self.pipeline.stages.iter().enumerate();
        let sinks = self.pipeline.sinks.iter().enumerate();
        let stages =
            stages.filter(|(_, stage)| stage.from.contains(&origin)).map(|(index, _)| Reader::Stage(index));
        stages
            .chain(
                sinks.filter(|(_, sink)| sink.from.contains(&origin)).map(|(index, _)| Reader::Sink(index)),
            )
            .collect()
    }

    fn stage_text(&self, index: usize) -> String {
        let stage: &Stage = &self.pipeline.stages[index];
        let count = times(self.plan.partitions.stages[index]);
        let window = match &stage.mode {
            Mode::Stream(stream) if stream.window.is_some() => " in windows",
            Mode::Records(records) if records.tick.is_some() => " with ticks",
            Mode::Batch(batch) if batch.input != Input::Stdin => handed(batch.input),
            Mode::Stream(_) | Mode::Batch(_) | Mode::Records(_) => "",
        };
        let (name, mode, key) = (&stage.name, stage.mode.word(), key_text(stage.partition_by.as_ref()));
        let framing = if stage.framing_out == stage.framing_in {
            String::new()
        } else {
            framing_text(&stage.framing_out)
        };
        let order = order_text(self.plan.in_order.stages[index]);
        format!(
            "{name}{count}  {mode}{window}{key}{order}{framing}{}: {}",
            self.on(name),
            command(&stage.program)
        )
    }

    fn sink_text(&self, index: usize) -> String {
        let sink: &Sink = &self.pipeline.sinks[index];
        let count = times(self.plan.partitions.sinks[index]);
        let target = sink.target.describe(&self.pipeline.dir);
        format!(
            "{}{count}{}{}{}  {target}",
            sink.name,
            key_text(sink.partition_by.as_ref()),
            order_text(self.plan.in_order.sinks[index]),
            self.on(&sink.name)
        )
    }

    /// Where it runs, if there is a choice.
    fn on(&self, name: &str) -> String {
        if self.plan.nodes.len() < 2 {
            return String::new();
        }
        let nodes: BTreeSet<&str> = (self.plan.graph.tasks.iter())
            .filter(|task| TaskName::of(&task.name).is_task_of(name))
            .map(|task| self.plan.nodes[usize::from(task.node.0)].as_str())
            .collect();
        format!(" on {}", nodes.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn line(&mut self, head: &str, text: &str) {
        let whole = format!("{head}{}", one_line(text.as_bytes()));
        self.lines.push(self.room.map_or_else(|| whole.clone(), |room| fit(&whole, room)));
    }
}

/// Whether records come in the order of the source, said of whoever asks for it and all before it.
pub(in crate::cli) fn order_text(in_order: bool) -> &'static str {
    if in_order { " in input order" } else { "" }
}

fn push(open: &mut Vec<(Reader, String, bool)>, readers: Vec<Reader>, indent: &str) {
    let count = readers.len();
    for (index, reader) in readers.into_iter().enumerate().rev() {
        open.push((reader, indent.to_owned(), index + 1 == count));
    }
}

pub(in crate::cli) fn source_text(source: &Source, dir: &Path) -> String {
    let input = source.input.describe();
    let decoded: Vec<_> = source.input.decodes(dir).into_iter().map(|(name, _)| name).collect();
    let decoded =
        if decoded.is_empty() { String::new() } else { format!(", decodes {}", decoded.join(" and ")) };
    let header = match source.header {
        Header::Keep => "",
        Header::Skip => ", header left out",
        Header::Repeat => ", header repeated",
    };
    let framing =
        if source.framing == Framing::Lines { String::new() } else { framing_text(&source.framing) };
    format!("{input}{decoded}{header}{framing}")
}

/// In what a batch is given to its program.
fn handed(input: Input) -> &'static str {
    match input {
        Input::Stdin => "",
        Input::Argument => " of one record, an argument",
        Input::Arguments => " as arguments",
        Input::File => " in a file",
    }
}

fn framing_text(framing: &Framing) -> String {
    format!(", {}", framing.words())
}

pub(in crate::cli) fn key_text(rule: Option<&KeyRule>) -> String {
    let Some(rule) = rule else { return String::new() };
    let rule = match rule {
        KeyRule::Field { index, delimiter: None } => format!("field {index}"),
        KeyRule::Field { index, delimiter: Some(text) } => format!("field {index} between {text:?}"),
        KeyRule::Csv(Column::Number(number)) => format!("column {number}"),
        KeyRule::Csv(Column::Name(name)) => format!("column {name}"),
        KeyRule::Json(pointer) => format!("JSON {pointer}"),
        KeyRule::Record => "record".to_owned(),
        KeyRule::Answer => "the key of its answer".to_owned(),
    };
    format!(" by {rule}")
}

fn command(program: &Program) -> String {
    shell_words::join(&program.argv)
}

fn times(count: u32) -> String {
    if count == 1 { String::new() } else { format!(" x{count}") }
}

fn nodes(plan: &Plan) -> String {
    match plan.nodes.as_slice() {
        [_] => "one node".to_owned(),
        nodes => format!(
            "{} nodes, {} of them on {}",
            nodes.len(),
            plan.local.len(),
            nodes[usize::from(plan.me.0)]
        ),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
