//! The journal against a model of it: a list of commits.

mod check;
mod crash;
mod damage;
mod input;
mod little_room;
mod model;
mod referring;
mod senseless;
mod shared;
mod space;
mod syncing;

use super::*;
use bytes::Bytes;
use model::{Model, identity, tiny};
use worker_core::event::{
    Attempt, Body, Chunk, Commit, CommitId, Headers, InputDone, Place, Printed, StreamStep, Turn,
};
use worker_core::inbox::Piece;
use worker_core::recovery::{HeldOutput, TaskState, WindowState};
use worker_proto::{Batch, Epoch, Fingerprint, JournalId, LinkId, Seq};

type MemJournal = Journal<MemStorage, NewestPosition>;

fn lines(text: &str) -> Batch {
    Batch::from_terminated(Bytes::copy_from_slice(text.as_bytes()), b'\n')
}

/// Records that came from another journal.
fn piece(text: &str) -> Piece {
    Piece { link: LinkId(9), epoch: Epoch(1), first_seq: Seq(1), batch: lines(text) }
}

fn commit(id: u64) -> Commit {
    let (inputs, outputs, dead) = (Vec::new(), Vec::new(), Vec::new());
    let attempt = Attempt::default();
    Commit { inputs, outputs, dead, attempt, ..Commit::empty(CommitId(id)) }
}

fn with_output(id: u64, link: u32, first: u64, text: &str) -> Commit {
    let chunk = Chunk { link: LinkId(link), body: Body::Memory(lines(text)) };
    Commit { outputs: vec![(Seq(first), chunk)], ..commit(id) }
}

fn open(storage: &MemStorage) -> Opened<MemStorage, NewestPosition> {
    Journal::open(storage.clone(), &identity(), tiny(), NewestPosition::default()).unwrap()
}

fn sync(journal: &mut MemJournal) {
    while let Some(ticket) = journal.to_sync() {
        let position = ticket.run().unwrap();
        journal.synced(position);
    }
}

/// A journal whose last record is not known to be durable.
pub(super) fn journal_with_everything() -> MemStorage {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let place = journal.stage(&lines("staged\n")).unwrap();
    let mut first = with_output(1, 1, 1, "a\nb\n");
    let stored = Chunk { link: LinkId(2), body: Body::Stored { place, records: 1, cost: 11 } };
    first.outputs.push((Seq(1), stored));
    let (link, epoch, through) = (LinkId(9), Epoch(3), Seq(10));
    first.inputs.push(InputDone { link, epoch, journal: JournalId(4), through, ended: false });
    first.position = Some(Bytes::from_static(b"here"));
    journal.append(&first, Some(77)).unwrap();
    let step = StreamStep::Admit { window: 1, pieces: vec![piece("x\n"), piece("y\n")] };
    journal.append(&Commit { stream: Some(step), ..commit(2) }, None).unwrap();
    sync(&mut journal);
    journal.append(&commit(3), None).unwrap();
    journal.note(&Attempt { records: 5, first: Some((LinkId(9), Seq(13))), alone: 1, suspects: 0 }).unwrap();
    disk
}

/// How many commits a journal says.
pub(super) fn reopened(disk: &MemStorage) -> u64 {
    open(disk).state.commits
}

#[test]
fn the_turn_of_a_task_comes_back_and_takes_no_byte_where_there_is_none() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let without = journal.append(&commit(1), None).unwrap();
    let turn = |taken| Some(Box::new(Turn { taken, given: vec![3, 4] }));
    let with = journal.append(&Commit { turn: turn(1), ..commit(2) }, None).unwrap();
    let again = journal.append(&commit(3), None).unwrap();
    assert!(with.0 - without.0 > again.0 - with.0, "a commit without one is as it was before there were any");
    sync(&mut journal);
    drop(journal);
    let Opened { mut journal, state, .. } = open(&disk);
    assert_eq!(state.turn, turn(1));
    let boundary = Chunk { link: LinkId(1), body: Body::Memory(Batch::boundary()) };
    let outputs = vec![(Seq(1), boundary)];
    journal.append(&Commit { outputs, turn: turn(2), ..commit(4) }, None).unwrap();
    sync(&mut journal);
    drop(journal);
    let Opened { journal, state, .. } = open(&disk);
    assert_eq!((state.turn, state.outputs[&LinkId(1)].held[0].cost), (turn(2), Batch::END_BYTES));
    assert_eq!(journal.read(LinkId(1), Seq(1), 1).unwrap(), Batch::boundary());
}

