//! The contract of records children.

use super::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use worker_bin::child::records::{Answers, KeyedState, RecordsEvents, RecordsHandle, RecordsRules};
use worker_bin::child::start_records;
use worker_core::event::FailureKind;
use worker_core::route::PartitionBy;
use worker_proto::{LinkId, Seq};

/// What every Python program here begins with: `m` is the message.
const EACH: &str = "import json, sys\nstate = {}\ndef say(**a): print(json.dumps(a), flush=True)\n\
                    for line in sys.stdin:\n  m = json.loads(line)\n  if 'hello' in m: state.update(m['state']); continue\n";

enum Told {
    Answered(Answers),
    Ended(Result<Answers, Failure>),
}

struct Recorder(mpsc::UnboundedSender<Told>);

impl RecordsEvents for Recorder {
    fn answered(&mut self, answers: Answers) {
        self.0.send(Told::Answered(answers)).ok();
    }

    fn ended(&mut self, result: Result<Answers, Failure>) {
        self.0.send(Told::Ended(result)).ok();
    }
}

struct Records {
    handle: RecordsHandle,
    told: mpsc::UnboundedReceiver<Told>,
    state: Arc<Mutex<KeyedState>>,
    seq: u64,
}

/// All that was told.
#[derive(Debug, Default)]
struct Rest {
    records: u64,
    emitted: Vec<u8>,
    dead: Vec<String>,
    result: Option<Result<(), Failure>>,
}

impl Rest {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.emitted).into_owned()
    }

    fn failure(self) -> Failure {
        self.result.unwrap().unwrap_err()
    }
}

fn rules() -> RecordsRules {
    let by = PartitionBy::Field { index: NonZeroUsize::MIN, delimiter: None };
    RecordsRules {
        partition_by: Some(by),
        envelope_in: b'\n'.into(),
        inline: false,
        in_flight: 1000,
        in_flight_bytes: 1 << 20,
        keys_wanted: false,
        is_read: true,
    }
}

fn python(body: &str) -> Program {
    Program::new("stage", ["python3", "-c", &format!("{EACH}{body}")])
}

fn state() -> Arc<Mutex<KeyedState>> {
    Arc::new(Mutex::new(KeyedState::new("stage/3", 1 << 30)))
}

impl Records {
    fn start(program: &Program) -> Self {
        Self::start_with(program, &rules(), state())
    }

    fn start_with(program: &Program, rules: &RecordsRules, state: Arc<Mutex<KeyedState>>) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let handle =
            start_records(&launcher(), program, env(), rules, Arc::clone(&state), async {}, Recorder(sender));
        Self { handle, told, state, seq: 1 }
    }

    fn feed(mut self, text: impl Into<Bytes>) -> Self {
        let batch = lines(text);
        let first_seq = Seq(self.seq);
        self.seq += batch.len() as u64;
        self.handle.request(LinkId(7), first_seq, batch);
        self
    }

    async fn next(&mut self) -> Told {
        tokio::time::timeout(DEADLINE, self.told.recv()).await.expect("nothing is told").unwrap()
    }

    /// Takes all that is told until the end; what was answered is committed.
    async fn rest(&mut self) -> Rest {
        let mut rest = Rest::default();
        loop {
            let (answers, ended) = match self.next().await {
                Told::Answered(answers) => (answers, false),
                Told::Ended(Ok(answers)) => (answers, true),
                Told::Ended(Err(failure)) => {
                    rest.result = Some(Err(failure));
                    return rest;
                }
            };
            rest.records += answers.records;
            rest.emitted.extend_from_slice(answers.emitted.payload());
            rest.dead.extend(answers.dead.iter().map(|l| format!("{:?} {}", l.origin, l.reason)));
            self.state.lock().unwrap().apply(&answers.changes);
            if ended {
                rest.result = Some(Ok(()));
                return rest;
            }
        }
    }

    async fn end(mut self) -> Rest {
        self.handle.end();
        self.rest().await
    }

    fn committed(&self) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.state.lock().unwrap().entries().map(|(key, value)| (text(key), text(value))).collect()
    }
}

