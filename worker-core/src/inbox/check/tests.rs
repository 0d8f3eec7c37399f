use super::*;
use crate::credit::ReceiveWindow;
use crate::inbox::Piece;
use bytes::Bytes;
use proptest::prelude::*;
use worker_proto::frame::{BatchFrame, End, Open};
use worker_proto::{Epoch, JournalId, LinkId, Seq};

const LINK: LinkId = LinkId(3);

fn lines(n: usize) -> Batch {
    Batch::from_terminated(Bytes::from("0123456789\n".repeat(n)), b'\n')
}

fn frame(epoch: u64, first: u64, n: usize) -> BatchFrame {
    BatchFrame { link: LINK, epoch: Epoch(epoch), first_seq: Seq(first), batch: lines(n) }
}

fn open(epoch: u64, first_unacked: u64, next: u64) -> Open {
    let (epoch, journal) = (Epoch(epoch), JournalId(0));
    Open { link: LINK, epoch, journal, first_unacked: Seq(first_unacked), next: Seq(next) }
}

/// Six tuples were received, of which two are taken and one is committed.
fn in_use() -> Inbox {
    let mut inbox = Inbox::new(LINK, 1_000, AckWhen::Received);
    inbox.open(&open(9, 1, 1), JournalId(0)).unwrap();
    inbox.accept(frame(9, 1, 6)).unwrap();
    inbox.take(1_000, 2).unwrap();
    inbox.committed(Epoch(9), Seq(1));
    assert_eq!(inbox.check(), Ok(()));
    inbox
}

#[test]
fn says_which_number_is_wrong() {
    type Spoil = fn(&mut Inbox);
    let behind = |first: u64| Piece { link: LINK, epoch: Epoch(9), first_seq: Seq(first), batch: lines(1) };
    let wrong: [(&str, Spoil); 8] = [
        ("order of positions", |i| i.finished = Seq(2)),
        ("order of positions", |i| i.committed = Seq(7)),
        ("end", |i| i.end = Some(Seq(6))),
        ("closed", |i| i.closed = true),
        ("queued is not committed", |i| i.committed = Seq(3)),
        ("received", |i| i.received = Seq(7)),
        ("credit", |i| i.window = Some(ReceiveWindow::open(1_000, 0))),
        ("capacity", |i| i.capacity = 45),
    ];
    for (what, spoil) in wrong {
        let mut inbox = in_use();
        spoil(&mut inbox);
        assert_eq!(inbox.check().map_err(|e| e.what()), Err(what));
    }
    let mut inbox = in_use();
    inbox.queue.push(behind(8));
    assert_eq!(inbox.check().map_err(|e| e.what()), Err("numbers without a gap"));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Tuples from so far before what is expected on.
    Accept(u64, usize),
    Take(u64, u64),
    Commit(u64),
    Finish(u64),
    Acknowledge,
    Unbind,
    Open,
    /// The sender begins a new life.
    Restart,
    End,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_u64, 1..9_usize).prop_map(|(back, n)| Step::Accept(back, n)),
        6 => (0..200_u64, 0..9_u64).prop_map(|(cost, records)| Step::Take(cost, records)),
        4 => (0..=100_u64).prop_map(Step::Commit),
        2 => (0..=100_u64).prop_map(Step::Finish),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::Unbind),
        3 => Just(Step::Open),
        1 => Just(Step::Restart),
        1 => Just(Step::End),
        1 => Just(Step::Close),
    ]
}

/// What an inbox is told; of positions only what makes sense.
struct Play {
    inbox: Inbox,
    epoch: u64,
    /// Taken through, in the present life of the sender.
    taken: u64,
}

impl Play {
    fn act(&mut self, step: Step) {
        let inbox = &mut self.inbox;
        let (received, committed) = (inbox.received().0, inbox.committed_through().0);
        match step {
            Step::Accept(back, n) => {
                // Past the credit, behind the end and unbound this is refused, and must change nothing.
                let first = (received + 1).saturating_sub(back).max(1);
                inbox.accept(frame(self.epoch, first, n)).ok();
            }
            Step::Take(cost_max, records_max) => {
                let piece = inbox.take(cost_max, records_max);
                if let Some(piece) = piece.filter(|p| p.epoch == Epoch(self.epoch)) {
                    self.taken = piece.last_seq().0;
                }
            }
            Step::Commit(percent) => {
                let through = committed + self.taken.saturating_sub(committed) * percent / 100;
                inbox.committed(Epoch(self.epoch), Seq(through));
            }
            Step::Finish(percent) => {
                let finished = inbox.finished_through().0;
                inbox.finished(Epoch(self.epoch), Seq(finished + (committed - finished) * percent / 100));
            }
            Step::Acknowledge => drop(inbox.poll_ack()),
            Step::Unbind => inbox.unbind(),
            Step::Open => {
                inbox.open(&open(self.epoch, received + 1, received + 1), JournalId(0)).ok();
            }
            Step::Restart => {
                inbox.unbind();
                self.epoch += 1;
                self.taken = if inbox.ack_when == AckWhen::Committed { self.taken } else { 0 };
            }
            Step::End => {
                let (link, epoch, seq) = (LINK, Epoch(self.epoch), Seq(received + 1));
                inbox.accept_end(End { link, epoch, seq }).ok();
            }
            Step::Close => inbox.close(),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_sums_agree(durable: bool, steps in proptest::collection::vec(step(), 1..120)) {
        let ack_when = if durable { AckWhen::Committed } else { AckWhen::Received };
        let mut play = Play { inbox: Inbox::new(LINK, 200, ack_when), epoch: 1, taken: 0 };
        for step in steps {
            play.act(step);
            prop_assert_eq!(play.inbox.check(), Ok(()), "after {:?}", step);
        }
    }
}
