//! What all tasks share: their links, commits, and the way to the end.

use super::finish::{FinishTracker, Step};
use crate::config::{MaxDead, TaskId, TaskKind, TaskSpec};
use crate::event::{Action, Commit, CommitId, DeadLetter, InputDone, Output, StreamStep};
use crate::fault::Bug;
use crate::inbox::Piece;
use crate::node::Ctx;
use crate::recovery::TaskState;
use crate::status::TaskCounters;
use std::collections::VecDeque;
use worker_proto::frame::Open;
use worker_proto::{LinkId, Seq};

/// Dead letters that a share never counts as too many.
const DEAD_ALWAYS_ALLOWED: u64 = 100;

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
    max_dead: MaxDead,
    /// It ended before its input did, and has not told upstream yet.
    early: bool,
    /// Inputs that have something queued, in the order of their turns.
    ring: VecDeque<LinkId>,
    /// Inputs whose end has come.
    ends: usize,
    commits: u64,
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
    pub(super) fn new(id: TaskId, spec: &TaskSpec, inputs: Vec<LinkId>, outputs: Vec<LinkId>) -> Self {
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
            ring: VecDeque::new(),
            ends: 0,
            commits: 0,
            pending: VecDeque::new(),
            pending_cost: 0,
            finish: FinishTracker::default(),
        }
    }

    /// Goes on where the task's journal says.
    pub(super) fn restore(&mut self, ctx: &mut Ctx, state: &TaskState) {
        self.commits = state.commits;
        self.counters.dead = state.dead;
        for &link in &self.inputs {
            if let Some(input) = state.inputs.get(&link) {
                self.counters.records_in += input.through.0 - u64::from(input.ended);
                self.ends += usize::from(input.ended);
            }
        }
        for &link in &self.outputs {
            if let Some(output) = state.outputs.get(&link) {
                self.counters.records_out += output.next.before().0 - u64::from(output.end.is_some());
            }
            ctx.outbox_changed(link);
        }
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
        let link = *self.ring.front()?;
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
        self.counters.records_in += piece.batch.len() as u64;
        self.counters.bytes_in += piece.batch.bytes() as u64;
        ctx.inbox_changed(link);
        Some(piece)
    }

    /// Whether tuples wait in an inbox.
    pub(crate) fn has_input(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Every input has ended and was taken to its end.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ends == self.inputs.len() && self.ring.is_empty()
    }

    /// Whether new work may start: no output is past what may be stored outside, what is on its way there is bounded, and
    /// some output has room in memory. So one dead destination stops nothing until its spill limit, and a task whose
    /// destinations are all slow waits for them instead of filling a disk.
    pub(crate) fn may_work(&self, ctx: &Ctx) -> bool {
        let limits = &ctx.config.limits;
        if self.much_pending(ctx).is_some() {
            return false;
        }
        let mut room = self.outputs.is_empty();
        for &link in &self.outputs {
            let outbox = ctx.outbox_ref(link);
            if outbox.is_cancelled() {
                continue;
            }
            if outbox.stored_cost() >= limits.spill_bytes || outbox.storing_cost() > limits.outbox_bytes / 2 {
                return false;
            }
            let has_room = outbox.memory_cost() <= limits.outbox_bytes / 2 && outbox.stored_cost() == 0;
            if ctx.planted.is(crate::fault::Bug::DeadLinkBlocksTask) && !has_room {
                return false;
            }
            room |= has_room;
        }
        room
    }

    /// How many commits wait to be durable, and what they hold in memory, if that is so much that the task takes no new
    /// work: outputs count the same whether they wait for the disk or to be sent.
    pub(crate) fn much_pending(&self, ctx: &Ctx) -> Option<(usize, u64)> {
        let much =
            self.pending_cost > ctx.config.limits.outbox_bytes / 2 || self.pending.len() >= PENDING_MAX;
        (ctx.journaled && much).then_some((self.pending.len(), self.pending_cost))
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
        !self.outputs.is_empty() && self.outputs.iter().all(|&l| ctx.outbox_ref(l).is_cancelled())
    }

    /// Asks for one atomic step: inputs done, outputs, dead letters.
    pub(super) fn commit(&mut self, ctx: &mut Ctx, inputs: Vec<InputDone>, output: Output, ended: bool) {
        self.commit_step(ctx, inputs, output, ended, None);
    }

    /// The same, with what a stream's window needs to be run again.
    pub(super) fn commit_step(
        &mut self,
        ctx: &mut Ctx,
        mut inputs: Vec<InputDone>,
        output: Output,
        ended: bool,
        stream: Option<StreamStep>,
    ) {
        self.commits += 1;
        if ctx.journaled {
            // A newer life of the sender may have been heard of since the tuples were taken.
            for input in &mut inputs {
                input.epoch = input.epoch.max(ctx.inbox_ref(input.link).epoch().unwrap_or_default());
            }
        }
        self.counters.records_out += output.records;
        self.counters.dead += output.dead.len() as u64;
        let outputs: Vec<_> = output
            .chunks
            .into_iter()
            .map(|chunk| {
                let records = chunk.body.records();
                (ctx.outbox(chunk.link).assign(records), chunk)
            })
            .collect();
        let too_many = !output.dead.is_empty() && self.has_too_many_dead();
        let (id, mark) = (CommitId(self.commits), output.mark);
        let mut commit = Commit { id, inputs, outputs, dead: output.dead, ended, mark, stream };
        let mut asked = commit.clone();
        if ctx.planted.is(Bug::PositionNotPersisted) {
            asked.inputs.clear();
        }
        ctx.act(Action::Persist { task: self.id, commit: asked });
        let cost = commit.memory_cost();
        self.pending_cost += cost;
        // Only what takes effect is kept: the rest is the journal's.
        commit.stream = None;
        commit.dead = Vec::new();
        if ctx.planted.is(Bug::AckBeforeDurable) {
            for input in &commit.inputs {
                ctx.inbox(input.link).committed(input.epoch, input.through);
                ctx.inbox_changed(input.link);
            }
        }
        let early = ctx.planted.is(Bug::OutputBeforeDurable) && self.pending.is_empty();
        self.pending.push_back(Pending { commit, durable: early, cost });
        if ended {
            self.life = Life::Ending;
        }
        if early {
            self.persisted(ctx, id);
        }
        if too_many {
            let (dead, records) = (self.counters.dead, self.counters.records_in);
            let why = format!("{dead} dead letters of {records} records are more than max_dead allows");
            ctx.fail_task(&self.name, why);
        }
    }

    /// Asks to make a new life of a sender durable, before its `Open` is answered.
    pub(crate) fn commit_life(&mut self, ctx: &mut Ctx, open: &Open) {
        let inbox = ctx.inbox_ref(open.link);
        let input = InputDone {
            link: open.link,
            epoch: open.epoch,
            journal: open.journal,
            through: inbox.committed_through(),
            ended: inbox.end().is_some_and(|end| inbox.committed_through() >= end),
        };
        self.commit(ctx, vec![input], Output::default(), false);
    }

    /// Whether more records were put aside than `max_dead` allows, whatever the reason of each.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    fn has_too_many_dead(&self) -> bool {
        let TaskCounters { dead, records_in, records_out, .. } = self.counters;
        match self.max_dead {
            MaxDead::Unlimited => false,
            MaxDead::Records(max) => dead > max,
            MaxDead::Share(share) => {
                dead > DEAD_ALWAYS_ALLOWED && dead as f64 > share * records_in.max(records_out) as f64
            }
        }
    }

    /// The commit that ends the task: it covers the ends of all inputs.
    pub(super) fn commit_end(&mut self, ctx: &mut Ctx, inputs: Vec<InputDone>, output: Output) {
        self.commit_end_step(ctx, inputs, output, None);
    }

    /// The same, with the end of a stream's window.
    pub(super) fn commit_end_step(
        &mut self,
        ctx: &mut Ctx,
        mut inputs: Vec<InputDone>,
        output: Output,
        stream: Option<StreamStep>,
    ) {
        for &link in &self.inputs {
            let inbox = ctx.inbox_ref(link);
            if let (Some(epoch), Some(end)) = (inbox.epoch(), inbox.end()) {
                inputs.retain(|i| i.link != link || i.epoch != epoch);
                let journal = inbox.journal();
                inputs.push(InputDone { link, epoch, journal, through: end, ended: true });
            }
        }
        self.commit_step(ctx, inputs, output, true, stream);
    }

    /// Ends the task before its input ended. Once its outputs are acknowledged, what still comes is dropped and upstream is
    /// told ([`Self::cancel_inputs_if_early`]).
    pub(super) fn finish_early(&mut self, ctx: &mut Ctx, output: Output, stream: Option<StreamStep>) {
        self.ring.clear();
        self.early = true;
        self.commit_end_step(ctx, Vec::new(), output, stream);
    }

    /// A commit is durable: its outputs may leave, its inputs are acknowledged.
    pub(super) fn persisted(&mut self, ctx: &mut Ctx, id: CommitId) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.commit.id == id) {
            pending.durable = true;
        }
        while self.pending.front().is_some_and(|pending| pending.durable) {
            let Some(Pending { commit, cost, .. }) = self.pending.pop_front() else { break };
            self.pending_cost -= cost;
            self.take_effect(ctx, commit);
        }
        self.settle(ctx);
    }

    fn take_effect(&mut self, ctx: &mut Ctx, commit: Commit) {
        let mut needs: Vec<(LinkId, Seq)> = Vec::new();
        for (first, chunk) in commit.outputs {
            let last = first.plus(chunk.body.records()).before();
            match needs.iter_mut().find(|n| n.0 == chunk.link) {
                Some(need) => need.1 = last,
                None => needs.push((chunk.link, last)),
            }
            ctx.outbox(chunk.link).push_assigned(chunk.body);
            ctx.outbox_changed(chunk.link);
        }
        for input in &commit.inputs {
            if ctx.journaled && !ctx.is_local(input.link) {
                ctx.inbox(input.link).epoch_durable(input.epoch, input.journal);
                ctx.lives_durable.push(input.link);
            }
            ctx.inbox(input.link).committed(input.epoch, input.through);
            ctx.inbox_changed(input.link);
        }
        if commit.ended {
            self.life = Life::Ended;
            for i in 0..self.outputs.len() {
                ctx.outbox(self.outputs[i]).end();
                ctx.outbox_changed(self.outputs[i]);
            }
        }
        // With a journal, committed is finished: nothing but the end has to be waited for.
        if !ctx.journaled || commit.ended {
            self.finish.push(Step { inputs: commit.inputs, needs, ended: commit.ended });
        }
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
