//! What all commits up to a point add up to: the contents of a checkpoint.

use super::live::{Live, Use};
use super::record::{
    Admitted, AttemptHead, BodyHead, CommitHead, HeadersHead, InputHead, Location, OutputHead, Span,
    StepHead, TurnHead,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use worker_core::event::{Attempt, Commit, Headers, Turn};
use worker_core::recovery::{HeldOutput, InputState, OutputState, TaskState, WindowState};
use worker_proto::{Epoch, JournalId, LinkId, Seq};

/// The sum of a task's commits, with the places of everything that may still be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) task: String,
    pub(super) epoch: Epoch,
    pub(super) commits: u64,
    pub(super) inputs: BTreeMap<LinkId, InputHead>,
    pub(super) outputs: BTreeMap<LinkId, OutputImage>,
    pub(super) ended: bool,
    pub(super) dead: u64,
    pub(super) dead_bytes: Option<u64>,
    pub(super) window: Option<WindowImage>,
    pub(super) windows: u64,
    pub(super) attempt: AttemptHead,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<TurnHead>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutputImage {
    pub(super) next: Seq,
    pub(super) through: Seq,
    pub(super) end: Option<Seq>,
    pub(super) held: VecDeque<Held>,
}

/// Tuples of a link that are not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) first: Seq,
    pub(super) at: Location,
}

/// A stream's window that is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WindowImage {
    pub(super) window: u64,
    pub(super) cut: bool,
    pub(super) admitted: Vec<Admitted>,
    pub(super) steps: Vec<PrintedImage>,
}

/// What a window's program printed with one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PrintedImage {
    pub(super) records: u64,
    pub(super) hash: u64,
    pub(super) outputs: Vec<(LinkId, Location)>,
}

impl Image {
    pub(super) fn new(task: &str, outputs: &[LinkId]) -> Self {
        let outputs = outputs.iter().map(|link| (*link, OutputImage::fresh())).collect();
        Self { task: task.to_owned(), outputs, ..Self::default() }
    }

    /// Whether a commit fits behind the last one.
    pub(super) fn check(
        &self,
        id: u64,
        outputs: impl Iterator<Item = (LinkId, Seq, u64)>,
    ) -> Result<(), String> {
        if id <= self.commits {
            return Err(format!("commit {id} comes behind commit {}", self.commits));
        }
        let mut next: BTreeMap<LinkId, Seq> = BTreeMap::new();
        for (link, first, records) in outputs {
            let known = self.outputs.get(&link).map(|o| o.next);
            let Some(expected) = next.get(&link).copied().or(known) else {
                return Err(format!("commit {id} has an output for link {link}, which is not this task's"));
            };
            if first != expected {
                return Err(format!("commit {id} has tuple {first} of link {link}, expected {expected}"));
            }
            next.insert(link, first.plus(records));
        }
        Ok(())
    }

    /// Adds a commit; its inline batches lie in `segment` from `inline` on.
    pub(super) fn commit(&mut self, head: &CommitHead, segment: u64, inline: u64, live: &mut Live) {
        let mut next = inline;
        let mut place = |span: &Span| {
            let at = Location { segment, offset: next, span: *span };
            next = at.end();
            at
        };
        self.commits = head.id;
        self.attempt = head.attempt;
        if let Some(turn) = &head.turn {
            let known = self.turn.take().and_then(|known| known.headers);
            let headers = turn.headers.clone().or(known);
            self.turn = Some(TurnHead { headers, ..turn.clone() });
        }
        for input in &head.inputs {
            self.input(input);
        }
        let mut outputs = Vec::with_capacity(head.outputs.len());
        for output in &head.outputs {
            let at = match &output.body {
                BodyHead::Inline(span) => place(span),
                BodyHead::Elsewhere(at) => *at,
            };
            self.output(output, at, live);
            outputs.push((output.link, at));
        }
        if let Some(step) = &head.step {
            let admitted = match step {
                StepHead::Admit { batches, .. } => batches.iter().map(place).map(Admitted::whole).collect(),
                StepHead::Refer { admitted, .. } => admitted.clone(),
                StepHead::Printed { .. } | StepHead::Cut { .. } | StepHead::Done { .. } => Vec::new(),
            };
            self.step(step, admitted, outputs, live);
        }
        self.dead += head.dead;
        self.dead_bytes = head.dead_bytes.or(self.dead_bytes);
        if head.ended && !self.ended {
            self.ended = true;
            for output in self.outputs.values_mut() {
                output.end = Some(output.next);
                output.next = output.next.next();
            }
        }
    }

