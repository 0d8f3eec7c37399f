//! The outboxes of a node, and what each task has of them: counted anew for the one that changes, so that a task which gives to
//! thousands need not look at all of them for every tuple.

use crate::check::{Inconsistency, same};
use crate::config::{Graph, Limits, LinkOrder, NodeIx, TaskId};
use crate::fault::Bug;
use crate::outbox::Outbox;
use std::ops::{Deref, DerefMut};
use worker_proto::LinkId;

/// Whether the outputs of a task have room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Some,
    None,
    /// Every receiver has cancelled: nobody wants it.
    Unwanted,
}

/// The sending ends of links; one is changed only through [`Changing`].
#[derive(Debug)]
pub(crate) struct Outboxes {
    /// By link.
    links: Vec<Option<Output>>,
    /// By task.
    tasks: Vec<Outputs>,
    limits: Limits,
}

#[derive(Debug)]
struct Output {
    outbox: Outbox,
    from: TaskId,
    /// Which of the stages that read from its task in order it leads to.
    in_order: Option<usize>,
    /// In memory, to a task of this node that takes in any order.
    is_near: bool,
    standing: Standing,
}

/// What an output is to its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its receiver wants nothing more.
    Cancelled,
    /// Nobody waits for it: no receiver is connected, or it drops what it has no room for.
    Aside,
    /// Too much of it is outside memory, or on its way there: its task waits.
    Full,
    /// Its receiver is connected.
    Connected { has_room: bool },
}

/// The outputs of a task, counted by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outputs {
    all: usize,
    cancelled: usize,
    full: usize,
    /// Those that are in nobody's order, and those to each stage that reads in order.
    in_any_order: Connected,
    in_order: Vec<Connected>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Connected {
    all: usize,
    with_room: usize,
}

/// An outbox that is being changed: behind that it is counted as what it has become.
#[derive(Debug)]
pub(crate) struct Changing<'a> {
    output: &'a mut Output,
    outputs: &'a mut Outputs,
    limits: &'a Limits,
}

impl Outboxes {
    /// None yet, for the links of `graph`.
    pub(crate) fn new(graph: &Graph, limits: Limits) -> Self {
        let links = graph.links.iter().map(|_| None).collect();
        Self { links, tasks: vec![Outputs::default(); graph.tasks.len()], limits }
    }

    /// The sending end of a link of node `me`.
    pub(crate) fn add(&mut self, graph: &Graph, me: NodeIx, link: LinkId, outbox: Outbox, journaled: bool) {
        let spec = graph.link(link);
        let is_near = !journaled && graph.task(spec.to).node == me && spec.order == LinkOrder::Any;
        let mut output =
            Output { outbox, from: spec.from, in_order: None, is_near, standing: Standing::Aside };
        output.standing = output.stands(&self.limits);
        let outputs = &mut self.tasks[spec.from.0 as usize];
        outputs.all += 1;
        outputs.count(&output, true);
        self.links[link.0 as usize] = Some(output);
    }

