//! A program that died, broke the protocol or hung: what it owed is asked again, of half as many at once, until the record that it
//! dies of is alone.

use super::{Phase, RecordsTask};
use crate::config::OnError;
use crate::ctx::Ctx;
use crate::event::{Contents, DeadLetter, Failure, FailureKind, Report};
use crate::task::Base;
use crate::task::systematic::{Condemns as _, Verdict, advised};
use crate::timers::WakeReason;

impl RecordsTask {
    /// The program died, broke the protocol or hung.
    pub(crate) fn failed(&mut self, base: &mut Base, ctx: &mut Ctx, life: u64, failure: Failure) {
        if life != self.life || !matches!(self.phase, Phase::Running { .. } | Phase::Ending { .. }) {
            return;
        }
        ctx.timers.clear(WakeReason::Tick(base.id));
        if self.asked.records() > 0 {
            base.nothing_in_flight(ctx);
        }
        if matches!(failure.kind, FailureKind::CannotStart | FailureKind::Worker) {
            return ctx.fail_task(&base.name, failure.message);
        }
        if self.stopped {
            self.take_back(base, ctx);
            self.phase = Phase::Idle;
            return self.abandon(base, ctx);
        }
        let in_flight = self.asked.records();
        if failure.kind == FailureKind::Injected {
            base.counters.retried_records += in_flight;
            self.take_back(base, ctx);
            self.phase = Phase::Idle;
            return self.step(base, ctx);
        }
        self.failures += 1;
        ctx.act(Report::BatchFailed {
            task: base.id,
            batch: self.life,
            records: in_flight,
            attempt: self.failures,
            why: failure.message.clone(),
        });
        base.counters.retried_records += in_flight;
        self.last_failure = Some(failure.clone());
        self.take_back(base, ctx);
        self.phase = Phase::Idle;
        if self.has_attempts(in_flight) {
            let until = ctx.now + self.backoff.fail(&mut ctx.rng);
            self.phase = Phase::Backoff { until };
            return ctx.timers.set(WakeReason::Retry(base.id), until);
        }
        match in_flight {
            0 => {
                let why =
                    format!("{} (nothing was asked of it; {} runs ended so)", failure.message, self.failures);
                return ctx.fail_task(&base.name, why);
            }
            1 => self.failed_alone(base, ctx, failure),
            _ => {
                self.suspects = self.suspects.max(in_flight);
                self.window = in_flight / 2;
            }
        }
        if !ctx.is_halted() {
            self.step(base, ctx);
        }
    }

    /// Whether what so many records were in flight for is tried again as it is: a whole group and a record alone have all their
    /// attempts, half a group has one.
    fn has_attempts(&mut self, in_flight: u64) -> bool {
        let most = self.spec.retry.max_attempts;
        let is_whole = self.suspects == 0 && self.failures < most;
        self.alone = if in_flight == 1 { self.alone + 1 } else { 0 };
        if is_whole || in_flight != 1 || self.alone >= most {
            return is_whole;
        }
        if self.alone == 1 {
            self.backoff.reset();
        }
        // Nothing else is asked beside it.
        (self.suspects, self.window) = (self.suspects.max(1), 1);
        true
    }

    /// What was asked and not answered is asked again, before anything else.
    pub(super) fn take_back(&mut self, base: &Base, ctx: &mut Ctx) {
        if !self.asked.is_empty() {
            ctx.asked_nothing(base.id);
        }
        self.waiting.put_back(std::mem::take(&mut self.asked));
    }

    fn failed_alone(&mut self, base: &mut Base, ctx: &mut Ctx, failure: Failure) {
        if self.spec.on_error == OnError::Halt {
            return ctx.fail_task(&base.name, format!("{} (on_error = \"halt\")", failure.message));
        }
        let Some(piece) = self.waiting.take(u64::MAX, 1) else { return };
        let letter = DeadLetter {
            record: piece.batch.compact().payload().clone(),
            batch_id: None,
            cause: Some(failure.kind),
            reason: failure.message.clone(),
            attempts: self.failures,
            stderr_tail: failure.stderr_tail.clone(),
            origin: Some((piece.link, piece.first_seq)),
            contents: Contents::Record,
            header: None,
        };
        (self.failures, self.alone) = (0, 0);
        self.backoff.reset();
        match self.systematic.failed(base, ctx, &advised(&failure), &piece, letter) {
            Verdict::Condemned(letter) => self.dead_letter(base, ctx, &piece, letter),
            Verdict::Undecided => {}
            Verdict::StageFails(why) => {
                self.waiting.push_front(piece);
                return ctx.fail_task(&base.name, why);
            }
        }
        self.one_suspect_less();
    }

    pub(super) fn one_suspect_less(&mut self) {
        self.suspects = self.suspects.saturating_sub(1);
        if self.suspects == 0 {
            self.window = (self.window * 2).min(self.spec.in_flight);
        }
    }
}
