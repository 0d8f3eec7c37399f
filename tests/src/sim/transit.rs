//! What happens to connections: dialled, filled, delivered, broken, closed.

use super::NodeEnd;
use super::check::{Check, Checked, require};
use super::disk::Disk;
use super::fault::LATE_US;
use super::net::{ACCEPTOR, Conn, DIALER, Item, through_codec};
use super::world::{Ev, World, small};
use worker_core::config::NodeIx;
use worker_core::event::{ConnEvent, ConnId, Event, Loss};
use worker_proto::{Frame, Seq};

/// How long a dial that nobody answers takes, in µs.
const DIAL_TIMEOUT_US: u64 = 3_000_000;

impl World {
    pub(super) fn dial(&mut self, node: usize, id: ConnId, peer: usize) {
        self.stats.dials += 1;
        let lives = (self.nodes[node].life, self.nodes[peer].life);
        let conn = self.conns.len();
        self.conns.push(Conn::new(node, lives.0, id, peer, lives.1, self.now));
        self.nodes[node].conns.insert(id, conn);
        if self.nodes[node].ghost {
            self.wire.is_ghost(conn, DIALER);
        }
        if self.is_cut(self.nodes[node].home, peer) {
            let at = self.now + DIAL_TIMEOUT_US;
            self.at(at, Ev::Closed { conn, end: DIALER, why: "the dial timed out" });
        } else {
            let at = self.now + self.latency();
            self.at(at, Ev::Connect { conn });
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts[a][b] + self.cuts[b][a] > 0
    }

    fn latency(&mut self) -> u64 {
        let (least, most) = self.plan.net.latency_us;
        self.rng.within(least, most)
    }

    /// The accepting machine answers, whether or not its process runs at the moment.
    pub(super) fn connect(&mut self, conn: usize) -> Checked {
        let peer = self.conns[conn].ends[ACCEPTOR].node;
        let at = self.now + self.latency();
        if self.nodes[peer].state != NodeEnd::Up {
            if self.plan.is_journaled() && self.nodes[peer].state == NodeEnd::Finished {
                self.finished_is_dialled(conn)?;
            }
            self.at(at, Ev::Closed { conn, end: DIALER, why: "connection refused" });
            return Ok(());
        }
        self.conns[conn].ends[ACCEPTOR].life = self.nodes[peer].life;
        self.at(at, Ev::Connected { conn });
        if !self.nodes[peer].paused {
            self.accept(conn);
        }
        Ok(())
    }

    /// A node dials one that has finished: the user starts that again if it has said that it ends without this one, and for no other
    /// reason is it needed.
    fn finished_is_dialled(&mut self, conn: usize) -> Checked {
        let (dialer, peer) = (self.conns[conn].ends[DIALER].node, self.conns[conn].ends[ACCEPTOR].node);
        let status = self.nodes[dialer].core.as_ref().map(worker_core::Node::status);
        if !status.is_some_and(|status| status.tasks.iter().any(|task| !task.done)) {
            return Ok(());
        }
        let known = self.nodes[dialer].finished_peers.contains(&NodeIx(small(peer)));
        require(!known, Check::FinishedNeeded, || {
            format!("node {dialer} dials node {peer}, which has everything and has said so")
        })?;
        // Its last word may be on its way, but nothing is needed of it.
        let disk = &self.disks[self.nodes[dialer].home];
        if disk.peers.get(&NodeIx(small(peer))).is_some_and(|peer| peer.finished) {
            return Ok(());
        }
        require(self.nodes[peer].gave_up || self.nodes[peer].draining, Check::FinishedNeeded, || {
            format!("node {dialer} needs node {peer}, which has finished with nothing said against it")
        })?;
        self.restart_soon(peer);
        Ok(())
    }

    fn accept(&mut self, conn: usize) {
        let now = self.time();
        let end = &mut self.conns[conn].ends[ACCEPTOR];
        let process = &mut self.nodes[end.node];
        if let (Some(core), None, true) = (&mut process.core, end.id, end.life == process.life) {
            let id = core.accept(now);
            end.id = Some(id);
            process.conns.insert(id, conn);
        }
    }

    pub(super) fn connected(&mut self, conn: usize) -> Checked {
        let end = &self.conns[conn].ends[DIALER];
        let node = end.node;
        if let (true, Some(id), true) = (end.open, end.id, end.life == self.nodes[node].life) {
            self.input(node, Event::Conn(id, ConnEvent::Dialed))?;
        }
        Ok(())
    }

    /// Pulls frames while the socket has room for them.
    pub(super) fn fill(&mut self, conn: usize, node: usize) -> Checked {
        let Some((end, id)) = self.writable_end(conn, node) else { return Ok(()) };
        while self.conns[conn].ways[end].has_room(&self.plan.net) {
            if !self.pull(conn, end, id)? {
                self.nothing_to_send(conn, end)?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn writable_end(&self, conn: usize, node: usize) -> Option<(usize, ConnId)> {
        let mine = |end: &&super::net::End| end.node == node && end.open && end.life == self.nodes[node].life;
        let end = self.conns[conn].ends.iter().position(|end| mine(&end))?;
        let process = &self.nodes[node];
        let id = self.conns[conn].ends[end].id?;
        (!process.paused && process.core.is_some()).then_some((end, id))
    }

    /// Moves one frame from the core to the socket; says whether there was one.
    fn pull(&mut self, conn: usize, end: usize, id: ConnId) -> Checked<bool> {
        let now = self.time();
        let node = self.conns[conn].ends[end].node;
        let Some(core) = &mut self.nodes[node].core else { return Ok(false) };
        let Some(frame) = core.poll_transmit(now, id) else { return Ok(false) };
        self.trace.note(self.now, format_args!("node {node} conn {conn} > {frame:?}"));
        if matches!(frame, Frame::Batch(_)) {
            self.check_idle()?;
            self.wire.moves(self.now);
        }
        if end == DIALER {
            self.wire.sent_by_dialer(conn, &frame, &mut self.model)?;
        } else {
            self.wire.sent_by_acceptor(conn, &frame, &mut self.model)?;
        }
        let mut frame = if self.plan.net.codec { through_codec(&frame) } else { frame };
        if let Frame::Opened(opened) = &mut frame
            && self.rng.chance(self.plan.understated_percent)
        {
            opened.received = Seq(self.rng.within(opened.committed.0, opened.received.0));
        }
        let is_stillborn = matches!(frame, Frame::Hello(_)) && self.rng.chance(self.plan.stillborn_percent);
        self.conns[conn].ways[end].send(self.now, frame, &self.plan.net, &mut self.rng);
        if is_stillborn {
            let late_us = self.rng.pick(&LATE_US);
            self.conns[conn].break_down(self.now, late_us, &mut self.rng);
            self.expect_arrival(conn, end);
        }
        self.expect_arrival(conn, 1 - end);
        Ok(true)
    }

    fn nothing_to_send(&mut self, conn: usize, end: usize) -> Checked {
        if self.conns[conn].ends[end].closing.is_some() {
            self.finish_close(conn, end);
            return Ok(());
        }
        let node = self.conns[conn].ends[end].node;
        self.drain_actions(node)?;
        // One that has failed sends nothing while it waits for peers to hear of that.
        if !self.nodes[node].inputs.is_empty() || self.nodes[node].core.is_none() || self.plan.may_fail() {
            return Ok(());
        }
        if end == DIALER {
            let (driver, disk) = (&self.nodes[node].driver, self.disks.get(self.nodes[node].home));
            let peer = NodeIx(small(self.nodes[self.conns[conn].ends[ACCEPTOR].node].home));
            // With a journal nothing is sent before that of the receiver is known durably.
            let known = |disk: &Disk, link| {
                disk.peers.get(&peer).is_some_and(|peer| peer.receivers.contains_key(&link))
            };
            let waits = |link| driver.is_moving(link) || disk.is_some_and(|disk| !known(disk, link));
            self.wire.dialer_idle(conn, waits, &mut self.model)
        } else if self.has_gone_back() {
            // What was done before is not known there any more.
            Ok(())
        } else {
            self.wire.acceptor_idle(conn, &mut self.model)
        }
    }

    pub(super) fn expect_arrival(&mut self, conn: usize, to: usize) {
        if let Some(due) = self.conns[conn].ways[1 - to].next_due() {
            self.at(due, Ev::Arrive { conn, to });
        }
    }

    /// What is due on a connection reaches end `to`, if nothing is in its way.
    pub(super) fn arrive(&mut self, conn: usize, to: usize) -> Checked {
        loop {
            let (from, node) = (self.conns[conn].ends[1 - to].node, self.conns[conn].ends[to].node);
            let Some(due) = self.conns[conn].ways[1 - to].next_due() else { return Ok(()) };
            let cuts = self.cuts[self.nodes[from].home][self.nodes[node].home];
            if due > self.now || cuts > 0 || self.nodes[node].paused {
                return Ok(());
            }
            if to == ACCEPTOR {
                self.accept(conn);
            }
            let end = &self.conns[conn].ends[to];
            let (is_alive, id) = (end.open && end.life == self.nodes[node].life, end.id);
            let item = self.conns[conn].ways[1 - to].pop();
            match (item, id, is_alive) {
                (Some(Item::Fin), _, true) => self.closed(conn, to, "the peer closed it")?,
                (Some(Item::Frame(frame)), Some(id), true) => self.deliver(conn, to, id, *frame)?,
                _ => {}
            }
            self.expect_arrival(conn, to);
            let sender = &self.conns[conn].ends[1 - to];
            let may_send = self.nodes[from].life == sender.life && !self.nodes[from].paused;
            if let (Some(id), true) = (sender.id, may_send) {
                self.nodes[from].wakes.push_back(id);
                self.settle(from)?;
            }
        }
    }

    fn deliver(&mut self, conn: usize, to: usize, id: ConnId, frame: Frame) -> Checked {
        let node = self.conns[conn].ends[to].node;
        if matches!(frame, Frame::Batch(_)) {
            self.wire.moves(self.now);
        }
        if self.conns[conn].ends[to].closing.is_some() {
            // What the core gave up counts for nothing, but it may still hear of it.
        } else if to == DIALER {
            self.wire.reached_dialer(conn, &frame, &mut self.model);
        } else {
            self.wire.reached_acceptor(conn, &frame, &mut self.model);
        }
        self.input(node, Event::Conn(id, ConnEvent::Frame(frame)))
    }

    /// Everything that was held up moves on.
    pub(super) fn deliver_all(&mut self) -> Checked {
        for conn in 0..self.conns.len() {
            for to in [DIALER, ACCEPTOR] {
                self.arrive(conn, to)?;
            }
        }
        Ok(())
    }

    /// One end notices that the connection is gone.
    pub(super) fn closed(&mut self, conn: usize, end: usize, why: &'static str) -> Checked {
        let own = &mut self.conns[conn].ends[end];
        if !std::mem::take(&mut own.open) {
            return Ok(());
        }
        let (node, life, id) = (own.node, own.life, own.id);
        self.conns[conn].ways[end].finish(self.now + self.plan.net.latency_us.0);
        self.expect_arrival(conn, 1 - end);
        if end == DIALER {
            self.wire.dialer_closed(conn);
        } else {
            self.wire.acceptor_closed(conn);
        }
        if let (Some(id), true) = (id, life == self.nodes[node].life) {
            self.nodes[node].conns.remove(&id);
            self.input(node, Event::Conn(id, ConnEvent::Closed { loss: Loss::Lost, why: why.into() }))?;
        }
        Ok(())
    }

    pub(super) fn begin_close(&mut self, node: usize, id: ConnId) -> Checked {
        let Some(&conn) = self.nodes[node].conns.get(&id) else { return Ok(()) };
        let end = usize::from(
            self.conns[conn].ends[DIALER].id != Some(id) || self.conns[conn].ends[DIALER].node != node,
        );
        self.conns[conn].ends[end].closing.get_or_insert(self.now);
        if end == DIALER {
            self.wire.dialer_closed(conn);
        } else {
            self.wire.acceptor_closed(conn);
        }
        self.nodes[node].wakes.push_back(id);
        Ok(())
    }

    fn finish_close(&mut self, conn: usize, end: usize) {
        self.at(self.now + 1, Ev::Closed { conn, end, why: "closed here" });
    }

    /// The last words of a process that ends fit into the socket, whatever is in it.
    pub(super) fn flush_last(&mut self, conn: usize, node: usize) -> Checked {
        if let Some((end, id)) = self.writable_end(conn, node) {
            while self.pull(conn, end, id)? {}
        }
        Ok(())
    }

    /// A process is gone: its ends close, in good order, or losing what was under way (and, if `silent`, without a word).
    pub(super) fn hang_up(&mut self, node: usize, died: Option<bool>) {
        for conn in 0..self.conns.len() {
            for end in [DIALER, ACCEPTOR] {
                let own = &mut self.conns[conn].ends[end];
                if own.node != node || !std::mem::take(&mut own.open) {
                    continue;
                }
                let way = &mut self.conns[conn].ways[end];
                match died {
                    None => way.finish(self.now + self.plan.net.latency_us.0),
                    Some(true) => way.silence(),
                    Some(false) => {
                        let late_us = self.rng.pick(&LATE_US);
                        way.cut_short(self.now, late_us, &mut self.rng);
                        way.finish(self.now + self.rng.below(late_us));
                    }
                }
                self.expect_arrival(conn, 1 - end);
                if end == DIALER {
                    self.wire.dialer_closed(conn);
                } else {
                    self.wire.acceptor_closed(conn);
                }
            }
        }
        self.nodes[node].conns.clear();
    }
}
