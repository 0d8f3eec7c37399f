//! Headers that programs print: a run over no records is the last resort, and no kill of it loses what it would have printed.

use super::play::{Play, batch, chunk, failure};
use super::tests::{line, records};
use super::*;
use crate::config::{LinkSpec, TaskKind};
use crate::event::{
    BatchAction, BatchEvent, Failure, FailureKind, JournalAction, NodeAction, Output, Run, SinkAction,
    SinkEvent, Spent, TaskAction,
};
use crate::stall::Reason;
use bytes::Bytes;
use std::time::Duration;

/// The links that lead from the stage to its reader.
const HEADED: [u32; 3] = [3, 4, 5];

/// Source 0 → a stage of three tasks, 1 to 3, that gives a header → sink 4, with a slot for each.
fn three() -> NodeConfig {
    let mut config = line(vec![TaskKind::Source, batch(), batch(), batch(), TaskKind::Sink]);
    for (at, task) in config.graph.tasks[1..4].iter_mut().enumerate() {
        task.name = format!("stage/{at}");
    }
    let (to, from) = ([1, 2, 3], [1, 2, 3]);
    let into = to.map(|task| LinkSpec::new(TaskId(0), TaskId(task)));
    let out = from.map(|task| LinkSpec::new(TaskId(task), TaskId(4)));
    config.graph.links = into.into_iter().chain(out).collect();
    config.graph.headed = HEADED.map(LinkId).into();
    config.slots = 3;
    config
}

/// The next run that is asked for: whose, and over how many records.
fn run(play: &mut Play) -> Option<(TaskId, Run, usize)> {
    play.take(|action| match action {
        Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) => {
            Some((*task, run.clone(), run.input.iter().map(worker_proto::Batch::len).sum()))
        }
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    })
}

fn done(play: &mut Play, (task, run): (TaskId, Run), result: Result<Output, Failure>) {
    play.tell(Event::task(task, BatchEvent::Done { work: run.work, result, spent: Spent::default() }));
}

fn only(header: &str) -> Output {
    Output { header: Some(Bytes::from(format!("{header}\n"))), ..Output::default() }
}

/// What heads the sink's records, which come then.
fn written(play: &mut Play) -> (Option<String>, Vec<String>) {
    let header = play.take(|action| match action {
        Action::Task(task, TaskAction::Sink(SinkAction::Header { work, header })) => {
            let text = header.iter().map(String::from_utf8_lossy).collect::<String>();
            Some((*task, *work, text.trim_end().to_owned()))
        }
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    });
    let header = header.map(|(task, work, text)| {
        play.tell(Event::task(task, SinkEvent::Written { work, position: None }));
        text
    });
    play.work();
    (header, std::mem::take(&mut play.written))
}

/// The run has come to its end without error.
fn assert_finished(play: &Play) {
    assert!(play.node.over, "{:?}", play.node.stalls());
    assert!(play.node.ctx.halted.is_none(), "{:?}", play.node.ctx.halted);
}

/// A stage whose input was one batch, for its first task.
fn with_one_batch(mut play: Play) -> (Play, (TaskId, Run)) {
    assert!(play.read(&["one", "two"]));
    play.end_source();
    play.pass(Duration::ZERO);
    let (task, real, count) = run(&mut play).expect("a batch");
    assert_eq!((task, count), (TaskId(1), 2));
    assert!(run(&mut play).is_none(), "nobody asks for a header that a batch may print yet");
    (play, (task, real))
}

/// A stage that was given nothing, and runs its program for the header.
fn asking() -> (Play, (TaskId, Run)) {
    let mut play = Play::new(three());
    play.end_source();
    play.pass(Duration::ZERO);
    let (task, asked, count) = run(&mut play).expect("it asks");
    assert_eq!(count, 0);
    (play, (task, asked))
}

