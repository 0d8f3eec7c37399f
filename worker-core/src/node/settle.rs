//! After every input: what follows from it, until nothing does.

use super::Node;
use super::uplink::State;
use crate::event::{Action, NodeAction, Report};
use crate::task::stream::Phase as StreamPhase;
use crate::task::{Life, Task, TaskMachine};
use crate::timers::WakeReason;
use std::time::Duration;
use worker_proto::LinkId;
use worker_proto::frame::{BatchFrame, End, GoAway, GoAwayWhy, Open, RefusedWhy};

/// How long a node that has failed waits for peers it is just greeting for the first time: they would never hear of it.
const HALT_PATIENCE: Duration = Duration::from_secs(3);

/// How often at most a node that is done looks whether its peers are gone.
const GOODBYE_CHECK_MIN: Duration = Duration::from_millis(10);

impl Node {
    /// Follows every change to its end: tasks step, local links flow, connections are woken, slots are given out.
    pub(super) fn settle(&mut self) {
        while !self.ctx.is_halted() {
            if let Some(link) = self.ctx.filled.pop() {
                let to = self.ctx.config.graph.link(link).to;
                self.with_task(to, |task, _| task.base.arrived(link));
            } else if let Some((link, first)) = self.ctx.ended.pop() {
                self.link_ended(link, first);
            } else if let Some(open) = self.ctx.lives_heard.pop() {
                let to = self.ctx.config.graph.link(open.link).to;
                self.with_task(to, |task, ctx| task.base.commit_life(ctx, &open));
            } else if let Some(link) = self.ctx.lives_durable.pop() {
                let from = self.ctx.config.graph.task(self.ctx.config.graph.link(link).from).node;
                if let Some(downlink) = self.downlinks.get_mut(&from) {
                    downlink.answer_open(&mut self.ctx, link);
                }
            } else if let Some(link) = self.ctx.cancels.pop() {
                self.cancel_link(link);
            } else if let Some(id) = self.ctx.tasks_due.pop() {
                self.with_task(id, |task, ctx| task.step(ctx));
            } else if let Some(link) = self.ctx.outboxes_due.pop() {
                self.outbox_due(link);
            } else if let Some(link) = self.ctx.inboxes_due.pop() {
                self.inbox_due(link);
            } else if let Some(id) = self.ctx.grant_slot() {
                self.give_slot(id);
            } else if self.ctx.gives_turn() {
                // Nothing else is in flight while it tries its record.
            } else if self.begins_to_leave() {
                self.ctx.leaving = true;
                self.change_all();
            } else if self.is_emptied() && self.goes_on_to_its_end() {
                // Windows were cut, or the node, which has no peers, stops.
            } else {
                break;
            }
        }
        self.check_over();
        #[cfg(debug_assertions)]
        self.check_in_turn();
    }

    fn give_slot(&mut self, id: crate::config::TaskId) {
        let mut used = false;
        self.with_task(id, |task, ctx| {
            if let TaskMachine::Batch(batch) = &mut task.kind {
                used = batch.slot_granted(&mut task.base, ctx);
            }
        });
        if !used {
            self.ctx.slots.release(id);
            self.ctx.no_longer_alone(id);
        }
    }

    fn link_ended(&mut self, link: LinkId, first: bool) {
        let to = self.ctx.config.graph.link(link).to;
        self.with_task(to, |task, ctx| {
            if first {
                task.base.input_ended();
            }
            task.base.finish_end(ctx, link);
        });
    }

    pub(super) fn open_local_links(&mut self) {
        for at in 0..self.ctx.inboxes.len() {
            let Some(link) = self.ctx.inboxes[at].as_ref().map(crate::inbox::Inbox::link) else { continue };
            let ((epoch, journal), receiver) = (self.ctx.sender_life(link), self.ctx.receiver_journal(link));
            let Some(outbox) = self.ctx.outboxes.get(link) else { continue };
            let (first_unacked, next) = (outbox.first_unacked(), outbox.next_seq());
            let open = Open { link, epoch, journal, first_unacked, next };
            let opened = match self.ctx.inbox(link).open(&open, receiver) {
                Ok(opened) => opened,
                Err(refusal) if refusal.why == RefusedWhy::Done => {
                    self.cancel_link(link);
                    continue;
                }
                Err(refusal) => return self.local_link_contradicts(link, &refusal.message),
            };
            let standing = crate::outbox::Standing {
                committed: opened.committed,
                received: opened.received,
                finished: opened.finished,
                credit: opened.credit,
            };
            let opened = self.ctx.outbox(link).open(standing);
            if let Err(error) = opened {
                return self.local_link_contradicts(link, &error.to_string());
            }
        }
    }

    /// Two journals of this node do not belong together: one was replaced or put back from a copy.
    fn local_link_contradicts(&mut self, link: LinkId, why: &str) {
        let graph = &self.ctx.config.graph;
        let (task, link) = (graph.task(graph.link(link).to).name.clone(), graph.link_name(link));
        let why = format!(
            "link {link}: {why}; the state directories of the two tasks do not belong together: put back the one that was \
             replaced, or start over with --fresh"
        );
        self.ctx.fail_task(&task, why);
    }

