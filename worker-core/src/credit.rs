//! Credit arithmetic of a link, both ends, in bytes of [`Batch::cost`](worker_proto::Batch::cost).
//!
//! Credit is absolute since the link was opened on this connection: "you may send this much in all". Any credit left
//! admits one record more, however large: so an empty window of one byte still moves one record at a time, and a
//! receiver holds at most its window plus one record.

/// The sending end's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendWindow {
    granted: u64,
    used: u64,
}

impl SendWindow {
    /// A window with this much granted and nothing used.
    #[must_use]
    pub fn new(granted: u64) -> Self {
        Self { granted, used: 0 }
    }

    /// What may still be sent; if it is not 0, one record of any size may.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.granted.saturating_sub(self.used)
    }

    /// Counts what was sent.
    pub fn spend(&mut self, cost: u64) {
        debug_assert!(self.left() > 0 || cost == 0, "{cost} bytes are sent without credit: {self:?}");
        self.used = self.used.saturating_add(cost);
    }

    /// Takes a grant; grants never shrink.
    pub fn grant(&mut self, total: u64) {
        self.granted = self.granted.max(total);
    }

    /// Everything spent since the link was opened.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// The receiving end's view: `granted = capacity − held at opening + taken since`.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveWindow {
    capacity: u64,
    held_at_open: u64,
    taken: u64,
    used: u64,
    announced: u64,
}

impl ReceiveWindow {
    /// A window at the moment a link is opened while `held` bytes still wait in the inbox.
    #[must_use]
    pub fn open(capacity: u64, held: u64) -> Self {
        let mut window = Self { capacity, held_at_open: held, taken: 0, used: 0, announced: 0 };
        window.announced = window.granted();
        window
    }

    /// Total credit since opening.
    #[must_use]
    pub fn granted(&self) -> u64 {
        (self.capacity + self.taken).saturating_sub(self.held_at_open)
    }

    /// Whether a peer that keeps the rules may send this: within credit, or one record while any credit is left.
    #[must_use]
    pub fn admits(&self, cost: u64, records: usize) -> bool {
        let left = self.granted().saturating_sub(self.used);
        cost <= left || (left > 0 && records == 1)
    }

    /// Counts what arrived.
    pub fn arrived(&mut self, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    /// Counts what left the inbox (or was dropped as a duplicate).
    pub fn take(&mut self, cost: u64) {
        self.taken = self.taken.saturating_add(cost);
        debug_assert!(self.taken <= self.held_at_open + self.used, "more left than came: {self:?}");
    }

    /// Everything that arrived since the link was opened.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// What came and did not leave, in bytes of cost.
    #[must_use]
    pub fn held(&self) -> u64 {
        (self.held_at_open + self.used).saturating_sub(self.taken)
    }

    /// Whether the sender should hear of the credit now: a quarter of the window is new, or it may have run out.
    #[must_use]
    pub fn worth_announcing(&self) -> bool {
        let granted = self.granted();
        let news = granted.saturating_sub(self.announced);
        news > 0 && (news >= self.capacity / 4 || self.announced <= self.used)
    }

    /// The credit to write into an acknowledgement; remembers that it was said.
    pub fn announce(&mut self) -> u64 {
        debug_assert!(self.announced <= self.granted(), "credit never shrinks: {self:?}");
        self.announced = self.granted();
        self.announced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_one_byte_moves_one_record_at_a_time() {
        let mut receiver = ReceiveWindow::open(1, 0);
        let mut sender = SendWindow::new(receiver.granted());
        for _ in 0..3 {
            assert!(sender.left() > 0 && receiver.admits(104, 1) && !receiver.admits(208, 2));
            sender.spend(104);
            receiver.arrived(104);
            assert!(sender.left() == 0 && !receiver.admits(104, 1));
            receiver.take(104);
            assert!(receiver.worth_announcing());
            sender.grant(receiver.announce());
        }
    }

    #[test]
    fn what_was_held_at_opening_frees_credit_when_it_is_taken() {
        let mut window = ReceiveWindow::open(100, 130);
        assert_eq!(window.granted(), 0);
        window.take(130);
        assert_eq!(window.granted(), 100);
    }
}
