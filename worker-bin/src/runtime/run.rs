//! A run from its first action to its last.

use super::cell::End;
use super::durable::Durable;
use super::ended::{Ended, RunError, Summary, system};
use super::engine::Engine;
use super::open::Opened;
use super::options::Options;
use super::signals::{SIGXCPU, Signals};
use crate::awake::Countdown;
use crate::child::{Launcher, Manner, STOP_GRACE};
use crate::explain::RunState;
use crate::pipeline::plan::Plan;
use std::time::Duration;

/// How long the end of a run waits for readers of taps that have not got everything.
const TAPS_PATIENCE: Duration = Duration::from_millis(300);

/// Of standard output, whose reader has gone.
pub(crate) const SIGPIPE: i32 = 13;

/// How a run ends that was drained.
pub(crate) const DRAINED: &str = "drained: no new input was taken, and what was taken is delivered";

/// What an order to stop counts as.
const SIGTERM: i32 = 15;

/// Runs the tasks of this node until the input ends, the pipeline fails or the user stops it; children are gone and connections
/// closed when it returns.
///
/// # Errors
/// [`RunError`], if it could not begin.
pub async fn run(
    plan: Plan,
    opened: Opened,
    durable: Option<Durable>,
    launcher: Launcher,
    options: Options,
) -> Result<Ended, RunError> {
    let mut signals = Signals::new().map_err(|e| system("listen for signals", e))?;
    let (drain_timeout, keeps_state) = (options.drain_timeout, durable.is_some());
    // Of a stop that takes long: programs that still run are asked to end in it.
    let last_part = (drain_timeout / 4).min(STOP_GRACE);
    let (mut engine, mut ended) =
        Box::pin(Engine::start(plan, opened, durable, launcher.clone(), options)).await?;
    let asked = engine.ends();
    let mut interrupted = None;
    let mut drains = false;
    let mut deadline: Option<Countdown> = None;
    let (result, manner) = loop {
        let late = async {
            match &mut deadline {
                Some(countdown) => countdown.over().await,
                None => std::future::pending().await,
            }
        };
        let (signal, hurries) = tokio::select! {
            end = &mut ended => break by_itself(end.unwrap_or(End::Stopped(2))),
            signal = signals.next() => (signal, signal != SIGXCPU),
            () = asked.stop.notified() => (SIGTERM, false),
            () = asked.drain.notified() => {
                if interrupted.is_none() && !std::mem::replace(&mut drains, true) {
                    tracing::warn!("draining: sources end here, and all that was taken is delivered; a stop leaves what is not begun");
                    engine.finish();
                }
                continue;
            }
            () = asked.end_drain.notified() => {
                if drains && deadline.is_none() {
                    deadline = Some(Countdown::new(drain_timeout - last_part));
                    engine.drain();
                }
                continue;
            }
            () = asked.stop_now.notified() => break (End::Stopped(interrupted.unwrap_or(SIGTERM)), None),
            () = engine.driver.cell.stop_asked() => (SIGPIPE, false),
            () = late => break (End::Stopped(interrupted.unwrap_or(2)), Some(Manner::Terminate)),
        };
        if interrupted.is_some() || (drains && deadline.is_some()) {
            if hurries {
                break (End::Stopped(signal), None);
            }
            continue;
        }
        interrupted = Some(signal);
        say_stop(signal, keeps_state);
        deadline = Some(Countdown::new(drain_timeout - last_part));
        engine.service.stops();
        engine.drain();
    };
    let mut latest =
        deadline.map_or_else(|| Countdown::new(drain_timeout), |countdown| countdown.longer_by(last_part));
    let hurry = async {
        tokio::select! {
            _ = signals.next_sent() => {}
            () = latest.over() => {}
        }
    };
    let stopping = manner.map(|manner| (manner, hurry));
    let drained = drains && interrupted.is_none();
    Ok(finish(&mut engine, &launcher, result, (interrupted, drained), stopping).await)
}

