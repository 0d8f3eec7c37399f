use super::super::model::Stage;
use super::super::{explain, sample};
use super::*;

/// A task that did this over the last seconds, while records flowed. Kinds of stages are by the first letter of their names.
fn task(name: &str, busy: f64, waits: &[(WaitKind, f64)], backlog: f64) -> Task {
    Task {
        name: name.to_owned(),
        stage: name.split('/').next().unwrap_or(name).to_owned(),
        in_per_s: 1000.0,
        busy,
        blocked: waits.iter().copied().collect(),
        backlog,
        ..Task::default()
    }
}

fn node(tasks: Vec<Task>) -> Snapshot {
    let mut node = sample::calm();
    node.stages.clear();
    for task in &tasks {
        if !node.stages.iter().any(|stage| stage.name == task.stage) {
            let kind = match task.stage.as_bytes().first() {
                Some(b's') => StageKind::Source,
                Some(b'o') => StageKind::Sink,
                _ => StageKind::Batch,
            };
            let (name, from, nodes) = (task.stage.clone(), Vec::new(), Vec::new());
            node.stages.push(Stage { name, kind, from, partitions: 1, nodes, rate: None });
        }
    }
    node.tasks = tasks;
    node
}

/// What limits the last seconds; the same must come out of a run that was so for all of its time.
fn limit(tasks: Vec<Task>) -> Option<Limit> {
    let now = node(tasks);
    let mut run = now.clone();
    run.uptime_s = 200.0;
    for task in &mut run.tasks {
        let seconds = |share: f64| share * 200.0;
        (task.busy_s, task.backlog_s) = (seconds(task.busy), seconds(task.backlog));
        task.undelivered_s = seconds(task.undelivered);
        task.blocked_s = task.blocked.iter().map(|(kind, share)| (*kind, seconds(*share))).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and positive")]
        let done = (task.in_per_s * 200.0) as u64;
        task.done_records = done;
        task.done = true;
    }
    let recent = Window::recent(std::slice::from_ref(&now)).limit();
    let whole = Window::whole(&run).limit();
    assert_eq!(whole.as_ref().map(named), recent.as_ref().map(named), "a run that was so from its beginning");
    recent
}

fn named(limit: &Limit) -> (&str, WaitKind) {
    (&limit.stage, limit.kind)
}

fn idle_source() -> Task {
    task("src/0", 0.0, &[(WaitKind::SourceIdle, 0.9)], 0.0)
}

#[test]
fn a_queue_that_lasts_goes_before_a_busy_stage_without_one() {
    let slots = &[(WaitKind::NoSlot, 0.3)];
    let found = limit(vec![idle_source(), task("a/0", 0.6, slots, 1.0), task("b/0", 0.95, &[], 0.1)]);
    assert_eq!(found.as_ref().map(named), Some(("a", WaitKind::ChildBusy)));
}

#[test]
fn who_has_a_queue_because_the_next_stage_is_slow_is_not_the_limit() {
    let behind = &[(WaitKind::OutboxFull, 0.7)];
    let tasks =
        vec![task("src/0", 0.0, behind, 0.0), task("a/0", 0.3, behind, 1.0), task("b/0", 0.97, &[], 0.9)];
    assert_eq!(limit(tasks).as_ref().map(named), Some(("b", WaitKind::ChildBusy)));
    // The next stage is on a node that was not asked: nobody is named in its place, and least of all the source.
    let tasks = vec![idle_source(), task("a/0", 0.3, behind, 1.0)];
    assert_eq!(limit(tasks), None);
}

