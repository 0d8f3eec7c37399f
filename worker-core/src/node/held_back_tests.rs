//! Records that are held back until a program of their stage has succeeded, while others of their task are at a program.

use super::play::{Play, batch, failure};
use super::tests::line;
use super::*;
use crate::config::TaskKind;
use crate::event::{BatchAction, BatchEvent, Failure, JournalAction, Output, Spent, TaskAction, WorkId};
use std::time::Duration;
use worker_proto::Seq;

/// Source 0 → stage s with tasks 1 and 2, which are sinks.
fn two_tasks() -> NodeConfig {
    let mut config = line(vec![TaskKind::Source, batch(), batch()]);
    config.slots = 2;
    for (at, name) in [(1, "s/0"), (2, "s/1")] {
        config.graph.tasks[at].name = name.into();
    }
    config.graph.links[1].from = TaskId(0);
    config
}

fn run_of(play: &mut Play, of: TaskId) -> Option<WorkId> {
    play.pass(Duration::from_secs(2));
    play.take(|action| match action {
        Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) if *task == of => Some(run.work),
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    })
}

fn ends(play: &mut Play, task: TaskId, work: WorkId, result: Result<Output, Failure>) {
    play.tell(Event::task(task, BatchEvent::Done { work, result, spent: Spent::default() }));
}

#[test]
fn what_is_at_a_program_stays_noted_when_what_was_held_back_before_it_is_condemned() {
    let (good, bad) = (TaskId(1), TaskId(2));
    let mut play = Play::journaled(two_tasks());
    assert!(play.read_to(&[1], &["bad"]));
    for _ in 0..3 {
        let work = run_of(&mut play, bad).expect("it is tried");
        ends(&mut play, bad, work, Err(failure()));
    }
    assert!(play.read_to(&[1], &["next"]));
    let next = run_of(&mut play, bad).expect("what comes behind is tried");
    assert!(play.read_to(&[0], &["good"]));
    let work = run_of(&mut play, good).expect("the other task's record is tried");
    play.syncs = false;
    ends(&mut play, good, work, Ok(Output::default()));
    let condemned = play.take(|action| match action {
        Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) if *task == bad => {
            Some(commit.clone())
        }
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    });
    let condemned = condemned.expect("a success of the stage decides");
    assert_eq!(condemned.dead.len(), 1);
    let noted = condemned.attempt;
    assert_eq!((noted.records, noted.first), (1, Some((LinkId(1), Seq(2)))), "a death now is one with it");
    ends(&mut play, bad, next, Ok(Output::default()));
}
