//! Records children: the worker's own conversation with a program of the simulation, and the state it keeps for it.

mod process;

use super::{Driver, EventWithEffects, Later, Next, Surroundings, failure};
use crate::sim::check::{Check, Checked, Violation, require};
use crate::sim::plan::{DiskBug, StageKind};
use crate::sim::rng::Rng;
use bytes::Bytes;
use process::Process;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use worker_bin::child::records::{Answers, Conversation, KeyedState, RecordsRules};
use worker_bin::io::framing::Framing;
use worker_core::config::TaskId;
use worker_core::event::{Event, RecordsAction, RecordsEvent};
use worker_core::route::{Edge, PartitionBy};
use worker_proto::{Batch, LinkId, Seq};

/// No record is longer, in bytes.
const MAX_RECORD: usize = 100_000;

/// About how much is written at once, in bytes.
const WRITE_BYTES: usize = 4_000;

/// What is under each key of a records stage, by the key's text.
pub(in crate::sim) type Values = BTreeMap<String, u64>;

/// A records stage's program and the state that is kept for it.
#[derive(Debug)]
pub(super) struct RecordsChild {
    rules: RecordsRules,
    state: Arc<Mutex<KeyedState>>,
    child: Option<Child>,
    bug: Option<DiskBug>,
}

/// One life of the program.
#[derive(Debug)]
struct Child {
    life: u64,
    conversation: Conversation,
    process: Process,
    /// Asked, in order, and not told as answered.
    asked: VecDeque<Bytes>,
    /// It will answer something.
    answers: bool,
}

impl RecordsChild {
    pub(super) fn new(
        kind: &StageKind,
        by: Option<&PartitionBy>,
        edges: &[Edge],
        state: Arc<Mutex<KeyedState>>,
        bug: Option<DiskBug>,
    ) -> Self {
        let (inline, in_flight, in_flight_bytes) = match kind {
            StageKind::Records { spec, inline, .. } => (*inline, spec.in_flight, spec.in_flight_bytes),
            StageKind::Source { .. }
            | StageKind::Batch { .. }
            | StageKind::Stream { .. }
            | StageKind::Sink { .. } => (false, 1, 1),
        };
        let rules = RecordsRules {
            partition_by: by.cloned(),
            envelope_in: b'\n'.into(),
            inline: inline && by.is_some(),
            in_flight: usize::try_from(in_flight).expect("few"),
            in_flight_bytes,
            keys_wanted: edges.iter().any(|edge| edge.by == Some(PartitionBy::Given)),
            is_read: !edges.is_empty(),
        };
        Self { rules, state, child: None, bug }
    }

    /// It answers nothing more.
    pub(super) fn killed(&mut self) {
        self.child = None;
    }
}

impl Driver {
    /// `truth`: what is committed under each key, by what the observer knows.
    pub(in crate::sim) fn records(
        &mut self,
        now: u64,
        id: TaskId,
        action: RecordsAction,
        truth: Values,
        rng: &mut Rng,
    ) -> Checked<Vec<Later>> {
        let task = self.task(id)?;
        match action {
            RecordsAction::Start { life } => {
                task.generation += 1;
                task.busy_until = task.busy_until.max(now);
                task.start_child(life, truth)?;
            }
            RecordsAction::Request { life, link, first_seq, batch } => {
                if let Some(child) = task.child_of(life) {
                    child.request(link, first_seq, batch);
                }
            }
            RecordsAction::Tick { life } => {
                if let Some(child) = task.child_of(life) {
                    child.conversation.tick();
                }
            }
            RecordsAction::End { life } => {
                if let Some(child) = task.child_of(life) {
                    child.conversation.end();
                }
            }
            RecordsAction::Kill => return self.kill(id).map(|()| Vec::new()),
        }
        task.ask(now, id, rng)
    }

    /// The child answers some of its requests: what is told of that, and what it will answer next.
    pub(super) fn answers(
        &mut self,
        now: u64,
        id: TaskId,
        count: usize,
        rng: &mut Rng,
    ) -> Checked<(Vec<EventWithEffects>, Vec<Later>)> {
        let task = self.task(id)?;
        let told = task.take_answers(id, count, rng)?;
        Ok((told, task.ask(now, id, rng)?))
    }
}

impl Child {
    fn request(&mut self, link: LinkId, first_seq: Seq, batch: Batch) {
        self.asked.extend(batch.iter().map(Bytes::copy_from_slice));
        self.conversation.request(link, first_seq, batch);
    }

