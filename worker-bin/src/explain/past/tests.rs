use super::*;
use crate::explain::{End, Held, Outline, RunState, Sample, Sampler, Stage, StageKind};
use std::collections::BTreeMap;
use std::time::Duration;
use worker_core::Time;
use worker_core::config::{Graph, Limits, NodeIx, TaskId, TaskKind, TaskSpec};
use worker_core::stall::{Blocker, Reason, Stall};
use worker_core::status::{Status, TaskCounters, TaskStatus};

fn stall(number: u32, lasted_s: f64) -> PastStall {
    let chain = Chain {
        task: "a/0".to_owned(),
        node: "n".to_owned(),
        for_s: lasted_s,
        stalled: true,
        held: Held::All,
        steps: Vec::new(),
        root: String::new(),
        advice: None,
        text: String::new(),
        sources_paused: Vec::new(),
    };
    PastStall {
        root: number.to_string(),
        chain,
        tasks: 1,
        began_s: f64::from(number),
        lasted_s,
        goes_on: false,
    }
}

#[test]
fn the_last_ones_are_kept_and_the_longest_of_all() {
    let mut past = PastStalls::default();
    for number in 0..1000 {
        past.push(stall(number, if number == 17 { 60.0 } else { 3.0 }));
    }
    assert_eq!((past.count, past.last.len()), (1000, PAST_MAX));
    assert_eq!(past.longest().map(|s| s.root.as_str()), Some("17"));
    assert_eq!((past.last[1].root.as_str(), past.last[PAST_MAX - 1].root.as_str()), ("801", "999"));
}

/// An observer of one task, a sample each quarter of a second.
struct Watched {
    observer: Sampler,
    now: Time,
    records: u64,
}

impl Watched {
    fn new() -> Self {
        let task = TaskSpec { name: "a/0".to_owned(), node: NodeIx(0), kind: TaskKind::Sink };
        let stage = Stage {
            name: "a".to_owned(),
            kind: StageKind::Sink,
            from: Vec::new(),
            partitions: 1,
            nodes: Vec::new(),
            rate: None,
        };
        let outline = Outline {
            pipeline: "p".to_owned(),
            delivery: "memory".to_owned(),
            nodes: vec!["n".to_owned()],
            admins: BTreeMap::new(),
            me: NodeIx(0),
            graph: Graph { tasks: vec![task], ..Graph::default() },
            stages: vec![stage],
            limits: Limits { credit_bytes: 1, outbox_bytes: 1, spill_bytes: 1, shared_credit_bytes: 0 },
            started_ms: 0,
            stall_after: Duration::from_secs(3),
            containment: "guardian",
            admin: None,
        };
        Self { observer: Sampler::new(outline), now: Time::ZERO, records: 0 }
    }

    /// Goes on until so many seconds after the start; `reason` is what is in the way of the task, else it takes 400 a second.
    fn until(&mut self, seconds: f64, reason: Option<&Reason>) {
        let step = Duration::from_millis(250);
        while self.now.since(Time::ZERO).as_secs_f64() + 0.249 < seconds {
            self.now = Time::from_micros(self.now.as_micros() + 250_000);
            self.records += if reason.is_none() { 100 } else { 0 };
            let counters = TaskCounters { records_in: self.records, ..TaskCounters::default() };
            let task = TaskStatus {
                task: TaskId(0),
                counters,
                before: TaskCounters::default(),
                busy: Duration::ZERO,
                queued_records: 1,
                unsent_records: 0,
                again_records: 0,
                undone_records: self.records,
                done_records: self.records,
                ended: false,
                done: false,
                paused: false,
            };
            let stalls = reason.map(|reason| Stall { task: TaskId(0), reasons: vec![reason.clone()] });
            let status = Status { tasks: vec![task], ..Status::default() };
            let sample = Sample { status, stalls: stalls.into_iter().collect(), ..Sample::default() };
            self.observer.observe(self.now, 0, &sample);
        }
        assert!(self.now.since(Time::ZERO) >= step);
    }

    fn told(&self) -> Vec<(String, f64, f64, bool)> {
        let stalls = self.observer.stalls();
        assert_eq!(stalls.count, stalls.last.len() as u64);
        stalls.last.into_iter().map(|s| (s.root, s.began_s, s.lasted_s, s.goes_on)).collect()
    }
}

#[test]
fn stalls_are_remembered_from_when_nothing_moved_and_those_that_go_on_are_told_too() {
    let mut watched = Watched::new();
    watched.until(2.0, None);
    let hung = Reason::Blocked(Blocker::WriteHung { since: Time::from_micros(2_000_000) });
    watched.until(4.0, Some(&hung));
    assert_eq!(watched.told(), [], "not for long enough");
    watched.until(8.0, Some(&hung));
    let root = "a/0: write_hung".to_owned();
    assert_eq!(watched.told(), [(root.clone(), 2.0, 6.0, true)]);
    watched.until(10.0, None);
    assert_eq!(watched.told(), [(root.clone(), 2.0, 6.25, false)], "to the first sample without it");
    let by = Blocker::DiskFull { since: Time::from_micros(10_000_000), what: "no room".to_owned() };
    let full = Reason::Blocked(by);
    watched.until(14.0, Some(&full));
    let told = watched.told();
    assert_eq!((told.len(), &told[0].0, told[1].3), (2, &root, true), "{told:?}");
}

#[test]
fn the_last_moments_of_a_run_have_a_point_of_their_own() {
    let mut watched = Watched::new();
    watched.until(1.75, None);
    let points = |watched: &Watched| watched.observer.history().so_far().remove("a").unwrap_or_default();
    assert_eq!(points(&watched).iter().map(|p| p.at_s).collect::<Vec<_>>(), [1.25]);
    watched.observer.ended(RunState::Done, End { at_ms: 1, why: None });
    assert_eq!(
        points(&watched).iter().map(|p| (p.at_s, p.in_per_s)).collect::<Vec<_>>(),
        [(1.25, 400.0), (1.75, 400.0)]
    );
    assert_eq!(watched.observer.latest().map(|last| last.state), Some(RunState::Done));
}

#[test]
fn what_hangs_when_the_node_is_left_hangs_to_the_end_of_the_run_and_nothing_new_begins_to() {
    let mut watched = Watched::new();
    let hung = Reason::Blocked(Blocker::WriteHung { since: Time::ZERO });
    watched.until(5.0, Some(&hung));
    watched.observer.leave();
    // What its program is ended by is the run's end.
    let since = Time::from_micros(6_000_000);
    watched.until(16.0, Some(&Reason::Blocked(Blocker::DiskFull { since, what: "no room".to_owned() })));
    watched.observer.ended(RunState::Stopped, End { at_ms: 1, why: None });
    assert_eq!(watched.told(), [("a/0: write_hung".to_owned(), 0.0, 16.0, true)]);
    let last = watched.observer.latest().expect("its last word");
    assert_eq!((last.uptime_s, last.tasks[0].waits[0].for_s), (16.0, 5.0), "as it was when it was left");
}

#[test]
fn a_pause_is_no_stall() {
    let mut watched = Watched::new();
    watched.until(20.0, Some(&Reason::Paused { since: Time::ZERO }));
    assert_eq!((watched.told(), watched.observer.stall_counts()), (Vec::new(), (0, 0)));
    let points = watched.observer.history().so_far().remove("a").unwrap_or_default();
    assert!(points.len() > 15 && points.iter().all(|point| !point.stalled));
}