#[test]
fn the_header_of_a_batch_comes_before_any_that_is_printed_over_no_records() {
    let (mut play, real) = with_one_batch(Play::new(three()));
    let output = Output { chunks: vec![chunk(HEADED[0], records(&["1", "2"]))], ..only("k,n") };
    done(&mut play, real, Ok(output));
    assert!(run(&mut play).is_none(), "it is known now");
    assert_eq!(written(&mut play), (Some("k,n".to_owned()), vec!["1".to_owned(), "2".to_owned()]));
    assert_finished(&play);
}

#[test]
fn where_no_batch_prints_a_header_one_task_asks_for_it_once_all_is_durable() {
    for journaled in [false, true] {
        let play = if journaled { Play::journaled(three()) } else { Play::new(three()) };
        let (mut play, real) = with_one_batch(play);
        play.syncs = false;
        done(&mut play, real, Ok(Output::default()));
        assert!(run(&mut play).is_none(), "a later life might run the batch again");
        play.syncs = true;
        while let Some((task, commit)) = play.take(|action| match action {
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                Some((*task, commit.id))
            }
            Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
        }) {
            play.tell(Event::Task(task, TaskEvent::Persisted { commit }));
        }
        let (task, asked, count) = run(&mut play).expect("it asks");
        assert_eq!(count, 0);
        assert!(run(&mut play).is_none(), "one is enough");
        done(&mut play, (task, asked), Ok(only("k,n")));
        assert_eq!(written(&mut play), (Some("k,n".to_owned()), Vec::new()));
        assert_finished(&play);
    }
}

#[test]
fn a_run_over_no_records_that_is_killed_on_purpose_is_run_again_at_once() {
    let (mut play, mut asked) = asking();
    for death in 0..20 {
        assert_eq!(asked.1.attempt, 1, "after {death}");
        done(&mut play, asked, Err(Failure { kind: FailureKind::Injected, ..failure() }));
        let (task, again, count) = run(&mut play).unwrap_or_else(|| panic!("no run after {death}"));
        assert_eq!(count, 0);
        asked = (task, again);
    }
    done(&mut play, asked, Ok(only("k,n")));
    assert_eq!(written(&mut play).0.as_deref(), Some("k,n"));
    assert_finished(&play);
}

#[test]
fn what_ends_a_run_over_no_records_from_outside_says_nothing_about_the_header() {
    for kind in [FailureKind::Signal(9), FailureKind::Timeout, FailureKind::Output] {
        for heals in [true, false] {
            let (mut play, mut asked) = asking();
            for attempt in 1..3 {
                done(&mut play, asked, Err(Failure { kind, ..failure() }));
                assert!(run(&mut play).is_none(), "it waits");
                let task =
                    play.node.stalls().into_iter().find(|stall| !stall.reasons.is_empty()).expect("it waits");
                assert!(
                    matches!(task.reasons[..], [Reason::Backoff { attempts, records: 0, .. }] if attempts == attempt),
                    "{task:?}"
                );
                let (until, _) = play.node.next_wake().expect("it is tried again");
                play.pass(until.since(play.now));
                let (task, again, _) = run(&mut play).expect("it is tried again");
                asked = (task, again);
            }
            if heals {
                done(&mut play, asked, Ok(only("k,n")));
                assert_eq!(written(&mut play).0.as_deref(), Some("k,n"), "{kind:?}");
                assert_finished(&play);
                continue;
            }
            done(&mut play, asked, Err(Failure { kind, ..failure() }));
            let why = play.take(|action| match action {
                Action::Node(NodeAction::Halt { error }) => Some(error.to_string()),
                Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
            });
            let why = why.expect("the run fails");
            assert!(why.contains("3 times") && why.contains("output_header"), "{why}");
        }
    }
}

#[test]
fn a_program_that_exits_with_an_error_over_no_records_has_no_header() {
    let (mut play, asked) = asking();
    done(&mut play, asked, Err(failure()));
    assert!(run(&mut play).is_none(), "that is its answer");
    assert_eq!(written(&mut play), (None, Vec::new()));
    assert_finished(&play);
}
