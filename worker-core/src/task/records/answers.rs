//! What the program answers: a growing prefix of what it was asked is committed, and failures that it tells of are held back until
//! it has succeeded once.

use super::{Phase, RecordsTask};
use crate::ctx::Ctx;
use crate::event::Output;
use crate::inbox::Pieces;
use crate::task::Base;
use crate::task::systematic::{Condemns as _, Verdict};

impl RecordsTask {
    /// The prefix of answered requests grew.
    pub(crate) fn answered(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        life: u64,
        records: u64,
        output: Output,
        ended: bool,
    ) {
        if life != self.life || !matches!(self.phase, Phase::Running { .. } | Phase::Ending { .. }) {
            return ctx.discard(output);
        }
        let failed = output.dead.iter().filter(|letter| letter.origin.is_some()).count() as u64;
        let (records, output) = if records > failed || !output.chunks.is_empty() {
            ctx.has_succeeded(base.id);
            self.condemn_undecided(base, ctx);
            (records, output)
        } else if records > 0 && self.systematic.is_open(base, ctx) {
            let rest = self.hold_answered(base, ctx, output);
            if ctx.is_halted() {
                return;
            }
            (0, rest)
        } else {
            (records, output)
        };
        let pieces = self.take_answered(records);
        let inputs = Base::positions(ctx, &pieces);
        let failed = output.dead.iter().filter(|letter| letter.origin.is_some()).count() as u64;
        base.taken_outside(pieces.records().saturating_sub(failed), pieces.cost());
        if !pieces.is_empty() {
            self.progress(records, &pieces);
            if self.asked.is_empty() {
                ctx.asked_nothing(base.id);
            } else {
                ctx.alone.other_ended();
            }
            base.in_flight = self.in_flight();
        }
        if ended && self.systematic.holds_any() {
            // It has ended well with nothing but failures: what those are is decided first.
            self.phase = Phase::Idle;
            return self.step(base, ctx);
        }
        if ended && matches!(self.phase, Phase::Ending { .. }) && self.asked.is_empty() {
            self.phase = Phase::Idle;
            self.stopped = true;
            self.quarantine.over();
            return base.commit_end(ctx, inputs, output);
        }
        let says_nothing = output.chunks.is_empty() && output.dead.is_empty() && output.position.is_none();
        if records > 0 || !says_nothing {
            base.commit(ctx, inputs, output, false);
        }
        if self.stopped && self.asked.is_empty() {
            return self.abandon(base, ctx);
        }
        self.step(base, ctx);
    }

    /// The program says of records that they failed, and has not succeeded with one yet: they are held back. Gives what else
    /// there is of its output.
    fn hold_answered(&mut self, base: &mut Base, ctx: &mut Ctx, mut output: Output) -> Output {
        let (letters, rest) = output.dead.into_iter().partition::<Vec<_>, _>(|l| l.origin.is_some());
        output.dead = rest;
        for letter in letters {
            let Some(piece) = self.asked.take(u64::MAX, 1) else { break };
            let why = letter.reason.clone();
            if let Verdict::StageFails(why) = self.systematic.failed(base, ctx, &why, &piece, letter) {
                ctx.fail_task(&base.name, why);
                return Output::default();
            }
        }
        self.answers_again();
        if self.asked.is_empty() {
            ctx.asked_nothing(base.id);
        }
        base.note(ctx, self.in_flight());
        output
    }

    /// The first requests, which are answered now. A program that claims to have answered more than it was asked has not.
    fn take_answered(&mut self, records: u64) -> Pieces {
        let mut answered = Pieces::default();
        while let Some(piece) = self.asked.take(u64::MAX, records - answered.records()) {
            answered.push(piece);
        }
        answered
    }

    fn answers_again(&mut self) {
        (self.failures, self.alone) = (0, 0);
        self.last_failure = None;
        self.backoff.reset();
    }

    fn progress(&mut self, records: u64, pieces: &Pieces) {
        self.answers_again();
        self.suspects = self.suspects.saturating_sub(records);
        if self.suspects == 0 {
            self.window = (self.window * 2).min(self.spec.in_flight);
        }
        self.quarantine.passed(pieces);
    }
}
