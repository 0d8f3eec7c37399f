//! What each kind of task waits for: each reason is made to show, and to go.

use super::play::{Play, around, asked, batch, chunk, failure, to_b};
use super::tests::{batch_spec, line, records, stream_spec};
use super::*;
use crate::config::{BatchSpec, LinkSpec, MaxDead, StreamSpec, TaskKind};
use crate::event::{
    BatchAction, BatchEvent, Blocker, Contents, DeadLetter, JournalAction, NodeEvent, Output, RecordsEvent,
    SinkAction, SinkEvent, Spent, StreamEvent, TaskAction, TaskEvent, WorkId,
};
use crate::stall::Reason;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const STAGE: TaskId = TaskId(1);

fn block(play: &mut Play, task: TaskId, by: Option<Blocker>) {
    play.tell(Event::Task(task, TaskEvent::Blocked { by }));
}

fn rests(since: Time) -> Blocker {
    Blocker::ChildHung { since, unread_bytes: 7, closed: true }
}

fn buffers(since: Time) -> Blocker {
    Blocker::ChildBuffers { since, fed_bytes: 9 }
}

fn full(since: Time) -> Blocker {
    Blocker::DiskFull { since, what: "no room".to_owned() }
}

/// Whatever blocks the task takes the place of its reason to wait, and gives it back.
fn is_hindered_instead(play: &mut Play, task: TaskId, otherwise: &Reason) {
    for by in [rests(play.now), buffers(play.now), full(play.now)] {
        assert_eq!(play.reason(task.0), *otherwise);
        block(play, task, Some(by.clone()));
        assert_eq!(play.reason(task.0), Reason::Blocked(by));
        block(play, task, None);
    }
    assert_eq!(play.reason(task.0), *otherwise);
}

#[test]
fn a_batch_waits_for_more_records_then_its_program_works_or_hangs() {
    let spec = BatchSpec { linger: SECOND, ..batch_spec() };
    let mut play = Play::new(around(TaskKind::Batch(spec)));
    assert_eq!(play.reasons(1), []);
    play.read(&["one"]);
    assert_eq!(play.reason(1), Reason::Linger { until: Some(play.now + SECOND) });
    play.pass(SECOND);
    let busy = Reason::ChildBusy { since: play.now };
    play.pass(SECOND);
    is_hindered_instead(&mut play, STAGE, &busy);
    play.work();
    assert_eq!(play.reasons(1), []);
}

#[test]
fn a_batch_that_failed_waits_for_its_next_attempt() {
    let mut play = Play::new(around(batch()));
    play.read(&["one", "two"]);
    play.pass(Duration::ZERO);
    for attempts in 1..3 {
        play.fail_run();
        let (until, _) = play.node.next_wake().unwrap();
        let why = failure().message;
        assert_eq!(play.reason(1), Reason::Backoff { attempts, until, why, records: 2 });
        play.pass(until.since(play.now));
        assert_eq!(play.reason(1), Reason::ChildBusy { since: play.now });
    }
}

#[test]
fn a_task_waits_for_a_slot_behind_others() {
    let mut config = line(vec![TaskKind::Source, batch(), batch(), batch()]);
    for link in &mut config.graph.links {
        link.from = TaskId(0);
    }
    let mut play = Play::new(config);
    play.read_to(&[0, 1, 2], &["one"]);
    play.pass(Duration::ZERO);
    let since = play.now;
    assert_eq!(play.reason(1), Reason::ChildBusy { since });
    assert_eq!(play.reason(2), Reason::NoSlot { since, ahead: 0, slots: 1, holders: vec![STAGE] });
    assert_eq!(play.reason(3), Reason::NoSlot { since, ahead: 1, slots: 1, holders: vec![STAGE] });
    play.tell(Event::Task(TaskId(3), TaskEvent::Pause { paused: true }));
    assert_eq!(play.reason(3), Reason::Paused { since });
}

#[test]
fn a_stream_does_not_read_then_says_nothing_then_does_not_end() {
    let mut play = Play::new(around(TaskKind::Stream(stream_spec())));
    let fed = play.read_on(1) as u64;
    let window = 1;
    // So much is on its way to the program that it is given no more.
    while !matches!(play.reasons(1)[..], [Reason::ChildNotReading { .. }]) {
        let large = "x".repeat(200_000);
        assert!(play.read(&[&large]), "{:?}", play.reasons(1));
    }
    let not_reading = play.reason(1);
    let Reason::ChildNotReading { bytes } = not_reading else { panic!("{not_reading:?}") };
    assert!(bytes >= 1 << 20);
    is_hindered_instead(&mut play, STAGE, &not_reading);
    play.tell(Event::task(STAGE, StreamEvent::Fed { window, cost: bytes }));
    let Reason::AwaitingEnd { fed_records } = play.reason(1) else { panic!("{:?}", play.reasons(1)) };
    assert!(fed_records > fed);
    is_hindered_instead(&mut play, STAGE, &Reason::AwaitingEnd { fed_records });
    let output = Output { chunks: vec![chunk(1, records(&["a"]))], ..Output::default() };
    play.tell(Event::task(STAGE, StreamEvent::Output { window, output }));
    assert_eq!(play.reasons(1), [], "it does print");
    play.end_source();
    let busy = Reason::ChildBusy { since: play.now };
    is_hindered_instead(&mut play, STAGE, &busy);
    play.tell(Event::task(
        STAGE,
        StreamEvent::Exited { window, result: Ok(Output::default()), early: false },
    ));
    assert_eq!(play.reasons(1), []);
}

