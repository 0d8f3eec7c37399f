//! Programs that are killed on purpose: what they were given is run again, as often as it takes, and no attempt is used up.

use super::play::{Play, around, asked, batch, failure};
use super::*;
use crate::config::TaskKind;
use crate::event::{
    BatchAction, BatchEvent, Failure, FailureKind, RecordsAction, RecordsEvent, Spent, TaskAction,
};
use crate::stall::Reason;
use std::time::Duration;

const STAGE: TaskId = TaskId(1);

/// More often than any stage has attempts.
const DEATHS: u32 = 20;

fn injected() -> Failure {
    Failure { kind: FailureKind::Injected, ..failure() }
}

fn run(play: &mut Play) -> Option<(crate::event::WorkId, u32, u64)> {
    play.take(|action| match action {
        Action::Task(_, TaskAction::Batch(BatchAction::Run(run))) => {
            let records = run.input.iter().map(|batch| batch.len() as u64).sum();
            Some((run.work, run.attempt, records))
        }
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    })
}

#[test]
fn a_batch_whose_programs_are_killed_on_purpose_is_run_again_whole_and_at_once() {
    let mut play = Play::new(around(batch()));
    assert!(play.read(&["one", "two"]));
    play.pass(Duration::ZERO);
    for death in 0..DEATHS {
        let (work, attempt, records) = run(&mut play).unwrap_or_else(|| panic!("no run after {death}"));
        assert_eq!((attempt, records), (1, 2), "after {death}");
        let result = Err(injected());
        play.tell(Event::task(STAGE, BatchEvent::Done { work, result, spent: Spent::default() }));
    }
    // What fails by itself has all its attempts yet.
    for attempt in 1..3 {
        play.fail_run();
        assert!(matches!(play.reason(1), Reason::Backoff { attempts, .. } if attempts == attempt));
        let (until, _) = play.node.next_wake().unwrap();
        play.pass(until.since(play.now));
    }
    play.work();
    assert_eq!(play.written, ["one", "two"]);
}

#[test]
fn a_records_program_that_is_killed_on_purpose_is_asked_again() {
    let TaskKind::Records(spec) = asked(8) else { panic!("not records") };
    let mut play = Play::new(around(TaskKind::Records(spec)));
    assert!(play.read(&["one", "two"]));
    for death in 0..DEATHS {
        let mut asked_for = (0, 0);
        while let Some((life, records)) = play.take(|action| match action {
            Action::Task(_, TaskAction::Records(RecordsAction::Request { life, batch, .. })) => {
                Some((*life, batch.len()))
            }
            Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
        }) {
            asked_for = (life, asked_for.1 + records);
        }
        assert_eq!(asked_for.1, 2, "after {death}: together, as before");
        play.tell(Event::task(STAGE, RecordsEvent::Failed { life: asked_for.0, failure: injected() }));
    }
    play.work();
    assert_eq!(play.written, ["one", "two"]);
}
