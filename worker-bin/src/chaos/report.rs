//! What was injected, in a report and in words.

use serde::{Deserialize, Serialize};

/// What `--chaos` did in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportChaos {
    pub seed: u64,
    /// As `--chaos-rate` takes them.
    pub rates: String,
    pub injected: Injected,
    /// What it could not touch, and why.
    pub spared: Vec<String>,
}

/// How often what was made to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// Programs killed.
    pub programs: u64,
    /// Connections cut or refused.
    pub links: u64,
    /// Writes that found no room on the disk, at once or half done.
    pub disks: u64,
    /// Syncs that failed, each of which ended the worker, which was started again.
    #[serde(default)]
    pub syncs: u64,
    /// Writes and syncs that took long.
    #[serde(default)]
    pub slow: u64,
    /// Times that the worker itself was killed, and started again.
    #[serde(default)]
    pub nodes: u64,
}

impl ReportChaos {
    /// In one line, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Injected { programs, links, disks, syncs, slow, nodes } = self.injected;
        let count = |count: u64, one: &str, more: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {more}"),
        };
        let mut text = format!(
            "chaos (seed {}, {}): {} killed, {} cut or refused, {} without room",
            self.seed,
            self.rates,
            count(programs, "program", "programs"),
            count(links, "connection", "connections"),
            count(disks, "write to disk", "writes to disk"),
        );
        let more = [
            (syncs, count(syncs, "failed sync", "failed syncs")),
            (slow, count(slow, "slow operation of the disk", "slow operations of the disk")),
            (nodes, format!("the worker killed {}", count(nodes, "time", "times"))),
        ];
        for (_, told) in more.iter().filter(|(count, _)| *count > 0) {
            text += &format!(", {told}");
        }
        if !self.spared.is_empty() {
            text += &format!("; not touched: {}", self.spared.join("; "));
        }
        text
    }
}
