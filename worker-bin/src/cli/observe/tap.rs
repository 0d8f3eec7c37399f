//! `worker tap`: records as they pass.

use super::args::TapArgs;
use super::find::{Instance, Target, find, none_any_more};
use super::{FAILED, Failure, WRONG};
use crate::admin::Tapped;
use crate::admin::client::{ClientError, Lines, encoded};
use crate::cli::exit::say;
use crate::explain::words;
use crate::stdout::Out;
use crate::text::harmless::Harmless;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often it is looked whether anybody still reads, and at most is said what was left out.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often at most is said what was left out.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Lines of all nodes that wait to be printed.
const LINES_MAX: usize = 64;

/// Shows records of all nodes until the limit, the end of the run, or the end of who reads them.
pub(super) async fn tap(args: &TapArgs) -> Result<ExitCode, Failure> {
    let Target::Running { instances, notes } = find(&args.target)? else {
        return Err(Failure::new(FAILED, none_any_more()));
    };
    notes.iter().for_each(|note| warn(note));
    let (sender, mut lines) = mpsc::channel(LINES_MAX);
    for (node, mut answer) in open(args, &instances).await? {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(line) = answer.next().await {
                if sender.send((node.clone(), line)).await.is_err() {
                    return;
                }
            }
            if answer.is_cut_off() {
                say(&format!("note: node {node} ended before everything that passed was shown"));
            }
        });
    }
    drop(sender);
    let mut shown = Shown::new(args);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    while shown.left > 0 {
        let line = match lines.try_recv() {
            Ok(line) => Some(line),
            Err(_) => {
                if !shown.flush()? {
                    break;
                }
                tokio::select! {
                    line = lines.recv() => line,
                    _ = tick.tick() => {
                        if shown.nobody_reads() {
                            break;
                        }
                        shown.say_skipped(false);
                        continue;
                    }
                }
            }
        };
        let Some((node, line)) = line else { break };
        if !shown.line(&node, &line)? {
            break;
        }
    }
    shown.flush()?;
    shown.say_skipped(true);
    Ok(ExitCode::SUCCESS)
}

/// Asks all nodes; those without a task of the stage are no error as long as another has one.
async fn open(args: &TapArgs, instances: &[Instance]) -> Result<Vec<(String, Lines)>, Failure> {
    let path = path(args);
    let (mut open, mut refused, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for instance in instances {
        match instance.client.lines(&path).await {
            Ok(lines) => open.push((instance.node.clone(), lines)),
            Err(ClientError::Refused { status: StatusCode::NOT_FOUND, why, .. }) => absent.push(why),
            Err(ClientError::Refused { status: StatusCode::BAD_REQUEST, why, .. }) => refused.push(why),
            Err(error) => refused.push(format!("node {}: {error}", instance.node)),
        }
    }
    absent.dedup();
    refused.dedup();
    if open.is_empty() {
        let wrong = refused.is_empty();
        let why: Vec<_> = refused.iter().chain(&absent).map(|why| words::foreign(why)).collect();
        return Err(Failure::new(if wrong { WRONG } else { FAILED }, why.join("\n")));
    }
    refused.iter().for_each(|why| warn(why));
    Ok(open)
}

fn path(args: &TapArgs) -> String {
    let side = if args.input { "in" } else { "out" };
    let mut path = format!("/api/v1/tap/{}?side={side}", encoded(&args.stage));
    if let Some(key) = &args.key {
        write!(path, "&key={}", encoded(key)).ok();
    }
    if let Some(limit) = args.limit {
        write!(path, "&limit={limit}").ok();
    }
    path
}

fn warn(note: &str) {
    say(&format!("warning: {}", words::foreign(note)));
}

/// What is printed, and how.
struct Shown {
    left: u64,
    json: bool,
    out: Out,
    /// Records left out and not spoken of yet.
    skipped: u64,
    said: Option<Instant>,
}

impl Shown {
    fn new(args: &TapArgs) -> Self {
        Self {
            left: args.limit.unwrap_or(u64::MAX),
            json: args.json,
            out: Out::new(),
            skipped: 0,
            said: None,
        }
    }

    /// Prints a line of a node's answer; `false` when nobody reads any more.
    fn line(&mut self, node: &str, line: &[u8]) -> Result<bool, Failure> {
        let strange = |why: &dyn std::fmt::Display| {
            Failure::new(FAILED, format!("node {node} sent what this version does not understand: {why}"))
        };
        let tapped: Tapped = serde_json::from_slice(line).map_err(|error| strange(&error))?;
        let bytes = match &tapped {
            Tapped::Skipped { records } => {
                self.skipped += records;
                self.say_skipped(false);
                if !self.json {
                    return Ok(true);
                }
                Vec::new()
            }
            Tapped::Record { record, record_b64, .. } => {
                self.left -= 1;
                match (record, record_b64) {
                    (Some(text), _) => text.as_bytes().to_vec(),
                    (None, Some(text)) => STANDARD.decode(text).map_err(|error| strange(&error))?,
                    (None, None) => return Err(strange(&"a record without its text")),
                }
            }
        };
        written(if self.json { self.out.line(&of_node(node, &tapped)) } else { self.out.record(&bytes) })
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        written(self.out.flush())
    }

    /// Says how many were left out, now and then.
    fn say_skipped(&mut self, last: bool) {
        let due = last || self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if self.skipped > 0 && due {
            say(&format!(
                "note: {} passed unseen: more come than are taken here, and a tap slows nothing",
                words::records(self.skipped)
            ));
            (self.skipped, self.said) = (0, Some(Instant::now()));
        }
    }

    /// The other end of a pipe is closed.
    fn nobody_reads(&self) -> bool {
        let stdout = rustix::stdio::stdout();
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        let asked = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        asked.is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
    }
}

/// Whether a write found its reader.
fn written(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(FAILED, format!("cannot write to standard output: {error}"))),
    }
}

/// A line of JSON that says which node it is of.
fn of_node(node: &str, tapped: &Tapped) -> Harmless {
    let mut value = serde_json::to_value(tapped).unwrap_or_default();
    if let Some(inner) = value.as_object_mut().and_then(|outer| outer.values_mut().next())
        && let Some(members) = inner.as_object_mut()
    {
        members.insert("node".to_owned(), node.into());
    }
    Harmless::made_json(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_or_key_of_any_bytes_is_one_part_of_a_url() {
        assert_eq!(encoded("per_path-1.x~"), "per_path-1.x~");
        assert_eq!(encoded("/a b?c&d=%é"), "%2Fa%20b%3Fc%26d%3D%25%C3%A9");
    }

    #[test]
    fn a_line_of_json_names_task_and_node() {
        let record =
            Tapped::Record { task: "errors/0".to_owned(), record: Some("a".to_owned()), record_b64: None };
        assert_eq!(
            of_node("b", &record).as_str(),
            r#"{"record":{"node":"b","record":"a","task":"errors/0"}}"#
        );
        let skipped = of_node("b", &Tapped::Skipped { records: 3 });
        assert_eq!(skipped.as_str(), r#"{"skipped":{"node":"b","records":3}}"#);
    }
}
