//! What a records child is told and what it answers, without its pipes, a thread or a clock.

use super::effects::{Answers, Rules};
use super::hello::push_hello;
use super::ledger::{Ledger, PendingRequests};
use super::state::KeyedState;
use crate::io::framing::Framing;
use crate::mutex::lock;
use std::sync::{Arc, Mutex};
use worker_core::route::{Envelope, PartitionBy, RecordKey};
use worker_proto::{Batch, LinkId, Seq};

/// What an answer may have beside twice the longest record, in bytes.
const LINE_OVERHEAD_BYTES: usize = 4 * 1024;

/// Answers held behind one that is missing, in bytes: at least, and at most, whatever the longest record.
const HELD_BYTES_MIN: usize = 64 << 20;
const HELD_BYTES_MAX: usize = 1 << 30;

/// How a stage's children are asked.
#[derive(Clone, Debug)]
pub struct RecordsRules {
    /// Where the key of a record is; `None`: the stage has no `partition_by`.
    pub partition_by: Option<PartitionBy>,
    /// What of the records that come in is not content.
    pub envelope_in: Envelope,
    /// Each request carries its key's value (`state = "inline"`) instead of all state at the start. Only with keys.
    pub inline: bool,
    /// How many requests may be in flight; at least 1.
    pub in_flight: usize,
    /// How many bytes of them; one request may be larger.
    pub in_flight_bytes: u64,
    /// Somebody reads what is emitted.
    pub is_read: bool,
    /// Some stage behind this one is partitioned by the emitted key.
    pub keys_wanted: bool,
}

/// One child's life: [`hello`](Self::hello) comes first, then [`requests`](Self::requests) for what it is to be asked, and
/// [`lines`](Self::lines) for what it prints; [`news`](Self::news) is what the task may be told of it, and
/// [`ended`](Self::ended) what it all came to when the child has exited well.
#[derive(Debug)]
pub struct Conversation {
    task: String,
    gives_state: bool,
    state: Arc<Mutex<KeyedState>>,
    ledger: Ledger,
}

impl Conversation {
    /// `framing` and `max_record` are those of what is emitted.
    #[must_use]
    pub fn new(
        task: &str,
        framing: &Framing,
        max_record: usize,
        rules: &RecordsRules,
        state: Arc<Mutex<KeyedState>>,
    ) -> Self {
        let RecordsRules { is_read, keys_wanted, .. } = *rules;
        let answers = Rules { framing: framing.clone(), max_record, is_read, keys_wanted };
        let held_bytes = line_bytes_max(max_record).saturating_mul(2).clamp(HELD_BYTES_MIN, HELD_BYTES_MAX);
        let window = PendingRequests {
            requests: rules.in_flight.max(1),
            bytes: rules.in_flight_bytes.max(1),
            held_bytes: held_bytes as u64,
        };
        let key = rules.partition_by.clone().map(|by| RecordKey::new(by, rules.envelope_in));
        let inline = rules.inline.then(|| Arc::clone(&state));
        let ledger = Ledger::new(answers, window, rules.envelope_in, key, inline);
        Self { task: task.to_owned(), gives_state: !rules.inline, state, ledger }
    }

    /// The first lines, with the committed state as it is now.
    #[must_use]
    pub fn hello(&self) -> Vec<u8> {
        let mut state = lock(&self.state);
        state.begin_life();
        let mut lines = Vec::new();
        let given = self.gives_state.then(|| state.entries()).into_iter().flatten();
        push_hello(&mut lines, &self.task, given);
        lines
    }

    /// Records to be asked about, in order.
    pub fn request(&mut self, link: LinkId, first_seq: Seq, batch: Batch) {
        self.ledger.feed(link, first_seq, batch);
    }

    pub fn tick(&mut self) {
        self.ledger.feed_tick();
    }

    pub fn end(&mut self) {
        self.ledger.feed_end();
    }

    /// Appends the requests that may be written now, until `out` has about `bytes_max`.
    pub fn requests(&mut self, out: &mut Vec<u8>, bytes_max: usize) {
        self.ledger.fill(out, bytes_max);
    }

    /// How many requests the child was given and has not answered.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.ledger.in_flight() as u64
    }

    /// Takes the child's lines.
    ///
    /// # Errors
    /// How it breaks the protocol, to be read behind its name.
    pub fn lines(&mut self, lines: &Batch) -> Result<(), String> {
        lines.iter().try_for_each(|line| self.ledger.answer(line)).map_err(|fault| fault.to_string())
    }

    /// Whether the end was answered: its standard input is to be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ledger.is_ended()
    }

    /// What it has answered since it was asked last. What comes with the end counts only if the exit is good.
    pub fn news(&mut self) -> Option<Answers> {
        if self.is_over() { None } else { self.ledger.take() }
    }

    /// The child has exited well: what it answered last.
    ///
    /// # Errors
    /// It had not answered the end: how many requests are unanswered.
    pub fn ended(&mut self) -> Result<Answers, usize> {
        if !self.is_over() {
            return Err(self.ledger.unanswered());
        }
        Ok(self.ledger.take().unwrap_or_else(Answers::none))
    }
}

/// How long an answer's line may be, in bytes.
pub(super) fn line_bytes_max(max_record: usize) -> usize {
    max_record.saturating_mul(2).saturating_add(LINE_OVERHEAD_BYTES)
}
