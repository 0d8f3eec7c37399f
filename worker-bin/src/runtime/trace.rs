//! One record on its way through this node, and what comes of it, as spans: when it came, was taken, was done with, was appended
//! and durable, was sent and acknowledged.
//!
//! With the filter [`TARGET`]`=trace` one record at a time is followed, a new one no sooner than [`BEGIN_EVERY`] after the last: one that
//! a source of this node has read, or that another node has sent, which its link and number name on both. The
//! span `record` is its whole way; within it there is one for each task, and in that an event for each step. The node is looked at
//! under its lock after every input, so that no step is missed. Without the filter an input costs the look at a flag.

use crate::mutex::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::{Level, Span, trace, trace_span};
use worker_core::Node;
use worker_core::config::{Graph, TaskId, TaskKind, TaskName};
use worker_core::event::{Action, Body, Commit, CommitId, Event, JournalAction, TaskAction, TaskEvent};
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
    /// What its task has made of it first, and the name of that link.
    gave: Option<(LinkId, Seq)>,
    gave_by: String,
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
        if let Event::Task(task, TaskEvent::Persisted { commit }) = event {
            self.of_commit(*task, *commit, Step::Durable);
        }
    }

    /// The node was told of a frame whose first tuple this is: it is followed where the node has taken it.
    #[cold]
    pub(super) fn came(&self, node: &Node, (link, first): (LinkId, Seq)) {
        if node.inbox(link).is_some_and(|inbox| inbox.received() >= first) {
            self.begin(|all| all.hop_to(link, first));
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
                journey.hops[at].gave_by = self.graph.link_name(link);
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

    /// Begins to follow a record of which the node has heard, unless one is followed.
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
        Hop {
            task,
            came_by,
            commit: None,
            gave: None,
            gave_by: String::new(),
            span: Span::none(),
            seen: Vec::new(),
        }
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
        match hop.gave.filter(|_| step == Step::Sent) {
            Some((_, Seq(seq))) => {
                trace!(target: TARGET, parent: &hop.span, us, step_us, by = hop.gave_by, seq, "{}", step.words());
            }
            None => trace!(target: TARGET, parent: &hop.span, us, step_us, "{}", step.words()),
        }
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

/// The first record of a frame, if its receiver is here and has not heard of it. Whoever sent it may say anything.
#[cold]
pub(super) fn first_new(node: &Node, frame: &Frame) -> Option<(LinkId, Seq)> {
    let Frame::Batch(frame) = frame else { return None };
    let is_new = node.inbox(frame.link)?.received() < frame.first_seq;
    let is_record = !frame.batch.is_empty() && frame.batch.before_boundary() != Some(0);
    (is_new && is_record).then_some((frame.link, frame.first_seq))
}

fn first_given(commit: &Commit) -> Option<(LinkId, Seq)> {
    let is_record = |body: &Body| body.records() > body.boundaries();
    commit.outputs.iter().find(|(_, chunk)| is_record(&chunk.body)).map(|(first, chunk)| (chunk.link, *first))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use worker_core::Time;
    use worker_core::config::{Limits, LinkSpec, NodeConfig, NodeIx, Retry, TaskSpec};
    use worker_proto::frame::BatchFrame;
    use worker_proto::{Batch, Epoch, Fingerprint, Incarnation};

    const IN: LinkId = LinkId(0);

    /// For the first of so many nodes, which has the sink of a source on the last one.
    pub(in crate::runtime) fn sink_of(nodes: u16) -> NodeConfig {
        let task = |name: &str, node, kind| TaskSpec { name: name.to_owned(), node: NodeIx(node), kind };
        let tasks = vec![task("in/0", nodes - 1, TaskKind::Source), task("out/0", 0, TaskKind::Sink)];
        let links = vec![LinkSpec::new(TaskId(0), TaskId(1))];
        let second = Duration::from_secs(1);
        NodeConfig {
            cluster: "test".to_owned(),
            nodes: (0..nodes).map(|node| node.to_string()).collect(),
            me: NodeIx(0),
            incarnation: Incarnation(1),
            pipeline: Fingerprint(1),
            placement: Fingerprint(1),
            graph: Graph { tasks, links, ..Graph::default() },
            slots: 1,
            limits: Limits {
                credit_bytes: 4096,
                outbox_bytes: 8192,
                spill_bytes: 1 << 20,
                shared_credit_bytes: 0,
            },
            redial: Retry { max_attempts: 1, initial: second, max: second },
            linger: second,
            seed: 1,
        }
    }

    fn frame(link: u32, first: u64, batch: Batch) -> Frame {
        Frame::Batch(BatchFrame { link: LinkId(link), epoch: Epoch(1), first_seq: Seq(first), batch })
    }

    #[test]
    fn a_frame_names_a_record_only_where_its_receiver_is_here_and_has_not_heard_of_it() {
        let node = Node::new(sink_of(2), Time::ZERO);
        let record = || Batch::from_terminated("one\n".into(), b'\n');
        assert_eq!(first_new(&node, &frame(0, 1, record())), Some((IN, Seq(1))));
        for other in [
            frame(0, 0, record()),
            frame(1, 1, record()),
            frame(u32::MAX, 1, record()),
            frame(0, 1, Batch::boundary()),
            frame(0, 1, Batch::empty()),
            Frame::Bye,
        ] {
            assert_eq!(first_new(&node, &other), None, "{other:?}");
        }
    }

    #[test]
    fn what_the_node_does_not_take_is_not_followed() {
        let config = sink_of(2);
        let tracer = Tracer::new(Arc::new(config.graph.clone()), false);
        let node = Node::new(config, Time::ZERO);
        tracer.came(&node, (IN, Seq(1)));
        tracer.came(&node, (LinkId(9), Seq(1)));
        assert!(lock(&tracer.journey).is_none(), "nobody has opened that link");
    }
}
