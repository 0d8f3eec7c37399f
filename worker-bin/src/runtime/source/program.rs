//! A source that is a program: its life, its end, and its next life where it is restarted.
//!
//! ```text
//!   runs ──ends well──▶ at its end; or, restart = "always", waits
//!    │ ▲ ──fails──────▶ the pipeline fails; or, restart = "on-failure" or "always", waits
//!    │ └──1 s, doubled at each failure, up to 1 min── waits
//!    └──told to stop: SIGTERM──▶ is read to its end, however it ends
//! ```
//! A last record without its end counts if the program ends well, and else is left out: nobody can know whether it is whole.

use super::{Left, Reading};
use crate::child::{Manner, PipedChild, Program, StopOrder, start_source};
use crate::io::source::{Progress, SourceOptions, SourceReader as _, StreamSource};
use crate::pipeline::Restart;
use crate::runtime::measure::ProgramRun;
use bytes::Bytes;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use worker_core::event::Failure;

const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A program whose output is read.
#[derive(Debug)]
pub(in crate::runtime) struct ProgramInput {
    program: Arc<Program>,
    restart: Restart,
    options: SourceOptions,
    /// Where what was given so far ends, also in earlier lives of the worker.
    position: Option<Bytes>,
    order: Arc<StopOrder>,
}

/// One life of the program.
struct Life {
    child: PipedChild,
    run: ProgramRun,
}

/// What one life came to.
enum Came {
    /// Nothing follows; `true`: that was all there is.
    ToItsEnd(bool),
    /// Another one is due, after this failure if it was one.
    ToAnother(Option<String>),
}

impl ProgramInput {
    pub(in crate::runtime) fn new(
        program: Program,
        restart: Restart,
        options: SourceOptions,
        position: Option<Bytes>,
    ) -> Self {
        Self { program: Arc::new(program), restart, options, position, order: Arc::new(StopOrder::new()) }
    }

    pub(super) fn order(&self) -> Arc<StopOrder> {
        Arc::clone(&self.order)
    }

    /// Runs the program, again and again where that is wanted; says whether its output is at its end.
    pub(super) fn run(mut self, reading: &mut Reading) -> Result<bool, String> {
        let (mut failures, mut starts) = (0_u32, 0_u32);
        loop {
            if reading.is_stopped() {
                return Ok(false);
            }
            starts += 1;
            let begun = Instant::now();
            let why = match self.live(reading, starts)? {
                Came::ToItsEnd(complete) => return Ok(complete),
                Came::ToAnother(why) => why,
            };
            if why.is_none() || begun.elapsed() >= WAIT_MAX {
                failures = 0;
            }
            failures += u32::from(why.is_some());
            let wait = wait(failures);
            let what = why.unwrap_or_else(|| format!("{} has ended", self.program.stage));
            tracing::warn!(why = what, "the program is started again in {} s", wait.as_secs());
            reading.context.reporter.restarts(Some((wait, failures, what)));
            let goes_on = reading.wait_until(Instant::now() + wait);
            reading.context.reporter.restarts(None);
            if !goes_on {
                return Ok(false);
            }
        }
    }

    fn live(&mut self, reading: &mut Reading, starts: u32) -> Result<Came, String> {
        let (mut source, mut life) = match self.start(reading, starts) {
            Ok(started) => started,
            Err(failure) => return self.after_failure(reading, failure.message),
        };
        if let Some(position) = &self.position {
            source = source.resume(position).map_err(|e| e.to_string())?;
        }
        let before = if starts == 1 { Progress::default() } else { source.progress() };
        let left = self.read(reading, &mut source, &life.child, before)?;
        life.child.is_read(true);
        if left == Left::Stopped || source.is_full() || reading.rest.is_full() {
            // What it would still print is not wanted: with nobody to read it, it does not wait for that.
            self.order.stop(Manner::Terminate);
            drop(source);
            self.wait(reading, &mut life).ok();
            return Ok(Came::ToItsEnd(left == Left::AtItsEnd));
        }
        let result = self.wait(reading, &mut life);
        self.take_last(reading, &mut source, result.is_ok())?;
        self.position = source.position();
        match result {
            _ if reading.is_stopped() => Ok(Came::ToItsEnd(false)),
            Ok(()) if self.restart == Restart::Always => Ok(Came::ToAnother(None)),
            Ok(()) => Ok(Came::ToItsEnd(true)),
            Err(failure) => self.after_failure(reading, failure.message),
        }
    }

    fn after_failure(&self, reading: &Reading, why: String) -> Result<Came, String> {
        match self.restart {
            _ if reading.is_stopped() => Ok(Came::ToItsEnd(false)),
            Restart::Never => Err(why),
            Restart::OnFailure | Restart::Always => Ok(Came::ToAnother(Some(why))),
        }
    }

    fn start(&self, reading: &Reading, starts: u32) -> Result<(StreamSource, Life), Failure> {
        let context = &reading.context;
        let env = crate::child::TaskEnv { attempt: starts, ..context.env.clone() };
        let mut run = context.reporter.program();
        let reporter = context.reporter.clone();
        let on_stopped = move |stopped| reporter.idle(stopped);
        let start = start_source(&context.launcher, Arc::clone(&self.program), &env, &self.order, on_stopped);
        let started = context.runtime.block_on(start);
        if started.is_err() {
            run.ended(&started);
        }
        let (stdout, child) = started?;
        let (name, stop) = (self.program.stage.clone(), reading.stop.clone());
        let source = StreamSource::new(OwnedFd::from(stdout), name, &self.options, stop);
        Ok((source.holding_the_last(), Life { child, run }))
    }

    /// Reads until the program has closed its output, also when it was told to stop.
    fn read(
        &self,
        reading: &mut Reading,
        source: &mut StreamSource,
        child: &PipedChild,
        mut last: Progress,
    ) -> Result<Left, String> {
        let may_read = |reading: &mut Reading| {
            child.is_read(false);
            let may = reading.may_read(true);
            child.is_read(may);
            may
        };
        while may_read(reading) {
            match reading.has_some(source, &mut last)? {
                false if source.was_stopped() => break,
                false => {
                    // The next life begins with it: the core waits for what it has permitted.
                    reading.permits += 1;
                    return Ok(Left::AtItsEnd);
                }
                true => {
                    if !reading.give() {
                        break;
                    }
                }
            }
        }
        Ok(Left::Stopped)
    }

    /// What had no end.
    fn take_last(
        &self,
        reading: &mut Reading,
        source: &mut StreamSource,
        counts: bool,
    ) -> Result<(), String> {
        if counts {
            while let Some(batch) = source.last_record().map_err(|e| e.to_string())? {
                if !reading.give_at_once(batch, source) {
                    break;
                }
            }
        } else {
            let bytes = source.leave_last_out();
            if bytes > 0 {
                tracing::warn!(bytes, "the program ended in the middle of a record, which is left out");
            }
        }
        Ok(())
    }

    fn wait(&self, reading: &Reading, Life { child, run }: &mut Life) -> Result<(), Failure> {
        let result = reading.context.runtime.block_on(child.wait());
        if !reading.is_stopped() {
            run.ended(&result);
        }
        result
    }
}

/// How long to wait before the program is started again, after so many failures one after the other.
fn wait(failures: u32) -> Duration {
    (WAIT_MIN * 2_u32.pow(failures.saturating_sub(1).min(6))).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_with_each_failure_up_to_a_minute() {
        let waits: Vec<u64> = (0..9).map(|failures| wait(failures).as_secs()).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
