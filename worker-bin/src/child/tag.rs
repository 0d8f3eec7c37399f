//! The mark that every descendant of a child has: whose it is, in a limit that the system inherits and does not use.
//!
//! Linux keeps `RLIMIT_LOCKS` for old programs and has not looked at it since 2.4. Unlike a variable of the environment it cannot be lost by
//! accident: an empty environment, a second fork and a new session leave it, and it is there before a program's first instruction.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// How many bits the number of a child has; the rest is for the process id, of which Linux uses 22.
const CHILD_BITS: u32 = 40;
const PID_BITS: u32 = 22;

/// Of which child of which launcher a process descends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// The process id of the launcher, or of who guards it, as the worker knows it.
    pub(super) launcher: i32,
    /// The child's number; 0: none, it is the launcher itself.
    pub(super) child: u64,
}

impl Tag {
    /// That of a process; `None` where it has none, or is gone.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Self::in_limits(&std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
    }

    /// This process has it from now on, and so has whatever it starts.
    ///
    /// # Errors
    /// The hard limit of this process is lower.
    pub(super) fn put_on_this_process(self) -> io::Result<()> {
        let limit = getrlimit(Resource::Locks);
        Ok(setrlimit(Resource::Locks, Rlimit { current: Some(self.number()), ..limit })?)
    }

    fn number(self) -> u64 {
        (u64::from(self.launcher.unsigned_abs()) << CHILD_BITS) | (self.child & ((1 << CHILD_BITS) - 1))
    }

    fn from_number(number: u64) -> Option<Self> {
        let launcher =
            i32::try_from(number >> CHILD_BITS).ok().filter(|pid| (1..1 << PID_BITS).contains(pid))?;
        Some(Self { launcher, child: number & ((1 << CHILD_BITS) - 1) })
    }

    fn in_limits(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
        Self::from_number(line.split_ascii_whitespace().next()?.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        for (launcher, child) in [(1, 0), (4_194_304 - 1, u64::from(u32::MAX)), (77, (1 << CHILD_BITS) - 1)] {
            let tag = Tag { launcher, child };
            let line = format!(
                "Max file locks            {}            unlimited            locks     \n",
                tag.number()
            );
            assert_eq!(Tag::in_limits(&format!("Limit\n{line}Max x 1 2\n")), Some(tag));
        }
    }

    #[test]
    fn what_others_put_there_is_no_tag() {
        for number in ["unlimited", "0", "1024", "4611686018427387904", "18446744073709551614"] {
            assert_eq!(
                Tag::in_limits(&format!("Max file locks  {number}  unlimited  locks")),
                None,
                "{number}"
            );
        }
        assert_eq!(Tag::in_limits("Max pending signals 1 1 signals"), None);
    }
}
