//! Credit arithmetic of a link, both ends, in bytes of [`Batch::cost`](worker_proto::Batch::cost).
//!
//! Credit is absolute since the link was opened on this connection: "you may send this much in all". Any credit left
//! admits one record more, however large: so an empty window of one byte still moves one record at a time, and a
//! receiver holds at most its window plus one record.
//!
//! A window begins with what each link has for itself. Over a long distance it grows to what the line takes (`Need`), within what
//! the node's links share (`SharedCredit`), and shrinks by not being renewed: what was announced is never taken back. A sender that
//! has more than it uses gives it up by opening the link again.

mod need;
mod shared;

pub(crate) use shared::SharedCredit;

use crate::time::Time;
use need::Need;
use std::time::Duration;

/// The sending end's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendWindow {
    granted: u64,
    used: u64,
    given_up: bool,
}

impl SendWindow {
    /// A window with this much granted and nothing used.
    #[must_use]
    pub fn new(granted: u64) -> Self {
        Self { granted, used: 0, given_up: false }
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

    /// Takes a grant; grants never shrink. What was given up is not granted again: the receiver may not have heard of it yet.
    pub fn grant(&mut self, total: u64) {
        if !self.given_up {
            self.granted = self.granted.max(total);
        }
    }

    /// Nothing more is sent until the link is opened again.
    pub fn give_up(&mut self) {
        (self.granted, self.given_up) = (self.used, true);
    }

    /// Whether the link is to be opened again before anything more is sent.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Everything spent since the link was opened.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// The receiving end's view: `granted = capacity − held at opening + taken since`, and never less than was announced.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveWindow {
    capacity: u64,
    held_at_open: u64,
    taken: u64,
    used: u64,
    /// What had come before what came last.
    used_before: u64,
    announced: u64,
    /// What was announced before.
    announced_before: u64,
    need: Need,
}

impl ReceiveWindow {
    /// A window at the moment a link is opened while `held` bytes still wait in the inbox.
    #[must_use]
    pub fn open(capacity: u64, held: u64) -> Self {
        let mut window = Self {
            capacity,
            held_at_open: held,
            taken: 0,
            used: 0,
            used_before: 0,
            announced: 0,
            announced_before: 0,
            need: Need::default(),
        };
        window.announced = window.granted();
        window
    }

    /// Total credit since opening.
    #[must_use]
    pub fn granted(&self) -> u64 {
        (self.capacity + self.taken).saturating_sub(self.held_at_open).max(self.announced)
    }

    /// What there is room for.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What may have to be held if nothing more is taken: more than the capacity while that has shrunk and what was announced is not
    /// used up.
    #[must_use]
    pub fn promised(&self) -> u64 {
        self.capacity.max((self.announced + self.held_at_open).saturating_sub(self.taken))
    }

    /// There is room for more or less from now on.
    pub fn resize(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// A round trip to the sender took so long, at most.
    pub fn round_trip(&mut self, took: Duration) {
        self.need.round_trip(took);
    }

    /// What was [announced](Self::announce) just now leaves at `now`.
    pub fn announced_at(&mut self, now: Time) {
        if self.announced > self.announced_before {
            self.need.announced(now, self.announced_before, self.taken);
        }
    }

    /// What [came](Self::arrived) just now has come at `now`.
    pub fn arrived_at(&mut self, now: Time) {
        self.need.arrived(now, self.used_before);
    }

    /// Before credit is announced: the window that the link needs, once a round trip and where that is long enough to count.
    pub fn measure(&mut self, now: Time) -> Option<u64> {
        self.need.measure(now, self.taken)
    }

    /// Whether a peer that keeps the rules may send this: within credit, or one record while any credit is left.
    #[must_use]
    pub fn admits(&self, cost: u64, records: usize) -> bool {
        let left = self.granted().saturating_sub(self.used);
        cost <= left || (left > 0 && records == 1)
    }

    /// Counts what arrived.
    pub fn arrived(&mut self, cost: u64) {
        self.used_before = self.used;
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
        self.announced_before = self.announced;
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
    fn what_is_given_up_is_not_granted_again_by_what_was_said_before() {
        let mut sender = SendWindow::new(100);
        sender.spend(10);
        sender.give_up();
        sender.grant(200);
        assert_eq!((sender.left(), sender.is_given_up()), (0, true));
    }

    /// A sender that always has more, over a line of `rate` bytes a millisecond, and a task that takes all at once: what the window is
    /// in the end, from `capacity`.
    fn settles_at(capacity: u64, rate: u64, round_trip_ms: u64) -> u64 {
        let mut window = ReceiveWindow::open(capacity, 0);
        let (mut sent, mut granted) = (0, std::collections::VecDeque::new());
        granted.resize(usize::try_from(round_trip_ms).unwrap(), 0);
        window.announced_at(Time::ZERO);
        for ms in 0..3_000 {
            let now = Time::from_micros(ms * 1_000);
            if let Some(need) = window.measure(now) {
                window.resize(need.max(capacity));
            }
            granted.push_back(window.announce());
            window.announced_at(now);
            let more = granted.pop_front().unwrap().saturating_sub(sent).min(rate);
            sent += more;
            if more > 0 {
                window.arrived(more);
                window.arrived_at(now);
                window.take(more);
            }
        }
        window.capacity()
    }

    #[test]
    fn a_window_grows_to_what_the_line_takes_and_no_further() {
        let need = settles_at(1_000, 1_000, 50);
        assert!((90_000..=115_000).contains(&need), "{need}");
        assert_eq!(settles_at(200_000, 1_000, 50), 200_000, "it is enough");
    }

    #[test]
    fn a_window_grows_for_no_task_that_is_slow() {
        let mut window = ReceiveWindow::open(1_000, 0);
        window.announced_at(Time::ZERO);
        for ms in 1..2_000 {
            let now = Time::from_micros(ms * 1_000);
            let more = window.granted() - window.used();
            window.arrived(more);
            window.arrived_at(now);
            window.take(10);
            assert!(window.measure(now).is_none_or(|need| need <= 1_000), "after {ms} ms");
            window.announce();
            window.announced_at(now);
        }
    }

    #[test]
    fn what_was_announced_is_kept_when_a_window_shrinks() {
        let mut window = ReceiveWindow::open(1_000, 0);
        window.resize(100);
        assert_eq!((window.granted(), window.promised()), (1_000, 1_000));
        window.arrived(950);
        window.take(950);
        assert_eq!((window.granted(), window.promised()), (1_050, 100));
    }

    #[test]
    fn what_was_held_at_opening_frees_credit_when_it_is_taken() {
        let mut window = ReceiveWindow::open(100, 130);
        assert_eq!(window.granted(), 0);
        window.take(130);
        assert_eq!(window.granted(), 100);
    }
}
