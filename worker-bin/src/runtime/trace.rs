//! One record on its way through this node, and what comes of it, as spans: when it came, was taken, was given to a program and that
//! ended, was done with, was appended and durable, was sent and acknowledged.
//!
//! With the filter [`TARGET`]`=trace` one record at a time is followed, a new one no sooner than [`BEGIN_EVERY`] after the last: one that
//! a source of this node has read, or that another node has sent, which its link and number name on both. The
//! span `record` is its whole way; within it there is one for each task, and in that an event for each step. The node is looked at
//! under its lock after every input, so that no step is missed. Without the filter an input costs the look at a flag.

mod journey;

use crate::mutex::lock;
use journey::{Hop, Journey, Step};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tracing::Level;
use worker_core::Node;
use worker_core::config::{Graph, TaskId, TaskKind};
use worker_core::event::{
    Action, BatchAction, Body, Commit, CommitId, Event, JournalAction, StreamStep, TaskAction, TaskEvent,
    WorkId,
};
use worker_proto::{Frame, LinkId, Seq};

/// What a filter names.
pub(super) const TARGET: &str = "worker_record";

/// How often at most a record begins to be followed.
const BEGIN_EVERY: Duration = Duration::from_secs(1);

/// One that is not at its end by then is left.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether one is to be left: nothing else may happen.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Follows a record.
#[derive(Debug)]
pub(super) struct Tracer {
    graph: Arc<Graph>,
    journaled: bool,
    journey: Arc<Mutex<Option<Journey>>>,
}

/// What a driver has done, of which the node is not told.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// A program was asked about records of a link.
    Asked { link: LinkId, first: Seq, records: u64 },
    /// A program is started over a batch.
    Started { task: TaskId, work: WorkId },
    /// It has ended, well or not.
    Ended { task: TaskId, work: WorkId },
    /// A commit was appended to its journal.
    Appended { task: TaskId, commit: CommitId },
}

impl Tracer {
    pub(super) fn new(graph: Arc<Graph>, journaled: bool) -> Self {
        Self { graph, journaled, journey: Arc::default() }
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
            self.begin(self.graph.link(link).to, Some((link, first)));
        }
    }

    /// The node asks for it.
    #[cold]
    pub(super) fn asked_for(&self, node: &Node, action: &Action) {
        match action {
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                if matches!(self.graph.task(*task).kind, TaskKind::Source) && first_given(commit).is_some() {
                    self.begin(*task, None);
                }
                self.with(|journey| self.persists(journey, *task, commit));
            }
            Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) => self.with(|journey| {
                let has = |hop: &Hop| {
                    hop.task == *task
                        && hop.commit.is_none()
                        && hop.came_by.is_some_and(|it| node.has_in_hand(*task, it))
                };
                if let Some(at) = journey.find(has) {
                    journey.run(at, run.work);
                }
            }),
            Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => {}
        }
    }

    fn persists(&self, journey: &mut Journey, task: TaskId, commit: &Commit) {
        let covers = |(link, seq): (LinkId, Seq)| {
            commit.inputs.iter().any(|input| input.link == link && input.through >= seq)
        };
        let is_next = |hop: &Hop| hop.task == task && hop.commit.is_none() && hop.came_by.is_none_or(covers);
        // What the program of a stream has made of what an earlier commit has as given to it.
        let has_printed = |hop: &Hop| hop.task == task && hop.has(Step::Admitted) && !hop.has(Step::Printed);
        let gave = first_given(commit);
        let (at, step) = match &commit.stream {
            Some(StreamStep::Admit { .. }) => (journey.find(is_next), Step::Admitted),
            Some(StreamStep::Done { .. }) if gave.is_none() => (journey.find(has_printed), Step::Ended),
            Some(StreamStep::Printed { .. } | StreamStep::Done { .. }) => {
                (journey.find(has_printed).filter(|_| gave.is_some()), Step::Printed)
            }
            Some(StreamStep::Cut { .. }) => return,
            None if journey.find(is_next).is_some_and(|at| journey.hops[at].came_by.is_none()) => {
                (journey.find(is_next), Step::Read)
            }
            None => (journey.find(is_next), Step::Done),
        };
        let Some(at) = at else { return };
        let hop = &mut journey.hops[at];
        (hop.commit, hop.gave) = (hop.commit.or(Some(commit.id)), gave);
        journey.step(at, step);
        if let Some((link, seq)) = gave {
            journey.hops[at].gave_by = self.graph.link_name(link);
            journey.add(self.graph.link(link).to, Some((link, seq)), &self.graph);
        }
    }

    /// A driver has done it.
    #[cold]
    pub(super) fn mark(&self, mark: Mark) {
        let runs = |work: WorkId, task: TaskId| move |hop: &Hop| hop.task == task && hop.work == Some(work);
        self.with(|journey| {
            let (at, step) = match mark {
                Mark::Appended { task, commit } => {
                    let is_of = |hop: &Hop| hop.task == task && hop.commit == Some(commit);
                    (journey.find(is_of), Step::Appended)
                }
                Mark::Asked { link, first, records } => {
                    let is_of =
                        |(by, seq): (LinkId, Seq)| by == link && first <= seq && seq < first.plus(records);
                    (journey.find(|hop| hop.came_by.is_some_and(is_of)), Step::Asked)
                }
                Mark::Started { task, work } => (journey.find(runs(work, task)), Step::Asked),
                Mark::Ended { task, work } => (journey.find(runs(work, task)), Step::Ended),
            };
            if let Some(at) = at {
                journey.step(at, step);
            }
        });
    }

    /// The node was told of something, and what follows from it is done.
    #[cold]
    pub(super) fn look(&self, node: &Node) {
        self.with(|journey| journey.look(node));
    }

    /// Begins to follow a record of which the node has heard, unless one is followed.
    fn begin(&self, task: TaskId, came_by: Option<(LinkId, Seq)>) {
        let mut journey = lock(&self.journey);
        let now = Instant::now();
        let is_free = journey.as_ref().is_none_or(|journey| {
            let wait = if journey.is_over { BEGIN_EVERY } else { FOLLOWED_MAX };
            now.duration_since(journey.begun) >= wait
        });
        if is_free {
            journey.insert(Journey::begin(now, self.journaled)).add(task, came_by, &self.graph);
            let weak = Arc::downgrade(&self.journey);
            let thread = std::thread::Builder::new().name("record".into());
            if let Err(error) = thread.spawn(move || look_after(&weak, now)) {
                tracing::debug!(%error, "a record that stays somewhere is left when the next one comes");
            }
        }
    }

    fn with(&self, f: impl FnOnce(&mut Journey)) {
        if let Some(journey) = lock(&self.journey).as_mut().filter(|journey| !journey.is_over) {
            f(journey);
        }
    }

    fn of_commit(&self, task: TaskId, commit: CommitId, step: Step) {
        self.with(|journey| {
            if let Some(at) = journey.find(|hop| hop.task == task && hop.commit == Some(commit)) {
                journey.step(at, step);
            }
        });
    }
}

/// Leaves the record that was begun then, when it is time to.
fn look_after(journey: &Weak<Mutex<Option<Journey>>>, begun: Instant) {
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(journey) = journey.upgrade() else { return };
        match lock(&journey).as_mut().filter(|journey| journey.begun == begun) {
            Some(journey) => journey.rest(),
            None => return,
        }
        if lock(&journey).as_ref().is_none_or(|journey| journey.is_over || journey.begun != begun) {
            return;
        }
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