#[test]
fn who_is_behind_on_another_branch_is_named_beside_what_limits() {
    let waits = &[(WaitKind::Backoff, 1.0)];
    let tasks = vec![
        idle_source(),
        task("failing/0", 0.0, waits, 1.0),
        task("slow/0", 0.97, &[], 1.0),
        task("fast/0", 0.97, &[], 0.1),
        task("out/0", 0.1, &[], 0.0),
    ];
    let mut node = node(tasks);
    let from = [("failing", "src"), ("slow", "src"), ("fast", "src"), ("out", "failing"), ("out", "slow")];
    for stage in &mut node.stages {
        stage.kind = if stage.name == "slow" { StageKind::Batch } else { stage.kind };
        stage.from =
            from.iter().filter(|(to, _)| *to == stage.name).map(|(_, from)| (*from).to_owned()).collect();
    }
    for task in &mut node.tasks {
        task.in_per_s = if task.stage == "failing" { 0.0 } else { 10.0 };
        task.undone_records = 1000;
    }
    let found = Window::recent(std::slice::from_ref(&node)).limit().expect("a limit");
    assert_eq!(
        (named(&found), found.beside.as_slice()),
        (("failing", WaitKind::Backoff), &["slow".to_owned()][..])
    );
    assert!(found.text.ends_with("; on another branch, slow is behind, too"), "{}", found.text);
    let run = words::limit_of_run(&found);
    assert!(
        run.starts_with(
            "over the whole run, throughput was limited by stage failing: 100 % of the time it waited"
        ),
        "{run}"
    );
    assert!(run.ends_with("; on another branch, slow was behind, too"), "{run}");
    // What is before or behind it is on no other branch.
    node.stages
        .iter_mut()
        .filter(|stage| stage.name == "slow")
        .for_each(|stage| stage.from = vec!["failing".to_owned()]);
    let found = Window::recent(std::slice::from_ref(&node)).limit().expect("a limit");
    assert!(found.beside.is_empty(), "{found:?}");
}

#[test]
fn of_two_queues_the_one_that_is_always_there_counts() {
    let tasks = vec![idle_source(), task("a/0", 0.9, &[], 1.0), task("b/0", 0.95, &[], 0.6)];
    assert_eq!(limit(tasks).as_ref().map(named), Some(("a", WaitKind::ChildBusy)));
}

#[test]
fn who_waits_for_a_slot_is_the_limit_and_those_who_have_them_are_named() {
    let waits = |share| vec![(WaitKind::NoSlot, share)];
    let tasks = vec![
        idle_source(),
        task("a/0", 0.2, &waits(0.7), 0.9),
        task("b/0", 0.3, &waits(0.5), 0.9),
        task("c/0", 0.1, &waits(0.1), 0.1),
        task("out/0", 0.05, &[], 0.0),
    ];
    let found = limit(tasks).expect("the slots");
    assert_eq!((named(&found), found.busy), (("a", WaitKind::NoSlot), 0.7));
    assert_eq!(found.held_by, ["b", "a", "c"]);
    let text =
        "throughput is limited by the slots: stage a waits 70 % of the time for one; b, a and c hold them";
    assert_eq!(found.text, text);
}

#[test]
fn a_slow_sink_is_named_as_one() {
    let behind = &[(WaitKind::OutboxFull, 0.9)];
    let writes = &[(WaitKind::Writing, 0.9)];
    let found =
        limit(vec![task("src/0", 0.0, behind, 0.0), task("out/0", 0.9, writes, 1.0)]).expect("the sink");
    assert_eq!(found.text, "throughput is limited by sink out (it writes 90 % of the time)");
}

#[test]
fn a_sink_and_a_source_are_called_so_whatever_they_wait_for() {
    let said = |name: &str, kind| limit(vec![task(name, 0.0, &[(kind, 0.8)], 1.0)]).map(|found| found.text);
    let text = "throughput is limited by sink out: 80 % of the time it waits for a reader that takes nothing";
    assert_eq!(said("out/0", WaitKind::WriteHung).as_deref(), Some(text));
    let text =
        "throughput is limited by source src: 80 % of the time it waits for its program to be started again";
    assert_eq!(said("src/0", WaitKind::Restarting).as_deref(), Some(text));
}

