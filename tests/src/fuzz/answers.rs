//! A program in `mode = "records"` that prints anything. What it says is taken in two ways, of which one is the parser for all of JSON.

use super::{Input, is_fit_to_print};
use bytes::Bytes;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use worker_bin::child::records::{Answers, Conversation, KeyedState, RecordsRules};
use worker_bin::io::framing::Framing;
use worker_core::route::PartitionBy;
use worker_core::{Batch, LinkId, Seq};

const FRAMINGS: [&str; 6] = ["lines", "nul", "csv", "json", "length=3", "prefix=u16be"];

const MAX_RECORDS: [usize; 3] = [1, 20, 100_000];

/// The longest of all that is said about one line, in bytes.
const WORDS_BYTES_MAX: usize = 4096;

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut twins = Twins::new(&mut input);
    while !input.is_empty() {
        let going_on = match input.below(8) {
            0 => {
                twins.ask(&mut input);
                true
            }
            1 => {
                twins.each(Conversation::tick);
                true
            }
            2 => {
                twins.each(Conversation::end);
                true
            }
            3 => twins.print(input.some()),
            4..=6 => {
                let line = answer(&mut input, twins.answered);
                twins.print(line.as_bytes())
            }
            _ => twins.news(),
        };
        if !going_on {
            return;
        }
        twins.write();
    }
    twins.news();
}

/// One program and two who listen to it.
struct Twins {
    framing: Framing,
    max_record: usize,
    keys_wanted: bool,
    conversations: [Conversation; 2],
    states: [Arc<Mutex<KeyedState>>; 2],
    asked: u64,
    told: u64,
    /// Of the last id that was answered.
    answered: u64,
}

impl Twins {
    fn new(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let framing: Framing = FRAMINGS[input.index(FRAMINGS.len())].parse().expect("these are framings");
        let max_record = MAX_RECORDS[input.index(MAX_RECORDS.len())];
        let rules = RecordsRules {
            partition_by: flag(0).then_some(PartitionBy::Field { index: NonZeroUsize::MIN, delimiter: None }),
            envelope_in: b'\n'.into(),
            inline: flag(1),
            in_flight: 1 + input.index(20),
            in_flight_bytes: 1000,
            is_read: !flag(2),
            keys_wanted: flag(3),
        };
        let states = [(); 2].map(|()| Arc::new(Mutex::new(KeyedState::new("t/0", u64::MAX))));
        let conversations = states
            .each_ref()
            .map(|state| Conversation::new("t/0", &framing, max_record, &rules, Arc::clone(state)));
        conversations.iter().for_each(|conversation| lines_of_json(&conversation.hello()));
        Self {
            framing,
            max_record,
            keys_wanted: flag(3),
            conversations,
            states,
            asked: 0,
            told: 0,
            answered: 0,
        }
    }

    fn each(&mut self, say: impl Fn(&mut Conversation)) {
        self.conversations.iter_mut().for_each(say);
    }

    /// Gives it records with few keys.
    fn ask(&mut self, input: &mut Input<'_>) {
        let text: Vec<u8> = (0..=input.below(4))
            .flat_map(|_| {
                let record: Vec<u8> = input.take(3).iter().copied().filter(|&byte| byte != b'\n').collect();
                [record, b"\n".to_vec()].concat()
            })
            .collect();
        let batch = Batch::from_terminated(Bytes::from(text), b'\n');
        let first = Seq(self.asked + 1);
        self.asked += batch.len() as u64;
        self.each(|conversation| conversation.request(LinkId(0), first, batch.clone()));
    }

    /// Writes what may be asked: the same by both.
    fn write(&mut self) {
        let [one, other] = self.conversations.each_mut().map(|conversation| {
            let mut lines = Vec::new();
            conversation.requests(&mut lines, 2000);
            lines
        });
        assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&other));
        lines_of_json(&one);
    }

    /// Prints a line. Blanks before it change nothing but who reads it. Gives whether the program lives.
    fn print(&mut self, line: &[u8]) -> bool {
        let line = [line.split(|&byte| byte == b'\n').next().unwrap_or_default(), b"\n"].concat();
        let [one, other] = &mut self.conversations;
        let taken = one.lines(&Batch::of_one(line.clone().into()));
        let slowly = other.lines(&Batch::of_one([b"\t", &line[..]].concat().into()));
        let shown = String::from_utf8_lossy(&line);
        assert_eq!(taken.is_ok(), slowly.is_ok(), "{shown}: {taken:?}, {slowly:?}");
        self.answered += 1;
        let Err(fault) = taken else { return true };
        is_fit_to_print(&fault);
        assert!(fault.len() < WORDS_BYTES_MAX, "{} bytes are said of {shown}", fault.len());
        false
    }

    /// Takes what is answered: the same of both, and no more than was asked.
    fn news(&mut self) -> bool {
        let is_over = self.conversations[0].is_over();
        let [one, other] = self.conversations.each_mut().map(|conversation| match is_over {
            true => conversation.ended().ok(),
            false => conversation.news(),
        });
        assert_eq!(one, other);
        let Some(answers) = one else { return !is_over };
        self.check(&answers);
        for state in &self.states {
            let mut state = state.lock().expect("no panic yet");
            state.apply(&answers.changes);
            assert_eq!(state.check(), Ok(()));
        }
        !is_over
    }

    fn check(&mut self, answers: &Answers) {
        self.told += answers.records;
        assert!(self.told <= self.asked, "{} of {} records are answered", self.told, self.asked);
        assert!(answers.dead.len() as u64 <= answers.records);
        for record in answers.emitted.iter() {
            let terminator = usize::from(self.framing.terminator().is_some());
            assert!(record.len() - terminator <= self.max_record, "{record:?}");
            assert_eq!(self.framing.check(record), Ok(()), "{record:?}");
        }
        let keys = if self.keys_wanted { answers.emitted.len() } else { 0 };
        assert_eq!(answers.keys.len(), keys);
    }
}

/// An answer that may be one: its id is near what is waited for.
fn answer(input: &mut Input<'_>, answered: u64) -> String {
    let id = (answered + u64::from(input.below(4))).saturating_sub(1);
    let mut members = vec![format!("\"id\":{}", if input.below(20) == 0 { input.number() } else { id })];
    for _ in 0..input.below(4) {
        let text = |input: &mut Input<'_>| {
            let bytes = input.take(2).iter().map(|byte| b"aab \"\\\x1b\xe9\n1"[usize::from(byte % 10)]);
            serde_json::to_string(&String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()))
                .expect("text is JSON")
        };
        let one = text(input);
        members.push(match input.below(12) {
            0..=2 => format!("\"emit\":[{one},{}]", text(input)),
            3 => format!("\"emit\":[{{\"record\":{one},\"key\":{}}}]", text(input)),
            4 => "\"emit\":[{\"record_b64\":\"AQoA\"}]".to_owned(),
            5..=6 => format!("\"put\":{{{one}:{}}}", text(input)),
            7 => format!("\"del\":[{one}]"),
            8 => format!("\"fail\":{one}"),
            9 => "\"more\":true".to_owned(),
            10 => "\"put_b64\":{\"YQ==\":[1]}".to_owned(),
            _ => format!("{one}:null"),
        });
    }
    format!("{{{}}}", members.join(","))
}

fn lines_of_json(lines: &[u8]) {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let value: Result<serde_json::Value, _> = serde_json::from_slice(line);
        assert!(value.is_ok_and(|value| value.is_object()), "{}", String::from_utf8_lossy(line));
    }
}