    fn outbox_due(&mut self, link: LinkId) {
        if self.ctx.is_local(link) {
            self.flow(link);
        } else {
            let to = self.ctx.config.graph.task(self.ctx.config.graph.link(link).to).node;
            if let Some(uplink) = self.uplinks.get_mut(&to) {
                uplink.link_ready(&mut self.ctx, link);
            }
        }
        self.ctx.drain_requests(link);
    }

    /// Moves tuples of a local link from its outbox to its inbox: the same machines, without the wire.
    fn flow(&mut self, link: LinkId) {
        let ((epoch, _), now) = (self.ctx.sender_life(link), self.ctx.now);
        loop {
            let mut outbox = self.ctx.outbox(link);
            let pulled = outbox.pull(u64::MAX);
            let end = match pulled {
                Some(_) => {
                    outbox.sent_at(now);
                    None
                }
                None => outbox.pull_end(),
            };
            drop(outbox);
            if let Some(pulled) = pulled {
                let (first_seq, batch) = (pulled.first_seq, pulled.batch);
                let inbox = self.ctx.inbox(link);
                let was_empty = inbox.is_empty();
                let accepted = inbox.accept(BatchFrame { link, epoch, first_seq, batch });
                debug_assert!(accepted.is_ok(), "a local link keeps the rules: {accepted:?}");
                self.ctx.inbox_filled(link, was_empty);
            } else if let Some(seq) = end {
                let accepted = self.ctx.inbox(link).accept_end(End { link, epoch, seq });
                debug_assert!(accepted.is_ok(), "a local link keeps the rules: {accepted:?}");
                self.ctx.inbox_ended(link, true);
            } else {
                return;
            }
        }
    }

    fn inbox_due(&mut self, link: LinkId) {
        if self.ctx.is_local(link) {
            if let Some(ack) = self.ctx.inbox(link).poll_ack() {
                let now = self.ctx.now;
                let mut outbox = self.ctx.outbox(link);
                let acked = outbox.acked(ack.through, ack.finished, ack.credit);
                debug_assert!(acked.is_ok(), "a local link keeps the rules: {acked:?}");
                outbox.acked_at(now);
                drop(outbox);
                self.ctx.outbox_changed(link);
                self.ctx.sender_changed(link);
            }
        } else {
            self.ctx.keep_credit(link);
            let from = self.ctx.config.graph.task(self.ctx.config.graph.link(link).from).node;
            if let Some(downlink) = self.downlinks.get_mut(&from) {
                downlink.ack_ready(&mut self.ctx, link);
            }
        }
    }

    fn cancel_link(&mut self, link: LinkId) {
        if self.ctx.is_local(link) {
            self.ctx.outbox(link).cancel();
            self.ctx.outbox_changed(link);
            self.ctx.sender_changed(link);
        } else {
            let from = self.ctx.config.graph.task(self.ctx.config.graph.link(link).from).node;
            if let Some(downlink) = self.downlinks.get_mut(&from) {
                downlink.cancel(&mut self.ctx, link);
            }
        }
    }

    pub(super) fn drain(&mut self) {
        self.ctx.draining = true;
        for task in self.tasks.iter_mut().flatten() {
            // Who stops wants what was accepted to be finished.
            task.base.paused = None;
            if self.ctx.planted.is(crate::fault::Bug::DrainDropsInput) {
                task.base.forget_input();
            }
            task.drain(&mut self.ctx);
            self.ctx.task_changed(task.base.id);
        }
    }

    /// The disk that commits go to is full, or has room again.
    pub(super) fn storage_full(&mut self, full: bool) {
        self.ctx.storage_full = full;
        self.change_all();
    }

    pub(super) fn change_all(&mut self) {
        for task in self.tasks.iter().flatten() {
            self.ctx.task_changed(task.base.id);
        }
    }

    /// Whether the node has failed, is finished, or has drained.
    fn check_over(&mut self) {
        if self.over {
            return;
        }
        if let Some(error) = self.ctx.halted.clone() {
            let until = *self.halt_by.get_or_insert(self.ctx.now + HALT_PATIENCE);
            if self.ctx.now < until && self.uplinks.values().any(super::uplink::Uplink::is_first_contact) {
                self.ctx.timers.set(WakeReason::Goodbye, until);
                return;
            }
            // Peers go on with the process that replaced this one.
            let why = if self.ctx.fenced { GoAwayWhy::Superseded } else { GoAwayWhy::Failed };
            let message = error.to_string();
            self.over(&GoAway { why, message }, NodeAction::Halt { error });
            return;
        }
        let done = self.all_done();
        if done && self.goodbyes_said() {
            let message = "finished".to_owned();
            self.over(&GoAway { why: GoAwayWhy::Leaving, message }, NodeAction::Finished);
        } else if done && self.ctx.timers.at(WakeReason::Goodbye).is_none() {
            let at = self.ctx.now + self.ctx.config.linger.max(GOODBYE_CHECK_MIN);
            self.ctx.timers.set(WakeReason::Goodbye, at);
        } else if !done && self.ctx.draining && self.ctx.journaled {
            if self.tasks.iter().flatten().all(crate::task::Task::is_at_rest) && !self.is_acknowledging() {
                let message = "shutting down; it goes on where it was when it is started again".to_owned();
                self.over(&GoAway { why: GoAwayWhy::Leaving, message }, NodeAction::Finished);
            }
        } else if !done && self.ctx.draining && self.has_left() && self.sinks_left() {
            let message = "shutting down; what it accepted is done".to_owned();
            self.over(&GoAway { why: GoAwayWhy::Leaving, message }, NodeAction::Finished);
        }
    }