#[test]
fn headers_come_back_with_the_turn_and_without_it_and_through_a_checkpoint() {
    for turn in [None, Some(Box::new(Turn { taken: 5, given: vec![6] }))] {
        let disk = MemStorage::new();
        let mut journal = open(&disk).journal;
        let headers = |given: Option<&'static [u8]>| Headers {
            taken: Some(Bytes::from_static(b"a,\xff\"\n\"\r\n")),
            given: given.map(Bytes::from_static),
            at: [(LinkId(9), Seq(3))].into(),
        };
        let with =
            |id, headers| Commit { headers: Some(Box::new(headers)), turn: turn.clone(), ..commit(id) };
        journal.append(&with(1, headers(None)), None).unwrap();
        journal.append(&with(2, headers(Some(b"x\n"))), None).unwrap();
        // What says nothing of headers leaves them as they were.
        journal.append(&Commit { turn: turn.clone(), ..commit(3) }, None).unwrap();
        sync(&mut journal);
        drop(journal);
        for _ in 0..2 {
            let Opened { mut journal, state, .. } = open(&disk);
            assert_eq!(state.headers, headers(Some(b"x\n")));
            assert_eq!(state.turn.unwrap_or_default(), turn.clone().unwrap_or_default());
            journal.append(&commit(state.commits + 1), None).unwrap();
            sync(&mut journal);
        }
    }
}

#[test]
fn a_new_journal_says_nothing_and_each_life_has_a_higher_epoch() {
    let disk = MemStorage::new();
    let opened = open(&disk);
    assert!(opened.is_new);
    assert_eq!(opened.state, TaskState::fresh(Epoch(1), JournalId(7)));
    drop(opened);
    for epoch in 2..5 {
        disk.crash(epoch);
        let opened = open(&disk);
        assert!(!opened.is_new);
        assert_eq!(opened.state, TaskState::fresh(Epoch(epoch), JournalId(7)));
    }
}

#[test]
fn commits_come_back_with_everything_they_said() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let place = journal.stage(&lines("staged\n")).unwrap();
    let input =
        InputDone { link: LinkId(9), epoch: Epoch(3), journal: JournalId(4), through: Seq(10), ended: false };
    let mut first = with_output(1, 1, 1, "a\nb\n");
    let stored = Chunk { link: LinkId(2), body: Body::Stored { place, records: 1, cost: 11 } };
    first.outputs.push((Seq(1), stored));
    first.inputs.push(input);
    first.position = Some(Bytes::from_static(b"here"));
    journal.append(&first, Some(77)).unwrap();
    let mut second = with_output(2, 1, 3, "c\n");
    second.ended = true;
    second.inputs.push(InputDone { through: Seq(12), ended: true, ..input });
    journal.append(&second, None).unwrap();
    let attempt = Attempt { records: 5, first: Some((LinkId(9), Seq(13))), alone: 1, suspects: 0 };
    journal.note(&attempt).unwrap();
    sync(&mut journal);
    journal.acknowledged(LinkId(1), Seq(1));
    drop(journal);
    disk.crash(1);

    let Opened { journal, state, dead_bytes, .. } = open(&disk);
    assert_eq!(dead_bytes, Some(77));
    assert_eq!((state.commits, state.ended, state.attempt), (2, true, attempt));
    assert_eq!(state.position.as_deref(), Some(&b"here"[..]));
    let known = &state.inputs[&LinkId(9)];
    assert_eq!((known.through, known.ended, known.epoch), (Seq(12), true, Epoch(3)));
    let output = &state.outputs[&LinkId(1)];
    assert_eq!((output.next, output.end), (Seq(5), Some(Seq(4))));
    let held: Vec<_> = output.held.iter().map(|h| (h.first, h.records)).collect();
    assert_eq!(held, [(Seq(1), 2), (Seq(3), 1)]);
    assert_eq!(state.outputs[&LinkId(2)].held, [HeldOutput { first: Seq(1), records: 1, cost: 11 }]);
    assert_eq!(journal.read(LinkId(1), Seq(2), 2).unwrap().payload(), "b\nc\n");
    assert_eq!(journal.read(LinkId(2), Seq(1), 1).unwrap().payload(), "staged\n");
}

#[test]
fn only_what_is_held_can_be_read() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    journal.append(&with_output(1, 1, 1, "a\nb\n"), None).unwrap();
    journal.append(&with_output(2, 1, 3, "c\nd\n"), None).unwrap();
    assert_eq!(journal.read(LinkId(1), Seq(1), 4).unwrap().payload(), "a\nb\nc\nd\n");
    assert_eq!(journal.read(LinkId(1), Seq(3), 1).unwrap().payload(), "c\n");
    assert!(journal.read(LinkId(1), Seq(3), 3).is_err());
    assert!(journal.read(LinkId(8), Seq(1), 1).is_err());
    journal.acknowledged(LinkId(1), Seq(2));
    assert!(journal.read(LinkId(1), Seq(2), 1).is_err());
    disk.fail_reads(true);
    assert!(journal.read(LinkId(1), Seq(3), 1).is_err());
}

