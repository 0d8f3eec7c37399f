//! What a child was asked and what it has answered: bytes in, bytes out.

mod answers;

use super::effects::{Effects, Rules};
use super::order::{KeyHash, KeyOrder, OnePerKey};
use super::request::{Input, push_request, push_request_with_state, push_turn};
use super::state::KeyedState;
use crate::mutex::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use worker_core::event::DeadLetter;
use worker_core::route::{Envelope, RecordKey};
use worker_proto::{Batch, LinkId, Seq};

/// What a request is charged beside its record and key, in bytes.
const REQUEST_BYTES: u64 = 64;

/// How much may be asked and held.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingRequests {
    /// Requests asked, or answered behind one that is not; at least 1.
    pub(super) requests: usize,
    /// Bytes of them; one request may be larger.
    pub(super) bytes: u64,
    /// Bytes of answers behind a request that is not answered.
    pub(super) held_bytes: u64,
}

/// The protocol with one child, without its pipes.
///
/// [`Ledger::fill`] turns what was fed into requests as far as the window allows; [`Ledger::answer`] takes the child's lines;
/// [`Ledger::take`] gives what the answers to the contiguous run of oldest requests amount to. Ids count from 1 in the
/// order of the input, whatever the order in which requests are written.
#[derive(Debug)]
pub(super) struct Ledger {
    rules: Rules,
    window: PendingRequests,
    envelope_in: Envelope,
    key: Option<RecordKey>,
    /// Fed, and without ids.
    queue: VecDeque<Fed>,
    /// What the records of `slots` are in; the last one may have records without ids.
    inputs: VecDeque<Input>,
    /// Oldest first; the first one is not answered.
    slots: VecDeque<Slot>,
    /// Id of the first slot.
    first_id: u64,
    unanswered: usize,
    asked_bytes: u64,
    held_bytes: u64,
    /// Ids of unanswered ticks and the end.
    barriers: VecDeque<u64>,
    order: Option<KeyOrder>,
    inline: Option<Inline>,
    ready: Effects,
    ended: bool,
}

#[derive(Debug)]
struct Inline {
    state: Arc<Mutex<KeyedState>>,
    keys: OnePerKey,
}

#[derive(Debug)]
enum Fed {
    Input(Input),
    Turn(Asked),
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Record,
    Tick,
    End,
}

#[derive(Debug)]
struct Slot {
    asked: Asked,
    written: bool,
    answered: bool,
    /// Charged until it is answered.
    cost: u64,
    /// Of its key, where that is needed.
    key: KeyHash,
    /// The request before it with the same key, where that is known.
    before: u64,
    /// What it was answered, or the first lines of that.
    held: Option<Box<Effects>>,
}

impl Ledger {
    /// `key`: where records have it, `None` for a task without keys. `inline`: the state, if requests carry it.
    pub(super) fn new(
        rules: Rules,
        window: PendingRequests,
        envelope_in: Envelope,
        key: Option<RecordKey>,
        inline: Option<Arc<Mutex<KeyedState>>>,
    ) -> Self {
        let inline =
            inline.filter(|_| key.is_some()).map(|state| Inline { state, keys: OnePerKey::default() });
        Self {
            rules,
            window,
            envelope_in,
            key,
            queue: VecDeque::new(),
            inputs: VecDeque::new(),
            slots: VecDeque::new(),
            first_id: 1,
            unanswered: 0,
            asked_bytes: 0,
            held_bytes: 0,
            barriers: VecDeque::new(),
            order: None,
            inline,
            ready: Effects::default(),
            ended: false,
        }
    }

    pub(super) fn feed(&mut self, link: LinkId, first_seq: Seq, batch: Batch) {
        if !batch.is_empty() {
            self.queue.push_back(Fed::Input(Input::new(link, first_seq, batch, self.envelope_in)));
        }
    }

    pub(super) fn feed_tick(&mut self) {
        self.queue.push_back(Fed::Turn(Asked::Tick));
    }

    pub(super) fn feed_end(&mut self) {
        self.queue.push_back(Fed::Turn(Asked::End));
    }

    /// Whether the end was answered, and so everything.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// How many requests wait for their answer.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// How many of them the child was given.
    pub(super) fn in_flight(&self) -> usize {
        let kept = self.inline.as_ref().map_or(0, |inline| inline.keys.waiting + inline.keys.free.len());
        self.unanswered - kept
    }

