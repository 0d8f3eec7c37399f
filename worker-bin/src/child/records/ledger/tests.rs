use super::super::changes::decode;
use super::*;
use crate::child::records::effects::Answers;
use crate::io::framing::Framing;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use worker_core::event::{Commit, CommitId};
use worker_core::route::PartitionBy;
use worker_journal::{Identity, Journal, MemStorage, Settings};
use worker_proto::{Fingerprint, JournalId};

const RULES: Rules = Rules { framing: Framing::Lines, max_record: 100, is_read: true, keys_wanted: true };
const WINDOW: PendingRequests = PendingRequests { requests: 100, bytes: 1 << 20, held_bytes: 10_000 };

struct Pair {
    ledger: Ledger,
    out: Vec<u8>,
}

impl Pair {
    fn keyed() -> Self {
        Self::with(WINDOW, true, None)
    }

    fn keyless() -> Self {
        Self::with(WINDOW, false, None)
    }

    fn inline(state: &Arc<Mutex<KeyedState>>) -> Self {
        Self::with(WINDOW, true, Some(Arc::clone(state)))
    }

    fn with(window: PendingRequests, keyed: bool, inline: Option<Arc<Mutex<KeyedState>>>) -> Self {
        let by = PartitionBy::Field { index: NonZeroUsize::MIN, delimiter: None };
        let key = keyed.then(|| RecordKey::new(by, b'\n'));
        Self { ledger: Ledger::new(RULES, window, b'\n'.into(), key, inline), out: Vec::new() }
    }

    fn feed(&mut self, text: &str) -> &mut Self {
        let batch = Batch::from_terminated(text.to_owned().into(), b'\n');
        self.ledger.feed(LinkId(4), Seq(10), batch);
        self
    }

