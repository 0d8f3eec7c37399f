use super::super::{Request, Standing};
use super::*;
use crate::credit::SendWindow;
use crate::event::Place;
use crate::recovery::OutputState;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use worker_proto::Batch;

const MEMORY_MAX: u64 = 200;

fn lines(n: usize) -> Batch {
    Batch::from_terminated(Bytes::from("0123456789\n".repeat(n)), b'\n')
}

fn standing(committed: u64, received: u64) -> Standing {
    Standing { committed: Seq(committed), received: Seq(received), finished: Seq(0), credit: 10_000 }
}

/// Two batches of three tuples, of which five were sent and one is acknowledged.
fn in_use() -> Outbox {
    let mut outbox = Outbox::new(1_000);
    outbox.push(lines(3));
    outbox.open(standing(0, 0)).unwrap();
    outbox.pull(u64::MAX).unwrap();
    outbox.push(lines(3));
    outbox.pull(30).unwrap();
    outbox.acked(Seq(1), Seq(0), 0).unwrap();
    assert_eq!(outbox.check(), Ok(()));
    outbox
}

#[test]
fn says_which_number_is_wrong() {
    type Spoil = fn(&mut Outbox);
    let wrong: [(&str, Spoil); 11] = [
        ("order of positions", |o| o.finished = Seq(2)),
        ("order of positions", |o| o.held_next = o.next.next()),
        ("end", |o| o.end = Some(Seq(4))),
        ("held_records", |o| (o.held_next, o.next) = (Seq(8), Seq(8))),
        ("first held", |o| o.through = Seq(3)),
        ("cursor", |o| o.cursor = Seq(0)),
        ("cursor", |o| o.cursor = Seq(7)),
        ("index of the cursor", |o| o.at = 0),
        ("sent_max", |o| o.sent_max = Seq(7)),
        ("credit", |o| o.window = Some(SendWindow::new(10_000))),
        ("cancelled", |o| o.cancelled = true),
    ];
    for (what, spoil) in wrong {
        let mut outbox = in_use();
        spoil(&mut outbox);
        assert_eq!(outbox.check().map_err(|e| e.what()), Err(what));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Pull(u64),
    Ack(u64),
    Open(u64),
    Unbind,
    /// Does so many of the things that are asked.
    Serve(usize),
    End,
    Restart,
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..9_usize).prop_map(Step::Push),
        6 => (1..200_u64).prop_map(Step::Pull),
        4 => (0..100_u64).prop_map(Step::Ack),
        2 => (0..100_u64).prop_map(Step::Open),
        2 => Just(Step::Unbind),
        6 => (1..5_usize).prop_map(Step::Serve),
        1 => Just(Step::End),
        1 => Just(Step::Restart),
        1 => Just(Step::Cancel),
    ]
}

/// An outbox with what is outside of it.
struct Play {
    outbox: Outbox,
    is_journaled: bool,
    /// By position with a journal, else by place.
    outside: BTreeMap<u64, Batch>,
    places: u64,
}

impl Play {
    fn new(is_journaled: bool) -> Self {
        let outbox = if is_journaled {
            Outbox::restore(MEMORY_MAX, &OutputState::fresh())
        } else {
            Outbox::new(MEMORY_MAX)
        };
        Self { outbox, is_journaled, outside: BTreeMap::new(), places: 0 }
    }

    /// Does a step, if it makes sense now.
    fn act(&mut self, step: Step) {
        let outbox = &mut self.outbox;
        match step {
            Step::Push(n) if outbox.ended().is_none() => {
                let first = outbox.next_seq().0;
                if self.is_journaled {
                    self.outside.extend((0..n as u64).map(|i| (first + i, lines(1))));
                }
                outbox.push(lines(n));
            }
            Step::Pull(cost_max) => {
                if outbox.pull(cost_max).is_none() {
                    outbox.pull_end();
                }
            }
            Step::Ack(percent) if outbox.is_open() => {
                let through = outbox.through().0 + outbox.cursor().since(outbox.through()) * percent / 100;
                outbox.acked(Seq(through), outbox.finished(), 1_000).unwrap();
            }
            Step::Open(percent) if !outbox.is_open() && !outbox.is_cancelled() => {
                let first = outbox.first_unacked().before().0;
                let received = first + (outbox.next_seq().0 - 1 - first) * percent / 100;
                let least = outbox.through().0.max(first).min(received);
                let committed = least + (received - least) * (percent % 3) / 2;
                outbox.open(Standing { credit: 200, ..standing(committed, received) }).unwrap();
            }
            Step::Unbind => outbox.unbind(),
            Step::Serve(times) => (0..times).for_each(|_| self.serve()),
            Step::End if outbox.ended().is_none() => {
                outbox.end();
            }
            Step::Restart if !outbox.is_open() && !self.is_journaled => {
                outbox.receiver_restarted();
            }
            Step::Cancel => outbox.cancel(),
            Step::Push(_) | Step::Ack(_) | Step::Open(_) | Step::End | Step::Restart => {}
        }
    }

    fn serve(&mut self) {
        match self.outbox.poll_request() {
            Some(Request::Store { first_seq, batch }) => {
                self.places += 1;
                self.outside.insert(self.places, batch);
                self.outbox.stored(first_seq, Place(self.places));
            }
            Some(Request::Load { first_seq, records, .. }) if self.is_journaled => {
                let asked = self.outside.range(first_seq.0..first_seq.0 + records);
                let batch = asked.map(|(_, batch)| batch.clone()).reduce(|all, next| all.joined(&next));
                self.outbox.loaded(first_seq, batch.expect("what is not released is there"));
            }
            Some(Request::Load { first_seq, place, .. }) => {
                // What was acknowledged meanwhile may be discarded already.
                if let Some(batch) = self.outside.get(&place.0) {
                    self.outbox.loaded(first_seq, batch.clone());
                }
            }
            Some(Request::Discard { place }) => assert!(self.outside.remove(&place.0).is_some()),
            Some(Request::Release { through }) => self.outside.retain(|seq, _| *seq > through.0),
            None => {}
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_sums_agree(is_journaled: bool, steps in proptest::collection::vec(step(), 1..120)) {
        let mut play = Play::new(is_journaled);
        for step in steps {
            play.act(step);
            prop_assert_eq!(play.outbox.check(), Ok(()), "after {:?}", step);
        }
    }
}
