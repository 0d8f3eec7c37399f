//! Why what a task gives does not leave, or what it takes does not come: each reason is made to show, and to go.

use super::play::{Play, around, asked, batch, to_b};
use super::tests::{line, records};
use super::*;
use crate::config::TaskKind;
use crate::event::{ConnEvent, Loss};
use crate::stall::{PeerCause, Reason};
use std::time::Duration;
use worker_proto::frame::{BatchFrame, End, GoAway, GoAwayWhy, Hello, Open};
use worker_proto::limits::PROTOCOL;
use worker_proto::{ConnNo, Epoch, Fingerprint, Frame, Incarnation, JournalId, Seq};

const SECOND: Duration = Duration::from_secs(1);

fn closed(conn: ConnId, loss: Loss) -> Event {
    Event::Conn(conn, ConnEvent::Closed { loss, why: "as the system says".into() })
}

/// A source with one record for a node that it has just dialled, and its connection.
fn dialling() -> (Play, ConnId) {
    let mut play = Play::new(to_b());
    assert!(play.read(&["one"]));
    let conn = play.dialled();
    play.pass(SECOND);
    (play, conn)
}

/// The same, and the node takes tuples.
fn connected() -> (Play, ConnId) {
    let (mut play, conn) = dialling();
    play.welcome(conn, 1);
    play.open(conn, 1 << 20);
    play.transmit(conn);
    (play, conn)
}

/// Since when, why, and after how many attempts the peer is down; and whether the next attempt is known.
fn down(play: &Play) -> Option<(Time, PeerCause, u32, bool)> {
    let reasons = play.reasons(0);
    let found = reasons.iter().find(|reason| matches!(reason, Reason::PeerDown { .. }))?;
    let Reason::PeerDown { since, cause, attempts, next, held_records, peer, link, .. } = found else {
        return None;
    };
    assert_eq!((*held_records, *peer, *link), (1, NodeIx(1), LinkId(0)));
    Some((*since, *cause, *attempts, next.is_some()))
}

fn redial(play: &mut Play) -> ConnId {
    play.pass(SECOND * 10);
    play.dialled()
}

#[test]
fn a_peer_that_never_answered_is_down_since_the_start() {
    let begun = Time::from_micros(1);
    let (mut play, conn) = dialling();
    assert_eq!(down(&play), Some((begun, PeerCause::NotYet, 0, false)), "the first dial is under way");
    play.tell(closed(conn, Loss::Unreachable));
    assert_eq!(down(&play), Some((begun, PeerCause::Unreachable, 1, true)));
    let conn = redial(&mut play);
    assert_eq!(down(&play), Some((begun, PeerCause::Unreachable, 1, false)), "the second is");
    play.tell(closed(conn, Loss::Unreachable));
    assert_eq!(down(&play), Some((begun, PeerCause::Unreachable, 2, true)));
}

#[test]
fn a_peer_that_turns_the_connection_away_has_refused_it_in_its_own_words() {
    let (mut play, conn) = dialling();
    play.tell(Event::Conn(conn, ConnEvent::Dialed));
    let message = "another living process is node a".to_owned();
    play.hear(conn, Frame::GoAway(GoAway { why: GoAwayWhy::NameInUse, message }));
    play.tell(closed(conn, Loss::Lost));
    assert!(matches!(down(&play), Some((_, PeerCause::Refused, 1, true))), "{:?}", play.reasons(0));
    let told =
        |r: &Reason| matches!(r, Reason::PeerDown { why, .. } if why.contains("another living process"));
    assert!(play.reasons(0).iter().any(told));
}

#[test]
fn a_peer_that_was_connected_is_silent_or_lost_since_then() {
    for (loss, cause) in [(Loss::Silent, PeerCause::Silent), (Loss::Lost, PeerCause::Lost)] {
        let (mut play, conn) = connected();
        assert_eq!(down(&play), None);
        play.pass(SECOND);
        play.tell(closed(conn, loss));
        assert_eq!(down(&play), Some((play.now, cause, 1, true)));
    }
}

