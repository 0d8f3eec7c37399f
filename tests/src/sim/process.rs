//! The loop around one core: inputs in, actions out, done at once or put on the clock.

use super::NodeEnd;
use super::check::{Check, Checked, require};
use super::driver::Later;
use super::world::{Ev, World};
use worker_core::config::TaskId;
use worker_core::event::{
    BatchEvent, Event, LinkEvent, NodeEvent, RecordsEvent, SinkEvent, SourceEvent, StreamEvent, TaskEvent,
};
use worker_proto::Batch;

/// So many inputs and frames may follow from one.
const STEPS_MAX: u64 = 100_000;

impl World {
    /// The law of use: handle an input, drain the actions, fill writable connections, until nothing is left.
    pub(super) fn settle(&mut self, node: usize) -> Checked {
        let mut steps = 0;
        loop {
            steps += 1;
            require(steps < STEPS_MAX, Check::Livelock, || format!("node {node} is never done"))?;
            self.drain_actions(node)?;
            let now = self.time();
            let process = &mut self.nodes[node];
            let Some(core) = &mut process.core else { break };
            if let Some(event) = process.inputs.pop_front() {
                self.trace.note(self.now, format_args!("node {node} <- {event:?}"));
                core.handle(now, event);
            } else if let Some(conn) = process.wakes.pop_front() {
                if let Some(&conn) = process.conns.get(&conn) {
                    self.fill(conn, node)?;
                }
            } else {
                break;
            }
        }
        self.check_sums(node)?;
        self.check_slots(node)?;
        self.check_budgets(node)?;
        self.set_alarm(node);
        Ok(())
    }

    pub(super) fn drain_actions(&mut self, node: usize) -> Checked {
        while let Some(action) = self.nodes[node].core.as_mut().and_then(worker_core::Node::poll_action) {
            self.trace.note(self.now, format_args!("node {node} {action:?}"));
            if self.nodes[node].ghost {
                self.perform_as_ghost(node, action)?;
                continue;
            }
            self.check_admission(node, &action)?;
            self.perform(node, action)?;
            if let Some((actions, for_us, power)) = self.nodes[node].fuse.take() {
                if actions == 0 {
                    self.die(node, false, power)?;
                    self.restart_at(node, self.now + for_us);
                } else if self.nodes[node].core.is_some() {
                    self.nodes[node].fuse = Some((actions - 1, for_us, power));
                }
            }
        }
        Ok(())
    }

    pub(super) fn later(&mut self, node: usize, later: Later) {
        let life = self.nodes[node].life;
        self.at(later.at, Ev::Later { node, life, later: Box::new(later) });
    }

    /// What the observer learns, and the driver notes, before the core hears of something.
    pub(super) fn before_input(
        &mut self,
        node: usize,
        task: Option<TaskId>,
        mut event: Event,
        effects: &[Batch],
    ) -> Checked<Event> {
        let answers = matches!(event, Event::Task(_, TaskEvent::Records(RecordsEvent::Answered { .. })));
        // With a journal a stream's input takes effect when it is admitted.
        let took = self.plan.is_journaled()
            && matches!(event, Event::Task(_, TaskEvent::Stream(StreamEvent::Exited { .. })));
        if let Event::Task(task, TaskEvent::Batch(BatchEvent::Done { result: Ok(_), .. })) = &event {
            self.model.succeeded(*task);
        }
        for (task, batch) in task.into_iter().flat_map(|task| effects.iter().map(move |batch| (task, batch)))
        {
            if answers {
                self.model.answered(task, batch);
            } else if took {
                self.model.took(task, batch);
            } else {
                self.model.effected(task, batch)?;
            }
            self.last_effect_us[task.0 as usize] = self.now;
        }
        let epoch = self.epoch(node);
        match &mut event {
            Event::Task(task, TaskEvent::Sink(SinkEvent::Written { position, .. })) => {
                let batches = self.nodes[node].driver.written(*task);
                if self.plan.is_journaled() {
                    *position = Some(super::fold::position(self.write_file(node, *task, &batches)?));
                }
            }
            Event::Task(task, TaskEvent::Persisted { commit }) => self.model.persisted(*task, epoch, *commit),
            Event::Link(link, LinkEvent::Stored { first_seq, .. }) => {
                let driver = &mut self.nodes[node].driver;
                driver.moved(*link);
                driver.stored.insert((*link, *first_seq), 1);
            }
            Event::Link(link, LinkEvent::Loaded { first_seq, .. }) => {
                let driver = &mut self.nodes[node].driver;
                driver.moved(*link);
                driver.stored.remove(&(*link, *first_seq));
            }
            Event::Node(NodeEvent::PeerKept { peer, version }) => self.peer_kept(node, *peer, *version),
            Event::Conn(..) | Event::Task(..) | Event::Node(_) => {}
        }
        Ok(event)
    }

