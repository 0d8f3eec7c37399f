use super::*;
use crate::config::{
    BatchSpec, Graph, Limits, LinkSpec, MaxDead, OnError, Retry, StreamSpec, TaskKind, TaskSpec,
};
use crate::event::{
    BatchAction, BatchEvent, Body, Chunk, Failure, FailureKind, JournalAction, NodeAction, NodeError, Output,
    RecordsAction, Run, SinkAction, SinkEvent, SourceAction, SourceEvent, Spent, StreamAction, StreamEvent,
    TaskAction, TaskEvent,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use worker_proto::{Batch, Fingerprint, Incarnation};

pub(super) fn batch_spec() -> BatchSpec {
    let second = Duration::from_secs(1);
    BatchSpec {
        max_bytes: 1 << 20,
        max_records: u64::MAX,
        linger: Duration::from_millis(20),
        retry: Retry { max_attempts: 3, initial: second / 10, max: second },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Share(0.01),
    }
}

pub(super) fn stream_spec() -> StreamSpec {
    StreamSpec { window: None, early_exit_is_done: false, replay_bytes: 1 << 20, restart: None }
}

/// A line of tasks, each linked to the next, all on node `a`.
pub(super) fn line(kinds: Vec<TaskKind>) -> NodeConfig {
    let spec = |(at, kind)| TaskSpec { name: format!("t{at}/0"), node: NodeIx(0), kind };
    let tasks: Vec<_> = kinds.into_iter().enumerate().map(spec).collect();
    let task = |at: usize| TaskId(u32::try_from(at).unwrap());
    let links = (1..tasks.len()).map(|to| LinkSpec::new(task(to - 1), task(to))).collect();
    NodeConfig {
        cluster: "test".into(),
        nodes: vec!["a".into()],
        me: NodeIx(0),
        incarnation: Incarnation(1),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
        graph: Graph { tasks, links, ..Graph::default() },
        slots: 1,
        limits: Limits {
            credit_bytes: 4096,
            outbox_bytes: 8192,
            spill_bytes: 1 << 20,
            shared_credit_bytes: 0,
        },
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(100), max: Duration::from_secs(5) },
        linger: Duration::from_secs(5),
        seed: 1,
    }
}

pub(super) fn records(lines: &[&str]) -> Batch {
    Batch::from_terminated(Bytes::from(lines.iter().map(|l| format!("{l}\n")).collect::<String>()), b'\n')
}

fn to_link(link: u32, batch: Batch) -> Output {
    let records = batch.len() as u64;
    if batch.is_empty() {
        return Output::default();
    }
    Output {
        chunks: vec![Chunk { link: LinkId(link), body: Body::Memory(batch) }],
        records,
        ..Output::default()
    }
}

/// Drives one node: the source gives `input`, batch programs pass on records without `!` and fail on `!`.
struct Driver {
    node: Node,
    now: Time,
    input: VecDeque<Batch>,
    written: Vec<String>,
    runs: Vec<Run>,
    dead: Vec<String>,
    dead_attempts: Vec<u32>,
    stream: Vec<Batch>,
    end: Option<Result<(), NodeError>>,
}

impl Driver {
    fn new(config: NodeConfig, input: Vec<Batch>) -> Self {
        let node = Node::new(config, Time::ZERO);
        Self {
            node,
            now: Time::ZERO,
            input: input.into(),
            written: Vec::new(),
            runs: Vec::new(),
            dead: Vec::new(),
            dead_attempts: Vec::new(),
            stream: Vec::new(),
            end: None,
        }
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            if let Some(action) = self.node.poll_action() {
                self.act(action);
            } else if self.end.is_some() {
                return;
            } else if let Some((at, _)) = self.node.next_wake() {
                self.now = self.now.max(at);
                self.node.handle_wake(self.now);
            } else {
                panic!("stuck: {:?}", self.node.stalls());
            }
        }
        panic!("endless");
    }

    fn tell(&mut self, event: Event) {
        self.node.handle(self.now, event);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Task(task, TaskAction::Source(SourceAction::Read { chunks, .. })) => {
                for _ in 0..chunks {
                    match self.input.pop_front() {
                        Some(batch) => {
                            self.tell(Event::task(task, SourceEvent::Read { output: to_link(0, batch) }))
                        }
                        None => return self.tell(Event::task(task, SourceEvent::Ended { complete: true })),
                    }
                }
            }
            Action::Task(task, TaskAction::Source(SourceAction::Stop | SourceAction::Cancel)) => {
                self.tell(Event::task(task, SourceEvent::Ended { complete: true }))
            }
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                self.dead_attempts.extend(commit.dead.iter().map(|d| d.attempts));
                self.dead
                    .extend(commit.dead.iter().map(|d| String::from_utf8_lossy(&d.record).trim().to_owned()));
                self.tell(Event::Task(task, TaskEvent::Persisted { commit: commit.id }));
            }
            Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) => {
                let work = run.work;
                let all: Vec<_> = run.input.iter().flat_map(Batch::iter).map(<[u8]>::to_vec).collect();
                let bad = all.iter().any(|r| r.contains(&b'!'));
                let result = if bad { Err(failure()) } else { Ok(to_link(task.0, joined(&all))) };
                self.runs.push(run);
                self.tell(Event::task(task, BatchEvent::Done { work, result, spent: Spent::default() }));
            }
            Action::Task(_, TaskAction::Stream(StreamAction::Start { .. })) => self.stream.clear(),
            Action::Task(task, TaskAction::Stream(StreamAction::Feed { window, batch })) => {
                let cost = batch.cost();
                self.stream.push(batch);
                self.tell(Event::task(task, StreamEvent::Fed { window, cost }));
            }
            Action::Task(task, TaskAction::Stream(StreamAction::Close { window })) => {
                let count: usize = self.stream.iter().map(Batch::len).sum();
                let result = Ok(to_link(task.0, records(&[&count.to_string()])));
                self.tell(Event::task(task, StreamEvent::Exited { window, result, early: false }));
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Write { work, batches })) => {
                let lines = batches.iter().flat_map(Batch::iter);
                self.written.extend(lines.map(|r| String::from_utf8_lossy(r).trim_end().to_owned()));
                self.tell(Event::task(task, SinkEvent::Written { work, position: None }));
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Close)) => {
                self.tell(Event::task(task, SinkEvent::Closed))
            }
            Action::Node(NodeAction::Finished) => self.end = Some(Ok(())),
            Action::Node(NodeAction::Halt { error }) => self.end = Some(Err(error)),
            Action::Task(
                _,
                TaskAction::Batch(BatchAction::Kill)
                | TaskAction::Stream(StreamAction::Kill)
                | TaskAction::Records(RecordsAction::Kill),
            )
            | Action::Node(NodeAction::Report(_) | NodeAction::KeepPeer { .. }) => {}
            Action::Conn(..)
            | Action::Link(..)
            | Action::Task(
                _,
                TaskAction::Records(_)
                | TaskAction::Sink(SinkAction::Header { .. })
                | TaskAction::Journal(JournalAction::Note(_)),
            ) => {
                panic!("unexpected on one node: {action:?}")
            }
        }
    }
}

