//! A model of the journal, which does random things to both.

use super::*;
use crate::record::{BodyHead, Location, Span};
use std::collections::{BTreeMap, VecDeque};
use worker_core::rng::Rng;

pub(super) const LINKS: [u32; 2] = [1, 2];

pub(super) fn identity() -> Identity {
    let outputs = LINKS.map(LinkId).to_vec();
    Identity { task: "a/0".to_owned(), fingerprint: Fingerprint(1), outputs, new_id: JournalId(7) }
}

/// Segments so small that everything about them happens.
pub(super) fn tiny() -> Settings {
    Settings { first_segment_bytes: 1024, segment_bytes_max: 4096 }
}

/// Every position, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AllPositions(pub(super) Vec<u8>);

impl Fold for AllPositions {
    fn apply(&mut self, position: &[u8]) {
        self.0.extend_from_slice(position);
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        // Only the newest positions: what is told apart must stay small.
        let from = self.0.len().saturating_sub(40);
        self.0[from..].chunks(16).for_each(chunk);
    }

    fn restore(&mut self, chunk: &[u8]) {
        self.apply(chunk);
    }
}

/// What the journal must say after each commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) commits: u64,
    pub(super) through: u64,
    /// All tuples ever, by link.
    pub(super) outputs: BTreeMap<u32, Vec<String>>,
    pub(super) positions: Vec<u8>,
    /// Admitted to the window that is under way, and its number.
    pub(super) window: Option<(u64, String)>,
    pub(super) dead_bytes: Option<u64>,
}

/// A journal and the model of it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) rng: Rng,
    pub(super) journal: Option<Journal<MemStorage, AllPositions>>,
    /// The newest state, then what it was after each commit, with the position of the journal.
    pub(super) now: Expected,
    pub(super) history: VecDeque<(Position, Expected)>,
    /// Acknowledged through, by link; a crash may forget it.
    pub(super) acknowledged: BTreeMap<u32, u64>,
    staged: Vec<(Place, String)>,
    /// A sync that is under way while other things happen.
    ticket: Option<SyncTicket<MemFile>>,
    pub(super) epoch: u64,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            journal: None,
            now: Expected::default(),
            history: VecDeque::new(),
            acknowledged: BTreeMap::new(),
            staged: Vec::new(),
            ticket: None,
            epoch: 0,
        }
    }

    pub(super) fn journal(&mut self) -> &mut Journal<MemStorage, AllPositions> {
        self.journal.as_mut().unwrap()
    }

    /// Opens the journal, and checks that it says one of the states that it may.
    pub(super) fn open(&mut self, disk: &MemStorage) {
        let opened = Journal::open(disk.clone(), &identity(), tiny(), AllPositions::default()).unwrap();
        self.accept(opened);
    }

    pub(super) fn accept(&mut self, opened: Opened<MemStorage, AllPositions>) {
        let Opened { journal, state, dead_bytes, .. } = opened;
        let least = self.history.front().map_or(0, |(_, expected)| expected.commits);
        assert!(state.commits >= least, "{} commits of at least {least}", state.commits);
        let known = self.history.iter().find(|(_, expected)| expected.commits == state.commits);
        self.now = known.map(|(_, expected)| expected.clone()).unwrap_or_default();
        assert_eq!(self.now.commits, state.commits);
        check(&self.now, &journal, &state, dead_bytes, &self.acknowledged);
        self.epoch += 1;
        assert_eq!(state.epoch, Epoch(self.epoch));
        self.history = [(journal.durable(), self.now.clone())].into();
        self.staged.clear();
        self.ticket = None;
        assert_eq!(journal.check(), Ok(()));
        self.journal = Some(journal);
    }

    /// Does something to both.
    pub(super) fn step(&mut self, _disk: &MemStorage) {
        match self.rng.up_to(9) {
            0..=4 => self.commit(),
            5 => {
                let text = self.text();
                let place = self.journal().stage(&lines(&text)).unwrap();
                self.staged.push((place, text));
            }
            6 => {
                let attempt = Attempt { records: self.rng.up_to(9), ..Attempt::default() };
                self.journal().note(&attempt).unwrap();
            }
            7 | 8 => self.acknowledge(),
            _ if self.ticket.is_none() => self.ticket = self.journal().to_sync(),
            _ => self.sync(),
        }
        assert_eq!(self.journal().check(), Ok(()));
    }

    /// Brings the sync that is under way to its end, or does one.
    pub(super) fn sync(&mut self) {
        if let Some(ticket) = self.ticket.take().or_else(|| self.journal().to_sync()) {
            let position = ticket.run().unwrap();
            self.journal().synced(position);
            while self.history.get(1).is_some_and(|(end, _)| *end <= position) {
                self.history.pop_front();
            }
        }
    }

    fn text(&mut self) -> String {
        let records = 1 + self.rng.up_to(3);
        let length = usize::try_from(1 + self.rng.up_to(60)).unwrap();
        (0..records).map(|_| format!("{:0length$x}\n", self.rng.next_u64())).collect()
    }

    fn commit(&mut self) {
        let mut next = self.now.clone();
        next.commits += 1 + self.rng.up_to(1);
        let mut commit = commit(next.commits);
        for _ in 0..self.rng.up_to(3) {
            let link = LINKS[usize::try_from(self.rng.up_to(1)).unwrap()];
            let (body, text) = if let Some((place, text)) = self.staged.pop() {
                let batch = lines(&text);
                (Body::Stored { place, records: batch.len() as u64, cost: batch.cost() }, text)
            } else {
                let text = self.text();
                (Body::Memory(lines(&text)), text)
            };
            let sent = next.outputs.entry(link).or_default();
            commit.outputs.push((Seq(sent.len() as u64 + 1), Chunk { link: LinkId(link), body }));
            sent.extend(text.split_inclusive('\n').map(str::to_owned));
        }
        if self.rng.up_to(2) == 0 {
            next.through += self.rng.up_to(5);
            let (link, journal, through) = (LinkId(9), JournalId(3), Seq(next.through));
            commit.inputs.push(InputDone { link, epoch: Epoch(1), journal, through, ended: false });
        }
        if self.rng.up_to(1) == 0 {
            let position = vec![u8::try_from(self.rng.up_to(255)).unwrap()];
            next.positions.extend_from_slice(&position);
            commit.position = Some(position.into());
        }
        commit.stream = self.window_step(&mut next);
        let dead_bytes = (self.rng.up_to(5) == 0).then_some(next.commits * 10);
        next.dead_bytes = dead_bytes.or(next.dead_bytes);
        let position = self.journal().append(&commit, dead_bytes).unwrap();
        self.now = next.clone();
        self.history.push_back((position, next));
    }

    fn window_step(&mut self, next: &mut Expected) -> Option<StreamStep> {
        if self.rng.up_to(2) > 0 {
            return None;
        }
        if let Some((window, _)) = next.window.take_if(|_| self.rng.up_to(5) == 0) {
            return Some(StreamStep::Done { window });
        }
        let text = self.text();
        let (window, admitted) = next.window.get_or_insert((next.commits, String::new()));
        admitted.push_str(&text);
        Some(StreamStep::Admit { window: *window, pieces: vec![piece(&text)] })
    }

    /// A receiver has made durable what it acknowledges: only what is durable here was ever sent.
    fn acknowledge(&mut self) {
        let link = LINKS[usize::try_from(self.rng.up_to(1)).unwrap()];
        let (_, durable) = self.history.front().unwrap();
        let sent = durable.outputs.get(&link).map_or(0, |o| o.len() as u64);
        let before = self.acknowledged.get(&link).copied().unwrap_or(0);
        let through = before + self.rng.up_to(sent.saturating_sub(before));
        self.acknowledged.insert(link, through);
        self.journal().acknowledged(LinkId(link), Seq(through));
    }
}

