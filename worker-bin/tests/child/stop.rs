//! Programs that are stopped: they have time, and what they say meanwhile is heard.

use super::*;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use worker_bin::child::records::{Answers, KeyedState, RecordsEvents, RecordsRules};
use worker_bin::child::{Manner, StopOrder, StreamEvents, start_records, start_source, start_stream};
use worker_core::event::FailureKind;

const SHORT: Duration = Duration::from_millis(300);

/// What a child was heard to say, and how it ended.
#[derive(Debug)]
enum Said {
    Output(String),
    Ended(Result<(), Failure>),
}

struct Recorder(mpsc::UnboundedSender<Said>);

impl StreamEvents for Recorder {
    fn fed(&mut self, _: u64) {}

    fn output(&mut self, batch: Batch, _: bool) -> Result<(), String> {
        self.0.send(Said::Output(String::from_utf8_lossy(batch.payload()).into_owned())).ok();
        Ok(())
    }

    fn exited(&mut self, result: Result<(), Failure>, _: bool) {
        self.0.send(Said::Ended(result)).ok();
    }
}

impl RecordsEvents for Recorder {
    fn answered(&mut self, answers: Answers) {
        self.0.send(Said::Output(format!("{} answers", answers.records))).ok();
    }

    fn ended(&mut self, result: Result<Answers, Failure>) {
        self.0.send(Said::Ended(result.map(drop))).ok();
    }
}

/// Everything that is said until the end.
async fn heard(said: &mut mpsc::UnboundedReceiver<Said>) -> (String, Result<(), Failure>) {
    let mut all = String::new();
    loop {
        match tokio::time::timeout(DEADLINE, said.recv()).await.expect("it ends").unwrap() {
            Said::Output(text) => all.push_str(&text),
            Said::Ended(result) => return (all, result),
        }
    }
}

/// Starts a stream of this script, waits until it prints, stops it so, and hears it to its end.
async fn stopped(
    script: &str,
    grace: Duration,
    stop: impl FnOnce(&worker_bin::child::StreamHandle),
) -> (String, Result<(), Failure>) {
    let (sender, mut said) = mpsc::unbounded_channel();
    let program = Arc::new(Program { stop_grace: grace, ..sh(script) });
    let handle = start_stream(&launcher(), program, env(), None, None, Recorder(sender));
    handle.feed(lines("one\n"));
    let first = tokio::time::timeout(DEADLINE, said.recv()).await.expect("it runs");
    let Some(Said::Output(first)) = first else { panic!("{first:?}") };
    stop(&handle);
    let (rest, result) = heard(&mut said).await;
    (first + &rest, result)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_its_input_ended_and_what_it_says_then_is_heard() {
    let script = "echo up; while read line; do echo got $line; done; echo bye";
    let (text, result) = stopped(script, DEADLINE, |handle| handle.stop(Manner::Close)).await;
    assert_eq!((text.as_str(), result), ("up\ngot one\nbye\n", Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_end_with_its_input_is_asked_to() {
    let script = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let (text, result) = stopped(script, SHORT, |handle| handle.stop(Manner::Close)).await;
    assert_eq!((text.as_str(), result), ("up\nasked\n", Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_listen_is_killed_with_all_its_processes() {
    let marker = unique_sleep();
    let script =
        format!("trap '' TERM; (trap '' TERM; sleep {marker}) & echo up; while :; do sleep 0.05; done");
    let begun = Instant::now();
    let (text, result) = stopped(&script, SHORT, |handle| handle.stop(Manner::Close)).await;
    assert_eq!((text.as_str(), result.unwrap_err().kind), ("up\n", FailureKind::Signal(9)));
    assert!(begun.elapsed() >= 2 * SHORT, "each step has its grace");
    until("its process is gone", || living(&marker).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stream_that_leaves_nothing_is_heard_but_its_end() {
    let script = "echo up; cat; echo bye";
    let (text, result) = stopped(script, DEADLINE, |handle| handle.leave(Manner::Close)).await;
    assert!(!text.contains("bye"), "{text}");
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_program_whose_run_is_of_no_use_is_asked_to_end() {
    let (dir, order) = (tempfile::tempdir().unwrap(), Arc::new(StopOrder::new()));
    let mark = |name: &str| dir.path().join(name);
    let script = "trap 'touch asked; exit 3' TERM; touch up; while :; do sleep 0.05; done";
    let program = Program { cwd: Some(dir.path().into()), ..sh(script) };
    let stop = Arc::clone(&order);
    let run = tokio::spawn(async move {
        let oversight = Oversight { stop: &stop, ..Oversight::none() };
        run_batch(&launcher(), &program, &env(), None, vec![lines("x\n")], &mut |_| Ok(()), oversight).await.0
    });
    until("it runs", || mark("up").exists()).await;
    order.stop(Manner::Terminate);
    let failure = tokio::time::timeout(DEADLINE, run).await.expect("it ends").unwrap().unwrap_err();
    assert_eq!((failure.kind, mark("asked").exists()), (FailureKind::Exit(3), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_records_program_that_leaves_sees_the_end_of_its_input() {
    let (sender, mut said) = mpsc::unbounded_channel();
    let dir = tempfile::tempdir().unwrap();
    let program = Program { cwd: Some(dir.path().into()), ..sh("touch up; cat > /dev/null; touch bye") };
    let rules = RecordsRules {
        partition_by: None,
        envelope_in: b'\n'.into(),
        inline: false,
        in_flight: 10,
        in_flight_bytes: 1 << 20,
        keys_wanted: false,
        is_read: true,
    };
    let state = Arc::new(Mutex::new(KeyedState::new("s/0", 1 << 20)));
    let handle = start_records(&launcher(), &program, env(), &rules, state, async {}, Recorder(sender));
    until("it runs", || dir.path().join("up").exists()).await;
    handle.leave(Manner::Close);
    let (text, result) = heard(&mut said).await;
    assert!(text.is_empty() && result.is_err(), "it has answered nothing: {text} {result:?}");
    assert!(dir.path().join("bye").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_asked_at_once_and_its_last_words_are_read() {
    let script = "trap 'echo last; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let order = Arc::new(StopOrder::new());
    let (mut file, mut child) =
        start_source(&launcher(), Arc::new(sh(script)), &env(), &order, |_| {}).await.unwrap();
    let mut up = [0; 3];
    let read = tokio::task::spawn_blocking(move || file.read_exact(&mut up).map(|()| file));
    let mut file = read.await.unwrap().unwrap();
    order.stop(Manner::Terminate);
    let read = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        file.read_to_string(&mut rest).map(|_| rest)
    });
    assert_eq!(read.await.unwrap().unwrap(), "last\n");
    child.wait().await.unwrap();
}
