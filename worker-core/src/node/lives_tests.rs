//! Processes that come again, come back, or have another state than their peers know.

use super::admit_tests::hello;
use super::play::{Play, to_b};
use super::tests::{line, records};
use super::*;
use crate::config::TaskKind;
use crate::event::{ConnAction, ConnEvent, Loss, NodeAction, NodeError};
use crate::recovery::{InputState, PeerState, TaskState};
use std::time::Duration;
use worker_proto::frame::{BatchFrame, GoAway, GoAwayWhy, Open, Opened, Refused, RefusedWhy};
use worker_proto::{Epoch, Frame, JournalId, Seq};

const LINK: LinkId = LinkId(0);
const JOURNAL: JournalId = JournalId(5);

/// Source 0 on node `a` → sink 1 on node `b`, which is the one under test.
fn at_b() -> NodeConfig {
    NodeConfig { me: NodeIx(1), ..to_b() }
}

fn greet(play: &mut Play, life: u64, conn_no: u64) -> ConnId {
    let conn = play.node.accept(play.now);
    let hello = hello(play, life, conn_no);
    play.hear(conn, Frame::Hello(hello));
    conn
}

fn open(epoch: u64, first_unacked: u64, next: u64) -> Frame {
    let (first_unacked, next) = (Seq(first_unacked), Seq(next));
    Frame::Open(Open { link: LINK, epoch: Epoch(epoch), journal: JOURNAL, first_unacked, next })
}

fn lose(play: &mut Play, conn: ConnId) {
    play.tell(Event::Conn(conn, ConnEvent::Closed { loss: Loss::Lost, why: "reset".into() }));
}

fn heard(play: &mut Play, conn: ConnId) -> Vec<Frame> {
    std::iter::from_fn(|| play.node.poll_transmit(play.now, conn)).collect()
}

fn last_word(play: &mut Play, conn: ConnId) -> Option<GoAwayWhy> {
    heard(play, conn).into_iter().find_map(|f| if let Frame::GoAway(g) = f { Some(g.why) } else { None })
}

fn halted(play: &Play) -> Option<String> {
    play.due.iter().find_map(|a| {
        if let Action::Node(NodeAction::Halt { error: NodeError::Peer { why, .. } }) = a {
            Some(why.clone())
        } else {
            None
        }
    })
}

fn opened(journal: u64, committed: u64) -> Frame {
    let at = Seq(committed);
    let (link, epoch, journal) = (LINK, Epoch(1), JournalId(journal));
    let credit = 1 << 20;
    Frame::Opened(Opened {
        link,
        epoch,
        committed: at,
        received: at,
        finished: at,
        ended: false,
        journal,
        credit,
    })
}

#[test]
fn a_process_whose_clock_was_set_back_is_let_in_when_the_one_before_it_is_gone() {
    let mut config =
        line(vec![TaskKind::Source, TaskKind::Batch(super::tests::batch_spec()), TaskKind::Sink]);
    config.nodes.push("b".into());
    // Stage 1 runs on node `a`: its restart costs no input.
    config.graph.tasks[0].node = NodeIx(1);
    config.graph.tasks[2].node = NodeIx(1);
    config.me = NodeIx(1);
    let mut play = Play::new(config);
    let link = LinkId(1);
    let open = |life: u64| {
        let (epoch, journal) = (Epoch(life), JournalId(life));
        Frame::Open(Open { link, epoch, journal, first_unacked: Seq(1), next: Seq(1) })
    };
    let old = greet(&mut play, 9_000, 7);
    play.hear(old, open(9_000));
    let early = greet(&mut play, 4_000, 1);
    assert_eq!(last_word(&mut play, early), Some(GoAwayWhy::NameInUse), "the one before it lives");
    lose(&mut play, old);
    let new = greet(&mut play, 4_000, 2);
    play.hear(new, open(4_000));
    let answers = heard(&mut play, new);
    assert!(answers.iter().any(|f| matches!(f, Frame::Opened(_))), "{answers:?}");
    let batch = BatchFrame { link, epoch: Epoch(4_000), first_seq: Seq(1), batch: records(&["x"]) };
    play.hear(new, Frame::Batch(batch));
    assert_eq!(play.node.ctx.inbox(link).received(), Seq(1));
    // The one that was replaced wakes up and is told for good.
    lose(&mut play, new);
    let back = greet(&mut play, 9_000, 8);
    assert_eq!(last_word(&mut play, back), Some(GoAwayWhy::Fenced));
    let again = greet(&mut play, 4_000, 3);
    assert!(heard(&mut play, again).iter().any(|f| matches!(f, Frame::Welcome(_))));
}

