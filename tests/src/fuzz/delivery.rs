//! The two ends of a link over connections that break, with little room and processes that start anew: every record arrives once and in
//! order, memory stays within its budget, and when nothing more goes wrong everything arrives.

use super::Input;
use std::collections::{BTreeMap, VecDeque};
use worker_core::event::Place;
use worker_core::frame::{Ack, BatchFrame, End, Open};
use worker_core::inbox::{AckWhen, Inbox};
use worker_core::outbox::{Outbox, Request, Standing};
use worker_core::recovery::{HeldOutput, InputState, OutputState};
use worker_core::{Batch, BatchBuilder, Epoch, JournalId, LinkId, Seq};

const LINK: LinkId = LinkId(0);
const SENDERS: JournalId = JournalId(1);
const RECEIVERS: JournalId = JournalId(2);

/// What may come behind the last record's budget: an entry that is small, and the one that is being sent.
const SLACK_BYTES: u64 = 4096;

/// A step of the healed link must get further, or the link is stuck.
const ROUNDS_MAX: usize = 20_000;

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut link = Link::new(&mut input);
    while !input.is_empty() {
        link.step(&mut input);
        link.check();
    }
    link.heal();
}

enum Sent {
    Batch(BatchFrame),
    End(End),
}

struct Link {
    journaled: bool,
    memory_max: u64,
    capacity: u64,
    outbox: Outbox,
    inbox: Inbox,
    epoch: Epoch,
    wire: VecDeque<Sent>,
    acks: VecDeque<Ack>,
    /// What is outside memory: of a journal everything, by its number; of a spill batches, by their places.
    records: BTreeMap<u64, Vec<u8>>,
    spilled: BTreeMap<u64, Batch>,
    places: u64,
    pushed: u64,
    taken: u64,
    ended: bool,
    largest_cost: u64,
}

impl Link {
    fn new(input: &mut Input<'_>) -> Self {
        let journaled = input.chance();
        let memory_max = 1 + 16 * u64::from(input.byte());
        let capacity = 1 + 16 * u64::from(input.byte());
        let (outbox, ack_when) = match journaled {
            true => (Outbox::restore(memory_max, &OutputState::fresh()), AckWhen::Committed),
            false => (Outbox::new(memory_max), AckWhen::Received),
        };
        Self {
            journaled,
            memory_max,
            capacity,
            outbox,
            inbox: Inbox::new(LINK, capacity, ack_when),
            epoch: Epoch(1),
            wire: VecDeque::new(),
            acks: VecDeque::new(),
            records: BTreeMap::new(),
            spilled: BTreeMap::new(),
            places: 0,
            pushed: 0,
            taken: 0,
            ended: false,
            largest_cost: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0..=2 => self.push(1 + input.below(6), input.byte()),
            3 | 4 => self.pull(1 + 8 * u64::from(input.byte())),
            5 | 6 => self.deliver(),
            7 => self.acks.extend(self.inbox.poll_ack()),
            8 => self.acknowledge(),
            9 => self.break_connection(),
            10 => self.open(),
            11 => self.take(1 + 4 * u64::from(input.byte()), 1 + u64::from(input.below(5))),
            12 => self.commit(u64::from(input.below(8))),
            13 if input.below(4) == 0 => self.end(),
            13 | 14 => self.serve(1 + usize::from(input.below(3))),
            15 if self.journaled => {
                self.break_connection();
                if input.chance() { self.restart_receiver() } else { self.restart_sender() }
            }
            _ => {}
        }
    }

    fn check(&self) {
        assert_eq!(self.outbox.check(), Ok(()));
        assert_eq!(self.inbox.check(), Ok(()));
        // What is being stored is in memory until it is.
        let memory = self.outbox.memory_cost() - self.outbox.storing_cost();
        let most = self.memory_max + 2 * self.largest_cost + SLACK_BYTES.min(self.memory_max / 4);
        assert!(memory <= most, "{memory} bytes in memory, of {most}");
        assert!(self.inbox.queue_cost() <= self.capacity + self.largest_cost, "{}", self.inbox.queue_cost());
    }

