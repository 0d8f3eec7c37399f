//! A node with a journal, killed after every action it asks for, in turn: what its sink holds in the end is always the same.

use super::tests::{line, records};
use super::*;
use crate::config::{
    BatchSpec, LinkSpec, MaxDead, OnError, RecordsSpec, Retry, StreamSpec, TaskKind, Window,
};
use crate::event::{
    Attempt, BatchAction, BatchEvent, Body, Chunk, Commit, ConnAction, Failure, FailureKind, JournalAction,
    LinkAction, LinkEvent, NodeAction, NodeEvent, Output, Printed, RecordsAction, RecordsEvent, Run,
    SinkAction, SinkEvent, SourceAction, SourceEvent, Spent, StreamAction, StreamEvent, StreamStep,
    TaskAction, TaskEvent,
};
use crate::recovery::{HeldOutput, InputState, OutputState, TaskState, WindowState};
use crate::replay::Suppressor;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use worker_proto::{Batch, Epoch, JournalId, Seq};

mod world;

use world::{Durable, World};

const SOURCE: TaskId = TaskId(0);
const STAGE: TaskId = TaskId(1);
const SINK: TaskId = TaskId(2);
const INPUT: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn a_batch_stage_killed_anywhere() {
    killed_anywhere(&batch(2), &["A", "B", "C", "D", "E", "F"]);
}

#[test]
fn a_stream_stage_killed_anywhere() {
    let whole = StreamSpec { window: None, early_exit_is_done: false, replay_bytes: 1 << 20, restart: None };
    killed_anywhere(&TaskKind::Stream(whole), &["A", "B", "C", "D", "E", "F", "end of 6"]);
}

#[test]
fn a_stream_in_windows_killed_anywhere() {
    let window = Some(Window::Records(2));
    let windows = StreamSpec { window, early_exit_is_done: false, replay_bytes: 1 << 20, restart: None };
    let expected = ["A", "B", "end of 2", "C", "D", "end of 2", "E", "F", "end of 2"];
    killed_anywhere(&TaskKind::Stream(windows), &expected);
}

#[test]
fn a_records_stage_killed_anywhere() {
    killed_anywhere(&asked(2), &["A", "B", "C", "D", "E", "F", "end"]);
}

#[test]
fn a_record_that_kills_the_worker_is_dead_lettered_and_no_other() {
    for kind in [batch(6), asked(6)] {
        let mut world = World::new(kind, Durable::AllAppended);
        world.poison = Some("c");
        let mut deaths = 0;
        while !world.live(None) {
            deaths += 1;
            assert!(deaths < 12, "never found");
        }
        let sink: Vec<_> = world.sink.iter().map(String::as_str).filter(|line| *line != "end").collect();
        assert_eq!((sink, world.dead), (vec!["A", "B", "D", "E", "F"], vec!["c".to_owned()]));
    }
}

/// A program answers what came before the deadly record, so that commits and further requests go on until the death comes,
/// which may be between any two actions. Whenever that is, the journal says what was in flight, and it is halved.
#[test]
fn every_death_is_noted_whatever_was_answered_before_it() {
    for in_flight in [6, 4] {
        for grace in 0..60 {
            let mut world = World::new(asked(in_flight), Durable::AllAppended);
            (world.poison, world.grace, world.chunk) = (Some("e"), grace, INPUT.len());
            let (mut deaths, mut most) = (0, in_flight);
            while !world.live(None) {
                let noted = world.recover(STAGE).attempt.records;
                assert!((1..=most).contains(&noted), "{noted} of {most}, {grace} actions before the death");
                (deaths, most) = (deaths + 1, (noted / 2).max(1));
            }
            assert!(
                deaths <= 2 + 3,
                "two halvings of 4 to 7 records leave one, of which three die: {deaths}"
            );
            let left = (world.sink.join(" "), world.dead.join(" "));
            assert_eq!(left, ("A B C D F end".to_owned(), "e".to_owned()), "{grace}");
        }
    }
}

