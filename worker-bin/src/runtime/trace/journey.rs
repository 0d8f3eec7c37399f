//! The way of one record so far: at each task that it, or what came of it, has come to, which steps were seen.

use super::{FOLLOWED_MAX, TARGET};
use std::time::{Duration, Instant};
use tracing::{Span, trace, trace_span};
use worker_core::Node;
use worker_core::config::{Graph, TaskId, TaskKind, TaskName};
use worker_core::event::{CommitId, WorkId};
use worker_proto::{LinkId, Seq};

/// A program that prints nothing for so long behind a record may do so at its end only: what comes of that one is not waited for.
pub(super) const QUIET_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Journey {
    pub(super) begun: Instant,
    pub(super) hops: Vec<Hop>,
    pub(super) is_over: bool,
    last: Instant,
    span: Span,
    /// Its node has journals: commits are asked for, and are durable some time.
    journaled: bool,
}

/// What becomes of it at one task.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) task: TaskId,
    pub(super) came_by: Option<(LinkId, Seq)>,
    pub(super) is_stream: bool,
    /// The run of a batch's program that has it.
    pub(super) work: Option<WorkId>,
    pub(super) commit: Option<CommitId>,
    /// What its task has made of it first, and the name of that link.
    pub(super) gave: Option<(LinkId, Seq)>,
    pub(super) gave_by: String,
    span: Span,
    seen: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    Came,
    Taken,
    Asked,
    /// To a stream's program, by a commit that has it as given.
    Admitted,
    Ended,
    Printed,
    Silent,
    Done,
    Appended,
    Durable,
    Sent,
    Acknowledged,
}

impl Step {
    pub(super) fn words(self, journaled: bool) -> &'static str {
        match (self, journaled) {
            (Self::Read, true) => "read, and asked to be committed",
            (Self::Read, false) => "read",
            (Self::Came, _) => "came",
            (Self::Taken, _) => "taken by its task",
            (Self::Asked, _) => "given to the program",
            (Self::Admitted, _) => "given to the program, and asked to be committed",
            (Self::Ended, _) => "the program ended",
            (Self::Printed, _) => "the program has printed",
            (Self::Silent, _) => "with the program, which has printed nothing since",
            (Self::Done, true) => "done with, and asked to be committed",
            (Self::Done, false) => "done with",
            (Self::Appended, _) => "commit appended",
            (Self::Durable, _) => "commit durable",
            (Self::Sent, _) => "what came of it is sent",
            (Self::Acknowledged, _) => "what came of it is acknowledged",
        }
    }

    /// What was before it, seen or not: looks come between some steps and not between others.
    fn before(self) -> Option<Self> {
        match self {
            Self::Taken => Some(Self::Came),
            Self::Asked | Self::Admitted | Self::Done => Some(Self::Taken),
            Self::Durable => Some(Self::Appended),
            Self::Acknowledged => Some(Self::Sent),
            Self::Read
            | Self::Came
            | Self::Ended
            | Self::Printed
            | Self::Silent
            | Self::Appended
            | Self::Sent => None,
        }
    }
}

impl Journey {
    pub(super) fn begin(now: Instant, journaled: bool) -> Self {
        let span = trace_span!(target: TARGET, parent: None, "record");
        Self { begun: now, last: now, span, hops: Vec::new(), is_over: false, journaled }
    }

    /// It has come to a task.
    pub(super) fn add(&mut self, task: TaskId, came_by: Option<(LinkId, Seq)>, graph: &Graph) {
        let of = graph.task(task);
        let TaskName { stage, partition } = TaskName::of(&of.name);
        let span = match came_by.map(|(link, seq)| (graph.link_name(link), seq.0)) {
            Some((by, seq)) => {
                trace_span!(target: TARGET, parent: &self.span, "at", stage, partition, by, seq)
            }
            None => trace_span!(target: TARGET, parent: &self.span, "at", stage, partition),
        };
        self.hops.push(Hop {
            task,
            came_by,
            is_stream: matches!(of.kind, TaskKind::Stream(_)),
            work: None,
            commit: None,
            gave: None,
            gave_by: String::new(),
            span,
            seen: Vec::new(),
        });
    }

