mod parts;

use super::super::model::{Memory, RunState, SCHEMA, Slots, Stage};
use super::*;
use worker_core::config::TaskName;
use worker_core::status::TaskCounters;

/// A task of a stage whose name is before the slash, with these waits.
fn task(name: &str, waits: Vec<Wait>) -> Task {
    let stage = TaskName::of(name).stage.to_owned();
    Task { name: name.to_owned(), stage, waits, ..Task::default() }
}

/// A node that counts 10 seconds as a stall; stages are of the kind that the first letter of their name says.
fn node(name: &str, tasks: Vec<Task>) -> Snapshot {
    let kind = |stage: &str| match stage.as_bytes().first() {
        Some(b's') => StageKind::Source,
        Some(b'r') => StageKind::Records,
        Some(b'o') => StageKind::Sink,
        _ => StageKind::Batch,
    };
    let stages: BTreeSet<_> = tasks.iter().map(|task| task.stage.clone()).collect();
    let stage = |name: String| Stage {
        kind: kind(&name),
        name,
        from: Vec::new(),
        partitions: 1,
        nodes: Vec::new(),
        rate: None,
    };
    let mut snapshot = Snapshot {
        schema: SCHEMA,
        version: "0".into(),
        pipeline: "p".into(),
        delivery: "memory".into(),
        node: name.to_owned(),
        nodes: vec!["a".into(), "b".into()],
        pid: 1,
        at_ms: 0,
        started_ms: 0,
        uptime_s: 100.0,
        state: RunState::Running,
        end: None,
        stall_after_s: 10.0,
        containment: "guardian".to_owned(),
        read_bytes: 0,
        read_bytes_before: 0,
        through_bytes: 0,
        through_bytes_per_s: 0.0,
        left_s: None,
        total_bytes: None,
        stages: stages.into_iter().map(stage).collect(),
        tasks,
        links: Vec::new(),
        inbound: Vec::new(),
        peers: Vec::new(),
        upstreams: BTreeMap::new(),
        memory: Memory::default(),
        held_records: 0,
        lost_records: 0,
        slots: Slots::default(),
        admin: None,
        own_stop: None,
        drain: None,
    };
    mark_stalls(&mut snapshot);
    snapshot
}

fn wait(for_s: f64, why: Why) -> Wait {
    let mut wait = Wait { for_s, stalled: false, text: String::new(), on: None, on_node: None, why };
    wait.text = words::wait(&wait);
    wait
}

fn on(task: &str, node: &str, wait: Wait) -> Wait {
    Wait { on: Some(task.into()), on_node: Some(node.into()), ..wait }
}

fn full(for_s: f64, to: &str, node: &str) -> Wait {
    on(to, node, wait(for_s, Why::OutboxFull { memory_bytes: 9, memory_limit_bytes: 8, spilled_bytes: 0 }))
}

fn no_credit(for_s: f64, to: &str, node: &str) -> Wait {
    on(to, node, wait(for_s, Why::NoCredit { held_records: 3 }))
}

fn down(for_s: f64, to: &str, node: &str) -> Wait {
    let why = Why::PeerDown {
        cause: "unreachable".into(),
        error: "connection refused".into(),
        attempts: 9,
        next_in_s: Some(1.6),
        held_records: 4096,
        memory_bytes: 12 << 20,
        memory_limit_bytes: 64 << 20,
        spilled_bytes: 0,
    };
    on(to, node, wait(for_s, why))
}

fn hangs(for_s: f64) -> Wait {
    wait(for_s, Why::ChildHung { unread_bytes: 7, closed: false })
}

fn busy(for_s: f64) -> Wait {
    wait(for_s, Why::ChildBusy {})
}

/// A node of one source before these stages, each with these waits; the source waits for those of them that `behind` says.
fn branches(branches: Vec<Task>, behind: &[&str]) -> Snapshot {
    let waits = behind.iter().map(|to| no_credit(30.0, to, "a")).collect();
    let mut node = node("a", Vec::new());
    let link = |to: &Task| super::super::model::Link {
        from: "src/0".into(),
        to: to.name.clone(),
        ..super::super::sample::snapshot().links.swap_remove(0)
    };
    node.links = branches.iter().map(link).collect();
    node.tasks = vec![task("src/0", waits)];
    node.tasks.extend(branches);
    mark_stalls(&mut node);
    node
}

fn chain_of<'a>(explanation: &'a Explanation, task: &str) -> &'a Chain {
    explanation.chains.iter().find(|chain| chain.task == task).unwrap()
}