#[test]
fn a_peer_that_has_fallen_silent_is_silent_until_something_answers() {
    let (mut play, conn) = connected();
    play.tell(closed(conn, Loss::Silent));
    let fell = play.now;
    for attempt in 2..5 {
        let conn = redial(&mut play);
        assert_eq!(down(&play), Some((fell, PeerCause::Silent, attempt - 1, false)));
        let loss = if attempt == 3 { Loss::NoAnswer } else { Loss::Silent };
        play.tell(closed(conn, loss));
        assert_eq!(down(&play), Some((fell, PeerCause::Silent, attempt, true)));
    }
    let conn = redial(&mut play);
    play.tell(closed(conn, Loss::NobodyListens));
    assert_eq!(down(&play), Some((fell, PeerCause::Unreachable, 5, true)));
    let conn = redial(&mut play);
    play.tell(closed(conn, Loss::NoAnswer));
    assert_eq!(down(&play), Some((fell, PeerCause::Unreachable, 6, true)));
}

#[test]
fn a_peer_that_leaves_and_comes_back_as_another_process() {
    let (mut play, conn) = connected();
    play.pass(SECOND);
    let message = "shutting down".to_owned();
    play.hear(conn, Frame::GoAway(GoAway { why: GoAwayWhy::Leaving, message }));
    play.tell(closed(conn, Loss::Lost));
    let left = play.now;
    assert_eq!(down(&play), Some((left, PeerCause::Lost, 1, true)), "it has refused nothing");
    let conn = redial(&mut play);
    play.tell(closed(conn, Loss::Unreachable));
    assert_eq!(down(&play), Some((left, PeerCause::Unreachable, 2, true)), "down since it left");
    let conn = redial(&mut play);
    play.welcome(conn, 2);
    assert_eq!(down(&play), None);
    play.open(conn, 1 << 20);
    play.transmit(conn);
    play.pass(SECOND);
    play.tell(closed(conn, Loss::Silent));
    assert_eq!(down(&play), Some((play.now, PeerCause::Silent, 1, true)), "counted anew");
}

#[test]
fn a_link_waits_to_be_opened_then_for_credit_then_for_acknowledgements() {
    let (mut play, conn) = dialling();
    play.welcome(conn, 1);
    let link_reason = |play: &Play| play.reasons(0).into_iter().find(|r| r.link().is_some());
    let (link, held_records) = (LinkId(0), 1);
    assert_eq!(link_reason(&play), Some(Reason::NotOpen { link, held_records }));
    play.open(conn, 1);
    play.transmit(conn);
    assert_eq!(link_reason(&play), Some(Reason::Unacknowledged { link, held_records }));
    assert!(play.read(&["two"]));
    play.transmit(conn);
    assert_eq!(
        link_reason(&play),
        Some(Reason::NoCredit { link, held_records: 2 }),
        "one byte is one record"
    );
    let (through, finished, credit) = (Seq(1), Seq::ZERO, 1 << 20);
    let ack = worker_proto::frame::Ack { link, epoch: Epoch(1), through, finished, credit };
    play.hear(conn, Frame::Ack(ack));
    play.transmit(conn);
    assert_eq!(link_reason(&play), Some(Reason::Unacknowledged { link, held_records }));
    play.hear(conn, Frame::Ack(worker_proto::frame::Ack { through: Seq(2), ..ack }));
    assert_eq!(link_reason(&play), None);
}

#[test]
fn a_receiver_on_the_same_node_takes_no_more() {
    let mut play = Play::new(around(asked(1)));
    while play.read(&["x".repeat(999).as_str()]) {}
    let reasons = play.reasons(0);
    assert!(reasons.iter().any(|r| matches!(r, Reason::NoCredit { link: LinkId(0), .. })), "{reasons:?}");
    play.work();
    assert_eq!(play.reasons(0), [Reason::SourceIdle]);
}

#[test]
fn with_a_journal_what_is_not_committed_is_not_acknowledged() {
    let mut play = Play::journaled(around(batch()));
    assert!(play.read(&["one"]));
    play.pass(SECOND);
    let unacknowledged = Reason::Unacknowledged { link: LinkId(0), held_records: 1 };
    assert_eq!(play.reasons(0), [Reason::SourceIdle, unacknowledged]);
    play.work();
    assert_eq!(play.reasons(0), [Reason::SourceIdle]);
}