    /// The first hop that is so.
    pub(super) fn find(&self, is: impl Fn(&Hop) -> bool) -> Option<usize> {
        self.hops.iter().position(is)
    }

    /// A run of a program is about to begin that has it: of each it is said when it begins and ends.
    pub(super) fn run(&mut self, at: usize, work: WorkId) {
        if let Some(hop) = self.hops.get_mut(at) {
            hop.work = Some(work);
            hop.seen.retain(|step| !matches!(step, Step::Asked | Step::Ended));
        }
    }

    /// Says it once, behind what was before it.
    pub(super) fn step(&mut self, at: usize, step: Step) {
        let Some(hop) = self.hops.get(at) else { return };
        if hop.seen.contains(&step) || (hop.came_by.is_none() && matches!(step, Step::Came | Step::Taken)) {
            return;
        }
        let came_by = hop.came_by;
        if let Some(before) = step.before().filter(|before| self.journaled || *before != Step::Appended) {
            self.step(at, before);
        }
        // Whoever it comes from has sent it.
        if let Some(from) = self.find(|hop| step == Step::Came && hop.gave == came_by) {
            self.step(from, Step::Sent);
        }
        self.say(at, step);
    }

    fn say(&mut self, at: usize, step: Step) {
        let Some(hop) = self.hops.get_mut(at) else { return };
        hop.seen.push(step);
        let (us, step_us) = (micros(self.begun), micros(self.last));
        self.last = Instant::now();
        let words = step.words(self.journaled);
        match hop.gave.filter(|_| step == Step::Sent) {
            Some((_, Seq(seq))) => {
                trace!(target: TARGET, parent: &hop.span, us, step_us, by = hop.gave_by, seq, "{words}");
            }
            None => trace!(target: TARGET, parent: &hop.span, us, step_us, "{words}"),
        }
    }

    /// The node was told of something, and what follows from it is done.
    pub(super) fn look(&mut self, node: &Node) {
        for at in 0..self.hops.len() {
            let Hop { came_by, gave, is_stream, .. } = self.hops[at];
            let came = came_by.and_then(|(link, seq)| Some((node.inbox(link)?, seq)));
            let gave = gave.and_then(|(link, seq)| Some((node.outbox(link)?, seq)));
            let is_taken = came.is_some_and(|(inbox, seq)| inbox.next_queued() > seq);
            let steps = [
                (Step::Came, came.is_some_and(|(inbox, seq)| inbox.received() >= seq)),
                (Step::Taken, is_taken),
                (Step::Asked, is_taken && is_stream && !self.journaled),
                (Step::Sent, gave.is_some_and(|(outbox, seq)| outbox.cursor() >= seq)),
            ];
            steps.into_iter().filter(|(_, holds)| *holds).for_each(|(step, _)| self.step(at, step));
        }
        // By whom it has come to: behind that.
        for at in 0..self.hops.len() {
            let gave = self.hops[at].gave.and_then(|(link, seq)| Some((node.outbox(link)?, seq)));
            if gave.is_some_and(|(outbox, seq)| outbox.through() >= seq) {
                self.step(at, Step::Acknowledged);
            }
        }
        if self.hops.iter().all(|hop| hop.is_over(node, self.journaled)) {
            self.end("at its end on this node");
        }
    }

    /// Time has passed. What waits for a program that prints nothing is not waited for, so that another record can be followed.
    pub(super) fn rest(&mut self) {
        if self.is_over {
            return;
        }
        let now = Instant::now();
        let is_quiet = now.duration_since(self.last) >= QUIET_MAX;
        let waiting = if is_quiet { self.find(Hop::is_with_program) } else { None };
        if let Some(at) = waiting {
            self.step(at, Step::Silent);
        }
        if waiting.is_some() || now.duration_since(self.begun) >= FOLLOWED_MAX {
            self.end("not followed any further");
        }
    }

    fn end(&mut self, words: &str) {
        if !std::mem::replace(&mut self.is_over, true) {
            trace!(target: TARGET, parent: &self.span, us = micros(self.begun), "{words}");
        }
    }
}