#[test]
fn of_two_processes_with_copies_of_one_state_the_second_is_refused_and_the_receiver_goes_on() {
    let mut play = Play::journaled(at_b());
    let moved = greet(&mut play, 1, 1);
    play.hear(moved, open(4, 1, 1));
    assert!(heard(&mut play, moved).iter().any(|f| matches!(f, Frame::Opened(_))));
    lose(&mut play, moved);
    let old = greet(&mut play, 2, 1);
    play.hear(old, open(4, 1, 1));
    let refused = |f: &Frame| matches!(f, Frame::Refused(Refused { why: RefusedWhy::StaleEpoch, .. }));
    assert!(heard(&mut play, old).iter().any(refused));
    assert_eq!(halted(&play), None);
    lose(&mut play, old);
    let moved = greet(&mut play, 1, 2);
    play.hear(moved, open(4, 1, 1));
    assert!(heard(&mut play, moved).iter().any(|f| matches!(f, Frame::Opened(_))), "the first goes on");
}

#[test]
fn a_receiver_whose_state_is_older_than_what_it_acknowledged_ends_alone() {
    for known in [None, Some(3)] {
        let mut states: BTreeMap<_, _> =
            (0..2).map(|at| (TaskId(at), TaskState::fresh(Epoch(1), JournalId(u64::from(at) + 1)))).collect();
        if let Some(through) = known {
            let input = InputState { epoch: Epoch(4), journal: JOURNAL, through: Seq(through), ended: false };
            states.get_mut(&TaskId(1)).unwrap().inputs.insert(LINK, input);
        }
        let mut play = Play::recovered(at_b(), &states);
        let conn = greet(&mut play, 1, 1);
        play.hear(conn, open(5, 8, 8));
        let why = halted(&play).expect("it ends");
        assert!(why.contains("put the newest one back") && why.contains("--fresh"), "{why}");
        assert_eq!(last_word(&mut play, conn), Some(GoAwayWhy::Superseded), "its peers go on");
    }
}

#[test]
fn a_sender_whose_state_is_an_older_copy_ends_alone() {
    let mut play = Play::journaled(to_b());
    assert!(play.read(&["one"]));
    let conn = play.dialled();
    play.welcome(conn, 1);
    let asked = heard(&mut play, conn);
    let next = |f: &Frame| if let Frame::Open(open) = f { Some(open.next) } else { None };
    assert_eq!(asked.iter().find_map(next), Some(Seq(1)), "nothing of this life has left yet");
    let (epoch, why, message) = (Epoch(1), RefusedWhy::Position, "the receiver has more".to_owned());
    play.hear(conn, Frame::Refused(Refused { link: LINK, epoch, why, message }));
    assert!(halted(&play).is_some());
    assert_eq!(last_word(&mut play, conn), Some(GoAwayWhy::Superseded), "not Failed, which would end b");
}

#[test]
fn nothing_is_sent_before_the_receivers_journal_is_kept_and_another_one_is_told_to_end() {
    let mut play = Play::journaled(to_b());
    play.keeps = false;
    assert!(play.read(&["one"]));
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.hear(conn, opened(9, 0));
    let is_batch = |f: &Frame| matches!(f, Frame::Batch(_));
    assert!(!heard(&mut play, conn).iter().any(is_batch));
    let (peer, state, version) = play.takes_to_keep().expect("it is to be kept");
    assert_eq!(state.receivers, [(LINK, JournalId(9))].into());
    play.tell(Event::Node(NodeEvent::PeerKept { peer, version }));
    assert!(heard(&mut play, conn).iter().any(is_batch));
    lose(&mut play, conn);
    play.pass(Duration::from_secs(10));
    let conn = play.dialled();
    play.welcome(conn, 2);
    play.hear(conn, opened(10, 0));
    assert_eq!(last_word(&mut play, conn), Some(GoAwayWhy::Fenced));
    assert_eq!(halted(&play), None, "who has its state goes on");
}

#[test]
fn a_later_life_knows_the_receivers_and_does_not_need_who_has_everything() {
    let mut play = Play::journaled(to_b());
    let known = PeerState { receivers: [(LINK, JournalId(9))].into(), finished: false };
    play.node.knows_peers(play.now, &[(NodeIx(1), known.clone())].into());
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.hear(conn, opened(10, 0));
    assert_eq!(last_word(&mut play, conn), Some(GoAwayWhy::Fenced));

    let mut node = Node::with_journal(
        to_b(),
        Time::ZERO,
        &[(TaskId(0), TaskState { ended: true, ..TaskState::fresh(Epoch(2), JournalId(1)) })].into(),
    );
    node.knows_peers(Time::ZERO, &[(NodeIx(1), PeerState { finished: true, ..known })].into());
    let actions: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
    assert!(!actions.iter().any(|a| matches!(a, Action::Conn(_, ConnAction::Dial { .. }))), "{actions:?}");
}

