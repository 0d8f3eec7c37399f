//! The view, drawn without a terminal.

mod sizes;

use super::app::{App, Flow};
use super::state::{Answer, Said};
use super::view::draw;
use crate::explain::{
    End, Link, Memory, Peer, RunState, Slots, Snapshot, Stage, StageKind, Task, Wait, WaitKind, Why, words,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;
use worker_core::status::{LinkCounters, TaskCounters};

/// The whole screen as text.
fn screen(app: &App, width: u16, height: u16, now_s: f64) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, now_s)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

fn press(app: &mut App, codes: &[KeyCode]) -> Flow {
    let mut flow = Flow::Go;
    for code in codes {
        flow = app.key(KeyEvent::new(*code, KeyModifiers::NONE), 50.0);
    }
    flow
}

fn hear(app: &mut App, snapshot: &Snapshot, now_s: f64) {
    let said = Said::Now(Box::new(snapshot.clone()));
    app.hear(Answer { node: snapshot.node.clone(), said }, now_s);
}

fn task(stage: &str, partition: u32) -> Task {
    Task {
        name: format!("{stage}/{partition}"),
        stage: stage.to_owned(),
        counters: TaskCounters {
            records_in: 1_234_567,
            bytes_in: 123_456_789,
            records_out: 1_234_000,
            bytes_out: 100_000_000,
            retried_records: 0,
            dead_records: 0,
            left_out_records: 0,
            programs: 17,
        },
        queued_records: 120,
        in_per_s: 12_345.6,
        out_per_s: 11_000.0,
        busy: 0.34,
        busy_s: 20.0,
        blocked_s: BTreeMap::new(),
        unmoved_s: 0.0,
        paused: false,
        done: false,
        waits: Vec::new(),
        ..Task::default()
    }
}

fn link(from: &str, to: &str) -> Link {
    Link {
        from: from.to_owned(),
        to: to.to_owned(),
        to_node: "a".to_owned(),
        counters: LinkCounters {
            records: 1000,
            acknowledged_records: 900,
            held_records: 100,
            memory_bytes: 12 << 20,
            spilled_bytes: 0,
            in_flight_records: 50,
            retried_records: 0,
            dropped_records: 0,
            credit_bytes: Some(1 << 20),
        },
        memory_limit_bytes: 16 << 20,
        spill_limit_bytes: 4 << 30,
        per_s: 12_000.0,
        unmoved_s: 0.1,
    }
}

fn stage(name: &str, kind: StageKind, from: &str, partitions: u32, node: &str) -> Stage {
    let from = if from.is_empty() { Vec::new() } else { vec![from.to_owned()] };
    Stage { name: name.to_owned(), kind, from, partitions, nodes: vec![node.to_owned()], rate: None }
}

/// A node `a` of two that reads, filters and sends on to `b`.
fn healthy() -> Snapshot {
    let idle = Task { blocked: BTreeMap::from([(WaitKind::SourceIdle, 0.6)]), ..task("log", 0) };
    Snapshot {
        schema: 1,
        version: "0".to_owned(),
        pipeline: "access-log".to_owned(),
        delivery: "exactly-once".to_owned(),
        node: "a".to_owned(),
        nodes: vec!["a".to_owned(), "b".to_owned()],
        pid: 1,
        at_ms: 1_000_000,
        started_ms: 900_000,
        uptime_s: 100.0,
        state: RunState::Running,
        end: None,
        stall_after_s: 5.0,
        containment: "guardian".to_owned(),
        read_bytes_before: 0,
        read_bytes: 512 << 20,
        through_bytes: 512 << 20,
        through_bytes_per_s: 0.0,
        left_s: None,
        total_bytes: Some(2 << 30),
        stages: vec![
            stage("log", StageKind::Source, "", 1, "a"),
            stage("errors", StageKind::Batch, "log", 2, "a"),
            stage("per_path", StageKind::Stream, "errors", 1, "b"),
        ],
        tasks: vec![idle, task("errors", 0), task("errors", 1)],
        links: vec![
            link("log/0", "errors/0"),
            link("log/0", "errors/1"),
            link("errors/0", "per_path/0"),
            link("errors/1", "per_path/0"),
        ],
        inbound: Vec::new(),
        peers: vec![Peer {
            node: "b".to_owned(),
            up: true,
            failed_attempts: 0,
            cause: None,
            cause_text: None,
            last_error: None,
            down_s: None,
            round_trip_ms: Some(0.3),
        }],
        upstreams: BTreeMap::new(),
        memory: Memory {
            held_bytes: 12 << 20,
            spilled_bytes: 0,
            resident_bytes: 48 << 20,
            resident_peak_bytes: 50 << 20,
        },
        held_records: 0,
        lost_records: 0,
        slots: Slots { used: 1, total: 2 },
        admin: None,
        own_stop: None,
        drain: None,
    }
}

