//! A source, a stage and a sink with their journals, and a driver that can be killed between any two actions.

use super::*;

/// What of a journal is there after a death.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Durable {
    /// Only what was synced: a power cut.
    Synced,
    /// All that was appended: a killed process.
    AllAppended,
}

pub(super) enum Entry {
    Commit(Box<Commit>),
    Note(Attempt),
}

#[derive(Default)]
pub(super) struct Journal {
    pub(super) entries: Vec<Entry>,
    pub(super) synced: usize,
    pub(super) acknowledged: BTreeMap<LinkId, Seq>,
}

/// Source → stage → sink on one node, with their journals, over several lives.
pub(super) struct World {
    pub(super) config: NodeConfig,
    pub(super) durable: Durable,
    pub(super) journals: BTreeMap<TaskId, Journal>,
    pub(super) life: u64,
    pub(super) sink: Vec<String>,
    pub(super) dead: Vec<String>,
    /// Running it kills the process.
    pub(super) poison: Option<&'static str>,
    /// So many actions and events come between its being asked and the death.
    pub(super) grace: usize,
    pub(super) drain_at: Option<usize>,
    /// How many records a source reads at once.
    pub(super) chunk: usize,
    /// Lives are killed before any time passes.
    pub(super) hasty: bool,
    pub(super) actions_of_first_life: usize,
}

/// One life's surroundings.
pub(super) struct Life {
    pub(super) node: Node,
    pub(super) now: Time,
    pub(super) read: usize,
    pub(super) events: VecDeque<Event>,
    pub(super) unsynced: VecDeque<(TaskId, crate::event::CommitId)>,
    pub(super) suppressor: Suppressor,
    pub(super) fed: u64,
    pub(super) asked: u64,
    /// The process dies after so many actions and events.
    pub(super) dies_in: Option<usize>,
    pub(super) killed: bool,
}

