//! After a death of the process: whose records are tried in small groups, whose alone, and who waits for that.

use super::play::{Play, asked, batch};
use super::tests::line;
use super::*;
use crate::config::TaskKind;
use crate::event::{
    Attempt, BatchAction, BatchEvent, Output, RecordsAction, RecordsEvent, Spent, TaskAction,
};
use crate::fault::Bug;
use crate::recovery::TaskState;
use crate::stall::Reason;
use std::time::Duration;
use worker_proto::{Epoch, JournalId, Seq};

const KINDS: [fn() -> TaskKind; 2] = [batch, || asked(10)];

/// Of a task's first record.
fn attempt(task: u32, records: u64, suspects: u64) -> Attempt {
    Attempt { records, first: Some((LinkId(task - 1), Seq(1))), alone: 0, suspects }
}

/// Source 0 gives to tasks 1, 2 …, each by the link before its number, and this was in flight with each when the process died.
fn after_a_death(kind: fn() -> TaskKind, attempts: &[Attempt]) -> Play {
    let kinds = attempts.iter().map(|_| kind());
    let mut config = line(std::iter::once(TaskKind::Source).chain(kinds).collect());
    config.slots = 8;
    config.graph.links.iter_mut().for_each(|link| link.from = TaskId(0));
    let none = Attempt::default();
    let states = (0..).zip(std::iter::once(&none).chain(attempts)).map(|(at, attempt)| {
        let fresh = TaskState::fresh(Epoch(1), JournalId(u64::from(at) + 1));
        (TaskId(at), TaskState { attempt: *attempt, ..fresh })
    });
    Play::recovered(config, &states.collect())
}

fn give(play: &mut Play, tasks: &[u32], lines: &[&str]) {
    let links: Vec<_> = tasks.iter().map(|task| task - 1).collect();
    assert!(play.read_to(&links, lines));
    play.pass(Duration::ZERO);
}

/// What a program was given, and what happens when it is done with that.
struct Begun {
    task: u32,
    records: usize,
    done: Event,
}

fn begun(play: &mut Play) -> Vec<Begun> {
    let mut all = Vec::new();
    while let Some(begun) = play.take(|action| {
        let Action::Task(task, action) = action else { return None };
        let (records, done) = match action {
            TaskAction::Batch(BatchAction::Run(run)) => {
                let (work, result, spent) = (run.work, Ok(Output::default()), Spent::default());
                let records = run.input.iter().map(worker_proto::Batch::len).sum();
                (records, Event::task(*task, BatchEvent::Done { work, result, spent }))
            }
            TaskAction::Records(RecordsAction::Request { life, batch, .. }) => {
                let (life, records, output) = (*life, batch.len() as u64, Output::default());
                let answered = RecordsEvent::Answered { life, records, output, ended: false };
                (batch.len(), Event::task(*task, answered))
            }
            TaskAction::Batch(_)
            | TaskAction::Records(_)
            | TaskAction::Stream(_)
            | TaskAction::Source(_)
            | TaskAction::Sink(_)
            | TaskAction::Journal(_) => return None,
        };
        Some(Begun { task: task.0, records, done })
    }) {
        all.push(begun);
    }
    all
}

fn tasks(begun: &[Begun]) -> Vec<u32> {
    begun.iter().map(|begun| begun.task).collect()
}

fn finish(play: &mut Play, begun: Vec<Begun>) {
    begun.into_iter().for_each(|begun| play.tell(begun.done));
    play.pass(Duration::ZERO);
}

#[test]
fn a_death_makes_groups_smaller_and_holds_up_nobody() {
    for kind in KINDS {
        let mut play = after_a_death(kind, &[attempt(1, 8, 0), attempt(2, 1, 0), Attempt::default()]);
        give(&mut play, &[1, 2, 3], &["1", "2", "3", "4", "5", "6", "7", "8"]);
        let begun = begun(&mut play);
        assert_eq!(tasks(&begun), [1, 2, 3]);
        let records: Vec<_> = begun.iter().map(|begun| begun.records).collect();
        assert_eq!(records, [4, 1, 8], "half of what it was, one, and all");
        assert!(matches!(play.reason(3), Reason::ChildBusy { .. }));
    }
}