/// The same while `b` is dead.
fn stalled() -> Snapshot {
    let mut snapshot = healthy();
    let why = Why::PeerDown {
        cause: "unreachable".to_owned(),
        error: "connection refused\x1b[2J; more".to_owned(),
        attempts: 9,
        next_in_s: Some(1.6),
        held_records: 4096,
        memory_bytes: 12 << 20,
        memory_limit_bytes: 16 << 20,
        spilled_bytes: 0,
    };
    let mut wait = Wait {
        for_s: 12.0,
        stalled: true,
        text: String::new(),
        on: Some("per_path/0".to_owned()),
        on_node: Some("b".to_owned()),
        why,
    };
    wait.text = words::wait(&wait);
    for task in snapshot.tasks.iter_mut().filter(|task| task.stage == "errors") {
        (task.in_per_s, task.out_per_s, task.counters.retried_records) = (0.0, 0.0, 321);
        (task.undelivered, task.stalled) = (1.0, true);
        task.waits = vec![wait.clone()];
        task.blocked_s = BTreeMap::from([(WaitKind::PeerDown, 12.0), (WaitKind::ChildBusy, 50.0)]);
    }
    let peer = &mut snapshot.peers[0];
    (peer.up, peer.down_s, peer.last_error) = (false, Some(12.0), Some("connection refused".to_owned()));
    for link in snapshot.links.iter_mut().filter(|link| link.to == "per_path/0") {
        (link.per_s, link.unmoved_s, link.counters.held_records) = (0.0, 12.0, 4096);
    }
    snapshot
}

fn app_with(snapshots: &[Snapshot]) -> App {
    let mut app = App::new(true);
    for (second, snapshot) in (0..).zip(snapshots) {
        hear(&mut app, snapshot, f64::from(second));
    }
    app
}

/// The same node ten seconds before, so that there is something to take differences of.
fn app_stalled() -> App {
    let mut before = healthy();
    before.uptime_s = 90.0;
    app_with(&[before, stalled()])
}

fn assert_has(screen: &str, texts: &[&str]) {
    for text in texts {
        assert!(screen.contains(text), "no {text:?} in:\n{screen}");
    }
}

#[test]
fn a_source_that_follows_files_says_how_far_behind_them_it_is() {
    let mut snapshot = healthy();
    snapshot.total_bytes = None;
    (snapshot.tasks[0].lag_bytes, snapshot.tasks[0].lag_s) = (Some(3 << 20), Some(2.5));
    let mut app = app_with(&[snapshot]);
    let wide = screen(&app, 100, 24, 1.0);
    assert!(wide.contains("BEHIND") && wide.contains("read 512 MiB, 3.0 MiB behind"), "{wide}");
    let row = wide.lines().find(|line| line.contains(" log ")).expect("its row");
    assert!(row.contains("3.0 MiB"), "{row}");
    let narrow = screen(&app, 80, 24, 1.0);
    assert!(!narrow.contains("BEHIND") && narrow.contains("3.0 MiB behind"), "{narrow}");
    press(&mut app, &[KeyCode::Enter]);
    let detail = screen(&app, 80, 24, 1.0);
    assert!(
        detail.contains("behind    3.0 MiB that are there are not read, the first of them for 2.5 s"),
        "{detail}"
    );
}

