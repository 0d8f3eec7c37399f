//! What is true: every record committed to a link, and what became of it. The system under test never sees this.

mod failing;
mod journaled;
mod truth;
mod window;

use super::check::{Check, Checked, Violation, require};
use super::plan::{Plan, StageKind, link_id, task_id};
use super::program::{BatchProgram, StreamProgram, is_header, is_no_record};
use bytes::Bytes;
use journaled::EffectWhen;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use truth::{Effect, Step, index};
pub(super) use truth::{Life, LinkTruth, TaskTruth};
use worker_core::config::{Graph, LinkOrder, LinkSpec, TaskId, TaskName};
use worker_core::event::{Commit, CommitId, DeadLetter, InputDone, Output, StreamStep};
use worker_proto::{Batch, Epoch, LinkId, Seq};

/// With a journal a link is one for all lives of its sender.
pub(super) const ONE_LIFE: Epoch = Epoch(0);

/// What an observer of all nodes knows.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) graph: Graph,
    pub(super) links: Vec<LinkTruth>,
    pub(super) tasks: Vec<TaskTruth>,
    /// Where each record that a task is given comes from. Only looked up, never walked.
    origins: HashMap<(TaskId, Bytes), (LinkId, Epoch, Seq)>,
    journaled: bool,
    has_columns: bool,
    /// How often the process died while a record alone was in flight on its node.
    pub(super) deaths_alone: BTreeMap<(TaskId, LinkId, Seq), u32>,
    /// The same in a row, as the disk of the node says.
    deaths_in_a_row: BTreeMap<(TaskId, LinkId, Seq), u32>,
    /// Stages, by node, of which a program has ended well.
    proven: BTreeSet<(u16, String)>,
    killers: Vec<Option<BatchProgram>>,
}

impl Model {
    pub(super) fn new(plan: &Plan) -> Self {
        let graph = plan.graph();
        let mut links: Vec<LinkTruth> = graph.links.iter().map(|_| LinkTruth::default()).collect();
        for (truth, link) in links.iter_mut().zip(&graph.links) {
            truth.local = graph.task(link.from).node == graph.task(link.to).node;
        }
        let has_columns = (0..graph.tasks.len()).any(|task| plan.column_of(task_id(task)).is_some());
        for (truth, link) in links.iter_mut().zip(&graph.links).filter(|_| plan.is_journaled()) {
            let (from, to) = (plan.column_of(link.from), plan.column_of(link.to));
            truth.in_column = truth.local && from.is_some() && from == to;
            truth.goes_on_appended = truth.in_column && graph.links.iter().any(|next| next.from == link.to);
        }
        let early = stages_that_stop_early(plan);
        for (truth, link) in links.iter_mut().zip(&graph.links) {
            truth.local_cancelled = truth.local && early[plan.stage_of(link.to)];
        }
        let truth = |at| {
            let stage = plan.stage_of(task_id(at));
            let effect_when = match plan.stages[stage].kind {
                StageKind::Stream { .. } if plan.is_journaled() => EffectWhen::Admitted,
                StageKind::Records { .. } => EffectWhen::Answered,
                StageKind::Stream { .. }
                | StageKind::Source { .. }
                | StageKind::Batch { .. }
                | StageKind::Sink { .. } => EffectWhen::Taken,
            };
            let writes = matches!(plan.stages[stage].kind, StageKind::Sink { .. });
            let writes_in_order = plan.stages[stage].in_order && writes && !plan.is_journaled();
            let heads = plan.header_into(task_id(at));
            let stops_early = early[stage];
            TaskTruth { stops_early, effect_when, writes_in_order, writes, heads, ..TaskTruth::default() }
        };
        let tasks = (0..graph.tasks.len()).map(truth).collect();
        let killer = |at| match plan.stages[plan.stage_of(task_id(at))].kind {
            StageKind::Batch { program, .. } => Some(program),
            StageKind::Source { .. }
            | StageKind::Stream { .. }
            | StageKind::Records { .. }
            | StageKind::Sink { .. } => None,
        };
        let killers = (0..graph.tasks.len()).map(killer).collect();
        Self {
            graph,
            links,
            tasks,
            origins: HashMap::new(),
            journaled: plan.is_journaled(),
            has_columns,
            deaths_alone: BTreeMap::new(),
            deaths_in_a_row: BTreeMap::new(),
            proven: BTreeSet::new(),
            killers,
        }
    }