#[test]
fn a_rate_that_is_reached_is_the_limit_and_not_who_has_a_queue_that_comes_and_goes() {
    let of = |rated: f64, wrote: f64, others: &[(WaitKind, f64)]| {
        let tasks = vec![
            task("src/0", 0.0, &[(WaitKind::RateLimited, rated)], 0.0),
            task("sother/0", 0.0, others, 0.0),
            task("out/0", wrote, &[(WaitKind::Writing, wrote)], 0.6),
        ];
        let mut now = node(tasks);
        now.stages[2].from = vec!["src".to_owned(), "sother".to_owned()];
        Window::recent(&[now]).limit().map(|limit| (limit.stage, limit.kind))
    };
    let is = |stage: &str, kind| Some((stage.to_owned(), kind));
    assert_eq!(of(0.68, 0.53, &[]), is("src", WaitKind::RateLimited));
    assert_eq!(of(0.3, 0.53, &[]), is("out", WaitKind::Writing), "the rate is not reached");
    assert_eq!(of(0.68, 0.95, &[]), is("out", WaitKind::Writing), "queues take what it does not write");
    let waits = &[(WaitKind::OutboxFull, 0.7)];
    assert_eq!(of(0.68, 0.53, waits), is("out", WaitKind::Writing), "another source waits for it");
}

#[test]
fn many_short_waits_are_not_nothing() {
    let tasks = vec![idle_source(), task("a/0", 0.2, &[(WaitKind::NoSlot, 0.6)], 1.0)];
    let said = words::explanation(&explain(&[node(tasks)]), 6);
    assert!(
        said.starts_with("nothing waits for long; throughput is limited by the slots: stage a "),
        "{said}"
    );
    let said = words::explanation(&explain(&[node(vec![task("a/0", 0.9, &[], 1.0)])]), 6);
    assert!(said.starts_with("nothing waits; throughput is limited by stage a "), "{said}");
}

#[test]
fn the_source_is_named_where_nothing_queues_and_all_behind_it_idles() {
    let found = limit(vec![idle_source(), task("a/0", 0.3, &[], 0.2), task("out/0", 0.1, &[], 0.1)]);
    assert_eq!(
        found.map(|l| l.text),
        Some("throughput is limited by source src: it gives no more".to_owned())
    );
    let found = limit(vec![idle_source(), task("a/0", 0.3, &[], 0.9)]);
    assert_eq!(found, None, "records wait, whatever they wait for");
    let reads = task("src/0", 0.0, &[], 0.0);
    assert_eq!(limit(vec![reads, task("a/0", 0.3, &[], 0.0)]), None, "it is not known what it does");
    let done = Task { done: true, ..idle_source() };
    let now = node(vec![done, task("a/0", 0.3, &[], 0.0)]);
    assert_eq!(Window::recent(&[now]).limit(), None, "it has given all it had");
}

#[test]
fn of_two_sources_that_give_no_more_the_one_that_gives_most_is_named() {
    let trickle = Task { in_per_s: 0.1, ..task("slow/0", 0.0, &[(WaitKind::SourceIdle, 1.0)], 0.0) };
    let now = node(vec![trickle, idle_source()]);
    assert_eq!(Window::recent(&[now]).limit().map(|l| l.stage), Some("src".to_owned()));
}

#[test]
fn files_that_are_followed_limit_what_is_read_of_them() {
    let waits = [(WaitKind::SourceIdle, 0.2), (WaitKind::AwaitingLines, 0.7)];
    let found = limit(vec![task("src/0", 0.0, &waits, 0.0), task("a/0", 0.1, &[], 0.0)]).expect("the source");
    assert_eq!(named(&found), ("src", WaitKind::AwaitingLines));
    assert_eq!(found.text, "throughput is limited by source src: no more is written to its files");
}

#[test]
fn where_nothing_moves_nothing_is_the_limit() {
    let still = |name, waits: &[(WaitKind, f64)]| Task { in_per_s: 0.0, ..task(name, 0.0, waits, 0.0) };
    assert_eq!(limit(vec![still("src/0", &[(WaitKind::SourceIdle, 1.0)]), still("a/0", &[])]), None);
}