#[test]
fn a_healthy_pipeline_fits_into_the_smallest_terminal() {
    let app = app_with(&[healthy(), healthy()]);
    insta::assert_snapshot!(screen(&app, 80, 24, 2.0));
}

#[test]
fn a_large_terminal_shows_stages_and_links_together() {
    let app = app_stalled();
    insta::assert_snapshot!(screen(&app, 140, 40, 2.0));
}

#[test]
fn a_stall_is_on_the_smallest_screen_with_its_reason() {
    let app = app_stalled();
    let screen = screen(&app, 80, 24, 2.0);
    assert_has(
        &screen,
        &[
            "per_path/0 on node b unreachable",
            "✗ errors",
            "peer down 100%",
            "b down for 12 s",
            "STALLED: 1 cause",
            "642",
        ],
    );
    assert!(!screen.contains('\x1b'), "an escape sequence of an error message got through");
    insta::assert_snapshot!(screen);
}

#[test]
fn on_a_narrow_screen_rows_keep_their_names() {
    let mut app = app_stalled();
    for width in [30, 40, 50, 60] {
        let screen = screen(&app, width, 30, 2.0);
        assert_has(&screen, &["STAGE", "log", "error", "IN/S"]);
    }
    press(&mut app, &[KeyCode::Tab]);
    assert_has(&screen(&app, 40, 30, 2.0), &["LINK", "log/0"]);
}

#[test]
fn dead_letters_are_seen_before_retries_in_every_terminal() {
    let app = app_stalled();
    for width in 20..=140 {
        let screen = screen(&app, width, 24, 2.0);
        let title = screen.lines().find(|line| line.contains("STAGE")).unwrap_or_default();
        let (dead, retry) = (title.find("DEAD"), title.find("RETRY"));
        assert!(dead.is_some() || retry.is_none(), "{width}: {title}");
        assert!(dead.is_some() || width < 40, "{width}: {title}");
        assert!(retry.is_none_or(|retry| dead.is_some_and(|dead| dead < retry)), "{width}: {title}");
        // No title and no figure is cut: a column is there or it is not.
        let known = [
            "STAGE▼", "IN/S", "OUT/S", "QUEUED", "HELD", "DEAD", "RETRY", "BUSY", "BLOCKED", "BY", "BEHIND",
            "TASKS", "NODES",
        ];
        for word in title.split_whitespace().skip(1) {
            assert!(known.contains(&word), "{width}: {word:?} in {title}");
        }
    }
}

#[test]
fn a_wait_that_is_no_stall_yet_is_not_counted_as_one() {
    let mut snapshot = stalled();
    let young = Why::ChildBusy {};
    let wait =
        Wait { for_s: 2.0, stalled: false, text: "busy".to_owned(), on: None, on_node: None, why: young };
    snapshot.tasks.push(Task { waits: vec![wait], ..task("out", 0) });
    let app = app_with(&[snapshot]);
    assert_has(&screen(&app, 140, 40, 2.0), &["STALLED: 1 cause, and 1 wait that is none yet"]);
}

#[test]
fn what_limits_the_throughput_is_said_beside_a_stall() {
    let mut snapshot = stalled();
    snapshot.tasks.push(Task { busy: 0.97, backlog: 1.0, ..task("per_path", 0) });
    let app = app_with(&[snapshot]);
    let said = "throughput is limited by stage per_path (its programs are busy 97 % of the time)";
    assert_has(
        &screen(&app, 140, 40, 2.0),
        &["per_path/0 on node b unreachable", "STALLED: 1 cause; ", said],
    );
    let small = screen(&app, 80, 24, 2.0);
    assert_has(
        &small,
        &["per_path/0 on node b unreachable", "STALLED: 1 cause", "limited by stage per_path"],
    );
}

#[test]
fn without_an_answer_it_says_so() {
    let app = App::new(false);
    insta::assert_snapshot!(screen(&app, 80, 24, 1.0));
    let mut app = App::new(false);
    let said = Said::Nothing("cannot reach the admin address".to_owned());
    app.hear(Answer { node: "a".to_owned(), said }, 1.0);
    assert_has(&screen(&app, 80, 24, 3.0), &["NO ANSWER for 3.0 s", "? a no answer: cannot reach"]);
}

