//! Records that are held back until a program of their stage has succeeded, while others of their task are at a program.

use super::play::{Play, around, batch, failure};
use super::tests::{line, records};
use super::*;
use crate::config::TaskKind;
use crate::event::{
    BatchAction, BatchEvent, Body, Chunk, Failure, JournalAction, NodeAction, NodeEvent, Output, Spent,
    TaskAction, WorkId,
};
use crate::recovery::{InputState, OutputState, TaskState};
use std::time::Duration;
use worker_proto::{Epoch, JournalId, Seq};

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

/// Reads and tries single records until the source may not go on, or as many as `most`; says how many it read.
fn fail_all(play: &mut Play, most: usize) -> usize {
    let stage = TaskId(1);
    let mut read = 0;
    while read < most && play.read_on(1) == 1 {
        read += 1;
        while let Some(work) = run_of(play, stage) {
            ends(play, stage, work, Err(failure()));
        }
    }
    read
}

fn halts(play: &mut Play) -> Option<String> {
    play.take(|action| match action {
        Action::Node(NodeAction::Halt { error }) => Some(error.to_string()),
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    })
}

#[test]
fn where_all_that_would_decide_waits_behind_what_is_held_back_the_stage_fails_and_says_so() {
    for (outbox_bytes, spill_bytes) in [(8192, 2048), (8192, 1 << 20)] {
        let mut config = around(batch());
        (config.limits.outbox_bytes, config.limits.spill_bytes) = (outbox_bytes, spill_bytes);
        let mut play = Play::journaled(config);
        let read = fail_all(&mut play, 64);
        assert!((2..16).contains(&read), "{read} were read before the source had to wait");
        play.pass(Duration::from_secs(7));
        assert_eq!(halts(&mut play), None);
        play.pass(Duration::from_secs(4));
        let why = halts(&mut play).expect("it ends");
        let held = format!(
            "{read} records failed, no program of this stage has ever succeeded, and nothing more comes"
        );
        assert!(why.contains(&held) && why.contains("`spill_limit`") && why.contains("exit 1"), "{why}");
    }
}

#[test]
fn where_a_program_has_succeeded_in_an_earlier_life_what_is_held_back_is_condemned() {
    let mut config = around(batch());
    (config.limits.outbox_bytes, config.limits.spill_bytes) = (8192, 2048);
    let fresh = |at: u32| (TaskId(at), TaskState::fresh(Epoch(2), JournalId(u64::from(at) + 1)));
    let mut states: BTreeMap<TaskId, TaskState> =
        (0_u32..).zip(&config.graph.tasks).map(|(at, _)| fresh(at)).collect();
    let taken = InputState { epoch: Epoch(1), journal: JournalId(1), through: Seq(5), ended: false };
    states.get_mut(&TaskId(1)).expect("it is there").inputs.insert(LinkId(0), taken);
    let given = OutputState { next: Seq(6), through: Seq(5), end: None, held: Vec::new() };
    states.get_mut(&TaskId(0)).expect("it is there").outputs.insert(LinkId(0), given);
    let mut play = Play::recovered(config, &states);
    let read = fail_all(&mut play, 64);
    assert!((2..16).contains(&read), "{read} were read before the source had to wait");
    play.pass(Duration::from_secs(11));
    assert_eq!(halts(&mut play), None, "the stage's programs work");
    assert_eq!(play.node.status().tasks[1].counters.dead_records, read as u64);
}

#[test]
fn what_is_held_back_waits_for_a_source_that_is_slow() {
    let mut config = around(batch());
    config.limits.outbox_bytes = 1 << 20;
    let mut play = Play::journaled(config);
    assert_eq!(fail_all(&mut play, 10), 10);
    play.pass(Duration::from_secs(3600));
    assert_eq!(halts(&mut play), None, "there is room for more");
    assert!(play.read(&["good"]));
    let work = run_of(&mut play, TaskId(1)).expect("it is tried");
    ends(&mut play, TaskId(1), work, Ok(Output::default()));
    assert_eq!(play.node.status().tasks[1].counters.dead_records, 10);
}

/// In memory: g holds its first record back while a has more for it, and the node is stopped.
#[test]
fn a_stop_decides_nothing_while_more_is_on_its_way() {
    let (a, g) = (TaskId(1), TaskId(2));
    let mut config = line(vec![TaskKind::Source, batch(), batch(), TaskKind::Sink]);
    config.slots = 2;
    let mut play = Play::new(config);
    let to_next = |text: &str| Output {
        chunks: vec![Chunk { link: LinkId(1), body: Body::Memory(records(&[text])) }],
        records: 1,
        ..Output::default()
    };
    assert!(play.read(&["bad"]));
    let work = run_of(&mut play, a).expect("it is tried");
    ends(&mut play, a, work, Ok(to_next("bad")));
    assert!(play.read(&["good"]));
    let good = run_of(&mut play, a).expect("it is tried");
    for _ in 0..3 {
        let work = run_of(&mut play, g).expect("it is tried");
        ends(&mut play, g, work, Err(failure()));
    }
    play.tell(Event::Node(NodeEvent::Drain));
    play.pass(Duration::from_secs(1));
    assert!(halts(&mut play).is_none(), "what comes may prove the stage good");
    ends(&mut play, a, good, Ok(to_next("good")));
    let work = run_of(&mut play, g).expect("it is tried");
    play.syncs = false;
    ends(&mut play, g, work, Ok(Output::default()));
    assert!(halts(&mut play).is_none());
    let condemned = play.take(|action| match action {
        Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) if *task == g => {
            Some(commit.dead.len())
        }
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    });
    assert_eq!(condemned, Some(1), "the other's success decides");
}
