//! What a stranger says, and what a node says that speaks for another.

use super::play::{Play, to_b};
use super::*;
use crate::event::{NodeAction, NodeError, Report};
use std::time::Duration;
use worker_proto::frame::{GoAway, GoAwayWhy, Hello, Open, Refused, RefusedWhy};
use worker_proto::limits::PROTOCOL;
use worker_proto::{ConnNo, Epoch, Fingerprint, Frame, Incarnation, JournalId, Seq};

/// What is wrong with a `Hello`.
type Change = fn(&mut Hello);

const A: NodeIx = NodeIx(0);
const B: NodeIx = NodeIx(1);

/// Source 0 on node `a` → sink 1 on node `b`, which is the one under test.
fn at_b() -> NodeConfig {
    NodeConfig { me: B, ..to_b() }
}

pub(super) fn hello(play: &Play, life: u64, conn_no: u64) -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster: play.node.ctx.config.cluster.clone(),
        node: "a".into(),
        to: "b".into(),
        incarnation: Incarnation(life),
        conn_no: ConnNo(conn_no),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
    }
}

fn says(play: &mut Play, identity: Identity, hello: Hello) -> ConnId {
    let conn = play.node.accept_as(play.now, identity);
    play.hear(conn, Frame::Hello(hello));
    conn
}

fn greet(play: &mut Play, life: u64, conn_no: u64) -> ConnId {
    let hello = hello(play, life, conn_no);
    says(play, Identity::Claimed, hello)
}

fn open(epoch: u64) -> Frame {
    let (link, epoch, journal) = (LinkId(0), Epoch(epoch), JournalId(5));
    Frame::Open(Open { link, epoch, journal, first_unacked: Seq(1), next: Seq(1) })
}

fn go_away(why: GoAwayWhy) -> Frame {
    Frame::GoAway(GoAway { why, message: "\u{1b}[2Jall is well".into() })
}

fn lose(play: &mut Play, conn: ConnId) {
    let loss = crate::event::Loss::Lost;
    play.tell(Event::Conn(conn, ConnEvent::Closed { loss, why: "reset".into() }));
}

fn heard(play: &mut Play, conn: ConnId) -> Vec<Frame> {
    std::iter::from_fn(|| play.node.poll_transmit(play.now, conn)).collect()
}

/// How a connection was answered: its last word, or that it was let in.
fn answer(play: &mut Play, conn: ConnId) -> Option<GoAway> {
    let frames = heard(play, conn);
    let last = frames.iter().find_map(|f| if let Frame::GoAway(g) = f { Some(g.clone()) } else { None });
    assert!(last.is_some() || frames.iter().any(|f| matches!(f, Frame::Welcome(_))), "{frames:?}");
    last
}

fn refused_for(play: &mut Play, conn: ConnId) -> Option<GoAwayWhy> {
    answer(play, conn).map(|last| {
        assert_eq!(last.message, "", "a class is all that is said");
        last.why
    })
}

fn halted(play: &Play) -> Option<NodeError> {
    play.due.iter().find_map(|a| {
        if let Action::Node(NodeAction::Halt { error }) = a { Some(error.clone()) } else { None }
    })
}

/// What the log of the node says of those that were turned away.
fn log(play: &Play) -> Vec<(Option<String>, &'static str, String)> {
    let refused = |a: &Action| {
        if let Action::Node(NodeAction::Report(Report::PeerRefused { peer, class, why })) = a {
            Some((peer.clone(), *class, why.clone()))
        } else {
            None
        }
    };
    play.due.iter().filter_map(refused).collect()
}

#[test]
fn the_peer_gets_a_class_and_the_log_the_reason() {
    let mut play = Play::new(at_b());
    let wrong = |change: Change, play: &Play| {
        let mut hello = hello(play, 1, 1);
        change(&mut hello);
        hello
    };
    let cases: [(Change, GoAwayWhy, &str); 6] = [
        (|h| h.protocol += 1, GoAwayWhy::Protocol, "same version"),
        (|h| h.cluster = "\u{1b}[31mother".into(), GoAwayWhy::WrongPeer, "\\u{1b}[31mother"),
        (|h| h.to = "c".into(), GoAwayWhy::WrongPeer, "this is node b"),
        (|h| h.pipeline = Fingerprint(2), GoAwayWhy::Pipeline, "0000000000000001 on node b"),
        (|h| h.placement = Fingerprint(2), GoAwayWhy::Placement, "0000000000000001 on node b"),
        (|h| h.node = "x".into(), GoAwayWhy::UnknownNode, "named x"),
    ];
    for (change, why, reason) in cases {
        let said = wrong(change, &play);
        let conn = says(&mut play, Identity::Claimed, said);
        assert_eq!(refused_for(&mut play, conn), Some(why));
        let (peer, class, text) = log(&play).pop().expect("a line");
        assert_eq!((peer, class), (None, why.name()), "no name that a stranger has chosen is counted by");
        assert!(text.contains(reason) && !text.contains('\u{1b}'), "{text}");
    }
    let conn = play.node.accept(play.now);
    play.hear(conn, Frame::Bye);
    assert_eq!(refused_for(&mut play, conn), Some(GoAwayWhy::Violation));
}

#[test]
fn a_proved_name_is_the_only_one_to_speak_as() {
    let mut play = Play::new(at_b());
    let said = hello(&play, 1, 1);
    let conn = says(&mut play, Identity::Proved(B), said.clone());
    assert_eq!(refused_for(&mut play, conn), Some(GoAwayWhy::UnknownNode));
    let (peer, _, why) = log(&play).pop().expect("a line");
    assert_eq!(peer.as_deref(), Some("b"), "who it was is known");
    assert!(why.contains("its certificate is of node b"), "{why}");
    let conn = says(&mut play, Identity::Proved(A), said);
    assert_eq!(refused_for(&mut play, conn), None);
}