fn steps(chain: &Chain) -> Vec<&str> {
    chain.steps.iter().map(|step| step.task.as_str()).collect()
}

#[test]
fn a_wait_is_followed_to_the_program_that_hangs() {
    let tasks = vec![
        task("src/0", vec![full(30.0, "grep/0", "a"), no_credit(35.0, "grep/0", "a")]),
        task("grep/0", vec![full(33.0, "last/0", "a")]),
        task("last/0", vec![hangs(40.0)]),
        task("out/0", vec![]),
    ];
    let explanation = explain(&[node("a", tasks)]);
    let chain = chain_of(&explanation, "src/0");
    assert_eq!(steps(chain), ["src/0", "grep/0", "last/0"]);
    assert_eq!((chain.stalled, chain.root.as_str(), chain.for_s), (true, "last/0: child_hung", 35.0));
    assert!(chain.advice.as_ref().unwrap().contains("timeout ="));
    assert_eq!(explanation.chains[0].task, "last/0", "the longest first");
    assert_eq!(explanation.groups().len(), 1, "all three have one root");
    let group = &explanation.groups()[0];
    assert_eq!(group.iter().map(|c| c.task.as_str()).collect::<Vec<_>>(), ["last/0", "grep/0", "src/0"]);
    assert_eq!(group[0].sources_paused, ["source src/0"]);
    assert_eq!(chain.sources_paused, Vec::<String>::new(), "it is not paused by itself");
    assert!(explanation.is_stalled());
}

#[test]
fn what_stops_all_of_a_task_here_goes_before_an_older_wait_for_one_of_its_receivers() {
    let disk = || wait(20.0, Why::DiskFull { error: "no room".into() });
    for waits in [vec![disk(), no_credit(40.0, "grep/0", "a")], vec![no_credit(40.0, "grep/0", "a"), disk()]]
    {
        let explanation =
            explain(&[node("a", vec![task("src/0", waits), task("grep/0", vec![hangs(50.0)])])]);
        let chain = chain_of(&explanation, "src/0");
        assert_eq!((chain.root.as_str(), chain.for_s, chain.stalled), ("src/0: disk_full", 20.0, true));
    }
}

#[test]
fn one_node_alone_ends_its_chains_where_another_begins_and_both_together_do_not() {
    let a = node("a", vec![task("src/0", vec![full(30.0, "grep/1", "b")])]);
    let b = node("b", vec![task("grep/1", vec![down(40.0, "out/0", "c")])]);
    let alone = explain(std::slice::from_ref(&a));
    let chain = chain_of(&alone, "src/0");
    assert_eq!((steps(chain), chain.root.as_str()), (vec!["src/0"], "grep/1: outbox_full"));
    let both = explain(&[a, b]);
    let chain = chain_of(&both, "src/0");
    assert_eq!((steps(chain), chain.root.as_str()), (vec!["src/0", "grep/1"], "node c"));
    assert_eq!(chain.steps[1].node, "b");
    assert_eq!(chain_of(&both, "grep/1").sources_paused, ["source src/0"]);
    let text = words::chain(chain);
    assert!(text.starts_with("src/0 waits: ") && text.contains("; there, grep/1 waits: "), "{text}");
}

#[test]
fn what_is_dead_is_the_root_whatever_it_said_before() {
    // Node b was heard before it died: what its task waited for then is of no interest.
    let a = node("a", vec![task("src/0", vec![down(30.0, "grep/1", "b")])]);
    let b = node("b", vec![task("grep/1", vec![hangs(300.0)])]);
    let explanation = explain(&[a.clone(), b.clone()]);
    let chain = chain_of(&explanation, "src/0");
    assert_eq!((steps(chain), chain.root.as_str(), chain.stalled), (vec!["src/0"], "node b", true));
    let advice = |delivery: &str| {
        let nodes = [&a, &b].map(|node| Snapshot { delivery: delivery.to_owned(), ..node.clone() });
        chain_of(&explain(&nodes), "src/0").advice.clone().unwrap()
    };
    assert!(advice("memory").starts_with("start node b again"));
    assert!(
        advice("memory").ends_with("files that it wrote need exists = \"append\" for that"),
        "{}",
        advice("memory")
    );
    assert!(!advice("exactly-once").contains("append"), "{}", advice("exactly-once"));
}

