//! A sender over a long distance: it has more credit and room than its own while it needs them, and gives both back.

use super::play::{Play, to_b};
use super::*;
use std::time::Duration;
use worker_proto::frame::Ack;
use worker_proto::{Epoch, Frame, Seq};

const SECOND: Duration = Duration::from_secs(1);

/// A source whose receiver takes `credit` bytes, with so much that links may share.
fn connected(credit: u64, shared: u64) -> (Play, ConnId) {
    let mut config = to_b();
    config.limits.shared_credit_bytes = shared;
    let mut play = Play::new(config);
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.open(conn, credit);
    (play, conn)
}

/// What the node sends now: how many records, and how many links it opens.
fn sends(play: &mut Play, conn: ConnId) -> (usize, usize) {
    let (mut records, mut opens) = (0, 0);
    while let Some(frame) = play.node.poll_transmit(play.now, conn) {
        match frame {
            Frame::Batch(batch) => records += batch.batch.len(),
            Frame::Open(_) => opens += 1,
            Frame::Hello(_) => {}
            other @ (Frame::Welcome(_)
            | Frame::Opened(_)
            | Frame::Refused(_)
            | Frame::Ack(_)
            | Frame::End(_)
            | Frame::Bye
            | Frame::Ping(_)
            | Frame::Pong(_)
            | Frame::GoAway(_)) => panic!("{other:?}"),
        }
    }
    play.transmit(conn);
    (records, opens)
}

fn ack(play: &mut Play, conn: ConnId, through: u64, credit: u64) {
    let (link, epoch, through) = (LinkId(0), Epoch(1), Seq(through));
    play.hear(conn, Frame::Ack(Ack { link, epoch, through, finished: through, credit }));
}

#[test]
fn credit_that_is_not_used_is_given_back_and_nothing_is_sent_meanwhile() {
    let (mut play, conn) = connected(4_096, 0);
    assert!(play.read(&["one"]));
    assert_eq!(sends(&mut play, conn), (1, 1));
    ack(&mut play, conn, 1, 100_000);
    play.pass(SECOND);
    assert_eq!(sends(&mut play, conn), (0, 1), "it is opened again");
    assert!(play.read(&["two"]));
    ack(&mut play, conn, 1, 200_000);
    assert_eq!(sends(&mut play, conn), (0, 0), "what was granted before that counts for nothing");
    let opened = worker_proto::frame::Opened {
        link: LinkId(0),
        epoch: Epoch(1),
        committed: Seq(1),
        received: Seq(1),
        finished: Seq(1),
        ended: false,
        journal: worker_proto::JournalId(9),
        credit: 4_096,
    };
    play.hear(conn, Frame::Opened(opened));
    assert_eq!(sends(&mut play, conn), (1, 0));
    ack(&mut play, conn, 2, 4_104);
    play.pass(SECOND);
    assert_eq!(sends(&mut play, conn), (0, 0));
    assert_eq!(play.node.next_wake(), None, "nothing is looked at where nothing has grown");
}

#[test]
fn credit_of_a_link_that_was_opened_while_its_receiver_was_full_is_given_back_too() {
    let (mut play, conn) = connected(0, 0);
    assert_eq!(sends(&mut play, conn), (0, 1));
    ack(&mut play, conn, 0, 100_000);
    play.pass(SECOND);
    assert_eq!(sends(&mut play, conn), (0, 1), "it is opened again");
}

#[test]
fn credit_that_is_used_is_kept() {
    let (mut play, conn) = connected(4_096, 1 << 20);
    let (mut through, mut credit) = (0, 100_000);
    sends(&mut play, conn);
    for _ in 0..5 {
        ack(&mut play, conn, through, credit);
        for _ in 0..6 {
            through += play.read_on(1) as u64;
            assert_eq!(sends(&mut play, conn), (1, 0));
            credit += 1_004;
            ack(&mut play, conn, through, credit);
        }
        play.pass(SECOND);
        assert_eq!(sends(&mut play, conn).1, 0);
    }
}

#[test]
fn a_sender_that_lacks_only_room_has_more_for_as_long_as_it_needs_that() {
    for (shared, more) in [(0, false), (1 << 20, true)] {
        let (mut play, conn) = connected(1 << 20, shared);
        let through = play.read_on(1_000);
        assert!(through < 20, "{through} records fill its own");
        sends(&mut play, conn);
        ack(&mut play, conn, 1, 1 << 20);
        let through = through + play.read_on(1_000);
        assert_eq!(through > 100, more, "{through} records were read");
        assert_eq!(play.node.status().shared_credit.0 > 0, more);
        sends(&mut play, conn);
        ack(&mut play, conn, through as u64, 1 << 20);
        play.pass(SECOND);
        assert_eq!(play.node.status().shared_credit, (0, shared));
    }
}
