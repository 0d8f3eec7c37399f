//! The thread that reads outputs back for a column's tasks: who catches up with a long backlog holds up none that append.
//!
//! It is begun with the first read. Limit: the core asks for one read a link at a time.

use super::syncer::fail;
use crate::runtime::cell::{Cell, Tell};
use std::cell::OnceCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use worker_core::event::{Event, LinkEvent};
use worker_journal::{DirFile, Extent};
use worker_proto::{LinkId, Seq};

/// The writer's side.
#[derive(Debug, Default)]
pub(super) struct Reader {
    orders: OnceCell<Sender<ReadBack>>,
}

/// Consecutive tuples of a link, where they are in the journal.
#[derive(Debug)]
pub(super) struct ReadBack {
    /// Whose they are, for people.
    pub(super) task: String,
    pub(super) link: LinkId,
    pub(super) first_seq: Seq,
    pub(super) extents: Vec<Extent<DirFile>>,
}

impl Reader {
    /// Has them read, and the node told; at once, where there is no thread for it.
    pub(super) fn read(&self, column: &str, cell: &Arc<Cell>, order: ReadBack) {
        if self.orders.get().is_none() {
            let (sender, orders) = channel();
            let weak = Arc::downgrade(cell);
            let thread = std::thread::Builder::new().name(format!("{column} back"));
            if thread.spawn(move || read_all(&orders, &weak)).is_ok() {
                self.orders.set(sender).ok();
            }
        }
        let left = match self.orders.get() {
            Some(orders) => orders.send(order).err().map(|unsent| unsent.0),
            None => Some(order),
        };
        if let Some(order) = left {
            order.read(cell);
        }
    }
}

fn read_all(orders: &Receiver<ReadBack>, cell: &Weak<Cell>) {
    while let Ok(order) = orders.recv() {
        let Some(cell) = cell.upgrade() else { return };
        order.read(&cell);
    }
}

impl ReadBack {
    fn read(self, cell: &Cell) {
        let Self { task, link, first_seq, extents } = self;
        match worker_journal::join(extents.iter()) {
            Ok(batch) => cell.tell(Event::Link(link, LinkEvent::Loaded { first_seq, batch })),
            Err(error) => fail(cell, &task, &error.to_string()),
        }
    }
}
