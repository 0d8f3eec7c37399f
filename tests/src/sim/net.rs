//! Simulated connections: frames in order or not at all, late, lost in part, with two ends that notice at their own time.

use super::plan::Net;
use super::rng::Rng;
use std::collections::VecDeque;
use worker_core::event::ConnId;
use worker_proto::{Frame, RecvBuffer, SendBuffer};

/// The dialling end of a connection.
pub(super) const DIALER: usize = 0;
/// The accepting end of a connection.
pub(super) const ACCEPTOR: usize = 1;

/// A connection between two processes.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    /// `ways[s]` carries what end `s` sends.
    pub(super) ways: [Way; 2],
}

/// One process's end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) life: u64,
    /// The core's number for it, once it has one.
    pub(super) id: Option<ConnId>,
    pub(super) open: bool,
    /// The core asked to close it: since when.
    pub(super) closing: Option<u64>,
    /// When the other end was last able to be heard.
    pub(super) heard: u64,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Way {
    items: VecDeque<(u64, Item)>,
    /// What is sent from now on goes nowhere.
    broken: bool,
    /// Frames that went nowhere and still fill the socket buffer.
    void: usize,
    last_due: u64,
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Item {
    Frame(Box<Frame>),
    /// The other end is gone.
    Fin,
}

impl Conn {
    pub(super) fn new(
        dialer: usize,
        dialer_life: u64,
        id: ConnId,
        acceptor: usize,
        acceptor_life: u64,
        now: u64,
    ) -> Self {
        let end = |node, life, id| End { node, life, id, open: true, closing: None, heard: now };
        Self {
            ends: [end(dialer, dialer_life, Some(id)), end(acceptor, acceptor_life, None)],
            ways: [Way::default(), Way::default()],
        }
    }

    /// Everything under way in both directions is lost but for a part that is late; each end will notice at its own time.
    pub(super) fn break_down(&mut self, now: u64, late_us: u64, rng: &mut Rng) {
        for way in &mut self.ways {
            way.cut_short(now, late_us, rng);
            way.finish(now + rng.below(late_us));
        }
    }
}

impl Way {
    pub(super) fn has_room(&self, net: &Net) -> bool {
        self.items.len() + self.void < net.window_frames
    }

    /// Takes a frame; gives when it arrives.
    pub(super) fn send(&mut self, now: u64, frame: Frame, net: &Net, rng: &mut Rng) {
        if self.broken {
            self.void += 1;
            return;
        }
        let bytes = 64 + if let Frame::Batch(batch) = &frame { batch.batch.cost() } else { 0 };
        let arrives = now + rng.within(net.latency_us.0, net.latency_us.1);
        self.last_due = arrives.max(self.last_due) + bytes * 1000 / (net.bytes_per_ms * 1000).max(1);
        self.items.push_back((self.last_due, Item::Frame(Box::new(frame))));
    }

    /// Nothing is sent any more; the other end learns of it behind what is under way.
    pub(super) fn finish(&mut self, due: u64) {
        if !matches!(self.items.back(), Some((_, Item::Fin))) {
            self.last_due = self.last_due.max(due);
            self.items.push_back((self.last_due, Item::Fin));
        }
        self.broken = true;
    }

    /// Loses the tail of what is under way; the rest is late.
    pub(super) fn cut_short(&mut self, now: u64, late_us: u64, rng: &mut Rng) {
        if self.broken {
            return;
        }
        let keep = rng.index(self.items.len() + 1);
        self.void += self.items.len() - keep;
        self.items.truncate(keep);
        let late = now + rng.below(late_us);
        for (due, _) in &mut self.items {
            *due = (*due).max(late);
            self.last_due = self.last_due.max(*due);
        }
        self.broken = true;
    }

    /// When the next item arrives.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.items.front().map(|&(due, _)| due)
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        self.items.pop_front().map(|(_, item)| item)
    }

    /// What is under way is lost, and nothing follows.
    pub(super) fn silence(&mut self) {
        self.items.clear();
        self.broken = true;
    }
}

/// The frame as the other end decodes it.
pub(super) fn through_codec(frame: &Frame) -> Frame {
    use bytes::{Buf, BufMut};
    let mut out = SendBuffer::new();
    out.push(frame).expect("a frame of the core can be encoded");
    let mut input = RecvBuffer::new();
    input.handshake_done();
    loop {
        let moved = {
            let mut space = input.space();
            let moved = out.chunk().len().min(space.remaining_mut());
            space.put_slice(&out.chunk()[..moved]);
            moved
        };
        out.advance(moved);
        if let Some(frame) = input.next_frame().expect("an encoded frame can be decoded") {
            return frame;
        }
    }
}
