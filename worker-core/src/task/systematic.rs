//! Telling a stage that fails from records that fail.

use super::Base;
use super::order::Passing;
use crate::config::MaxDead;
use crate::ctx::Ctx;
use crate::event::{DeadLetter, Failure, FailureKind};
use crate::fault::Bug;
use crate::inbox::Piece;
use crate::timers::WakeReason;
use std::collections::BTreeMap;
use std::time::Duration;
use worker_proto::LinkId;

/// How long nothing may come behind so much held back that a sender may not be able to go on.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// Single records of a task that failed before any program of its stage has succeeded in this life: whose fault that is, theirs
/// or the stage's, is not known yet. They are held back, uncommitted, and so is their place in the order.
#[derive(Debug)]
pub(super) struct Systematic {
    all_may_fail: bool,
    undecided: Vec<(Piece, DeadLetter)>,
}

/// What becomes of a record that failed alone.
#[derive(Debug)]
pub(super) enum Verdict {
    Condemned(DeadLetter),
    /// It is held back.
    Undecided,
    /// It is the stage's fault: none of those that are held back is condemned.
    StageFails(String),
}

/// What becomes of what is held back when nothing more comes.
#[derive(Debug)]
enum Ending {
    /// Those, in order, are condemned.
    Condemned(Vec<(Piece, DeadLetter)>),
    /// Another task of the stage may still succeed.
    Undecided,
    StageFails(String),
}

/// A task that dead-letters single records, once it is known that they are at fault.
pub(super) trait Condemns {
    fn systematic(&mut self) -> &mut Systematic;

    /// Commits a record as a dead letter.
    fn dead_letter(&mut self, base: &mut Base, ctx: &mut Ctx, piece: &Piece, letter: DeadLetter);

    /// What keeps the ends of chunks behind the records that are held back.
    fn passing(&mut self) -> &mut Passing;

    /// Nothing more comes: what was held back is condemned, or the stage fails.
    fn decide(&mut self, base: &mut Base, ctx: &mut Ctx) {
        match self.systematic().at_the_end(base, ctx) {
            Ending::Condemned(condemned) => self.condemn(base, ctx, condemned),
            Ending::Undecided => {}
            Ending::StageFails(why) => ctx.fail_task(&base.name, why),
        }
    }

    /// Something has succeeded: what was held back is condemned.
    fn condemn_undecided(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let condemned = self.systematic().condemned(base, ctx);
        self.condemn(base, ctx, condemned);
    }

    /// With `rests`, nothing is left but what is held back. Where that is so much of one link that its sender may have to wait for
    /// it, and nothing comes for a while, nothing will: what would decide waits behind it.
    fn watch(&mut self, base: &Base, ctx: &mut Ctx, rests: bool) {
        let waits =
            rests && !base.has_input(ctx) && !base.is_exhausted() && base.paused.is_none() && !ctx.draining;
        if !waits || self.systematic().largest(ctx).is_none() {
            ctx.timers.clear(WakeReason::Verdict(base.id));
        } else if ctx.timers.at(WakeReason::Verdict(base.id)).is_none() {
            ctx.timers.set(WakeReason::Verdict(base.id), ctx.now + QUIET_MAX);
        }
    }

    /// Nothing has come since [`watch`](Self::watch) saw that.
    fn verdict_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let Some((link, bytes)) = self.systematic().largest(ctx) else { return };
        if ctx.stages.has_succeeded_before(base.id) {
            // As at the end: the stage's programs work, which an earlier life has shown.
            let condemned = std::mem::take(&mut self.systematic().undecided);
            return self.condemn(base, ctx, condemned);
        }
        let undecided = &self.systematic().undecided;
        let Some((_, first)) = undecided.first() else { return };
        let count = crate::words::plural(undecided.len() as u64, "record");
        let why = format!(
            "{count} failed, no program of this stage has ever succeeded, and nothing more comes: of {} {} bytes are held back until one \
             succeeds, and `outbox` and `spill_limit` let no more wait: {}; none is dead-lettered: mend the program, raise both \
             limits, or say max_dead = \"100%\" if all may fail",
            ctx.config.graph.link_name(link),
            crate::words::number(bytes),
            first.reason,
        );
        ctx.fail_task(&base.name, why);
    }

    fn condemn(&mut self, base: &mut Base, ctx: &mut Ctx, condemned: Vec<(Piece, DeadLetter)>) {
        for (decided, (piece, letter)) in condemned.into_iter().enumerate() {
            self.passing().decided(base, ctx, decided);
            self.dead_letter(base, ctx, &piece, letter);
        }
        if !self.systematic().holds_any() {
            self.passing().decided(base, ctx, usize::MAX);
        }
    }
}