    /// These links lead to one stage, or sink, that reads from their task in order.
    pub(crate) fn are_in_order(&mut self, links: &[LinkId]) {
        for &link in links {
            let Some(output) = &mut self.links[link.0 as usize] else { continue };
            let outputs = &mut self.tasks[output.from.0 as usize];
            outputs.count(output, false);
            if link == links[0] {
                outputs.in_order.push(Connected::default());
            }
            output.in_order = outputs.in_order.len().checked_sub(1);
            outputs.count(output, true);
        }
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Outbox> {
        Some(&self.links.get(link.0 as usize)?.as_ref()?.outbox)
    }

    pub(crate) fn change(&mut self, link: LinkId) -> Option<Changing<'_>> {
        let output = self.links.get_mut(link.0 as usize)?.as_mut()?;
        let outputs = &mut self.tasks[output.from.0 as usize];
        Some(Changing { output, outputs, limits: &self.limits })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Outbox> {
        self.links.iter().flatten().map(|output| &output.outbox)
    }

    /// By link; `None` where it is another node's.
    pub(crate) fn by_link(&self) -> impl Iterator<Item = Option<&Outbox>> {
        self.links.iter().map(|output| Some(&output.as_ref()?.outbox))
    }

    /// Plants a bug in each.
    pub(crate) fn plant(&mut self, bug: Bug) {
        for link in (0..).map(LinkId).take(self.links.len()) {
            if let Some(mut outbox) = self.change(link) {
                outbox.planted.plant(bug);
            }
        }
    }

    /// Whether the outputs of a task have room: none is past what may be stored outside, and of those whose receivers are connected
    /// one has room, if there are any; of those to a stage that reads in order, each.
    pub(crate) fn room(&self, task: TaskId) -> Room {
        let outputs = &self.tasks[task.0 as usize];
        let connected = || outputs.in_order.iter().filter(|connected| connected.all > 0);
        let is_connected = outputs.in_any_order.all > 0 || connected().next().is_some();
        let has_room =
            outputs.in_any_order.with_room > 0 || connected().any(|group| group.all == group.with_room);
        if outputs.full > 0 {
            Room::None
        } else if self.is_unwanted(task) {
            Room::Unwanted
        } else if is_connected && !has_room {
            Room::None
        } else {
            Room::Some
        }
    }

    /// Every receiver of a task that gives to others has cancelled.
    pub(crate) fn is_unwanted(&self, task: TaskId) -> bool {
        let outputs = &self.tasks[task.0 as usize];
        outputs.all > 0 && outputs.cancelled == outputs.all
    }

    /// Whether no output of a task is past what may be stored outside, nor is much on its way there.
    pub(crate) fn may_be_stored(&self, task: TaskId) -> bool {
        self.tasks[task.0 as usize].full == 0
    }

    /// Each output is counted as what it is.
    pub(crate) fn check(&self) -> Result<(), Inconsistency> {
        let mut counted: Vec<Outputs> = self.tasks.iter().map(Outputs::emptied).collect();
        for output in self.links.iter().flatten() {
            same("standing of an output", output.standing, output.stands(&self.limits))?;
            let outputs = &mut counted[output.from.0 as usize];
            outputs.all += 1;
            outputs.count(output, true);
        }
        self.tasks.iter().zip(counted).try_for_each(|(kept, counted)| same("outputs", kept, &counted))
    }
}

impl Output {
    #[inline]
    fn stands(&self, limits: &Limits) -> Standing {
        let Self { outbox, in_order, is_near, .. } = self;
        // In memory a receiver of this node has what it took acknowledged at once, so that a quarter of what others need keeps it busy;
        // more would only leave the processor's cache before it is taken.
        let waiting_max = if *is_near { outbox.room() / 4 } else { outbox.room() };
        // What is stored counts, too: what is left there after a slow time would hold the task up until the last of it is acknowledged.
        let has_room = outbox.memory_cost() + outbox.stored_cost() <= waiting_max;
        let blocks = outbox.planted.is(Bug::DeadLinkBlocksTask) && !has_room;
        let counts = outbox.is_open() || (in_order.is_none() && outbox.planted.is(Bug::UnconnectedStopsTask));
        let is_storing = outbox.storing_cost() > limits.outbox_bytes / 2;
        if outbox.is_cancelled() {
            Standing::Cancelled
        } else if outbox.drops() {
            Standing::Aside
        } else if outbox.stored_cost() >= limits.spill_bytes || is_storing || blocks {
            Standing::Full
        } else if counts {
            Standing::Connected { has_room }
        } else {
            Standing::Aside
        }
    }
}

impl Outputs {
    /// With the same stages that read in order.
    fn emptied(&self) -> Self {
        Self { in_order: vec![Connected::default(); self.in_order.len()], ..Self::default() }
    }

    /// An output begins or ceases to count as what it stands for.
    fn count(&mut self, output: &Output, begins: bool) {
        let change = |count: &mut usize| if begins { *count += 1 } else { *count -= 1 };
        match output.standing {
            Standing::Cancelled => change(&mut self.cancelled),
            Standing::Aside => {}
            Standing::Full => change(&mut self.full),
            Standing::Connected { has_room } => {
                let of = match output.in_order {
                    None => &mut self.in_any_order,
                    Some(at) => &mut self.in_order[at],
                };
                change(&mut of.all);
                if has_room {
                    change(&mut of.with_room);
                }
            }
        }
    }
}

impl Deref for Changing<'_> {
    type Target = Outbox;

    fn deref(&self) -> &Outbox {
        &self.output.outbox
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Outbox {
        &mut self.output.outbox
    }
}

impl Drop for Changing<'_> {
    #[inline]
    fn drop(&mut self) {
        let now = self.output.stands(self.limits);
        if now != self.output.standing {
            self.outputs.count(self.output, false);
            self.output.standing = now;
            self.outputs.count(self.output, true);
        }
    }
}

#[cfg(test)]
mod tests;
