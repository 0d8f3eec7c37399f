//! A node that is told to take no new input: all that it has taken is delivered, and then it ends.

use super::play::{Play, around, asked, batch, to_b};
use super::tests::stream_spec;
use super::*;
use crate::config::{StreamSpec, TaskKind, Window};
use crate::event::{JournalAction, SourceAction, SourceEvent, StreamEvent, TaskAction};

const FINISH: Event = Event::Node(NodeEvent::Finish);

fn take(play: &mut Play, f: impl Fn(&Action) -> bool) -> bool {
    play.take(|action| f(action).then_some(())).is_some()
}

fn stops_source(play: &mut Play) -> bool {
    take(play, |action| matches!(action, Action::Task(TaskId(0), TaskAction::Source(SourceAction::Stop))))
}

/// Whether the node has ended when all that there is to do was done.
fn ends(play: &mut Play) -> bool {
    play.work();
    play.node.over
}

fn stopped(play: &mut Play) {
    assert!(stops_source(play));
    play.tell(Event::task(TaskId(0), SourceEvent::Ended { complete: false }));
}

fn has_read(play: &mut Play, records: u64, bytes: u64) {
    play.tell(Event::task(TaskId(1), StreamEvent::Read { window: 1, records, bytes, is_behind: false }));
}

fn windows(window: Option<Window>) -> TaskKind {
    TaskKind::Stream(StreamSpec { window, ..stream_spec() })
}

#[test]
fn with_a_journal_all_that_was_taken_is_delivered_and_nothing_has_ended() {
    for kind in [batch(), asked(10)] {
        let mut play = Play::journaled(around(kind.clone()));
        assert!(play.read(&["a", "b"]));
        play.tell(FINISH);
        stopped(&mut play);
        assert!(!play.node.status().drained, "{kind:?}: it is under way");
        assert!(ends(&mut play), "{kind:?}");
        assert_eq!(play.written, ["a", "b"], "{kind:?}");
        assert!(play.node.status().tasks.iter().all(|task| !task.done), "{kind:?}: the next life reads on");
    }
}

#[test]
fn a_stop_leaves_to_the_next_life_what_a_drain_delivers() {
    let mut play = Play::journaled(around(batch()));
    assert!(play.read(&["a"]));
    play.tell(Event::Node(NodeEvent::Drain));
    stopped(&mut play);
    // What runs is finished; that it is written is another life's.
    assert!(ends(&mut play));
    assert!(play.written.is_empty());
}

#[test]
fn in_memory_the_end_of_the_sources_is_the_end() {
    let mut play = Play::new(around(windows(None)));
    assert!(play.read(&["a", "b"]));
    play.tell(FINISH);
    stopped(&mut play);
    assert!(ends(&mut play));
    assert_eq!(play.written, ["a", "b", "end of 2"]);
    assert!(play.node.status().tasks.iter().all(|task| task.done));
}

#[test]
fn a_window_is_cut_once_its_program_has_read_all() {
    let mut play = Play::journaled(around(windows(Some(Window::Records(100)))));
    assert!(play.read(&["a", "b"]));
    play.tell(FINISH);
    stopped(&mut play);
    assert!(!ends(&mut play), "it has not read what it was given");
    has_read(&mut play, 2, 2);
    assert!(ends(&mut play));
    assert_eq!(play.written, ["a", "b", "end of 2"]);
}

#[test]
fn a_program_whose_input_has_no_end_yet_keeps_it_for_the_next_life() {
    let mut play = Play::journaled(around(windows(None)));
    assert!(play.read(&["a", "b"]));
    play.tell(FINISH);
    stopped(&mut play);
    assert!(!ends(&mut play));
    has_read(&mut play, 2, 2);
    assert!(ends(&mut play));
    assert_eq!(play.written, ["a", "b"], "what it had printed");
}

/// Nobody knows what others still send.
#[test]
fn one_of_several_says_that_it_is_drained_and_waits_for_the_word() {
    let mut play = Play::journaled(to_b());
    let conn = play.dialled();
    play.welcome(conn, 1);
    assert!(play.read(&["a"]));
    play.tell(FINISH);
    stopped(&mut play);
    assert!(!play.node.status().drained, "b does not have it");
    play.transmit(conn);
    play.open(conn, 4096);
    play.transmit(conn);
    let ack = worker_proto::frame::Ack {
        link: LinkId(0),
        epoch: worker_proto::Epoch(1),
        through: worker_proto::Seq(1),
        finished: worker_proto::Seq(1),
        credit: 4096,
    };
    play.hear(conn, worker_proto::Frame::Ack(ack));
    assert!(play.node.status().drained);
    assert!(!play.node.over);
    play.tell(Event::Node(NodeEvent::Drain));
    assert!(play.node.over);
}

#[test]
fn what_is_not_durable_is_not_delivered() {
    let mut play = Play::journaled(around(batch()));
    play.syncs = false;
    assert!(play.read(&["a"]));
    play.tell(FINISH);
    stopped(&mut play);
    assert!(!play.node.status().drained);
    let persists =
        |action: &Action| matches!(action, Action::Task(_, TaskAction::Journal(JournalAction::Persist(_))));
    assert!(take(&mut play, persists));
}
