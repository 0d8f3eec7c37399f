//! Lines of the log that repeat: one in a while of each kind and about each, with how many were left out.

use crate::mutex::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a line of one kind about one peer or task is logged at most.
const EVERY: Duration = Duration::from_secs(5);

/// How many kinds and names are told apart: strangers choose the names they give.
const KNOWN_MAX: usize = 1024;

/// When what was said last.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<BTreeMap<(&'static str, String), Said>>);

#[derive(Debug)]
struct Said {
    last: Instant,
    left_out: u64,
}

impl Complaints {
    /// If a line of this kind about this one is due: how many like it were left out since the last, where any were.
    pub(super) fn due(&self, kind: &'static str, about: &str) -> Option<Option<u64>> {
        self.due_at(Instant::now(), kind, about)
    }

    fn due_at(&self, now: Instant, kind: &'static str, about: &str) -> Option<Option<u64>> {
        let mut all = lock(&self.0);
        let is_new = !all.contains_key(&(kind, about.to_owned()));
        if is_new && all.len() >= KNOWN_MAX {
            all.retain(|_, said| now.duration_since(said.last) < EVERY);
        }
        let about = if is_new && all.len() >= KNOWN_MAX { "" } else { about };
        let Some(said) = all.get_mut(&(kind, about.to_owned())) else {
            all.insert((kind, about.to_owned()), Said { last: now, left_out: 0 });
            return Some(None);
        };
        if now.duration_since(said.last) < EVERY {
            said.left_out += 1;
            return None;
        }
        said.last = now;
        Some(Some(std::mem::take(&mut said.left_out)).filter(|left_out| *left_out > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_five_seconds_of_each_kind_and_about_each_with_those_left_out() {
        let (all, start) = (Complaints::default(), Instant::now());
        let at = |seconds: u64, kind, about| all.due_at(start + Duration::from_secs(seconds), kind, about);
        assert_eq!(at(0, "down", "a"), Some(None));
        assert_eq!([at(1, "down", "a"), at(4, "down", "a")], [None, None]);
        assert_eq!([at(4, "down", "b"), at(4, "up", "a")], [Some(None), Some(None)]);
        assert_eq!([at(5, "down", "a"), at(6, "down", "a")], [Some(Some(2)), None]);
        assert_eq!(at(30, "down", "b"), Some(None));
    }

    #[test]
    fn strangers_with_many_names_take_bounded_memory_and_few_lines() {
        let (all, start) = (Complaints::default(), Instant::now());
        let said = (0..5000).filter(|n| all.due_at(start, "refused", &n.to_string()).is_some()).count();
        assert_eq!((said, lock(&all.0).len()), (KNOWN_MAX + 1, KNOWN_MAX + 1));
        let later = start + Duration::from_secs(6);
        assert_eq!(all.due_at(later, "refused", "x"), Some(None));
        assert_eq!(lock(&all.0).len(), 1);
    }
}
