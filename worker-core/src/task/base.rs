//! What all tasks share: their links, commits, and the way to the end.

mod check;
mod commits;

use super::demand::Demand;
use super::finish::{FinishTracker, Step};
use super::header::Heads;
use super::order::Order;
use crate::config::{MaxDead, TaskId, TaskKind, TaskName, TaskSpec};
use crate::ctx::Ctx;
use crate::event::{Action, Attempt, Blocker, Commit, DeadLetter, InputDone, JournalAction, Output};
use crate::inbox::Piece;
use crate::outboxes::Room;
use crate::recovery::TaskState;
use crate::status::TaskCounters;
use crate::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_proto::{LinkId, Seq};

/// The share of dead letters that halts a source or stream, which have no setting of their own.
const DEAD_SHARE: f64 = 0.01;

/// How many commits may wait to be durable before the task takes no new work.
const PENDING_MAX: usize = 1024;

/// ```text
///   Running ──end commit asked──▶ Ending ──durable──▶ Ended ──all outputs finished──▶ Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    Ending,
    Ended,
    Done,
}

#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) id: TaskId,
    pub(crate) name: String,
    pub(crate) inputs: Vec<LinkId>,
    pub(crate) outputs: Vec<LinkId>,
    pub(crate) life: Life,
    pub(crate) counters: TaskCounters,
    /// What earlier lives had counted.
    pub(crate) before: TaskCounters,
    /// Time in which a program ran.
    pub(crate) busy: Duration,
    /// What its driver sees in its way.
    pub(crate) blocker: Option<Blocker>,
    /// Since when the user holds it up.
    pub(crate) paused: Option<Time>,
    /// More records were dead-lettered than `max_dead` allows.
    pub(crate) past_max_dead: bool,
    max_dead: MaxDead,
    /// It ended before its input did, and has not told upstream yet.
    early: bool,
    /// Inputs that have something queued, in the order of their turns.
    pub(super) ring: VecDeque<LinkId>,
    /// Where it is in the order of the source.
    pub(crate) order: Order,
    /// Which of several links what it gives takes, where any will do.
    demand: Demand,
    /// Headers of what it reads and gives.
    pub(super) heads: Heads,
    /// Inputs whose end has come.
    ends: usize,
    commits: u64,
    /// What the journal has been told of as in flight; commits say it again.
    pub(super) in_flight: Attempt,
    /// Commits asked for, in order: they take effect in order.
    pending: VecDeque<Pending>,
    /// What they hold in memory, in bytes of cost.
    pending_cost: u64,
    finish: FinishTracker,
}

/// A commit asked for.
#[derive(Debug)]
struct Pending {
    commit: Commit,
    durable: bool,
    /// What it holds in memory until then, in bytes.
    cost: u64,
}

impl Base {
    pub(super) fn new(
        id: TaskId,
        spec: &TaskSpec,
        inputs: Vec<LinkId>,
        outputs: Vec<LinkId>,
        (order, heads, demand): (Order, Heads, Demand),
    ) -> Self {
        let max_dead = match &spec.kind {
            TaskKind::Batch(batch) => batch.max_dead,
            TaskKind::Records(records) => records.max_dead,
            TaskKind::Source | TaskKind::Stream(_) | TaskKind::Sink => MaxDead::Share(DEAD_SHARE),
        };
        let name = spec.name.clone();
        Self {
            max_dead,
            early: false,
            id,
            name,
            inputs,
            outputs,
            life: Life::Running,
            counters: TaskCounters::default(),
            before: TaskCounters::default(),
            busy: Duration::ZERO,
            blocker: None,
            paused: None,
            past_max_dead: false,
            ring: VecDeque::new(),
            order,
            demand,
            heads,
            ends: 0,
            commits: 0,
            in_flight: Attempt::default(),
            pending: VecDeque::new(),
            pending_cost: 0,
            finish: FinishTracker::default(),
        }
    }

