//! Which of several tasks is given what any of them may have.

use super::play::Play;
use super::tests::line;
use super::*;
use crate::config::{LinkSpec, TaskKind};
use crate::event::{Action, ConnEvent, Event, Loss, SinkAction, SinkEvent, TaskAction};

const SLOW: TaskId = TaskId(1);
const TO_SLOW: LinkId = LinkId(0);
const TO_OTHER: LinkId = LinkId(1);

/// Source 0 → the two tasks of a sink, 1 and 2.
fn fork() -> NodeConfig {
    let mut config = line(vec![TaskKind::Source, TaskKind::Sink, TaskKind::Sink]);
    for (task, name) in config.graph.tasks[1..].iter_mut().zip(["w/0", "w/1"]) {
        name.clone_into(&mut task.name);
    }
    config.graph.links = vec![LinkSpec::new(TaskId(0), SLOW), LinkSpec::new(TaskId(0), TaskId(2))];
    config.graph.keyless.extend([TO_SLOW, TO_OTHER]);
    config
}

/// What was given to the links, in records, when so many chunks of one were read for the slow task, which has done nothing yet.
fn given(play: &mut Play, chunks: u32) -> [u64; 2] {
    for at in 0..chunks {
        assert!(play.read(&["x"]), "chunk {at}");
        while let Some(work) = play.take(|action| match action {
            Action::Task(task, TaskAction::Sink(SinkAction::Write { work, .. })) if *task != SLOW => {
                Some(*work)
            }
            Action::Conn(..) | Action::Link(..) | Action::Task(..) | Action::Node(_) => None,
        }) {
            play.tell(Event::task(TaskId(2), SinkEvent::Written { work, position: None }));
        }
    }
    assert_eq!(play.node.check(), Ok(()));
    [TO_SLOW, TO_OTHER].map(|link| play.node.ctx.outbox_ref(link).next_assigned().before().0)
}

#[test]
fn who_is_busy_is_passed_over() {
    assert_eq!(given(&mut Play::new(fork()), 40), [1, 39]);
    assert_eq!(given(&mut Play::journaled(fork()), 40), [1, 39]);
}

#[test]
fn what_has_a_key_goes_where_the_router_says() {
    let mut config = fork();
    config.graph.keyless.clear();
    assert_eq!(given(&mut Play::new(config), 4), [4, 0]);
}

#[test]
fn what_waits_to_be_durable_counts() {
    let mut play = Play::journaled(fork());
    play.syncs = false;
    assert_eq!(given(&mut play, 4), [2, 2]);
}

/// The same with one of the two on node `b`.
fn over_two_nodes() -> NodeConfig {
    let mut config = fork();
    config.nodes.push("b".into());
    config.graph.tasks[1].node = NodeIx(1);
    config
}

#[test]
fn who_cannot_be_reached_is_passed_over() {
    let mut play = Play::new(over_two_nodes());
    let first_dial = play.node.ctx.config.redial.initial;
    play.pass(first_dial);
    assert_eq!(given(&mut play, 10), [0, 10]);
}

#[test]
fn who_was_not_dialled_in_vain_yet_is_given_to_like_any_other() {
    let mut play = Play::new(over_two_nodes());
    assert_eq!(given(&mut play, 10), [1, 9], "what waits for it counts");
}

#[test]
fn who_was_connected_and_is_not_any_more_is_passed_over_at_once() {
    let mut play = Play::new(over_two_nodes());
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.open(conn, 4096);
    assert_eq!(given(&mut play, 2), [1, 1]);
    let why = "reset".to_owned();
    play.tell(Event::Conn(conn, ConnEvent::Closed { loss: Loss::Lost, why }));
    assert_eq!(given(&mut play, 10), [1, 11]);
}

#[test]
fn who_wants_nothing_is_passed_over_while_another_does() {
    let mut play = Play::new(fork());
    play.node.ctx.outbox(TO_SLOW).cancel();
    assert_eq!(given(&mut play, 10), [0, 10]);
}