#[test]
fn a_number_that_no_redialling_explains_is_refused_and_locks_nobody_out() {
    let mut play = Play::new(at_b());
    let first = greet(&mut play, 7, (1 << 32) + 1);
    assert_eq!(refused_for(&mut play, first), Some(GoAwayWhy::Violation), "as the first of a process");
    let first = greet(&mut play, 7, 1000);
    assert_eq!(refused_for(&mut play, first), None, "it may have dialled for long");
    let jump = greet(&mut play, 7, 1 << 20);
    assert_eq!(refused_for(&mut play, jump), Some(GoAwayWhy::Violation));
    lose(&mut play, first);
    play.pass(Duration::from_secs(4 * 3600));
    let second = greet(&mut play, 7, 1000 + 4 * 3600 * 2);
    assert_eq!(refused_for(&mut play, second), None, "two dials a second for four hours");
}

#[test]
fn one_takeover_a_second_and_a_lost_connection_is_none() {
    let mut play = Play::new(at_b());
    let mut newest = greet(&mut play, 1, 1);
    for conn_no in 2..6 {
        lose(&mut play, newest);
        newest = greet(&mut play, 1, conn_no);
        assert_eq!(refused_for(&mut play, newest), None);
    }
    let taker = greet(&mut play, 1, 6);
    assert_eq!(refused_for(&mut play, taker), None, "the old one may be dead");
    let next = greet(&mut play, 1, 7);
    assert_eq!(refused_for(&mut play, next), Some(GoAwayWhy::Busy));
    play.pass(Duration::from_secs(1));
    let next = greet(&mut play, 1, 8);
    assert_eq!(refused_for(&mut play, next), None);
}

#[test]
fn an_epoch_that_no_restart_explains_is_refused_and_spoils_nothing() {
    let mut play = Play::journaled(at_b());
    for epoch in [1 << 62, (1 << 20) + 1] {
        let conn = greet(&mut play, 1, 1);
        assert_eq!(refused_for(&mut play, conn), None);
        play.hear(conn, open(epoch));
        assert_eq!(refused_for(&mut play, conn), Some(GoAwayWhy::Violation), "epoch {epoch}");
        lose(&mut play, conn);
    }
    let conn = greet(&mut play, 1, 1);
    play.hear(conn, open(3));
    assert!(heard(&mut play, conn).iter().any(|f| matches!(f, Frame::Opened(_))), "the real one is let in");

    let mut play = Play::new(at_b());
    let conn = greet(&mut play, 41, 1);
    heard(&mut play, conn);
    play.hear(conn, open(42));
    assert_eq!(refused_for(&mut play, conn), Some(GoAwayWhy::Violation), "in memory it is the process's");
}

#[test]
fn the_goodbye_of_who_is_bound_to_nothing_ends_nothing() {
    for why in [GoAwayWhy::Failed, GoAwayWhy::Fenced] {
        let mut play = Play::new(at_b());
        let conn = greet(&mut play, 1, 1);
        play.hear(conn, go_away(why));
        assert_eq!(halted(&play), None, "{why:?} of a stranger");
        lose(&mut play, conn);
        let conn = greet(&mut play, 1, 2);
        play.hear(conn, open(1));
        play.hear(conn, go_away(why));
        let said = halted(&play).expect("a node that sends here says it").to_string();
        assert!(!said.contains('\u{1b}'), "{said}");

        let mut play = Play::new(at_b());
        let said = hello(&play, 1, 1);
        let conn = says(&mut play, Identity::Proved(A), said);
        play.hear(conn, go_away(why));
        assert!(halted(&play).is_some(), "{why:?} of a node that has proved its name");
    }
}

#[test]
fn why_the_pipeline_has_failed_is_told_to_those_with_business_here_alone() {
    let mut play = Play::new(at_b());
    let bound = greet(&mut play, 1, 1);
    play.hear(bound, open(1));
    let stranger = play.node.accept(play.now);
    heard(&mut play, bound);
    play.tell(Event::Task(TaskId(1), TaskEvent::Failed { why: "secret path".into() }));
    let (told, not_told) = (heard(&mut play, bound), heard(&mut play, stranger));
    let message = |frames: &[Frame]| {
        frames.iter().find_map(|f| if let Frame::GoAway(g) = f { Some(g.message.clone()) } else { None })
    };
    assert!(message(&told).is_some_and(|m| m.contains("secret path")), "{told:?}");
    assert_eq!(message(&not_told).as_deref(), Some(""), "{not_told:?}");
}

#[test]
fn a_link_is_refused_with_a_class_and_the_reason_is_in_the_log() {
    let mut play = Play::journaled(at_b());
    let conn = greet(&mut play, 1, 1);
    heard(&mut play, conn);
    let far = Open {
        link: LinkId(77),
        epoch: Epoch(1),
        journal: JournalId(5),
        first_unacked: Seq(1),
        next: Seq(1),
    };
    play.hear(conn, Frame::Open(far));
    let refused = heard(&mut play, conn);
    let unknown =
        Refused { link: LinkId(77), epoch: Epoch(1), why: RefusedWhy::UnknownLink, message: String::new() };
    assert_eq!(refused, [Frame::Refused(unknown)]);
    assert_eq!(
        log(&play).pop().map(|(peer, class, _)| (peer, class)),
        Some((Some("a".into()), "unknown_link"))
    );
}
