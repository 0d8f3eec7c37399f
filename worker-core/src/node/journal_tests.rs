//! A node with a journal, killed after every action it asks for, in turn: what its sink holds in the end is always the same.

use super::tests::{line, records};
use super::*;
use crate::config::{
    BatchSpec, LinkSpec, MaxDead, OnError, RecordsSpec, Retry, StreamSpec, TaskKind, Window,
};
use crate::event::{
    Attempt, BatchAction, BatchEvent, Body, Chunk, Commit, ConnAction, Failure, FailureKind, JournalAction,
    LinkAction, LinkEvent, NodeAction, NodeEvent, Output, Printed, RecordsAction, RecordsEvent, Run,
    SinkAction, SinkEvent, SourceAction, SourceEvent, Spent, StreamAction, StreamEvent, StreamStep,
    TaskAction, TaskEvent,
};
use crate::recovery::{HeldOutput, InputState, OutputState, TaskState, WindowState};
use crate::replay::Suppressor;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use worker_proto::{Batch, Epoch, JournalId, Seq};

const SOURCE: TaskId = TaskId(0);
const STAGE: TaskId = TaskId(1);
const SINK: TaskId = TaskId(2);
const INPUT: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn a_batch_stage_killed_anywhere() {
    killed_anywhere(&batch(2), &["A", "B", "C", "D", "E", "F"]);
}

#[test]
fn a_stream_stage_killed_anywhere() {
    let whole = StreamSpec { window: None, early_exit_is_done: false, replay_bytes: 1 << 20 };
    killed_anywhere(&TaskKind::Stream(whole), &["A", "B", "C", "D", "E", "F", "end of 6"]);
}

#[test]
fn a_stream_in_windows_killed_anywhere() {
    let window = Some(Window::Records(2));
    let windows = StreamSpec { window, early_exit_is_done: false, replay_bytes: 1 << 20 };
    let expected = ["A", "B", "end of 2", "C", "D", "end of 2", "E", "F", "end of 2"];
    killed_anywhere(&TaskKind::Stream(windows), &expected);
}

#[test]
fn a_records_stage_killed_anywhere() {
    killed_anywhere(&asked(2), &["A", "B", "C", "D", "E", "F", "end"]);
}

#[test]
fn a_record_that_kills_the_worker_is_dead_lettered_and_no_other() {
    for kind in [batch(6), asked(6)] {
        let mut world = World::new(kind, Durable::AllAppended);
        world.poison = Some("c");
        let mut deaths = 0;
        while !world.live(None) {
            deaths += 1;
            assert!(deaths < 12, "never found");
        }
        let sink: Vec<_> = world.sink.iter().map(String::as_str).filter(|line| *line != "end").collect();
        assert_eq!((sink, world.dead), (vec!["A", "B", "D", "E", "F"], vec!["c".to_owned()]));
    }
}

/// A program answers what came before the deadly record, so that commits and further requests go on until the death comes,
/// which may be between any two actions. Whenever that is, the journal says what was in flight, and it is halved.
#[test]
fn every_death_is_noted_whatever_was_answered_before_it() {
    for in_flight in [6, 4] {
        for grace in 0..60 {
            let mut world = World::new(asked(in_flight), Durable::AllAppended);
            (world.poison, world.grace, world.chunk) = (Some("e"), grace, INPUT.len());
            let (mut deaths, mut most) = (0, in_flight);
            while !world.live(None) {
                let noted = world.recover(STAGE).attempt.records;
                assert!((1..=most).contains(&noted), "{noted} of {most}, {grace} actions before the death");
                (deaths, most) = (deaths + 1, (noted / 2).max(1));
            }
            assert!(
                deaths <= 2 + 3,
                "two halvings of 4 to 7 records leave one, of which three die: {deaths}"
            );
            let left = (world.sink.join(" "), world.dead.join(" "));
            assert_eq!(left, ("A B C D F end".to_owned(), "e".to_owned()), "{grace}");
        }
    }
}

