//! A task that the user holds up: it starts nothing, what is upstream waits by credit, and it goes on where it was.

use super::play::{Play, around, asked, batch, failure};
use super::tests::{line, stream_spec};
use super::*;
use crate::config::{StreamSpec, TaskKind, Window};
use crate::event::{
    BatchAction, RecordsAction, RecordsEvent, SinkAction, SourceEvent, StreamAction, StreamEvent, TaskAction,
    TaskEvent,
};
use crate::stall::Reason;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const SOURCE: TaskId = TaskId(0);
const STAGE: TaskId = TaskId(1);
const SINK: TaskId = TaskId(2);

fn pause(play: &mut Play, task: TaskId, paused: bool) {
    play.tell(Event::Task(task, TaskEvent::Pause { paused }));
}

fn kinds() -> [TaskKind; 3] {
    [batch(), TaskKind::Stream(stream_spec()), asked(100)]
}

/// The whole life of source → stage → sink in which one task is paused after some records, and then goes on; everything
/// arrives, in order.
fn held_up_amid(kind: &TaskKind, task: TaskId, journaled: bool) {
    let config = around(kind.clone());
    let mut play = if journaled { Play::journaled(config) } else { Play::new(config) };
    let mut read = 0;
    for _ in 0..3 {
        assert!(read_next(&mut play, &mut read));
        play.pass(Duration::ZERO);
        play.work();
    }
    pause(&mut play, task, true);
    assert_eq!(play.reasons(task.0)[0], Reason::Paused { since: play.now }, "{kind:?}");
    let before = play.written.len();
    let mut left = 1000;
    while left > 0 && read_next(&mut play, &mut read) {
        play.work();
        play.pass(SECOND);
        left -= 1;
    }
    assert!(left > 500, "{task:?} of {kind:?} is paused, and yet all upstream goes on");
    let allowed = if task == SOURCE { 4 } else { 0 };
    assert!(play.written.len() <= before + allowed, "{task:?} of {kind:?}: {:?}", play.written);
    if task == STAGE {
        let upstream = play.reasons(0);
        assert!(matches!(upstream[0], Reason::OutboxFull { link: LinkId(0), .. }), "{upstream:?}");
        let all_sent = |r: &Reason| matches!(r, Reason::NoCredit { .. } | Reason::Unacknowledged { .. });
        assert!(upstream.iter().any(all_sent), "{upstream:?}");
    }
    pause(&mut play, task, false);
    for _ in 0..100 {
        play.pass(SECOND);
        play.work();
    }
    assert!(read_next(&mut play, &mut read), "{:?}", play.node.stalls());
    play.end_source();
    finish(&mut play);
    let own = |line: &&String| !line.starts_with("end");
    let got: Vec<_> = play.written.iter().filter(own).map(|line| line.parse::<usize>().unwrap()).collect();
    assert_eq!(got, (1..=read).collect::<Vec<_>>(), "{task:?} of {kind:?}");
}

/// The source reads the next number, in about 1,000 bytes, if it may.
fn read_next(play: &mut Play, read: &mut usize) -> bool {
    let may = play.read(&[&format!("{:0>999}", *read + 1)]);
    *read += usize::from(may);
    may
}

/// Works until nothing changes, time passing.
fn finish(play: &mut Play) {
    for _ in 0..100 {
        play.pass(SECOND);
        play.work();
    }
    assert!(play.node.is_done(SINK), "{:?}", play.node.stalls());
}

#[test]
fn every_kind_of_task_is_held_up_and_goes_on() {
    for kind in kinds() {
        for task in [SOURCE, STAGE, SINK] {
            held_up_amid(&kind, task, false);
            held_up_amid(&kind, task, true);
        }
    }
}

#[test]
fn a_paused_task_at_the_end_of_its_input_says_nothing_until_it_goes_on() {
    for (kind, last) in kinds().into_iter().zip([None, Some("end of 1"), Some("end")]) {
        for lines in [&["one"][..], &[]] {
            let mut play = Play::new(around(kind.clone()));
            pause(&mut play, STAGE, true);
            if !lines.is_empty() {
                assert!(play.read(lines));
            }
            play.end_source();
            for _ in 0..10 {
                play.pass(SECOND);
                play.work();
            }
            assert_eq!(play.written, Vec::<String>::new(), "{kind:?}");
            assert!(!play.node.is_done(SINK) || (last.is_none() && lines.is_empty()), "{kind:?}");
            pause(&mut play, STAGE, false);
            finish(&mut play);
            let last =
                last.map(|last| if lines.is_empty() { last.replace('1', "0") } else { last.to_owned() });
            let want: Vec<_> = lines.iter().map(|l| (*l).to_owned()).chain(last).collect();
            assert_eq!(play.written, want, "{kind:?}");
        }
    }
}

#[test]
fn a_paused_sink_is_not_closed() {
    let mut play = Play::new(line(vec![TaskKind::Source, TaskKind::Sink]));
    pause(&mut play, TaskId(1), true);
    play.end_source();
    assert_eq!(play.reason(1), Reason::Paused { since: play.now });
    assert!(!play.due.iter().any(|a| matches!(a, Action::Task(_, TaskAction::Sink(SinkAction::Close)))));
    pause(&mut play, TaskId(1), false);
    play.work();
    assert!(play.node.is_done(TaskId(1)));
}

