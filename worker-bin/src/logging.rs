//! What is logged, and how; the filter can be changed while the worker runs.
//!
//! Lines within the work on a batch carry it: a span with stage, partition, batch and attempt. Threads of a task have one with
//! stage and partition, connections one with the peer. In the JSON form it is the field `span`.

use crate::mutex::lock;
use crate::otel::Otel;
use crate::stderr;
use crate::text::escape;
use crate::text::harmless::Harmless;
use std::fmt::Debug;
use std::sync::{Mutex, OnceLock};
use tracing::field::{Empty, Field};
use tracing::level_filters::LevelFilter;
use tracing::{Span, error_span};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};
use worker_core::config::TaskName;
use worker_core::event::Failure;

/// The filter there is, as it was said.
static FILTER: Mutex<String> = Mutex::new(String::new());

static STARTED: OnceLock<(reload::Handle<EnvFilter, Registry>, Form)> = OnceLock::new();

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people; colours on a terminal
    #[default]
    Human,
    /// A JSON object a line, for programs
    Json,
}

/// Logs to standard error by `filter`, and tells a collector of spans that pass it; the first call of a process counts.
///
/// # Errors
/// Why the filter is none; nothing is logged then.
pub fn start(filter: &str, form: Form, otel: Option<&Otel>) -> Result<(), String> {
    let said = filter.to_owned();
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = fmt::layer().with_target(false);
    let lines = match form {
        Form::Human => {
            let lines = lines.with_writer(|| stderr::Log(Harmless::coloured));
            let fields = format::debug_fn(field).delimited(" ");
            lines.with_ansi(stderr::colors(&std::io::stderr())).fmt_fields(fields).boxed()
        }
        Form::Json => {
            let lines = lines.with_writer(|| stderr::Log(|line| Harmless::made_json(line.to_owned())));
            let json = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            json.with_target(true).boxed()
        }
    };
    if tracing_subscriber::registry().with(filter).with(lines).with(otel.map(Otel::layer)).try_init().is_ok()
    {
        STARTED.set((handle, form)).ok();
        *lock(&FILTER) = said;
        begin();
    }
    Ok(())
}

/// A field of a line for people: what it quotes of others is of one line, and has no colours of its own.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let text = escape::one_line(format!("{value:?}").as_bytes());
    let name = field.name().trim_start_matches("r#");
    match (name, writer.has_ansi_escapes()) {
        ("message", _) => write!(writer, "{text}"),
        (_, false) => write!(writer, "{name}={text}"),
        (_, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{text}"),
    }
}

/// From now on nobody waits for whoever reads standard error.
pub fn begin() {
    stderr::start(log_line);
}

