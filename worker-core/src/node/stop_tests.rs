//! A node that is told to stop, and programs that are in the middle of something.

use super::play::{Play, asked, batch, failure};
use super::tests::line;
use super::*;
use crate::config::TaskKind;
use crate::event::{
    BatchAction, BatchEvent, JournalAction, NodeAction, NodeEvent, Output, RecordsAction, RecordsEvent,
    Spent, TaskAction,
};
use std::time::Duration;

fn takes(play: &mut Play, f: impl Fn(&TaskAction) -> bool) -> bool {
    play.take(|action| match action {
        Action::Task(TaskId(1), action) if f(action) => Some(()),
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    })
    .is_some()
}

fn is_finished(play: &Play) -> bool {
    play.due.iter().any(|action| matches!(action, Action::Node(NodeAction::Finished)))
}

#[test]
fn the_end_that_a_sink_was_asked_for_is_waited_for_and_kept() {
    let mut play = Play::journaled(line(vec![TaskKind::Source, asked(10)]));
    assert!(play.read(&["x"]));
    assert!(takes(&mut play, |a| matches!(a, TaskAction::Records(RecordsAction::Request { .. }))));
    let answered = |records, ended| {
        let output = Output::default();
        Event::task(TaskId(1), RecordsEvent::Answered { life: 1, records, output, ended })
    };
    play.tell(answered(1, false));
    play.end_source();
    assert!(takes(&mut play, |a| matches!(a, TaskAction::Records(RecordsAction::End { life: 1 }))));
    play.tell(Event::Node(NodeEvent::Drain));
    assert!(!takes(&mut play, |a| matches!(a, TaskAction::Records(RecordsAction::Kill))));
    assert!(!is_finished(&play), "its effects are outside: asked again, it would have them twice");
    play.syncs = false;
    play.tell(answered(0, true));
    let ended = |a: &TaskAction| matches!(a, TaskAction::Journal(JournalAction::Persist(c)) if c.ended);
    assert!(takes(&mut play, ended));
}

#[test]
fn in_memory_a_stop_waits_for_no_backoff() {
    let mut play = Play::new(line(vec![TaskKind::Source, batch()]));
    assert!(play.read(&["x"]));
    play.pass(Duration::from_secs(2));
    let runs = |play: &mut Play| {
        play.take(|action| match action {
            Action::Task(TaskId(1), TaskAction::Batch(BatchAction::Run(run))) => Some(run.work),
            Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
        })
    };
    let work = runs(&mut play).expect("it is tried");
    let done = |result| Event::task(TaskId(1), BatchEvent::Done { work, result, spent: Spent::default() });
    play.tell(done(Err(failure())));
    assert_eq!(runs(&mut play), None, "it waits");
    play.tell(Event::Node(NodeEvent::Drain));
    assert!(runs(&mut play).is_some(), "there is no later life to try it in");
}
