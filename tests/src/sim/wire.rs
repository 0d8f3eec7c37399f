//! Every frame is held against the truth, as it is pulled and as it arrives.

use super::check::{Check, Checked, require};
use super::model::Model;
use super::net::{ACCEPTOR, DIALER};
use super::world::LIVES_MAX;
use std::collections::{BTreeMap, BTreeSet};
use worker_proto::frame::{Ack, BatchFrame, End, Open, Opened, RefusedWhy, Welcome};
use worker_proto::{ConnNo, Epoch, Frame, Incarnation, LinkId, Seq};

/// What an observer of all connections knows of both ends' positions.
#[derive(Debug, Default)]
pub(super) struct Wire {
    senders: BTreeMap<(usize, LinkId), Sender>,
    receivers: BTreeMap<(usize, LinkId), Receiver>,
    /// Who said Hello on which connection, and the newest that were welcome.
    hellos: BTreeMap<usize, (String, Number)>,
    newest: BTreeMap<(String, String, Incarnation), Number>,
    /// Bytes of cost sent on each link, and how often it was opened.
    traffic: BTreeMap<LinkId, Traffic>,
    /// When tuples were last sent, or came, in µs.
    moved_us: u64,
    /// Acknowledgements are due when committed, not when received.
    journaled: bool,
    /// Ends of connections, dialling and accepting, that are processes that were replaced.
    ghosts: [BTreeSet<usize>; 2],
}

/// Orders the connections of a node's processes.
type Number = (Incarnation, ConnNo);

/// Sending end of a link on a connection, since `Opened` arrived.
#[derive(Debug)]
struct Sender {
    epoch: Epoch,
    cursor: Seq,
    credit: u64,
    used: u64,
    /// Opened once more: nothing is sent until the answer is there, while acknowledgements of what was sent still count.
    asked: bool,
}

/// Receiving end of a link on a connection, since `Opened` was written.
#[derive(Debug)]
struct Receiver {
    epoch: Epoch,
    acked: Seq,
    finished: Seq,
    /// Bytes of cost that it takes in all, and that came.
    credit: u64,
    arrived: u64,
    /// Nothing comes any more.
    ended: bool,
}

/// What went over one link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) cost: u64,
    pub(super) opens: u64,
    pub(super) sent_max: Seq,
    pub(super) retried: u64,
}

impl Wire {
    pub(super) fn new(journaled: bool) -> Self {
        Self { journaled, ..Self::default() }
    }

    /// An end of a connection is a process that was replaced: what it says must be true, but it need not say it.
    pub(super) fn is_ghost(&mut self, conn: usize, end: usize) {
        self.ghosts[end].insert(conn);
    }

    /// The dialling end of `conn` pulled a frame to send.
    pub(super) fn sent_by_dialer(&mut self, conn: usize, frame: &Frame, model: &mut Model) -> Checked {
        match frame {
            Frame::Batch(batch) => self.batch_sent(conn, batch, model),
            Frame::End(end) => self.end_sent(conn, *end, model),
            Frame::Open(open) => {
                if let Some(sender) = self.senders.get_mut(&(conn, open.link)) {
                    sender.asked = true;
                }
                open_sent(open, model)
            }
            Frame::Hello(_) | Frame::Bye | Frame::Ping(_) | Frame::Pong(_) | Frame::GoAway(_) => Ok(()),
            Frame::Welcome(_) | Frame::Opened(_) | Frame::Refused(_) | Frame::Ack(_) => {
                require(false, Check::Driver, || format!("the dialling end sends {frame:?}"))
            }
        }
    }

