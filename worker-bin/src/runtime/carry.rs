//! Where each action of the node goes in a run.

use super::cell::{Carry, Cell, End, Tell};
use super::dead::DeadLetters;
use super::dispatch::{Carrier, ToJournal, ToSpill, When, dispatch};
use super::journaled::Journals;
use super::link::Connections;
use super::log::NodeLog;
use super::peers::KeepPeer;
use super::ports::Ports;
use super::spill::SpillPort;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use worker_core::Node;
use worker_core::config::{Graph, NodeIx, TaskId};
use worker_core::event::{
    Action, Commit, ConnAction, ConnId, DeadLetter, Event, NodeError, Report, TaskAction,
};
use worker_core::recovery::PeerState;
use worker_proto::LinkId;

/// All who carry out actions.
pub(super) struct Carriers {
    pub(super) graph: Arc<Graph>,
    pub(super) connections: Arc<Connections>,
    pub(super) ports: Arc<Ports>,
    pub(super) journals: Journals,
    /// With a journal: who keeps what is known of the peers.
    pub(super) peers: Option<Sender<KeepPeer>>,
    pub(super) spill: Arc<SpillPort>,
    pub(super) dead: Arc<DeadLetters>,
    pub(super) log: NodeLog,
}

impl Carry for Carriers {
    fn carry_out(&self, cell: &Cell, node: &mut Node, action: Action) {
        let Ok(()) = dispatch(node, &self.graph, action, &mut Carrying { all: self, cell });
    }
}

/// The carriers, while an action is passed on.
struct Carrying<'a> {
    all: &'a Carriers,
    cell: &'a Cell,
}

impl Carrier for Carrying<'_> {
    type Error = Infallible;

    fn is_journaled(&self) -> bool {
        self.all.journals.is_some()
    }

    fn connection(&mut self, conn: ConnId, action: ConnAction) -> Result<(), Infallible> {
        self.all.connections.act(conn, action);
        Ok(())
    }

    fn work(&mut self, task: TaskId, work: TaskAction, when: When) -> Result<(), Infallible> {
        self.all.ports.work(task, work, when);
        Ok(())
    }

    fn dead_lettered(&mut self, task: TaskId, letters: &[DeadLetter]) -> Result<(), Infallible> {
        self.all.dead.remember(task, letters);
        Ok(())
    }

    fn journal(&mut self, task: TaskId, order: ToJournal) -> Result<(), Infallible> {
        if let Some(journal) = self.all.journals.of(task) {
            journal.act(order);
        }
        Ok(())
    }

    fn spill(&mut self, order: ToSpill) -> Result<(), Infallible> {
        self.all.spill.act(order);
        Ok(())
    }

    fn apply_state(&mut self, task: TaskId, commit: &Commit) -> Result<(), Infallible> {
        self.all.ports.apply_state(task, commit);
        Ok(())
    }

    fn follows(&mut self, node: &mut Node, event: Event) -> Result<(), Infallible> {
        node.handle(self.cell.now(), event);
        Ok(())
    }

    fn lost(&mut self, link: LinkId, records: u64) -> Result<(), Infallible> {
        self.all.log.lost(link, records);
        Ok(())
    }

    fn report(&mut self, report: Report) -> Result<(), Infallible> {
        self.all.log.report(&report);
        if self.is_journaled() && matches!(report, Report::ReaderGone { .. }) {
            self.cell.ask_for_a_stop();
        }
        Ok(())
    }

    fn keep_peer(&mut self, peer: NodeIx, state: PeerState, version: u64) -> Result<(), Infallible> {
        if let Some(keeper) = &self.all.peers {
            keeper.send(KeepPeer { peer, state, version }).ok();
        }
        Ok(())
    }

    fn ended(&mut self, result: Result<(), NodeError>) -> Result<(), Infallible> {
        self.cell.end(result.map_or_else(End::Failed, |()| End::Finished));
        Ok(())
    }
}
