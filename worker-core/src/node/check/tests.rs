use crate::config::TaskId;
use crate::event::{Body, Event, TaskEvent};
use crate::node::Node;
use crate::node::play::{Play, around, batch};
use crate::outbox::Outbox;
use crate::task::{Life, Task};
use std::time::Duration;
use worker_proto::{LinkId, Seq};

const STAGE: TaskId = TaskId(1);
const SINK: TaskId = TaskId(2);
const TO_STAGE: LinkId = LinkId(0);
const TO_SINK: LinkId = LinkId(1);

/// Source → batch stage, which runs, → sink, which is paused while three records are queued.
fn in_use(journaled: bool) -> Play {
    let config = around(batch());
    let mut play = if journaled { Play::journaled(config) } else { Play::new(config) };
    play.tell(Event::Task(SINK, TaskEvent::Pause { paused: true }));
    assert!(play.read(&["a", "b", "c"]));
    play.pass(Duration::ZERO);
    play.work();
    assert!(play.read(&["d", "e"]));
    play.pass(Duration::ZERO);
    assert_eq!(play.node.check(), Ok(()));
    play
}

fn assign_one(outbox: &mut Outbox) {
    outbox.assign(&Body::Memory(crate::node::tests::records(&["f"])));
}

fn task(node: &mut Node, id: TaskId) -> &mut Task {
    node.tasks[id.0 as usize].as_mut().unwrap()
}

#[test]
fn says_what_is_wrong_and_whose_it_is() {
    type Spoil = fn(&mut Node);
    let wrong: [(&str, &str, Spoil); 11] = [
        ("t1/0", "numbers assigned", |n| assign_one(&mut n.ctx.outbox(TO_SINK))),
        ("t1/0", "life", |n| task(n, STAGE).base.life = Life::Ending),
        ("t1/0", "ends", |n| task(n, STAGE).base.input_ended()),
        ("t2/0", "turns of inputs", |n| task(n, SINK).base.arrived(TO_SINK)),
        ("t2/0", "turns of inputs", |n| drop(n.ctx.inbox(TO_SINK).take(u64::MAX, u64::MAX))),
        ("t2/0", "queued behind what is taken", |n| drop(n.ctx.inbox(TO_SINK).take(u64::MAX, 1))),
        ("t1/0", "taken is not committed", |n| {
            let epoch = n.ctx.inbox(TO_STAGE).epoch().unwrap();
            n.ctx.inbox(TO_STAGE).committed(epoch, Seq(4));
        }),
        ("t0/0 -> t1/0", "credit at both ends", |n| {
            n.ctx.outbox(TO_STAGE).push(crate::node::tests::records(&["f"]));
            n.ctx.outbox(TO_STAGE).pull(u64::MAX).unwrap();
        }),
        ("node", "slots used", |n| n.ctx.slots.release(STAGE)),
        ("node", "tasks that ask", |n| n.ctx.asking += 1),
        ("node", "alone in flight", |n| {
            n.ctx.alone.wants(SINK);
            n.ctx.alone.next();
        }),
    ];
    for (whose, what, spoil) in wrong {
        let mut node = in_use(false).node;
        spoil(&mut node);
        let found = node.check().expect_err(what);
        assert_eq!((found.what(), found.to_string().split(": ").next()), (what, Some(whose)), "{found}");
    }
}

#[test]
fn an_acknowledgement_before_its_commit_is_found() {
    let mut play = in_use(true);
    let sent = play.node.ctx.outbox_ref(TO_STAGE).cursor();
    play.node.ctx.outbox(TO_STAGE).acked(sent, Seq::ZERO, 0).unwrap();
    assert_eq!(play.node.check().map_err(|wrong| wrong.what()), Err("acknowledged at both ends"));
}