#[test]
fn a_node_that_does_not_answer_any_more_keeps_what_it_said() {
    let mut app = app_with(&[healthy()]);
    let said = || Said::Nothing("connection refused".to_owned());
    app.hear(Answer { node: "a".to_owned(), said: said() }, 5.0);
    app.hear(Answer { node: "a".to_owned(), said: said() }, 6.0);
    let text = screen(&app, 80, 24, 20.0);
    assert_has(
        &text,
        &["NO ANSWER for 20 s", "? a no answer for 20 s: connection refused", "? errors", "access-log"],
    );
    assert!(!text.contains("11.0k"), "rates of a silent node are none:\n{text}");
    hear(&mut app, &healthy(), 21.0);
    assert_has(&screen(&app, 80, 24, 21.0), &["● a held 12 MiB", "● errors"]);
}

#[test]
fn the_end_of_the_run_is_said() {
    let mut last = healthy();
    (last.state, last.end) =
        (RunState::Failed, Some(End { at_ms: 1, why: Some("errors/0: exit 2".to_owned()) }));
    let mut app = app_with(&[healthy()]);
    app.hear(Answer { node: "a".to_owned(), said: Said::Last(Box::new(last)) }, 3.0);
    assert_has(
        &screen(&app, 80, 24, 4.0),
        &["ENDED", "failed after 1 min 40 s: errors/0: exit 2", "· failed "],
    );
}

#[test]
fn sixty_stages_can_be_looked_through_and_sorted() {
    let mut snapshot = healthy();
    snapshot.stages = (0..60).map(|n| stage(&format!("stage{n:02}"), StageKind::Batch, "", 1, "a")).collect();
    snapshot.tasks =
        (0..60_u32).map(|n| Task { out_per_s: f64::from(n), ..task(&format!("stage{n:02}"), 0) }).collect();
    snapshot.links = Vec::new();
    let mut app = app_with(&[snapshot]);
    let first = screen(&app, 80, 24, 1.0);
    assert_has(&first, &["stage00", "STAGE▼ ↓42"]);
    assert!(!first.contains("stage59"), "{first}");
    press(&mut app, &[KeyCode::End]);
    let last = screen(&app, 80, 24, 1.0);
    assert_has(&last, &["stage59", "STAGE▼ ↑42"]);
    assert!(!last.contains("stage00"), "{last}");
    press(&mut app, &[KeyCode::Home, KeyCode::Char('o')]);
    let sorted = screen(&app, 80, 24, 1.0);
    assert_has(&sorted, &["OUT/S▼"]);
    let at = |name: &str| sorted.find(name).unwrap_or(usize::MAX);
    assert!(at("stage59") < at("stage58") && at("stage58") < usize::MAX, "{sorted}");
    press(&mut app, &[KeyCode::Char('o')]);
    assert_has(&screen(&app, 80, 24, 1.0), &["OUT/S▲", "stage00"]);
    press(&mut app, &[KeyCode::Char('p'), KeyCode::Right]);
    assert_has(&screen(&app, 80, 24, 1.0), &["IN/S▼"]);
    press(&mut app, &[KeyCode::Left, KeyCode::Left]);
    assert_has(&screen(&app, 80, 24, 1.0), &["BLOCKED BY▼"]);
}

#[test]
fn long_and_foreign_names_are_cut_and_harmless() {
    let name = format!("a stage whose name is so long \x1b[31m日本語 that it {}", "x".repeat(80));
    let mut snapshot = stalled();
    snapshot.pipeline = "evil\x1b]0;title\x07".to_owned();
    snapshot.stages[1].name.clone_from(&name);
    for task in &mut snapshot.tasks {
        if task.stage == "errors" {
            task.stage.clone_from(&name);
            task.name = format!("{name}/0");
        }
    }
    for (width, height) in [(80, 24), (140, 40), (20, 5), (1, 1)] {
        let mut app = app_with(&[snapshot.clone()]);
        press(&mut app, &[KeyCode::Down]);
        let text = screen(&app, width, height, 1.0);
        assert!(!text.contains(['\x1b', '\x07']), "{text}");
        press(&mut app, &[KeyCode::Enter]);
        let text = screen(&app, width, height, 1.0);
        assert!(!text.contains(['\x1b', '\x07']), "{text}");
        press(&mut app, &[KeyCode::Esc, KeyCode::Char('?')]);
        screen(&app, width, height, 1.0);
    }
    let text = screen(&app_with(&[snapshot]), 80, 24, 1.0);
    assert_has(&text, &["a stage whos…", "11.0k"]);
}

