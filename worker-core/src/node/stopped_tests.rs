//! A process that was itself stopped for long, and the peers that it finds, or does not find, when it goes on.

use super::play::{Play, to_b};
use super::*;
use crate::event::{ConnEvent, Loss, NodeAction, NodeEvent};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn closed(conn: ConnId, loss: Loss) -> Event {
    Event::Conn(conn, ConnEvent::Closed { loss, why: "as the system says".into() })
}

/// A source whose peer is there.
fn connected() -> (Play, ConnId) {
    let mut play = Play::new(to_b());
    assert!(play.read(&["one"]));
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.open(conn, 1 << 20);
    play.transmit(conn);
    (play, conn)
}

fn was_stopped(play: &mut Play, seconds: u64) {
    play.tell(Event::Node(NodeEvent::WasStopped { lasted: Duration::from_secs(seconds) }));
}

fn halts(play: &mut Play) -> Option<String> {
    play.take(|action| match action {
        Action::Node(NodeAction::Halt { error }) => Some(error.to_string()),
        Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
    })
}

/// Dials once every ten seconds, in vain, until it ends, or for so long.
fn finds_nobody(play: &mut Play, loss: Loss, seconds: u64) -> Option<String> {
    let end = play.now + Duration::from_secs(seconds);
    while play.now < end {
        play.pass(10 * SECOND);
        let conn = play.dialled();
        play.tell(closed(conn, loss));
        if let Some(why) = halts(play) {
            return Some(why);
        }
    }
    None
}

#[test]
fn where_nobody_listens_any_more_it_ends_and_says_so() {
    let (mut play, conn) = connected();
    was_stopped(&mut play, 600);
    assert_eq!(play.node.status().stopped, Some((600 * SECOND, play.now)));
    play.tell(closed(conn, Loss::Lost));
    let begun = play.now;
    let why = finds_nobody(&mut play, Loss::NobodyListens, 300).expect("it ends");
    assert!(why.contains("stopped for 600 s") && why.contains("finished, or stopped, without it"), "{why}");
    assert!(play.now - begun > 60 * SECOND, "who died meanwhile may be started again");
}

#[test]
fn where_it_cannot_be_known_it_waits() {
    // Nothing answers: its peer may live behind a network that is broken.
    let (mut play, conn) = connected();
    was_stopped(&mut play, 600);
    play.tell(closed(conn, Loss::Silent));
    assert_eq!(finds_nobody(&mut play, Loss::NoAnswer, 3600), None);
    // A stop that no peer has noticed.
    let (mut play, conn) = connected();
    was_stopped(&mut play, 3);
    play.tell(closed(conn, Loss::Lost));
    assert_eq!(finds_nobody(&mut play, Loss::NobodyListens, 3600), None);
    // The connection has outlived the stop: what ends it later has nothing to do with it.
    let (mut play, conn) = connected();
    was_stopped(&mut play, 600);
    play.pass(100 * SECOND);
    play.tell(closed(conn, Loss::Lost));
    assert_eq!(finds_nobody(&mut play, Loss::NobodyListens, 3600), None);
    // It was found again.
    let (mut play, conn) = connected();
    was_stopped(&mut play, 600);
    play.tell(closed(conn, Loss::Lost));
    assert_eq!(finds_nobody(&mut play, Loss::NobodyListens, 30), None);
    play.pass(10 * SECOND);
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.tell(closed(conn, Loss::Lost));
    assert_eq!(finds_nobody(&mut play, Loss::NobodyListens, 3600), None);
}