    /// Notes what a task's driver hands over.
    pub(super) fn hand_over(&mut self, node: usize, event: &Event) -> Checked {
        let Event::Task(task, said) = event else { return Ok(()) };
        let output = match said {
            TaskEvent::Batch(BatchEvent::Done { result: Ok(output), .. })
            | TaskEvent::Stream(
                StreamEvent::Exited { result: Ok(output), .. } | StreamEvent::Output { output, .. },
            )
            | TaskEvent::Records(RecordsEvent::Answered { output, .. })
            | TaskEvent::Source(SourceEvent::Read { output }) => output,
            TaskEvent::Batch(BatchEvent::Done { result: Err(_), .. })
            | TaskEvent::Stream(
                StreamEvent::Fed { .. }
                | StreamEvent::Read { .. }
                | StreamEvent::Exited { result: Err(_), .. },
            )
            | TaskEvent::Records(RecordsEvent::Failed { .. })
            | TaskEvent::Source(SourceEvent::Closing | SourceEvent::Ended { .. })
            | TaskEvent::Sink(_)
            | TaskEvent::Persisted { .. }
            | TaskEvent::Failed { .. }
            | TaskEvent::Blocked { .. }
            | TaskEvent::Pause { .. } => return Ok(()),
        };
        let records = self.nodes[node].driver.records_in(output)?;
        self.model.produced(*task, output, &records);
        Ok(())
    }

    /// After a source's chunk the next is read, if it may.
    pub(super) fn after_chunk(&mut self, node: usize, task: TaskId) {
        if let Some(later) = self.nodes[node].driver.chunk_read(self.now, task) {
            self.later(node, later);
        }
    }

    /// A process ends by itself: last words are written, connections closed in good order.
    pub(super) fn end(&mut self, node: usize, state: NodeEnd) -> Checked {
        if let NodeEnd::Halted(error) = &state {
            self.halts(node, error)?;
        } else {
            self.check_overdue(Some(node))?;
        }
        while let Some(conn) = self.nodes[node].wakes.pop_front() {
            if let Some(&conn) = self.nodes[node].conns.get(&conn) {
                self.flush_last(conn, node)?;
            }
        }
        self.programs_end(node, state == NodeEnd::Finished)?;
        let drained = self.plan.is_journaled() && self.nodes[node].draining && state == NodeEnd::Finished;
        if drained {
            self.restart_soon(node);
        }
        if state == NodeEnd::Finished && !drained {
            let left = self.nodes[node].driver.left_behind();
            let uncommitted: usize = self.own_tasks(node).map(|task| self.model.uncommitted(task)).sum();
            require(left == 0, Check::Store, || {
                format!("node {node} finished and left {left} batches stored")
            })?;
            require(uncommitted == 0, Check::Loss, || {
                format!("node {node} finished without committing {uncommitted} records")
            })?;
        }
        self.trace.note(self.now, format_args!("node {node} ends: {state:?}"));
        self.nodes[node].core = None;
        self.nodes[node].state = state;
        self.nodes[node].inputs.clear();
        self.hang_up(node, None);
        Ok(())
    }

    pub(super) fn own_tasks(&self, node: usize) -> impl Iterator<Item = TaskId> + use<> {
        let tasks: Vec<TaskId> = (0..self.model.graph.tasks.len())
            .map(super::plan::task_id)
            .filter(|&task| usize::from(self.model.graph.task(task).node.0) == node)
            .collect();
        tasks.into_iter()
    }

    /// The process dies at once; a write that was under way may have reached the outside in part.
    pub(super) fn die(&mut self, node: usize, silent: bool, power: bool) -> Checked {
        if self.nodes[node].core.take().is_none() {
            return Ok(());
        }
        self.programs_end(node, false)?;
        for (task, batches) in self.nodes[node].driver.interrupted_writes() {
            for batch in batches {
                let written: Batch = batch.slice(0..self.rng.index(batch.len() + 1));
                if self.plan.is_journaled() {
                    let file = &mut self.disks[node].task(task)?.file;
                    file.extend(written.iter().map(bytes::Bytes::copy_from_slice));
                    if written.len() < batch.len() {
                        break;
                    }
                } else {
                    self.model.effected(task, &written)?;
                }
            }
        }
        self.trace.note(self.now, format_args!("node {node} dies, with its power: {power}"));
        let process = &mut self.nodes[node];
        process.state = NodeEnd::Down;
        process.life += 1;
        process.deaths += 1;
        process.paused = false;
        process.fuse = None;
        process.inputs.clear();
        process.wakes.clear();
        self.forget_backlog(node);
        self.hang_up(node, Some(silent));
        if self.plan.is_journaled() {
            return self.forget_process(node, power);
        }
        self.model.process_died(super::world::small(node));
        Ok(())
    }
}