#[test]
fn a_program_that_takes_longer_than_the_window_is_the_limit_all_the_same() {
    let long = Task { in_per_s: 0.0, ..task("a/0", 1.0, &[(WaitKind::ChildBusy, 1.0)], 1.0) };
    let now = node(vec![Task { in_per_s: 0.0, ..idle_source() }, long]);
    assert_eq!(Window::recent(&[now]).limit().as_ref().map(named), Some(("a", WaitKind::ChildBusy)));
}

#[test]
fn a_disk_that_commits_wait_for_is_named_with_who_waits() {
    let commits = |share| vec![(WaitKind::Committing, share)];
    let found = limit(vec![task("src/0", 0.0, &commits(0.8), 0.0), task("a/0", 0.2, &commits(0.5), 0.3)]);
    let text = found.map(|limit| limit.text);
    assert_eq!(text.as_deref(), Some("throughput is limited by the disk that source src commits to"));
    let found = limit(vec![idle_source(), task("a/0", 0.2, &commits(0.6), 1.0)]).expect("the disk");
    assert_eq!((named(&found), found.busy), (("a", WaitKind::Committing), 0.6));
}

#[test]
fn of_two_branches_the_one_with_a_queue_is_the_limit() {
    let waits = &[(WaitKind::SourceIdle, 0.7), (WaitKind::OutboxFull, 0.1)];
    let tasks = vec![
        task("src/0", 0.0, waits, 0.0),
        task("fast/0", 0.6, &[], 0.2),
        task("slow/0", 0.98, &[], 1.0),
        task("out/0", 0.2, &[], 0.1),
    ];
    assert_eq!(limit(tasks).as_ref().map(named), Some(("slow", WaitKind::ChildBusy)));
}

#[test]
fn one_partition_with_all_the_work_is_named_by_itself() {
    let mut tasks: Vec<_> = (0..8).map(|at| task(&format!("a/{at}"), 0.02, &[], 0.0)).collect();
    (tasks[3].busy, tasks[3].backlog) = (0.98, 1.0);
    tasks.push(idle_source());
    let found = limit(tasks).expect("the task");
    assert_eq!((named(&found), found.task.as_deref()), (("a", WaitKind::ChildBusy), Some("a/3")));
    let text = "throughput is limited by task a/3 alone (its program is busy 98 % of the time)";
    assert_eq!(found.text, text);
}

#[test]
fn a_program_that_fails_again_and_again_limits_by_its_pauses() {
    let found = limit(vec![idle_source(), task("a/0", 0.2, &[(WaitKind::Backoff, 0.7)], 1.0)]).expect("a");
    let text = "throughput is limited by stage a: 70 % of the time it waits for its next attempt";
    assert_eq!(found.text, text);
}

/// One that waits so for a second already.
fn waits_for(task: Task, why: super::super::Why, stalled: bool) -> Task {
    let (on, on_node) = (Some("out/0".to_owned()), Some("a".to_owned()));
    let mut wait = super::super::Wait { for_s: 5.0, stalled, text: String::new(), on, on_node, why };
    wait.text = words::wait(&wait);
    Task { waits: vec![wait], ..task }
}

#[test]
fn the_root_of_a_chain_is_not_somewhere_else() {
    let full = || super::super::Why::OutboxFull { memory_bytes: 9, memory_limit_bytes: 8, spilled_bytes: 0 };
    let behind = &[(WaitKind::OutboxFull, 0.9)];
    let tasks = vec![
        waits_for(task("a/0", 0.1, behind, 1.0), full(), false),
        task("out/0", 0.9, &[(WaitKind::Writing, 0.9)], 1.0),
    ];
    let explained = explain(&[node(tasks)]);
    assert_eq!(explained.chains.len(), 1, "{explained:?}");
    let said = words::explanation(&explained, 6);
    assert!(said.contains("\nthroughput is limited by sink out (it writes 90 % of the time)"), "{said}");
    // What is stalled is the limit as well: records wait for it, and no source is to blame.
    let hangs = super::super::Why::ChildHung { unread_bytes: 1, closed: false };
    let tasks = vec![
        waits_for(task("a/0", 0.0, &[(WaitKind::ChildHung, 1.0)], 1.0), hangs, true),
        idle_source(),
        task("out/0", 0.1, &[], 0.0),
    ];
    let said = words::explanation(&explain(&[node(tasks)]), 6);
    let limit = "\nthroughput is limited by stage a: 100 % of the time it waits for a program that hangs\n";
    assert!(said.ends_with(limit), "{said}");
}