    /// Tuples of a link are not needed any more.
    pub(super) fn acknowledged(&mut self, link: LinkId, through: Seq, live: &mut Live) {
        let Some(output) = self.outputs.get_mut(&link) else { return };
        output.through = output.through.max(through);
        while let Some(held) = output.held.front().filter(|h| h.last() <= output.through) {
            live.remove(&held.at, Use::Output);
            output.held.pop_front();
        }
    }

    /// Everything that may be read, to be moved: outputs with their names, and what a window needs.
    pub(super) fn each_location(&mut self, each: &mut dyn FnMut(&mut Location)) {
        for held in self.outputs.values_mut().flat_map(|o| o.held.iter_mut()) {
            each(&mut held.at);
        }
        if let Some(window) = &mut self.window {
            window.admitted.iter_mut().for_each(|admitted| each(&mut admitted.at));
            window.steps.iter_mut().flat_map(|s| s.outputs.iter_mut()).for_each(|(_, at)| each(at));
        }
    }

    /// Everything that may be read has moved, as far as `moved` says, by where it was.
    pub(super) fn relocate(&mut self, moved: &BTreeMap<(u64, u64), Location>, live: &mut Live) {
        let held = self.outputs.values_mut().flat_map(|output| output.held.iter_mut());
        held.for_each(|held| relocate(&mut held.at, Use::Output, moved, live));
        if let Some(window) = &mut self.window {
            window.relocate_admitted(moved, live);
            let outputs = window.steps.iter_mut().flat_map(|step| step.outputs.iter_mut());
            outputs.for_each(|(_, at)| relocate(at, Use::Window, moved, live));
        }
    }

    /// Where everything is that may be read.
    pub(super) fn locations(&self) -> impl Iterator<Item = &Location> {
        let held = self.outputs.values().flat_map(|output| output.held.iter().map(|held| &held.at));
        held.chain(self.window.iter().flat_map(WindowImage::locations))
    }

    /// The state a task's next life begins with.
    pub(super) fn task_state(&self, journal: JournalId, position: Option<Bytes>) -> TaskState {
        let inputs = self.inputs.values().map(|i| {
            let InputHead { link, epoch, journal, through, ended } = *i;
            (link, InputState { epoch, journal, through, ended })
        });
        let begun = self.outputs.iter().filter(|(_, o)| o.next > Seq(1));
        let outputs = begun.map(|(link, output)| (*link, output.state()));
        TaskState {
            epoch: self.epoch,
            journal,
            commits: self.commits,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            ended: self.ended,
            position,
            dead: self.dead,
            window: self.window.as_ref().map(WindowImage::state),
            windows: self.windows,
            attempt: self.attempt.into(),
            turn: self.turn.as_ref().map(|turn| Box::new(turn.into())),
            headers: self
                .turn
                .as_ref()
                .and_then(|turn| turn.headers.as_ref())
                .map(Headers::from)
                .unwrap_or_default(),
        }
    }

    fn input(&mut self, input: &InputHead) {
        let known = self.inputs.entry(input.link).or_insert(*input);
        if input.epoch >= known.epoch {
            known.epoch = input.epoch;
            known.journal = input.journal;
        }
        known.through = known.through.max(input.through);
        known.ended |= input.ended;
    }

    fn output(&mut self, head: &OutputHead, at: Location, live: &mut Live) {
        let output = self.outputs.entry(head.link).or_default();
        output.held.push_back(Held { first: head.first, at });
        output.next = head.first.plus(at.span.records());
        live.add(&at, Use::Output);
    }

    fn step(
        &mut self,
        step: &StepHead,
        admitted: Vec<Admitted>,
        outputs: Vec<(LinkId, Location)>,
        live: &mut Live,
    ) {
        match *step {
            StepHead::Admit { window, .. } | StepHead::Refer { window, .. } => {
                self.window(window, live);
                let Some(window) = &mut self.window else { return };
                admitted.iter().for_each(|admitted| window.admit(admitted, live));
            }
            StepHead::Printed { window, records, hash } => {
                outputs.iter().for_each(|(_, at)| live.add(at, Use::Window));
                self.window(window, live).steps.push(PrintedImage { records, hash, outputs });
            }
            StepHead::Cut { window } => self.window(window, live).cut = true,
            StepHead::Done { window } => {
                self.windows = self.windows.max(window);
                self.leave_window(live);
            }
        }
    }

    /// The window with this number, which begins if it is not under way.
    fn window(&mut self, number: u64, live: &mut Live) -> &mut WindowImage {
        if self.window.as_ref().is_none_or(|w| w.window != number) {
            self.leave_window(live);
            self.windows = self.windows.max(number);
        }
        self.window.get_or_insert_with(|| WindowImage { window: number, ..WindowImage::default() })
    }

