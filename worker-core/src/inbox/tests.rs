use super::*;
use bytes::Bytes;
use worker_proto::Batch;
use worker_proto::frame::{Open, RefusedWhy};

const LINK: LinkId = LinkId(3);
const EPOCH: Epoch = Epoch(9);

fn frame(first: u64, n: usize) -> BatchFrame {
    let batch = Batch::from_terminated(Bytes::from("0123456789\n".repeat(n)), b'\n');
    BatchFrame { link: LINK, epoch: EPOCH, first_seq: Seq(first), batch }
}

fn open(epoch: u64, first_unacked: u64, next: u64) -> Open {
    Open {
        link: LINK,
        epoch: Epoch(epoch),
        journal: JournalId(0),
        first_unacked: Seq(first_unacked),
        next: Seq(next),
    }
}

fn opened() -> Inbox {
    let mut inbox = Inbox::new(LINK, 1_000, AckWhen::Received);
    inbox.open(&open(9, 1, 1), JournalId(0)).unwrap();
    inbox
}

#[test]
fn drops_duplicates_trims_overlaps_and_refuses_gaps() {
    let mut inbox = opened();
    assert_eq!(inbox.accept(frame(1, 4)), Ok(4));
    assert_eq!(inbox.accept(frame(2, 3)), Ok(0));
    assert_eq!(inbox.accept(frame(3, 4)), Ok(2));
    assert_eq!((inbox.received(), inbox.counters().duplicate_records), (Seq(6), 5));
    assert_eq!(inbox.accept(frame(8, 1)), Err(Violation::Gap { link: LINK, expected: Seq(7), got: Seq(8) }));
    let taken: Vec<_> =
        std::iter::from_fn(|| inbox.take(30, 9)).map(|p| (p.first_seq.0, p.batch.len())).collect();
    assert_eq!(taken, [(1, 2), (3, 2), (5, 2)]);
}

#[test]
fn another_life_begins_where_it_says_whichever_clock_was_ahead() {
    let mut inbox = opened();
    inbox.accept(frame(1, 4)).unwrap();
    let answer = inbox.open(&open(12, 1, 1), JournalId(0)).unwrap();
    assert_eq!((answer.received, answer.committed, answer.ended), (Seq(0), Seq(0), false));
    assert_eq!(inbox.accept(frame(1, 1)), Err(Violation::NotOpen { link: LINK, epoch: EPOCH }));
    assert!(!inbox.is_empty(), "what was accepted of the old life is still processed");
    inbox.finished(EPOCH, Seq(4));
    assert_eq!(inbox.finished_through(), Seq(0), "positions of an old life mean nothing in the new one");
    assert!(inbox.open(&open(9, 1, 5), JournalId(0)).is_ok(), "lives are told apart, not put in order");
}

#[test]
fn a_new_receiver_starts_after_the_first_unacknowledged() {
    let mut inbox = Inbox::new(LINK, 1_000, AckWhen::Received);
    let answer = inbox.open(&open(9, 41, 50), JournalId(0)).unwrap();
    assert_eq!((answer.received, answer.finished), (Seq(40), Seq(40)));
    assert_eq!(inbox.accept(frame(41, 2)), Ok(2));
}

#[test]
fn positions_that_contradict_each_other_are_refused() {
    let mut inbox = opened();
    inbox.accept(frame(1, 4)).unwrap();
    assert_eq!(inbox.open(&open(9, 6, 9), JournalId(0)).unwrap_err().why, RefusedWhy::Position);
    assert_eq!(inbox.open(&open(9, 1, 4), JournalId(0)).unwrap_err().why, RefusedWhy::Position);
    assert!(inbox.open(&open(9, 5, 5), JournalId(0)).is_ok());
}

#[test]
fn acknowledges_when_received_or_when_committed() {
    let mut inbox = opened();
    inbox.accept(frame(1, 4)).unwrap();
    assert_eq!(inbox.poll_ack().map(|a| (a.through, a.finished)), Some((Seq(4), Seq(0))));
    assert_eq!(inbox.poll_ack(), None);
    let mut inbox = Inbox::new(LINK, 1_000, AckWhen::Committed);
    inbox.open(&open(9, 1, 1), JournalId(0)).unwrap();
    inbox.accept(frame(1, 4)).unwrap();
    assert_eq!(inbox.poll_ack().map(|a| a.through), Some(Seq(0)));
    inbox.take(1_000, 1_000);
    inbox.committed(EPOCH, Seq(4));
    assert_eq!(inbox.poll_ack().map(|a| a.through), Some(Seq(4)));
}

#[test]
fn a_peer_that_ignores_its_credit_is_refused() {
    let mut inbox = opened();
    assert_eq!(inbox.accept(frame(1, 66)), Ok(66), "990 of 1000 bytes");
    assert_eq!(inbox.accept(frame(67, 2)), Err(Violation::OverCredit { link: LINK, cost: 30 }));
}

#[test]
fn the_end_comes_once_and_nothing_behind_it() {
    let mut inbox = opened();
    inbox.accept(frame(1, 2)).unwrap();
    let end = |seq| End { link: LINK, epoch: EPOCH, seq: Seq(seq) };
    assert!(inbox.accept_end(end(4)).is_err());
    assert!(inbox.accept_end(end(3)).is_ok() && inbox.accept_end(end(3)).is_ok());
    assert!(!inbox.is_exhausted());
    inbox.take(1_000, 1_000);
    assert!(inbox.is_exhausted());
    assert_eq!(inbox.accept(frame(4, 1)), Err(Violation::BehindEnd { link: LINK, end: Seq(3) }));
}

#[test]
fn an_end_behind_the_end_is_refused_and_changes_nothing() {
    let mut inbox = opened();
    inbox.accept(frame(1, 2)).unwrap();
    let end = |seq| End { link: LINK, epoch: EPOCH, seq: Seq(seq) };
    inbox.accept_end(end(3)).unwrap();
    assert_eq!(inbox.accept_end(end(4)), Err(Violation::BehindEnd { link: LINK, end: Seq(3) }));
    assert_eq!((inbox.received(), inbox.end(), inbox.check()), (Seq(3), Some(Seq(3)), Ok(())));
}

#[test]
fn a_boundary_comes_only_where_records_come_in_chunks_and_ends_what_is_taken() {
    let batch = frame(1, 2).batch.joined(&Batch::boundary()).joined(&frame(1, 1).batch);
    let mixed = BatchFrame { batch, ..frame(1, 0) };
    let mut inbox = opened();
    assert_eq!(inbox.accept(mixed.clone()), Err(Violation::Boundary { link: LINK }));
    assert_eq!(inbox.received(), Seq(0), "nothing of it was taken");

    let mut inbox = Inbox::new(LINK, 1_000, AckWhen::Received).in_chunks();
    inbox.open(&open(9, 1, 1), JournalId(0)).unwrap();
    assert_eq!(inbox.accept(mixed), Ok(4));
    assert_eq!((inbox.received(), inbox.counters().records, inbox.queued_records()), (Seq(4), 3, 3));
    let taken = inbox.take(1_000, 100).unwrap();
    assert_eq!((taken.first_seq, taken.batch.records()), (Seq(1), 2));
    assert!(inbox.is_at_boundary() && inbox.take(1_000, 100).is_none(), "a boundary is taken by itself");
    assert_eq!(inbox.take_boundary(), Some((EPOCH, Seq(3))));
    assert_eq!(inbox.take_boundary(), None);
    assert_eq!(inbox.take(1_000, 100).map(|piece| piece.first_seq), Some(Seq(4)));
    assert_eq!((inbox.is_empty(), inbox.check()), (true, Ok(())));
}