#[test]
fn a_chosen_stage_or_link_shows_its_figures_and_causes() {
    let mut app = app_stalled();
    screen(&app, 80, 24, 2.0);
    press(&mut app, &[KeyCode::Down, KeyCode::Enter]);
    let stage = screen(&app, 80, 24, 2.0);
    assert_has(
        &stage,
        &[
            " errors ",
            "batch, 2 tasks on a, from log",
            "Why it waits",
            "→ start node b again",
            "blocked   peer_down 24 s since",
        ],
    );
    press(&mut app, &[KeyCode::PageDown]);
    assert_has(&screen(&app, 80, 24, 2.0), &["errors/1 on a", "stalled"]);
    press(&mut app, &[KeyCode::Esc, KeyCode::Tab, KeyCode::Char('b'), KeyCode::Enter]);
    let link = screen(&app, 80, 24, 2.0);
    assert_has(
        &link,
        &["errors/0 → per_path/0", "4 096 records: 12 MiB of 16 MiB in memory", "Why it waits"],
    );
    assert_eq!(press(&mut app, &[KeyCode::Enter]), Flow::Go);
    assert_has(&screen(&app, 80, 24, 2.0), &["LINK", "UNMOVED▼", "✗ errors/0 → per_path/0"]);
}

#[test]
fn a_paused_view_stands_still_and_catches_up() {
    let mut app = app_with(&[healthy()]);
    press(&mut app, &[KeyCode::Char(' ')]);
    let before = screen(&app, 80, 24, 51.0);
    assert_has(&before, &["VIEW PAUSED", "NOTHING IS STALLED"]);
    hear(&mut app, &stalled(), 60.0);
    assert_eq!(screen(&app, 80, 24, 70.0), before);
    press(&mut app, &[KeyCode::Char(' ')]);
    let after = screen(&app, 80, 24, 70.0);
    assert!(!after.contains("VIEW PAUSED"));
    assert_has(&after, &["STALLED: 1 cause"]);
}

#[test]
fn it_ends_by_any_of_its_keys() {
    let app = || app_with(&[healthy()]);
    assert_eq!(press(&mut app(), &[KeyCode::Char('q')]), Flow::Quit);
    assert_eq!(press(&mut app(), &[KeyCode::Esc]), Flow::Quit);
    assert_eq!(app().key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 0.0), Flow::Quit);
    assert_eq!(press(&mut app(), &[KeyCode::Char('?'), KeyCode::Esc]), Flow::Go);
    assert_eq!(press(&mut app(), &[KeyCode::Char('?'), KeyCode::Char('q')]), Flow::Quit);
    assert_eq!(press(&mut app(), &[KeyCode::Char('c'), KeyCode::F(1)]), Flow::Go);
}

#[test]
fn nodes_are_merged_and_those_not_asked_are_seen_by_others() {
    let (a, mut b) = (stalled(), healthy());
    let mut app = app_with(std::slice::from_ref(&a));
    assert_has(&screen(&app, 80, 24, 1.0), &["✗ b down for 12 s, says a (connection refused)"]);
    b.node = "b".to_owned();
    (b.tasks, b.links, b.peers) = (vec![task("per_path", 0)], Vec::new(), Vec::new());
    hear(&mut app, &b, 1.0);
    let text = screen(&app, 80, 24, 1.0);
    assert_has(&text, &["● b held 12 MiB", "● per_path"]);
    assert!(!text.contains("says a"), "{text}");
}
