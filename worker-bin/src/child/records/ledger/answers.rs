//! The answers of a child: each fits a request, and what the contiguous run of them amounts to.

use super::{Asked, Ledger, input_of, slot_of};
use crate::child::records::answer::Answer;
use crate::child::records::effects::{Answers, Extent};
use crate::child::records::fault::{ProtocolFault, shown};
use crate::child::records::order::{KeyHash, KeyOrder};
use crate::mutex::lock;

impl Ledger {
    /// Takes a line the child printed.
    pub(in crate::child::records) fn answer(&mut self, line: &[u8]) -> Result<(), ProtocolFault> {
        if self.ended {
            return Err(ProtocolFault::AfterEnd { shown: shown(line) });
        }
        let answer = Answer::parse(line).map_err(|why| ProtocolFault::not_answer(line, &why))?;
        let id = answer.id;
        let asked = self.check_id(id)?;
        if id != self.first_id {
            self.check_order(id, asked)?;
        }
        if let (Asked::Tick | Asked::End, Some(why)) = (asked, &answer.fail) {
            return Err(ProtocolFault::failed_turn(asked.name(), &why.text()));
        }
        let begun = self.add(&answer, asked)?;
        if answer.more {
            return Ok(());
        }
        self.close(id, begun);
        if id == self.first_id {
            self.settle();
        }
        Ok(())
    }

    fn check_id(&self, id: u64) -> Result<Asked, ProtocolFault> {
        if id != 0 && id < self.first_id {
            return Err(ProtocolFault::Twice { id });
        }
        let slot = id.checked_sub(self.first_id).and_then(|at| self.slots.get(usize::try_from(at).ok()?));
        match slot {
            Some(slot) if slot.answered => Err(ProtocolFault::Twice { id }),
            Some(slot) if slot.written => Ok(slot.asked),
            Some(_) | None if self.slots.is_empty() => Err(ProtocolFault::Unasked { id }),
            Some(_) | None => {
                let last = self.next_id() - 1;
                Err(ProtocolFault::Unknown { id, first: self.first_id, last })
            }
        }
    }

    /// Whether a request that is not the oldest may be answered now.
    fn check_order(&mut self, id: u64, asked: Asked) -> Result<(), ProtocolFault> {
        let first = self.first_id;
        if asked != Asked::Record {
            return Err(ProtocolFault::Barrier { id, before: first });
        }
        if let Some(&before) = self.barriers.front().filter(|&&barrier| barrier < id) {
            return Err(ProtocolFault::Barrier { id, before });
        }
        if self.key.is_none() {
            return Err(ProtocolFault::Order { id, before: first });
        }
        if self.inline.is_some() {
            return Ok(());
        }
        if self.order.is_none() {
            self.order = Some(self.order_so_far());
        }
        let before = slot_of(&mut self.slots, first, id).map_or(0, |slot| slot.before);
        match slot_of(&mut self.slots, first, before) {
            Some(slot) if !slot.answered => Err(ProtocolFault::KeyOrder { id, before }),
            Some(_) | None => Ok(()),
        }
    }

    /// Made when the first answer comes out of order.
    fn order_so_far(&mut self) -> KeyOrder {
        let mut order = KeyOrder::default();
        for (id, slot) in (self.first_id..).zip(&mut self.slots) {
            let unanswered = slot.asked == Asked::Record && !slot.answered;
            if let Some(input) = input_of(&self.inputs, id).filter(|_| unanswered) {
                slot.key = KeyHash::of(input.key(id));
                slot.before = order.ask(slot.key, id);
            }
        }
        order
    }

    /// Adds an answer, or a line of one, to what it will amount to. Gives how much there was before.
    fn add(&mut self, answer: &Answer<'_>, asked: Asked) -> Result<Extent, ProtocolFault> {
        let id = answer.id;
        let Self { rules, window, inputs, slots, first_id, ready, held_bytes, .. } = self;
        let Some(slot) = slot_of(slots, *first_id, id) else { return Err(ProtocolFault::Unasked { id }) };
        let at_once = id == *first_id && slot.held.is_none() && !answer.more;
        let before = if at_once { 0 } else { slot.held.as_ref().map_or(0, |held| held.cost()) };
        let effects = if at_once { ready } else { &mut **slot.held.get_or_insert_default() };
        let extent = effects.extent();
        let input = if asked == Asked::Record { input_of(inputs, id) } else { None };
        let own_key = input.filter(|_| self.key.is_some()).map(|input| input.key(id));
        let added = match (&answer.fail, input) {
            (Some(_), Some(_)) if before > 0 || answer.more || !answer.has_no_effects() => {
                Err(ProtocolFault::FailAndMore { id })
            }
            (Some(why), Some(input)) => {
                effects.dead_letter(input.dead_letter(id, why.text()));
                Ok(())
            }
            (Some(_), None) | (None, _) => effects.add(answer, own_key, rules),
        };
        if let Err(fault) = added {
            effects.cut_back(extent);
            slot.held.take_if(|_| before == 0);
            return Err(fault);
        }
        if !at_once {
            *held_bytes = *held_bytes + effects.cost() - before;
            if *held_bytes > window.held_bytes {
                let (bytes, limit) = (*held_bytes, window.held_bytes);
                return Err(ProtocolFault::TooFarAhead { first: *first_id, bytes, limit });
            }
        }
        Ok(extent)
    }

    /// The answer is complete.
    fn close(&mut self, id: u64, begun: Extent) {
        let Some(slot) = slot_of(&mut self.slots, self.first_id, id) else { return };
        slot.answered = true;
        self.unanswered -= 1;
        self.asked_bytes -= slot.cost;
        if slot.asked != Asked::Record {
            self.barriers.pop_front();
        } else if let Some(order) = &mut self.order {
            order.answer(slot.key, id);
        }
        if let Some(inline) = &mut self.inline {
            match &slot.held {
                Some(held) => lock(&inline.state).answer(held.all_changes()),
                None => lock(&inline.state).answer(self.ready.changes_since(begun)),
            }
            if slot.asked == Asked::Record {
                inline.keys.answer(slot.key);
            }
        }
    }

    /// Moves the answered requests from the front to what is ready.
    pub(super) fn settle(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.answered) {
            let Some(slot) = self.slots.pop_front() else { return };
            if let Some(held) = slot.held {
                self.held_bytes -= held.cost();
                self.ready.append(*held);
            }
            match slot.asked {
                Asked::Record => self.ready.records += 1,
                Asked::Tick => {}
                Asked::End => self.ended = true,
            }
            self.first_id += 1;
            if self.inputs.front().is_some_and(|input| input.ids_end() <= self.first_id) {
                self.inputs.pop_front();
            }
        }
    }

    /// What the answers since the last call amount to: a contiguous run of the input.
    pub(in crate::child::records) fn take(&mut self) -> Option<Answers> {
        (!self.ready.is_empty()).then(|| self.ready.take())
    }
}
