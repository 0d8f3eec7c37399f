//! What a node tells about itself.

use super::Node;
use super::uplink::State;
use crate::config::{NodeIx, TaskId};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::stall::{Blocker, Reason, Stall};
use crate::status::{InboundStatus, Latencies, LinkStatus, PeerStatus, Status, TaskStatus, UpstreamStatus};
use crate::task::batch::{BatchTask, Phase as BatchPhase};
use crate::task::records::{Phase as RecordsPhase, RecordsTask};
use crate::task::stream::{Phase as StreamPhase, StreamTask};
use crate::task::{Base, Life, Task, TaskMachine};
use crate::timers::WakeReason;
use std::collections::BTreeMap;
use worker_proto::LinkId;

impl Node {
    /// Counters and queues now.
    #[must_use]
    pub fn status(&self) -> Status {
        let links: Vec<_> =
            (0..).map(LinkId).zip(self.ctx.outboxes.by_link()).filter_map(|(l, o)| Some((l, o?))).collect();
        Status {
            tasks: self.tasks.iter().flatten().map(|t| self.task_status(t)).collect(),
            held_bytes: self.memory_bytes(),
            spilled_bytes: links.iter().map(|(_, o)| o.stored_cost()).sum(),
            shared_credit: self.ctx.shared_credit.state(),
            links: links.into_iter().map(|(link, outbox)| link_status(link, outbox)).collect(),
            peers: self
                .uplinks
                .values()
                .map(|u| PeerStatus {
                    peer: u.peer,
                    up: matches!(u.state, State::Up(_) | State::Farewell(_) | State::Done),
                    failed_attempts: u.failed_attempts(),
                    last_error: u.last_error.clone(),
                    cause: u.cause,
                    down_since: u.down_since,
                })
                .collect(),
            inbound: self.inbound(),
            upstreams: self
                .downlinks
                .values()
                .map(|d| UpstreamStatus { peer: d.peer, up: d.owner.is_some() })
                .collect(),
            storage_full: self.ctx.storage_full,
            draining: self.ctx.draining || self.ctx.is_halted(),
            finishing: self.ctx.finishing,
            drained: self.is_emptied() || (self.ctx.finishing && self.ctx.draining),
            stopped: self.ctx.stopped,
            lost_records: self.ctx.lost,
            slots: (self.ctx.slots.used(), self.ctx.slots.total()),
        }
    }

    fn inbound(&self) -> Vec<InboundStatus> {
        let inboxes = (0_u32..).zip(&self.ctx.inboxes).filter_map(|(at, i)| Some((LinkId(at), i.as_ref()?)));
        inboxes
            .map(|(link, inbox)| InboundStatus { link, counters: inbox.counters(), ended: inbox.has_ended() })
            .collect()
    }

    /// How long acknowledgements took, by the node that gave them; this one for links within it.
    #[must_use]
    pub fn latencies(&self) -> BTreeMap<NodeIx, Latencies> {
        let graph = &self.ctx.config.graph;
        let mut all: BTreeMap<NodeIx, Latencies> = BTreeMap::new();
        for (link, outbox) in graph.links.iter().zip(self.ctx.outboxes.by_link()) {
            if let Some(outbox) = outbox {
                all.entry(graph.task(link.to).node).or_default().merge(outbox.latencies());
            }
        }
        all
    }

