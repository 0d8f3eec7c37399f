use super::*;
use crate::explain::{End, sample};

/// A report in which every field says something.
pub(in crate::report) fn report() -> Report {
    gather(&gathered())
}

fn gathered() -> Gathered {
    let dead = DeadReason {
        stage: "errors".to_owned(),
        reason: "grep exited with status 7".to_owned(),
        records: 1,
        example: "grep exited with status 7: <script>alert(1)</script>".to_owned(),
    };
    let mut last = sample::snapshot();
    last.state = RunState::Failed;
    Gathered {
        last,
        history: sample::history(),
        stalls: sample::stalls(),
        resident_peak_bytes: 40 << 20,
        dead: vec![dead],
        dead_letters: Some("access.dead-letters.jsonl".to_owned()),
        state: None,
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn stages_are_the_sums_of_their_tasks_and_shares_are_of_their_time() {
    let report = report();
    let errors = &report.stages[1];
    assert_eq!(
        (errors.records_in, errors.records_out, errors.programs, errors.dead_records),
        (4000, 180, 24, 1)
    );
    assert!(near(errors.in_per_s, 400.0) && near(errors.busy, 0.8), "{errors:?}");
    let slot = &errors.waited[0];
    assert_eq!((slot.cause, slot.idle), (WaitKind::NoSlot, false));
    assert!(near(slot.share, 0.05) && near(slot.seconds, 1.0) && near(errors.blocked, 0.05), "{slot:?}");
    assert!(errors.waited.iter().all(|waited| waited.cause != WaitKind::ChildBusy), "work is no wait");
    assert!(errors.waited.iter().any(|waited| waited.cause == WaitKind::SourceIdle && waited.idle));
    assert_eq!((report.read_bytes, report.lasted_s, report.outcome), (40 << 20, 10.0, Outcome::Failed));
    assert!(near(report.read_bytes_per_s, f64::from(4 << 20)));
    assert_eq!((report.held_records, report.dead_records, report.resident_peak_bytes), (227, 1, 40 << 20));
    assert_eq!(
        report.stages.iter().map(|s| (s.tasks, s.partitions)).collect::<Vec<_>>(),
        [(1, 1), (2, 2), (1, 2)]
    );
}

#[test]
fn work_and_waits_make_at_most_the_whole() {
    let mut gathered = gathered();
    for task in &mut gathered.last.tasks {
        task.busy_s = 9.0;
        task.blocked_s = BTreeMap::from([(WaitKind::NoCredit, 6.0), (WaitKind::NoSlot, 4.0)]);
    }
    for stage in gather(&gathered).stages {
        assert!(near(stage.busy + stage.blocked, 1.0), "{stage:?}");
        assert!(near(stage.waited[0].share, 0.06) && near(stage.waited[1].share, 0.04), "{stage:?}");
    }
}

#[test]
fn what_limited_the_run_is_the_stage_that_was_busiest_over_all_of_it() {
    let limit = |change: &dyn Fn(&mut Snapshot)| {
        let mut gathered = gathered();
        change(&mut gathered.last);
        gather(&gathered).limit.map(|limit| (limit.stage, limit.kind))
    };
    let some = |stage: &str, kind| Some((stage.to_owned(), kind));
    assert_eq!(limit(&|_| {}), some("errors", WaitKind::ChildBusy));
    assert_eq!(limit(&|last| last.uptime_s = 0.5), None, "starts of programs are no throughput");
    let all = |last: &mut Snapshot, busy_s, kind, seconds| {
        for task in &mut last.tasks {
            (task.busy_s, task.blocked_s) = (busy_s, BTreeMap::from([(kind, seconds)]));
        }
    };
    assert_eq!(limit(&|last| all(last, 2.0, WaitKind::SourceIdle, 7.0)), some("log", WaitKind::SourceIdle));
    assert_eq!(limit(&|last| all(last, 2.0, WaitKind::NoCredit, 7.0)), None);
    assert!(
        limit(&|last| all(last, 3.0, WaitKind::NoSlot, 6.0))
            .is_some_and(|(_, kind)| kind == WaitKind::NoSlot)
    );
    assert!(
        limit(&|last| all(last, 1.0, WaitKind::Committing, 8.0))
            .is_some_and(|(_, kind)| kind == WaitKind::Committing)
    );
}

#[test]
fn stalls_name_the_stages_they_lead_through() {
    let report = report();
    assert_eq!((report.stall_count, report.stalls.len()), (2, 2));
    assert_eq!(report.stalls[0].stages, ["errors", "out"]);
    assert!(
        report.stalls[1].goes_on && report.stalls[1].text.contains("errors/0 waits"),
        "{:?}",
        report.stalls[1]
    );
}

#[test]
fn an_outcome_is_how_the_run_was_when_it_ended() {
    for (state, why, outcome) in [
        (RunState::Done, None, Outcome::Done),
        (RunState::Stopped, Some("stopped before"), Outcome::Stopped),
        (RunState::Draining, None, Outcome::Stopped),
        (RunState::Failed, Some("a\u{1b}[31m"), Outcome::Failed),
    ] {
        let mut gathered = gathered();
        gathered.last.state = state;
        gathered.last.end = Some(End { at_ms: 7, why: why.map(str::to_owned) });
        let report = gather(&gathered);
        assert_eq!((report.outcome, report.ended_ms), (outcome, 7));
        assert!(report.why.is_none_or(|why| !why.contains('\u{1b}')));
    }
}

#[test]
fn what_a_run_in_memory_leaves_undone_is_lost_and_what_one_with_state_leaves_is_not() {
    let lost = |delivery: &str, state| {
        let mut gathered = gathered();
        (gathered.last.delivery, gathered.last.state) = (delivery.to_owned(), state);
        let report = gather(&gathered);
        (report.held_records, report.lost_records)
    };
    let died = gathered().last.lost_records;
    assert_eq!(lost("memory", RunState::Failed), (227, 227 + died));
    assert_eq!(lost("memory", RunState::Stopped), (227, 227 + died));
    assert_eq!(lost("memory", RunState::Done).1, died);
    assert_eq!(lost("exactly-once", RunState::Stopped), (227, died));
}

#[test]
fn a_report_survives_its_json() {
    let report = report();
    let text = serde_json::to_string(&report).expect("it serialises");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("it is read"), report);
}

#[test]
fn a_run_has_gone_on_where_a_task_has_something_of_before_it() {
    assert!(!report().went_on);
    let mut gathered = gathered();
    gathered.last.tasks[0].records_out_before = 1;
    assert!(gather(&gathered).went_on);
}