#[test]
fn commits_that_do_not_fit_are_refused_and_change_nothing() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    journal.append(&with_output(1, 1, 1, "a\n"), None).unwrap();
    let end = journal.end();
    let stored = Body::Stored { place: Place(1), records: 1, cost: 1 };
    let unknown_place =
        Commit { outputs: vec![(Seq(2), Chunk { link: LinkId(1), body: stored })], ..commit(2) };
    for bad in [commit(1), with_output(2, 1, 3, "gap\n"), with_output(2, 5, 1, "no link\n"), unknown_place] {
        assert!(matches!(journal.append(&bad, None), Err(JournalError::Misuse(_))), "{bad:?}");
    }
    assert_eq!(journal.end(), end);
    journal.append(&with_output(2, 1, 2, "b\n"), None).unwrap();
}

#[test]
fn a_window_is_kept_until_it_is_done() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let printed = Printed { records: 1, hash: 5 };
    let steps = [
        StreamStep::Admit { window: 1, pieces: vec![piece("x\n"), piece("y\nz\n")] },
        StreamStep::Printed { window: 1, printed },
        StreamStep::Cut { window: 1 },
    ];
    for (id, step) in (1..).zip(steps) {
        let text = if matches!(step, StreamStep::Printed { .. }) { "out\n" } else { "" };
        let base = if text.is_empty() { commit(id) } else { with_output(id, 1, 1, text) };
        journal.append(&Commit { stream: Some(step), ..base }, None).unwrap();
    }
    journal.acknowledged(LinkId(1), Seq(1));
    sync(&mut journal);
    disk.crash(1);
    let Opened { mut journal, state, .. } = open(&disk);
    let cost = lines("x\n").cost() + lines("y\nz\n").cost();
    assert_eq!(
        state.window,
        Some(WindowState { window: 1, cut: true, records: 3, cost, printed_records: 1 })
    );
    assert_eq!(join(journal.admitted(1).unwrap().iter()).unwrap().payload(), "x\ny\nz\n");
    assert_eq!(journal.printed(1), [printed]);
    let output = journal.printed_output(1, 0).unwrap();
    assert_eq!(output[0].1.read().unwrap().payload(), "out\n");
    assert!(journal.admitted(2).unwrap().is_empty());

    let done = StreamStep::Done { window: 1 };
    journal.append(&Commit { stream: Some(done), ..with_output(4, 1, 2, "held\n") }, None).unwrap();
    assert!(journal.printed(1).is_empty());
    journal.acknowledged(LinkId(1), Seq(1));
    assert_eq!(journal.live_bytes(), lines("held\n").cost());
    sync(&mut journal);
    disk.crash(2);
    let state = open(&disk).state;
    assert_eq!((state.window, state.windows), (None, 1));
}

#[test]
fn a_commit_says_what_is_still_in_flight() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let attempt = Attempt { records: 5, first: Some((LinkId(9), Seq(1))), alone: 1, suspects: 0 };
    journal.note(&attempt).unwrap();
    drop(journal);
    let Opened { mut journal, state, .. } = open(&disk);
    assert_eq!(state.attempt, attempt);
    let left = Attempt { records: 3, first: Some((LinkId(9), Seq(3))), alone: 0, suspects: 0 };
    journal.append(&Commit { attempt: left, ..commit(1) }, None).unwrap();
    drop(journal);
    let Opened { mut journal, state, .. } = open(&disk);
    assert_eq!(state.attempt, left);
    journal.append(&commit(2), None).unwrap();
    drop(journal);
    assert_eq!(open(&disk).state.attempt, Attempt::default());
}

#[test]
fn another_tasks_or_pipelines_journal_is_refused() {
    let disk = MemStorage::new();
    drop(open(&disk));
    let before = disk.contents();
    let other_task = Identity { task: "b/0".to_owned(), ..identity() };
    let other_pipeline = Identity { fingerprint: Fingerprint(2), ..identity() };
    for other in [other_task, other_pipeline] {
        let refused = Journal::open(disk.clone(), &other, tiny(), NewestPosition::default());
        assert!(matches!(refused, Err(JournalError::NotOurs { .. })), "{refused:?}");
    }
    assert_eq!(disk.contents(), before);
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let [one, other] = [5, 5].map(|seed| {
        let disk = MemStorage::new();
        let mut model = Model::new(seed);
        model.open(&disk);
        (0..200).for_each(|_| model.step(&disk));
        disk.contents()
    });
    assert!(one == other);
}