#[test]
fn a_stream_has_taken_what_its_program_has_read() {
    let mut play = Play::new(around(TaskKind::Stream(stream_spec())));
    play.read(&["one", "two", "three"]);
    let counts = |play: &Play| {
        let status = play.node.status();
        let task = status.tasks.iter().find(|task| task.task == STAGE).unwrap();
        (task.counters.records_in, task.counters.bytes_in, task.queued_records)
    };
    assert_eq!(counts(&play), (0, 0, 3), "all of it lies in the pipe");
    let read = |records, bytes, is_behind| {
        Event::task(STAGE, StreamEvent::Read { window: 1, records, bytes, is_behind })
    };
    play.tell(read(1, 5, true));
    assert_eq!(counts(&play), (1, 5, 2));
    assert_eq!(play.reason(1), Reason::ChildNotReading { bytes: 14 - 5 }, "it is at work, and behind");
    is_hindered_instead(&mut play, STAGE, &Reason::ChildNotReading { bytes: 9 });
    play.tell(read(3, 14, false));
    assert_eq!(counts(&play), (3, 14, 0));
    assert_eq!(play.reason(1), Reason::AwaitingEnd { fed_records: 3 });
    play.tell(read(2, 8, false));
    assert_eq!(counts(&play).0, 3, "what a process reads again is taken once");
}

#[test]
fn what_waits_for_a_stage_is_counted_beyond_its_credit() {
    let mut play = Play::new(around(asked(1)));
    let given = play.read_on(40);
    let status = play.node.status();
    let (task, link) = (&status.tasks[1], &status.links[0]);
    assert!(link.counters.held_records > 0 && given as u64 > task.counters.records_in, "{status:?}");
    assert_eq!((task.queued_records, task.undone_records), (given as u64, given as u64));
    assert!(task.unsent_records > 0 && task.unsent_records <= link.counters.held_records);
}

#[test]
fn what_a_program_has_printed_is_not_counted_at_it_any_more() {
    let mut play = Play::new(around(TaskKind::Stream(stream_spec())));
    play.read(&["one", "two", "three"]);
    let undone = |play: &Play| play.node.status().tasks[1].undone_records;
    assert_eq!(undone(&play), 3);
    play.tell(Event::task(STAGE, StreamEvent::Read { window: 1, records: 2, bytes: 8, is_behind: true }));
    assert_eq!(undone(&play), 3, "it may fail with what it has read");
    let output = Output { chunks: vec![chunk(1, records(&["a", "b"]))], records: 2, ..Output::default() };
    play.tell(Event::task(STAGE, StreamEvent::Output { window: 1, output }));
    assert_eq!(undone(&play), 1);
    let output = Output { chunks: vec![chunk(1, records(&["c", "d"]))], records: 2, ..Output::default() };
    play.tell(Event::task(STAGE, StreamEvent::Output { window: 1, output }));
    assert_eq!(undone(&play), 1, "what it has not read it cannot have printed");
}

#[test]
fn a_sink_that_has_enough_has_taken_what_it_has_read() {
    let early = StreamSpec { early_exit_is_done: true, ..stream_spec() };
    let mut play = Play::new(line(vec![TaskKind::Source, TaskKind::Stream(early)]));
    play.read(&["one", "two", "three"]);
    play.tell(Event::task(STAGE, StreamEvent::Read { window: 1, records: 1, bytes: 5, is_behind: true }));
    let (window, result) = (1, Ok(Output::default()));
    play.tell(Event::task(STAGE, StreamEvent::Exited { window, result, early: true }));
    let status = play.node.status();
    let counters = status.tasks.iter().find(|task| task.task == STAGE).unwrap().counters;
    assert_eq!((counters.records_in, counters.records_out, counters.bytes_out), (1, 1, 5));
}