    /// Goes on where the task's journal says.
    pub(super) fn restore(&mut self, ctx: &mut Ctx, state: &TaskState) {
        self.commits = state.commits;
        self.order.restore(state);
        self.heads.restore(&state.headers);
        self.counters.dead_records = state.dead;
        for &link in &self.inputs {
            if let Some(input) = state.inputs.get(&link) {
                let heads = self.heads.within(link, input.through);
                self.counters.records_in += input.through.0 - u64::from(input.ended) - heads;
                self.ends += usize::from(input.ended);
            }
        }
        self.counters.records_in = self.counters.records_in.saturating_sub(self.order.boundaries_in());
        self.outputs.iter().for_each(|&link| ctx.outbox_changed(link));
        self.counters.records_out = self.given_before(ctx, state);
        if self.inputs.is_empty() {
            self.counters.records_in = self.counters.records_out;
        }
        self.before = self.counters;
        if state.ended {
            self.life = Life::Ended;
            self.early = self.ends < self.inputs.len();
            self.finish.push(Step { inputs: Vec::new(), needs: Vec::new(), ended: true });
            if self.early {
                for &link in &self.inputs {
                    ctx.inbox(link).close();
                }
            }
        }
    }

    /// How many records earlier lives have given on, or taken outside: each once, however many stages read them.
    fn given_before(&self, ctx: &Ctx, state: &TaskState) -> u64 {
        if self.is_sink() {
            let under_way = state.window.map_or(0, |window| window.records);
            return self.counters.records_in.saturating_sub(state.dead + under_way);
        }
        let mut by_reader: BTreeMap<&str, u64> = BTreeMap::new();
        for link in &self.outputs {
            let Some(output) = state.outputs.get(link) else { continue };
            let reader = &ctx.config.graph.task(ctx.config.graph.link(*link).to).name;
            let given = output.next.before().0 - u64::from(output.end.is_some()) - self.heads.given();
            *by_reader.entry(TaskName::of(reader).stage).or_default() += given;
        }
        for links in self.order.gives() {
            let Some(&first) = links.first() else { continue };
            let reader = &ctx.config.graph.task(ctx.config.graph.link(first).to).name;
            if let Some(given) = by_reader.get_mut(TaskName::of(reader).stage) {
                *given = given.saturating_sub(self.order.boundaries_out(first));
            }
        }
        by_reader.into_values().max().unwrap_or(0)
    }

    /// Tells the journal what is in flight from now on.
    pub(super) fn note(&mut self, ctx: &mut Ctx, attempt: Attempt) {
        if ctx.journaled {
            self.in_flight = attempt;
            ctx.act(Action::task(self.id, JournalAction::Note(attempt)));
        }
    }

    /// What was noted as in flight is not, and nothing of it is committed.
    pub(super) fn nothing_in_flight(&mut self, ctx: &mut Ctx) {
        self.note(ctx, Attempt::default());
    }

    /// An inbox that was empty has tuples.
    pub(crate) fn arrived(&mut self, link: LinkId) {
        self.ring.push_back(link);
    }

    /// The end of one more input has come.
    pub(crate) fn input_ended(&mut self) {
        self.ends += 1;
    }

    /// Tuples of the next input in turn.
    pub(super) fn take(&mut self, ctx: &mut Ctx, cost_max: u64, records_max: u64) -> Option<Piece> {
        let piece = self.take_uncounted(ctx, cost_max, records_max)?;
        self.counters.records_in += piece.batch.len() as u64;
        self.counters.bytes_in += piece.batch.bytes() as u64;
        Some(piece)
    }

    /// The same, for a program that has not read it yet.
    pub(super) fn take_uncounted(&mut self, ctx: &mut Ctx, cost_max: u64, records_max: u64) -> Option<Piece> {
        self.hear_headers(ctx);
        if self.order.is_taking() {
            return self.take_in_turn(ctx, cost_max, records_max);
        }
        let link = *self.ring.front()?;
        if self.is_at_header(ctx, link) {
            return None;
        }
        if cost_max == 0 || records_max == 0 {
            return None;
        }
        let (cost_max, records_max) = ctx.allowance(self.id).within(cost_max, records_max)?;
        let inbox = ctx.inbox(link);
        let piece = inbox.take(cost_max, records_max);
        let emptied = inbox.is_empty();
        let Some(piece) = piece else {
            if emptied {
                self.ring.pop_front();
            }
            return None;
        };
        self.ring.pop_front();
        if !emptied {
            self.ring.push_back(link);
        }
        ctx.rates.took(self.id, piece.batch.len() as u64, piece.batch.bytes() as u64);
        ctx.inbox_changed(link);
        Some(piece)
    }