#[test]
fn a_run_whose_program_hung_is_limited_by_that_and_not_by_work() {
    // Over the last seconds a program that hangs does not count as busy; to the core it ran all the time.
    let mut run = node(vec![task("a/0", 0.0, &[], 0.0), idle_source()]);
    run.uptime_s = 100.0;
    (run.tasks[0].busy_s, run.tasks[0].backlog_s) = (99.0, 98.0);
    run.tasks[0].blocked_s = BTreeMap::from([(WaitKind::ChildHung, 95.0), (WaitKind::ChildBusy, 4.0)]);
    assert_eq!(Window::whole(&run).limit().as_ref().map(named), Some(("a", WaitKind::ChildHung)));
}

#[test]
fn a_paused_stage_with_a_queue_is_the_limit_and_not_the_source() {
    let paused = task("a/0", 0.0, &[(WaitKind::Paused, 0.93)], 0.9);
    let found = limit(vec![idle_source(), Task { paused: true, ..paused.clone() }]).expect("the stage");
    assert_eq!(
        found.text,
        "throughput is limited by stage a: 93 % of the time it waits for the user, who paused it"
    );
    let why = super::super::Why::Paused {};
    let stalled = Task { paused: true, ..waits_for(paused, why, true) };
    let explained = explain(&[node(vec![idle_source(), stalled])]);
    let found = explained.limit.expect("the same of a stage that is stalled");
    assert_eq!((named(&found), found.elsewhere), (("a", WaitKind::Paused), false));
}

#[test]
fn no_source_is_named_while_records_are_held_for_a_receiver_that_takes_none() {
    let holds = Task { undelivered: 0.9, ..idle_source() };
    assert_eq!(limit(vec![holds, task("out/0", 0.1, &[], 0.0)]), None);
    let trickle = Task { undelivered: 0.2, ..idle_source() };
    assert_eq!(
        limit(vec![trickle]).map(|found| found.stage),
        Some("src".to_owned()),
        "it was not so for long"
    );
}

#[test]
fn of_who_has_all_slots_and_who_waits_for_one_the_same_is_named_however_a_run_began() {
    for (started, waited) in [(0.97, 1.0), (1.0, 0.91)] {
        let hog = task("hog/0", started - 0.34, &[(WaitKind::NoSlot, 0.34)], 1.0);
        let quick = task("quick/0", 0.0, &[(WaitKind::NoSlot, waited)], waited);
        let found = limit(vec![idle_source(), hog, quick]).expect("the slots");
        assert_eq!(
            (named(&found), &found.held_by[..]),
            (("quick", WaitKind::NoSlot), &["hog".to_owned()][..])
        );
    }
    // Nor does it matter where no slots are shared.
    for (a, b) in [(0.99, 0.96), (0.96, 0.99)] {
        let found = limit(vec![idle_source(), task("a/0", a, &[], 1.0), task("b/0", b, &[], 1.0)]);
        assert_eq!(found.as_ref().map(named), Some(("b", WaitKind::ChildBusy)));
    }
}

#[test]
fn who_holds_the_slots_is_not_somewhere_else_than_who_waits_for_them() {
    let full = super::super::Why::OutboxFull { memory_bytes: 9, memory_limit_bytes: 8, spilled_bytes: 0 };
    let mut feeds = waits_for(task("src/0", 0.0, &[(WaitKind::OutboxFull, 1.0)], 0.0), full, false);
    feeds.waits[0].on = Some("hog/0".to_owned());
    let hog = task("hog/0", 0.66, &[(WaitKind::NoSlot, 0.34)], 1.0);
    let quick = task("quick/0", 0.0, &[(WaitKind::NoSlot, 1.0)], 1.0);
    let explained = explain(&[node(vec![feeds, hog, quick])]);
    let found = explained.limit.expect("the slots");
    assert_eq!((found.stage.as_str(), &found.held_by[..]), ("quick", &["hog".to_owned()][..]));
    assert_eq!((explained.chains.len(), found.elsewhere), (1, false));
}