#[test]
fn of_a_write_what_is_done_is_committed_before_the_rest() {
    let mut play = Play::journaled(line(vec![TaskKind::Source, TaskKind::Sink]));
    play.read(&["one", "two", "three"]);
    let write = |action: &Action| {
        let Action::Task(_, TaskAction::Sink(SinkAction::Write { work, .. })) = action else { return None };
        Some(*work)
    };
    let work = play.take(write).unwrap();
    play.syncs = false;
    let commit = |action: &Action| {
        let Action::Task(TaskId(1), TaskAction::Journal(JournalAction::Persist(commit))) = action else {
            return None;
        };
        Some(commit.inputs.iter().map(|input| input.through.0).collect::<Vec<_>>())
    };
    for (event, through) in [
        (SinkEvent::Partly { work, records: 0, bytes: 0 }, None),
        (SinkEvent::Partly { work: WorkId(7), records: 1, bytes: 4 }, None),
        (SinkEvent::Partly { work, records: 2, bytes: 8 }, Some(2)),
        (SinkEvent::Written { work, position: None }, Some(3)),
    ] {
        play.tell(Event::task(TaskId(1), event));
        assert_eq!(play.take(commit), through.map(|through| vec![through]));
    }
    let counters = play.node.status().tasks[1].counters;
    assert_eq!((counters.records_out, counters.bytes_out), (3, 14));
}

#[test]
fn a_records_program_owes_answers_then_fails_then_is_at_its_end() {
    let mut play = Play::new(around(asked(10)));
    play.read(&["one", "two"]);
    let busy = Reason::ChildBusy { since: play.now };
    is_hindered_instead(&mut play, STAGE, &busy);
    let (task, life, ended) = (STAGE, 1, false);
    play.tell(Event::task(
        task,
        RecordsEvent::Answered { life, records: 1, output: Output::default(), ended },
    ));
    assert_eq!(play.reason(1), busy, "one is owed still");
    play.tell(Event::task(task, RecordsEvent::Failed { life, failure: failure() }));
    let (until, _) = play.node.next_wake().unwrap();
    let why = failure().message;
    assert_eq!(play.reason(1), Reason::Backoff { attempts: 1, until, why, records: 1 });
    play.pass(until.since(play.now));
    assert_eq!(play.reason(1), Reason::ChildBusy { since: play.now });
    play.tell(Event::task(
        task,
        RecordsEvent::Answered { life: 2, records: 1, output: Output::default(), ended },
    ));
    assert_eq!(play.reasons(1), [], "it owes nothing");
    play.end_source();
    let ending = Reason::ChildBusy { since: play.now };
    is_hindered_instead(&mut play, STAGE, &ending);
}

#[test]
fn a_sink_writes_and_closes() {
    let mut play = Play::new(line(vec![TaskKind::Source, TaskKind::Sink]));
    play.read(&["one"]);
    let writing = Reason::Writing { since: play.now };
    play.pass(SECOND);
    is_hindered_instead(&mut play, TaskId(1), &writing);
    let work = play
        .take(|a| {
            if let Action::Task(_, TaskAction::Sink(SinkAction::Write { work, .. })) = a {
                Some(*work)
            } else {
                None
            }
        })
        .unwrap();
    play.tell(Event::task(TaskId(1), SinkEvent::Written { work, position: None }));
    assert_eq!(play.reasons(1), []);
    play.end_source();
    let closing = Reason::Writing { since: play.now };
    play.pass(SECOND);
    assert_eq!(play.reason(1), closing, "its program has to end, perhaps");
    play.work();
    assert_eq!(play.reasons(1), []);
}

#[test]
fn a_source_has_nothing_to_give_or_the_disk_no_room_for_what_it_gave() {
    let mut play = Play::new(to_b());
    play.stores = false;
    assert_eq!(play.reason(0), Reason::SourceIdle);
    let by = full(play.now);
    block(&mut play, TaskId(0), Some(by.clone()));
    assert_eq!(play.reason(0), Reason::SourceIdle, "it may read: nothing holds it up");
    play.read_on(100);
    assert_eq!(play.reasons(0)[0], Reason::Blocked(by));
    block(&mut play, TaskId(0), None);
    assert!(matches!(play.reasons(0)[0], Reason::OutboxFull { .. }), "{:?}", play.reasons(0));
}

#[test]
fn what_is_done_waits_to_be_durable() {
    let mut play = Play::journaled(around(batch()));
    play.read(&["one"]);
    play.pass(Duration::ZERO);
    play.syncs = false;
    play.work();
    let commits = |reason: Reason| if let Reason::Committing { commits, .. } = reason { commits } else { 0 };
    assert_eq!(commits(play.reason(1)), 1, "{:?}", play.reasons(1));
    play.tell(Event::Node(NodeEvent::StorageFull { full: true }));
    assert_eq!(play.reason(1), Reason::StorageFull, "a node without a source says so, too");
    play.tell(Event::Node(NodeEvent::StorageFull { full: false }));
    // So much waits that nothing new is taken.
    let line = "x".repeat(999);
    while play.read(&[&line]) {}
    assert!(commits(play.reasons(0).remove(0)) > 4, "{:?}", play.reasons(0));
    play.tell(Event::Node(NodeEvent::StorageFull { full: true }));
    assert_eq!(play.reasons(0)[0], Reason::StorageFull);
}