fn example(name: &str) -> String {
    format!("{}/../examples/records/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_gives_everything_back_in_order() {
    let echo = python("  say(id=m['id'], emit=[m['record']] if 'record' in m else ['end'])");
    let text: String = (0..20_000).fold(String::new(), |mut text, n| {
        writeln!(text, "{} \"é\\\t{n}", n % 10).unwrap();
        text
    });
    let rest = Records::start(&echo).feed(text.clone()).feed("").feed("last").end().await;
    assert_eq!(
        (rest.records, rest.text() == text + "last\nend\n", rest.result),
        (20_001, true, Some(Ok(())))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_at_once() {
    let mut echo = Records::start(&python("  say(id=m['id'], emit=[m.get('record', '')])"));
    for number in 0..100 {
        echo = echo.feed(format!("{number}\n"));
        let Told::Answered(answers) = echo.next().await else { panic!("it ended") };
        assert_eq!((answers.records, &answers.emitted.payload()[..]), (1, format!("{number}\n").as_bytes()));
    }
    echo.handle.tick();
    let Told::Answered(answers) = echo.next().await else { panic!("it ended") };
    assert_eq!((answers.records, &answers.emitted.payload()[..]), (0, &b"\n"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_counts_on_after_a_restart() {
    let program = Program::new("stage", ["python3", &example("count.py")]);
    let mut first = Records::start(&program).feed("a 1\nb 1\na 2\n");
    let mut records = 0;
    while records < 3 {
        let Told::Answered(answers) = first.next().await else { panic!("it ended") };
        records += answers.records;
        first.state.lock().unwrap().apply(&answers.changes);
    }
    first.handle.kill();
    assert_eq!(first.rest().await.failure().kind, FailureKind::Signal(9));
    let mut second = Records::start_with(&program, &rules(), first.state).feed("a 3\nc 1\n");
    second.handle.end();
    let rest = second.rest().await;
    assert_eq!((rest.records, rest.text()), (2, "3 a\n1 b\n1 c\n".into()));
    let counts = [("a", "3"), ("b", "1"), ("c", "1")].map(|(k, n)| (k.to_owned(), n.to_owned()));
    assert_eq!(second.committed(), BTreeMap::from(counts));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_example_numbers_with_inline_state() {
    let program = Program::new("stage", [&example("count.sh")]);
    let rules = RecordsRules { inline: true, ..rules() };
    let records = Records::start_with(&program, &rules, state()).feed("a x\nb \"state\":{\na y\na z\nb w\n");
    assert_eq!(records.end().await.text(), "1 a\n1 b\n2 a\n3 a\n2 b\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn different_keys_may_be_answered_in_any_order() {
    // Holds everything and answers it backwards, key by key in order.
    let body = "  state.setdefault(m.get('key'), []).append(m)\n  if 'end' in m or m.get('record') == 'z go':\n    \
                for key in sorted((k for k in state if k), reverse=True):\n      for r in state.pop(key): say(id=r['id'], emit=[r['record']])\n    \
                if 'end' in m: say(id=m['id'])";
    let mut records = Records::start(&python(body)).feed("a 1\nb 1\na 2\nc 1\nz go\nb 2\n");
    records.handle.end();
    let rest = records.rest().await;
    assert_eq!((rest.text(), rest.result), ("a 1\nb 1\na 2\nc 1\nz go\nb 2\n".into(), Some(Ok(()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_in_the_middle_leaves_the_answered_prefix() {
    let body = "  if m['id'] == 4: sys.exit('oh no')\n  say(id=m['id'], emit=['ok'], put={m['key']: 1})";
    let mut records = Records::start(&python(body)).feed("a\nb\nc\nd\ne\n");
    let rest = records.rest().await;
    assert_eq!((rest.records, rest.text()), (3, "ok\nok\nok\n".into()));
    let failure = rest.failure();
    assert_eq!((failure.kind, failure.stderr_tail.as_str()), (FailureKind::Exit(1), "oh no"));
    assert_eq!(records.committed().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_early_fails_even_with_a_good_exit() {
    let mut records = Records::start(&python("  say(id=m['id']); sys.exit(0)")).feed("a\nb\nc\n");
    let failure = records.rest().await.failure();
    assert_eq!(failure.kind, FailureKind::EarlyExit);
    assert!(
        failure.message.contains("exited well before it had answered the end, with 2 requests"),
        "{failure:?}"
    );
    // With the end answered, a bad exit is a failure still, and the end's answer does not count.
    let records =
        Records::start(&python("  say(id=m['id'], emit=['x'])\n  if 'end' in m: sys.exit(3)")).feed("a\n");
    let rest = records.end().await;
    assert!(rest.records <= 1 && rest.text().lines().count() <= 1);
    assert_eq!(rest.failure().kind, FailureKind::Exit(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_rules_are_told_with_what_came_and_what_was_expected() {
    let cases = [
        ("  say(id=m['id']); say(id=m['id'])", "answered id 1 twice"),
        ("  say(id=m['id'] + 1000)", "answered id 1001, which it was not asked"),
        (
            "  print('hello there', flush=True)",
            "a line that is no answer (expected value at line 1 column 1): \"hello there\"",
        ),
        ("  say(id=m['id'], emit='x')", "invalid type: string \"x\", expected a sequence"),
        ("  say(id=m['id'], put={'other': 1})", "may only name its own key"),
        ("  say(id=m['id'], emit=['x\\ny'])", "contains the byte that ends records"),
        ("  print('x' * 3_000_000, flush=True)", "longer than 2 101 248 bytes"),
        ("  sys.stdout.buffer.write(b'{\"id\":1,\"emit\":[\"\\xff\"]}\\n'); sys.stdout.flush()", "unicode"),
    ];
    for (body, expected) in cases {
        let failure = Records::start(&python(body)).feed("a\nb\n").rest().await.failure();
        assert_eq!(failure.kind, FailureKind::Output, "{failure:?}");
        assert!(failure.message.contains(expected) && failure.message.contains("python3"), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answers_is_killed_though_it_has_read_everything() {
    let program = Program { timeout: Some(Duration::from_millis(500)), ..python("  pass") };
    let failure = Records::start(&program).feed("a\nb\n").rest().await.failure();
    assert_eq!(failure.kind, FailureKind::Timeout);
    // One that owes nothing may wait for ever.
    let program = Program { timeout: Some(Duration::from_millis(500)), ..python("  say(id=m['id'])") };
    let mut records = Records::start(&program).feed("a\n");
    assert!(matches!(records.next().await, Told::Answered(_)));
    assert!(tokio::time::timeout(Duration::from_secs(2), records.next()).await.is_err());
    assert_eq!(records.feed("b\n").end().await.records, 1);
    // It has answered all, and does not go.
    let program = Program {
        timeout: Some(Duration::from_millis(500)),
        ..python("  say(id=m['id'])\nimport time; time.sleep(1000)")
    };
    assert_eq!(Records::start(&program).feed("a\n").end().await.failure().kind, FailureKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_go_in_and_out() {
    let body = "  r = m.get('record_b64')\n  say(id=m['id'], emit=[{'record_b64': r}] if r else [m.get('record', 'end')], \
                **({'put_b64': {m['key_b64']: r}} if 'key_b64' in m else {}))";
    let mut records = Records::start(&python(body)).feed(&b"a\xff b\nplain\n"[..]);
    records.handle.end();
    let rest = records.rest().await;
    assert_eq!(rest.emitted, b"a\xff b\nplain\nend\n");
    assert_eq!(records.state.lock().unwrap().committed(b"a\xff"), Some(&b"\"Yf8gYg==\""[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_state_is_given_in_pieces() {
    let state = state();
    let task = Records::start_with(
        &python("  say(id=m['id'], put={k: 'x' * 50 for k in map(str, range(20_000))})"),
        &rules(),
        state,
    );
    task.handle.tick();
    task.handle.end();
    let state = Arc::clone(&task.state);
    let mut task = task;
    assert_eq!(task.rest().await.result, Some(Ok(())));
    let body = "  say(id=m['id'], emit=[f'{len(state)} {state[\"19999\"]}'])";
    let rest = Records::start_with(&python(body), &rules(), state).end().await;
    assert_eq!(rest.text(), format!("20000 {}\n", "x".repeat(50)));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_records_are_dead_letters_with_their_origin() {
    let body = "  say(id=m['id'], fail='odd') if m.get('record') in ('1', '3') else say(id=m['id'])";
    let rest = Records::start(&python(body)).feed("0\n1\n").feed("2\n3\n").end().await;
    let want = [2, 4].map(|seq| format!("{:?} odd", Some((LinkId(7), Seq(seq)))));
    assert_eq!((rest.records, rest.dead), (4, want.to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_pipe_and_window_goes_through() {
    let rules = RecordsRules { in_flight: 2, in_flight_bytes: 1000, ..rules() };
    let large = "x".repeat(3 << 20);
    let program = Program { max_record: 4 << 20, ..python("  say(id=m['id'], emit=[m.get('record', '')])") };
    let records = Records::start_with(&program, &rules, state()).feed(format!("a\n{large}\nb\n{large}\nc"));
    assert_eq!(records.end().await.text(), format!("a\n{large}\nb\n{large}\nc\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_start_or_is_dropped_leaves_nothing() {
    let failure = Records::start(&Program::new("s", ["no-such-program"])).rest().await.failure();
    assert_eq!(failure.kind, FailureKind::CannotStart);
    let marker = unique_sleep();
    let records = Records::start(&sh(&format!("sleep {marker}")));
    until("it runs", || !living(&marker).is_empty()).await;
    drop(records.handle);
    until("it is gone", || living(&marker).is_empty()).await;
}