#[test]
fn what_runs_when_its_task_is_paused_runs_to_its_end() {
    let mut play = Play::new(around(batch()));
    play.read(&["one"]);
    play.pass(Duration::ZERO);
    let busy = Reason::ChildBusy { since: play.now };
    play.pass(SECOND);
    pause(&mut play, STAGE, true);
    let paused = Reason::Paused { since: play.now };
    play.read(&["two"]);
    play.pass(SECOND);
    assert_eq!(play.reason(1), busy);
    play.work();
    assert_eq!((play.reason(1), play.written.len()), (paused, 1), "what it gave goes on");
    pause(&mut play, STAGE, false);
    play.work();
    assert_eq!(play.written, ["one", "two"]);
}

#[test]
fn a_program_that_fails_while_its_task_is_paused_is_not_started_again() {
    let begin = |kind: TaskKind, journaled: bool| {
        let config = around(kind);
        let mut play = if journaled { Play::journaled(config) } else { Play::new(config) };
        play.read(&["one"]);
        play.pass(Duration::ZERO);
        pause(&mut play, STAGE, true);
        play
    };
    let starts = |play: &mut Play| {
        for _ in 0..10 {
            play.pass(SECOND);
        }
        let is_start = |a: &Action| {
            matches!(
                a,
                Action::Task(
                    _,
                    TaskAction::Batch(BatchAction::Run(_))
                        | TaskAction::Stream(StreamAction::Start { .. })
                        | TaskAction::Records(RecordsAction::Start { .. })
                )
            )
        };
        play.take(|a| is_start(a).then_some(())).is_some()
    };
    let mut batches = begin(batch(), false);
    batches.fail_run();
    let mut asked = begin(asked(10), false);
    assert!(starts(&mut asked), "the one that fails");
    asked.due.clear();
    asked.tell(Event::task(STAGE, RecordsEvent::Failed { life: 1, failure: failure() }));
    let mut streams = begin(TaskKind::Stream(stream_spec()), true);
    assert!(starts(&mut streams), "the one that fails");
    streams.due.clear();
    let result = Err(failure());
    streams.tell(Event::task(STAGE, StreamEvent::Exited { window: 1, result, early: true }));
    for mut play in [batches, asked, streams] {
        assert!(!starts(&mut play), "{:?}", play.node.stalls());
        assert!(matches!(play.reason(1), Reason::Paused { .. }), "{:?}", play.reasons(1));
        pause(&mut play, STAGE, false);
        assert!(starts(&mut play), "{:?}", play.node.stalls());
    }
}

#[test]
fn a_window_that_is_over_while_its_task_is_paused_is_cut_when_it_goes_on() {
    let spec = StreamSpec { window: Some(Window::Every(SECOND)), ..stream_spec() };
    let mut play = Play::new(around(TaskKind::Stream(spec)));
    play.read(&["one"]);
    play.work();
    pause(&mut play, STAGE, true);
    play.pass(SECOND * 3);
    play.read(&["two"]);
    play.work();
    assert_eq!(play.written, ["one"]);
    pause(&mut play, STAGE, false);
    play.work();
    assert_eq!(play.written, ["one", "end of 1", "two"], "the window ends before what came after it");
}

#[test]
fn a_stop_in_good_order_lets_paused_tasks_go_on() {
    for kind in kinds() {
        let mut play = Play::new(around(kind.clone()));
        for task in [SOURCE, STAGE, SINK] {
            pause(&mut play, task, true);
        }
        assert!(play.read(&["one"]) && play.read(&["two"]));
        play.work();
        assert_eq!(play.written, Vec::<String>::new());
        play.tell(Event::Node(NodeEvent::Drain));
        play.work();
        play.tell(Event::task(SOURCE, SourceEvent::Ended { complete: true }));
        finish(&mut play);
        assert_eq!(play.written[..2], ["one", "two"], "{kind:?}");
        assert!(play.node.status().tasks.iter().all(|task| !task.paused));
    }
}

#[test]
fn a_pause_is_said_once_and_is_over_with_its_task() {
    let mut play = Play::new(around(batch()));
    pause(&mut play, STAGE, true);
    let since = play.now;
    play.pass(SECOND);
    pause(&mut play, STAGE, true);
    assert_eq!(play.reason(1), Reason::Paused { since }, "since the first");
    assert!(play.node.status().tasks[1].paused);
    pause(&mut play, STAGE, false);
    assert_eq!(play.reasons(1), []);
    play.end_source();
    finish(&mut play);
    pause(&mut play, STAGE, true);
    pause(&mut play, SINK, true);
    assert_eq!(play.node.stalls(), [], "what is done waits for nothing");
    // One that is at its end has nothing left that could be held up.
    let mut play = Play::journaled(line(vec![TaskKind::Source, TaskKind::Sink]));
    play.end_source();
    play.syncs = false;
    play.work();
    pause(&mut play, TaskId(1), true);
    assert!(matches!(play.reason(1), Reason::Committing { commits: 1, .. }), "{:?}", play.reasons(1));
}