    /// Whether all tasks are done, which no task ever ceases to be.
    fn all_done(&mut self) -> bool {
        let is_done = |task: &Task| task.base.life == Life::Done;
        while self.tasks.get(self.done).is_some_and(|task| task.as_ref().is_none_or(is_done)) {
            self.done += 1;
        }
        self.done == self.tasks.len()
    }

    /// Closes every connection with a word and does nothing more; what was accepted and not finished is given up.
    pub fn stop(&mut self, now: crate::time::Time) {
        self.at(now);
        if !self.over {
            let message = "its process ends".to_owned();
            self.over(&GoAway { why: GoAwayWhy::Leaving, message }, NodeAction::Finished);
        }
    }

    fn over(&mut self, last_word: &GoAway, action: NodeAction) {
        self.over = true;
        for task in self.tasks.iter_mut().flatten() {
            task.leave(&mut self.ctx);
        }
        self.close_all(last_word);
        self.ctx.act(Action::Node(action));
    }

    fn is_acknowledging(&self) -> bool {
        self.downlinks.values().any(super::downlink::Downlink::is_talking)
    }

    fn goodbyes_said(&self) -> bool {
        let senders_done = self.uplinks.values().all(|u| u.state == State::Done);
        let exit_early = self.ctx.planted.is(crate::fault::Bug::ExitWithoutBye);
        senders_done && (exit_early || self.downlinks.values().all(|d| d.bye && !d.is_talking()))
    }

    /// Everything accepted was processed and acknowledged onward; streams give up what they hold (upstream counts it).
    fn has_left(&self) -> bool {
        self.is_quiet_but(crate::task::Task::is_quiet)
    }

    /// The same but for failures that are undecided: nothing more comes that could prove their stages good.
    fn begins_to_leave(&self) -> bool {
        let leaves = self.ctx.draining && !self.ctx.journaled && !self.ctx.leaving;
        leaves && self.is_quiet_but(crate::task::Task::only_holds_back)
    }

    fn is_quiet_but(&self, is_quiet: fn(&crate::task::Task) -> bool) -> bool {
        let remote_inputs = self.downlinks.values().next().is_some();
        remote_inputs
            && self.tasks.iter().flatten().all(is_quiet)
            && self.ctx.outboxes.iter().all(|o| o.is_settled() && o.ended().is_none_or(|e| o.through() >= e))
            && self.downlinks.values().all(|d| !d.is_talking())
    }

    /// A node that leaves closes its sinks in good order: what they took is finished. Says whether all are closed.
    fn sinks_left(&mut self) -> bool {
        let mut left = true;
        for task in self.tasks.iter_mut().flatten() {
            // What a stream has not said by now is given up: nothing may follow what the sinks are closed with.
            match &mut task.kind {
                // Of a sink: what it has taken is finished when its program has ended well.
                TaskMachine::Stream(stream) if task.base.is_sink() => {
                    stream.finish(&mut task.base, &mut self.ctx);
                    left &= stream.phase() == StreamPhase::Idle;
                }
                TaskMachine::Stream(stream) => stream.abandon(&task.base, &mut self.ctx),
                TaskMachine::Records(records) => records.abandon(&mut task.base, &mut self.ctx),
                TaskMachine::Source(_) | TaskMachine::Batch(_) | TaskMachine::Sink(_) => {}
            }
            if let TaskMachine::Sink(sink) = &mut task.kind {
                left &= sink.leave(&task.base, &mut self.ctx);
            }
        }
        left
    }

    /// All is done but some peer never said goodbye: it is gone.
    pub(super) fn give_up_goodbyes(&mut self) {
        for uplink in self.uplinks.values_mut().filter(|u| u.conn().is_none() && u.state != State::Done) {
            uplink.give_up();
            let peer = self.ctx.node_name(uplink.peer).to_owned();
            self.ctx.act(Report::PeerGone { peer });
        }
        for downlink in self.downlinks.values_mut().filter(|d| d.owner.is_none() && !d.bye) {
            downlink.bye = true;
            let peer = self.ctx.node_name(downlink.peer).to_owned();
            self.ctx.act(Report::PeerGone { peer });
        }
    }
}