impl World {
    pub(super) fn new(kind: TaskKind, durable: Durable) -> Self {
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
    pub(super) fn live(&mut self, kill_at: Option<usize>) -> bool {
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
    pub(super) fn wait(&mut self, life: &mut Life) {
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

    pub(super) fn act(&mut self, life: &mut Life, action: Action) {
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
            | Action::Node(NodeAction::Halt { .. } | NodeAction::KeepPeer { .. } | NodeAction::Finished) => {
                panic!("not expected: {action:?}")
            }
        }
    }

    pub(super) fn act_for(&mut self, life: &mut Life, task: TaskId, action: TaskAction) {
        match action {
            TaskAction::Journal(JournalAction::Persist(commit)) => {
                life.unsynced.push_back((task, commit.id));
                self.dead.extend(commit.dead.iter().map(|d| text(&d.record)));
                self.journal(task).entries.push(Entry::Commit(Box::new(commit)));
            }
            TaskAction::Journal(JournalAction::Note(attempt)) => {
                self.journal(task).entries.push(Entry::Note(attempt))
            }
            TaskAction::Source(SourceAction::Read { chunks, .. }) => {
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
            TaskAction::Stream(StreamAction::Start { window, replay, .. }) => {
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
            TaskAction::Records(RecordsAction::Tick { .. }) | TaskAction::Sink(SinkAction::Header { .. }) => {
                panic!("not expected: {action:?}")
            }
        }
    }

    pub(super) fn run(&self, life: &mut Life, task: TaskId, run: &Run) {
        let input: Vec<_> = run.input.iter().flat_map(lines).collect();
        life.killed |= self.is_poisoned(&input);
        let output = to_link(1, upper(&input));
        let (work, spent) = (run.work, Spent::default());
        life.events.push_back(Event::task(task, BatchEvent::Done { work, result: Ok(output), spent }));
    }

    pub(super) fn start_stream(&self, life: &mut Life, task: TaskId, window: u64, replay: bool) {
        (life.fed, life.suppressor) = (0, Suppressor::new([]));
        if replay {
            let (admitted, printed) = self.window(task, window);
            life.suppressor = Suppressor::new(printed);
            for batch in admitted {
                self.feed(life, task, window, &batch);
            }
        }
    }

    pub(super) fn feed(&self, life: &mut Life, task: TaskId, window: u64, batch: &Batch) {
        life.fed += batch.len() as u64;
        let printed = upper(&lines(batch).collect::<Vec<_>>());
        let fresh = life.suppressor.pass(printed).expect("the same program over the same input");
        if !fresh.is_empty() {
            let output = Output { printed: Some(Printed::of(&fresh)), ..to_link(1, fresh) };
            life.events.push_back(Event::task(task, StreamEvent::Output { window, output }));
        }
    }

    pub(super) fn answer(&self, life: &mut Life, task: TaskId, no: u64, batch: &Batch) {
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

    pub(super) fn is_poisoned(&self, input: &[String]) -> bool {
        self.poison.is_some_and(|poison| input.iter().any(|line| line == poison))
    }

    pub(super) fn journal(&mut self, task: TaskId) -> &mut Journal {
        self.journals.get_mut(&task).expect("every task has one")
    }

    pub(super) fn commits(&self, task: TaskId) -> impl Iterator<Item = &Commit> {
        self.journals[&task].entries.iter().filter_map(|entry| match entry {
            Entry::Commit(commit) => Some(&**commit),
            Entry::Note(_) => None,
        })
    }

    pub(super) fn tuples(&self, link: LinkId, first: Seq, records: u64) -> Batch {
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

    pub(super) fn window(&self, task: TaskId, window: u64) -> (Vec<Batch>, Vec<Printed>) {
        let (mut admitted, mut printed) = (Vec::new(), Vec::new());
        for step in self.commits(task).filter_map(|commit| commit.stream.as_ref()) {
            match step {
                StreamStep::Admit { window: w, pieces } if *w == window => {
                    admitted.extend(pieces.iter().map(|piece| piece.batch.clone()));
                }
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
    pub(super) fn recover(&mut self, task: TaskId) -> TaskState {
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

pub(super) fn close_stream(life: &mut Life, task: TaskId, window: u64) {
    let last = records(&[&format!("end of {}", life.fed)]);
    let missing = life.suppressor.missing();
    let result = life.suppressor.pass(last).map(|fresh| to_link(1, fresh)).map_err(|_| diverged());
    let result = if missing > 0 { Err(diverged()) } else { result };
    life.events.push_back(Event::task(task, StreamEvent::Exited { window, result, early: false }));
}

/// The sum of commits, in the simplest way.
pub(super) fn fold(state: &mut TaskState, commit: &Commit, config: &NodeConfig) {
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
        Some(StreamStep::Admit { window, pieces }) => {
            state.windows = *window;
            let open = state.window.get_or_insert(WindowState { window: *window, ..WindowState::default() });
            open.records += pieces.iter().map(|piece| piece.batch.len() as u64).sum::<u64>();
            open.cost += pieces.iter().map(|piece| piece.batch.cost()).sum::<u64>();
        }
        Some(StreamStep::Cut { window }) => {
            state.windows = *window;
            state.window.get_or_insert(WindowState { window: *window, ..WindowState::default() }).cut = true;
        }
        Some(StreamStep::Done { .. }) => state.window = None,
        Some(StreamStep::Printed { window, printed }) => {
            let open = state.window.get_or_insert(WindowState { window: *window, ..WindowState::default() });
            open.printed_records += printed.records;
        }
        None => {}
    }
}

/// Whose state it is: journals are numbered from 1 by task.
pub(super) fn owner(state: &TaskState) -> Option<TaskId> {
    u32::try_from(state.journal.0 - 1).ok().map(TaskId)
}

pub(super) fn mark_of(state: &TaskState) -> usize {
    state.position.as_ref().map_or(0, |position| text(position).parse().expect("a position is a number"))
}

pub(super) fn with_position(output: Output, position: usize) -> Output {
    Output { position: Some(Bytes::from(position.to_string())), ..output }
}

pub(super) fn to_link(link: u32, batch: Batch) -> Output {
    let records = batch.len() as u64;
    let chunks = vec![Chunk { link: LinkId(link), body: Body::Memory(batch) }];
    if records == 0 { Output::default() } else { Output { chunks, records, ..Output::default() } }
}

pub(super) fn upper(input: &[String]) -> Batch {
    let upper: Vec<_> = input.iter().map(|line| line.to_uppercase()).collect();
    records(&upper.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn batch_of(chunk: &Chunk) -> Batch {
    match &chunk.body {
        Body::Memory(batch) => batch.clone(),
        Body::Stored { .. } => panic!("nothing is stored here"),
    }
}

pub(super) fn lines(batch: &Batch) -> impl Iterator<Item = String> {
    (0..batch.len()).map(|i| text(batch.record(i)))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

pub(super) fn diverged() -> Failure {
    let message = "printed something else".to_owned();
    Failure { kind: FailureKind::Diverged, message, stderr_tail: String::new(), silent: false }
}