    /// Whether the disk that commits go to is full.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        self.ctx.storage_full
    }

    /// Bytes of records held in memory: outboxes, inboxes, batches and what is on its way to stream programs.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let pending: u64 = self.tasks.iter().flatten().map(|t| t.base.pending_cost()).sum();
        let outboxes: u64 = self.ctx.outboxes.iter().map(Outbox::memory_cost).sum();
        let inboxes: u64 = self.ctx.inboxes.iter().flatten().map(Inbox::queue_cost).sum();
        let tasks: u64 = self
            .tasks
            .iter()
            .flatten()
            .map(|t| match &t.kind {
                TaskMachine::Batch(batch) => batch.held_cost(),
                TaskMachine::Stream(stream) => stream.on_the_way(),
                TaskMachine::Records(records) => records.held_cost(),
                TaskMachine::Source(_) | TaskMachine::Sink(_) => 0,
            })
            .sum();
        // In memory mode a commit is durable as soon as it is asked for.
        outboxes + inboxes + tasks + if self.ctx.journaled { pending } else { 0 }
    }

    /// Every task that has work and cannot do it now, with the reasons.
    #[must_use]
    pub fn stalls(&self) -> Vec<Stall> {
        let running = self.tasks.iter().flatten().filter(|t| t.base.life != Life::Done);
        running
            .filter_map(|task| {
                let mut reasons = self.task_reasons(task);
                if reasons.is_empty() {
                    reasons.extend(self.uncommitted(&task.base));
                }
                reasons.extend(self.output_reasons(&task.base));
                reasons.extend(self.input_reasons(&task.base));
                (!reasons.is_empty()).then_some(Stall { task: task.base.id, reasons })
            })
            .collect()
    }

    /// The sending end of a link that starts here.
    #[must_use]
    pub fn outbox(&self, link: LinkId) -> Option<&Outbox> {
        self.ctx.outboxes.get(link)
    }

    /// The receiving end of a link that ends here.
    #[must_use]
    pub fn inbox(&self, link: LinkId) -> Option<&Inbox> {
        self.ctx.inboxes.get(link.0 as usize)?.as_ref()
    }

    /// Whether [`NodeAction::Finished`](crate::event::NodeAction::Finished) or `Halt` was given.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a task of this node has reached its end with everything finished.
    #[must_use]
    pub fn is_done(&self, task: TaskId) -> bool {
        self.tasks.get(task.0 as usize).and_then(Option::as_ref).is_some_and(|t| t.base.life == Life::Done)
    }

    /// Whether what the program of a stream task prints is to be read now: in memory it waits as its receivers do.
    #[must_use]
    pub fn takes_print(&self, task: TaskId) -> bool {
        let task = self.tasks.get(task.0 as usize).and_then(Option::as_ref);
        task.is_none_or(|task| task.base.takes_print(&self.ctx))
    }

    fn task_status(&self, task: &Task) -> TaskStatus {
        let inboxes: u64 = task.base.inputs.iter().map(|&l| self.ctx.inbox_ref(l).queued_records()).sum();
        let unsent: u64 =
            task.base.inputs.iter().filter_map(|&l| self.outbox(l)).map(Outbox::unsent_records).sum();
        let (taken, mut again) = (task.base.counters.records_in, 0);
        // What is at its program, what of that counts as undone, and what is done.
        let (held, undone, done) = match &task.kind {
            TaskMachine::Batch(batch) => (batch.held_records(), batch.held_records(), None),
            TaskMachine::Records(records) => (records.held_records(), records.held_records(), None),
            TaskMachine::Stream(stream) => {
                again = stream.again_records();
                (stream.held_records(), stream.undone_records(), Some(taken.saturating_sub(again)))
            }
            TaskMachine::Source(_) => (0, 0, Some(taken)),
            TaskMachine::Sink(_) => (0, 0, None),
        };
        let done = match done {
            _ if task.base.is_sink() => task.base.counters.records_out,
            Some(done) => done,
            None => taken.saturating_sub(held),
        };
        TaskStatus {
            task: task.base.id,
            counters: task.base.counters,
            before: task.base.before,
            busy: task.base.busy,
            queued_records: inboxes + held + unsent,
            unsent_records: unsent,
            undone_records: inboxes + undone + unsent,
            again_records: again,
            done_records: done,
            ended: task.base.life != Life::Running,
            done: task.base.life == Life::Done,
            paused: task.base.paused.is_some(),
        }
    }

    /// What keeps a task from its work; where it could work and has nothing to do only because something else comes first, that.
    fn task_reasons(&self, task: &Task) -> Vec<Reason> {
        let base = &task.base;
        let waits = base.life == Life::Running && base.paused.is_none() && !base.past_max_dead;
        let turn = base.awaits_turn_of(&self.ctx).filter(|_| waits).map(|link| {
            let inputs = base.inputs.iter();
            let queued_records = inputs.map(|&input| self.ctx.inbox_ref(input).queued_records()).sum();
            Reason::AwaitingTurn { link, queued_records }
        });
        let reasons = self.own_reasons(task);
        let rests = reasons.iter().all(|reason| matches!(reason, Reason::AwaitingEnd { .. }));
        turn.filter(|_| rests).map_or(reasons, |turn| vec![turn])
    }

    fn own_reasons(&self, task: &Task) -> Vec<Reason> {
        let base = &task.base;
        if base.past_max_dead {
            return vec![Reason::DeadLimit {
                dead: base.counters.dead_records,
                records: base.counters.records_in,
            }];
        }
        match &task.kind {
            TaskMachine::Source(source) if source.waits_for_outside() && base.paused.is_none() => {
                let gives_nothing = |reason: &Reason| {
                    let Reason::Blocked(by) = reason else { return false };
                    matches!(by, Blocker::Restarting { .. } | Blocker::ChildStopped { .. })
                };
                vec![blocked(base).filter(gives_nothing).unwrap_or(Reason::SourceIdle)]
            }
            TaskMachine::Source(_) if self.ctx.is_halted() => Vec::new(),
            TaskMachine::Source(_) => self.blocked_or_limited(base),
            TaskMachine::Batch(batch) => self.batch_reasons(base, batch),
            TaskMachine::Stream(stream) => self.stream_reasons(base, stream),
            TaskMachine::Records(records) => self.records_reasons(base, records),
            TaskMachine::Sink(sink) => {
                let writing = sink.writing_since().map(|since| Reason::Writing { since });
                let paused = base.paused.filter(|_| base.life == Life::Running);
                let paused = paused.map(|since| Reason::Paused { since });
                let limited = || self.limited(base);
                blocked(base)
                    .filter(|_| writing.is_some())
                    .or(writing)
                    .or(paused)
                    .or_else(limited)
                    .into_iter()
                    .collect()
            }
        }
    }

    fn batch_reasons(&self, base: &Base, batch: &BatchTask) -> Vec<Reason> {
        match batch.phase() {
            BatchPhase::Idle if base.paused.is_some() => self.blocked(base),
            BatchPhase::Idle if self.limited(base).is_some() => self.limited(base).into_iter().collect(),
            BatchPhase::Idle if batch.gathers() => {
                vec![Reason::Linger { until: self.ctx.timers.at(WakeReason::Linger(base.id)) }]
            }
            BatchPhase::Idle => undecided(batch.undecided_records()),
            BatchPhase::Blocked { .. } => self.blocked(base),
            // When its turn comes it is not taken.
            BatchPhase::Queued { .. } if base.paused.is_some() => self.blocked(base),
            BatchPhase::Queued { .. }
                if !self.ctx.alone.may_begin(base.id) && self.ctx.slots.used() < self.ctx.slots.total() =>
            {
                vec![self.quarantined(base)]
            }
            BatchPhase::Queued { since } => {
                let ahead = self.ctx.slots.ahead_of(base.id).unwrap_or(0);
                let (slots, holders) = (self.ctx.slots.total(), self.ctx.slots.holders());
                vec![Reason::NoSlot { since, ahead, slots, holders }]
            }
            BatchPhase::Running { since, .. } => vec![blocked(base).unwrap_or(Reason::ChildBusy { since })],
            BatchPhase::Backoff { until } => {
                let (attempts, records) = batch.in_hand().unwrap_or((0, 0));
                let why = batch.last_failure().map(|f| f.message.clone()).unwrap_or_default();
                vec![Reason::Backoff { attempts, until, why, records }]
            }
        }
    }

    fn stream_reasons(&self, base: &Base, stream: &StreamTask) -> Vec<Reason> {
        if stream.runs() && !base.takes_print(&self.ctx) {
            return self.blocked(base);
        }
        match stream.phase() {
            StreamPhase::Closing { since } => vec![blocked(base).unwrap_or(Reason::ChildBusy { since })],
            StreamPhase::Fed { .. } if stream.is_full() => {
                let bytes = stream.on_the_way();
                vec![blocked(base).unwrap_or(Reason::ChildNotReading { bytes })]
            }
            StreamPhase::Fed { .. } | StreamPhase::Idle
                if base.has_input(&self.ctx) || base.paused.is_some() =>
            {
                self.blocked_or_limited(base)
            }
            StreamPhase::Fed { .. } if stream.is_behind() => {
                let bytes = stream.unread_bytes();
                vec![blocked(base).unwrap_or(Reason::ChildNotReading { bytes })]
            }
            StreamPhase::Fed { .. } => {
                let waits = || Some(Reason::AwaitingEnd { fed_records: stream.silent_records()? });
                blocked(base).or_else(waits).into_iter().collect()
            }
            StreamPhase::Backoff { until } => {
                let (attempts, why) = stream.failures();
                let records = usize::try_from(stream.fed_records()).unwrap_or(usize::MAX);
                vec![Reason::Backoff { attempts, until, why, records }]
            }
            StreamPhase::Idle => Vec::new(),
        }
    }

    fn records_reasons(&self, base: &Base, records: &RecordsTask) -> Vec<Reason> {
        match records.phase() {
            RecordsPhase::Running { since } | RecordsPhase::Ending { since }
                if records.asked_records() > 0 =>
            {
                vec![blocked(base).unwrap_or(Reason::ChildBusy { since })]
            }
            RecordsPhase::Ending { since } => vec![blocked(base).unwrap_or(Reason::ChildBusy { since })],
            RecordsPhase::Backoff { until } => {
                let (attempts, records_held) = records.in_hand();
                let why = records.last_failure().map(|f| f.message.clone()).unwrap_or_default();
                vec![Reason::Backoff { attempts, until, why, records: records_held }]
            }
            RecordsPhase::Running { .. } | RecordsPhase::Idle => {
                // A record that may have killed the worker is asked about later.
                let (attempts, records_held) = records.in_hand();
                let later = self.ctx.timers.at(WakeReason::Retry(base.id)).filter(|_| records_held > 0);
                match later {
                    _ if base.paused.is_some() => self.blocked(base),
                    _ if self.ctx.alone.waits(base.id) => vec![self.quarantined(base)],
                    Some(until) => {
                        vec![Reason::Backoff { attempts, until, why: String::new(), records: records_held }]
                    }
                    None if base.has_input(&self.ctx) || records_held > 0 => {
                        let blocked = self.blocked_or_limited(base);
                        let waits = blocked.is_empty() && !self.ctx.alone.may_begin(base.id);
                        let turn = waits.then(|| self.quarantined(base));
                        blocked.into_iter().chain(turn).collect()
                    }
                    None => undecided(records.undecided_records()),
                }
            }
        }
    }

    /// A record with which the process died is tried alone: by another task, or by this one once nothing is in flight any more.
    fn quarantined(&self, base: &Base) -> Reason {
        let asks = |task: &&Task| match &task.kind {
            TaskMachine::Records(records) => records.asked_records() > 0,
            TaskMachine::Source(_)
            | TaskMachine::Batch(_)
            | TaskMachine::Stream(_)
            | TaskMachine::Sink(_) => false,
        };
        let tried = match self.ctx.alone.holds_up() {
            Some(other) if other != base.id => vec![other],
            Some(_) | None => {
                let asking = self.tasks.iter().flatten().filter(asks).map(|task| task.base.id);
                self.ctx.slots.holders().into_iter().chain(asking).collect()
            }
        };
        Reason::Quarantined { tried }
    }

    /// What a task waits for that has done all it was given: that this is durable.
    fn uncommitted(&self, base: &Base) -> Option<Reason> {
        let (commits, bytes) = base.pending();
        match (commits, self.ctx.storage_full) {
            (0, _) => None,
            (_, true) => Some(Reason::StorageFull),
            (_, false) => Some(Reason::Committing { commits, bytes }),
        }
    }

    /// The rate of its stage, where the task waits for nothing else.
    fn limited(&self, base: &Base) -> Option<Reason> {
        let (rate, until) = self.ctx.rates.waits(base.id)?;
        let runs = base.life == Life::Running && base.paused.is_none() && !self.ctx.is_halted();
        runs.then_some(Reason::RateLimited { rate, until })
    }

    fn blocked_or_limited(&self, base: &Base) -> Vec<Reason> {
        let blocked = self.blocked(base);
        if blocked.is_empty() { self.limited(base).into_iter().collect() } else { blocked }
    }

    /// Which outputs keep a task from starting new work.
    fn blocked(&self, base: &Base) -> Vec<Reason> {
        if base.life != Life::Running {
            return Vec::new();
        }
        if let Some(since) = base.paused {
            return vec![Reason::Paused { since }];
        }
        if self.ctx.storage_full {
            return vec![Reason::StorageFull];
        }
        if base.may_work(&self.ctx) {
            return Vec::new();
        }
        if base.much_is_pending(&self.ctx) {
            return self.uncommitted(base).into_iter().collect();
        }
        if let Some(full @ Reason::Blocked(Blocker::DiskFull { .. })) = blocked(base) {
            return vec![full];
        }
        let limits = &self.ctx.config.limits;
        let over = base.outputs.iter().map(|&l| (l, self.ctx.outbox_ref(l)));
        let past = over.clone().filter(|(_, o)| o.stored_cost() >= limits.spill_bytes);
        let spilled: Vec<_> = past
            .map(|(link, o)| Reason::SpillLimit {
                link,
                stored_bytes: o.stored_cost(),
                limit_bytes: limits.spill_bytes,
            })
            .collect();
        if !spilled.is_empty() {
            return spilled;
        }
        let fullest = over.max_by_key(|(_, o)| o.memory_cost() + o.stored_cost());
        fullest
            .map(|(link, o)| Reason::OutboxFull {
                link,
                memory_bytes: o.memory_cost(),
                stored_bytes: o.stored_cost(),
                budget_bytes: limits.outbox_bytes + o.shared_room(),
            })
            .into_iter()
            .collect()
    }

    /// Which upstream nodes a task hears nothing of, one reason for each.
    fn input_reasons(&self, base: &Base) -> Vec<Reason> {
        let graph = &self.ctx.config.graph;
        let mut reasons: Vec<Reason> = Vec::new();
        let mut told = Vec::new();
        for &link in base.inputs.iter().filter(|&&l| !self.ctx.inbox_ref(l).has_ended()) {
            let from = graph.task(graph.link(link).from).node;
            match self.downlinks.get(&from) {
                Some(d) if d.owner.is_none() && !d.bye && !told.contains(&from) => {
                    told.push(from);
                    reasons.push(Reason::UpstreamDown {
                        link,
                        peer: from,
                        since: d.down_since,
                        cause: d.cause,
                    });
                }
                Some(_) | None => {}
            }
        }
        reasons
    }

    /// Why tuples that a task has produced do not leave.
    fn output_reasons(&self, base: &Base) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for &link in &base.outputs {
            let outbox = self.ctx.outbox_ref(link);
            let held_records = outbox.held_records();
            if outbox.is_finished() || (held_records == 0 && outbox.ended().is_none()) {
                continue;
            }
            let graph = &self.ctx.config.graph;
            let to = graph.task(graph.link(link).to).node;
            let uplink = self.uplinks.get(&to);
            match uplink {
                Some(u) if !matches!(u.state, State::Up(_) | State::Farewell(_) | State::Done) => {
                    reasons.push(Reason::PeerDown {
                        link,
                        peer: to,
                        since: u.down_since,
                        cause: u.cause,
                        why: u.last_error.clone(),
                        attempts: u.failed_attempts(),
                        next: self.ctx.timers.at(WakeReason::Redial(to)),
                        held_records,
                    });
                }
                Some(_) | None if held_records == 0 => {}
                Some(_) if !outbox.is_open() => reasons.push(Reason::NotOpen { link, held_records }),
                Some(_) | None if outbox.waits_for_credit() => {
                    reasons.push(Reason::NoCredit { link, held_records });
                }
                Some(_) | None if outbox.waits_for_acknowledgement() => {
                    reasons.push(Reason::Unacknowledged { link, held_records });
                }
                Some(_) | None => {}
            }
        }
        reasons
    }
}

/// What the task's driver sees in its way.
fn undecided(records: usize) -> Vec<Reason> {
    if records > 0 { vec![Reason::Undecided { records }] } else { Vec::new() }
}

fn blocked(base: &Base) -> Option<Reason> {
    base.blocker.clone().map(Reason::Blocked)
}

fn link_status(link: LinkId, outbox: &Outbox) -> LinkStatus {
    LinkStatus { link, counters: outbox.counters(), open: outbox.is_open() }
}
