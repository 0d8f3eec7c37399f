//! What carries out a node's actions, sorted by the worker's own dispatch.

use super::NodeEnd;
use super::check::{Check, Checked, Violation, require};
use super::disk::{DiskEntry, WindowKept};
use super::driver::{Later, Next, Reader, Values};
use super::plan::StageKind;
use super::world::World;
use std::sync::Arc;
use worker_bin::runtime::parts::{Carrier, ToJournal, ToSpill, When, dispatch};
use worker_core::Node;
use worker_core::config::{NodeIx, TaskId};
use worker_core::event::{
    Action, BatchAction, Commit, ConnAction, ConnId, DeadLetter, Event, NodeError, RecordsAction, Report,
    SinkAction, SinkEvent, SourceAction, StreamAction, TaskAction, TaskEvent,
};
use worker_core::recovery::PeerState;
use worker_proto::{Epoch, LinkId};

/// One process, while its core is asked for actions.
struct Carrying<'a> {
    world: &'a mut World,
    node: usize,
    ended: Option<Result<(), NodeError>>,
}

impl World {
    pub(super) fn perform(&mut self, node: usize, action: Action) -> Checked {
        let Some(mut core) = self.nodes[node].core.take() else { return Ok(()) };
        let graph = Arc::clone(&self.graph);
        let mut carrying = Carrying { world: self, node, ended: None };
        let result = dispatch(&mut core, &graph, action, &mut carrying);
        let ended = carrying.ended;
        self.nodes[node].core = Some(core);
        result?;
        match ended {
            Some(Ok(())) => self.end(node, NodeEnd::Finished),
            Some(Err(error)) => self.end(node, NodeEnd::Halted(error)),
            None => Ok(()),
        }
    }
}

impl Carrier for Carrying<'_> {
    type Error = Violation;

    fn is_journaled(&self) -> bool {
        self.world.plan.is_journaled()
    }

    fn connection(&mut self, conn: ConnId, action: ConnAction) -> Checked {
        self.world.connection(self.node, conn, action)
    }

    fn work(&mut self, task: TaskId, work: TaskAction, when: When) -> Checked {
        self.world.work(self.node, task, work, when)
    }

    fn dead_lettered(&mut self, _: TaskId, letters: &[DeadLetter]) -> Checked {
        self.world.stats.dead += letters.len() as u64;
        Ok(())
    }

    fn journal(&mut self, task: TaskId, order: ToJournal) -> Checked {
        let (world, node) = (&mut *self.world, self.node);
        match order {
            ToJournal::Commit(commit) => world.append(node, task, commit),
            ToJournal::Note(attempt) => world.add_entry(node, task, DiskEntry::Note(attempt)),
            ToJournal::Acknowledged(link, through) => world.release(node, link, through),
            ToJournal::Load(link, first_seq, records) => world.load_back(node, link, first_seq, records),
            ToJournal::Unstage(place) => world.nodes[node].driver.discard(place),
        }
    }

    fn spill(&mut self, order: ToSpill) -> Checked {
        let (world, node) = (&mut *self.world, self.node);
        require(!world.plan.is_journaled(), Check::Driver, || {
            "something is spilled beside the journal".into()
        })?;
        let at = world.now + world.plan.store_us;
        let driver = &mut world.nodes[node].driver;
        let later = match order {
            ToSpill::Store(link, first_seq, batch) => driver.store(at, link, first_seq, batch),
            ToSpill::Load(link, first_seq, place) => driver.load(at, link, first_seq, place)?,
            ToSpill::Discard(place) => return driver.discard(place),
            ToSpill::KeepDead(task, commit) => {
                Later::of_node(at, Event::Task(task, TaskEvent::Persisted { commit: commit.id }))
            }
        };
        world.stats.stored_max = world.stats.stored_max.max(driver.stored_count());
        world.later(node, later);
        Ok(())
    }

    fn apply_state(&mut self, task: TaskId, commit: &Commit) -> Checked {
        let (world, node) = (&mut *self.world, self.node);
        let mut outputs = Vec::new();
        for (first, chunk) in &commit.outputs {
            outputs.push((chunk.link, *first, world.nodes[node].driver.records_of(&chunk.body)?));
        }
        world.model.commit(task, world.epoch(node), commit, &outputs)?;
        world.check_limits(node, task, commit)
    }

    fn follows(&mut self, core: &mut Node, event: Event) -> Checked {
        let (world, node) = (&mut *self.world, self.node);
        if world.plan.persist_us > 0 {
            // Each on its own time: a later commit may be durable before an earlier one.
            let at = world.now + 1 + world.rng.below(world.plan.persist_us);
            world.later(node, Later::of_node(at, event));
            return Ok(());
        }
        let event = world.before_input(node, None, event, &[])?;
        core.handle(world.time(), event);
        Ok(())
    }

    fn lost(&mut self, link: LinkId, records: u64) -> Checked {
        let (world, node) = (&mut *self.world, self.node);
        let sender = world.graph.task(world.graph.link(link).from).node;
        let by_sender = (usize::from(sender.0) == node).then_some(world.epoch(node));
        world.model.lost(link, by_sender, records)?;
        world.stats.lost += records;
        Ok(())
    }

    fn report(&mut self, report: Report) -> Checked {
        self.world.reported(self.node, &report);
        Ok(())
    }

    fn keep_peer(&mut self, peer: NodeIx, state: PeerState, version: u64) -> Checked {
        let (world, node) = (&mut *self.world, self.node);
        world.keep_peer(node, peer, state, version)
    }

    fn ended(&mut self, result: Result<(), NodeError>) -> Checked {
        self.ended = Some(result);
        Ok(())
    }
}