/// Something else kills every other life before it tries anything: the search goes on where it was.
#[test]
fn a_life_that_tries_nothing_forgets_no_suspect() {
    for kind in [batch(6), asked(6)] {
        for at in 0..10 {
            let mut world = World::new(kind.clone(), Durable::AllAppended);
            (world.poison, world.chunk) = (Some("c"), INPUT.len());
            let mut deaths = 0;
            while !world.live(None) {
                deaths += 1;
                assert!(deaths <= 2 + 3, "the others were killed at action {at}");
                world.live(Some(at));
            }
            let sink: Vec<_> = world.sink.iter().map(String::as_str).filter(|line| *line != "end").collect();
            assert_eq!((sink, world.dead), (vec!["A", "B", "D", "E", "F"], vec!["c".to_owned()]), "{at}");
        }
    }
}

#[test]
fn kills_for_other_reasons_condemn_nothing() {
    for at in 1..100 {
        let mut world = World::new(batch(1), Durable::AllAppended);
        // Killed so soon after each start that no life gets anywhere, and at the same moment each time.
        world.hasty = true;
        let early = (0..10).any(|_| world.live(Some(at)));
        world.hasty = false;
        assert!(early || world.live(None), "killed at {at}");
        assert_eq!(world.dead, Vec::<String>::new(), "killed at {at}");
    }
}

#[test]
fn a_drained_node_goes_on_where_it_was() {
    for at in 0..200 {
        let mut world = World::new(batch(2), Durable::Synced);
        world.drain_at = Some(at);
        let done = world.live(None);
        world.drain_at = None;
        assert!(done || world.live(None), "drained at {at}");
        assert_eq!(world.sink.join(" "), "A B C D E F", "drained at {at}");
    }
}

#[test]
fn a_source_that_is_stopped_has_not_ended() {
    let config = line(vec![TaskKind::Source, TaskKind::Sink]);
    let fresh = |at: u32| (TaskId(at), TaskState::fresh(Epoch(1), JournalId(u64::from(at) + 1)));
    let mut node = Node::with_journal(config, Time::ZERO, &[fresh(0), fresh(1)].into());
    node.handle(Time::ZERO, Event::task(SOURCE, SourceEvent::Ended { complete: false }));
    let actions: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Task(_, TaskAction::Journal(JournalAction::Persist(_))))),
        "{actions:?}"
    );
}