#[test]
fn a_record_that_was_in_flight_in_two_deaths_is_tried_alone() {
    for kind in KINDS {
        let mut play = after_a_death(kind, &[attempt(1, 1, 1), attempt(2, 1, 0)]);
        give(&mut play, &[1, 2], &["suspect"]);
        let first = begun(&mut play);
        assert_eq!(tasks(&first), [1]);
        assert_eq!(play.reason(2), Reason::Quarantined { tried: vec![TaskId(1)] });
        finish(&mut play, first);
        assert_eq!(tasks(&begun(&mut play)), [2]);
    }
}

/// Without that rule no death of a busy node would count, and the record would never be found.
#[test]
fn the_rule_is_needed() {
    for kind in KINDS {
        let mut play = after_a_death(kind, &[attempt(1, 1, 1), attempt(2, 1, 0)]);
        play.node.plant(Bug::TriedBesideOthers);
        give(&mut play, &[1, 2], &["suspect"]);
        assert_eq!(tasks(&begun(&mut play)), [1, 2]);
    }
}

#[test]
fn what_is_in_flight_is_waited_for_and_nothing_else_begins() {
    for kind in KINDS {
        for it_ends in [true, false] {
            let mut play = after_a_death(kind, &[attempt(1, 1, 1), attempt(2, 1, 0), Attempt::default()]);
            give(&mut play, &[2], &["long"]);
            let long = begun(&mut play);
            assert_eq!(tasks(&long), [2]);
            give(&mut play, &[1, 3], &["suspect"]);
            assert_eq!(tasks(&begun(&mut play)), Vec::<u32>::new());
            assert_eq!(play.reason(1), Reason::Quarantined { tried: vec![TaskId(2)] });
            assert_eq!(play.reason(3), Reason::Quarantined { tried: vec![TaskId(1)] });
            play.pass(Duration::from_secs(4));
            assert_eq!(tasks(&begun(&mut play)), Vec::<u32>::new());
            if it_ends {
                finish(&mut play, long);
                let alone = begun(&mut play);
                assert_eq!(tasks(&alone), [1]);
                play.pass(Duration::from_secs(60));
                assert_eq!(
                    tasks(&begun(&mut play)),
                    Vec::<u32>::new(),
                    "it is alone for as long as it takes"
                );
                finish(&mut play, alone);
                assert_eq!(tasks(&begun(&mut play)), [3]);
            } else {
                // What takes so long must not hold up the node.
                play.pass(Duration::from_secs(1));
                let mut both = tasks(&begun(&mut play));
                both.sort_unstable();
                assert_eq!(both, [1, 3]);
            }
        }
    }
}

#[test]
fn between_two_that_are_tried_alone_the_others_begin() {
    for kind in KINDS {
        let mut play = after_a_death(
            kind,
            &[attempt(1, 1, 1), attempt(2, 1, 1), Attempt::default(), Attempt::default()],
        );
        give(&mut play, &[1, 2, 3, 4], &["one"]);
        let mut order = Vec::new();
        loop {
            let now = begun(&mut play);
            if now.is_empty() {
                break;
            }
            order.push(tasks(&now));
            finish(&mut play, now);
        }
        assert_eq!(order, [vec![1], vec![3, 4], vec![2]]);
    }
}

/// It is suspected no more when it is through: the next one is no part of it.
#[test]
fn behind_the_suspects_all_is_as_before() {
    for kind in KINDS {
        let mut play = after_a_death(kind, &[attempt(1, 1, 1), attempt(2, 1, 0)]);
        give(&mut play, &[1], &["suspect"]);
        let first = begun(&mut play);
        finish(&mut play, first);
        give(&mut play, &[1, 2], &["1", "2", "3"]);
        let mut begun: Vec<_> = begun(&mut play).iter().map(|begun| (begun.task, begun.records)).collect();
        begun.sort_unstable();
        assert_eq!(begun, [(1, 3), (2, 1)], "one of task 2 is suspected");
    }
}
