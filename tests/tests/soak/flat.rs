//! What the nodes take, looked at all the time, and whether it grows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use worker_tests::process::descendants;

/// What is looked at, and by how much the most of the second half may be more than the most of the first one: what depends on what just
/// happens. Memory is in MiB.
const WHAT: [(&str, u64); 4] = [("memory", 32), ("descriptors", 24), ("threads", 8), ("processes", 8)];

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// The beginning does not count: caches fill, and a node starts.
const WARM_UP_PERCENT: u32 = 10;

/// By node, the most of each half.
#[derive(Debug)]
pub(crate) struct Flat {
    length: Duration,
    looked: Option<Instant>,
    halves: BTreeMap<String, [[u64; 4]; 2]>,
}

impl Flat {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, looked: None, halves: BTreeMap::new() }
    }

    /// Looks at these processes, if it is time.
    pub(crate) fn look<'a>(&mut self, elapsed: Duration, nodes: impl Iterator<Item = (&'a str, i32)>) {
        let warm_up = self.length * WARM_UP_PERCENT / 100;
        if elapsed < warm_up || self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let half = usize::from(elapsed > warm_up + (self.length - warm_up) / 2);
        for (name, pid) in nodes {
            let Some(now) = takes(pid) else { continue };
            let most = &mut self.halves.entry(name.to_owned()).or_default()[half];
            for (most, now) in most.iter_mut().zip(now) {
                *most = (*most).max(now);
            }
        }
    }

    pub(crate) fn table(&self) -> String {
        let mut text = "| node | what | most, first half | second half |\n|---|---|---|---|\n".to_owned();
        for (name, what, [first, second], _) in self.rows() {
            writeln!(text, "| {name} | {what} | {first} | {second} |").ok();
        }
        text
    }

    pub(crate) fn assert_flat(&self) {
        assert!(self.halves.len() == 3, "every node was looked at: {self:?}");
        for (name, what, [first, second], slack) in self.rows() {
            assert!(first > 0 || second == 0, "{what} of node {name} was seen: {}", self.table());
            assert!(second <= first + slack, "{what} of node {name} grows: {}", self.table());
        }
    }

    fn rows(&self) -> Vec<(&str, &str, [u64; 2], u64)> {
        let row = |(name, halves): (&'_ String, &[[u64; 4]; 2])| -> Vec<_> {
            let name: &str = self.halves.get_key_value(name).expect("it is one of them").0;
            let of = |at: usize| (name, WHAT[at].0, [halves[0][at], halves[1][at]], WHAT[at].1);
            (0..WHAT.len()).map(of).collect()
        };
        self.halves.iter().flat_map(row).collect()
    }
}

/// What a process has now, in the order of [`WHAT`].
fn takes(pid: i32) -> Option<[u64; 4]> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some([field("VmRSS:")? / 1024, descriptors, field("Threads:")?, descendants(pid).len() as u64])
}