#[test]
fn an_output_that_is_full_before_a_dead_node_ends_at_that_node() {
    let waits = vec![full(30.0, "grep/0", "b"), no_credit(40.0, "grep/1", "c"), down(20.0, "grep/0", "b")];
    let explanation = explain(&[node("a", vec![task("src/0", waits)])]);
    let chain = chain_of(&explanation, "src/0");
    assert!(chain.stalled, "{chain:?}");
    // The longest wait is told of, and the dead node behind another output is not taken for its cause.
    let kinds = |chain: &Chain| chain.steps.iter().map(|s| s.wait.why.kind()).collect::<Vec<_>>();
    assert_eq!(kinds(chain), [WaitKind::NoCredit], "{chain:?}");
    let waits = vec![full(30.0, "grep/0", "b"), down(20.0, "grep/0", "b")];
    let explanation = explain(&[node("a", vec![task("src/0", waits)])]);
    let chain = chain_of(&explanation, "src/0");
    assert_eq!(kinds(chain), [WaitKind::OutboxFull, WaitKind::PeerDown]);
    assert_eq!((steps(chain), chain.root.as_str()), (vec!["src/0", "src/0"], "node b"));
    assert!(chain.advice.as_ref().is_some_and(|advice| advice.contains("node b")), "{chain:?}");
    let said = words::chain(chain);
    assert!(said.contains("; that is because ") && said.contains("unreachable"), "{said}");
}

#[test]
fn who_waits_for_one_that_works_is_not_stalled() {
    for working in [
        busy(60.0),
        wait(60.0, Why::NoSlot { ahead: 1, slots: 2, held_by: Vec::new() }),
        wait(60.0, Why::Writing {}),
    ] {
        let tasks = vec![task("src/0", vec![full(60.0, "grep/0", "a")]), task("grep/0", vec![working])];
        let explanation = explain(&[node("a", tasks)]);
        assert!(!explanation.is_stalled(), "{explanation:?}");
        assert_eq!(steps(chain_of(&explanation, "src/0")), ["src/0", "grep/0"], "it is told all the same");
    }
    let idle = vec![task("src/0", vec![full(60.0, "grep/0", "a")]), task("grep/0", vec![])];
    assert!(!explain(&[node("a", idle)]).is_stalled(), "it is about to take it");
    // The node by itself cannot know that; with the other's word it does.
    let a = node("a", vec![task("src/0", vec![full(60.0, "grep/0", "b")])]);
    let b = node("b", vec![task("grep/0", vec![busy(60.0)])]);
    assert!(explain(std::slice::from_ref(&a)).is_stalled() && !explain(&[a, b]).is_stalled());
}

#[test]
fn what_is_behind_a_task_at_work_does_not_hold_up_who_feeds_it() {
    // Its one dead destination is no reason why it takes no more: its program is.
    let tasks = vec![
        task("src/0", vec![full(60.0, "grep/0", "a")]),
        task("grep/0", vec![busy(60.0), down(90.0, "out/1", "b")]),
    ];
    let explanation = explain(&[node("a", tasks)]);
    let chain = chain_of(&explanation, "src/0");
    assert_eq!((chain.stalled, chain.root.as_str()), (false, "grep/0: child_busy"));
    assert!(chain_of(&explanation, "grep/0").stalled, "what it holds for that node is stalled");
    // Nor is one that it hears nothing of.
    let gone = on("far/0", "c", wait(90.0, Why::UpstreamDown { cause: "lost".into() }));
    let tasks = vec![task("src/0", vec![no_credit(60.0, "grep/0", "a")]), task("grep/0", vec![gone])];
    let explanation = explain(&[node("a", tasks)]);
    assert_eq!(steps(chain_of(&explanation, "src/0")), ["src/0"]);
}

#[test]
fn a_program_that_buffers_is_in_the_way_only_where_it_owes_answers() {
    for (stage, stalled) in [("grep/0", false), ("r/0", true)] {
        let buffers = wait(60.0, Why::ChildBuffers { fed_bytes: 7 });
        let tasks = vec![task("src/0", vec![full(60.0, stage, "a")]), task(stage, vec![buffers])];
        let explanation = explain(&[node("a", tasks)]);
        assert_eq!(explanation.is_stalled(), stalled, "{stage}");
        let chain = chain_of(&explanation, "src/0");
        assert_eq!((chain.stalled, chain.steps.len()), (stalled, 2));
        assert!(chain.advice.as_ref().unwrap().contains("stdbuf -oL"));
    }
}