    fn push(&mut self, count: u8, length: u8) {
        if self.ended {
            return;
        }
        let mut batch = BatchBuilder::default();
        for _ in 0..count {
            self.pushed += 1;
            let record =
                format!("{}{:.>length$}\n", self.pushed, "", length = usize::from(length) % 90).into_bytes();
            batch.push(&record);
            if self.journaled {
                self.records.insert(self.pushed, record);
            }
        }
        let batch = batch.take();
        self.largest_cost = self.largest_cost.max(batch.cost());
        self.outbox.push(batch);
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.outbox.end();
        }
    }

    fn pull(&mut self, cost_max: u64) {
        if let Some(pulled) = self.outbox.pull(cost_max) {
            let (link, epoch, first_seq, batch) = (LINK, self.epoch, pulled.first_seq, pulled.batch);
            self.wire.push_back(Sent::Batch(BatchFrame { link, epoch, first_seq, batch }));
        } else if let Some(seq) = self.outbox.pull_end() {
            self.wire.push_back(Sent::End(End { link: LINK, epoch: self.epoch, seq }));
        }
    }

    fn deliver(&mut self) {
        match self.wire.pop_front() {
            Some(Sent::Batch(frame)) => {
                self.inbox.accept(frame).expect("in order and within credit");
            }
            Some(Sent::End(end)) => self.inbox.accept_end(end).expect("behind everything"),
            None => {}
        }
    }

    fn acknowledge(&mut self) {
        if let Some(ack) = self.acks.pop_front() {
            self.outbox.acked(ack.through, ack.finished, ack.credit).expect("it was sent");
        }
    }

    fn break_connection(&mut self) {
        self.outbox.unbind();
        self.inbox.unbind();
        self.wire.clear();
        self.acks.clear();
    }

    fn open(&mut self) {
        self.break_connection();
        let journal = if self.journaled { SENDERS } else { JournalId(0) };
        let (first_unacked, next) = (self.outbox.first_unacked(), self.outbox.opening_next());
        let open = Open { link: LINK, epoch: self.epoch, journal, first_unacked, next };
        if self.inbox.needs_epoch(&open).expect("nothing is wrong with it") {
            self.inbox.epoch_durable(open.epoch, open.journal);
        }
        let opened = self.inbox.open(&open, RECEIVERS).expect("nothing is wrong with it");
        let standing = Standing {
            committed: opened.committed,
            received: opened.received,
            finished: opened.finished,
            credit: opened.credit,
        };
        self.outbox.open(standing).expect("nothing is wrong with it");
    }

    fn take(&mut self, cost_max: u64, records_max: u64) {
        let Some(piece) = self.inbox.take(cost_max, records_max) else { return };
        assert_eq!(piece.first_seq, Seq(self.taken + 1), "one behind the other");
        for record in piece.batch.iter() {
            self.taken += 1;
            let number: Vec<u8> = record.iter().copied().take_while(u8::is_ascii_digit).collect();
            assert_eq!(String::from_utf8_lossy(&number), self.taken.to_string());
        }
    }

    /// Everything that was taken but the last few is committed, and its effects are done.
    fn commit(&mut self, but: u64) {
        let all_taken = self.inbox.is_empty();
        let end = self.inbox.end().filter(|_| all_taken && but == 0);
        let through = end.unwrap_or(Seq(self.taken.saturating_sub(but)));
        self.inbox.committed(self.epoch, through);
        self.inbox.finished(self.epoch, through);
    }

    fn serve(&mut self, most: usize) {
        for _ in 0..most {
            let Some(request) = self.outbox.poll_request() else { return };
            match request {
                Request::Store { first_seq, batch } => {
                    self.places += 1;
                    self.spilled.insert(self.places, batch);
                    self.outbox.stored(first_seq, Place(self.places));
                }
                Request::Load { first_seq, place, records } => {
                    let batch = match self.journaled {
                        true => self.journal(first_seq, records),
                        false => self.spilled[&place.0].clone(),
                    };
                    self.outbox.loaded(first_seq, batch);
                }
                Request::Release { through } => self.records.retain(|&number, _| number > through.0),
                Request::Discard { place } => {
                    assert!(self.spilled.remove(&place.0).is_some(), "it was there");
                }
            }
        }
    }

    fn journal(&self, first: Seq, records: u64) -> Batch {
        let mut batch = BatchBuilder::default();
        (first.0..first.0 + records).for_each(|number| batch.push(&self.records[&number]));
        batch.take()
    }

    /// What was received and not committed comes again.
    fn restart_receiver(&mut self) {
        let through = self.inbox.committed_through();
        let ended = self.inbox.end() == Some(through);
        let known = self.inbox.epoch().is_some();
        let state = InputState { epoch: self.epoch, journal: SENDERS, through, ended };
        self.inbox = match known {
            true => Inbox::restore(LINK, self.capacity, &state),
            false => Inbox::new(LINK, self.capacity, AckWhen::Committed),
        };
        self.taken = through.0 - u64::from(ended);
    }

    /// Its next life has what its journal holds.
    fn restart_sender(&mut self) {
        let through = self.outbox.through();
        let first = self.records.keys().next().copied().unwrap_or(self.pushed + 1);
        let records = self.pushed + 1 - first;
        let held = HeldOutput { first: Seq(first), records, cost: self.journal(Seq(first), records).cost() };
        let end = self.ended.then_some(Seq(self.pushed + 1));
        let next = Seq(self.pushed + 1 + u64::from(self.ended));
        let held = if records > 0 { vec![held] } else { Vec::new() };
        self.largest_cost = self.largest_cost.max(held.iter().map(|held| held.cost).sum());
        self.outbox = Outbox::restore(self.memory_max, &OutputState { next, through, end, held });
        self.epoch = Epoch(self.epoch.0 + 1);
    }

    /// Nothing goes wrong any more: everything arrives, and is known to have.
    fn heal(mut self) {
        self.end();
        self.open();
        for _ in 0..ROUNDS_MAX {
            if self.outbox.is_finished() {
                break;
            }
            self.serve(usize::MAX);
            self.pull(u64::MAX);
            self.deliver();
            self.take(u64::MAX, u64::MAX);
            self.commit(0);
            self.acks.extend(self.inbox.poll_ack());
            self.acknowledge();
            self.check();
        }
        assert!(self.outbox.is_finished(), "stuck: {:?}, {:?}", self.outbox, self.inbox);
        assert_eq!(self.taken, self.pushed);
        self.serve(usize::MAX);
        assert!(self.spilled.is_empty(), "{:?} is never given free", self.spilled.keys());
    }
}