    fn leave_window(&mut self, live: &mut Live) {
        if let Some(window) = self.window.take() {
            window.admitted.iter().for_each(|admitted| live.remove_admitted(admitted));
            window.printed_locations().for_each(|at| live.remove(at, Use::Window));
        }
    }
}

fn relocate(at: &mut Location, by: Use, moved: &BTreeMap<(u64, u64), Location>, live: &mut Live) {
    if let Some(to) = moved.get(&at.key()) {
        live.remove(at, by);
        live.add(to, by);
        *at = *to;
    }
}

impl OutputImage {
    /// Nothing was sent.
    pub(super) fn fresh() -> Self {
        Self { next: Seq(1), ..Self::default() }
    }

    /// The held tuples that begin with `first`.
    pub(super) fn held_at(&mut self, first: Seq) -> Option<&mut Held> {
        let index = self.held.binary_search_by_key(&first, |h| h.first).ok()?;
        self.held.get_mut(index)
    }

    /// The held tuples from the ones that `first` is among on.
    pub(super) fn held_from(&self, first: Seq) -> impl Iterator<Item = &Held> {
        self.held.range(self.held.partition_point(|h| h.last() < first)..)
    }

    fn state(&self) -> OutputState {
        let held = self.held.iter().map(|h| HeldOutput {
            first: h.first,
            records: h.at.span.records(),
            cost: h.at.span.bytes(),
        });
        OutputState { next: self.next, through: self.through, end: self.end, held: held.collect() }
    }
}

impl Held {
    pub(super) fn last(&self) -> Seq {
        self.first.plus(self.at.span.records()).before()
    }
}

impl WindowImage {
    pub(super) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.admitted.iter().map(|admitted| &admitted.at).chain(self.printed_locations())
    }

    pub(super) fn printed_locations(&self) -> impl Iterator<Item = &Location> {
        self.steps.iter().flat_map(|s| s.outputs.iter().map(|(_, at)| at))
    }

    /// Adds what is admitted next.
    fn admit(&mut self, next: &Admitted, live: &mut Live) {
        let joined = self.admitted.last().and_then(|last| last.joined(next));
        if joined.is_some()
            && let Some(last) = self.admitted.pop()
        {
            live.remove_admitted(&last);
        }
        let admitted = joined.unwrap_or(*next);
        live.add_admitted(&admitted);
        self.admitted.push(admitted);
    }

    fn relocate_admitted(&mut self, moved: &BTreeMap<(u64, u64), Location>, live: &mut Live) {
        for admitted in &mut self.admitted {
            if let Some(to) = moved.get(&admitted.at.key()) {
                live.remove_admitted(admitted);
                admitted.at = *to;
                live.add_admitted(admitted);
            }
        }
    }

    fn state(&self) -> WindowState {
        WindowState {
            window: self.window,
            cut: self.cut,
            records: self.admitted.iter().map(Admitted::records).sum(),
            cost: self.admitted.iter().map(Admitted::cost).sum(),
            printed_records: self.steps.iter().map(|step| step.records).sum(),
        }
    }
}

impl From<&TurnHead> for Turn {
    fn from(TurnHead { taken, given, headers: _ }: &TurnHead) -> Self {
        Self { taken: *taken, given: given.clone() }
    }
}

impl TurnHead {
    /// What a commit says, if it says anything.
    pub(super) fn of(commit: &Commit) -> Option<Self> {
        let headers = commit.headers.as_deref().map(HeadersHead::from);
        let turn = commit.turn.as_deref();
        (turn.is_some() || headers.is_some()).then(|| {
            let Turn { taken, given } = turn.cloned().unwrap_or_default();
            Self { taken, given, headers }
        })
    }
}

impl From<&HeadersHead> for Headers {
    fn from(HeadersHead { taken, given, at }: &HeadersHead) -> Self {
        let bytes = |header: &Option<Vec<u8>>| header.as_ref().map(|header| Bytes::copy_from_slice(header));
        Self { taken: bytes(taken), given: bytes(given), at: at.clone() }
    }
}

impl From<&Headers> for HeadersHead {
    fn from(Headers { taken, given, at }: &Headers) -> Self {
        let bytes = |header: &Option<Bytes>| header.as_ref().map(|header| header.to_vec());
        Self { taken: bytes(taken), given: bytes(given), at: at.clone() }
    }
}

impl From<AttemptHead> for Attempt {
    fn from(AttemptHead { records, first, alone, suspects }: AttemptHead) -> Self {
        Self { records, first, alone, suspects }
    }
}

impl From<&Attempt> for AttemptHead {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { records, first, alone, suspects } = *attempt;
        Self { records, first, alone, suspects }
    }
}