    pub(super) fn task(&mut self, task: TaskId) -> &mut TaskTruth {
        &mut self.tasks[task.0 as usize]
    }

    pub(super) fn link(&mut self, link: LinkId) -> &mut LinkTruth {
        &mut self.links[link.0 as usize]
    }

    /// A life of a link's sender as the links' truths are sorted by it.
    pub(super) fn key(&self, epoch: Epoch) -> Epoch {
        if self.journaled { ONE_LIFE } else { epoch }
    }

    pub(super) fn life(&mut self, link: LinkId, epoch: Epoch) -> &mut Life {
        let epoch = self.key(epoch);
        self.links[link.0 as usize].lives.entry(epoch).or_default()
    }

    /// The driver hands a task's output to the core.
    pub(super) fn produced(&mut self, task: TaskId, output: &Output, records: &[(LinkId, Batch)]) {
        self.task(task).uncommitted_dead += output.dead.len();
        for (link, batch) in records {
            let routed = self.routed_by(*link);
            let queue = self.task(task).uncommitted.entry(routed).or_default();
            queue.extend(batch.iter().map(Bytes::copy_from_slice));
        }
    }

    pub(super) fn is_journaled(&self) -> bool {
        self.journaled
    }

    /// Records are given to a task's program (for the first time).
    pub(super) fn given(&mut self, task: TaskId, batch: &Batch) -> Checked {
        for record in batch.iter() {
            let (link, epoch, seq) = self.origin(task, record)?;
            let name = self.graph.link_name(link);
            let life = self.life(link, epoch);
            require(seq <= life.pushed, Check::Durable, || {
                format!("{name}: {seq} was given to a program before its commit was durable")
            })?;
            life.given = life.given.max(seq);
        }
        Ok(())
    }

    /// A task's program, or the outside, has taken the effects of these records.
    pub(super) fn effected(&mut self, task: TaskId, batch: &Batch) -> Checked {
        for record in batch.iter() {
            if is_header(record) {
                self.headed(task, record)?;
                continue;
            }
            self.is_under_header(task)?;
            self.effect(task, record, false)?;
        }
        Ok(())
    }

    fn origin(&self, task: TaskId, record: &[u8]) -> Checked<(LinkId, Epoch, Seq)> {
        let key = (task, Bytes::copy_from_slice(record));
        self.origins.get(&key).copied().ok_or_else(|| {
            let record = String::from_utf8_lossy(record).into_owned();
            Violation::new(Check::Bytes, format!("task {} got a record nobody sent it: {record:?}", task.0))
        })
    }

    fn effect(&mut self, task: TaskId, record: &[u8], dead: bool) -> Checked {
        let (link, epoch, seq) = self.origin(task, record)?;
        let (receiver_life, journaled) = (self.task(task).life, self.journaled);
        let name = format!("{} {}", self.graph.link_name(link), seq);
        let life = self.life(link, epoch);
        let at = index(seq).expect("numbers begin at 1");
        let earlier = match life.effects[at] {
            Effect::None | Effect::Boundary => None,
            Effect::Done { receiver_life } | Effect::Dead { receiver_life } => Some(receiver_life),
        };
        let counts = |life: u64| life == receiver_life || journaled;
        require(!earlier.is_some_and(counts), Check::Duplicate, || format!("{name} effected twice"))?;
        // Nobody sees when a record was condemned: it may be held back until one behind it has succeeded.
        require(dead || seq > life.last_effect, Check::Order, || {
            format!("{name} effected after {} of that link", life.last_effect)
        })?;
        life.last_effect = life.last_effect.max(seq);
        life.effects[at] = if dead { Effect::Dead { receiver_life } } else { Effect::Done { receiver_life } };
        if dead || !self.task(task).writes_in_order {
            return Ok(());
        }
        self.task(task).in_order.next(record)
    }

