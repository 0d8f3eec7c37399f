//! A task's steps: asked for, durable, in effect.

use super::{Base, Life, Pending};
use crate::config::MaxDead;
use crate::ctx::Ctx;
use crate::event::{Action, Attempt, Chunk, Commit, CommitId, InputDone, JournalAction, Output, StreamStep};
use crate::fault::Bug;
use crate::status::TaskCounters;
use crate::task::Demand;
use crate::task::finish::{Step, moved_up};
use crate::words::plural;
use worker_proto::frame::Open;
use worker_proto::{LinkId, Seq};

/// Dead letters that a share never counts as too many.
const DEAD_ALWAYS_ALLOWED: u64 = 100;

impl Base {
    /// Asks for one atomic step: inputs done, outputs, dead letters.
    pub(in crate::task) fn commit(
        &mut self,
        ctx: &mut Ctx,
        inputs: Vec<InputDone>,
        output: Output,
        ended: bool,
    ) {
        self.commit_step(ctx, inputs, output, ended, None);
    }

    /// The same, with what a stream's window needs to be run again.
    pub(in crate::task) fn commit_step(
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
        self.order.cover(ctx, &self.heads, &mut inputs);
        inputs.iter().for_each(|input| self.heads.covered(input.link, input.through));
        self.counters.records_out += output.records;
        self.counters.dead_records += output.dead.len() as u64;
        self.counters.bytes_out += output.chunks.iter().map(|chunk| chunk.body.bytes()).sum::<u64>();
        let heads = self.heads.give(output.header, &self.outputs);
        let mut dead = output.dead;
        dead.iter_mut().for_each(|letter| self.heads.entitle(letter));
        let dealt = self.order.deal(ctx, output.chunks);
        let outputs = numbered(ctx, &self.demand, (heads, dealt));
        let too_many = !dead.is_empty() && self.has_too_many_dead() && !ctx.planted.is(Bug::DeadUncounted);
        if ended {
            self.in_flight = Attempt::default();
        }
        let (id, position, attempt) = (CommitId(self.commits), output.position, self.in_flight);
        let (turn, headers) = (self.order.turn(ctx), self.heads.take_new(ctx));
        let origin = output.origin;
        let mut asked =
            Commit { id, inputs, outputs, dead, ended, position, stream, attempt, turn, headers, origin };
        let mut commit = asked.clone();
        if ctx.planted.is(Bug::PositionNotPersisted) {
            asked.inputs.clear();
        }
        ctx.act(Action::task(self.id, JournalAction::Persist(asked)));
        let cost = commit.memory_cost();
        self.pending_cost += cost;
        // Only what takes effect is kept: the rest is the journal's.
        commit.stream = None;
        commit.dead = Vec::new();
        commit.headers = None;
        commit.origin = None;
        if ctx.planted.is(Bug::AckBeforeDurable) {
            for input in &commit.inputs {
                ctx.inbox(input.link).committed(input.epoch, input.through);
                ctx.inbox_changed(input.link);
            }
        }
        self.appended(ctx, &commit);
        let early = ctx.planted.is(Bug::OutputBeforeDurable) && self.pending.is_empty();
        self.pending.push_back(Pending { commit, durable: early, cost });
        if ended {
            self.life = Life::Ending;
        }
        if early {
            self.persisted(ctx, id);
        }
        if too_many {
            self.past_max_dead = true;
            let (dead, records) = (self.counters.dead_records, self.counters.records_in);
            let why = format!(
                "{} of the {} of this task are more than max_dead allows",
                plural(dead, "dead letter"),
                plural(records, "record")
            );
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

    /// Whether more records were dead-lettered than `max_dead` allows, whatever the reason of each.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    fn has_too_many_dead(&self) -> bool {
        let TaskCounters { dead_records: dead, records_in, records_out, .. } = self.counters;
        match self.max_dead {
            MaxDead::Unlimited => false,
            MaxDead::Records(max) => dead > max,
            MaxDead::Share(share) => {
                dead > DEAD_ALWAYS_ALLOWED && dead as f64 > share * records_in.max(records_out) as f64
            }
        }
    }

    /// The commit that ends the task: it covers the ends of all inputs.
    pub(in crate::task) fn commit_end(&mut self, ctx: &mut Ctx, inputs: Vec<InputDone>, output: Output) {
        self.commit_end_step(ctx, inputs, output, None);
    }

    /// The same, with the end of a stream's window.
    pub(in crate::task) fn commit_end_step(
        &mut self,
        ctx: &mut Ctx,
        mut inputs: Vec<InputDone>,
        mut output: Output,
        stream: Option<StreamStep>,
    ) {
        output.chunks.extend(self.order.last_ends(ctx));
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
    pub(in crate::task) fn finish_early(
        &mut self,
        ctx: &mut Ctx,
        output: Output,
        stream: Option<StreamStep>,
    ) {
        self.ring.clear();
        self.early = true;
        self.commit_end_step(ctx, Vec::new(), output, stream);
    }

    /// What of a commit takes effect when it is asked for: within its column, whose journal has it before anything that follows
    /// from it.
    fn appended(&mut self, ctx: &mut Ctx, commit: &Commit) {
        for (_, chunk) in &commit.outputs {
            if ctx.goes_on_appended(chunk.link) {
                ctx.outbox(chunk.link).push_assigned(chunk.body.clone());
                ctx.outbox_changed(chunk.link);
            }
        }
        for input in &commit.inputs {
            if ctx.is_in_column(input.link) {
                ctx.inbox(input.link).committed(input.epoch, input.through);
                ctx.inbox_changed(input.link);
            }
        }
        if commit.ended {
            self.end_outputs(ctx, true);
        }
    }

    /// Ends the outputs that take commits when they are appended, or those that wait until they are durable.
    fn end_outputs(&mut self, ctx: &mut Ctx, appended: bool) {
        for &link in &self.outputs {
            if ctx.goes_on_appended(link) == appended {
                ctx.outbox(link).end();
                ctx.outbox_changed(link);
            }
        }
    }

    /// A commit is durable: its outputs may leave its column, its inputs are acknowledged to other columns.
    pub(in crate::task) fn persisted(&mut self, ctx: &mut Ctx, id: CommitId) {
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

    /// Gives records to a link that drops what it has no room for.
    fn offer(&mut self, ctx: &mut Ctx, chunk: Chunk, needs: &mut Vec<(LinkId, Seq)>) {
        let offered = ctx.outbox(chunk.link).offer(chunk.body);
        if let Some(taken_out @ (behind, records)) = offered.taken_out {
            self.finish.taken_out(chunk.link, taken_out);
            let mine = needs.iter_mut().filter(|need| need.0 == chunk.link);
            mine.for_each(|need| moved_up(&mut need.1, behind, records));
        }
        match (offered.last, needs.iter_mut().find(|need| need.0 == chunk.link)) {
            (Some(last), Some(need)) => need.1 = last,
            (Some(last), None) => needs.push((chunk.link, last)),
            (None, _) => {}
        }
        ctx.outbox_changed(chunk.link);
    }

    fn take_effect(&mut self, ctx: &mut Ctx, commit: Commit) {
        let mut needs: Vec<(LinkId, Seq)> = Vec::new();
        for (first, chunk) in commit.outputs {
            if ctx.outbox_ref(chunk.link).drops() {
                self.offer(ctx, chunk, &mut needs);
                continue;
            }
            let last = first.plus(chunk.body.records()).before();
            match needs.iter_mut().find(|n| n.0 == chunk.link) {
                Some(need) => need.1 = last,
                None => needs.push((chunk.link, last)),
            }
            if !ctx.goes_on_appended(chunk.link) {
                ctx.outbox(chunk.link).push_assigned(chunk.body);
                ctx.outbox_changed(chunk.link);
            }
        }
        for input in &commit.inputs {
            if ctx.is_in_column(input.link) {
                continue;
            }
            if ctx.journaled && !ctx.is_local(input.link) {
                ctx.inbox(input.link).epoch_durable(input.epoch, input.journal);
                ctx.lives_durable.push(input.link);
            }
            ctx.inbox(input.link).committed(input.epoch, input.through);
            ctx.inbox_changed(input.link);
        }
        if commit.ended {
            self.life = Life::Ended;
            self.end_outputs(ctx, false);
        }
        // With a journal, committed is finished: nothing but the end has to be waited for.
        if !ctx.journaled || commit.ended {
            self.finish.push(Step { inputs: commit.inputs, needs, ended: commit.ended });
        }
    }
}

/// What goes out, on which link, and with the number of each chunk's first tuple: a header on each, and behind it what is dealt.
fn numbered(ctx: &mut Ctx, demand: &Demand, (heads, dealt): (Vec<Chunk>, Vec<Chunk>)) -> Vec<(Seq, Chunk)> {
    let number = |ctx: &mut Ctx, chunk: Chunk| {
        let mut outbox = ctx.outbox(chunk.link);
        // Who drops gives numbers to what is taken.
        let first = if outbox.drops() { outbox.next_seq() } else { outbox.assign(&chunk.body) };
        (first, chunk)
    };
    let mut outputs: Vec<_> = heads.into_iter().map(|head| number(ctx, head)).collect();
    for chunk in dealt {
        // One after the other: what a link was given counts for the next.
        let link = demand.choose(ctx, chunk.link);
        outputs.push(number(ctx, Chunk { link, ..chunk }));
    }
    outputs
}
