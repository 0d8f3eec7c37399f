use super::*;
use crate::config::{LinkSpec, TaskKind, TaskSpec};
use crate::event::Place;
use crate::outbox::{Request, Standing as Receiver};
use crate::rng::Rng;
use bytes::Bytes;
use worker_proto::{Batch, Seq};

const ME: NodeIx = NodeIx(0);
const GIVER: TaskId = TaskId(0);

const LIMITS: Limits =
    Limits { credit_bytes: 1 << 20, outbox_bytes: 4096, spill_bytes: 8192, shared_credit_bytes: 0 };

/// A task that gives to `any` others in any order and to two stages of two tasks each in order; one of the first drops.
fn graph(any: u32) -> Graph {
    let task = |at: u32, node| TaskSpec { name: format!("t{at}/0"), node, kind: TaskKind::Sink };
    // Every second receiver is another node's.
    let tasks = (0..=any + 4).map(|at| task(at, NodeIx(u16::from(at % 2 == 1)))).collect();
    let links = (1..=any + 4).map(|to| {
        let order = if to > any { LinkOrder::Dealt } else { LinkOrder::Any };
        LinkSpec { order, ..LinkSpec::new(GIVER, TaskId(to)) }
    });
    Graph { tasks, links: links.collect(), ..Graph::default() }
}

fn outboxes(any: u32) -> Outboxes {
    let graph = graph(any);
    let mut all = Outboxes::new(&graph, LIMITS);
    for link in (0..any + 4).map(LinkId) {
        let outbox = match link.0 {
            0 => Outbox::dropping(LIMITS.outbox_bytes, crate::config::WhenFull::DropNewest),
            _ => Outbox::new(LIMITS.outbox_bytes),
        };
        all.add(&graph, ME, link, outbox, false);
    }
    for stage in [any, any + 2] {
        all.are_in_order(&[LinkId(stage), LinkId(stage + 1)]);
    }
    all
}

/// The rule as it reads, over all outputs of the task.
fn room_by_all(all: &Outboxes, any: usize) -> Room {
    let outputs: Vec<&Output> = all.links.iter().flatten().collect();
    if outputs.iter().all(|output| output.outbox.is_cancelled()) {
        return Room::Unwanted;
    }
    let counts = |output: &&&Output| !output.outbox.is_cancelled() && !output.outbox.drops();
    let is_full = |output: &Output| {
        let outbox = &output.outbox;
        outbox.stored_cost() >= LIMITS.spill_bytes || outbox.storing_cost() > LIMITS.outbox_bytes / 2
    };
    if outputs.iter().filter(counts).any(|output| is_full(output)) {
        return Room::None;
    }
    let has_room = |output: &&Output| {
        let part = if output.is_near { 4 } else { 1 };
        output.outbox.memory_cost() + output.outbox.stored_cost() <= output.outbox.room() / part
    };
    let connected =
        |outputs: &[&Output]| outputs.iter().filter(counts).filter(|o| o.outbox.is_open()).any(|_| true);
    let alone = outputs[..any].iter().filter(counts).filter(|output| output.outbox.is_open());
    let stages = [&outputs[any..any + 2], &outputs[any + 2..]];
    let stage_has_room = |stage: &&[&Output]| {
        connected(stage) && stage.iter().filter(|output| output.outbox.is_open()).all(has_room)
    };
    let has_any = alone.clone().any(has_room) || stages.iter().any(stage_has_room);
    let is_connected = alone.count() > 0 || stages.iter().any(|stage| connected(stage));
    if is_connected && !has_any { Room::None } else { Room::Some }
}

/// Something that happens to a link.
fn happens(outbox: &mut Outbox, what: u64, places: &mut u64) {
    let batch =
        |records| Batch::from_terminated(Bytes::from(("x".repeat(300) + "\n").repeat(records)), b'\n');
    let standing = |outbox: &Outbox| Receiver {
        committed: outbox.first_unacked().before(),
        received: outbox.first_unacked().before(),
        finished: Seq::ZERO,
        credit: 1 << 20,
    };
    match what {
        0..40 if outbox.drops() => drop(outbox.offer(crate::event::Body::Memory(batch(1)))),
        0..40 => drop(outbox.push(batch(1))),
        40..60 if !outbox.is_open() && !outbox.is_cancelled() => drop(outbox.open(standing(outbox))),
        60..75 => drop(outbox.pull(u64::MAX)),
        75..85 if outbox.is_open() => drop(outbox.acked(outbox.cursor(), Seq::ZERO, 1 << 20)),
        85..90 => outbox.unbind(),
        90 => outbox.cancel(),
        _ => {}
    }
    if !what.is_multiple_of(3) {
        return;
    }
    while let Some(request) = outbox.poll_request() {
        match request {
            Request::Store { first_seq, .. } => {
                *places += 1;
                outbox.stored(first_seq, Place(*places));
            }
            Request::Load { first_seq, records, .. } => {
                outbox.loaded(first_seq, batch(usize::try_from(records).unwrap()));
            }
            Request::Release { .. } | Request::Discard { .. } => {}
        }
    }
}

#[test]
fn what_is_counted_says_the_same_as_a_look_at_every_output() {
    let mut seen = [0; 3];
    for seed in 0..40 {
        let (any, mut rng, mut places) = (3, Rng::new(seed), 0);
        let mut all = outboxes(any);
        let links = any + 4;
        for step in 0..400 + links {
            // In the end all are cancelled.
            let (link, what) = match step.checked_sub(400) {
                Some(link) => (link, 90),
                None => (u32::try_from(rng.up_to(u64::from(links - 1))).unwrap(), rng.up_to(90)),
            };
            happens(&mut all.change(LinkId(link)).unwrap(), what, &mut places);
            let room = room_by_all(&all, any as usize);
            assert_eq!((all.room(GIVER), all.is_unwanted(GIVER)), (room, room == Room::Unwanted), "{all:?}");
            assert_eq!(all.check(), Ok(()));
            seen[room as usize] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times >= 40), "each is met: {seen:?}");
}

#[test]
fn a_count_that_is_wrong_is_found() {
    type Spoil = fn(&mut Outboxes);
    let wrong: [(&str, Spoil); 4] = [
        ("outputs", |all| all.tasks[0].full += 1),
        ("outputs", |all| all.tasks[0].in_order[1].all += 1),
        ("standing of an output", |all| all.links[1].as_mut().unwrap().outbox.cancel()),
        ("outputs", |all| all.links[1].as_mut().unwrap().in_order = Some(0)),
    ];
    for (what, spoil) in wrong {
        let mut all = outboxes(2);
        happens(&mut all.change(LinkId(1)).unwrap(), 40, &mut 0);
        spoil(&mut all);
        assert_eq!(all.check().map_err(|wrong| wrong.what()), Err(what));
    }
}
