//! How a stage's executable runs.

use std::time::Duration;
use worker_core::config::{MaxDead, OnError, Retry, Window};

/// How a stage's executable runs, with what only this way of running knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// A fresh process per batch.
    Batch(BatchMode),
    /// One process for the life of the task or of a window.
    Stream(StreamMode),
    /// One process that answers each record.
    Records(RecordsMode),
}

#[derive(Clone, Debug, PartialEq)]
pub struct BatchMode {
    /// Largest batch, in bytes.
    pub max_bytes: u64,
    /// Largest batch, in records; `None`: bytes alone decide.
    pub max_records: Option<u64>,
    /// How long records wait for company.
    pub linger: Duration,
    /// Attempts of a batch, and the waits between them.
    pub retry: Retry,
    /// What happens to a record that fails alone.
    pub on_error: OnError,
    /// How many dead letters are too many.
    pub max_dead: MaxDead,
}

/// Settings of stream processes.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamMode {
    /// When standard input is closed; `None`: at the end of input.
    pub window: Option<Window>,
    /// What it means if the program ends before its input does.
    pub early_exit: EarlyExit,
    /// In exactly-once, most input of one window that is kept to run it again; in bytes.
    pub replay_limit_bytes: u64,
}

/// What it means if a stream program ends with success before its input does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyExit {
    Error,
    /// The task is done.
    Done,
}

/// Settings of programs that answer each record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordsMode {
    /// How many requests may be unanswered.
    pub in_flight: u64,
    /// How the program gets back the values it has put; a stage without key keeps none.
    pub state: RecordsState,
    /// Most state of one task, keys and values; in bytes.
    pub state_budget_bytes: u64,
    /// How often the program is told that time has passed; `None`: never.
    pub tick: Option<Duration>,
    /// Runs that may end with one record alone in flight, and the waits between runs.
    pub retry: Retry,
    /// What happens to a record that its program dies of.
    pub on_error: OnError,
    /// How many dead letters are too many.
    pub max_dead: MaxDead,
}

/// How a records program gets back the values it has put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsState {
    /// All of them in the first lines after a start.
    Hello,
    /// With each request the value of its key; so there is one request of a key under way.
    Inline,
}

impl Mode {
    /// As it is written in a pipeline file.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Batch(_) => "batch",
            Self::Stream(_) => "stream",
            Self::Records(_) => "records",
        }
    }
}

impl RecordsState {
    /// As it is written in a pipeline file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Inline => "inline",
        }
    }
}

impl EarlyExit {
    /// As it is written in a pipeline file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Done => "done",
        }
    }
}