/// Something else kills every other life before it tries anything: the search goes on where it was.
#[test]
fn a_life_that_tries_nothing_forgets_no_suspect() {
    for kind in [batch(6), asked(6)] {
        for at in 0..10 {
            let mut world = World::new(kind.clone(), Durable::AllAppended);
            (world.poison, world.chunk) = (Some("c"), INPUT.len());
            let mut deaths = 0;
            while !world.live(None) {
                deaths += 1;
                assert!(deaths <= 2 + 3, "the others were killed at action {at}");
                world.live(Some(at));
            }
            let sink: Vec<_> = world.sink.iter().map(String::as_str).filter(|line| *line != "end").collect();
            assert_eq!((sink, world.dead), (vec!["A", "B", "D", "E", "F"], vec!["c".to_owned()]), "{at}");
        }
    }
}

#[test]
fn kills_for_other_reasons_condemn_nothing() {
    for at in 1..100 {
        let mut world = World::new(batch(1), Durable::AllAppended);
        // Killed so soon after each start that no life gets anywhere, and at the same moment each time.
        world.hasty = true;
        let early = (0..10).any(|_| world.live(Some(at)));
        world.hasty = false;
        assert!(early || world.live(None), "killed at {at}");
        assert_eq!(world.dead, Vec::<String>::new(), "killed at {at}");
    }
}

#[test]
fn a_drained_node_goes_on_where_it_was() {
    for at in 0..200 {
        let mut world = World::new(batch(2), Durable::Synced);
        world.drain_at = Some(at);
        let done = world.live(None);
        world.drain_at = None;
        assert!(done || world.live(None), "drained at {at}");
        assert_eq!(world.sink.join(" "), "A B C D E F", "drained at {at}");
    }
}

#[test]
fn a_source_that_is_stopped_has_not_ended() {
    let config = line(vec![TaskKind::Source, TaskKind::Sink]);
    let fresh = |at: u32| (TaskId(at), TaskState::fresh(Epoch(1), JournalId(u64::from(at) + 1)));
    let mut node = Node::with_journal(config, Time::ZERO, &[fresh(0), fresh(1)].into());
    node.handle(Time::ZERO, Event::task(SOURCE, SourceEvent::Ended { complete: false }));
    let actions: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Task(_, TaskAction::Journal(JournalAction::Persist(_))))),
        "{actions:?}"
    );
}

#[test]
fn a_node_that_was_finished_waits_for_nobody_but_those_who_ask() {
    let mut config = line(vec![TaskKind::Source, TaskKind::Sink]);
    config.nodes.push("b".into());
    config.graph.tasks[1].node = NodeIx(1);
    let mut state = TaskState::fresh(Epoch(2), JournalId(1));
    // What was acknowledged is not in the journal for sure.
    let held = vec![HeldOutput { first: Seq(1), records: 1, cost: 6 }];
    let (next, end) = (Seq(3), Some(Seq(2)));
    state.outputs.insert(LinkId(0), OutputState { next, through: Seq::ZERO, end, held });
    state.ended = true;
    let mut node = Node::with_journal(config, Time::ZERO, &[(SOURCE, state)].into());
    node.was_finished(Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..10 {
        while let Some(action) = node.poll_action() {
            assert!(!matches!(action, Action::Conn(_, ConnAction::Dial { .. })), "{action:?}");
            if matches!(action, Action::Node(NodeAction::Finished)) {
                return;
            }
        }
        now = node.next_wake().expect("it is not over").0;
        node.handle_wake(now);
    }
    panic!("not over at {now:?}");
}

fn killed_anywhere(kind: &TaskKind, expected: &[&str]) {
    for durable in [Durable::Synced, Durable::AllAppended] {
        for at in 0.. {
            let mut world = World::new(kind.clone(), durable);
            let done = world.live(Some(at));
            // A second death close behind the first, then a life to the end.
            let done = done || world.live(Some(at % 7)) || world.live(None);
            assert!(done, "killed at action {at}: {:?}", world.sink);
            assert_eq!(world.sink, expected, "killed at action {at}, {durable:?} survived");
            if world.actions_of_first_life < at {
                break;
            }
        }
    }
}

fn batch(max_records: u64) -> TaskKind {
    TaskKind::Batch(BatchSpec {
        max_bytes: 1 << 20,
        max_records,
        linger: Duration::ZERO,
        retry: Retry { max_attempts: 2, initial: Duration::from_millis(1), max: Duration::from_millis(1) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(10),
    })
}

fn asked(in_flight: u64) -> TaskKind {
    TaskKind::Records(RecordsSpec {
        in_flight,
        in_flight_bytes: 1 << 20,
        tick: None,
        retry: Retry { max_attempts: 2, initial: Duration::from_millis(1), max: Duration::from_millis(1) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(10),
    })
}