#[test]
fn a_full_state_disk_admits_nothing() {
    for stage in [TaskKind::Stream(stream_spec()), TaskKind::Stream(stream_spec())] {
        let mut play = Play::journaled(around(stage));
        play.tell(Event::Node(NodeEvent::StorageFull { full: true }));
        assert_eq!(play.reason(0), Reason::SourceIdle, "it was allowed to read before");
        while play.read(&["one"]) {}
        assert_eq!(play.reasons(0)[0], Reason::StorageFull);
        assert_eq!(play.reason(1), Reason::StorageFull);
        assert!(play.due.is_empty(), "{:?}", play.due);
        play.tell(Event::Node(NodeEvent::StorageFull { full: false }));
        play.work();
        assert_eq!((play.reasons(0), play.written.len()), (vec![Reason::SourceIdle], 4));
    }
}

#[test]
fn too_many_dead_letters_are_the_last_reason() {
    let spec = BatchSpec { max_dead: MaxDead::Records(1), ..batch_spec() };
    let mut play = Play::new(around(TaskKind::Batch(spec)));
    play.read(&["one", "two"]);
    play.pass(SECOND);
    let run = play
        .take(|a| {
            if let Action::Task(_, TaskAction::Batch(BatchAction::Run(run))) = a {
                Some(run.clone())
            } else {
                None
            }
        })
        .unwrap();
    let letter = DeadLetter {
        cause: None,
        batch_id: None,
        record: bytes::Bytes::from_static(b"one\n"),
        reason: "no field 7".into(),
        attempts: 0,
        stderr_tail: String::new(),
        origin: None,
        contents: Contents::Record,
        header: None,
    };
    let output = Output { dead: vec![letter; 2], ..Output::default() };
    let (work, spent) = (run.work, Spent::default());
    play.tell(Event::task(STAGE, BatchEvent::Done { work, result: Ok(output), spent }));
    assert_eq!(play.reason(1), Reason::DeadLimit { dead: 2, records: 2 });
}

#[test]
fn a_record_that_may_have_killed_the_worker_is_asked_about_later() {
    use crate::event::Attempt;
    use crate::recovery::TaskState;
    use worker_proto::{Epoch, JournalId, Seq};
    let mut states: BTreeMap<_, _> =
        (0..3).map(|at| (TaskId(at), TaskState::fresh(Epoch(1), JournalId(u64::from(at) + 1)))).collect();
    let first = Some((LinkId(0), Seq(1)));
    states.get_mut(&STAGE).unwrap().attempt = Attempt { records: 1, first, alone: 1, suspects: 0 };
    let mut play = Play::recovered(around(asked(10)), &states);
    play.read(&["suspect"]);
    let Reason::Backoff { records: 1, until, .. } = play.reason(1) else { panic!("{:?}", play.reasons(1)) };
    play.pass(until.since(play.now));
    assert_eq!(play.reason(1), Reason::ChildBusy { since: Time::from_micros(1) });
}

#[test]
fn a_link_between_tasks_that_do_not_exist_here_is_no_reason() {
    let mut config = line(vec![TaskKind::Source, TaskKind::Sink, TaskKind::Sink]);
    config.nodes.push("b".into());
    config.graph.tasks[1].node = NodeIx(1);
    config.graph.tasks[2].node = NodeIx(1);
    config.graph.links = vec![LinkSpec::new(TaskId(0), TaskId(1))];
    let play = Play::new(config);
    assert_eq!(play.node.stalls().iter().map(|s| s.task).collect::<Vec<_>>(), [TaskId(0)]);
}

#[test]
fn what_is_being_written_when_a_node_fails_counts_once_it_is_written() {
    let write = |action: &Action| {
        let Action::Task(_, TaskAction::Sink(SinkAction::Write { work, .. })) = action else { return None };
        Some(*work)
    };
    let sink = TaskId(1);
    let config = || line(vec![TaskKind::Source, TaskKind::Sink]);
    for (mut play, counted) in [(Play::new(config()), 2), (Play::journaled(config()), 0)] {
        play.read(&["one", "two"]);
        let work = play.take(write).unwrap();
        play.tell(Event::Task(TaskId(0), TaskEvent::Failed { why: "damaged".into() }));
        let written = SinkEvent::Written { work, position: None };
        play.tell(Event::task(sink, written.clone()));
        play.tell(Event::task(sink, written));
        let counters = play.node.status().tasks[1].counters;
        assert_eq!(
            (counters.records_out, counters.bytes_out),
            (counted, counted * 4),
            "with a journal: none"
        );
    }
}
