//! One record on its way through this node, and what comes of it, as spans: when it came, was taken, was done with, was appended
//! and durable, was sent and acknowledged.
//!
//! With the filter [`TARGET`]`=trace` one record at a time is followed, a new one no sooner than [`BEGIN_EVERY`] after the last. The
//! span `record` is its whole way; within it there is one for each task, and in that an event for each step. The node is looked at
//! under its lock after every input, so that no step is missed. Without the filter an input costs the look at a flag.

use crate::mutex::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::{Level, Span, trace, trace_span};
use worker_core::Node;
use worker_core::config::{Graph, TaskId, TaskKind, TaskName};
use worker_core::event::{
    Action, Body, Commit, CommitId, ConnEvent, Event, JournalAction, TaskAction, TaskEvent,
};
use worker_proto::{Frame, LinkId, Seq};

/// What a filter names.
pub(super) const TARGET: &str = "worker_record";

/// How often at most a record begins to be followed.
const BEGIN_EVERY: Duration = Duration::from_secs(1);

/// One that is not at its end by then is left.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

/// Follows a record.
#[derive(Debug)]
pub(super) struct Tracer {
    graph: Arc<Graph>,
    journaled: bool,
    journey: Mutex<Option<Journey>>,
}

/// What a driver has done, of which the node is not told.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// A program was asked about records of a link.
    Asked { link: LinkId, first: Seq, records: u64 },
    /// A commit was appended to its journal.
    Appended { task: TaskId, commit: CommitId },
}

/// The way of one record.
#[derive(Debug)]
struct Journey {
    begun: Instant,
    last: Instant,
    span: Span,
    hops: Vec<Hop>,
    is_over: bool,
}

/// What becomes of it at one task.
#[derive(Debug)]
struct Hop {
    task: TaskId,
    came_by: Option<(LinkId, Seq)>,
    commit: Option<CommitId>,
    /// What its task has made of it first.
    gave: Option<(LinkId, Seq)>,
    span: Span,
    seen: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Read,
    Came,
    Taken,
    Asked,
    Done,
    Appended,
    Durable,
    Sent,
    Acknowledged,
}

impl Step {
    fn words(self) -> &'static str {
        match self {
            Self::Read => "read, and asked to be committed",
            Self::Came => "came",
            Self::Taken => "taken by its task",
            Self::Asked => "given to the program",
            Self::Done => "done with, and asked to be committed",
            Self::Appended => "commit appended",
            Self::Durable => "commit durable",
            Self::Sent => "what came of it is sent",
            Self::Acknowledged => "what came of it is acknowledged",
        }
    }
}

impl Tracer {
    pub(super) fn new(graph: Arc<Graph>, journaled: bool) -> Self {
        Self { graph, journaled, journey: Mutex::default() }
    }

    /// Whether anybody wants to know.
    #[inline]
    pub(super) fn is_on() -> bool {
        tracing::enabled!(target: TARGET, Level::TRACE)
    }

    /// The node is about to be told.
    #[cold]
    pub(super) fn told(&self, event: &Event) {
        match event {
            Event::Conn(_, ConnEvent::Frame(Frame::Batch(frame))) => {
                self.begin(|all| all.hop_to(frame.link, frame.first_seq));
            }
            Event::Task(task, TaskEvent::Persisted { commit }) => {
                self.of_commit(*task, *commit, Step::Durable);
            }
            Event::Conn(..) | Event::Link(..) | Event::Task(..) | Event::Node(_) => {}
        }
    }