    fn batch_sent(&mut self, conn: usize, frame: &BatchFrame, model: &mut Model) -> Checked {
        let BatchFrame { link, epoch, first_seq, batch } = frame;
        let name = model.graph.link_name(*link);
        let Some(sender) = self.senders.get_mut(&(conn, *link)).filter(|sender| !sender.asked) else {
            return require(false, Check::Driver, || format!("{name}: tuples before Opened"));
        };
        let life = model.life(*link, *epoch);
        for (offset, record) in batch.iter().enumerate() {
            let seq = first_seq.plus(offset as u64);
            let truth = life.record(seq);
            require(truth.is_some_and(|truth| truth == record), Check::Bytes, || {
                format!("{name}: number {seq} carries {record:?}, the truth is {truth:?}")
            })?;
        }
        let last = first_seq.plus(batch.len() as u64).before();
        require(*first_seq == sender.cursor.next(), Check::Order, || {
            format!("{name}: sent {first_seq} behind {}", sender.cursor)
        })?;
        require(last <= life.pushed, Check::Durable, || {
            format!("{name}: {last} left before its commit was durable")
        })?;
        let left = sender.credit.saturating_sub(sender.used);
        require(batch.cost() <= left || (left > 0 && batch.len() == 1), Check::Credit, || {
            format!("{name}: sent {} bytes with {left} of credit left", batch.cost())
        })?;
        sender.used += batch.cost();
        sender.cursor = last;
        let traffic = self.traffic.entry(*link).or_default();
        traffic.cost += batch.cost();
        traffic.retried += last.min(traffic.sent_max).since(first_seq.before());
        traffic.sent_max = traffic.sent_max.max(last);
        Ok(())
    }

    fn end_sent(&mut self, conn: usize, end: End, model: &mut Model) -> Checked {
        let name = model.graph.link_name(end.link);
        let Some(sender) = self.senders.get_mut(&(conn, end.link)).filter(|sender| !sender.asked) else {
            return require(false, Check::Driver, || format!("{name}: an end before Opened"));
        };
        let truth = model.life(end.link, end.epoch).end;
        require(truth == Some(end.seq) && end.seq == sender.cursor.next(), Check::Order, || {
            format!("{name}: end {} behind {}, the truth is {truth:?}", end.seq, sender.cursor)
        })?;
        sender.cursor = end.seq;
        Ok(())
    }

    /// The accepting end of `conn` pulled a frame to send.
    pub(super) fn sent_by_acceptor(&mut self, conn: usize, frame: &Frame, model: &mut Model) -> Checked {
        match frame {
            Frame::Opened(opened) => {
                let Opened { link, epoch, committed, received, finished, ended, credit, .. } = *opened;
                model.opened(link, epoch, received);
                if self.journaled && !self.ghosts[ACCEPTOR].contains(&conn) {
                    let known = model.life(link, epoch).durable_epoch;
                    require(known == epoch, Check::Fence, || {
                        let name = model.graph.link_name(link);
                        format!("{name}: life {epoch} is let in, {known} is durable")
                    })?;
                }
                let ghosts = &self.ghosts[ACCEPTOR];
                let is_ghost = ghosts.contains(&conn);
                self.receivers.retain(|(c, other), _| *other != link || is_ghost || ghosts.contains(c));
                let receiver = Receiver { epoch, acked: committed, finished, credit, arrived: 0, ended };
                self.receivers.insert((conn, link), receiver);
                self.claims_hold(link, epoch, committed, finished, model)
            }
            Frame::Ack(ack) => self.ack_sent(conn, *ack, model),
            Frame::Welcome(welcome) => self.welcome_sent(conn, welcome),
            Frame::Refused(_) | Frame::Bye | Frame::Ping(_) | Frame::Pong(_) | Frame::GoAway(_) => Ok(()),
            Frame::Hello(_) | Frame::Open(_) | Frame::Batch(_) | Frame::End(_) => {
                require(false, Check::Driver, || format!("the accepting end sends {frame:?}"))
            }
        }
    }

    /// Only a newer connection than any before is welcome: in memory mode of any life, with a journal of one, for there the epochs of
    /// the links say which life is older.
    fn welcome_sent(&mut self, conn: usize, welcome: &Welcome) -> Checked {
        let Some((from, number)) = self.hellos.get(&conn) else {
            return require(false, Check::Driver, || "a Welcome before Hello".into());
        };
        let newest =
            self.newest.entry((from.clone(), welcome.node.clone(), welcome.incarnation)).or_default();
        let life = |incarnation: Incarnation| incarnation.0 % LIVES_MAX;
        let is_newer = match (life(number.0), life(newest.0)) {
            (new, old) if new == old => number.1 > newest.1,
            (new, old) => new > old || self.journaled,
        };
        require(is_newer, Check::StaleConnection, || {
            format!("node {}: connection {number:?} of {from} is taken, after {newest:?}", welcome.node)
        })?;
        *newest = *number;
        Ok(())
    }