    /// A commit is asked for: its outputs get their numbers, its inputs must have been effected.
    pub(super) fn commit(
        &mut self,
        task: TaskId,
        epoch: Epoch,
        commit: &Commit,
        outputs: &[(LinkId, Seq, Batch)],
    ) -> Checked {
        let inputs_dead = commit.dead.iter().filter(|letter| letter.origin.is_some());
        for letter in inputs_dead {
            self.dead_letter(task, letter)?;
        }
        if self.journaled {
            self.check_window(task, commit)?;
            self.check_taken(task, commit)?;
            self.effects_of_commit(task, commit)?;
        }
        let routed_dead = commit.dead.iter().filter(|letter| letter.origin.is_none()).count();
        let truth = self.task(task);
        require(routed_dead <= truth.uncommitted_dead, Check::Bytes, || "a dead letter from nowhere".into())?;
        truth.uncommitted_dead -= routed_dead;
        truth.letters.extend(commit.dead.iter().cloned());
        truth.letters_of.extend(commit.dead.iter().map(|_| commit.id));
        for input in &commit.inputs {
            self.input_done(task, input)?;
        }
        let mut dealt: BTreeMap<LinkId, u64> = BTreeMap::new();
        for (link, first, batch) in outputs {
            self.output(task, *link, epoch, *first, batch)?;
            if self.link(*link).goes_on_appended {
                self.life(*link, epoch).pushed = first.plus(batch.len() as u64).before();
            }
            let graph = &self.graph;
            let is_dealt = graph.link(*link).order != LinkOrder::Any || graph.keyless.contains(link);
            if is_dealt || graph.headed.contains(link) {
                *dealt.entry(*link).or_default() += batch.cost();
            }
        }
        // Where the core deals one output comes in several chunks, and behind a header in two.
        for (link, cost) in dealt {
            let truth = self.link(link);
            truth.largest_output = truth.largest_output.max(cost);
        }
        if commit.ended {
            self.end_links(task, epoch, true);
        }
        self.task(task).pending.push_back(commit.clone());
        Ok(())
    }

    /// The links that a task sends on have ended: those on which that is known when it is asked for, or the others.
    fn end_links(&mut self, task: TaskId, epoch: Epoch, appended: bool) {
        for at in 0..self.links.len() {
            if self.graph.links[at].from == task && self.links[at].goes_on_appended == appended {
                let life = self.life(link_id(at), epoch);
                let end = Seq(life.records.len() as u64 + 1);
                life.end = Some(end);
                life.pushed = end;
            }
        }
    }

    fn dead_letter(&mut self, task: TaskId, letter: &DeadLetter) -> Checked {
        let (link, _, seq) = self.origin(task, &letter.record)?;
        require(letter.origin == Some((link, seq)), Check::Bytes, || {
            format!("a dead letter names {:?}, it is {seq} of link {link}", letter.origin)
        })?;
        self.given_under(task, letter.header.as_ref())?;
        self.task(task).dead += 1;
        self.check_condemned(task, letter, (link, seq))?;
        if self.task(task).effect_when == EffectWhen::Answered {
            return Ok(());
        }
        self.effect(task, &letter.record, true)
    }

    /// A commit covers inputs: each of them must have been effected in this life of the task.
    fn input_done(&mut self, task: TaskId, input: &InputDone) -> Checked {
        let TaskTruth { life: current, stops_early, .. } = *self.task(task);
        let journaled = self.journaled;
        let is_sink = self.graph.links.iter().all(|link| link.from != task);
        let check = if is_sink { Check::Taken } else { Check::Order };
        let name = self.graph.link_name(input.link);
        let life = self.life(input.link, input.epoch);
        let last = if input.ended { input.through.before() } else { input.through };
        for seq in life.done.0.max(life.base.0) + 1..=last.0 {
            let effect = index(Seq(seq)).and_then(|i| life.effects.get(i).copied());
            let holds = match effect {
                Some(Effect::Done { receiver_life } | Effect::Dead { receiver_life }) => {
                    receiver_life == current || journaled
                }
                Some(Effect::Boundary) => true,
                Some(Effect::None) | None => false,
            };
            require(holds || stops_early, check, || {
                format!("{name}: a commit covers {last}, but {seq} was skipped")
            })?;
        }
        if input.ended {
            require(life.end == Some(input.through), Check::Order, || {
                format!("{name}: a commit covers an end at {}, it is {:?}", input.through, life.end)
            })?;
        }
        life.done = life.done.max(last);
        life.asked_done = life.asked_done.max(input.through);
        Ok(())
    }

