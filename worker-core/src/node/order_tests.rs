//! To whom chunks go that are dealt in the order of the source.

use super::play::{Play, chunk};
use super::tests::{batch_spec, line, records};
use super::*;
use crate::config::{BatchSpec, LinkOrder, LinkSpec, TaskKind};
use crate::event::{Action, BatchAction, BatchEvent, Event, Output, Spent, TaskAction, WorkId};
use std::time::Duration;

const LINGER: Duration = Duration::from_millis(20);
const SOURCE: TaskId = TaskId(0);
const W: [TaskId; 2] = [TaskId(1), TaskId(2)];
const TO_W: [LinkId; 2] = [LinkId(0), LinkId(1)];

/// Source 0 → batches of the two tasks of a stage, 1 and 2 → sink 3, in the order of the source.
fn ordered() -> NodeConfig {
    let batch = || TaskKind::Batch(BatchSpec { linger: LINGER, max_bytes: 1 << 20, ..batch_spec() });
    let mut config = line(vec![TaskKind::Source, batch(), batch(), TaskKind::Sink]);
    for (task, name) in config.graph.tasks[1..=2].iter_mut().zip(["w/0", "w/1"]) {
        name.clone_into(&mut task.name);
    }
    let link = |from, to| LinkSpec { order: LinkOrder::Dealt, ..LinkSpec::new(from, to) };
    let sink = TaskId(3);
    config.graph.links = vec![link(SOURCE, W[0]), link(SOURCE, W[1]), link(W[0], sink), link(W[1], sink)];
    config.slots = 2;
    config.limits.outbox_bytes = 8 << 20;
    config
}

/// One record, which comes later than the linger of the one before it.
fn read(play: &mut Play) {
    play.pass(LINGER + Duration::from_millis(1));
    assert!(play.read(&["x"]));
}

/// What is at a program now: the task, its work, and how many records it has.
fn runs(play: &mut Play) -> Option<(TaskId, WorkId, usize)> {
    play.take(|action| match action {
        Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) => {
            Some((*task, run.work, run.input.iter().map(worker_proto::Batch::len).sum()))
        }
        Action::Conn(..) | Action::Link(..) | Action::Task(..) | Action::Node(_) => None,
    })
}

fn done(play: &mut Play, (task, work, _): (TaskId, WorkId, usize), spent: Spent) {
    let link = TO_W[1].0 + task.0;
    let output = Output { chunks: vec![chunk(link, records(&["y"]))], records: 1, ..Output::default() };
    play.tell(Event::task(task, BatchEvent::Done { work, result: Ok(output), spent }));
}

/// What the stage was given so far: records, and ends of chunks.
fn tuples(play: &Play) -> u64 {
    TO_W.map(|link| play.node.ctx.outbox_ref(link).next_assigned().before().0).iter().sum()
}

#[test]
fn while_all_programs_run_what_comes_waits_for_them_together() {
    for mut play in [Play::new(ordered()), Play::journaled(ordered())] {
        (0..2).for_each(|_| read(&mut play));
        play.pass(LINGER);
        let first = [runs(&mut play), runs(&mut play)].map(|run| run.expect("each has one"));
        assert_eq!(first.map(|(task, _, records)| (task, records)), [(W[0], 1), (W[1], 1)]);
        assert_eq!(tuples(&play), 3, "the first chunk ended");
        (0..30).for_each(|_| read(&mut play));
        assert_eq!((tuples(&play), play.node.check()), (33, Ok(())), "the second does not: both are busy");
        let [at_first, at_second] = first;
        done(&mut play, at_second, Spent::default());
        play.pass(LINGER);
        let (task, _, records) = runs(&mut play).expect("its next batch");
        assert_eq!((task, records), (W[1], 30), "all that came meanwhile is one batch");
        done(&mut play, at_first, Spent::default());
        read(&mut play);
        assert_eq!(tuples(&play), 35, "the first has nothing to do: it is given the next chunk");
    }
}
