//! A records program as a process: lines in, lines out. It keeps to the rules, and knows what it must be given.

use super::Values;
use crate::sim::check::{Check, Checked, Violation, require};
use crate::sim::program::{RecordsProgram, counted, key_of, total, weight};
use crate::sim::rng::Rng;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use worker_bin::child::records::RecordsRules;

/// In so many percent of its answers it takes two lines for one.
const TWO_LINES_PERCENT: u64 = 10;

/// One life of a program.
#[derive(Debug)]
pub(super) struct Process {
    program: RecordsProgram,
    task: usize,
    letter: char,
    /// Answers for different keys may come in any order.
    keyed: bool,
    /// Its state comes with the requests.
    inline: bool,
    /// Somebody reads what it emits.
    is_read: bool,
    /// What it has under its keys, or what must be given with requests.
    state: Values,
    requests: VecDeque<Request>,
    answered: BTreeSet<Bytes>,
    dead: bool,
}

#[derive(Debug)]
struct Request {
    id: u64,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Record { key: String, record: Bytes },
    Tick,
    End,
}

impl Process {
    pub(super) fn new(program: RecordsProgram, task: usize, letter: char, rules: &RecordsRules) -> Self {
        Self {
            program,
            task,
            letter,
            keyed: rules.partition_by.is_some(),
            inline: rules.inline,
            is_read: rules.is_read,
            state: Values::new(),
            requests: VecDeque::new(),
            answered: BTreeSet::new(),
            dead: false,
        }
    }

    /// What it is told first: all that is committed, and nothing else, unless that comes with requests.
    pub(super) fn hello(&mut self, lines: &[u8], truth: Values) -> Checked {
        let mut given = Values::new();
        for line in json_lines(lines)? {
            let state = line["state"].as_object().into_iter().flatten();
            given.extend(state.filter_map(|(key, value)| Some((key.clone(), value.as_u64()?))));
        }
        let due = if self.inline { Values::new() } else { truth.clone() };
        require(given == due, Check::State, || {
            format!("task {}: a program is given {given:?}, committed is {due:?}", self.task)
        })?;
        self.state = truth;
        Ok(())
    }

    /// Only for a bug: it is given what the one before had answered.
    pub(super) fn remember(&mut self, before: Self) -> Checked {
        let (given, due) = (before.state, &self.state);
        require(given == *due, Check::State, || {
            format!("task {}: a program is given {given:?}, committed is {due:?}", self.task)
        })
    }

    pub(super) fn read(&mut self, lines: &[u8]) -> Checked {
        for line in json_lines(lines)? {
            let id = line["id"].as_u64().unwrap_or(0);
            let asked = match line["record"].as_str() {
                Some(text) => {
                    let record = Bytes::copy_from_slice(text.as_bytes());
                    let own = || String::from_utf8_lossy(&key_of(&record)).into_owned();
                    let key = line["key"].as_str().map_or_else(own, str::to_owned);
                    self.check_given(&key, &line["state"])?;
                    Asked::Record { key, record }
                }
                None if line["tick"].is_u64() => Asked::Tick,
                None => Asked::End,
            };
            self.requests.push_back(Request { id, asked });
        }
        Ok(())
    }

    fn check_given(&self, key: &str, state: &Value) -> Checked {
        let (given, due) = (state[key].as_u64(), self.state.get(key).copied());
        require(!self.inline || given == due, Check::State, || {
            format!("task {}: {given:?} is given for {key}, its newest value is {due:?}", self.task)
        })
    }