    fn output(&mut self, task: TaskId, link: LinkId, epoch: Epoch, first: Seq, batch: &Batch) -> Checked {
        let to = self.graph.link(link).to;
        let truth = self.link(link);
        truth.largest_output = truth.largest_output.max(batch.cost());
        let routed = self.routed_by(link);
        for (offset, record) in batch.iter().enumerate() {
            let record = Bytes::copy_from_slice(record);
            let is_boundary = is_no_record(&record);
            self.is_behind_header(link, epoch, &record)?;
            if !is_boundary {
                let produced = self.task(task).uncommitted.get_mut(&routed).and_then(VecDeque::pop_front);
                require(produced.as_ref() == Some(&record), Check::Bytes, || {
                    format!("committed {record:?}, the program printed {produced:?}")
                })?;
            }
            let seq = first.plus(offset as u64);
            let epoch = self.key(epoch);
            let life = self.life(link, epoch);
            require(seq.0 == life.records.len() as u64 + 1, Check::Bytes, || {
                format!("link {link}: number {seq} given to record {}", life.records.len() + 1)
            })?;
            life.push(record.clone());
            if is_boundary {
                continue;
            }
            let earlier = self.origins.insert((to, record), (link, epoch, seq));
            require(earlier.is_none(), Check::Duplicate, || format!("link {link}: {seq} was sent before"))?;
        }
        Ok(())
    }

    /// The link that what goes on this one is looked for under, as a router names it or instead of that: where the core deals to a stage,
    /// the first of the task's links to it.
    fn routed_by(&self, link: LinkId) -> LinkId {
        let spec = self.graph.link(link);
        if spec.order != LinkOrder::Dealt && !self.graph.keyless.contains(&link) {
            return link;
        }
        let stage = |task: TaskId| TaskName::of(&self.graph.task(task).name).stage;
        let is_sibling = |other: &LinkSpec| other.from == spec.from && stage(other.to) == stage(spec.to);
        self.graph.links.iter().position(is_sibling).map_or(link, link_id)
    }

    /// A commit is durable: with all before it durable too, its outputs may leave.
    pub(super) fn persisted(&mut self, task: TaskId, epoch: Epoch, id: CommitId) {
        self.task(task).durable.insert(id);
        while let Some(id) = self.task(task).pending.front().map(|commit| commit.id) {
            if !self.task(task).durable.remove(&id) {
                return;
            }
            let commit = self.task(task).pending.pop_front().expect("it was looked at");
            self.take_effect(task, epoch, commit);
        }
    }

    fn take_effect(&mut self, task: TaskId, epoch: Epoch, commit: Commit) {
        self.task(task).commits_durable = commit.id.0;
        if let Some(StreamStep::Cut { window }) = commit.stream {
            self.task(task).cut = window;
        }
        let mut needs: BTreeMap<LinkId, Seq> = BTreeMap::new();
        for (first, chunk) in &commit.outputs {
            let last = first.plus(chunk.body.records()).before();
            needs.insert(chunk.link, last);
            if !self.link(chunk.link).goes_on_appended {
                self.life(chunk.link, epoch).pushed = last;
            }
        }
        if commit.ended {
            self.task(task).ended = true;
            self.end_links(task, epoch, false);
        }
        if self.journaled {
            return self.inputs_durable(&commit);
        }
        self.task(task).steps.push_back(Step { inputs: commit.inputs, needs: needs.into_iter().collect() });
        self.settle(task, epoch);
    }

    /// The sender of a link heard an acknowledgement.
    pub(super) fn acked(&mut self, link: LinkId, epoch: Epoch, through: Seq) {
        let life = self.life(link, epoch);
        life.acked = life.acked.max(through);
        let from = self.graph.link(link).from;
        self.settle(from, epoch);
    }