#[test]
fn a_node_that_was_finished_waits_for_nobody_but_those_who_ask() {
    let mut config = line(vec![TaskKind::Source, TaskKind::Sink]);
    config.nodes.push("b".into());
    config.graph.tasks[1].node = NodeIx(1);
    let mut state = TaskState::fresh(Epoch(2), JournalId(1));
    // What was acknowledged is not in the journal for sure.
    let held = vec![HeldOutput { first: Seq(1), records: 1, cost: 6 }];
    let (next, end) = (Seq(3), Some(Seq(2)));
    state.outputs.insert(LinkId(0), OutputState { next, through: Seq::ZERO, end, held });
    state.ended = true;
    let mut node = Node::with_journal(config, Time::ZERO, &[(SOURCE, state)].into());
    node.was_finished(Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..10 {
        while let Some(action) = node.poll_action() {
            assert!(!matches!(action, Action::Conn(_, ConnAction::Dial { .. })), "{action:?}");
            if matches!(action, Action::Node(NodeAction::Finished)) {
                return;
            }
        }
        now = node.next_wake().expect("it is not over").0;
        node.handle_wake(now);
    }
    panic!("not over at {now:?}");
}

fn killed_anywhere(kind: &TaskKind, expected: &[&str]) {
    for durable in [Durable::Synced, Durable::AllAppended] {
        for at in 0.. {
            let mut world = World::new(kind.clone(), durable);
            let done = world.live(Some(at));
            // A second death close behind the first, then a life to the end.
            let done = done || world.live(Some(at % 7)) || world.live(None);
            assert!(done, "killed at action {at}: {:?}", world.sink);
            assert_eq!(world.sink, expected, "killed at action {at}, {durable:?} survived");
            if world.actions_of_first_life < at {
                break;
            }
        }
    }
}

fn batch(max_records: u64) -> TaskKind {
    TaskKind::Batch(BatchSpec {
        max_bytes: 1 << 20,
        max_records,
        linger: Duration::ZERO,
        retry: Retry { max_attempts: 2, initial: Duration::from_millis(1), max: Duration::from_millis(1) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(10),
    })
}

fn asked(in_flight: u64) -> TaskKind {
    TaskKind::Records(RecordsSpec {
        in_flight,
        in_flight_bytes: 1 << 20,
        tick: None,
        retry: Retry { max_attempts: 2, initial: Duration::from_millis(1), max: Duration::from_millis(1) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(10),
    })
}

/// What of a journal is there after a death.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Durable {
    /// Only what was synced: a power cut.
    Synced,
    /// All that was appended: a killed process.
    AllAppended,
}

enum Entry {
    Commit(Box<Commit>),
    Note(Attempt),
}

#[derive(Default)]
struct Journal {
    entries: Vec<Entry>,
    synced: usize,
    acknowledged: BTreeMap<LinkId, Seq>,
}

/// Source → stage → sink on one node, with their journals, over several lives.
struct World {
    config: NodeConfig,
    durable: Durable,
    journals: BTreeMap<TaskId, Journal>,
    life: u64,
    sink: Vec<String>,
    dead: Vec<String>,
    /// Running it kills the process.
    poison: Option<&'static str>,
    /// So many actions and events come between its being asked and the death.
    grace: usize,
    drain_at: Option<usize>,
    /// How many records a source reads at once.
    chunk: usize,
    /// Lives are killed before any time passes.
    hasty: bool,
    actions_of_first_life: usize,
}

/// One life's surroundings.
struct Life {
    node: Node,
    now: Time,
    read: usize,
    events: VecDeque<Event>,
    unsynced: VecDeque<(TaskId, crate::event::CommitId)>,
    suppressor: Suppressor,
    fed: u64,
    asked: u64,
    /// The process dies after so many actions and events.
    dies_in: Option<usize>,
    killed: bool,
}

impl World {
    fn new(kind: TaskKind, durable: Durable) -> Self {
        let mut config = line(vec![TaskKind::Source, kind, TaskKind::Sink]);
        // So little that what waits is dropped from memory and read back.
        config.limits.outbox_bytes = 16;
        let journals = [SOURCE, STAGE, SINK].map(|task| (task, Journal::default())).into();
        Self {
            config,
            durable,
            journals,
            life: 0,
            sink: Vec::new(),
            dead: Vec::new(),
            poison: None,
            grace: 0,
            drain_at: None,
            chunk: 1,
            hasty: false,
            actions_of_first_life: 0,
        }
    }

    /// One life, killed before its action number `kill_at`; says whether everything is done.
    fn live(&mut self, kill_at: Option<usize>) -> bool {
        self.life += 1;
        let states: BTreeMap<_, _> = [SOURCE, STAGE, SINK].map(|task| (task, self.recover(task))).into();
        let number = |task| mark_of(&states[&task]);
        self.sink.truncate(number(SINK));
        let mut life = Life {
            read: number(SOURCE),
            node: Node::with_journal(self.config.clone(), Time::ZERO, &states),
            now: Time::ZERO,
            events: VecDeque::new(),
            unsynced: VecDeque::new(),
            suppressor: Suppressor::new([]),
            fed: 0,
            asked: 0,
            dies_in: None,
            killed: false,
        };
        for count in 0..10_000 {
            if self.life == 1 {
                self.actions_of_first_life = count;
            }
            if self.drain_at == Some(count) {
                life.node.handle(life.now, Event::Node(NodeEvent::Drain));
            }
            if kill_at == Some(count) || life.killed || life.dies_in == Some(0) {
                return false;
            }
            life.dies_in = life.dies_in.map(|left| left - 1);
            match life.node.poll_action() {
                Some(Action::Node(NodeAction::Finished)) => {
                    return [SOURCE, STAGE, SINK].iter().all(|&t| life.node.is_done(t));
                }
                Some(Action::Node(NodeAction::Halt { error })) => panic!("{error}"),
                Some(action) => self.act(&mut life, action),
                None => self.wait(&mut life),
            }
        }
        panic!("endless: {:?}", life.node.stalls());
    }

    /// Nothing is to be done: something happens.
    fn wait(&mut self, life: &mut Life) {
        if let Some(event) = life.events.pop_front() {
            life.node.handle(life.now, event);
        } else if let Some((task, commit)) = life.unsynced.pop_front() {
            let journal = self.journals.get_mut(&task).expect("every task has one");
            let is_it = |e: &Entry| matches!(e, Entry::Commit(c) if c.id == commit);
            journal.synced = journal.entries.iter().position(is_it).expect("it was appended") + 1;
            life.node.handle(life.now, Event::Task(task, TaskEvent::Persisted { commit }));
        } else if life.dies_in.is_some() {
            life.killed = true;
        } else {
            life.killed |= self.hasty;
            let (at, _) = life.node.next_wake().unwrap_or_else(|| panic!("stuck: {:?}", life.node.stalls()));
            life.now = life.now.max(at);
            life.node.handle_wake(life.now);
        }
    }

    fn act(&mut self, life: &mut Life, action: Action) {
        match action {
            Action::Link(link, LinkAction::Acknowledged { through }) => {
                let task = self.config.graph.link(link).from;
                self.journal(task).acknowledged.insert(link, through);
            }
            Action::Link(link, LinkAction::Load { first_seq, records, .. }) => {
                let batch = self.tuples(link, first_seq, records);
                life.events.push_back(Event::Link(link, LinkEvent::Loaded { first_seq, batch }));
            }
            Action::Task(task, action) => self.act_for(life, task, action),
            Action::Node(NodeAction::Report(_)) => {}
            Action::Conn(..)
            | Action::Link(..)
            | Action::Node(NodeAction::Halt { .. } | NodeAction::Finished) => {
                panic!("not expected: {action:?}")
            }
        }
    }

    fn act_for(&mut self, life: &mut Life, task: TaskId, action: TaskAction) {
        match action {
            TaskAction::Journal(JournalAction::Persist(commit)) => {
                life.unsynced.push_back((task, commit.id));
                self.dead.extend(commit.dead.iter().map(|d| text(&d.record)));
                self.journal(task).entries.push(Entry::Commit(Box::new(commit)));
            }
            TaskAction::Journal(JournalAction::Note(attempt)) => {
                self.journal(task).entries.push(Entry::Note(attempt))
            }
            TaskAction::Source(SourceAction::Read { chunks }) => {
                for _ in 0..chunks {
                    let chunk = &INPUT[life.read..INPUT.len().min(life.read + self.chunk)];
                    if chunk.is_empty() {
                        life.events.push_back(Event::task(task, SourceEvent::Ended { complete: true }));
                        break;
                    }
                    life.read += chunk.len();
                    let output = with_position(to_link(0, records(chunk)), life.read);
                    life.events.push_back(Event::task(task, SourceEvent::Read { output }));
                }
            }
            TaskAction::Source(SourceAction::Stop | SourceAction::Cancel) => {
                life.events.push_back(Event::task(task, SourceEvent::Ended { complete: false }))
            }
            TaskAction::Sink(SinkAction::Write { work, batches }) => {
                self.sink.extend(batches.iter().flat_map(lines));
                let position = Some(Bytes::from(self.sink.len().to_string()));
                life.events.push_back(Event::task(task, SinkEvent::Written { work, position }));
            }
            TaskAction::Sink(SinkAction::Close) => {
                life.events.push_back(Event::task(task, SinkEvent::Closed))
            }
            TaskAction::Batch(BatchAction::Run(run)) => self.run(life, task, &run),
            TaskAction::Stream(StreamAction::Start { window, replay }) => {
                self.start_stream(life, task, window, replay)
            }
            TaskAction::Stream(StreamAction::Feed { window, batch }) => {
                life.events.push_back(Event::task(task, StreamEvent::Fed { window, cost: batch.cost() }));
                self.feed(life, task, window, &batch);
            }
            TaskAction::Stream(StreamAction::Close { window }) => close_stream(life, task, window),
            TaskAction::Records(RecordsAction::Start { .. }) => life.asked = 0,
            TaskAction::Records(RecordsAction::Request { life: no, batch, .. }) => {
                self.answer(life, task, no, &batch)
            }
            TaskAction::Records(RecordsAction::End { .. }) if life.dies_in.is_some() => {}
            TaskAction::Records(RecordsAction::End { life: no }) => {
                let output = to_link(1, records(&["end"]));
                life.events.push_back(Event::task(
                    task,
                    RecordsEvent::Answered { life: no, records: 0, output, ended: true },
                ));
            }
            TaskAction::Batch(BatchAction::Kill)
            | TaskAction::Stream(StreamAction::Kill)
            | TaskAction::Records(RecordsAction::Kill) => {}
            TaskAction::Records(RecordsAction::Tick { .. }) => panic!("not expected: {action:?}"),
        }
    }

    fn run(&self, life: &mut Life, task: TaskId, run: &Run) {
        let input: Vec<_> = run.input.iter().flat_map(lines).collect();
        life.killed |= self.is_poisoned(&input);
        let output = to_link(1, upper(&input));
        let (work, spent) = (run.work, Spent::default());
        life.events.push_back(Event::task(task, BatchEvent::Done { work, result: Ok(output), spent }));
    }

    fn start_stream(&self, life: &mut Life, task: TaskId, window: u64, replay: bool) {
        (life.fed, life.suppressor) = (0, Suppressor::new([]));
        if replay {
            let (admitted, printed) = self.window(task, window);
            life.suppressor = Suppressor::new(printed);
            for batch in admitted {
                self.feed(life, task, window, &batch);
            }
        }
    }

    fn feed(&self, life: &mut Life, task: TaskId, window: u64, batch: &Batch) {
        life.fed += batch.len() as u64;
        let printed = upper(&lines(batch).collect::<Vec<_>>());
        let fresh = life.suppressor.pass(printed).expect("the same program over the same input");
        if !fresh.is_empty() {
            let output = Output { printed: Some(Printed::of(&fresh)), ..to_link(1, fresh) };
            life.events.push_back(Event::task(task, StreamEvent::Output { window, output }));
        }
    }

    fn answer(&self, life: &mut Life, task: TaskId, no: u64, batch: &Batch) {
        for line in lines(batch) {
            if life.dies_in.is_none() && self.is_poisoned(std::slice::from_ref(&line)) {
                life.dies_in = Some(self.grace);
            }
            // Nothing is answered from the deadly record on.
            if life.dies_in.is_none() {
                let output = to_link(1, upper(&[line]));
                life.asked += 1;
                life.events.push_back(Event::task(
                    task,
                    RecordsEvent::Answered { life: no, records: 1, output, ended: false },
                ));
            }
        }
    }

    fn is_poisoned(&self, input: &[String]) -> bool {
        self.poison.is_some_and(|poison| input.iter().any(|line| line == poison))
    }

    fn journal(&mut self, task: TaskId) -> &mut Journal {
        self.journals.get_mut(&task).expect("every task has one")
    }

    fn commits(&self, task: TaskId) -> impl Iterator<Item = &Commit> {
        self.journals[&task].entries.iter().filter_map(|entry| match entry {
            Entry::Commit(commit) => Some(&**commit),
            Entry::Note(_) => None,
        })
    }

    fn tuples(&self, link: LinkId, first: Seq, records: u64) -> Batch {
        let task = self.config.graph.link(link).from;
        let chunks = self.commits(task).flat_map(|c| &c.outputs).filter(|(_, chunk)| chunk.link == link);
        let wanted = chunks.filter_map(|(at, chunk)| {
            let batch = batch_of(chunk);
            let place = |seq: Seq| {
                usize::try_from(seq.0.saturating_sub(at.0)).map_or(batch.len(), |n| n.min(batch.len()))
            };
            let (from, to) = (place(first), place(first.plus(records)));
            (from < to).then(|| batch.slice(from..to))
        });
        wanted.reduce(|all, next| all.joined(&next)).expect("they were committed")
    }

    fn window(&self, task: TaskId, window: u64) -> (Vec<Batch>, Vec<Printed>) {
        let (mut admitted, mut printed) = (Vec::new(), Vec::new());
        for step in self.commits(task).filter_map(|commit| commit.stream.as_ref()) {
            match step {
                StreamStep::Admit { window: w, batches } if *w == window => admitted.extend(batches.clone()),
                StreamStep::Printed { window: w, printed: p } if *w == window => printed.push(*p),
                StreamStep::Admit { .. }
                | StreamStep::Printed { .. }
                | StreamStep::Cut { .. }
                | StreamStep::Done { .. } => {}
            }
        }
        (admitted, printed)
    }

    /// Cuts what did not survive and sums up the rest.
    fn recover(&mut self, task: TaskId) -> TaskState {
        let (life, durable) = (self.life, self.durable);
        let journal = self.journal(task);
        if durable == Durable::Synced {
            journal.entries.truncate(journal.synced);
        }
        journal.synced = journal.entries.len();
        let mut state = TaskState::fresh(Epoch(life), JournalId(u64::from(task.0) + 1));
        for entry in &self.journals[&task].entries {
            match entry {
                Entry::Note(attempt) => state.attempt = *attempt,
                Entry::Commit(commit) => fold(&mut state, commit, &self.config),
            }
        }
        for (link, output) in &mut state.outputs {
            output.through = self.journals[&task].acknowledged.get(link).copied().unwrap_or_default();
            output.held.retain(|h| h.first.plus(h.records) > output.through.next());
        }
        state
    }
}

fn close_stream(life: &mut Life, task: TaskId, window: u64) {
    let last = records(&[&format!("end of {}", life.fed)]);
    let missing = life.suppressor.missing();
    let result = life.suppressor.pass(last).map(|fresh| to_link(1, fresh)).map_err(|_| diverged());
    let result = if missing > 0 { Err(diverged()) } else { result };
    life.events.push_back(Event::task(task, StreamEvent::Exited { window, result, early: false }));
}

/// The sum of commits, in the simplest way.
fn fold(state: &mut TaskState, commit: &Commit, config: &NodeConfig) {
    state.commits = commit.id.0;
    state.dead += commit.dead.len() as u64;
    state.position = commit.position.clone().or(state.position.take());
    for input in &commit.inputs {
        let known = state.inputs.entry(input.link).or_insert(InputState {
            epoch: input.epoch,
            journal: input.journal,
            through: Seq::ZERO,
            ended: false,
        });
        known.epoch = known.epoch.max(input.epoch);
        known.through = known.through.max(input.through);
        known.ended |= input.ended;
    }
    state.attempt = commit.attempt;
    for (first, chunk) in &commit.outputs {
        let output = state.outputs.entry(chunk.link).or_insert_with(OutputState::fresh);
        let (records, cost) = (chunk.body.records(), batch_of(chunk).cost());
        output.held.push(HeldOutput { first: *first, records, cost });
        output.next = first.plus(records);
    }
    if commit.ended {
        state.ended = true;
        let from = |link: &LinkSpec, id: TaskId| link.from == id;
        for (at, link) in (0_u32..).zip(&config.graph.links) {
            let is_mine = [SOURCE, STAGE].iter().any(|&t| from(link, t) && Some(t) == owner(state));
            if is_mine {
                let output = state.outputs.entry(LinkId(at)).or_insert_with(OutputState::fresh);
                output.end = Some(output.next);
                output.next = output.next.next();
            }
        }
    }
    match &commit.stream {
        Some(StreamStep::Admit { window, batches }) => {
            state.windows = *window;
            let open = state.window.get_or_insert(WindowState { window: *window, ..WindowState::default() });
            open.records += batches.iter().map(|b| b.len() as u64).sum::<u64>();
            open.cost += batches.iter().map(Batch::cost).sum::<u64>();
        }
        Some(StreamStep::Cut { window }) => {
            state.windows = *window;
            state.window.get_or_insert(WindowState { window: *window, ..WindowState::default() }).cut = true;
        }
        Some(StreamStep::Done { .. }) => state.window = None,
        Some(StreamStep::Printed { .. }) | None => {}
    }
}

/// Whose state it is: journals are numbered from 1 by task.
fn owner(state: &TaskState) -> Option<TaskId> {
    u32::try_from(state.journal.0 - 1).ok().map(TaskId)
}

fn mark_of(state: &TaskState) -> usize {
    state.position.as_ref().map_or(0, |position| text(position).parse().expect("a position is a number"))
}

fn with_position(output: Output, position: usize) -> Output {
    Output { position: Some(Bytes::from(position.to_string())), ..output }
}

fn to_link(link: u32, batch: Batch) -> Output {
    let records = batch.len() as u64;
    let chunks = vec![Chunk { link: LinkId(link), body: Body::Memory(batch) }];
    if records == 0 { Output::default() } else { Output { chunks, records, ..Output::default() } }
}

fn upper(input: &[String]) -> Batch {
    let upper: Vec<_> = input.iter().map(|line| line.to_uppercase()).collect();
    records(&upper.iter().map(String::as_str).collect::<Vec<_>>())
}

fn batch_of(chunk: &Chunk) -> Batch {
    match &chunk.body {
        Body::Memory(batch) => batch.clone(),
        Body::Stored { .. } => panic!("nothing is stored here"),
    }
}

fn lines(batch: &Batch) -> impl Iterator<Item = String> {
    (0..batch.len()).map(|i| text(batch.record(i)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn diverged() -> Failure {
    let message = "printed something else".to_owned();
    Failure { kind: FailureKind::Diverged, message, stderr_tail: String::new(), silent: false }
}
