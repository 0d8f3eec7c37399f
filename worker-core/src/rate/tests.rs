use super::*;
use crate::config::{LinkSpec, TaskKind, TaskSpec};

const MS: Duration = Duration::from_millis(1);

fn records(amount: u64, burst: u64) -> Rate {
    Rate { amount, per: Duration::from_secs(1), of: Measure::Records, burst }
}

/// A stage `s` whose tasks are on these nodes, seen from node 0.
fn rates(rate: Rate, nodes: &[u16]) -> Rates {
    let task = |(at, &node): (usize, &u16)| TaskSpec {
        name: format!("s/{at}"),
        node: NodeIx(node),
        kind: TaskKind::Sink,
    };
    let graph = Graph {
        tasks: nodes.iter().enumerate().map(task).collect(),
        links: Vec::<LinkSpec>::new(),
        rates: [("s".to_owned(), rate)].into(),
        ..Graph::default()
    };
    Rates::new(&graph, NodeIx(0), Time::ZERO)
}

/// Takes all that comes until `until`, in pieces of `piece`; gives when each came.
fn takes(rates: &mut Rates, tasks: &[TaskId], piece: u64, until: Time) -> Vec<(Time, TaskId, u64)> {
    let (mut now, mut taken) = (Time::ZERO, Vec::new());
    let mut due: Vec<TaskId> = tasks.to_vec();
    while now <= until {
        let mut next = None;
        for task in std::mem::take(&mut due) {
            loop {
                match rates.allowance(task, now) {
                    Allowance::Now(Amount { count, .. }) => {
                        rates.took(task, piece.min(count), piece);
                        taken.push((now, task, piece.min(count)));
                    }
                    Allowance::Later { until, .. } => {
                        next = Some(until);
                        break;
                    }
                    Allowance::Unlimited => panic!("it has a rate"),
                }
            }
        }
        let next = next.expect("everybody waits");
        assert!(next > now, "what is waited for comes later");
        now = next;
        due = rates.due(tasks[0]);
    }
    taken
}

fn sum(taken: &[(Time, TaskId, u64)]) -> u64 {
    taken.iter().map(|(_, _, count)| count).sum()
}

#[test]
fn a_burst_at_first_and_then_exactly_what_is_due() {
    for (amount, burst, per) in
        [(5000, 1000, 1), (7, 1, 1), (90, 3, 60), (1, 1, 3600), (1_000_003, 100_000, 1), (u64::MAX, 1, 1)]
    {
        let rate = Rate { per: Duration::from_secs(per), ..records(amount, burst) };
        let mut rates = rates(rate, &[0]);
        let seconds = 10 * per;
        let taken = takes(&mut rates, &[TaskId(0)], u64::MAX, Time::ZERO + Duration::from_secs(seconds));
        if amount == u64::MAX {
            assert!(taken.len() > 1);
            continue;
        }
        let (all, due) = (sum(&taken), burst + amount * seconds / per);
        assert!(all <= due && all + burst.max(amount / 100).max(1) >= due, "{amount}: {all} of {due}");
        assert_eq!(taken[0], (Time::ZERO, TaskId(0), burst), "the burst comes at once");
    }
}

#[test]
fn what_is_due_soon_is_taken_together_and_no_more_often() {
    let mut rates = rates(records(100_000, 10_000), &[0]);
    let taken = takes(&mut rates, &[TaskId(0)], u64::MAX, Time::ZERO + 1000 * MS);
    assert!(taken.len() <= 102, "{}", taken.len());
}

#[test]
fn a_record_that_is_larger_than_a_burst_passes_and_is_waited_for() {
    let rate = Rate { of: Measure::Bytes, ..records(1000, 20) };
    let mut rates = rates(rate, &[0]);
    let now = Time::ZERO;
    assert_eq!(rates.allowance(TaskId(0), now).within(u64::MAX, 7), Some((20, 7)));
    rates.took(TaskId(0), 1, 510);
    let Allowance::Later { until, .. } = rates.allowance(TaskId(0), now) else {
        panic!("a debt is waited for")
    };
    assert_eq!(until, now + 500 * MS, "half a second for the debt, and the next burst");
    assert_eq!(rates.waits(TaskId(0)), Some((rate, until)));
}

