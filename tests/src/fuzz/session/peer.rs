//! What a peer may say: frames whose numbers are near enough to be taken for something, and any that can be decoded.

use super::driver::Driver;
use crate::fuzz::Input;
use bytes::{BufMut as _, Bytes};
use worker_core::frame::{
    Ack, BatchFrame, End, GoAway, GoAwayWhy, Hello, Open, Opened, Refused, RefusedWhy, Welcome,
};
use worker_core::{Batch, ConnNo, Epoch, Fingerprint, Frame, Incarnation, JournalId, LinkId, Seq};
use worker_proto::RecvBuffer;
use worker_proto::limits::{PROTOCOL, SEQ_MAX};

const NAMES: [&str; 4] = ["a", "b", "c", "\u{1b}[2Jb"];

const REFUSED: [RefusedWhy; 6] = [
    RefusedWhy::StaleEpoch,
    RefusedWhy::UnknownJournal,
    RefusedWhy::Position,
    RefusedWhy::UnknownLink,
    RefusedWhy::NotReady,
    RefusedWhy::Done,
];

const GO_AWAY: [GoAwayWhy; 13] = [
    GoAwayWhy::Superseded,
    GoAwayWhy::NameInUse,
    GoAwayWhy::Protocol,
    GoAwayWhy::WrongPeer,
    GoAwayWhy::UnknownNode,
    GoAwayWhy::Pipeline,
    GoAwayWhy::Placement,
    GoAwayWhy::Violation,
    GoAwayWhy::Timeout,
    GoAwayWhy::Leaving,
    GoAwayWhy::Failed,
    GoAwayWhy::Fenced,
    GoAwayWhy::Busy,
];

/// The next thing that is said.
pub(super) fn frame(input: &mut Input<'_>, driver: &Driver) -> Option<Frame> {
    Some(match input.below(18) {
        0 | 1 => Frame::Hello(hello(input, driver)),
        2 => Frame::Welcome(Welcome {
            node: name(input, driver.peer()),
            incarnation: Incarnation(small(input)),
        }),
        3 | 4 => {
            let (one, other) = (position(input), position(input));
            Frame::Open(Open {
                link: link(input),
                epoch: Epoch(small(input)),
                journal: JournalId(small(input)),
                first_unacked: Seq(one.min(other).max(1)),
                next: Seq(one.max(other).max(1)),
            })
        }
        5 | 6 => {
            let (finished, committed, received) = ordered(input);
            Frame::Opened(Opened {
                link: link(input),
                epoch: Epoch(small(input)),
                committed,
                received,
                finished,
                ended: input.below(8) == 0,
                journal: JournalId(small(input)),
                credit: position(input),
            })
        }
        7 => Frame::Refused(Refused {
            link: link(input),
            epoch: Epoch(small(input)),
            why: REFUSED[input.index(REFUSED.len())],
            message: "\u{1b}[31mwhy".to_owned(),
        }),
        8..=10 => Frame::Batch(batch(input)),
        11 | 12 => {
            let (finished, through, _) = ordered(input);
            Frame::Ack(Ack {
                link: link(input),
                epoch: Epoch(small(input)),
                through,
                finished,
                credit: position(input),
            })
        }
        13 => Frame::End(End {
            link: link(input),
            epoch: Epoch(small(input)),
            seq: Seq(position(input).max(1)),
        }),
        14 => Frame::Bye,
        15 => Frame::GoAway(GoAway {
            why: GO_AWAY[input.index(GO_AWAY.len())],
            message: "\u{1b}[2J\nfailed\u{9b}".to_owned(),
        }),
        16 => Frame::Ping(input.number()),
        _ => return any(input.some()),
    })
}

/// Any frame that these bytes are.
fn any(body: &[u8]) -> Option<Frame> {
    let mut received = RecvBuffer::new();
    received.handshake_done();
    let length = u32::try_from(body.len()).ok()?;
    let mut space = received.space();
    space.put_slice(&length.to_be_bytes());
    space.put_slice(body);
    received.next_frame().ok().flatten()
}

fn hello(input: &mut Input<'_>, driver: &Driver) -> Hello {
    let right = |input: &mut Input<'_>| input.below(12) > 0;
    Hello {
        protocol: if right(input) { PROTOCOL } else { input.byte().into() },
        cluster: if right(input) { "fuzz".to_owned() } else { "\u{7}other".to_owned() },
        node: if right(input) { driver.peer().to_owned() } else { name(input, "a") },
        to: if right(input) { driver.me().to_owned() } else { name(input, "b") },
        incarnation: Incarnation(small(input)),
        conn_no: ConnNo(input.number()),
        pipeline: Fingerprint(if right(input) { 1 } else { 2 }),
        placement: Fingerprint(if right(input) { 1 } else { 2 }),
    }
}

fn name(input: &mut Input<'_>, likely: &str) -> String {
    match input.below(3) {
        0 => NAMES[input.index(NAMES.len())].to_owned(),
        _ => likely.to_owned(),
    }
}

/// Records that say their place on the link.
fn batch(input: &mut Input<'_>) -> BatchFrame {
    let (link, epoch) = (link(input), Epoch(small(input)));
    let first = position(input).max(1);
    let count = u64::from(1 + input.below(6));
    let length = usize::from(input.byte());
    let text: String =
        (first..first.saturating_add(count)).map(|seq| format!("{seq}{:.>length$}\n", "")).collect();
    let batch = match input.below(16) {
        0 => Batch::boundary(),
        _ => Batch::from_terminated(Bytes::from(text), b'\n'),
    };
    BatchFrame { link, epoch, first_seq: Seq(first), batch }
}

fn link(input: &mut Input<'_>) -> LinkId {
    LinkId(match input.below(16) {
        15 => u32::MAX,
        other => u32::from(other % 3),
    })
}

fn small(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        small @ 0..=0xf0 => u64::from(small % 4),
        _ => input.number(),
    }
}

/// As large as it may be on the wire.
fn position(input: &mut Input<'_>) -> u64 {
    input.number().min(SEQ_MAX)
}

fn ordered(input: &mut Input<'_>) -> (Seq, Seq, Seq) {
    let mut all = [position(input), position(input), position(input)];
    all.sort_unstable();
    (Seq(all[0]), Seq(all[1]), Seq(all[2]))
}
