//! What is asked of the program, and how much of it at once; the program that is asked, and its ticks.

use super::{Phase, RecordsTask};
use crate::config::OnError;
use crate::ctx::Ctx;
use crate::event::{Action, Attempt, RecordsAction};
use crate::inbox::Piece;
use crate::task::Base;
use crate::task::systematic::Condemns as _;
use crate::timers::WakeReason;

impl RecordsTask {
    /// Asks as much as may be asked, behind a note of it.
    pub(super) fn ask_more(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let mut requests = Vec::new();
        let before = self.asked.records();
        while let Some(piece) = self.next(base, ctx) {
            if let Some(letter) = self.quarantine.condemned(&piece, ctx) {
                if self.spec.on_error == OnError::Halt {
                    self.waiting.push_front(piece);
                    return ctx.fail_task(&base.name, format!("{} (on_error = \"halt\")", letter.reason));
                }
                // What is held back before it is committed before it.
                if self.systematic.holds_any() {
                    self.systematic.hold(piece, letter);
                } else {
                    self.dead_letter(base, ctx, &piece, letter);
                    self.one_suspect_less();
                }
                continue;
            }
            self.ensure_started(base, ctx);
            if let Some(until) = self.quarantine.not_before(Some((piece.link, piece.first_seq)), ctx) {
                // Its program is started meanwhile, so that the record is not in flight for longer than it must be.
                self.waiting.push_front(piece);
                ctx.timers.set(WakeReason::Retry(base.id), until);
                break;
            }
            if self.quarantine.is_tried_alone(Some((piece.link, piece.first_seq)), ctx) {
                if !ctx.alone.has_turn(base.id) {
                    self.waiting.push_front(piece);
                    self.quarantine.wait_to_be_alone(base, ctx);
                    break;
                }
                ctx.timers.clear(WakeReason::Retry(base.id));
            }
            let (task, life, link, first_seq) = (base.id, self.life, piece.link, piece.first_seq);
            requests.push(Action::task(
                task,
                RecordsAction::Request { life, link, first_seq, batch: piece.batch.clone() },
            ));
            self.asked.push(piece);
        }
        if before == 0 && self.asked.records() > 0 {
            ctx.asking += 1;
        }
        if self.asked.records() > before {
            base.note(ctx, self.in_flight());
        }
        requests.into_iter().for_each(|request| ctx.act(request));
    }

    pub(super) fn in_flight(&self) -> Attempt {
        let Some(first) = self.asked.front().map(|p| (p.link, p.first_seq)) else {
            return self.quarantine.at_rest();
        };
        self.quarantine.in_flight(self.asked.records(), Some(first))
    }

    /// What may be asked next: what a life before was asked, then what the inboxes have.
    fn next(&mut self, base: &mut Base, ctx: &mut Ctx) -> Option<Piece> {
        let most = self.window.min(self.quarantine.records_max());
        let records = most.saturating_sub(self.asked.records());
        let cost = self.spec.in_flight_bytes.saturating_sub(self.asked.cost());
        if records == 0 || cost == 0 {
            return None;
        }
        if !self.waiting.is_empty() {
            return self.waiting.take(cost, records);
        }
        if base.has_input(ctx) && base.may_work(ctx) { base.take(ctx, cost, records) } else { None }
    }

    pub(super) fn ensure_started(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if self.phase != Phase::Idle {
            return;
        }
        self.life += 1;
        self.phase = Phase::Running { since: ctx.now };
        base.counters.programs += 1;
        ctx.act(Action::task(base.id, RecordsAction::Start { life: self.life }));
        if let Some(tick) = self.spec.tick {
            ctx.timers.set(WakeReason::Tick(base.id), ctx.now + tick);
        }
    }

    pub(crate) fn tick_due(&mut self, base: &Base, ctx: &mut Ctx) {
        if let (Phase::Running { .. }, Some(tick)) = (self.phase, self.spec.tick) {
            // What it makes of ticks must not pile up before destinations that take nothing: one is left out then.
            if base.may_work(ctx) {
                ctx.act(Action::task(base.id, RecordsAction::Tick { life: self.life }));
            }
            ctx.timers.set(WakeReason::Tick(base.id), ctx.now + tick);
        }
    }
}
