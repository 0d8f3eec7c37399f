//! Arbitrary frames.

use proptest::prelude::*;
use worker_proto::frame::{
    Ack, BatchFrame, End, Frame, GoAway, GoAwayWhy, Hello, Open, Opened, Refused, RefusedWhy, Welcome,
};
use worker_proto::limits::SEQ_MAX;
use worker_proto::{Batch, ConnNo, Epoch, Fingerprint, Incarnation, JournalId, LinkId, Seq};

pub(crate) const REFUSED: [RefusedWhy; 6] = [
    RefusedWhy::StaleEpoch,
    RefusedWhy::UnknownJournal,
    RefusedWhy::Position,
    RefusedWhy::UnknownLink,
    RefusedWhy::NotReady,
    RefusedWhy::Done,
];

pub(crate) const GO_AWAY: [GoAwayWhy; 12] = [
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
];

/// Any frame that keeps the rules.
pub(crate) fn any_frame() -> BoxedStrategy<Frame> {
    prop_oneof![control_frame(), any_batch_frame(20, 60), any_batch_frame(400, 120)].boxed()
}

/// Any frame that keeps the rules and carries no records.
pub(crate) fn control_frame() -> BoxedStrategy<Frame> {
    prop_oneof![
        hello(),
        (text(), any::<u64>())
            .prop_map(|(node, id)| Frame::Welcome(Welcome { node, incarnation: Incarnation(id) })),
        open(),
        opened(),
        (any::<u32>(), any::<u64>(), prop::sample::select(&REFUSED[..]), text()).prop_map(
            |(link, epoch, why, message)| Frame::Refused(Refused {
                link: LinkId(link),
                epoch: Epoch(epoch),
                why,
                message
            })
        ),
        (any::<u32>(), any::<u64>(), positions(), 0..=SEQ_MAX).prop_map(
            |(link, epoch, (low, high), credit)| {
                let (link, epoch) = (LinkId(link), Epoch(epoch));
                Frame::Ack(Ack { link, epoch, through: Seq(high), finished: Seq(low), credit })
            }
        ),
        (any::<u32>(), any::<u64>(), 1..=SEQ_MAX).prop_map(|(link, epoch, seq)| Frame::End(End {
            link: LinkId(link),
            epoch: Epoch(epoch),
            seq: Seq(seq)
        })),
        Just(Frame::Bye),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        (prop::sample::select(&GO_AWAY[..]), text())
            .prop_map(|(why, message)| Frame::GoAway(GoAway { why, message })),
    ]
    .boxed()
}

/// A slice from the middle of a larger batch, so that `base` is often not 0.
pub(crate) fn any_batch_frame(records: usize, bytes: usize) -> BoxedStrategy<Frame> {
    let batch = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=bytes), 1..=records);
    (batch, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<(u32, u64)>(), 1..=SEQ_MAX / 2)
        .prop_map(|(records, a, b, (link, epoch), seq)| {
            let whole = batch_of(&records);
            let (a, b) = (a.index(records.len()), b.index(records.len()));
            let batch = whole.slice(a.min(b)..a.max(b) + 1);
            let (link, epoch, first_seq) = (LinkId(link), Epoch(epoch), Seq(seq));
            Frame::Batch(BatchFrame { link, epoch, first_seq, batch })
        })
        .boxed()
}

pub(crate) fn batch_of(records: &[Vec<u8>]) -> Batch {
    let mut builder = worker_proto::BatchBuilder::new();
    records.iter().for_each(|record| builder.push(record));
    builder.take()
}

fn hello() -> BoxedStrategy<Frame> {
    (any::<u16>(), text(), text(), text(), any::<(u64, u64, u64, u64)>())
        .prop_map(|(protocol, cluster, node, to, ids)| {
            Frame::Hello(Hello {
                protocol,
                cluster,
                node,
                to,
                incarnation: Incarnation(ids.0),
                conn_no: ConnNo(ids.1),
                pipeline: Fingerprint(ids.2),
                placement: Fingerprint(ids.3),
            })
        })
        .boxed()
}

fn open() -> BoxedStrategy<Frame> {
    (any::<(u32, u64, u64)>(), positions())
        .prop_map(|((link, epoch, journal), (low, high))| {
            Frame::Open(Open {
                link: LinkId(link),
                epoch: Epoch(epoch),
                journal: JournalId(journal),
                first_unacked: Seq(low.max(1)),
                next: Seq(high.max(1)),
            })
        })
        .boxed()
}

fn opened() -> BoxedStrategy<Frame> {
    (any::<(u32, u64, u64, bool)>(), positions(), 0..=SEQ_MAX, 0..=SEQ_MAX)
        .prop_map(|((link, epoch, journal, ended), (low, high), received, credit)| {
            Frame::Opened(Opened {
                link: LinkId(link),
                epoch: Epoch(epoch),
                committed: Seq(high),
                received: Seq(received),
                finished: Seq(low),
                ended,
                journal: JournalId(journal),
                credit,
            })
        })
        .boxed()
}

/// Two positions, the lower one first.
fn positions() -> impl Strategy<Value = (u64, u64)> {
    (0..=SEQ_MAX, 0..=SEQ_MAX).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}