fn failure() -> Failure {
    Failure { kind: FailureKind::Exit(1), message: "exit 1".into(), stderr_tail: String::new(), silent: true }
}

fn joined(all: &[Vec<u8>]) -> Batch {
    Batch::from_terminated(all.concat().into(), b'\n')
}

#[test]
fn records_travel_from_source_to_sink_in_order() {
    let kinds =
        vec![TaskKind::Source, TaskKind::Batch(batch_spec()), TaskKind::Batch(batch_spec()), TaskKind::Sink];
    let input: Vec<_> = (0..50).map(|i| records(&[&format!("a{i}"), &format!("b{i}")])).collect();
    let mut driver = Driver::new(line(kinds), input);
    driver.run();
    assert_eq!(driver.end, Some(Ok(())));
    let want: Vec<_> = (0..50).flat_map(|i| [format!("a{i}"), format!("b{i}")]).collect();
    assert_eq!(driver.written, want);
}

#[test]
fn a_record_that_fails_alone_is_dead_lettered_and_the_others_keep_their_order() {
    let kinds = vec![TaskKind::Source, TaskKind::Batch(batch_spec()), TaskKind::Sink];
    let mut driver = Driver::new(line(kinds), vec![records(&["1", "2", "3!", "4", "5", "6", "7!", "8"])]);
    driver.run();
    assert_eq!(driver.end, Some(Ok(())));
    assert_eq!(driver.written, ["1", "2", "4", "5", "6", "8"]);
    assert_eq!(driver.dead, ["3!", "7!"]);
    assert_eq!(
        driver.dead_attempts,
        [8, 8],
        "three as a batch of 8, then as parts of 4 and 2, and three alone"
    );
    let whole = driver.runs.iter().filter(|r| r.batch_id == driver.runs[0].batch_id).count();
    assert_eq!(whole, 3, "the whole batch was tried max_attempts times");
    let parts = driver
        .runs
        .iter()
        .skip(whole)
        .map(|run| (run.input.iter().map(worker_proto::Batch::len).sum::<usize>(), run.attempt));
    let parts: Vec<_> = parts.collect();
    assert!(
        parts.iter().all(|&(records, attempt)| attempt == 1 || records == 1),
        "halves are tried once: {parts:?}"
    );
}

#[test]
fn a_program_that_fails_on_everything_halts_with_advice() {
    let kinds = vec![TaskKind::Source, TaskKind::Batch(batch_spec()), TaskKind::Sink];
    let mut driver = Driver::new(line(kinds), vec![records(&["x!"; 100])]);
    driver.run();
    let Some(Err(error)) = driver.end else { panic!("did not halt") };
    assert!(error.to_string().contains("ok_exit = [0, 1] (on the command line --ok-exit 0,1)"), "{error}");
    assert!(driver.dead.len() < 16);
}

#[test]
fn a_stream_gives_its_answer_once_also_for_no_input() {
    for (lines, want) in [(vec![records(&["a", "b", "c"])], "3"), (Vec::new(), "0")] {
        let mut driver =
            Driver::new(line(vec![TaskKind::Source, TaskKind::Stream(stream_spec()), TaskKind::Sink]), lines);
        driver.run();
        assert_eq!((driver.end, driver.written), (Some(Ok(())), vec![want.to_owned()]));
    }
}

#[test]
fn a_window_of_records_restarts_the_program() {
    let window = Some(crate::config::Window::Records(4));
    let spec = StreamSpec { window, early_exit_is_done: false, replay_bytes: 1 << 20, restart: None };
    let mut driver = Driver::new(
        line(vec![TaskKind::Source, TaskKind::Stream(spec), TaskKind::Sink]),
        vec![records(&["a", "b", "c"]), records(&["d", "e", "f", "g", "h", "i"])],
    );
    driver.run();
    assert_eq!(driver.written, ["4", "4", "1"]);
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    let trace = || {
        let kinds = vec![TaskKind::Source, TaskKind::Batch(batch_spec()), TaskKind::Sink];
        let mut driver = Driver::new(line(kinds), vec![records(&["1", "2!", "3", "4", "5!"])]);
        driver.run();
        (format!("{:?}", driver.runs), driver.written, driver.now)
    };
    assert_eq!(trace(), trace());
}
