//! Children that have something to do and do nothing are told of, whatever their timeout.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use worker_bin::child::records::{Answers, KeyedState, RecordsEvents, RecordsHandle, RecordsRules};
use worker_bin::child::{Idle, StreamEvents, StreamHandle, start_records, start_stream};
use worker_proto::{LinkId, Seq};

/// So long is looked that nothing is told: longer than it takes until something is.
const LONG: Duration = Duration::from_secs(5);

/// What is told of one child's rest; of the rest of it, nothing.
struct IdleRecorder(mpsc::UnboundedSender<Option<Idle>>);

impl StreamEvents for IdleRecorder {
    fn fed(&mut self, _: u64) {}

    fn output(&mut self, _: Batch, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn idle(&mut self, rest: Option<Idle>) {
        self.0.send(rest).ok();
    }

    fn exited(&mut self, _: Result<(), Failure>, _: bool) {}
}

impl RecordsEvents for IdleRecorder {
    fn answered(&mut self, _: Answers) {}

    fn idle(&mut self, rest: Option<Idle>) {
        self.0.send(rest).ok();
    }

    fn ended(&mut self, _: Result<Answers, Failure>) {}
}

type Told = mpsc::UnboundedReceiver<Option<Idle>>;

fn stream(launcher: &Launcher, program: Program) -> (StreamHandle, Told) {
    let (sender, told) = mpsc::unbounded_channel();
    (start_stream(launcher, Arc::new(program), env(), None, None, IdleRecorder(sender)), told)
}

/// A program that was asked about one record.
fn asked(launcher: &Launcher, program: &Program) -> (RecordsHandle, Told) {
    let (sender, told) = mpsc::unbounded_channel();
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
    let handle = start_records(launcher, program, env(), &rules, state, async {}, IdleRecorder(sender));
    handle.request(LinkId(0), Seq(1), lines("x\n"));
    (handle, told)
}

async fn next(told: &mut Told) -> Option<Idle> {
    tokio::time::timeout(DEADLINE, told.recv()).await.expect("nothing is told").unwrap()
}

async fn nothing_is(told: &mut Told, why: &str) {
    if let Ok(said) = tokio::time::timeout(LONG, told.recv()).await {
        panic!("{why}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_program_that_hangs() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let hangs = tokio::spawn(async move {
        let (launcher, program, env) = (launcher(), sh("sleep 1000"), env());
        let tell = |rest| sender.send(rest).unwrap_or_default();
        let oversight = Oversight { on_idle: &tell, ..Oversight::none() };
        run_batch(&launcher, &program, &env, None, vec![lines("a\nb\n")], &mut |_| Ok(()), oversight).await.0
    });
    let Some(Idle::Hung { idle_for, unread_bytes: 4, closed: true }) = next(&mut told).await else {
        panic!("it has not read 4 bytes, and its input has ended")
    };
    assert!(idle_for >= Duration::from_secs(2), "{idle_for:?}");
    nothing_is(&mut told, "it was said once").await;
    hangs.abort();
    assert_eq!(next(&mut told).await, None, "a killed program does not hang any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_read_everything_and_does_not_end() {
    let launcher = launcher();
    let (handle, mut told) = stream(&launcher, sh("cat > /dev/null; sleep 4; sleep 1000"));
    handle.close();
    let hangs = next(&mut told).await;
    assert!(matches!(hangs, Some(Idle::Hung { unread_bytes: 0, closed: true, .. })), "{hangs:?}");
    // Another program is started, which uses the processor.
    assert_eq!(next(&mut told).await, None);
    assert!(matches!(next(&mut told).await, Some(Idle::Hung { .. })));
    handle.kill();
    assert_eq!(next(&mut told).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_works_or_has_nothing_to_do_does_not_hang() {
    let launcher = launcher();
    let (busy, mut told_busy) = stream(&launcher, sh("while :; do :; done"));
    busy.feed(lines("unread\n"));
    let (idle, mut told_idle) = stream(&launcher, sh("while read line; do echo $line; done"));
    idle.feed(lines("read and printed\n"));
    let (_fresh, mut told_fresh) = stream(&launcher, sh("sleep 1000"));
    tokio::join!(
        nothing_is(&mut told_busy, "it computes"),
        nothing_is(&mut told_idle, "it has answered all"),
        nothing_is(&mut told_fresh, "it was given nothing"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_buffers_until_it_prints() {
    let launcher = launcher();
    let (handle, mut told) = stream(&launcher, sh("read a; read b; echo $a $b; cat > /dev/null"));
    handle.feed(lines("12\n"));
    let said = next(&mut told).await;
    assert!(matches!(said, Some(Idle::Buffering { fed_bytes: 3, .. })), "{said:?}");
    handle.feed(lines("3\n"));
    assert_eq!(next(&mut told).await, None, "it goes on");
    nothing_is(&mut told, "it has printed").await;
    handle.feed(lines("4567\n"));
    let said = next(&mut told).await;
    assert!(matches!(said, Some(Idle::Buffering { fed_bytes: 5, .. })), "{said:?}");
    handle.close();
    assert_eq!(next(&mut told).await, None, "the end lets it end");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_owes_an_answer() {
    let launcher = launcher();
    let (_hangs, mut told) = asked(&launcher, &sh("sleep 1000"));
    let (silent, mut told_silent) = asked(&launcher, &sh("cat > /dev/null"));
    let answers = "read hello; read one; echo '{\"id\":1}'; read two; cat > /dev/null";
    let (once, mut told_once) = asked(&launcher, &sh(answers));
    let said = next(&mut told).await;
    assert!(matches!(said, Some(Idle::Hung { unread_bytes: 1.., closed: false, .. })), "{said:?}");
    let said = next(&mut told_silent).await;
    assert!(matches!(said, Some(Idle::Buffering { .. })), "it has read all and never answered: {said:?}");
    // Before it is hinted at in the log, which another test looks at.
    silent.kill();
    assert_eq!(next(&mut told_silent).await, None);
    nothing_is(&mut told_once, "it owes nothing").await;
    once.request(LinkId(0), Seq(2), lines("y\n"));
    let said = next(&mut told_once).await;
    assert!(matches!(said, Some(Idle::Hung { unread_bytes: 0, closed: false, .. })), "{said:?}");
}