impl World {
    /// The life of a process, as its links are numbered in memory mode.
    pub(super) fn epoch(&self, node: usize) -> Epoch {
        Epoch(self.nodes[node].config.incarnation.0)
    }

    pub(super) fn connection(&mut self, node: usize, conn: ConnId, action: ConnAction) -> Checked {
        match action {
            ConnAction::Dial { peer } => self.dial(node, conn, usize::from(peer.0)),
            ConnAction::Wake => self.nodes[node].wakes.push_back(conn),
            ConnAction::Close => self.begin_close(node, conn)?,
        }
        Ok(())
    }

    /// Work of a task begins, where it must behind what its journal was asked before.
    fn work(&mut self, node: usize, task: TaskId, work: TaskAction, when: When) -> Checked {
        let kills = matches!(
            work,
            TaskAction::Batch(BatchAction::Kill)
                | TaskAction::Records(RecordsAction::Kill)
                | TaskAction::Stream(StreamAction::Kill)
        );
        if let (true, Some(disk)) = (kills, self.disks.get_mut(self.nodes[node].home)) {
            disk.task(task)?.forget_work();
        }
        // A stream's program asks the journal by itself for what it was given before.
        let replays = matches!(work, TaskAction::Stream(StreamAction::Start { replay: true, .. }));
        let at_once = when == When::AtOnce && !replays;
        if let Some(work) = self.waits_for_writer(node, task, work, at_once)? {
            self.begin(node, task, work)?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, node: usize, task: TaskId, work: TaskAction) -> Checked {
        for later in self.perform_for_task(node, task, work)? {
            self.later(node, later);
        }
        Ok(())
    }

    fn perform_for_task(&mut self, node: usize, task: TaskId, action: TaskAction) -> Checked<Vec<Later>> {
        match action {
            TaskAction::Source(SourceAction::Read { chunks, .. }) => {
                let later = self.nodes[node].driver.permit(self.now, task, chunks)?;
                Ok(later.into_iter().collect())
            }
            TaskAction::Source(action @ (SourceAction::Stop | SourceAction::Cancel)) => {
                self.nodes[node].driver.stop_source(self.now, task, action == SourceAction::Cancel)
            }
            TaskAction::Batch(BatchAction::Run(run)) => {
                run.input.iter().try_for_each(|batch| self.model.given(task, batch))?;
                if !run.input.is_empty() {
                    self.model.given_under(task, run.header.as_ref())?;
                }
                self.model.tried(task, &run)?;
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
            StreamAction::Start { window, replay, header } => {
                self.model.started_under(task, header);
                // In memory mode the core gives it again what it has kept.
                let kept = match self.disks.get_mut(node) {
                    Some(disk) if replay => disk.task(task)?.window(window)?,
                    Some(_) | None => WindowKept::default(),
                };
                driver.stream_start(now, task, window, kept, &mut self.rng)
            }
            StreamAction::Feed { window, batch } => {
                self.model.given(task, &batch)?;
                self.model.fed(task, &batch)?;
                self.model.fed_under(task)?;
                driver.feed(now, task, window, &batch, &mut self.rng)
            }
            StreamAction::Close { window } => {
                Ok(driver.stream_close(now, task, window, &mut self.rng)?.into_iter().collect())
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
            (RecordsAction::Start { .. }, _)
            | (RecordsAction::Tick { .. } | RecordsAction::End { .. } | RecordsAction::Kill, _) => {}
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
                let is_healed = now >= self.plan.heal_us;
                match driver.reader_leaves(task, is_healed, &mut self.rng) {
                    Some(Reader::Goes) => {
                        let event = Event::task(task, SinkEvent::ReaderGone);
                        return Ok(vec![Later { task: task_now, ..Later::of_node(now + 1, event) }]);
                    }
                    Some(Reader::HasGone) => return Ok(Vec::new()),
                    None => {}
                }
                let at = driver.write(now, task, &batches, times)?;
                let event = Event::task(task, SinkEvent::Written { work, position: None });
                Later { at, task: task_now, next: Next::Tell(event, batches) }
            }
            SinkAction::Header { work, header } => {
                let times = self.slow[self.plan.stage_of(task)];
                let at = driver.write(now, task, std::slice::from_ref(&header), times)?;
                let event = Event::task(task, SinkEvent::Written { work, position: None });
                Later { at, task: task_now, next: Next::Tell(event, vec![header]) }
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
}
