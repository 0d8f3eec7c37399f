//! `worker stop` and `worker drain`: the end of running workers.

mod drained;

use super::args::{DrainArgs, StopArgs, TargetArgs};
use super::find::{Instance, Target, find, none_any_more};
use super::{FAILED, Failure};
use crate::admin::Changed;
use crate::admin::client::{Client, ClientError};
use crate::admin::registry;
use crate::awake::Countdown;
use crate::cli::exit::say;
use crate::cli::print;
use crate::explain::{Explanation, RunState, Snapshot, words};
use std::process::ExitCode;
use std::time::Duration;

/// Some run has failed.
const FAILED_RUN: u8 = 3;
/// How often it is looked whether a worker has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is said what there is still to do.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// Most waits that are told of a worker that does not end.
const TOLD_MAX: usize = 8;

/// A worker that is told to end.
#[derive(Debug)]
struct Told {
    client: Client,
    /// As it was before.
    was: Snapshot,
}

/// How a worker has ended, as far as that is known here.
#[derive(Debug)]
enum HasEnded {
    As(RunState, Option<String>),
    /// Its entry says nothing: it was killed.
    Dead,
    /// It runs on another machine, and answers no more.
    Silent,
}

/// Orders the end, and waits for it.
pub(super) async fn stop(args: &StopArgs) -> Result<ExitCode, Failure> {
    let order = if args.now { Order::StopNow } else { Order::Stop };
    let told = give(&args.target, order).await?;
    let status = ended(&told, order, args.timeout).await?;
    others(&told, order);
    Ok(ExitCode::from(status))
}

/// Orders that all be delivered, and waits until it is, and the workers have ended.
pub(super) async fn drain(args: &DrainArgs) -> Result<ExitCode, Failure> {
    let told = give(&args.target, Order::Drain).await?;
    others(&told, Order::Drain);
    let together = async {
        drained::end_together(&told).await;
        std::future::pending().await
    };
    let status = tokio::select! {
        status = ended(&told, Order::Drain, args.timeout) => status?,
        () = together => FAILED_RUN,
    };
    Ok(ExitCode::from(status))
}

/// How a worker is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Stop,
    StopNow,
    Drain,
}

impl Order {
    fn path(self) -> &'static str {
        match self {
            Self::Stop => "/api/v1/stop",
            Self::StopNow => "/api/v1/stop/now",
            Self::Drain => "/api/v1/drain",
        }
    }

    /// What the worker does already, if there is nothing to order.
    fn is_done_by(self, worker: &Snapshot) -> Option<&'static str> {
        let drains = worker.drain.is_some();
        let stops = worker.state == RunState::Draining && !drains;
        match self {
            Self::Stop | Self::Drain if stops => Some("stops already"),
            Self::Drain if drains => Some("drains already"),
            Self::Stop | Self::StopNow | Self::Drain => None,
        }
    }
}

