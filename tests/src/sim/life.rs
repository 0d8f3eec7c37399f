//! What the world knows of a run, and of each process in it.

use super::NodeEnd;
use super::driver::Driver;
use super::world::Ev;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use worker_core::Node;
use worker_core::config::{NodeConfig, NodeIx};
use worker_core::event::{ConnId, Event};

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events handled.
    pub events: u64,
    /// Virtual time at the end, in µs.
    pub ended_us: u64,
    /// Connections made or tried.
    pub dials: u64,
    /// Tuples sent again.
    pub retried: u64,
    /// Tuples reported lost.
    pub lost: u64,
    /// Dead letters.
    pub dead: u64,
    /// Most batches stored outside memory by one node at one time.
    pub stored_max: usize,
}

/// One process, through all its lives.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) config: NodeConfig,
    pub(super) core: Option<Node>,
    pub(super) state: NodeEnd,
    pub(super) life: u64,
    pub(super) paused: bool,
    pub(super) driver: Driver,
    pub(super) conns: BTreeMap<ConnId, usize>,
    pub(super) inputs: VecDeque<Event>,
    pub(super) wakes: VecDeque<ConnId>,
    /// What happened while it was stopped.
    pub(super) backlog: VecDeque<Ev>,
    pub(super) wake_at: Option<u64>,
    pub(super) deaths: u64,
    /// Which node's process it is, or was.
    pub(super) home: usize,
    /// It was replaced and does not know.
    pub(super) ghost: bool,
    /// Peers that had everything when this life began.
    pub(super) finished_peers: BTreeSet<NodeIx>,
    /// It dies after so many actions; how long it is away then, and whether power is lost.
    pub(super) fuse: Option<(u64, u64, bool)>,
    /// It was told to stop in good order.
    pub(super) draining: bool,
    /// It will be started again.
    pub(super) comes_back: bool,
    /// How many programs ran in slots when that was last looked at.
    pub(super) runs_seen: usize,
    /// It has said in its last words that it waited for peers in vain.
    pub(super) gave_up: bool,
}
