//! A pipeline as a file that [`load`](super::load) reads back to an equal one.

use super::delivery::Delivery;
use super::model::{
    BatchMode, Budgets, EarlyExit, Exists, Header, KeyRule, Mode, Origin, Pipeline, PlaceName, Program,
    RecordsMode, Sink, SinkTarget, Source, SourceInput, Stage, StreamMode,
};
use super::read::{
    default_batch_mode, default_budgets, default_records_mode, default_stream_mode, default_timeout,
};
use super::text::{self, list, quoted, quoted_key};
use super::units::{format_duration, format_share, format_size};
use std::path::Path;
use worker_core::config::{MaxDead, OnError, Retry};

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
    let mut out = Printer { pipeline, full: detail == Detail::Full, lines: Vec::new() };
    out.head();
    let line = out.is_straight_line() && !out.full;
    for source in &pipeline.sources {
        out.source(source);
    }
    for stage in &pipeline.stages {
        out.stage(stage, line);
    }
    for sink in &pipeline.sinks {
        out.sink(sink, line);
    }
    out.lines.join("\n") + "\n"
}

#[derive(Debug)]
struct Printer<'a> {
    pipeline: &'a Pipeline,
    full: bool,
    lines: Vec<String>,
}

impl Printer<'_> {
    fn head(&mut self) {
        let pipeline = self.pipeline;
        let (budgets, default) = (&pipeline.budgets, default_budgets());
        self.lines.push("[pipeline]".to_owned());
        self.always("name", quoted(&pipeline.name));
        if self.full || pipeline.delivery != Delivery::Memory || pipeline.delivery_at.is_some() {
            self.always("delivery", quoted(pipeline.delivery.word()));
        }
        let size = |bytes: &u64| quoted(&format_size(*bytes));
        self.differing("max_record", &budgets.max_record_bytes, &default.max_record_bytes, size);
        self.differing("credit", &budgets.credit_bytes, &default.credit_bytes, size);
        self.differing("outbox", &budgets.outbox_bytes, &default.outbox_bytes, size);
        self.differing("spill_limit", &budgets.spill_limit_bytes, &default.spill_limit_bytes, size);
        let shown = |budgets: &Budgets| quoted(&pipeline.shown_path(&budgets.spill_dir()).to_string_lossy());
        if budgets.spill_dir.is_some() || self.full {
            self.always("spill_dir", shown(budgets));
        }
    }

    fn source(&mut self, source: &Source) {
        self.table("source", &source.name);
        match &source.input {
            SourceInput::Files { pattern, .. } => self.always("file", quoted(pattern)),
            SourceInput::Stdin => self.always("stdin", "true".to_owned()),
            SourceInput::Program(program) => self.program(program),
        }
        self.differing("header", &source.header, &Header::Keep, |header| text::header(*header));
        self.differing("framing", &source.framing, &super::Framing::Lines, |framing| quoted(framing.word()));
        self.place(&source.place);
    }

    fn stage(&mut self, stage: &Stage, line: bool) {
        self.table("stage", &stage.name);
        self.from(&stage.from, line);
        self.program(&stage.program);
        self.differing("mode", &stage.mode.word(), &"batch", |word| quoted(word));
        self.differing("ok_exit", &stage.ok_exit, &vec![0], |exits| format!("{exits:?}"));
        self.count("partitions", stage.partitions);
        self.partition_by(stage.partition_by.as_ref());
        match &stage.mode {
            Mode::Batch(batch) => self.batch(batch),
            Mode::Stream(stream) => self.stream(stream),
            Mode::Records(records) => self.records(records, stage.partition_by.is_some()),
        }
        self.differing("timeout", &stage.timeout, &default_timeout(&stage.mode), |timeout| {
            timeout.map_or_else(|| quoted("off"), |timeout| quoted(&format_duration(timeout)))
        });
        self.differing("framing", &stage.framing_out, &stage.framing_in, |framing| quoted(framing.word()));
        self.place(&stage.place);
    }

    fn sink(&mut self, sink: &Sink, line: bool) {
        self.table("sink", &sink.name);
        self.from(&sink.from, line);
        let path = |path: &Path| self.pipeline.shown_path(path).to_string_lossy().into_owned();
        match &sink.target {
            SinkTarget::File { path: file, exists, .. } => {
                self.always("file", quoted(&path(file)));
                self.exists(*exists);
            }
            SinkTarget::Directory { path: dir, exists, .. } => {
                self.always("file", quoted(&format!("{}/", path(dir).trim_end_matches('/'))));
                self.exists(*exists);
            }
            SinkTarget::Stdout => self.always("stdout", "true".to_owned()),
            SinkTarget::Program(program) => self.program(program),
        }
        self.count("partitions", sink.partitions);
        self.partition_by(sink.partition_by.as_ref());
        self.place(&sink.place);
    }

    fn exists(&mut self, exists: Exists) {
        self.differing("exists", &exists, &Exists::Error, |exists| text::exists(*exists));
    }

    fn program(&mut self, program: &Program) {
        self.always("run", text::argv(program));
        if self.full || program.cwd != self.pipeline.dir {
            self.always("cwd", text::cwd(self.pipeline, program));
        }
        if !program.env.is_empty() {
            self.always("env", text::environment(self.pipeline, &program.env));
        }
        self.differing("clear_env", &program.clear_env, &false, bool::to_string);
    }

    fn batch(&mut self, batch: &BatchMode) {
        let default = default_batch_mode();
        let limits = (batch.max_bytes, batch.max_records, batch.linger);
        self.differing(
            "batch",
            &limits,
            &(default.max_bytes, default.max_records, default.linger),
            |limits| {
                let records =
                    limits.1.map_or_else(String::new, |records| format!("max_records = {records}, "));
                let (bytes, linger) = (format_size(limits.0), format_duration(limits.2));
                format!("{{ max_bytes = {}, {records}linger = {} }}", quoted(&bytes), quoted(&linger))
            },
        );
        self.failures((&batch.retry, batch.on_error, &batch.max_dead));
    }

    fn failures(&mut self, (retry, on_error, max_dead): (&Retry, OnError, &MaxDead)) {
        let default = default_batch_mode();
        self.differing("retry", retry, &default.retry, |retry| {
            let (initial, max) = (format_duration(retry.initial), format_duration(retry.max));
            let attempts = retry.max_attempts;
            format!("{{ max_attempts = {attempts}, initial = {}, max = {} }}", quoted(&initial), quoted(&max))
        });
        self.differing("on_error", &on_error, &default.on_error, |on_error| {
            quoted(match on_error {
                OnError::DeadLetter => "dead-letter",
                OnError::Halt => "halt",
            })
        });
        self.differing("max_dead", max_dead, &default.max_dead, |max_dead| match max_dead {
            MaxDead::Records(records) => records.to_string(),
            MaxDead::Share(share) => quoted(&format_share(*share)),
            MaxDead::Unlimited => quoted("100%"),
        });
    }

    fn stream(&mut self, stream: &StreamMode) {
        if let Some(window) = stream.window {
            self.always("window", text::window(window));
        }
        self.differing("early_exit", &stream.early_exit, &EarlyExit::Error, |exit| quoted(exit.word()));
        let default = default_stream_mode().replay_limit_bytes;
        self.differing("replay_limit", &stream.replay_limit_bytes, &default, |bytes| {
            quoted(&format_size(*bytes))
        });
    }

    fn records(&mut self, records: &RecordsMode, is_keyed: bool) {
        let default = default_records_mode();
        self.differing("in_flight", &records.in_flight, &default.in_flight, u64::to_string);
        if let Some(tick) = records.tick {
            self.always("tick", quoted(&format_duration(tick)));
        }
        if is_keyed {
            self.differing("state", &records.state, &default.state, |state| quoted(state.word()));
            let default = &default.state_budget_bytes;
            self.differing("state_budget", &records.state_budget_bytes, default, |bytes| {
                quoted(&format_size(*bytes))
            });
        }
        self.failures((&records.retry, records.on_error, &records.max_dead));
    }

    fn partition_by(&mut self, rule: Option<&KeyRule>) {
        if let Some(rule) = rule {
            self.always("partition_by", text::rule(rule));
        }
    }

    fn from(&mut self, from: &[Origin], line: bool) {
        let names: Vec<&str> = from.iter().map(|&origin| self.pipeline.origin_name(origin)).collect();
        match names.as_slice() {
            _ if line => {}
            [one] => self.always("from", quoted(one)),
            several => self.always("from", list(several.iter().copied())),
        }
    }

    fn place(&mut self, place: &[PlaceName]) {
        if !place.is_empty() {
            self.always("place", list(place.iter().map(|name| name.node.as_str())));
        }
    }

    fn count(&mut self, key: &str, count: Option<u32>) {
        if let Some(count) = count {
            self.always(key, count.to_string());
        }
    }

    fn table(&mut self, kind: &str, name: &str) {
        self.lines.push(format!("\n[{kind}.{}]", quoted_key(name)));
    }

    fn differing<T: PartialEq>(&mut self, key: &str, value: &T, default: &T, text: impl Fn(&T) -> String) {
        if self.full || value != default {
            self.always(key, text(value));
        }
    }

    fn always(&mut self, key: &str, value: String) {
        self.lines.push(format!("{key} = {value}"));
    }

    /// Whether `from` can be left out: one source, each stage reads from the one before, one sink.
    fn is_straight_line(&self) -> bool {
        let pipeline = self.pipeline;
        let before = |index: usize| match index {
            0 => Origin::Source(0),
            index => Origin::Stage(index - 1),
        };
        pipeline.sources.len() == 1
            && pipeline.stages.iter().enumerate().all(|(index, stage)| stage.from == [before(index)])
            && matches!(pipeline.sinks.as_slice(), [sink] if sink.from == [before(pipeline.stages.len())])
    }
}
