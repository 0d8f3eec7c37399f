mod stalls;

use super::super::reasons::Why;
use super::*;
use crate::explain::{Stage, WaitKind};
use worker_core::config::{Graph, Limits, LinkSpec, StreamSpec, TaskKind, TaskSpec};
use worker_core::stall::{Blocker, Reason};
use worker_core::status::{InboundCounters, InboundStatus, LinkCounters, TaskCounters};
use worker_proto::LinkId;

const GREP: TaskId = TaskId(1);

/// Source 0 → batch 1 → sink 2; ten seconds without movement are a stall.
fn observer() -> Sampler {
    let spec = |name: &str, kind| TaskSpec { name: name.into(), node: NodeIx(0), kind };
    let tasks =
        vec![spec("src/0", TaskKind::Source), spec("grep/0", TaskKind::Sink), spec("out/0", TaskKind::Sink)];
    let link = |from, to| LinkSpec::new(TaskId(from), TaskId(to));
    let stage = |name: &str, kind| Stage {
        name: name.into(),
        kind,
        from: Vec::new(),
        partitions: 1,
        nodes: vec!["a".into()],
        rate: None,
    };
    Sampler::new(Outline {
        pipeline: "p".into(),
        delivery: "memory".into(),
        nodes: vec!["a".into()],
        admins: BTreeMap::new(),
        me: NodeIx(0),
        graph: Graph { tasks, links: vec![link(0, 1), link(1, 2)], ..Graph::default() },
        stages: vec![
            stage("src", StageKind::Source),
            stage("grep", StageKind::Batch),
            stage("out", StageKind::Sink),
        ],
        limits: Limits { credit_bytes: 1, outbox_bytes: 1, spill_bytes: 1, shared_credit_bytes: 0 },
        started_ms: 0,
        stall_after: Duration::from_secs(10),
        containment: "guardian",
        admin: None,
    })
}

/// A node that is sampled four times a second.
struct Watch {
    observer: Sampler,
    now: Time,
    records: [u64; 3],
    acknowledged: u64,
    held: u64,
    queued: u64,
    /// Records that the batch has taken and not done.
    gathered: u64,
    /// Records that its sender has no credit for.
    unsent: u64,
    paused: bool,
    stalls: BTreeMap<TaskId, Vec<Reason>>,
    followed: BTreeMap<TaskId, Followed>,
    told: Vec<(String, Option<f64>)>,
}