    /// Answers so many requests, in any order that is allowed, unless it dies of one.
    pub(super) fn answer(&mut self, count: usize, rng: &mut Rng) -> Vec<u8> {
        let mut lines = String::new();
        // One that dies with nothing asked of it, again and again, would fail the stage.
        let is_asked = self.requests.iter().any(|request| matches!(request.asked, Asked::Record { .. }));
        if matches!(self.program, RecordsProgram::Chance(percent) if is_asked && rng.chance(percent)) {
            self.dead = true;
        }
        for _ in 0..count {
            let open = self.answerable();
            if self.dead || open.is_empty() {
                break;
            }
            let Some(request) = self.requests.remove(open[rng.index(open.len())]) else { break };
            let Some(mut answer) = self.answer_to(request, rng) else {
                self.dead = true;
                break;
            };
            if let (false, Some(parts)) = (self.is_read, answer.as_object_mut()) {
                parts.remove("emit");
            }
            for line in in_lines(answer, rng) {
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
        }
        lines.into_bytes()
    }

    /// The oldest request of each key, none behind a tick or the end; without keys only the oldest.
    fn answerable(&self) -> Vec<usize> {
        let mut keys = BTreeSet::new();
        let mut open = Vec::new();
        for (at, request) in self.requests.iter().enumerate() {
            match &request.asked {
                Asked::Record { key, .. } if at == 0 || self.keyed => {
                    if keys.insert(key) {
                        open.push(at);
                    }
                }
                Asked::Record { .. } => break,
                Asked::Tick | Asked::End => {
                    open.extend((at == 0).then_some(at));
                    break;
                }
            }
        }
        open
    }

    /// `None`: it dies of it.
    fn answer_to(&mut self, Request { id, asked }: Request, rng: &mut Rng) -> Option<Value> {
        match asked {
            Asked::Record { record, .. } if self.program.dies_of(&record) => None,
            Asked::Record { record, .. } if self.program.refuses(&record) => {
                self.answered.insert(record);
                Some(json!({"id": id, "fail": "the program says fail"}))
            }
            Asked::Record { key, record } => {
                let value = self.program.next(self.state.get(&key).copied());
                let emitted = counted(&record, self.letter, value);
                self.answered.insert(record);
                let emitted = text(&emitted);
                Some(match value {
                    Some(value) => {
                        self.state.insert(key.clone(), value);
                        json!({"id": id, "emit": [emitted], "put": {key: value}})
                    }
                    None => {
                        self.state.remove(&key);
                        json!({"id": id, "emit": [emitted], "del": [key]})
                    }
                })
            }
            Asked::Tick if rng.chance(50) => Some(json!({"id": id})),
            Asked::Tick => Some(json!({"id": id, "emit": [format!("tick{} k0 {}:", self.task, rng.any())]})),
            Asked::End if self.inline => Some(json!({"id": id})),
            Asked::End => {
                let totals = self.state.iter().map(|(key, &count)| total(self.task, key.as_bytes(), count));
                Some(json!({"id": id, "emit": totals.map(|total| text(&total)).collect::<Vec<_>>()}))
            }
        }
    }

    pub(super) fn has_answered(&self, record: &[u8]) -> bool {
        self.answered.contains(record.strip_suffix(b"\n").unwrap_or(record))
    }

    /// How many requests wait for its answers.
    pub(super) fn owes(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }
}

impl RecordsProgram {
    /// What it puts under a key that has `value`.
    fn next(self, value: Option<u64>) -> Option<u64> {
        match (self, value) {
            (Self::Flip, None) => Some(0),
            (Self::Flip, Some(_)) => None,
            (Self::Count | Self::Fail(_) | Self::DieOn(_) | Self::Chance(_), value) => {
                Some(value.unwrap_or(0) + 1)
            }
        }
    }

    /// What is under each key after it has answered records with these.
    pub(in crate::sim) fn values(self, keys: impl Iterator<Item = String>) -> Values {
        let mut times: BTreeMap<String, u64> = BTreeMap::new();
        keys.for_each(|key| *times.entry(key).or_default() += 1);
        times.into_iter().filter_map(|(key, times)| Some((key, self.value_after(times)?))).collect()
    }

    fn value_after(self, times: u64) -> Option<u64> {
        match self {
            Self::Flip => (times % 2 == 1).then_some(0),
            Self::Count | Self::Fail(_) | Self::DieOn(_) | Self::Chance(_) => (times > 0).then_some(times),
        }
    }

    fn dies_of(self, record: &[u8]) -> bool {
        matches!(self, Self::DieOn(one_in) if weight(record).is_multiple_of(one_in))
    }

    fn refuses(self, record: &[u8]) -> bool {
        matches!(self, Self::Fail(one_in) if weight(record).is_multiple_of(one_in))
    }
}

/// An answer, sometimes in two lines.
fn in_lines(answer: Value, rng: &mut Rng) -> Vec<Value> {
    if answer["emit"].is_array() && rng.chance(TWO_LINES_PERCENT) {
        let first = json!({"id": answer["id"], "emit": answer["emit"], "more": true});
        let mut last = answer;
        last["emit"] = Value::Null;
        return vec![first, last];
    }
    vec![answer]
}

fn json_lines(lines: &[u8]) -> Checked<Vec<Value>> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line).map_err(|why| Violation::new(Check::Driver, why.to_string()))
        })
        .collect()
}

/// A record without its terminator.
fn text(record: &[u8]) -> String {
    String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record)).into_owned()
}
