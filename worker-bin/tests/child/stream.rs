//! The contract of stream children.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use worker_bin::child::{StreamEvents, StreamHandle, start_stream};
use worker_core::event::FailureKind;

#[derive(Debug, PartialEq)]
enum Told {
    Fed(u64),
    Output(String, bool),
    Exited(Result<(), Failure>, bool),
}

struct Recorder(mpsc::UnboundedSender<Told>);

impl StreamEvents for Recorder {
    fn fed(&mut self, cost: u64) {
        self.0.send(Told::Fed(cost)).unwrap();
    }

    fn output(&mut self, batch: Batch, after_close: bool) -> Result<(), String> {
        let text = String::from_utf8_lossy(batch.payload()).into_owned();
        self.0.send(Told::Output(text, after_close)).map_err(|_| "gone".into())
    }

    fn exited(&mut self, result: Result<(), Failure>, early: bool) {
        self.0.send(Told::Exited(result, early)).ok();
    }
}

struct Stream {
    handle: StreamHandle,
    told: mpsc::UnboundedReceiver<Told>,
    fed: u64,
}

impl Stream {
    fn start(program: Program) -> Self {
        Self::start_on(&launcher(), program)
    }

    fn start_on(launcher: &Launcher, program: Program) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let handle = start_stream(launcher, Arc::new(program), env(), None, None, Recorder(sender));
        Self { handle, told, fed: 0 }
    }

    /// The next that is not about feeding.
    async fn next(&mut self) -> Told {
        loop {
            let told = tokio::time::timeout(DEADLINE, self.told.recv()).await.expect("nothing is told");
            match told.unwrap() {
                Told::Fed(cost) => self.fed += cost,
                told @ (Told::Output(..) | Told::Exited(..)) => return told,
            }
        }
    }

    /// Everything printed before and after the close, and the end.
    async fn rest(mut self) -> (String, String, Result<(), Failure>, bool, u64) {
        let (mut before, mut after) = (String::new(), String::new());
        loop {
            match self.next().await {
                Told::Output(text, false) => before += &text,
                Told::Output(text, true) => after += &text,
                Told::Exited(result, early) => return (before, after, result, early, self.fed),
                Told::Fed(_) => unreachable!("kept by next"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_input_programs_print_after_the_close() {
    let mut cost = 0;
    let stream = Stream::start(Program::new("s", ["sort"]));
    for text in ["c\na\n", "b\n"] {
        cost += lines(text).cost();
        stream.handle.feed(lines(text));
    }
    stream.handle.close();
    assert_eq!(stream.rest().await, (String::new(), "a\nb\nc\n".into(), Ok(()), false, cost));
    let stream = Stream::start(Program::new("s", ["awk", "{n+=$1} END{printf \"%d\", n}"]));
    let input = "7\n".repeat(1_000_000);
    stream.handle.feed(lines(input));
    stream.handle.close();
    let (before, after, result, early, _) = stream.rest().await;
    assert_eq!((before.as_str(), after.as_str(), result, early), ("", "7000000\n", Ok(()), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_comes_at_once() {
    let mut stream = Stream::start(Program::new("s", ["cat"]));
    for number in 0..100 {
        stream.handle.feed(lines(format!("{number}\n")));
        assert_eq!(stream.next().await, Told::Output(format!("{number}\n"), false));
    }
    stream.handle.close();
    assert_eq!(stream.next().await, Told::Exited(Ok(()), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unterminated_line_counts_only_with_a_good_exit() {
    let stream = Stream::start(sh("cat >/dev/null; printf 'a\\nb'; exit 4"));
    stream.handle.close();
    let (_, after, result, early, _) = stream.rest().await;
    assert_eq!((after.as_str(), result.unwrap_err().kind, early), ("a\n", FailureKind::Exit(4), false));
    let stream = Stream::start(sh("cat >/dev/null; printf 'a\\nb'"));
    stream.handle.close();
    assert_eq!(stream.rest().await.1, "a\nb\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_before_the_input_is_early() {
    // Read to its end, but the input was not over.
    let mut stream = Stream::start(Program::new("s", ["head", "-n", "1"]));
    stream.handle.feed(lines("1\n2\n"));
    assert_eq!(stream.next().await, Told::Output("1\n".into(), false));
    assert_eq!(stream.next().await, Told::Exited(Ok(()), true));
    // Everything was written and the pipe closed, but not all was read: found by what is left in the pipe.
    let stream = Stream::start(sh("read line; echo $line"));
    stream.handle.feed(lines("1\n2\n".repeat(100_000)));
    stream.handle.close();
    let (before, after, result, early, _) = stream.rest().await;
    assert_eq!((before + &after, result, early), ("1\n".into(), Ok(()), true));
    // Never read at all, and more than the pipe holds.
    let stream = Stream::start(sh("echo out; exit 5"));
    stream.handle.feed(lines("x\n".repeat(2_000_000)));
    stream.handle.close();
    let (_, _, result, early, fed) = stream.rest().await;
    assert_eq!((result.unwrap_err().kind, early, fed), (FailureKind::Exit(5), true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_start_or_is_killed_says_so() {
    let mut stream = Stream::start(Program::new("s", ["no-such-program"]));
    let Told::Exited(Err(failure), true) = stream.next().await else { panic!("it started") };
    assert_eq!(failure.kind, FailureKind::CannotStart);
    let marker = unique_sleep();
    let mut stream = Stream::start(sh(&format!("sleep {marker}")));
    until("it runs", || !living(&marker).is_empty()).await;
    stream.handle.kill();
    let Told::Exited(Err(failure), true) = stream.next().await else { panic!("it lived") };
    assert_eq!(failure.kind, FailureKind::Signal(9));
    let marker = unique_sleep();
    let stream = Stream::start(sh(&format!("sleep {marker}")));
    until("it runs", || !living(&marker).is_empty()).await;
    drop(stream);
    until("it is gone", || living(&marker).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_waits_for_unread_input_or_the_close() {
    let program = Program { timeout: Some(Duration::from_millis(300)), ..sh("read a; read b; sleep 1000") };
    let mut stream = Stream::start(program);
    stream.handle.feed(lines("a\n"));
    // All is read: the child waits for us, however long.
    assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err());
    stream.handle.feed(lines("b\nc\n"));
    let Told::Exited(Err(failure), true) = stream.next().await else { panic!("it ended well") };
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn hash_seeds_are_fixed_and_the_task_is_told() {
    let script = "echo $PYTHONHASHSEED $PERL_HASH_SEED $WORKER_TASK $WORKER_STAGE $WORKER_PARTITION $WORKER_PARTITIONS \
                  $WORKER_BATCH_ID $WORKER_ATTEMPT; test -d \"$WORKER_TMPDIR\"; cat";
    let stream = Stream::start(sh(script));
    stream.handle.close();
    let (before, after, result, ..) = stream.rest().await;
    assert_eq!((before + &after, result), ("0 0 stage/3 stage 3 4 77 2\n".into(), Ok(())));
}

#[tokio::test]
async fn a_child_that_buffers_is_told_on_once() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer({
        let log = log.clone();
        move || log.clone()
    });
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let stream = Stream::start(sh("cat >/dev/null; echo end"));
    stream.handle.feed(lines("a\n"));
    let hints = || String::from_utf8_lossy(&log.0.lock().unwrap()).matches("stdbuf -oL").count();
    until("the hint is given", || {
        // Whoever comes by the hint first, on a thread without a subscriber, would turn it off for all.
        tracing::callsite::rebuild_interest_cache();
        hints() > 0
    })
    .await;
    stream.handle.close();
    assert_eq!(stream.rest().await.1, "end\n");
    assert_eq!(hints(), 1);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes nothing until it is let.
struct Reluctant(mpsc::UnboundedSender<Told>, Arc<std::sync::atomic::AtomicBool>);

impl StreamEvents for Reluctant {
    fn fed(&mut self, _cost: u64) {}

    fn output(&mut self, batch: Batch, after_close: bool) -> Result<(), String> {
        Recorder(self.0.clone()).output(batch, after_close)
    }

    fn takes_print(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn exited(&mut self, result: Result<(), Failure>, early: bool) {
        Recorder(self.0.clone()).exited(result, early);
    }
}

/// Neither its timeout, nor its end, nor the grace of what it left behind runs on while nobody reads what it prints.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_yet_is_not_lost() {
    for script in
        ["cat >/dev/null; seq 1000", "cat >/dev/null; seq 1000000", "cat >/dev/null; seq 1000000 | cat &"]
    {
        let (sender, mut told) = mpsc::unbounded_channel();
        let takes = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let limit = Duration::from_millis(300);
        let program = Program { timeout: Some(limit), stop_grace: limit, ..sh(script) };
        let events = Reluctant(sender, Arc::clone(&takes));
        let handle = start_stream(&launcher(), Arc::new(program), env(), None, None, events);
        handle.close();
        let early = tokio::time::timeout(Duration::from_secs(2), told.recv()).await;
        assert!(early.is_err(), "{script}: {early:?}");
        takes.store(true, Ordering::Relaxed);
        let mut printed = String::new();
        let ended = loop {
            match tokio::time::timeout(DEADLINE, told.recv()).await.expect("it ends").unwrap() {
                Told::Output(text, _) => printed += &text,
                Told::Exited(result, _) => break result,
                Told::Fed(_) => {}
            }
        };
        assert_eq!(
            (ended, printed.lines().count()),
            (Ok(()), if script.contains("1000000") { 1_000_000 } else { 1000 })
        );
    }
}
