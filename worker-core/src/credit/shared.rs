//! What the links of a node share beyond what each has for itself.

use crate::check::{Inconsistency, rule};

/// The budget of a node for links over long distances, in bytes of cost: what their receiving ends promise beyond `credit` each, and
/// what their sending ends hold in memory beyond `outbox` each.
///
/// Nobody waits for it: a link that gets nothing of it goes on with what is its own. Of what there is one link may have half, two a
/// third each, and so on, so that there is some for the next one; who has more than that gives it back as it is used up.
#[derive(Debug)]
pub(crate) struct SharedCredit {
    max: u64,
    used: u64,
}

impl SharedCredit {
    pub(crate) fn new(max: u64) -> Self {
        Self { max, used: 0 }
    }

    /// What a link that has `own` of it may have.
    pub(crate) fn fair(&self, own: u64) -> u64 {
        self.max.saturating_sub(self.used - own) / 2
    }

    /// A link has so much now, and had `before`.
    pub(crate) fn change(&mut self, before: u64, now: u64) {
        self.used = self.used - before + now;
    }

    /// In use, and in all.
    pub(crate) fn state(&self) -> (u64, u64) {
        (self.used, self.max)
    }

    /// It is what the links have, and no more than there is.
    pub(crate) fn check(&self, counted: u64) -> Result<(), Inconsistency> {
        crate::check::same("shared credit", self.used, counted)?;
        rule("shared credit", self.used <= self.max, || {
            format!("{} bytes of {} are used", self.used, self.max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_some_for_the_next_link_and_in_time_as_much_as_for_the_others() {
        let mut all = SharedCredit::new(90);
        let mut links = [0; 5];
        for _ in 0..50 {
            for link in &mut links {
                let has = all.fair(*link);
                all.change(*link, has);
                *link = has;
                assert!(all.state().0 < 90, "{all:?}");
            }
        }
        assert_eq!((links, all.check(75)), ([15; 5], Ok(())));
    }
}