#[test]
fn time_in_which_nothing_was_taken_is_worth_a_burst_at_most() {
    let mut rates = rates(records(1000, 50), &[0]);
    let later = Time::ZERO + Duration::from_secs(1_000_000);
    assert_eq!(rates.allowance(TaskId(0), later).amount().map(|most| most.count), Some(50));
    rates.took(TaskId(0), 50, 0);
    assert!(matches!(rates.allowance(TaskId(0), later), Allowance::Later { .. }));
}

#[test]
fn the_tasks_of_a_stage_take_turns() {
    let tasks = [TaskId(0), TaskId(1), TaskId(2)];
    let mut rates = rates(records(1000, 10), &[0, 0, 0]);
    let taken = takes(&mut rates, &tasks, u64::MAX, Time::ZERO + Duration::from_secs(3));
    let all = sum(&taken);
    assert!((2990..=3020).contains(&all), "{all}");
    for task in tasks {
        let own = taken.iter().filter(|taken| taken.1 == task).map(|taken| taken.2).sum::<u64>();
        assert!((980..=1020).contains(&own), "{task:?} took {own} of {all}");
    }
}

#[test]
fn a_node_has_the_share_of_its_tasks() {
    let mut rates = rates(records(1000, 100), &[0, 1, 1, 1]);
    let taken = takes(&mut rates, &[TaskId(0)], u64::MAX, Time::ZERO + Duration::from_secs(4));
    let all = sum(&taken);
    assert!((1000..=1025).contains(&all), "{all}");
    assert!(!rates.is_limited(TaskId(1)), "a task of another node");
}

#[test]
fn nobody_is_woken_who_waits_for_nothing() {
    let mut rates = rates(records(10, 1), &[0]);
    let timers = Timers::default();
    assert_eq!(rates.check(&timers), Ok(()));
    rates.took(TaskId(0), 1, 0);
    assert!(matches!(rates.allowance(TaskId(0), Time::ZERO), Allowance::Later { .. }));
    assert_eq!(rates.check(&timers).map_err(|wrong| wrong.what()), Err("who waits for a rate is woken"));
    assert_eq!(rates.due(TaskId(0)), [TaskId(0)]);
    assert_eq!((rates.check(&timers), rates.waits(TaskId(0))), (Ok(()), None));
}

#[test]
fn a_rate_is_held_however_late_each_wake_up_is() {
    let mut rates = rates(records(1000, 100), &[0]);
    let (mut now, mut given) = (Time::ZERO, 0);
    while now < Time::ZERO + Duration::from_secs(60) {
        match rates.allowance(TaskId(0), now) {
            Allowance::Now(Amount { count, .. }) => {
                rates.took(TaskId(0), count.min(40), 0);
                given += count.min(40);
            }
            Allowance::Later { until, .. } => now = until + Duration::from_micros(given % 997),
            Allowance::Unlimited => panic!("it has a rate"),
        }
    }
    let due = 100 + now.as_micros() / 1000;
    assert!(given <= due && given + 20 >= due, "{given} of {due}");
}

#[test]
fn records_of_a_slow_rate_come_one_by_one_the_first_at_once() {
    let rate = Rate { per: Duration::from_secs(60), ..records(2, 1) };
    let taken = takes(&mut rates(rate, &[0]), &[TaskId(0)], u64::MAX, Time::ZERO + Duration::from_secs(90));
    let times: Vec<_> = taken.iter().map(|(at, _, count)| (at.as_micros() / 1_000_000, *count)).collect();
    assert_eq!(times, [(0, 1), (30, 1), (60, 1), (90, 1)]);
}