/// What the journal says is `expected`, down to every byte that may still be needed.
fn check(
    expected: &Expected,
    journal: &Journal<MemStorage, AllPositions>,
    state: &TaskState,
    dead_bytes: Option<u64>,
    acknowledged: &BTreeMap<u32, u64>,
) {
    assert_eq!(dead_bytes, expected.dead_bytes);
    assert_eq!(state.inputs.get(&LinkId(9)).map_or(0, |i| i.through.0), expected.through);
    let newest = |positions: &[u8]| positions[positions.len().saturating_sub(20)..].to_vec();
    assert_eq!(newest(&journal.fold().0), newest(&expected.positions));
    for (link, sent) in &expected.outputs {
        let output = &state.outputs[&LinkId(*link)];
        assert_eq!(output.next, Seq(sent.len() as u64 + 1));
        let through = acknowledged.get(link).copied().unwrap_or(0);
        assert!(output.through.0 <= through);
        let from = output.held.first().map_or(output.next, |h| h.first);
        assert!(from.0 <= through + 1, "link {link} holds from {from}, acknowledged through {through}");
        let count = output.next.since(from);
        if count > 0 {
            let text = journal.read(LinkId(*link), from, count).unwrap();
            let wanted = sent[usize::try_from(from.0 - 1).unwrap()..].concat();
            assert_eq!(text.payload(), wanted.as_bytes());
        }
    }
    let window = expected.window.clone().unwrap_or_default();
    assert_eq!(state.window.map(|w| w.window), expected.window.as_ref().map(|w| w.0));
    let admitted = join(journal.admitted(window.0).unwrap().iter()).unwrap();
    assert_eq!(admitted.payload(), window.1.as_bytes());
}

/// Names stand in the format: a state of any earlier build is read.
#[test]
fn a_body_is_named_as_it_always_was() {
    #[derive(serde::Serialize)]
    enum Before {
        Inline(Span),
        Staged(Location),
    }
    let span = Span { base: 0, ends_bytes: 4, payload_bytes: 2, crc: 3 };
    let at = Location { segment: 5, offset: 77, span };
    let pairs =
        [(Before::Inline(span), BodyHead::Inline(span)), (Before::Staged(at), BodyHead::Elsewhere(at))];
    for (before, now) in pairs {
        let bytes = rmp_serde::to_vec(&before).unwrap();
        assert_eq!(crate::record::decode::<BodyHead>(&bytes).unwrap(), now);
        assert_eq!(rmp_serde::to_vec(&now).unwrap(), bytes);
    }
}

#[test]
fn a_body_in_a_head_is_small() {
    assert!(size_of::<BodyHead>() <= 64);
}
