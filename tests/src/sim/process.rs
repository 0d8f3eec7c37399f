//! The loop around one core: inputs in, actions out, done at once or put on the clock.

use super::NodeEnd;
use super::check::{Check, Checked, Violation, require};
use super::disk::{DiskEntry, WindowKept};
use super::driver::{Later, Next, Values};
use super::model::LinkTruth;
use super::plan::{StageKind, link_id};
use super::world::{Ev, World};
use worker_core::Node;
use worker_core::config::{LinkSpec, TaskId};
use worker_core::event::{
    Action, BatchAction, BatchEvent, Commit, ConnAction, Event, JournalAction, LinkAction, LinkEvent,
    NodeAction, RecordsAction, RecordsEvent, SinkAction, SinkEvent, SourceAction, SourceEvent, StreamAction,
    StreamEvent, TaskAction, TaskEvent,
};
use worker_proto::{Batch, Epoch, LinkId};

/// No record of a simulated source, with all that stages add to it, costs more.
const RECORD_BYTES_MAX: u64 = 330;

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

    fn perform(&mut self, node: usize, action: Action) -> Checked {
        match action {
            Action::Conn(conn, ConnAction::Dial { peer }) => self.dial(node, conn, usize::from(peer.0)),
            Action::Conn(conn, ConnAction::Wake) => self.nodes[node].wakes.push_back(conn),
            Action::Conn(conn, ConnAction::Close) => self.begin_close(node, conn)?,
            Action::Link(link, action) => self.perform_for_link(node, link, action)?,
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                if self.plan.is_journaled() {
                    self.append(node, task, commit)?;
                } else {
                    self.persist(node, task, &commit)?;
                }
            }
            Action::Task(task, TaskAction::Journal(JournalAction::Note(attempt))) => {
                self.add_entry(node, task, DiskEntry::Note(attempt))?;
            }
            Action::Task(task, action) => self.work(node, task, action)?,
            Action::Node(NodeAction::Report(_)) => {}
            Action::Node(NodeAction::Halt { error }) => self.end(node, NodeEnd::Halted(error))?,
            Action::Node(NodeAction::Finished) => self.end(node, NodeEnd::Finished)?,
        }
        Ok(())
    }

    fn perform_for_link(&mut self, node: usize, link: LinkId, action: LinkAction) -> Checked {
        match action {
            LinkAction::Acknowledged { through } => self.release(node, link, through)?,
            LinkAction::Load { first_seq, records, .. } if self.plan.is_journaled() => {
                self.load_back(node, link, first_seq, records)?;
            }
            LinkAction::Store { .. } if self.plan.is_journaled() => {
                let name = self.model.graph.link_name(link);
                return Err(Violation::new(Check::Driver, format!("{name}: a store beside the journal")));
            }
            LinkAction::Store { first_seq, batch } => {
                let at = self.now + self.plan.store_us;
                let later = self.nodes[node].driver.store(at, link, first_seq, batch);
                self.later(node, later);
                let stored = self.nodes[node].driver.stored_count();
                self.stats.stored_max = self.stats.stored_max.max(stored);
            }
            LinkAction::Load { first_seq, place, .. } => {
                let at = self.now + self.plan.store_us;
                let later = self.nodes[node].driver.load(at, link, first_seq, place)?;
                self.later(node, later);
            }
            LinkAction::Discard { place } => self.nodes[node].driver.discard(place)?,
            LinkAction::Lost { records } => {
                let epoch = Epoch(self.nodes[node].config.incarnation.0);
                let sender = self.model.graph.task(self.model.graph.link(link).from).node;
                let by_sender = (usize::from(sender.0) == node).then_some(epoch);
                self.model.lost(link, by_sender, records)?;
                self.stats.lost += records;
            }
        }
        Ok(())
    }

    /// Work of a task begins, where it must behind what its journal was asked before.
    fn work(&mut self, node: usize, task: TaskId, work: TaskAction) -> Checked {
        let at_once = match &work {
            TaskAction::Batch(BatchAction::Run(_))
            | TaskAction::Records(
                RecordsAction::Start { .. }
                | RecordsAction::Request { .. }
                | RecordsAction::Tick { .. }
                | RecordsAction::End { .. },
            )
            | TaskAction::Stream(StreamAction::Start { replay: true, .. }) => false,
            TaskAction::Batch(BatchAction::Kill)
            | TaskAction::Records(RecordsAction::Kill)
            | TaskAction::Stream(StreamAction::Kill) => {
                if let Some(disk) = self.disks.get_mut(self.nodes[node].home) {
                    disk.task(task)?.forget_work();
                }
                true
            }
            TaskAction::Stream(_) | TaskAction::Source(_) | TaskAction::Sink(_) | TaskAction::Journal(_) => {
                true
            }
        };
        if let Some(work) = self.waits_for_writer(node, task, work, at_once)? {
            for later in self.perform_for_task(node, task, work)? {
                self.later(node, later);
            }
        }
        Ok(())
    }

    pub(super) fn perform_for_task(
        &mut self,
        node: usize,
        task: TaskId,
        action: TaskAction,
    ) -> Checked<Vec<Later>> {
        match action {
            TaskAction::Source(SourceAction::Read { chunks }) => {
                let later = self.nodes[node].driver.permit(self.now, task, chunks)?;
                Ok(later.into_iter().collect())
            }
            TaskAction::Source(SourceAction::Stop) => {
                Ok(self.nodes[node].driver.stop_source(self.now, task)?.into_iter().collect())
            }
            TaskAction::Batch(BatchAction::Run(run)) => {
                run.input.iter().try_for_each(|batch| self.model.given(task, batch))?;
                let driver = &mut self.nodes[node].driver;
                let later = driver.run(self.now, task, run, &mut self.rng)?;
                let (runs, slots) = (driver.runs, self.plan.slots);
                require(runs <= slots, Check::Slots, || format!("{runs} children on {slots} slots"))?;
                Ok(vec![later])
            }
            TaskAction::Stream(action) => self.perform_for_stream(node, task, action),
            TaskAction::Records(action) => self.perform_for_records(node, task, action),
            TaskAction::Sink(action) => self.perform_for_sink(node, task, action),
            TaskAction::Batch(BatchAction::Kill) => self.kill(node, task),
            TaskAction::Journal(_) => Err(Violation::new(Check::Driver, "a journal is no program")),
        }
    }

    fn perform_for_stream(&mut self, node: usize, task: TaskId, action: StreamAction) -> Checked<Vec<Later>> {
        let (now, driver) = (self.now, &mut self.nodes[node].driver);
        match action {
            StreamAction::Start { window, replay } => {
                let kept =
                    if replay { self.disks[node].task(task)?.window(window)? } else { WindowKept::default() };
                driver.stream_start(now, task, window, kept, &mut self.rng)
            }
            StreamAction::Feed { window, batch } => {
                self.model.given(task, &batch)?;
                driver.feed(now, task, window, &batch, &mut self.rng)
            }
            StreamAction::Close { window } => {
                Ok(driver.stream_close(now, task, window)?.into_iter().collect())
            }
            StreamAction::Kill => self.kill(node, task),
        }
    }

    fn perform_for_records(
        &mut self,
        node: usize,
        task: TaskId,
        action: RecordsAction,
    ) -> Checked<Vec<Later>> {
        let stage = &self.plan.stages[self.plan.stage_of(task)];
        let mut truth = Values::new();
        match (&action, &stage.kind) {
            (RecordsAction::Start { .. }, StageKind::Records { program, .. }) => {
                truth = self.model.values(task, *program, stage.by.as_ref());
            }
            (RecordsAction::Request { batch, .. }, _) => self.model.given(task, batch)?,
            (_, _) => {}
        }
        self.nodes[node].driver.records(self.now, task, action, truth, &mut self.rng)
    }

    fn perform_for_sink(&mut self, node: usize, task: TaskId, action: SinkAction) -> Checked<Vec<Later>> {
        let (now, driver) = (self.now, &mut self.nodes[node].driver);
        let task_now = Some((task, driver.generation(task)));
        Ok(vec![match action {
            SinkAction::Write { work, batches } => {
                batches.iter().try_for_each(|batch| self.model.given(task, batch))?;
                let times = self.slow[self.plan.stage_of(task)];
                let at = driver.write(now, task, &batches, times)?;
                let event = Event::task(task, SinkEvent::Written { work, position: None });
                Later { at, task: task_now, next: Next::Tell(event, batches) }
            }
            SinkAction::Close => {
                let event = Event::task(task, SinkEvent::Closed);
                Later { task: task_now, ..Later::of_node(now + 1, event) }
            }
        }])
    }

    fn kill(&mut self, node: usize, task: TaskId) -> Checked<Vec<Later>> {
        self.nodes[node].driver.kill(task)?;
        Ok(Vec::new())
    }

    pub(super) fn later(&mut self, node: usize, later: Later) {
        let life = self.nodes[node].life;
        self.at(later.at, Ev::Later { node, life, later });
    }

    fn persist(&mut self, node: usize, task: TaskId, commit: &Commit) -> Checked {
        let epoch = Epoch(self.nodes[node].config.incarnation.0);
        let mut outputs = Vec::new();
        for (first, chunk) in &commit.outputs {
            outputs.push((chunk.link, *first, self.nodes[node].driver.records_of(&chunk.body)?));
        }
        self.stats.dead += commit.dead.len() as u64;
        self.model.commit(task, epoch, commit, &outputs)?;
        let event = Event::Task(task, TaskEvent::Persisted { commit: commit.id });
        if self.plan.persist_us == 0 {
            self.model.persisted(task, epoch, commit.id);
            self.nodes[node].inputs.push_back(event);
        } else {
            // Each on its own time: a later commit may be durable before an earlier one.
            let at = self.now + 1 + self.rng.below(self.plan.persist_us);
            self.later(node, Later::of_node(at, event));
        }
        Ok(())
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
        for (task, batch) in task.into_iter().flat_map(|task| effects.iter().map(move |batch| (task, batch)))
        {
            if answers {
                self.model.answered(task, batch);
            } else {
                self.model.effected(task, batch)?;
            }
            self.last_effect_us[task.0 as usize] = self.now;
        }
        let epoch = Epoch(self.nodes[node].config.incarnation.0);
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
            | TaskEvent::Stream(StreamEvent::Fed { .. } | StreamEvent::Exited { result: Err(_), .. })
            | TaskEvent::Records(RecordsEvent::Failed { .. })
            | TaskEvent::Source(SourceEvent::Ended { .. })
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

    /// The core's own count is right; a planted bug is for the other rules to find.
    fn check_sums(&self, node: usize) -> Checked {
        let (Some(core), None, None) = (&self.nodes[node].core, self.plan.bug, self.plan.disk.bug) else {
            return Ok(());
        };
        core.check().map_err(|wrong| Violation::new(Check::Sums, format!("node {node}: {wrong}")))
    }

    /// I7: what a node holds, by its own count and by what the observer sees, stays within its budgets.
    fn check_budgets(&mut self, node: usize) -> Checked {
        let Some(core) = &self.nodes[node].core else { return Ok(()) };
        if self.nodes[node].ghost {
            return Ok(());
        }
        let limits = self.plan.limits;
        let mut budget: u64 = self.own_tasks(node).map(|task| self.task_budget(task)).sum();
        if self.plan.is_journaled() {
            // Half a budget of outputs may wait to be durable, and what was begun before that adds to it.
            budget += self
                .own_tasks(node)
                .map(|task| limits.outbox_bytes / 2 + 5 * self.largest_commit[task.0 as usize])
                .sum::<u64>();
        }
        for (at, (truth, spec)) in self.model.links.iter().zip(&self.model.graph.links).enumerate() {
            let is_here = |task| usize::from(self.model.graph.task(task).node.0) == node;
            if is_here(spec.from) {
                budget += self.check_outbox(core, link_id(at), truth)?;
            }
            if is_here(spec.to) {
                budget += limits.credit_bytes + RECORD_BYTES_MAX;
                self.check_inbox(truth, *spec)?;
            }
        }
        // Outputs that wait for their commit are not in an outbox yet.
        let held = if self.plan.persist_us == 0 { core.memory_bytes() } else { 0 };
        require(held <= budget, Check::Memory, || {
            format!("node {node} holds {held} bytes, its limits allow {budget}")
        })
    }

    /// What an outbox has in memory, by its documented limits; gives the most it may have there at all.
    ///
    /// However much credit there is, what stays in memory is the budget, or one entry that came while it was empty; the entry
    /// at the cursor, read back to be sent; and the last entry while it is small, at most a quarter of the budget. An entry
    /// is one output, or outputs joined while they are small. On its way outside may be half a budget, past which no work
    /// begins, and what was begun before: four chunks that a source reads ahead, at most. What makes room for a chunk by
    /// leaving only changes from one sum to the other.
    fn check_outbox(&self, core: &Node, link: LinkId, truth: &LinkTruth) -> Checked<u64> {
        let (budget, largest) = (self.plan.limits.outbox_bytes, truth.largest_output);
        let stays = budget.max(largest) + largest.max(budget / 4) + budget / 4;
        let held = core.outbox(link).map_or(0, |outbox| outbox.memory_cost() - outbox.storing_cost());
        require(held <= stays, Check::Memory, || {
            let name = self.model.graph.link_name(link);
            format!("{name}: {held} bytes stay in its outbox, its limits allow {stays}")
        })?;
        Ok(stays + budget / 2 + 4 * largest)
    }

    /// What reached the receiver and was not given to its program, as seen from outside.
    fn check_inbox(&self, truth: &LinkTruth, spec: LinkSpec) -> Checked {
        let ended = truth.local || truth.cancelled || self.model.tasks[spec.to.0 as usize].ended;
        let most = self.plan.limits.credit_bytes + RECORD_BYTES_MAX + self.task_budget(spec.to);
        let held = truth.lives.values().map(|life| life.cost(life.given, life.received)).max().unwrap_or(0);
        require(held <= most || ended, Check::Memory, || {
            let name = &self.model.graph.task(spec.to).name;
            format!("{name}: holds {held} bytes of one link, its limits allow {most}")
        })
    }

    /// What a task may hold beside its links: a batch at work and one being formed, or what is on its way to a stream.
    fn task_budget(&self, task: TaskId) -> u64 {
        match &self.plan.stages[self.plan.stage_of(task)].kind {
            StageKind::Batch { spec, .. } => 2 * (spec.max_bytes + RECORD_BYTES_MAX),
            StageKind::Stream { .. } => 1024 * 1024 + 256 * 1024,
            StageKind::Records { spec, .. } => 2 * (spec.in_flight_bytes + RECORD_BYTES_MAX),
            StageKind::Sink { .. } | StageKind::Source { .. } => 0,
        }
    }

    /// A process ends by itself: last words are written, connections closed in good order.
    fn end(&mut self, node: usize, state: NodeEnd) -> Checked {
        if let NodeEnd::Halted(error) = &state {
            require(self.plan.halts, Check::Halt, || format!("node {node}: {error}"))?;
        }
        while let Some(conn) = self.nodes[node].wakes.pop_front() {
            if let Some(&conn) = self.nodes[node].conns.get(&conn) {
                self.flush_last(conn, node)?;
            }
        }
        let drained = self.plan.is_journaled() && self.nodes[node].draining;
        if drained {
            self.restart_soon(node);
        }
        if state == NodeEnd::Finished && !drained {
            let left = self.nodes[node].driver.left_behind();
            let uncommitted: usize = self.own_tasks(node).map(|task| self.model.uncommitted(task)).sum();
            require(left == 0, Check::Store, || {
                format!("node {node} finished and left {left} batches stored")
            })?;
            require(uncommitted == 0 || self.plan.drain_at.is_some(), Check::Loss, || {
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