#[test]
fn a_program_that_prints_nothing_because_there_is_no_input_leads_to_the_source() {
    for why in [Why::ChildBuffers { fed_bytes: 7 }, Why::AwaitingEnd { fed_records: 2 }] {
        let idle = wait(60.0, Why::SourceIdle {});
        let tasks = vec![task("src/0", vec![idle]), task("grep/0", vec![wait(50.0, why)])];
        let mut node = node("a", tasks);
        for stage in node.stages.iter_mut().filter(|stage| stage.name == "grep") {
            stage.from.push("src".into());
        }
        let explanation = explain(&[node]);
        let chain = chain_of(&explanation, "grep/0");
        assert_eq!((steps(chain), chain.stalled), (vec!["grep/0", "src/0"], false));
        assert!(chain.text.contains("there, src/0 waits: its input has given nothing"), "{}", chain.text);
        assert!(chain.advice.as_ref().is_some_and(|advice| advice.starts_with("normal for")), "{chain:?}");
    }
}

#[test]
fn a_source_that_waits_for_new_lines_says_so_and_is_no_stall() {
    let lines = || Why::AwaitingLines { files: "app.log*".to_owned(), unread_bytes: 0 };
    let explanation = explain(&[node("a", vec![task("src/0", vec![wait(900.0, lines())])])]);
    let text = "src/0 waits: for new lines in app.log*: it has read all there is, and no more has come for 15 min 0 s";
    assert_eq!((chain_of(&explanation, "src/0").text.as_str(), explanation.is_stalled()), (text, false));
    assert!(words::explanation(&explanation, 6).starts_with(&format!("{text}\n")));
    let torn = Why::AwaitingLines { files: "a\u{1b}[31m.log".to_owned(), unread_bytes: 15 };
    let torn = wait(2.0, torn).text;
    assert_eq!(
        torn,
        "for new lines in a\\u{1b}[31m.log: no whole one has come for 2.0 s, 15 B are there so far"
    );
    // Who waits for the end of that says more: what can be done about it.
    let sort = task("sort/0", vec![wait(50.0, Why::AwaitingEnd { fed_records: 2 })]);
    let mut node = node("a", vec![task("src/0", vec![wait(60.0, lines())]), sort]);
    node.stages
        .iter_mut()
        .filter(|stage| stage.name == "sort")
        .for_each(|stage| stage.from.push("src".into()));
    let explanation = explain(&[node]);
    let groups = explanation.groups();
    assert_eq!((groups.len(), steps(groups[0][0])), (1, vec!["sort/0", "src/0"]));
    let said = words::explanation(&explanation, 6);
    assert!(said.contains("there, src/0 waits: for new lines in app.log*"), "{said}");
    assert!(said.contains("window = {") && !said.contains("also held up"), "{said}");
}

#[test]
fn a_program_whose_input_is_held_up_is_not_said_to_hold_its_output_back() {
    let held_up = [wait(60.0, Why::Paused {}), full(60.0, "out/0", "a"), wait(60.0, Why::StorageFull {})];
    for why in held_up {
        let kind = why.why.kind();
        let buffers = wait(50.0, Why::ChildBuffers { fed_bytes: 7 });
        let mut node = node("a", vec![task("src/0", vec![why]), task("grep/0", vec![buffers])]);
        for stage in node.stages.iter_mut().filter(|stage| stage.name == "grep") {
            stage.from.push("src".into());
        }
        let explanation = explain(&[node]);
        let chain = chain_of(&explanation, "grep/0");
        assert_eq!(steps(chain)[..2], ["grep/0", "src/0"], "{kind:?}");
        assert!(chain.advice.as_ref().is_none_or(|advice| !advice.contains("stdbuf")), "{kind:?}: {chain:?}");
    }
}

#[test]
fn a_young_wait_is_no_stall_and_a_very_young_one_is_not_told() {
    let of = |for_s| explain(&[node("a", vec![task("grep/0", vec![hangs(for_s)])])]);
    assert!(of(10.0).is_stalled());
    assert_eq!((of(9.9).is_stalled(), of(9.9).chains.len()), (false, 1));
    assert_eq!(of(0.9).chains.len(), 0);
    let idle = vec![task("src/0", vec![wait(900.0, Why::SourceIdle {})])];
    assert_eq!(explain(&[node("a", idle)]).chains.len(), 0, "to have nothing to do is not worth a word");
}