    fn ack_sent(&mut self, conn: usize, ack: Ack, model: &mut Model) -> Checked {
        if let Some(receiver) = self.receivers.get_mut(&(conn, ack.link)) {
            receiver.acked = receiver.acked.max(ack.through);
            receiver.finished = receiver.finished.max(ack.finished);
            receiver.credit = receiver.credit.max(ack.credit);
        }
        self.claims_hold(ack.link, ack.epoch, ack.through, ack.finished, model)
    }

    /// What an acknowledgement says is so.
    fn claims_hold(
        &self,
        link: LinkId,
        epoch: Epoch,
        through: Seq,
        finished: Seq,
        model: &mut Model,
    ) -> Checked {
        let name = model.graph.link_name(link);
        let to = model.graph.link(link).to;
        let receiver = &model.tasks[to.0 as usize];
        let (lenient, done_early) =
            (receiver.stops_early || receiver.ended, receiver.stops_early && receiver.ended);
        let outputs_cancelled =
            (0..model.links.len()).any(|at| model.graph.links[at].from == to && model.links[at].cancelled);
        let life = model.life(link, epoch);
        if self.journaled {
            return require(through.max(finished) <= life.durable_done || done_early, Check::Durable, || {
                format!("{name}: acknowledges {through}, durable is {}", life.durable_done)
            });
        }
        require(through <= life.received, Check::FalseAck, || {
            format!("{name}: acknowledges {through}, received is {}", life.received)
        })?;
        require(finished <= life.finished || lenient || outputs_cancelled, Check::FalseAck, || {
            format!("{name}: calls {finished} finished, the truth is {}", life.finished)
        })
    }

    /// A frame arrives at the dialling end of `conn`.
    pub(super) fn reached_dialer(&mut self, conn: usize, frame: &Frame, model: &mut Model) {
        match frame {
            Frame::Opened(opened) => {
                let Opened { link, epoch, committed, received, credit, .. } = *opened;
                // In memory a receiver that wanted nothing more may be replaced by a process that does not know of it.
                model.link(link).cancelled &= self.journaled;
                let ghosts = &self.ghosts[DIALER];
                let is_ghost = ghosts.contains(&conn);
                self.senders.retain(|(c, other), _| *other != link || is_ghost || ghosts.contains(c));
                self.senders
                    .insert((conn, link), Sender { epoch, cursor: received, credit, used: 0, asked: false });
                self.traffic.entry(link).or_default().opens += 1;
                model.acked(link, epoch, committed);
            }
            Frame::Ack(ack) => {
                // An end that was told less than was received takes an acknowledgement past it for a broken rule.
                let known = model.life(ack.link, ack.epoch).acked;
                if let Some(sender) = self.senders.get_mut(&(conn, ack.link))
                    && ack.through <= sender.cursor.max(known)
                {
                    sender.credit = sender.credit.max(ack.credit);
                    model.acked(ack.link, ack.epoch, ack.through);
                }
            }
            Frame::Refused(refused) => {
                self.senders.remove(&(conn, refused.link));
                if refused.why == RefusedWhy::Done {
                    model.link(refused.link).cancelled = true;
                }
            }
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Open(_)
            | Frame::Batch(_)
            | Frame::End(_)
            | Frame::Bye
            | Frame::Ping(_)
            | Frame::Pong(_)
            | Frame::GoAway(_) => {}
        }
    }

    /// A frame arrives at the accepting end of `conn`.
    pub(super) fn reached_acceptor(&mut self, conn: usize, frame: &Frame, model: &mut Model) {
        if let Frame::Batch(batch) = frame
            && let Some(receiver) = self.receivers.get_mut(&(conn, batch.link))
        {
            receiver.arrived += batch.batch.cost();
        }
        if let Frame::End(end) = frame
            && let Some(receiver) = self.receivers.get_mut(&(conn, end.link))
        {
            receiver.ended = true;
        }
        let (link, epoch, first, last) = match frame {
            Frame::Hello(hello) => {
                self.hellos.insert(conn, (hello.node.clone(), (hello.incarnation, hello.conn_no)));
                return;
            }
            Frame::Batch(batch) => {
                let last = batch.first_seq.plus(batch.batch.len() as u64).before();
                (batch.link, batch.epoch, batch.first_seq, last)
            }
            Frame::End(end) => (end.link, end.epoch, end.seq, end.seq),
            Frame::Welcome(_)
            | Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Refused(_)
            | Frame::Ack(_)
            | Frame::Bye
            | Frame::Ping(_)
            | Frame::Pong(_)
            | Frame::GoAway(_) => return,
        };
        if self.receivers.contains_key(&(conn, link)) && !self.ghosts[ACCEPTOR].contains(&conn) {
            let life = model.life(link, epoch);
            if first <= life.received.next() {
                life.received = life.received.max(last);
            }
        }
    }