fn say_stop(signal: i32, keeps_state: bool) {
    if signal == SIGXCPU {
        tracing::warn!(
            "the limit on this process's processor time (ulimit -t) is used up; what ends it at once is the hard limit"
        );
    }
    if signal != SIGPIPE {
        let rest = if keeps_state {
            "what is under way is finished, and what is not begun is kept for the next start"
        } else {
            "what was accepted is finished"
        };
        tracing::warn!("stopping: sources end here, {rest}; once more stops now");
    }
}

/// With how programs that still run are stopped.
fn by_itself(end: End) -> (End, Option<Manner>) {
    let manner = match end {
        End::Finished => Manner::Close,
        End::Failed(_) | End::Stopped(_) => Manner::Terminate,
    };
    (end, Some(manner))
}

/// Ends what is left. Programs that are stopped so get the time that their pipeline gives them, until it is said to hurry; else
/// they are killed at once.
async fn finish(
    engine: &mut Engine,
    launcher: &Launcher,
    result: End,
    (interrupted, drained): (Option<i32>, bool),
    stopping: Option<(Manner, impl Future<Output = ()>)>,
) -> Ended {
    engine.service.stops();
    // A node that was told to end has given up what it waited for: what it waited for until then is the word on it.
    if interrupted.is_some() || drained {
        engine.watch.leave();
    }
    engine.watch.look();
    engine.driver.taps.close();
    // From here on the node decides nothing more: what is stopped below is no end of anything.
    engine.driver.cell.leave();
    engine.watch.leave();
    engine.driver.settle_writes().await;
    engine.watch.recount();
    let held = engine.watch.latest().map_or(0, |last| last.held_records);
    if let Some((manner, hurry)) = stopping {
        engine.driver.leave(launcher, manner, hurry).await;
    }
    engine.driver.stop().await;
    launcher.shutdown().await;
    engine.driver.remove_scratch();
    tokio::time::timeout(Duration::from_secs(5), engine.driver.spill.flush()).await.ok();
    // A poisoned journal, or one on a full disk, has said its last word.
    if let Ok(Err(why)) = tokio::time::timeout(Duration::from_secs(5), engine.driver.close_journals()).await {
        tracing::warn!(why, "the state directory does not know that all is done");
    }
    engine.driver.taps.drained(TAPS_PATIENCE).await;
    let (dead, dead_letters) = engine.driver.dead_letters();
    let (status, keeps) = (engine.driver.cell.status(), engine.driver.keeps());
    let lost = status.lost_records;
    let dropped = status.links.iter().map(|link| link.counters.dropped_records).sum();
    let summary = Summary { dead, dead_letters, lost, dropped, interrupted, held, keeps, drained };
    let (how, result) = match result {
        End::Finished if interrupted.is_some() || (drained && engine.driver.dead.check().is_ok()) => {
            ("stopped", Ok(summary))
        }
        End::Finished => match engine.driver.dead.check() {
            Ok(()) => ("done", Ok(summary)),
            Err(error) => ("failed", Err(RunError::Pipeline { why: error.to_string(), summary })),
        },
        End::Failed(error) => {
            let why = engine.driver.explained(&error.to_string());
            ("failed", Err(RunError::Pipeline { why, summary }))
        }
        End::Stopped(signal) => ("stopped", Err(RunError::Stopped { signal, held, summary })),
    };
    let (state, why) = match &result {
        Ok(_) if how == "done" => (RunState::Done, None),
        Ok(Summary { drained: true, .. }) => (RunState::Stopped, Some(DRAINED.to_owned())),
        Ok(_) => (RunState::Stopped, None),
        Err(RunError::Pipeline { why, .. }) => (RunState::Failed, Some(why.clone())),
        Err(error) => (RunState::Stopped, Some(error.to_string())),
    };
    engine.watch.ended(state, why);
    engine.watch.all_told().await;
    engine.scraper.export().await;
    engine.leave_registry();
    let report = Box::new(engine.final_report());
    engine.progress.finish(&report);
    Ended { result, report }
}
