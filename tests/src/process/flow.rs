//! Data that flows for as long as a test wants, and what arrived of it.

use super::scratch::{Scratch, eventually, holds_for};
use super::worker::Running;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a healthy sink may pause on a busy machine before it counts as disturbed.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Room for what budgets do not count: chunks and frames under way, and pages that the allocator of each thread keeps. Far
/// below what flows during a fault.
const SLACK_BYTES: u64 = 56 << 20;

/// A source program: lines of about 100 bytes, about 8 MB/s, until the file `stop` is there; all of them are in `sent.txt`.
pub const FLOW: &str = r#"run = ["bash", "-c", "i=0; while [ ! -e stop ]; do seq -f '%010.0f is a line of about a hundred bytes, so that a second of the flow is more than any budget' $((i+1)) $((i+3000)); i=$((i+3000)); sleep 0.03; done | tee sent.txt"]"#;

impl Scratch {
    /// Ends the [`FLOW`].
    pub fn stop_flow(&self) {
        self.write("stop", "");
    }

    /// Waits until a file holds data.
    ///
    /// # Panics
    /// It does not in time.
    pub fn wait_until_flows(&self, names: &[&str]) {
        for name in names {
            eventually(&format!("{name} grows"), Duration::from_secs(20), || match self.len(name) {
                0..2_000_000 => Err(format!("it has {} bytes", self.len(name))),
                2_000_000.. => Ok(()),
            });
        }
    }

    /// Checks for a while that a file goes on growing.
    ///
    /// # Panics
    /// It paused for too long.
    pub fn assert_keeps_growing(&self, name: &str, length: Duration) {
        let mut last = (Instant::now(), self.len(name));
        holds_for(&format!("{name} goes on growing"), length, || {
            let now = self.len(name);
            if now > last.1 {
                last = (Instant::now(), now);
            }
            let pause = last.0.elapsed();
            if pause < PAUSE_MAX { Ok(()) } else { Err(format!("it stands at {now} bytes for {pause:?}")) }
        });
    }

    /// The files together hold each record of the flow once, and nothing else.
    ///
    /// # Panics
    /// They do not.
    pub fn assert_all_arrived(&self, names: &[&str]) {
        let difference = self.difference(names);
        let Difference { missing, repeated, torn } = &difference;
        assert!(missing.is_empty() && repeated.is_empty() && torn.is_empty(), "{names:?}: {difference}");
    }

    /// What of the flow the files do not hold, or hold more than once.
    #[must_use]
    pub fn difference(&self, names: &[&str]) -> Difference {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let mut difference = Difference::default();
        for line in self.text("sent.txt").lines() {
            counts.insert(line.to_owned(), 0);
        }
        assert!(counts.len() > 1000, "the flow was only {} records", counts.len());
        for name in names {
            for line in self.text(name).lines() {
                match counts.get_mut(line) {
                    Some(count) => *count += 1,
                    None => difference.torn.push(line.to_owned()),
                }
            }
        }
        for (line, count) in counts {
            match count {
                0 => difference.missing.push(line),
                1 => {}
                _ => difference.repeated.push(line),
            }
        }
        difference
    }
}

/// How what arrived differs from what was sent.
#[derive(Debug, Default)]
pub struct Difference {
    /// Sent, and not there.
    pub missing: Vec<String>,
    /// There more than once.
    pub repeated: Vec<String>,
    /// There, but never sent so.
    pub torn: Vec<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { missing, repeated, torn } = self;
        write!(f, "{} missing, {} repeated, {} torn", missing.len(), repeated.len(), torn.len())?;
        for (what, lines) in [("missing", missing), ("repeated", repeated), ("torn", torn)] {
            if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
                write!(f, "; {what} from {first:?} to {last:?}")?;
            }
        }
        Ok(())
    }
}

/// A process's memory before a fault, to be compared with what it took in the end.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBefore {
    base_bytes: u64,
    budget_bytes: u64,
}

impl MemoryBefore {
    /// The memory of a process through which data flows, and the sum of its links' budgets.
    #[must_use]
    pub fn of(running: &Running<'_>, budget_bytes: u64) -> Self {
        Self { base_bytes: running.peak_rss_bytes(), budget_bytes }
    }

    /// A peak is no more than what was there, the budgets and some slack (invariant I7).
    ///
    /// # Panics
    /// It is.
    pub fn assert_within(self, what: &str, peak_bytes: u64) {
        let limit = self.base_bytes + self.budget_bytes + SLACK_BYTES;
        assert!(peak_bytes > 0, "the peak of {what} was seen");
        assert!(peak_bytes <= limit, "{what} took {peak_bytes} bytes: more than {limit}, from {self:?}");
    }
}