    /// Nothing reads from it: what it takes leaves the pipeline.
    pub(crate) fn is_sink(&self) -> bool {
        self.outputs.is_empty()
    }

    /// So many records, and their cost in bytes, have left the pipeline, if this is where they do.
    pub(super) fn taken_outside(&mut self, records: u64, cost: u64) {
        if self.is_sink() {
            self.counters.records_out += records;
            self.counters.bytes_out += cost.saturating_sub(records * worker_proto::Batch::END_BYTES);
        }
    }

    /// Whether a program of an earlier life has succeeded: something it was given is committed, and no dead letter.
    pub(super) fn has_succeeded_before(&self) -> bool {
        self.before.records_in > self.before.dead_records
    }

    /// Whether tuples wait in an inbox; where they are taken in order, those that come next.
    pub(crate) fn has_input(&self, ctx: &Ctx) -> bool {
        if self.order.is_taking() { self.is_next_here(ctx) } else { !self.ring.is_empty() }
    }

    /// Every input has ended and was taken to its end.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ends == self.inputs.len() && self.ring.is_empty()
    }

    /// Whether new work may start: no output is past what may be stored outside, what is on its way there is bounded, and of
    /// those whose receivers are connected some has room, if there are any. So a dead destination stops nothing
    /// until its spill limit, not even a task that gives to it alone and takes from one that gives to others too; and a task whose
    /// living destinations are all slow waits for them instead of filling a disk. Who is read in order gives to a whole stage as to
    /// one: that has room where each of its tasks has.
    pub(crate) fn may_work(&self, ctx: &Ctx) -> bool {
        self.paused.is_none() && !self.much_is_pending(ctx) && self.room(ctx) == Room::Some
    }

    /// Whether what a stream's program prints is taken from it now. With a journal that is for the journal to say; in memory it is
    /// taken as new work would be, whether its input has ended or not. Where nobody wants it any more it may come to its end.
    pub(crate) fn takes_print(&self, ctx: &Ctx) -> bool {
        ctx.journaled || self.room(ctx) != Room::None
    }

    fn room(&self, ctx: &Ctx) -> Room {
        ctx.outboxes.room(self.id)
    }

    /// The same for what has to be taken before the task ends: only disk bounds it.
    pub(crate) fn may_end(&self, ctx: &Ctx) -> bool {
        !self.much_is_pending(ctx) && ctx.outboxes.may_be_stored(self.id)
    }

    /// The user holds the task up, or lets it go on.
    pub(crate) fn pause(&mut self, paused: bool, ctx: &mut Ctx) {
        self.paused = paused.then(|| self.paused.unwrap_or(ctx.now));
        ctx.task_changed(self.id);
    }

    /// Whether so much waits to be durable that the task takes no new work: outputs count the same whether they wait for the
    /// disk or to be sent.
    pub(crate) fn much_is_pending(&self, ctx: &Ctx) -> bool {
        let much =
            self.pending_cost > ctx.config.limits.outbox_bytes / 2 || self.pending.len() >= PENDING_MAX;
        ctx.journaled && much
    }

    /// How many commits wait to be durable, and what they hold in memory, in bytes.
    pub(crate) fn pending(&self) -> (usize, u64) {
        (self.pending.len(), self.pending_cost)
    }

    /// Bytes of outputs in memory that wait to be durable.
    pub(crate) fn pending_cost(&self) -> u64 {
        self.pending_cost
    }

    /// A commit is asked for and not durable.
    pub(crate) fn is_committing(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Every output was cancelled by its receiver.
    pub(super) fn everything_cancelled(&self, ctx: &Ctx) -> bool {
        ctx.outboxes.is_unwanted(self.id)
    }

    /// Marks inputs finished whose effects are acknowledged, and the task done once its end is.
    pub(super) fn settle(&mut self, ctx: &mut Ctx) {
        self.cancel_inputs_if_early(ctx);
        while let Some(step) = self.finish.front() {
            let settled = if step.ended {
                self.outputs.iter().all(|&l| ctx.outbox_ref(l).is_finished())
            } else {
                step.needs.iter().all(|&(link, seq)| effects_left(ctx, link) >= seq)
            };
            if !settled {
                return;
            }
            let Some(step) = self.finish.pop() else { return };
            for input in step.inputs {
                ctx.inbox(input.link).finished(input.epoch, input.through);
                ctx.inbox_changed(input.link);
            }
            if step.ended {
                self.life = Life::Done;
                self.ring.clear();
                for i in 0..self.inputs.len() {
                    ctx.inbox(self.inputs[i]).close();
                    self.finish_end(ctx, self.inputs[i]);
                }
            }
        }
    }

    /// A task that ended before its input tells upstream as soon as its outputs are acknowledged: not before, for a death
    /// of this process could still lose them; not later, for upstream may be all that a common sink waits for. With a journal
    /// they cannot be lost, and the end is acknowledged only when that sink ends.
    fn cancel_inputs_if_early(&mut self, ctx: &mut Ctx) {
        let acknowledged = |&l: &LinkId| {
            let outbox = ctx.outbox_ref(l);
            ctx.journaled || outbox.ended().is_some_and(|end| outbox.through() >= end)
        };
        if !self.early || self.life != Life::Ended || !self.outputs.iter().all(acknowledged) {
            return;
        }
        self.early = false;
        self.ring.clear();
        for i in 0..self.inputs.len() {
            ctx.inbox(self.inputs[i]).close();
            ctx.cancel_upstream(self.inputs[i]);
        }
    }

    /// Only for [`Bug::DrainDropsInput`].
    pub(crate) fn forget_input(&mut self) {
        self.ring.clear();
    }

    /// The task is done, so an end that came (again) is finished as soon as it is here.
    pub(crate) fn finish_end(&self, ctx: &mut Ctx, link: LinkId) {
        let inbox = ctx.inbox(link);
        if let (Life::Done, Some(epoch), Some(end)) = (self.life, inbox.epoch(), inbox.end()) {
            inbox.committed(epoch, end);
            inbox.finished(epoch, end);
            ctx.inbox_changed(link);
        }
    }

    /// No accepted input waits, no commit is on its way. What is unfinished beyond that waits for streams, which a node that
    /// leaves gives up.
    pub(super) fn is_quiet(&self) -> bool {
        self.ring.is_empty() && self.pending.is_empty()
    }

    /// The positions that `pieces`, in order, reach.
    pub(super) fn positions<'a>(ctx: &Ctx, pieces: impl IntoIterator<Item = &'a Piece>) -> Vec<InputDone> {
        let mut done: Vec<InputDone> = Vec::new();
        for piece in pieces {
            let inbox = ctx.inbox_ref(piece.link);
            // With a journal positions go on through all lives of the sender.
            let epoch = inbox.epoch().filter(|_| ctx.journaled).unwrap_or(piece.epoch);
            let (journal, through) = (inbox.journal(), piece.last_seq());
            let input = InputDone { link: piece.link, epoch, journal, through, ended: false };
            match done.iter_mut().find(|d| d.link == input.link && d.epoch == input.epoch) {
                Some(mine) => *mine = input,
                None => done.push(input),
            }
        }
        done
    }

    /// A dead letter as the only content of an output.
    pub(super) fn only_dead(letter: DeadLetter) -> Output {
        Output { dead: vec![letter], ..Output::default() }
    }
}

/// Through where a link's tuples are out of reach of this process's death: acknowledged by another process, or, where
/// the receiver is in this one, finished.
fn effects_left(ctx: &Ctx, link: LinkId) -> Seq {
    let outbox = ctx.outbox_ref(link);
    if ctx.is_local(link) { outbox.finished() } else { outbox.through() }
}