    /// Appends requests until `out` has about `bytes_max` or the window is full.
    ///
    /// A window that was full is filled again only when half of it is free: so requests are written many at a time.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, bytes_max: usize) {
        self.write_free(out);
        let bytes = self.asked_bytes + self.held_bytes;
        let half = self.unanswered <= self.window.requests / 2 && bytes <= self.window.bytes / 2;
        if half || self.unanswered == 0 {
            while out.len() < bytes_max && self.has_room() && self.ask_next(out) {}
        }
    }

    fn has_room(&self) -> bool {
        self.slots.is_empty()
            || (self.slots.len() < self.window.requests
                && self.asked_bytes + self.held_bytes < self.window.bytes)
    }

    fn ask_next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.inputs.back().is_some_and(|input| !input.is_asked()) {
            if self.inline.is_some() && !self.barriers.is_empty() {
                return false;
            }
            self.ask_record(out);
            return true;
        }
        match self.queue.front() {
            None => return false,
            // Where requests wait for their keys, a tick is written when nothing waits any more.
            Some(Fed::Turn(_)) if self.inline.is_some() && !self.slots.is_empty() => return false,
            Some(Fed::Turn(_) | Fed::Input(_)) => {}
        }
        match self.queue.pop_front() {
            Some(Fed::Input(mut input)) => {
                input.first_id = self.next_id();
                self.inputs.push_back(input);
            }
            Some(Fed::Turn(turn)) => {
                let id = self.next_id();
                push_turn(out, id, turn.name());
                self.barriers.push_back(id);
                self.push_slot(Slot { asked: turn, written: true, ..Slot::record(REQUEST_BYTES) });
            }
            None => {}
        }
        true
    }

    fn ask_record(&mut self, out: &mut Vec<u8>) {
        let id = self.next_id();
        let Some(input) = self.inputs.back_mut() else { return };
        if let Err(no_key) = input.take_next(self.key.as_mut()) {
            let mut held = Box::new(Effects::default());
            held.dead_letter(DeadLetter { attempts: 0, ..input.dead_letter(id, no_key.to_string()) });
            self.held_bytes += held.cost();
            self.slots.push_back(Slot { answered: true, held: Some(held), ..Slot::record(0) });
            return self.settle();
        }
        let (key, record) = (input.key(id), input.record(id));
        let mut slot = Slot::record((record.len() + key.len()) as u64 + REQUEST_BYTES);
        if let Some(inline) = &mut self.inline {
            slot.key = KeyHash::of(key);
            inline.keys.ask(slot.key, id);
        } else {
            if let Some(order) = &mut self.order {
                slot.key = KeyHash::of(key);
                slot.before = order.ask(slot.key, id);
            }
            push_request(out, id, self.key.is_some().then_some(key), record);
            slot.written = true;
        }
        self.push_slot(slot);
        self.write_free(out);
    }

    fn push_slot(&mut self, slot: Slot) {
        self.unanswered += 1;
        self.asked_bytes += slot.cost;
        self.slots.push_back(slot);
    }

    /// Writes the requests whose keys have become free.
    fn write_free(&mut self, out: &mut Vec<u8>) {
        let Some(inline) = &mut self.inline else { return };
        while let Some(id) = inline.keys.free.pop_front() {
            let Some(input) = input_of(&self.inputs, id) else { continue };
            let key = input.key(id);
            let state = lock(&inline.state);
            push_request_with_state(out, id, key, input.record(id), state.current(key));
            if let Some(slot) = slot_of(&mut self.slots, self.first_id, id) {
                slot.written = true;
            }
        }
    }

    fn next_id(&self) -> u64 {
        self.first_id + self.slots.len() as u64
    }
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Tick => "tick",
            Self::End => "end",
        }
    }
}

impl Slot {
    fn record(cost: u64) -> Self {
        Self {
            asked: Asked::Record,
            written: false,
            answered: false,
            cost,
            key: KeyHash::default(),
            before: 0,
            held: None,
        }
    }
}

fn slot_of(slots: &mut VecDeque<Slot>, first_id: u64, id: u64) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(id.checked_sub(first_id)?).ok()?)
}

/// The batch a request's record is in.
fn input_of(inputs: &VecDeque<Input>, id: u64) -> Option<&Input> {
    match inputs.front() {
        Some(first) if id < first.ids_end() => Some(first),
        Some(_) | None => inputs.get(inputs.partition_point(|input| input.ids_end() <= id)),
    }
}

#[cfg(test)]
mod tests;