#[test]
fn a_lying_peer_cannot_make_a_chain_without_end() {
    let ring = vec![
        task("src/0", vec![full(30.0, "x/0", "a")]),
        task("x/0", vec![full(30.0, "y/0", "b")]),
        task("y/0", vec![full(30.0, "src/0", "a"), full(31.0, "y/0", "b")]),
    ];
    let explanation = explain(&[node("a", ring)]);
    assert_eq!(steps(chain_of(&explanation, "src/0")), ["src/0", "x/0", "y/0"]);
    let endless = (0..1000)
        .map(|at| task(&format!("t/{at}"), vec![full(30.0, &format!("t/{}", at + 1), "a")]))
        .collect();
    let explanation = explain(&[node("a", endless)]);
    assert_eq!(chain_of(&explanation, "t/0").steps.len(), STEPS_MAX);
}

#[test]
fn a_source_that_still_reads_is_not_paused() {
    let tasks = vec![
        task("src/0", vec![wait(1.0, Why::SourceIdle {}), no_credit(60.0, "grep/0", "a")]),
        task("src/1", vec![full(50.0, "grep/0", "a")]),
        task("grep/0", vec![hangs(61.0)]),
    ];
    let explanation = explain(&[node("a", tasks)]);
    assert_eq!(chain_of(&explanation, "grep/0").sources_paused, ["source src/1"]);
}

#[test]
fn what_limits_the_throughput() {
    let at_work = |name: &str, busy: f64, kind: WaitKind, waits| Task {
        busy,
        in_per_s: 1000.0,
        blocked: BTreeMap::from([(kind, busy), (WaitKind::Committing, 0.01)]),
        ..task(name, waits)
    };
    let committing = || vec![wait(0.0, Why::Committing { commits: 1, bytes: 7 })];
    let of = |tasks| explain(&[node("a", tasks)]).limit;
    let source = |busy| Task {
        blocked: BTreeMap::from([(WaitKind::SourceIdle, 0.9)]),
        ..at_work("src/0", busy, WaitKind::ChildBusy, vec![wait(0.0, Why::SourceIdle {})])
    };
    let found = of(vec![
        source(0.0),
        at_work("grep/0", 0.9, WaitKind::ChildBusy, committing()),
        at_work("grep/1", 0.5, WaitKind::ChildBusy, vec![]),
        at_work("out/0", 0.6, WaitKind::Writing, vec![]),
    ])
    .unwrap();
    assert_eq!((found.stage.as_str(), found.kind, found.busy), ("grep", WaitKind::ChildBusy, 0.7));
    assert!(words::limit(&found).contains("stage grep (its programs are busy 70 % of the time)"));
    let found = of(vec![source(0.0), at_work("out/0", 0.8, WaitKind::Writing, committing())]).unwrap();
    assert_eq!((found.stage.as_str(), found.kind), ("out", WaitKind::Writing));
    let found = of(vec![source(0.0), at_work("grep/0", 0.3, WaitKind::ChildBusy, vec![])]).unwrap();
    assert_eq!((found.stage.as_str(), found.kind), ("src", WaitKind::SourceIdle), "nobody is busy");
    let still = Task { in_per_s: 0.0, ..at_work("grep/0", 0.9, WaitKind::ChildBusy, vec![]) };
    assert_eq!(of(vec![still]), None, "nothing flows");
}

#[test]
fn ends_losses_and_dead_letters_are_noted() {
    let mut over = node(
        "a",
        vec![Task {
            counters: TaskCounters { dead_records: 1234, ..TaskCounters::default() },
            ..task("grep/0", vec![])
        }],
    );
    over.lost_records = 1;
    over.end = Some(super::super::model::End { at_ms: 5, why: Some("grep/0: \u{1b}[31mbroken".into()) });
    let notes = explain(&[over]).notes;
    assert!(notes[0].starts_with("node a: grep/0: ") && !notes[0].contains('\u{1b}'), "{notes:?}");
    assert!(notes[1].contains("at most 1 record were lost"), "{notes:?}");
    assert!(notes[2].contains("1 234 dead letters"), "{notes:?}");
}

#[test]
fn a_process_that_was_itself_stopped_says_so_and_what_it_may_have_missed() {
    let stopped = |lasted_s| {
        let mut stopped = node("b", vec![]);
        stopped.own_stop = Some(crate::explain::OwnStop { lasted_s, ago_s: 40.0 });
        stopped
    };
    let notes = explain(&[stopped(543.0)]).notes;
    assert_eq!(notes, ["node b: this process was itself stopped for 9 min 3 s, until 40 s ago"]);
    let mut alone = stopped(543.0);
    alone.upstreams.insert("a".to_owned(), false);
    let notes = explain(&[alone]).notes;
    assert!(
        notes[0].ends_with("nodes that are not connected may have finished, or gone on, without it"),
        "{notes:?}"
    );
    assert!(explain(&[stopped(3.0)]).notes.is_empty());
}
