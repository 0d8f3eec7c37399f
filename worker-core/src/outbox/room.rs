//! What an outbox may have beyond what each may: room for what is under way over a long distance, and credit that it gives back.

use super::Outbox;

impl Outbox {
    /// With more than this held, in bytes, its task waits, while a receiver takes what it sends.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.memory_max / 2
    }

    /// What room it needs beyond its own, where room is all that it lacks: everything is sent, and there is credit for more.
    pub(crate) fn room_needed(&self) -> Option<u64> {
        let held = self.memory_cost() + self.stored_cost();
        let left = self.window?.left();
        if self.drops() || left == 0 || self.has_tuple() || held <= self.room() {
            return None;
        }
        Some((held.saturating_add(left)).saturating_mul(2).saturating_sub(self.own_max()))
    }

    /// It has so much room beyond its own.
    pub(crate) fn share_room(&mut self, shared: u64) {
        self.memory_max = self.own_max() + shared;
        self.shared = shared;
    }

    /// Lets go of room that it does not use.
    pub(crate) fn keep_room(&mut self) {
        if self.held.costs().memory + self.held.costs().storing <= self.own_max() / 4 {
            self.share_room(0);
        }
    }

    /// What room it has beyond its own, in bytes.
    #[must_use]
    pub fn shared_room(&self) -> u64 {
        self.shared
    }

    /// Whether it has more credit than a link is opened with, at least `own`: one that is opened while its receiver is full begins
    /// with less.
    #[must_use]
    pub(crate) fn has_more_credit(&self, own: u64) -> bool {
        !self.is_finished() && self.window.is_some_and(|window| window.left() > self.usual_credit.max(own))
    }

    /// Called now and then: whether it has more credit than a link is opened with, and has not used as much as that since the last call.
    pub(crate) fn gives_up_credit(&mut self, own: u64) -> bool {
        let Some(window) = self.window else { return false };
        let spent =
            window.used() - std::mem::replace(&mut self.spent_before, window.used()).min(window.used());
        self.has_more_credit(own) && spent < self.usual_credit.max(own)
    }

    /// Gives up what credit there is: nothing is sent until the link was opened again.
    pub(crate) fn give_up_credit(&mut self) {
        if let Some(window) = &mut self.window {
            window.give_up();
        }
    }

    fn own_max(&self) -> u64 {
        self.memory_max - self.shared
    }
}