impl Hop {
    pub(super) fn has(&self, step: Step) -> bool {
        self.seen.contains(&step)
    }

    /// Nothing more is to come of it; of another node's task nothing is known.
    fn is_over(&self, node: &Node, journaled: bool) -> bool {
        let is_here = self.came_by.is_none_or(|(link, _)| node.inbox(link).is_some());
        let is_durable = !journaled || self.has(Step::Durable);
        // What a program prints is of a later commit than what it was given.
        let is_printed = !self.has(Step::Admitted) || self.has(Step::Printed) || self.has(Step::Ended);
        let is_gone = self.gave.is_none() || self.has(Step::Acknowledged);
        !is_here || (self.commit.is_some() && is_durable && is_printed && is_gone)
    }

    /// It was given to a stream's program, of which nothing came yet.
    fn is_with_program(&self) -> bool {
        let is_given = self.is_stream && (self.has(Step::Asked) || self.has(Step::Admitted));
        let is_done = self.has(Step::Printed) || self.has(Step::Ended) || self.has(Step::Done);
        is_given && !is_done && !self.has(Step::Silent)
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sink_of;
    use super::*;
    use worker_core::config::StreamSpec;

    /// A source, a stream and a sink, with a record that was read and has come to the stream.
    fn with_a_stream(journaled: bool) -> Journey {
        let mut graph = sink_of(1).graph;
        let spec =
            StreamSpec { window: None, early_exit_is_done: false, replay_bytes: 1 << 20, restart: None };
        graph.tasks[1].kind = TaskKind::Stream(spec);
        let mut journey = Journey::begin(Instant::now(), journaled);
        journey.add(TaskId(0), None, &graph);
        journey.hops[0].gave = Some((LinkId(0), Seq(1)));
        journey.add(TaskId(1), Some((LinkId(0), Seq(1))), &graph);
        journey
    }

    #[test]
    fn steps_are_said_in_the_order_in_which_they_are_whatever_was_seen_of_them() {
        let mut journey = with_a_stream(true);
        journey.step(0, Step::Read);
        journey.step(1, Step::Admitted);
        journey.step(0, Step::Durable);
        assert_eq!(journey.hops[0].seen, [Step::Read, Step::Sent, Step::Appended, Step::Durable]);
        assert_eq!(journey.hops[1].seen, [Step::Came, Step::Taken, Step::Admitted]);
    }

    #[test]
    fn in_memory_nothing_is_said_of_commits() {
        for step in [Step::Read, Step::Done] {
            assert!(!step.words(false).contains("commit") && step.words(true).contains("commit"));
        }
        let mut journey = with_a_stream(false);
        journey.step(0, Step::Durable);
        assert_eq!(journey.hops[0].seen, [Step::Durable], "no step that there is not");
    }

    #[test]
    fn each_run_of_a_program_is_said() {
        let mut journey = with_a_stream(false);
        for work in [1, 2] {
            journey.run(1, WorkId(work));
            assert!(!journey.hops[1].has(Step::Asked));
            journey.step(1, Step::Asked);
            journey.step(1, Step::Ended);
        }
        assert_eq!(journey.hops[1].seen, [Step::Came, Step::Taken, Step::Asked, Step::Ended]);
    }

    #[test]
    fn what_a_program_prints_nothing_of_is_left_after_a_while_and_not_before() {
        for (journaled, given) in [(false, Step::Asked), (true, Step::Admitted)] {
            let mut journey = with_a_stream(journaled);
            journey.step(1, given);
            journey.rest();
            assert!(!journey.is_over && !journey.hops[1].has(Step::Silent));
            journey.last -= QUIET_MAX;
            journey.rest();
            assert!(journey.is_over && journey.hops[1].has(Step::Silent), "{given:?}");
        }
        let mut journey = with_a_stream(false);
        journey.step(1, Step::Taken);
        journey.last -= QUIET_MAX;
        journey.rest();
        assert!(!journey.is_over, "it is with no program");
        journey.begun -= FOLLOWED_MAX;
        journey.rest();
        assert!(journey.is_over);
    }
}