#[test]
fn who_waits_for_slots_and_what_is_limited_by_them_is_one_thing() {
    let no_slot = super::super::Why::NoSlot { ahead: 0, slots: 1, held_by: vec!["b/0".to_owned()] };
    let tasks = vec![
        waits_for(task("a/0", 0.1, &[(WaitKind::NoSlot, 0.5)], 0.8), no_slot, false),
        task("b/0", 0.3, &[(WaitKind::NoSlot, 0.65)], 1.0),
    ];
    let said = words::explanation(&explain(&[node(tasks)]), 6);
    assert!(
        said.starts_with("a/0 waits: the only slot has been in use for 5.0 s; it is held by b/0\n"),
        "{said}"
    );
    assert!(said.contains("\nthroughput is limited by the slots: stage b waits 65 % of the time"), "{said}");
}

#[test]
fn of_two_branches_with_queues_the_one_that_needs_longer_for_its_own_is_the_limit() {
    let branch = |name: &str, done_per_s: f64, undone: u64, share: f64| Task {
        in_per_s: done_per_s,
        undone_records: undone,
        ..task(name, share, &[], 1.0)
    };
    // What each was at work for differs by what its start took, and where it stands in the pipeline says nothing.
    for (failing, slow) in [(1.0, 1.0), (0.9, 1.0), (1.0, 0.9)] {
        let (a, b) = (branch("failing/0", 15.0, 50_000, failing), branch("slow/0", 192.0, 9_000, slow));
        for tasks in [vec![idle_source(), a.clone(), b.clone()], vec![idle_source(), b, a]] {
            assert_eq!(limit(tasks).as_ref().map(named), Some(("failing", WaitKind::ChildBusy)));
        }
    }
    // Behind one another the last counts, however much lies before the first.
    let mut node = node(vec![branch("a/0", 15.0, 50_000, 1.0), branch("b/0", 192.0, 9_000, 1.0)]);
    node.stages[1].from = vec!["a".to_owned()];
    let found = Window::recent(std::slice::from_ref(&node)).limit();
    assert_eq!(found.as_ref().map(named), Some(("b", WaitKind::ChildBusy)));
}

#[test]
fn a_pause_is_the_limit_only_where_nothing_else_is() {
    let paused = || task("z/0", 0.0, &[(WaitKind::Paused, 1.0)], 1.0);
    let fails = |share| Task { in_per_s: 0.0, ..task("a/0", 0.0, &[(WaitKind::Backoff, share)], 1.0) };
    for share in [1.0, 0.8] {
        let found = limit(vec![idle_source(), fails(share), paused()]);
        assert_eq!(found.as_ref().map(named), Some(("a", WaitKind::Backoff)));
    }
    assert_eq!(limit(vec![idle_source(), paused()]).as_ref().map(named), Some(("z", WaitKind::Paused)));
}

#[test]
fn of_branches_that_do_nothing_the_one_with_the_most_before_it_is_named() {
    let still = |name: &str, kind, undone_records| Task {
        in_per_s: 0.0,
        undone_records,
        ..task(name, 0.0, &[(kind, 1.0)], 1.0)
    };
    for order in [[0, 1], [1, 0]] {
        let branches = [still("a/0", WaitKind::Backoff, 13_000), still("b/0", WaitKind::ChildHung, 32_000)];
        let tasks = order.iter().map(|&at: &usize| branches[at].clone());
        let found = limit(std::iter::once(idle_source()).chain(tasks).collect());
        assert_eq!(found.as_ref().map(named), Some(("b", WaitKind::ChildHung)), "{order:?}");
    }
}