#[test]
fn a_task_says_which_upstream_node_it_hears_nothing_of() {
    let mut config = to_b();
    config.me = NodeIx(1);
    let mut play = Play::new(config);
    let (link, peer) = (LinkId(0), NodeIx(0));
    let since = |since, cause| vec![Reason::UpstreamDown { link, peer, since, cause }];
    assert_eq!(play.reasons(1), since(Time::from_micros(1), PeerCause::NotYet));
    let conn = dial_from_a(&mut play, 1);
    assert_eq!(play.reasons(1), []);
    play.pass(SECOND);
    play.tell(closed(conn, Loss::Silent));
    assert_eq!(play.reasons(1), since(play.now, PeerCause::Silent));
    let conn = dial_from_a(&mut play, 2);
    let (epoch, batch) = (Epoch(1), records(&["one"]));
    play.hear(conn, Frame::Batch(BatchFrame { link, epoch, first_seq: Seq(1), batch }));
    play.hear(conn, Frame::End(End { link, epoch, seq: Seq(2) }));
    play.tell(closed(conn, Loss::Lost));
    assert!(matches!(play.reason(1), Reason::Writing { .. }), "its end has come: nothing more is wanted");
}

fn dial_from_a(play: &mut Play, number: u64) -> ConnId {
    let conn = play.node.accept(play.now);
    play.hear(
        conn,
        Frame::Hello(Hello {
            protocol: PROTOCOL,
            cluster: "test".into(),
            node: "a".into(),
            to: "b".into(),
            incarnation: Incarnation(1),
            conn_no: ConnNo(number),
            pipeline: Fingerprint(1),
            placement: Fingerprint(1),
        }),
    );
    let (link, epoch, journal) = (LinkId(0), Epoch(1), JournalId(0));
    play.hear(conn, Frame::Open(Open { link, epoch, journal, first_unacked: Seq(1), next: Seq(1) }));
    conn
}

#[test]
fn a_task_whose_only_receiver_is_slow_waits_at_half_its_memory() {
    let mut play = Play::new(line(vec![TaskKind::Source, TaskKind::Sink]));
    let read = play.read_on(100);
    let full = play.reasons(0).remove(0);
    let Reason::OutboxFull { link: LinkId(0), memory_bytes, stored_bytes: 0, budget_bytes: 8192 } = full
    else {
        panic!("{full:?} after {read}")
    };
    assert!((4096..8192).contains(&memory_bytes), "{memory_bytes}");
}

#[test]
fn a_task_whose_only_receiver_is_not_connected_works_on_up_to_its_spill_limit() {
    let mut config = to_b();
    config.limits.spill_bytes = 20_000;
    let mut play = Play::new(config);
    let read = play.read_on(100);
    assert!((20..45).contains(&read), "{read} of about 1,000 bytes");
    let limit = play.reasons(0).remove(0);
    assert!(matches!(limit, Reason::SpillLimit { link: LinkId(0), .. }), "{limit:?}");
}

#[test]
fn a_task_that_waits_for_a_slow_receiver_works_on_when_that_is_lost() {
    let mut config = to_b();
    config.limits.spill_bytes = 20_000;
    let mut play = Play::new(config);
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.open(conn, 1);
    play.transmit(conn);
    play.read_on(100);
    assert!(matches!(play.reasons(0).remove(0), Reason::OutboxFull { .. }), "{:?}", play.reasons(0));
    play.tell(closed(conn, Loss::Lost));
    let read = play.read_on(100);
    assert!(read >= 10, "{read} of about 1,000 bytes");
    assert!(matches!(play.reasons(0).remove(0), Reason::SpillLimit { .. }), "{:?}", play.reasons(0));
}

#[test]
fn of_two_outputs_one_may_be_full_up_to_its_spill_limit() {
    let mut config = line(vec![TaskKind::Source, TaskKind::Sink, TaskKind::Sink]);
    config.nodes.push("b".into());
    config.graph.tasks[2].node = NodeIx(1);
    config.graph.links[1].from = TaskId(0);
    config.limits.spill_bytes = 20_000;
    let mut play = Play::new(config);
    let line = "x".repeat(999);
    let mut read = 0;
    while read < 100 && play.read_to(&[0, 1], &[&line]) {
        play.work();
        read += 1;
    }
    assert!((20..40).contains(&read), "{read} of about 1,000 bytes");
    let limit = play.reasons(0).remove(0);
    let Reason::SpillLimit { link: LinkId(1), stored_bytes, limit_bytes: 20_000 } = limit else {
        panic!("{limit:?}")
    };
    assert!(stored_bytes >= 20_000, "{stored_bytes}");
}