    /// The event for answers, and the records that they are of.
    fn told(&mut self, id: TaskId, answers: Answers, collected: Collected<'_>) -> Checked<EventWithEffects> {
        let ahead = collected.bug == Some(DiskBug::AnswersAhead) && !self.asked.is_empty();
        let records = (answers.records + u64::from(ahead)).min(self.asked.len() as u64);
        let answered: Vec<Bytes> =
            self.asked.drain(..usize::try_from(records).expect("few records")).collect();
        for record in &answered {
            let is_answered = self.process.has_answered(record);
            require(is_answered, Check::Order, || format!("{record:?} counts as answered, and is not"))?;
        }
        let (life, ended) = (self.life, collected.ended);
        let output = collected.collector.answered(answers);
        let event = Event::task(id, RecordsEvent::Answered { life, records, output, ended });
        Ok((event, vec![crate::sim::program::batch_of(&answered)]))
    }
}

/// What answers go through.
struct Collected<'a> {
    collector: &'a mut worker_bin::runtime::parts::Collector,
    bug: Option<DiskBug>,
    ended: bool,
}

impl Surroundings {
    fn child_of(&mut self, life: u64) -> Option<&mut Child> {
        self.records.child.as_mut().filter(|child| child.life == life)
    }

    fn start_child(&mut self, life: u64, truth: Values) -> Checked {
        let StageKind::Records { program, .. } = self.stage.kind else {
            return Err(Violation::new(Check::Driver, "a records program for a task without one"));
        };
        let RecordsChild { rules, state, child, bug } = &mut self.records;
        let name = format!("{}/{}", self.stage.letter, self.index);
        let conversation = Conversation::new(&name, &Framing::Lines, MAX_RECORD, rules, Arc::clone(state));
        let mut process = Process::new(program, self.index, self.stage.letter, rules);
        process.hello(&conversation.hello(), truth)?;
        if let (Some(DiskBug::KeyedBeforePrefix), Some(before)) = (*bug, child.take()) {
            process.remember(before.process)?;
        }
        *child = Some(Child { life, conversation, process, asked: VecDeque::new(), answers: false });
        Ok(())
    }

    /// Writes what may be asked; where the child is idle, gives when it answers next.
    fn ask(&mut self, now: u64, id: TaskId, rng: &mut Rng) -> Checked<Vec<Later>> {
        let StageKind::Records { record_us, .. } = self.stage.kind else { return Ok(Vec::new()) };
        let Some(child) = self.records.child.as_mut().filter(|child| !child.process.is_dead()) else {
            return Ok(Vec::new());
        };
        loop {
            let mut requests = Vec::new();
            child.conversation.requests(&mut requests, WRITE_BYTES);
            if requests.is_empty() {
                break;
            }
            child.process.read(&requests)?;
        }
        if child.answers || child.process.is_idle() {
            return Ok(Vec::new());
        }
        child.answers = true;
        let count = 1 + rng.index(child.process.owes());
        self.busy_until = self.busy_until.max(now) + (record_us * count as u64).max(1);
        Ok(vec![self.later(self.busy_until, id, Next::Answers(count))])
    }

    fn take_answers(&mut self, id: TaskId, count: usize, rng: &mut Rng) -> Checked<Vec<EventWithEffects>> {
        let Self { records, collector, .. } = self;
        let bug = records.bug;
        let Some(child) = &mut records.child else { return Ok(Vec::new()) };
        child.answers = false;
        let lines = child.process.answer(count, rng);
        let broken =
            |fault| Violation::new(Check::Driver, format!("a program that keeps to the rules {fault}"));
        child.conversation.lines(&Batch::from_terminated(lines.into(), b'\n')).map_err(broken)?;
        let mut told = Vec::new();
        if let Some(answers) = child.conversation.news() {
            told.push(child.told(id, answers, Collected { collector, bug, ended: false })?);
        }
        if child.process.is_dead() {
            let (life, failure) = (child.life, failure());
            told.push((Event::task(id, RecordsEvent::Failed { life, failure }), Vec::new()));
        } else if child.conversation.is_over() {
            let last = child.conversation.ended().map_err(|left| broken(format!("owes {left} answers")))?;
            told.push(child.told(id, last, Collected { collector, bug, ended: true })?);
        }
        Ok(told)
    }
}