impl Watch {
    fn new() -> Self {
        Self {
            observer: observer(),
            now: Time::ZERO,
            records: [0; 3],
            acknowledged: 0,
            held: 0,
            queued: 0,
            gathered: 0,
            unsent: 0,
            paused: false,
            stalls: BTreeMap::new(),
            followed: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn waits(&mut self, task: TaskId, reasons: Vec<Reason>) {
        self.stalls.insert(task, reasons);
    }

    fn follows(&mut self, followed: Followed) {
        self.followed.insert(TaskId(0), followed);
    }

    fn hangs(&mut self, since: Time) {
        self.waits(GREP, vec![Reason::Blocked(Blocker::ChildHung { since, unread_bytes: 7, closed: true })]);
    }

    fn sample(&self) -> Sample {
        let counters = |records| TaskCounters { records_in: records, ..TaskCounters::default() };
        let tasks = (0..3).zip(self.records).map(|(at, records)| TaskStatus {
            task: TaskId(at),
            before: TaskCounters::default(),
            busy: Duration::ZERO,
            counters: counters(records),
            queued_records: if at == 1 { self.queued + self.gathered + self.unsent } else { 0 },
            unsent_records: if at == 1 { self.unsent } else { 0 },
            again_records: 0,
            undone_records: if at == 1 { self.queued + self.gathered + self.unsent } else { 0 },
            done_records: if at == 1 { records.saturating_sub(self.queued + self.gathered) } else { records },
            ended: false,
            done: false,
            paused: at == 2 && self.paused,
        });
        let link = LinkStatus {
            link: LinkId(0),
            counters: LinkCounters {
                held_records: self.held,
                memory_bytes: 0,
                spilled_bytes: 0,
                records: 0,
                retried_records: 0,
                dropped_records: 0,
                acknowledged_records: self.acknowledged,
                in_flight_records: 0,
                credit_bytes: None,
            },
            open: true,
        };
        let inbound = InboundStatus {
            link: LinkId(0),
            counters: InboundCounters {
                records: 0,
                duplicate_records: 0,
                queued_records: self.queued,
                queued_bytes: 0,
            },
            ended: false,
        };
        let (tasks, links, inbound) = (tasks.collect(), vec![link], vec![inbound]);
        let status = Status { tasks, links, inbound, ..Status::default() };
        let reasons = self.stalls.iter().filter(|(_, reasons)| !reasons.is_empty());
        let stalls = reasons.map(|(&task, reasons)| Stall { task, reasons: reasons.clone() }).collect();
        let (through_bytes, total_bytes) = (self.records[1] * 10, Some(1 << 30));
        let followed = self.followed.clone();
        Sample { status, stalls, through_bytes, total_bytes, followed, ..Sample::default() }
    }

    fn look(&mut self) {
        self.now = self.now + Duration::from_millis(250);
        let changes = self.observer.observe(self.now, 0, &self.sample());
        self.told.extend(changes.into_iter().map(|c| (c.root, c.lasted.map(|d| d.as_secs_f64()))));
    }

    /// So many seconds pass, in each of which so many records are taken by the batch.
    fn pass(&mut self, seconds: u32, records: u64) {
        for _ in 0..seconds * 4 {
            self.records[1] += records / 4;
            self.look();
        }
    }

    fn task(&self, at: usize) -> &Task {
        &self.observer.latest().unwrap().tasks[at]
    }
}

#[test]
fn rates_are_of_the_last_seconds() {
    let mut watch = Watch::new();
    watch.pass(60, 400);
    assert!((watch.task(1).in_per_s - 400.0).abs() < 1.0, "{}", watch.task(1).in_per_s);
    watch.pass(1, 4000);
    assert!(watch.task(1).in_per_s > 1000.0, "{}", watch.task(1).in_per_s);
    watch.pass(6, 0);
    assert_eq!((watch.task(1).in_per_s, watch.task(1).counters.records_in), (0.0, 60 * 400 + 4000));
    let points = &watch.observer.history().recent["grep"];
    assert!(points.len() > 60 && (points[10].in_per_s - 400.0).abs() < 1.0, "{:?}", points[10]);
}

#[test]
fn what_is_through_stays_through_whatever_waits_behind_it() {
    let mut watch = Watch::new();
    watch.pass(5, 400);
    // As where a node comes back, or much is read at once: of all that was read a smaller share is through.
    for (through_bytes, seen) in
        [(50_000, 50_000), (10_000, 50_000), (49_999, 50_000), (50_001, 50_001), (0, 50_001)]
    {
        watch.now = watch.now + Duration::from_millis(250);
        let sample = Sample { through_bytes, ..watch.sample() };
        let at_least = watch.observer.latest().expect("a look").through_bytes.max(seen);
        watch.observer.observe(watch.now, 0, &sample);
        assert_eq!(watch.observer.latest().expect("a look").through_bytes, at_least);
    }
}

#[test]
fn the_share_of_time_at_work() {
    let mut watch = Watch::new();
    for at in 0..40 {
        let reasons = if at % 4 == 0 { vec![] } else { vec![Reason::ChildBusy { since: watch.now }] };
        watch.waits(GREP, reasons);
        watch.pass(1, 4);
    }
    let task = watch.task(1);
    assert!((0.6..0.9).contains(&task.busy), "{}", task.busy);
    assert!((task.blocked_s[&WaitKind::ChildBusy] - 30.0).abs() < 1.0, "{:?}", task.blocked_s);
    assert_eq!(watch.told, [], "work is no stall");
}

#[test]
fn the_last_seconds_have_shares_of_their_own() {
    let mut watch = Watch::new();
    watch.waits(GREP, vec![Reason::ChildBusy { since: watch.now }]);
    watch.pass(60, 4);
    watch.queued = 7;
    watch.waits(GREP, vec![Reason::StorageFull]);
    watch.pass(3, 4);
    let task = watch.task(1);
    let near = |share: f64, of: f64| (share - of).abs() < 0.06;
    assert!(near(task.blocked[&WaitKind::StorageFull], 0.6), "{:?}", task.blocked);
    assert!(near(task.blocked[&WaitKind::ChildBusy], 0.4) && near(task.busy, 0.4), "{task:?}");
    assert!(near(task.backlog, 0.6) && near(task.backlog_s, 3.0), "{task:?}");
    watch.queued = 0;
    watch
        .waits(GREP, vec![Reason::NoSlot { since: watch.now, ahead: 0, slots: 1, holders: vec![TaskId(2)] }]);
    watch.pass(6, 4);
    assert!(near(watch.task(1).backlog, 1.0), "to wait for a slot is to have a queue");
    let Why::NoSlot { held_by, .. } = &watch.task(1).waits[0].why else { panic!("{:?}", watch.task(1)) };
    assert_eq!(held_by, &["out/0"]);
    assert_eq!(watch.task(0).backlog, 0.0, "others have none");
}

#[test]
fn what_is_held_for_a_receiver_that_takes_nothing_counts_as_undelivered() {
    let mut watch = Watch::new();
    let down = |since| Reason::PeerDown {
        link: LinkId(0),
        peer: NodeIx(1),
        since,
        cause: worker_core::stall::PeerCause::Lost,
        why: "gone".to_owned(),
        attempts: 1,
        next: None,
        held_records: 7,
    };
    watch.waits(TaskId(0), vec![Reason::SourceIdle]);
    watch.pass(4, 4);
    assert_eq!(watch.task(0).undelivered_s, 0.0);
    let since = watch.now;
    watch.waits(TaskId(0), vec![Reason::SourceIdle, down(since)]);
    watch.pass(11, 4);
    let task = watch.task(0);
    assert!((task.undelivered_s - 10.0).abs() < 0.6 && task.undelivered > 0.95, "{task:?}");
    assert_eq!(watch.task(1).undelivered, 0.0, "it holds nothing");
}

#[test]
fn a_source_that_has_read_all_of_its_files_waits_for_new_lines_and_one_that_reads_does_not() {
    let mut watch = Watch::new();
    watch.waits(TaskId(0), vec![Reason::SourceIdle]);
    watch.pass(2, 4);
    let followed = |lag_bytes, waits| Followed {
        files: "app.log*".to_owned(),
        lag_bytes,
        lag: Duration::from_millis(1500),
        waits,
    };
    watch.follows(followed(4096, false));
    watch.pass(3, 0);
    let task = watch.task(0);
    assert_eq!(
        (task.waits[0].why.kind(), task.lag_bytes, task.lag_s),
        (WaitKind::SourceIdle, Some(4096), Some(1.5))
    );
    watch.follows(followed(15, true));
    watch.pass(3, 0);
    let task = watch.task(0);
    let why = Why::AwaitingLines { files: "app.log*".to_owned(), unread_bytes: 15 };
    assert_eq!((&task.waits[0].why, task.lag_bytes, task.waits[0].stalled), (&why, Some(15), false));
    assert!(task.waits[0].for_s >= 5.0, "{:?}", task.waits[0]);
    let mut sample = watch.sample();
    sample.followed.insert(TaskId(0), followed(7, true));
    watch.observer.recount(&sample.status, &sample.followed);
    assert_eq!(watch.task(0).lag_bytes, Some(7), "at the end it is looked at again");
    assert_eq!(watch.task(1).lag_bytes, None);
}

#[test]
fn a_rest_of_the_node_is_not_work_because_there_is_work_after_it() {
    let mut watch = Watch::new();
    watch.waits(TaskId(0), vec![Reason::SourceIdle]);
    watch.pass(2, 0);
    watch.now = watch.now + Duration::from_secs(1000);
    watch.waits(GREP, vec![Reason::ChildBusy { since: watch.now }]);
    watch.pass(1, 4);
    let (busy_s, idle_s) = (watch.task(1).busy_s, watch.task(0).blocked_s[&WaitKind::SourceIdle]);
    assert!(busy_s <= 1.0 && idle_s > 1000.0, "{busy_s} s at work, {idle_s} s idle");
}

#[test]
fn what_does_not_move_says_for_how_long() {
    let mut watch = Watch::new();
    watch.pass(5, 4);
    // A reason that does not say since when it is so: the records do.
    watch.waits(GREP, vec![Reason::StorageFull]);
    watch.pass(3, 0);
    assert_eq!((watch.task(1).unmoved_s, watch.task(1).waits[0].for_s), (3.0, 3.0));
    watch.pass(1, 4);
    assert_eq!(watch.task(1).unmoved_s, 0.0);
    watch.waits(GREP, vec![]);
    watch.pass(100, 0);
    assert_eq!(watch.task(1).unmoved_s, 0.0, "it has nothing to do");
    // What only one link waits for is as old as that link's rest.
    watch.held = 3;
    watch.waits(TaskId(0), vec![Reason::NoCredit { link: LinkId(0), held_records: 3 }]);
    watch.pass(5, 0);
    let (now, moved) = (watch.now, watch.task(0).waits[0].for_s);
    assert!((4.5..=5.0).contains(&moved), "{moved} at {now}");
    watch.acknowledged += 1;
    watch.look();
    assert_eq!(watch.task(0).waits[0].for_s, 0.0);
}

#[test]
fn a_run_that_is_over_says_how() {
    let mut watch = Watch::new();
    watch.look();
    watch.observer.ended(RunState::Failed, End { at_ms: 7, why: Some("broken".into()) });
    let last = watch.observer.latest().unwrap();
    assert_eq!((last.state, last.end.as_ref().unwrap().at_ms), (RunState::Failed, 7));
}

#[test]
fn names_and_figures_are_those_of_the_node() {
    let mut watch = Watch::new();
    watch.held = 3;
    let reason =
        Reason::Blocked(Blocker::DiskFull { since: watch.now, what: "out.txt: \u{1b}no room".into() });
    watch.waits(TaskId(2), vec![reason]);
    watch.pass(2, 0);
    let snapshot = watch.observer.latest().unwrap();
    assert_eq!((snapshot.node.as_str(), snapshot.tasks[2].stage.as_str()), ("a", "out"));
    assert_eq!((snapshot.links[0].from.as_str(), snapshot.links[0].to.as_str()), ("src/0", "grep/0"));
    assert!(matches!(snapshot.tasks[2].waits[0].why, Why::DiskFull { .. }));
    assert!(snapshot.tasks[2].waits[0].text.contains("no room on disk for 2.0 s: out.txt: \\u{1b}no room"));
}

#[test]
fn what_is_only_taken_into_a_queue_is_no_work() {
    let mut watch = Watch::new();
    watch.pass(10, 400);
    assert_eq!(watch.task(1).in_per_s, 400.0);
    for _ in 0..40 {
        watch.gathered += 100;
        watch.pass(1, 100);
    }
    assert_eq!((watch.task(1).in_per_s, watch.task(1).counters.records_in), (0.0, 8000));
    assert_eq!(watch.task(1).done_records, 4000);
    let history = watch.observer.history().so_far();
    assert_eq!(history["grep"].last().map(|point| point.in_per_s), Some(0.0));
}

#[test]
fn what_was_written_behind_the_last_look_is_counted_again_and_nothing_else() {
    let mut watch = Watch::new();
    watch.pass(1, 400);
    let mut sample = watch.sample();
    sample.status.tasks[2].counters.records_out = 936;
    sample.status.tasks[2].done_records = 936;
    watch.observer.recount(&sample.status, &sample.followed);
    assert_eq!((watch.task(2).counters.records_out, watch.task(2).done_records), (936, 936));
    assert_eq!(watch.observer.latest().unwrap().uptime_s, 1.0);
}

#[test]
fn what_is_held_for_a_task_and_waits_before_it_counts_once() {
    for delivery in ["memory", "exactly-once"] {
        let mut watch = Watch::new();
        watch.observer.outline.delivery = delivery.into();
        // 30 in its queue and at its program, 70 not sent yet; with state the sender holds all of them.
        (watch.queued, watch.gathered, watch.unsent) = (20, 10, 70);
        watch.held = if delivery == "memory" { 70 } else { 100 };
        watch.look();
        assert_eq!(watch.observer.latest().map(|latest| latest.held_records), Some(100), "{delivery}");
        assert_eq!((watch.task(1).queued_records, watch.task(1).unsent_records), (100, 70), "{delivery}");
    }
}

#[test]
fn a_run_of_which_a_part_is_stalled_or_paused_has_no_end_that_could_be_told() {
    let mut watch = Watch::new();
    let left = |watch: &Watch| watch.observer.latest().and_then(|latest| latest.left_s);
    watch.pass(20, 400);
    assert!(left(&watch).is_some());
    watch.waits(TaskId(2), vec![Reason::Blocked(Blocker::WriteHung { since: watch.now })]);
    watch.pass(12, 400);
    assert_eq!(left(&watch), None);
    watch.waits(TaskId(2), vec![]);
    watch.pass(1, 400);
    assert!(left(&watch).is_some());
    watch.paused = true;
    watch.pass(1, 400);
    assert_eq!(left(&watch), None);
}

#[test]
fn a_program_that_lives_on_has_no_batch_and_is_started_again() {
    let mut watch = Watch::new();
    watch.observer.outline.graph.tasks[1].kind = TaskKind::Stream(StreamSpec {
        window: None,
        early_exit_is_done: false,
        replay_bytes: 1,
        restart: None,
    });
    watch.pass(5, 4);
    for attempts in 1..20 {
        let (until, why) = (watch.now + Duration::from_secs(3), "exit 1".to_owned());
        watch.waits(GREP, vec![Reason::Backoff { attempts, until, why, records: 4 }]);
        watch.pass(3, 0);
        let wait = &watch.observer.latest().unwrap().tasks[1].waits[0];
        assert!(wait.text.contains("restarts now") && !wait.text.contains("batch"), "{}", wait.text);
        watch.waits(GREP, vec![Reason::ChildBusy { since: watch.now }]);
        watch.pass(1, 0);
    }
    assert_eq!(watch.told, [("grep/0: restarting".to_owned(), None)], "one stall");
}
