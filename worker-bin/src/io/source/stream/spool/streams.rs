//! Whose bytes a spool has: those of one stream after the other, the last of which is read now.

use super::header::Identity;

/// The streams of a spool. It is in its file, so that no life takes what two of them gave for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    /// The one that is read now.
    pub(super) now: Identity,
    /// The one before it, which goes on should it come back before anything was taken of this one.
    pub(super) before: Option<Identity>,
    /// Where, in bytes of all streams, each begins that has not begun before the spool does.
    pub(super) begun: Vec<u64>,
}

impl Streams {
    /// Nothing was read before `now`, which begins `at` that byte.
    pub(super) fn first(now: Identity, at: u64) -> Self {
        Self { now, before: None, begun: vec![at] }
    }

    /// `now` is read behind byte `end`; says whether it is one that was read before, and goes on. Of streams before another start
    /// of the system (`is_same_boot`) none does.
    pub(super) fn read_on(&mut self, now: Identity, is_same_boot: bool, end: u64) -> bool {
        let goes_on = |then: &Identity| is_same_boot && then.is(&now);
        if goes_on(&self.now) {
            self.now = now;
            return true;
        }
        if self.begun.last() != Some(&end) {
            self.before = is_same_boot.then_some(self.now);
            self.now = now;
            self.begun.push(end);
            return false;
        }
        // Nothing was taken of the last one.
        self.now = now;
        let comes_back =
            self.before.take_if(|before| goes_on(before) || !is_same_boot).is_some() && is_same_boot;
        if comes_back {
            self.begun.pop();
        }
        comes_back
    }

    /// Forgets what is of no more use where only the bytes from `taken` to `end` are kept.
    pub(super) fn keep(&mut self, taken: u64, end: u64) {
        self.begun.retain(|begun| (taken..=end).contains(begun));
    }
}