    /// The requests that are written now.
    fn asked(&mut self) -> Vec<Value> {
        self.out.clear();
        self.ledger.fill(&mut self.out, usize::MAX);
        self.out
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn asked_ids(&mut self) -> Vec<u64> {
        self.asked().iter().map(|request| request["id"].as_u64().unwrap()).collect()
    }

    fn answer(&mut self, line: &str) -> &mut Self {
        self.ledger.answer(line.as_bytes()).unwrap();
        self
    }

    fn refused(&mut self, line: &str) -> String {
        self.ledger.answer(line.as_bytes()).unwrap_err().to_string()
    }

    fn taken(&mut self) -> (u64, String) {
        let answers = self.ledger.take().unwrap_or_else(Answers::none);
        (answers.records, String::from_utf8_lossy(answers.emitted.payload()).into_owned())
    }
}

fn taken(records: u64, text: &str) -> (u64, String) {
    (records, text.to_owned())
}

#[test]
fn answers_count_up_to_the_first_that_is_missing() {
    let mut pair = Pair::keyed();
    assert_eq!(pair.feed("a 1\nb 2\nc 3\n").asked_ids(), [1, 2, 3]);
    assert_eq!(pair.answer(r#"{"id":3,"emit":["z"]}"#).taken(), taken(0, ""));
    assert_eq!(pair.answer(r#"{"id":1,"emit":["x","X"]}"#).taken(), taken(1, "x\nX\n"));
    assert_eq!(pair.answer(r#"{"id":2}"#).taken(), taken(2, "z\n"));
    assert!(pair.ledger.inputs.is_empty() && pair.ledger.held_bytes == 0 && pair.ledger.asked_bytes == 0);
}

#[test]
fn answers_that_nobody_asked_for_are_refused() {
    let mut pair = Pair::keyed();
    assert!(pair.refused(r#"{"id":1}"#).contains("nothing waits"));
    pair.feed("a\nb\nc\n").asked();
    pair.answer(r#"{"id":1}"#).answer(r#"{"id":3}"#);
    assert!(pair.refused(r#"{"id":1}"#).contains("id 1 twice"));
    assert!(pair.refused(r#"{"id":3}"#).contains("id 3 twice"));
    assert!(pair.refused(r#"{"id":4}"#).contains("id 4, which it was not asked: expected one of 2 to 3"));
    assert!(pair.refused(r#"{"id":0}"#).contains("id 0"));
    assert!(pair.refused("Done!\n").contains("no answer (expected value at line 1 column 1): \"Done!\""));
}

#[test]
fn answers_of_one_key_keep_their_order() {
    let mut pair = Pair::keyed();
    pair.feed("a\nb\na\nb\n").asked();
    pair.answer(r#"{"id":2}"#).answer(r#"{"id":4}"#);
    assert!(pair.refused(r#"{"id":3}"#).contains("id 3 before id 1"));
    // Requests that come after the first disorder are looked after too.
    pair.feed("a\nc\n").asked();
    assert!(pair.refused(r#"{"id":5}"#).contains("id 5 before id 3"));
    assert_eq!(pair.answer(r#"{"id":6}"#).answer(r#"{"id":1}"#).answer(r#"{"id":3}"#).taken(), taken(4, ""));
}

#[test]
fn without_keys_and_around_a_tick_order_is_strict() {
    let mut pair = Pair::keyless();
    pair.feed("a\nb\n").asked();
    assert!(pair.refused(r#"{"id":2}"#).contains("without `partition_by`"));
    let mut pair = Pair::keyed();
    pair.feed("a\nb\n");
    pair.ledger.feed_tick();
    let asked = pair.feed("c\n").asked();
    assert_eq!((asked[2].to_string(), asked[3]["id"].as_u64()), (r#"{"id":3,"tick":1}"#.into(), Some(4)));
    assert!(pair.refused(r#"{"id":3}"#).contains("a tick and the end"));
    assert!(pair.refused(r#"{"id":4}"#).contains("id 4 before id 3"));
    pair.answer(r#"{"id":2}"#).answer(r#"{"id":1}"#);
    assert!(pair.refused(r#"{"id":3,"fail":"no"}"#).contains("answered the tick with \"fail\": no"));
    assert_eq!(pair.answer(r#"{"id":3,"emit":["t"],"put":{"any":1}}"#).taken(), taken(2, "t\n"));
    assert_eq!(pair.answer(r#"{"id":4}"#).taken(), taken(1, ""));
}

#[test]
fn behind_the_end_there_is_nothing() {
    let mut pair = Pair::keyed();
    pair.feed("a\n");
    pair.ledger.feed_end();
    pair.asked();
    pair.answer(r#"{"id":1}"#).answer(r#"{"id":2,"emit":["total"]}"#);
    assert!(pair.ledger.is_ended());
    assert_eq!(pair.taken(), taken(1, "total\n"));
    assert!(pair.refused(r#"{"id":3}"#).contains("after it had answered the end"));
}

#[test]
fn a_record_changes_its_own_key_only() {
    let mut pair = Pair::keyed();
    pair.feed("a\nb\n").asked();
    let foreign = pair.refused(r#"{"id":1,"emit":["lost"],"put":{"b":1}}"#);
    assert!(
        foreign.contains("key \"b\" in its answer to id 1") && foreign.contains("own key, \"a\""),
        "{foreign}"
    );
    assert!(pair.refused(r#"{"id":2,"del":["a"]}"#).contains("own key"));
    pair.answer(r#"{"id":1,"put":{"a":"3"},"del_b64":["YQ=="],"put_b64":{"YQ==":{"n":1}}}"#);
    let answers = pair.ledger.take().unwrap();
    let found: Vec<_> = decode(&answers.changes).map(Option::unwrap).collect();
    let want: [(&[u8], Option<&[u8]>); 3] =
        [(b"a", Some(b"\"3\"")), (b"a", Some(b"{\"n\":1}")), (b"a", None)];
    assert_eq!(found, want);
    assert!(answers.emitted.is_empty(), "a refused answer leaves nothing");
}

#[test]
fn emitted_records_are_given_keys_and_checked() {
    let mut pair = Pair::keyed();
    pair.feed("a\nb\n").asked();
    assert!(pair.refused(r#"{"id":1,"emit":["x\ny"]}"#).contains("ends records (newline)"));
    let long = format!(r#"{{"id":1,"emit":["{}"]}}"#, "x".repeat(101));
    assert!(pair.refused(&long).contains("101 bytes in its answer to id 1, longer than 100"));
    pair.answer(r#"{"id":1,"emit":["x\u0000",{"record_b64":"/w==","key":"k"}]}"#);
    let answers = pair.ledger.take().unwrap();
    assert_eq!(answers.emitted.iter().collect::<Vec<_>>(), [&b"x\0\n"[..], b"\xff\n"]);
    assert_eq!(answers.keys, [Some("a".into()), Some("k".into())]);
}

#[test]
fn a_failed_record_and_one_without_key_are_dead_letters() {
    let mut pair = Pair::keyed();
    assert_eq!(pair.feed("a\n\nb\n").asked_ids(), [1, 3], "what has no key is not asked");
    assert!(pair.refused(r#"{"id":1,"fail":"x","emit":["y"]}"#).contains("either fails or has effects"));
    pair.answer(r#"{"id":3,"fail":"too small"}"#).answer(r#"{"id":1}"#);
    let answers = pair.ledger.take().unwrap();
    let dead: Vec<_> = answers.dead.iter().map(|l| (&l.record[..], l.origin, l.reason.as_str())).collect();
    let no_key = "no field 1: the record has 0";
    let at = |seq| Some((LinkId(4), Seq(seq)));
    assert_eq!(dead, [(&b"\n"[..], at(11), no_key), (b"b\n", at(12), "too small")]);
    assert_eq!(answers.records, 3);
}

#[test]
fn an_answer_in_several_lines_counts_as_one() {
    let mut pair = Pair::keyed();
    pair.feed("a\nb\n").asked();
    assert_eq!(pair.answer(r#"{"id":1,"emit":["1"],"more":true}"#).taken(), taken(0, ""));
    assert_eq!(pair.answer(r#"{"id":2,"emit":["3"]}"#).taken(), taken(0, ""));
    assert_eq!(pair.answer(r#"{"id":1,"emit":["2"]}"#).taken(), taken(2, "1\n2\n3\n"));
}

#[test]
fn what_is_held_is_limited() {
    let mut pair = Pair::with(PendingRequests { held_bytes: 300, ..WINDOW }, true, None);
    pair.feed("a\nb\nc\n").asked();
    pair.answer(r#"{"id":2,"emit":["1"]}"#);
    let refused = pair.refused(r#"{"id":3,"emit":["1234567890123456789012345678901234567890"]}"#);
    assert!(refused.contains("keeps id 1 waiting") && refused.contains("more than 300"), "{refused}");
}

#[test]
fn a_window_is_filled_again_when_half_of_it_is_free() {
    let mut pair = Pair::with(PendingRequests { requests: 4, ..WINDOW }, true, None);
    assert_eq!(pair.feed("a\nb\nc\nd\ne\nf\ng\nh\n").asked_ids(), [1, 2, 3, 4]);
    assert!(pair.answer(r#"{"id":1}"#).asked_ids().is_empty());
    assert_eq!(pair.answer(r#"{"id":2}"#).asked_ids(), [5, 6]);
    // Answers behind one that is missing take room too.
    pair.answer(r#"{"id":4}"#).answer(r#"{"id":5}"#).answer(r#"{"id":6}"#);
    assert!(pair.asked_ids().is_empty());
    assert_eq!(pair.answer(r#"{"id":3}"#).asked_ids(), [7, 8]);
    let mut pair = Pair::with(PendingRequests { bytes: 1, ..WINDOW }, true, None);
    assert_eq!(pair.feed("a\nb\n").asked_ids(), [1], "one request may be larger than the window");
    assert_eq!(pair.answer(r#"{"id":1}"#).asked_ids(), [2]);
}

#[test]
fn with_inline_state_a_key_has_one_request_in_flight() {
    let state = Arc::new(Mutex::new(KeyedState::new("t/0", 1000)));
    let mut pair = Pair::inline(&state);
    pair.feed("a 1\na 2\nb 3\n");
    pair.ledger.feed_tick();
    let asked = pair.feed("a 4\n").asked();
    assert_eq!(asked[0].to_string(), r#"{"id":1,"key":"a","record":"a 1","state":{}}"#);
    assert_eq!((asked.len(), asked[1]["id"].as_u64()), (2, Some(3)));
    assert_eq!((pair.ledger.in_flight(), pair.ledger.unanswered()), (2, 3), "one waits for its key");
    assert!(pair.refused(r#"{"id":2}"#).contains("id 2, which it was not asked"));
    assert!(pair.answer(r#"{"id":3,"put":{"b":{"n":1}}}"#).asked().is_empty());
    let asked = pair.answer(r#"{"id":1,"put":{"a":"1"}}"#).asked();
    assert_eq!((asked.len(), asked[0]["state"].to_string()), (1, r#"{"a":"1"}"#.into()));
    // A tick waits until nothing else does, and what is behind it waits for the tick.
    assert_eq!(pair.answer(r#"{"id":2,"put":{"a":"2"}}"#).asked_ids(), [4]);
    let asked = pair.answer(r#"{"id":4,"put":{"a":"t"}}"#).asked();
    assert_eq!((asked.len(), asked[0]["state"].to_string()), (1, r#"{"a":"t"}"#.into()));
    assert_eq!(pair.answer(r#"{"id":5,"del":["a"]}"#).feed("a\n").asked()[0]["state"].to_string(), "{}");
}

/// What is asked, and a choice of which request to answer next.
fn work() -> impl Strategy<Value = (Vec<u8>, Vec<prop::sample::Index>, usize, bool)> {
    let keys = prop::collection::vec(0u8..4, 1..40);
    (keys, prop::collection::vec(any::<prop::sample::Index>(), 200), 1usize..20, any::<bool>())
}

proptest! {
    /// Whatever order a program answers in, within the rules: the result is that of answering one after the other.
    #[test]
    fn any_allowed_order_gives_the_same((keys, choices, requests, inline) in work()) {
        let state = Arc::new(Mutex::new(KeyedState::new("t/0", 10_000)));
        let mut pair = Pair::with(PendingRequests { requests, ..WINDOW }, true, inline.then(|| Arc::clone(&state)));
        let text: String = keys.iter().enumerate().map(|(n, key)| format!("{key} {n}\n")).collect();
        pair.feed(&text);
        let mut waiting: Vec<Value> = Vec::new();
        let (mut records, mut emitted, mut changes) = (0, String::new(), Vec::new());
        for choice in choices {
            waiting.extend(pair.asked());
            // The oldest request of some key.
            let open: Vec<usize> = (0..waiting.len())
                .filter(|&at| waiting[..at].iter().all(|other| other["key"] != waiting[at]["key"]))
                .collect();
            if open.is_empty() {
                break;
            }
            let request = waiting.remove(open[choice.index(open.len())]);
            let (id, key, record) = (&request["id"], &request["key"], &request["record"]);
            pair.answer(&format!(r#"{{"id":{id},"emit":[{record}],"put":{{{key}:{id}}}}}"#));
            if let Some(answers) = pair.ledger.take() {
                records += answers.records;
                emitted += std::str::from_utf8(answers.emitted.payload()).unwrap();
                changes.extend_from_slice(&answers.changes);
                prop_assert_eq!(emitted.lines().count() as u64, records);
            }
        }
        prop_assert_eq!((records, emitted), (keys.len() as u64, text));
        let changed: Vec<_> = decode(&changes).map(|change| change.unwrap().1.unwrap().to_vec()).collect();
        prop_assert_eq!(changed, (1..=keys.len()).map(|id| id.to_string().into_bytes()).collect::<Vec<_>>());
        prop_assert_eq!(pair.ledger.held_bytes + pair.ledger.asked_bytes + pair.ledger.unanswered as u64, 0);
    }

    /// A program that is given its keys' values always has the newest, however few values there are and however late its
    /// answers are committed; and what is committed in the end is what it answered.
    #[test]
    fn inline_state_is_the_newest_whenever_commits_come(
        keys in prop::collection::vec(0u8..3, 1..40),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3, 0u8..4), 200),
        requests in 1usize..20,
    ) {
        let state = Arc::new(Mutex::new(KeyedState::new("t/0", 10_000)));
        let mut pair = Pair::with(PendingRequests { requests, ..WINDOW }, true, Some(Arc::clone(&state)));
        pair.feed(&keys.iter().map(|key| format!("{key}\n")).collect::<String>());
        let (mut newest, mut waiting, mut commits) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        for (choice, value, committed) in steps {
            for request in pair.asked() {
                let key = request["key"].as_str().unwrap().to_owned();
                prop_assert_eq!(request["state"].get(&key), newest.get(&key), "{}", request);
                waiting.push((request["id"].as_u64().unwrap(), key));
            }
            if waiting.is_empty() {
                break;
            }
            let (id, key) = waiting.remove(choice.index(waiting.len()));
            if value < 2 {
                pair.answer(&format!(r#"{{"id":{id},"put":{{"{key}":{value}}}}}"#));
                newest.insert(key, Value::from(value));
            } else {
                pair.answer(&format!(r#"{{"id":{id},"del":["{key}"]}}"#));
                newest.remove(&key);
            }
            commits.extend(pair.ledger.take().map(|answers| answers.changes));
            for changes in commits.drain(..usize::from(committed).min(commits.len())) {
                lock(&state).apply(&changes);
            }
        }
        commits.iter().for_each(|changes| lock(&state).apply(changes));
        let state = lock(&state);
        let kept: BTreeMap<_, _> = state
            .entries()
            .map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), serde_json::from_slice(value).unwrap()))
            .collect();
        prop_assert_eq!(kept, newest);
    }

    /// Of what the answers of one commit say of a key the last counts, as it is and as the journal gives it back: from the commit itself, then
    /// from the checkpoint that the next life has made of it.
    #[test]
    fn of_one_key_in_one_commit_the_last_change_counts(
        said in prop::collection::vec(
            (prop::collection::vec(("[ab]", 0u8..9), 0..5), prop::collection::vec(("[ab]", 0u8..9), 0..3), prop::collection::vec("[ab]", 0..3)),
            1..6,
        ),
        seed in any::<u64>(),
    ) {
        let mut pair = Pair::keyless();
        pair.feed(&"x\n".repeat(said.len())).asked();
        let mut newest = BTreeMap::new();
        for (id, (puts, encoded, dels)) in (1..).zip(&said) {
            let list = |all: Vec<String>| all.join(",");
            let put = list(puts.iter().map(|(key, value)| format!(r#""{key}":{value}"#)).collect());
            let b64 = list(encoded.iter().map(|(key, value)| format!(r#""{}":{value}"#, if key == "a" { "YQ==" } else { "Yg==" })).collect());
            let del = list(dels.iter().map(|key| format!(r#""{key}""#)).collect());
            pair.answer(&format!(r#"{{"id":{id},"put":{{{put}}},"put_b64":{{{b64}}},"del":[{del}]}}"#));
            newest.extend(puts.iter().chain(encoded).map(|(key, value)| (key.clone(), *value)));
            for key in dels {
                newest.remove(key);
            }
        }
        let answers = pair.ledger.take().unwrap();
        let (disk, identity) = (MemStorage::new(), Identity {
            task: "t/0".into(),
            fingerprint: Fingerprint(1),
            outputs: Vec::new(),
            new_id: JournalId(7),
        });
        let small = Settings { first_segment_bytes: 4096, segment_bytes_max: 4096 };
        for life in 0..4 {
            let state = Arc::new(Mutex::new(KeyedState::new("t/0", 10_000)));
            let mut journal = Journal::open(disk.clone(), &identity, small, Arc::clone(&state)).unwrap().journal;
            if life == 0 {
                let position = Some(answers.changes.clone());
                journal.append(&Commit { position, ..Commit::empty(CommitId(1)) }, None).unwrap();
                journal.to_sync().unwrap().run().unwrap();
            }
            let state = lock(&state);
            let entry = |(key, value): (&[u8], &[u8])| {
                (String::from_utf8(key.to_vec()).unwrap(), serde_json::from_slice::<u8>(value).unwrap())
            };
            prop_assert_eq!(&state.entries().map(entry).collect::<BTreeMap<_, _>>(), &newest, "life {}", life);
            let bytes: u64 = newest.iter().map(|(key, value)| (key.len() + value.to_string().len() + 64) as u64).sum();
            prop_assert_eq!(state.bytes(), bytes);
            disk.crash(seed ^ life);
        }
    }

    #[test]
    fn any_lines_are_survived(lines in prop::collection::vec("\\{\"id\":[0-5],\"(emit|put|del|more)\":(true|\\[\"a\"\\]|\\{\"a\":1\\})\\}", 0..20)) {
        let mut pair = Pair::keyed();
        pair.feed("a\nb\na\n").asked();
        for line in lines {
            pair.ledger.answer(line.as_bytes()).ok();
        }
        pair.asked();
        pair.ledger.take();
    }
}