/// Waits until all have ended, and says how.
async fn ended(told: &[Told], order: Order, timeout: Option<Duration>) -> Result<u8, Failure> {
    let mut deadline = timeout.map(Countdown::new);
    let mut status = 0;
    for worker in told {
        let late = async {
            match &mut deadline {
                Some(countdown) => countdown.over().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = worker.end() => ended,
            () = late => return Err(still_there(told, order).await),
        };
        let node = &worker.was.node;
        let how = match ended {
            HasEnded::As(RunState::Done, _) => "done".to_owned(),
            HasEnded::As(RunState::Failed, why) => {
                status = FAILED_RUN;
                format!("failed: {}", words::foreign(&why.unwrap_or_default()))
            }
            HasEnded::As(_, Some(why)) => words::foreign(&why),
            HasEnded::As(_, None) => "stopped".to_owned(),
            HasEnded::Dead => {
                status = FAILED_RUN;
                "has died without a word; worker why says what is known".to_owned()
            }
            HasEnded::Silent => "answers no more".to_owned(),
        };
        tell(&format!("node {node} has ended: {how}\n"));
    }
    Ok(status)
}

/// Gives the order to all that are meant, those left out that do it already.
async fn give(target: &TargetArgs, what: Order) -> Result<Vec<Told>, Failure> {
    let Target::Running { instances, notes } = find(target)? else {
        return Err(Failure::new(FAILED, none_any_more()));
    };
    let (mut told, mut errors) = (Vec::new(), notes);
    for Instance { node, client } in instances {
        match order(&client, what).await {
            Ok((did, was)) => {
                tell(&format!("node {}: {did}\n", was.node));
                told.push(Told { client, was });
            }
            Err(error) => errors.push(format!("node {node}: {}", words::foreign(&error.to_string()))),
        }
    }
    if errors.is_empty() {
        return Ok(told);
    }
    let ordered: Vec<&str> = told.iter().map(|worker| worker.was.node.as_str()).collect();
    if !ordered.is_empty() {
        errors.push(format!("told to end: {}", ordered.join(", ")));
    }
    Err(Failure::new(FAILED, errors.join("\n")))
}

async fn order(client: &Client, what: Order) -> Result<(String, Snapshot), ClientError> {
    let was: Snapshot = client.get("/api/v1/status").await?;
    if let Some(already) = what.is_done_by(&was) {
        return Ok((already.to_owned(), was));
    }
    let Changed { did, .. } = client.post(what.path(), String::new()).await?;
    Ok((did, was))
}

impl Told {
    /// Resolves when it has ended, and says now and then what there is still to do.
    async fn end(&self) -> HasEnded {
        let mut said = tokio::time::interval(SAY_EVERY);
        said.tick().await;
        loop {
            if let Some(ended) = self.has_ended().await {
                return ended;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = said.tick() => {
                    if let Ok(now) = self.client.get::<Snapshot>("/api/v1/status").await {
                        let left = words::records(now.held_records);
                        let does = if now.drain.is_some() { "draining" } else { "stopping" };
                        say(&format!("node {} is {does}: {left} not done yet", now.node));
                    }
                }
            }
        }
    }

    async fn has_ended(&self) -> Option<HasEnded> {
        let was = &self.was;
        let here = registry::list().unwrap_or_default();
        let is_it = |entry: &registry::RegistryEntry| {
            (entry.pid, &entry.pipeline, &entry.node) == (was.pid, &was.pipeline, &was.node)
        };
        if let Some(found) = here.into_iter().find(|found| is_it(&found.entry)) {
            return (!found.alive).then(|| match found.entry.last {
                Some(last) => HasEnded::As(last.state, last.end.and_then(|end| end.why)),
                None => HasEnded::Dead,
            });
        }
        match self.client.get::<Snapshot>("/api/v1/status").await {
            Ok(now) => (now.pid != was.pid).then_some(HasEnded::Silent),
            Err(ClientError::Unreachable { .. }) => Some(HasEnded::Silent),
            Err(
                ClientError::Stopped { .. }
                | ClientError::Refused { .. }
                | ClientError::Strange { .. }
                | ClientError::Untrusted { .. },
            ) => None,
        }
    }
}

/// Who has not ended in time, and why.
async fn still_there(told: &[Told], order: Order) -> Failure {
    let mut why = Vec::new();
    for worker in told {
        if worker.has_ended().await.is_some() {
            continue;
        }
        why.push(format!("node {} has not ended yet", worker.was.node));
        match worker.client.get::<Explanation>("/api/v1/why").await {
            Ok(explanation) => {
                why.push(words::explanation(&explanation, TOLD_MAX).trim_end().to_owned());
            }
            Err(error) => why.push(words::foreign(&error.to_string())),
        }
    }
    let next = match order {
        Order::Stop | Order::StopNow => {
            "worker stop waits for it once more, and worker stop --now ends it at once"
        }
        Order::Drain => "worker drain waits for it once more, and worker stop does not wait for all of it",
    };
    why.push(next.to_owned());
    Failure::new(FAILED, why.join("\n"))
}

/// Whether it is read or not: the order counts.
fn tell(text: &str) {
    let _said = print(text);
}

/// What becomes of the nodes that were not told.
fn others(told: &[Told], order: Order) {
    let is_told = |name: &String| told.iter().any(|worker| worker.was.node == *name);
    let mut names: Vec<&str> = told
        .iter()
        .flat_map(|worker| &worker.was.nodes)
        .filter(|name| !is_told(name))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() && order == Order::Drain {
        say(&format!(
            "the other nodes ({}) go on, and what their sources give may still come; --cluster FILE drains all of them",
            names.join(", ")
        ));
    } else if !names.is_empty() {
        say(&format!(
            "the other nodes ({}) go on, hold what is meant for a node that is away, and send it when that is started again; \
             --cluster FILE stops all of them",
            names.join(", ")
        ));
    }
}