    /// The dialling end of `conn` has room and sends nothing: nothing may be left that it could send.
    pub(super) fn dialer_idle(
        &self,
        conn: usize,
        loading: impl Fn(LinkId) -> bool,
        model: &mut Model,
    ) -> Checked {
        if self.ghosts[DIALER].contains(&conn) {
            return Ok(());
        }
        for (&(_, link), sender) in self.senders.range((conn, LinkId(0))..=(conn, LinkId(u32::MAX))) {
            let cancelled = model.link(link).cancelled;
            let name = model.graph.link_name(link);
            let life = model.life(link, sender.epoch);
            let next = sender.cursor.next();
            let waits = !sender.asked
                && next <= life.pushed
                && (sender.credit > sender.used || life.end == Some(next));
            if !waits || cancelled || loading(link) {
                continue;
            }
            let sent_max = self.traffic.get(&link).map_or(Seq::ZERO, |t| t.sent_max);
            let check = if next <= sent_max { Check::RetryWaits } else { Check::DataWaits };
            return require(false, check, || {
                format!("{name}: {next} could be sent ({} bytes of credit left)", sender.credit - sender.used)
            });
        }
        Ok(())
    }

    /// The accepting end of `conn` has room and sends nothing: no acknowledgement may be due.
    pub(super) fn acceptor_idle(&self, conn: usize, model: &mut Model) -> Checked {
        if self.ghosts[ACCEPTOR].contains(&conn) {
            return Ok(());
        }
        for (&(_, link), receiver) in self.receivers.range((conn, LinkId(0))..=(conn, LinkId(u32::MAX))) {
            let name = model.graph.link_name(link);
            let to = model.graph.link(link).to;
            // What becomes of tuples between two tasks of one node is not seen from outside.
            let hidden = model.tasks[to.0 as usize].ended || model.has_local_output(to);
            let life = model.life(link, receiver.epoch);
            let due = if self.journaled { life.durable_done } else { life.received };
            require(receiver.acked >= due, Check::AckWaits, || {
                format!("{name}: {due} is to be acknowledged, {} is", receiver.acked)
            })?;
            require(receiver.finished >= life.finished || hidden, Check::AckWaits, || {
                format!("{name}: {} is finished, {} said so", life.finished, receiver.finished)
            })?;
        }
        Ok(())
    }

    /// One end of a connection is gone.
    pub(super) fn dialer_closed(&mut self, conn: usize) {
        self.senders.retain(|&(other, _), _| other != conn);
    }

    /// One end of a connection is gone.
    pub(super) fn acceptor_closed(&mut self, conn: usize) {
        self.receivers.retain(|&(other, _), _| other != conn);
    }

    /// What may still come to a node on its links beyond `credit` each, in bytes: no more than it has said that they may share.
    pub(super) fn promised(&self, credit: u64, is_to: impl Fn(LinkId) -> bool) -> u64 {
        let to = self
            .receivers
            .iter()
            .filter(|((conn, link), _)| is_to(*link) && !self.ghosts[ACCEPTOR].contains(conn));
        let open = to.map(|(_, receiver)| receiver).filter(|receiver| !receiver.ended);
        open.map(|receiver| receiver.credit.saturating_sub(receiver.arrived).saturating_sub(credit)).sum()
    }

    /// Tuples are sent, or come.
    pub(super) fn moves(&mut self, now: u64) {
        self.moved_us = now;
    }

    pub(super) fn moved_us(&self) -> u64 {
        self.moved_us
    }

    pub(super) fn traffic(&self, link: LinkId) -> Traffic {
        self.traffic.get(&link).copied().unwrap_or_default()
    }
}

/// A sender calls acknowledged only what was acknowledged.
fn open_sent(open: &Open, model: &mut Model) -> Checked {
    let name = model.graph.link_name(open.link);
    let cancelled = model.link(open.link).cancelled;
    let life = model.life(open.link, open.epoch);
    require(open.first_unacked.before() <= life.acked || cancelled, Check::FalseAck, || {
        format!("{name}: holds {} and later only, acknowledged is {}", open.first_unacked, life.acked)
    })
}