#[test]
fn that_a_peer_has_everything_is_kept_before_the_goodbye() {
    let mut play = Play::journaled(to_b());
    play.keeps = false;
    play.end_source();
    let conn = play.dialled();
    play.welcome(conn, 1);
    play.hear(conn, opened(9, 0));
    let (peer, _, version) = play.takes_to_keep().expect("the journal is to be kept");
    play.tell(Event::Node(NodeEvent::PeerKept { peer, version }));
    heard(&mut play, conn);
    let at = Seq(1);
    let ack = worker_proto::frame::Ack { link: LINK, epoch: Epoch(1), through: at, finished: at, credit: 9 };
    play.hear(conn, Frame::Ack(ack));
    assert!(!heard(&mut play, conn).contains(&Frame::Bye));
    let (peer, state, version) = play.takes_to_keep().expect("that is to be kept, too");
    assert!(state.finished);
    play.tell(Event::Node(NodeEvent::PeerKept { peer, version }));
    assert!(heard(&mut play, conn).contains(&Frame::Bye));
}

#[test]
fn a_name_in_use_ends_the_node_only_after_an_unbroken_time_and_alone() {
    let mut play = Play::new(to_b());
    let refuse = |play: &mut Play, why: Option<GoAwayWhy>| {
        let conn = play.dialled();
        play.tell(Event::Conn(conn, ConnEvent::Dialed));
        if let Some(why) = why {
            play.hear(conn, Frame::GoAway(GoAway { why, message: "another process is node a".into() }));
        }
        lose(play, conn);
        play.pass(Duration::from_secs(6));
    };
    for _ in 0..5 {
        refuse(&mut play, Some(GoAwayWhy::NameInUse));
        refuse(&mut play, Some(GoAwayWhy::NameInUse));
        refuse(&mut play, None);
    }
    assert_eq!(halted(&play), None);
    for _ in 0..4 {
        if halted(&play).is_none() {
            refuse(&mut play, Some(GoAwayWhy::NameInUse));
        }
    }
    assert!(halted(&play).is_some_and(|why| why.contains("another living process is node a")));
}

#[test]
fn who_is_told_that_it_was_replaced_ends_alone_and_who_agreed_before_does_not_end_for_a_foreign_process() {
    let mut play = Play::new(to_b());
    let conn = play.dialled();
    play.welcome(conn, 1);
    lose(&mut play, conn);
    play.pass(Duration::from_secs(10));
    let conn = play.dialled();
    play.tell(Event::Conn(conn, ConnEvent::Dialed));
    let message = "the pipeline files differ".to_owned();
    play.hear(conn, Frame::GoAway(GoAway { why: GoAwayWhy::Pipeline, message }));
    lose(&mut play, conn);
    assert_eq!(halted(&play), None);
    play.pass(Duration::from_secs(10));
    let conn = play.dialled();
    play.tell(Event::Conn(conn, ConnEvent::Dialed));
    let message = "another one has taken its place".to_owned();
    play.hear(conn, Frame::GoAway(GoAway { why: GoAwayWhy::Fenced, message }));
    assert!(halted(&play).is_some());
    assert_eq!(last_word(&mut play, conn), Some(GoAwayWhy::Superseded));
}

/// What the rules above keep out, let in: so each of them is what does it.
#[test]
fn each_rule_is_needed() {
    let mut play = Play::journaled(at_b());
    play.node.plant(Bug::CopyTakenForItself);
    let moved = greet(&mut play, 1, 1);
    play.hear(moved, open(4, 1, 1));
    lose(&mut play, moved);
    let old = greet(&mut play, 2, 1);
    play.hear(old, open(4, 1, 1));
    assert!(heard(&mut play, old).iter().any(|f| matches!(f, Frame::Opened(_))), "a copy is let in");

    let mut play = Play::journaled(to_b());
    play.node.plant(Bug::ReceiversUnknown);
    assert!(play.read(&["one"]));
    for (life, journal) in [(1, 9), (2, 10)] {
        let conn = play.dialled();
        play.welcome(conn, life);
        play.hear(conn, opened(journal, 0));
        assert!(heard(&mut play, conn).iter().any(|f| matches!(f, Frame::Batch(_))), "any journal will do");
        lose(&mut play, conn);
        play.pass(Duration::from_secs(10));
    }

    let mut config =
        line(vec![TaskKind::Source, TaskKind::Batch(super::tests::batch_spec()), TaskKind::Sink]);
    config.nodes.push("b".into());
    (config.graph.tasks[0].node, config.graph.tasks[2].node, config.me) = (NodeIx(1), NodeIx(1), NodeIx(1));
    let mut play = Play::new(config);
    play.node.plant(Bug::ReplacedLifeReturns);
    for life in [9_000, 4_000, 9_000] {
        let conn = greet(&mut play, life, 7);
        assert!(heard(&mut play, conn).iter().any(|f| matches!(f, Frame::Welcome(_))), "who was replaced is");
        lose(&mut play, conn);
    }
}