    /// A node reports a possible loss on a link: its sender, what a receiver that died had acknowledged; its receiver, what a
    /// new life of the sender repeats to a task that has ended.
    pub(super) fn lost(&mut self, link: LinkId, by_sender: Option<Epoch>, records: u64) -> Checked {
        let name = self.graph.link_name(link);
        require(!self.journaled, Check::LossBound, || format!("{name}: {records} are reported lost"))?;
        self.link(link).reported_lost += records;
        let Some(epoch) = by_sender else { return Ok(()) };
        let (reported, acked) = (self.link(link).reported_lost, self.life(link, epoch).acked);
        require(reported <= acked.0, Check::LossBound, || {
            format!("{name}: {reported} are reported lost, {acked} were acknowledged")
        })
    }

    /// Follows which inputs of a task may be called finished.
    fn settle(&mut self, task: TaskId, epoch: Epoch) {
        while let Some(step) = self.tasks[task.0 as usize].steps.front() {
            let settled = step.needs.iter().all(|&(link, seq)| {
                let truth = &self.links[link.0 as usize];
                truth.local
                    || truth.cancelled
                    || truth.lives.get(&epoch).is_some_and(|life| life.acked >= seq)
            });
            if !settled {
                return;
            }
            let Some(step) = self.task(task).steps.pop_front() else { return };
            for input in step.inputs {
                let life = self.life(input.link, input.epoch);
                life.finished = life.finished.max(input.through);
            }
        }
    }

    /// A node's process died: what its tasks had begun is forgotten; what they effected outside is not.
    pub(super) fn process_died(&mut self, node: u16) {
        for at in 0..self.tasks.len() {
            if self.graph.tasks[at].node.0 == node {
                let TaskTruth { life, stops_early, dead, writes_in_order, writes, .. } = self.tasks[at];
                let (life, heads) = (life + 1, self.tasks[at].heads.take());
                let kept = TaskTruth { life, stops_early, dead, writes_in_order, ..TaskTruth::default() };
                self.tasks[at] = TaskTruth { writes, heads, ..kept };
            }
        }
        for at in 0..self.links.len() {
            let to = self.graph.links[at].to;
            if self.graph.task(to).node.0 == node {
                for life in self.links[at].lives.values_mut() {
                    life.received = Seq::ZERO;
                    life.given = Seq::ZERO;
                    life.last_effect = Seq::ZERO;
                    life.done = Seq::ZERO;
                    life.finished = Seq::ZERO;
                }
            }
        }
    }

    /// A receiver answered `Open`: in a new life it begins there.
    pub(super) fn opened(&mut self, link: LinkId, epoch: Epoch, received: Seq) {
        if self.journaled {
            return;
        }
        let life = self.life(link, epoch);
        if life.received == Seq::ZERO {
            life.base = received;
            life.received = received;
            life.given = received;
            life.finished = received;
        }
    }

    /// Whether a link leads from the task to another of its own node.
    pub(super) fn has_local_output(&self, task: TaskId) -> bool {
        self.graph.links.iter().zip(&self.links).any(|(spec, truth)| spec.from == task && truth.local)
    }

    /// Outputs that a task was given and never committed.
    pub(super) fn uncommitted(&self, task: TaskId) -> usize {
        self.tasks[task.0 as usize].uncommitted.values().map(VecDeque::len).sum()
    }

    /// Where a record that `task` was sent came from, if anyone sent it.
    pub(super) fn find(&self, task: TaskId, record: &Bytes) -> Option<(LinkId, Epoch, Seq)> {
        self.origins.get(&(task, record.clone())).copied()
    }
}

/// Which stages need not read all their input: those that stop by themselves, and those that only such stages read.
fn stages_that_stop_early(plan: &Plan) -> Vec<bool> {
    let mut early = vec![false; plan.stages.len()];
    for at in (0..plan.stages.len()).rev() {
        let mut readers =
            (0..plan.stages.len()).filter(|&reader| plan.stages[reader].from.contains(&at)).peekable();
        early[at] = match plan.stages[at].kind {
            StageKind::Stream { program: StreamProgram::Head(_), .. } => true,
            StageKind::Sink { leaves_percent: 1.., .. } => !plan.is_journaled(),
            StageKind::Stream { .. }
            | StageKind::Source { .. }
            | StageKind::Batch { .. }
            | StageKind::Records { .. }
            | StageKind::Sink { .. } => readers.peek().is_some() && readers.all(|reader| early[reader]),
        };
    }
    early
}