/// Logs by another filter from now on; behind a `+`, by the one there is with this in it. Gives the one before, and the new one.
///
/// # Errors
/// Why it is none.
pub fn set_filter(filter: &str) -> Result<(String, String), String> {
    let (handle, _) = STARTED.get().ok_or("nothing is logged in this process")?;
    let mut current = lock(&FILTER);
    let new = match filter.strip_prefix('+') {
        None => filter.to_owned(),
        Some(part) => with(&current, part)?,
    };
    handle.reload(parse(&new)?).map_err(|error| error.to_string())?;
    Ok((std::mem::replace(&mut *current, new.clone()), new))
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A filter with a level, `debug`, or that of a part, `worker_net=debug`, in the place of what it says of that.
fn with(filter: &str, part: &str) -> Result<String, String> {
    let (target, level) = part.split_once('=').map_or((None, part), |(target, level)| (Some(target), level));
    // Nothing would be a level, too, and so would a number.
    let is_level = LEVELS.iter().any(|word| word.eq_ignore_ascii_case(level));
    if !is_level || target.is_some_and(str::is_empty) {
        return Err(format!(
            "{part}: expected LEVEL or TARGET=LEVEL, with a level of off, error, warn, info, debug or trace"
        ));
    }
    let is_replaced = |one: &str| match (one.split_once('='), target) {
        (Some((of, _)), Some(target)) => of == target,
        (None, Some(target)) => one == target,
        (None, None) => one.parse::<LevelFilter>().is_ok(),
        (Some(_), None) => false,
    };
    // What has brackets may have commas in them: it stays in its parts, and with them as it was.
    let kept: Vec<&str> = filter.split(',').filter(|one| !is_replaced(one.trim())).collect();
    let all = if target.is_some() { [&kept[..], &[part]].concat() } else { [&[part], &kept[..]].concat() };
    Ok(all.join(","))
}

/// A line on standard error that no filter keeps back, in the form of the log; that it cannot be written is no reason to stop.
pub fn say(text: &str) {
    stderr::say(&log_line(Harmless::text(text.trim_end())));
}

/// A mistake in a file, shown with its colours; what it quotes is escaped already.
pub(crate) fn say_rendered(text: &str) {
    stderr::say(&log_line(Harmless::coloured(text.trim_end())));
}

fn log_line(text: Harmless) -> Harmless {
    match STARTED.get() {
        Some((_, Form::Json)) => Harmless::made_json(said(text.as_str()).to_string()),
        Some((_, Form::Human)) | None => text,
    }
}

fn said(text: &str) -> serde_json::Value {
    let mut now = String::new();
    SystemTime.format_time(&mut Writer::new(&mut now)).ok();
    let level = match text.split_once(':') {
        Some(("error", _)) => "ERROR",
        Some(("warning", _)) => "WARN",
        Some(_) | None => "INFO",
    };
    serde_json::json!({ "timestamp": now, "level": level, "message": text, "target": "worker" })
}

/// What lines about a task carry; `name` is `stage/partition`.
pub(crate) fn task_span(name: &str) -> Span {
    let TaskName { stage, partition } = TaskName::of(name);
    error_span!(parent: None, "task", stage, partition)
}

/// What lines carry about the work on one batch, or window, of a task.
pub(crate) fn batch_span(name: &str, batch: u64, attempt: u32) -> Span {
    let TaskName { stage, partition } = TaskName::of(name);
    let (code, why) = (Empty, Empty);
    error_span!(
        parent: None,
        "batch",
        stage,
        partition,
        batch,
        attempt,
        otel.status_code = code,
        otel.status_description = why
    )
}

/// The work that a span is of has failed.
pub(crate) fn failed<T>(span: &Span, result: &Result<T, Failure>) {
    if let Err(failure) = result {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", failure.message.as_str());
    }
}

/// What lines about a connection carry.
pub(crate) fn peer_span(peer: &str, conn: u64) -> Span {
    error_span!(parent: None, "link", peer, conn)
}

/// Whether it is a filter.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    match filter.strip_prefix('+') {
        None => parse(filter).map(|_| ()),
        Some(part) => with("info", part).map(|_| ()),
    }
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.is_empty() {
        return Err("expected a filter, such as info or worker_bin=debug".to_owned());
    }
    EnvFilter::try_new(filter)
        .map_err(|error| format!("{filter}: {error}; expected a filter such as info or worker_bin=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_an_object_with_time_and_level() {
        for (text, level) in
            [("error: no \u{1b}[31m\"x\"", "ERROR"), ("warning: a: b", "WARN"), ("p: exactly once", "INFO")]
        {
            let line = said(text).to_string();
            assert!(!line.contains('\u{1b}') && !line.contains('\n'), "{line}");
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!((read["level"].as_str(), read["message"].as_str()), (Some(level), Some(text)));
            assert!(read["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
        }
    }

    #[test]
    fn a_level_takes_the_place_of_what_the_filter_says_of_the_same() {
        for (filter, part, expected) in [
            ("info", "debug", "debug"),
            ("info,worker_net=trace", "warn", "warn,worker_net=trace"),
            ("info", "worker_net=debug", "info,worker_net=debug"),
            ("info,worker_net=debug,a=off", "worker_net=info", "info,a=off,worker_net=info"),
            ("worker_bin=debug", "off", "off,worker_bin=debug"),
            ("[task{stage}]=trace,info", "error", "error,[task{stage}]=trace"),
        ] {
            assert_eq!(with(filter, part).as_deref(), Ok(expected), "{filter} {part}");
            assert!(parse(expected).is_ok(), "{expected}");
        }
        for part in ["loud", "", "3", "worker_net=", "worker_net=loud", "=debug", "a=b=c"] {
            assert!(with("info", part).unwrap_err().contains("TARGET=LEVEL"), "{part}");
        }
    }

    #[test]
    fn a_filter_that_is_none_says_what_one_looks_like() {
        for filter in ["", "worker_bin=loud", "a=b=c"] {
            assert!(parse(filter).unwrap_err().contains("worker_bin=debug"), "{filter}");
        }
    }
}