    /// The node asks for it.
    #[cold]
    pub(super) fn asked_for(&self, action: &Action) {
        let Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) = action else { return };
        if matches!(self.graph.task(*task).kind, TaskKind::Source) && first_given(commit).is_some() {
            self.begin(|all| all.hop(*task, None));
        }
        self.with(|journey| {
            let covers = |(link, seq): (LinkId, Seq)| {
                commit.inputs.iter().any(|input| input.link == link && input.through >= seq)
            };
            let is_next =
                |hop: &Hop| hop.task == *task && hop.commit.is_none() && hop.came_by.is_none_or(covers);
            let Some(at) = journey.hops.iter().position(is_next) else { return };
            let (hop, gave) = (&mut journey.hops[at], first_given(commit));
            (hop.commit, hop.gave) = (Some(commit.id), gave);
            let step = if hop.came_by.is_none() { Step::Read } else { Step::Done };
            journey.step(at, step);
            if let Some((link, seq)) = gave {
                let next = self.hop_to(link, seq);
                journey.add(next, &self.graph);
            }
        });
    }

    /// A driver has done it.
    #[cold]
    pub(super) fn mark(&self, mark: Mark) {
        match mark {
            Mark::Appended { task, commit } => self.of_commit(task, commit, Step::Appended),
            Mark::Asked { link, first, records } => self.with(|journey| {
                let is_of = |hop: &Hop| {
                    hop.came_by
                        .is_some_and(|(by, seq)| by == link && first <= seq && seq < first.plus(records))
                };
                if let Some(at) = journey.hops.iter().position(is_of) {
                    journey.step(at, Step::Asked);
                }
            }),
        }
    }

    /// The node was told of something, and what follows from it is done.
    #[cold]
    pub(super) fn look(&self, node: &Node) {
        self.with(|journey| {
            for at in 0..journey.hops.len() {
                let Hop { came_by, gave, .. } = journey.hops[at];
                let came = came_by.and_then(|(link, seq)| Some((node.inbox(link)?, seq)));
                let gave = gave.and_then(|(link, seq)| Some((node.outbox(link)?, seq)));
                let steps = [
                    (Step::Came, came.is_some_and(|(inbox, seq)| inbox.received() >= seq)),
                    (Step::Taken, came.is_some_and(|(inbox, seq)| inbox.next_queued() > seq)),
                    (Step::Sent, gave.is_some_and(|(outbox, seq)| outbox.cursor() >= seq)),
                    (Step::Acknowledged, gave.is_some_and(|(outbox, seq)| outbox.through() >= seq)),
                ];
                steps.into_iter().filter(|(_, holds)| *holds).for_each(|(step, _)| journey.step(at, step));
            }
            let is_over = journey.hops.iter().all(|hop| hop.is_over(node, self.journaled));
            if is_over && !std::mem::replace(&mut journey.is_over, true) {
                let us = micros(journey.begun);
                trace!(target: TARGET, parent: &journey.span, us, "at its end on this node");
            }
        });
    }

    /// Begins to follow a record, unless one is followed.
    fn begin(&self, first: impl FnOnce(&Self) -> Hop) {
        let mut journey = lock(&self.journey);
        let now = Instant::now();
        let is_free = journey.as_ref().is_none_or(|journey| {
            let wait = if journey.is_over { BEGIN_EVERY } else { FOLLOWED_MAX };
            now.duration_since(journey.begun) >= wait
        });
        if is_free {
            let span = trace_span!(target: TARGET, parent: None, "record");
            let new =
                journey.insert(Journey { begun: now, last: now, span, hops: Vec::new(), is_over: false });
            new.add(first(self), &self.graph);
        }
    }

    fn with(&self, f: impl FnOnce(&mut Journey)) {
        if let Some(journey) = lock(&self.journey).as_mut().filter(|journey| !journey.is_over) {
            f(journey);
        }
    }

    fn of_commit(&self, task: TaskId, commit: CommitId, step: Step) {
        self.with(|journey| {
            let is_of = |hop: &Hop| hop.task == task && hop.commit == Some(commit);
            if let Some(at) = journey.hops.iter().position(is_of) {
                journey.step(at, step);
            }
        });
    }

    fn hop_to(&self, link: LinkId, seq: Seq) -> Hop {
        self.hop(self.graph.link(link).to, Some((link, seq)))
    }

    fn hop(&self, task: TaskId, came_by: Option<(LinkId, Seq)>) -> Hop {
        Hop { task, came_by, commit: None, gave: None, span: Span::none(), seen: Vec::new() }
    }
}

impl Journey {
    fn add(&mut self, hop: Hop, graph: &Graph) {
        let TaskName { stage, partition } = TaskName::of(&graph.task(hop.task).name);
        let (by, seq) = match hop.came_by {
            Some((link, seq)) => (graph.link_name(link), seq.0),
            None => (String::new(), 0),
        };
        let span = match hop.came_by {
            Some(_) => trace_span!(target: TARGET, parent: &self.span, "at", stage, partition, by, seq),
            None => trace_span!(target: TARGET, parent: &self.span, "at", stage, partition),
        };
        self.hops.push(Hop { span, ..hop });
    }

    /// Says it once.
    fn step(&mut self, at: usize, step: Step) {
        let Some(hop) = self.hops.get_mut(at) else { return };
        if hop.seen.contains(&step) {
            return;
        }
        hop.seen.push(step);
        let (us, step_us) = (micros(self.begun), micros(self.last));
        self.last = Instant::now();
        trace!(target: TARGET, parent: &hop.span, us, step_us, "{}", step.words());
    }
}

impl Hop {
    /// Nothing more is to come of it; of another node's task nothing is known.
    fn is_over(&self, node: &Node, journaled: bool) -> bool {
        let is_here = self.came_by.is_none_or(|(link, _)| node.inbox(link).is_some());
        let is_durable = !journaled || self.seen.contains(&Step::Durable);
        let is_gone = self.gave.is_none() || self.seen.contains(&Step::Acknowledged);
        !is_here || (self.commit.is_some() && is_durable && is_gone)
    }
}

fn first_given(commit: &Commit) -> Option<(LinkId, Seq)> {
    let is_record = |body: &Body| body.records() > body.boundaries();
    commit.outputs.iter().find(|(_, chunk)| is_record(&chunk.body)).map(|(first, chunk)| (chunk.link, *first))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