impl Systematic {
    /// For a stage of which so many records may fail.
    pub(super) fn new(max_dead: MaxDead) -> Self {
        Self { all_may_fail: max_dead == MaxDead::Unlimited, undecided: Vec::new() }
    }

    /// Nothing has succeeded in this life, and that matters.
    pub(super) fn is_open(&self, base: &Base, ctx: &Ctx) -> bool {
        let is_sure = self.all_may_fail || ctx.planted.is(Bug::CondemnedUnproven);
        !is_sure && !ctx.stages.has_succeeded(base.id)
    }

    /// Those that were held back, in order, once something has succeeded: they are condemned by that.
    fn condemned(&mut self, base: &Base, ctx: &Ctx) -> Vec<(Piece, DeadLetter)> {
        if self.is_open(base, ctx) { Vec::new() } else { std::mem::take(&mut self.undecided) }
    }

    /// A record failed alone: its program did so, or it says so itself.
    pub(super) fn failed(
        &mut self,
        base: &Base,
        ctx: &mut Ctx,
        why: &str,
        piece: &Piece,
        letter: DeadLetter,
    ) -> Verdict {
        if !self.is_open(base, ctx) {
            return Verdict::Condemned(letter);
        }
        if let Some(all) = ctx.stages.failed(base.id, letter.cause) {
            return Verdict::StageFails(format!("{all}: {why}"));
        }
        self.hold(piece.clone(), letter);
        Verdict::Undecided
    }

    /// Holds a record back that is to be condemned once something succeeds.
    pub(super) fn hold(&mut self, piece: Piece, letter: DeadLetter) {
        self.undecided.push((piece, letter));
    }

    /// Nothing more comes to this task, and nothing has succeeded in this life.
    fn at_the_end(&mut self, base: &Base, ctx: &mut Ctx) -> Ending {
        ctx.at_end(base.id);
        match self.undecided.first() {
            None => Ending::Condemned(Vec::new()),
            Some(_) if ctx.stages.has_succeeded_before(base.id) => {
                Ending::Condemned(std::mem::take(&mut self.undecided))
            }
            Some(_) if !ctx.stages.all_at_end(base.id) => Ending::Undecided,
            Some((_, first)) => {
                let failures = ctx.stages.failures(base.id).max(1);
                let all = if failures == 1 {
                    "the only record".to_owned()
                } else {
                    format!("all {} records", crate::words::number(failures.into()))
                };
                Ending::StageFails(format!(
                    "{all} failed, and no program of this stage has ever succeeded: {}; none is dead-lettered: mend the program, or \
                     say max_dead = \"100%\" if all may fail",
                    first.reason
                ))
            }
        }
    }

    /// The link of which most is held back, and how much that is, where its sender is there and may have to wait for it
    /// ([`Base::may_work`]).
    fn largest(&self, ctx: &Ctx) -> Option<(LinkId, u64)> {
        let mut held: BTreeMap<LinkId, u64> = BTreeMap::new();
        for piece in self.undecided() {
            *held.entry(piece.link).or_default() += piece.batch.cost();
        }
        let room = (ctx.config.limits.outbox_bytes / 2).min(ctx.config.limits.spill_bytes);
        let is_full = |&(link, bytes): &(LinkId, u64)| bytes >= room && ctx.inbox_ref(link).is_open();
        held.into_iter().filter(is_full).max_by_key(|(_, bytes)| *bytes)
    }

    pub(super) fn holds_any(&self) -> bool {
        !self.undecided.is_empty()
    }

    pub(super) fn undecided(&self) -> impl Iterator<Item = &Piece> {
        self.undecided.iter().map(|(piece, _)| piece)
    }

    /// Nobody wants a verdict any more.
    pub(super) fn forget(&mut self, base: &Base, ctx: &mut Ctx) {
        self.undecided.clear();
        ctx.timers.clear(WakeReason::Verdict(base.id));
        ctx.at_end(base.id);
    }
}

/// The failure's message; for a silent exit 1 with the key that makes it a success, unless the driver has said so.
pub(super) fn advised(failure: &Failure) -> String {
    let message = &failure.message;
    if failure.kind == FailureKind::Exit(1) && failure.silent && !message.contains("ok_exit") {
        return format!(
            "{message}; it printed nothing: if status 1 is how it says \"no match\", set ok_exit = [0, 1] (on the command line --ok-exit 0,1)"
        );
    }
    message.clone()
}
