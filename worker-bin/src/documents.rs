//! What others read from us: the shape of every JSON document, and the page that describes them.
//!
//! A shape is every path of a document with its type. It changes only on purpose: whoever parses these documents relies on it.

pub(crate) mod pages;

use crate::admin::{Changed, DeadLetterView, Graph, GraphTask, Live, Tapped, WaitWords};
use crate::explain::{RunState, StageKind, WaitKind, explain, sample};
use crate::report::{DeadReason, Gathered, LeftState, Outcome, gather};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../docs/admin-api.md");
const ROUTES: &str = include_str!("admin/routes.rs");

/// Objects whose keys are names of tasks, stages, nodes or reasons, not of fields.
const MAPS: [&str; 7] = ["blocked_s", "blocked", "reasons", "upstreams", "recent", "whole", "history.stages"];

/// Every path of a document with its types.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn shape(document: &impl Serialize) -> Shape {
    let mut shape = Shape::new();
    walk(&serde_json::to_value(document).expect("it serialises"), "", &mut shape);
    shape
}

fn walk(value: &Value, path: &str, shape: &mut Shape) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !path.is_empty() {
        shape.entry(path.to_owned()).or_default().insert(kind);
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), shape)),
        Value::Object(fields) => {
            let map = MAPS.iter().any(|map| path == *map || path.ends_with(&format!(".{map}")));
            for (name, field) in fields {
                let name = if map { "*" } else { name.as_str() };
                let dot = if path.is_empty() { "" } else { "." };
                walk(field, &format!("{path}{dot}{name}"), shape);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text(shape: &Shape) -> String {
    let lines = shape
        .iter()
        .map(|(path, kinds)| format!("{path}: {}", kinds.iter().copied().collect::<Vec<_>>().join("|")));
    lines.collect::<Vec<_>>().join("\n")
}

fn graph() -> Graph {
    let snapshot = sample::snapshot();
    Graph {
        pipeline: snapshot.pipeline,
        node: snapshot.node,
        nodes: snapshot.nodes,
        stages: snapshot.stages,
        tasks: vec![GraphTask { name: "log/0".to_owned(), stage: "log".to_owned(), node: "a".to_owned() }],
        links: vec![("log/0".to_owned(), "errors/0".to_owned())],
        reasons: WaitWords::all(),
        pages: BTreeMap::new(),
    }
}

/// Every document by its name, as a shape.
fn documents() -> Vec<(&'static str, Shape)> {
    let (status, why) = (sample::snapshot(), explain(&[sample::snapshot()]));
    let word = || "x".to_owned();
    let dead = DeadLetterView { at_ms: 1, task: word(), reason: word(), attempts: 1, record_bytes: 1 };
    let tapped = vec![
        Tapped::Record { task: word(), record: Some(word()), record_b64: Some(word()) },
        Tapped::Skipped { records: 1 },
    ];
    let reason = DeadReason { stage: word(), reason: word(), records: 1, example: word() };
    let mut report = gather(&Gathered {
        last: sample::snapshot(),
        history: sample::history(),
        stalls: sample::stalls(),
        resident_peak_bytes: 1,
        dead: vec![reason],
        dead_letters: Some(word()),
        state: Some(LeftState { dir: word(), bytes: 1 }),
    });
    report.signal = Some(2);
    vec![
        ("status", shape(&status)),
        ("why", shape(&why)),
        ("pipeline", shape(&graph())),
        ("history", shape(&sample::history())),
        ("dead", shape(&vec![dead])),
        ("events", shape(&Live { status, why })),
        ("tap", shape(&tapped)),
        ("changed", shape(&Changed { did: word(), tasks: vec![word()] })),
        ("report", shape(&report)),
    ]
}

/// The words that stand for something.
fn vocabulary() -> Vec<String> {
    let said = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let states = [RunState::Running, RunState::Draining, RunState::Done, RunState::Stopped, RunState::Failed];
    let kinds = [StageKind::Source, StageKind::Batch, StageKind::Stream, StageKind::Records, StageKind::Sink];
    let outcomes = [Outcome::Done, Outcome::Stopped, Outcome::Failed];
    let words = states.iter().map(|state| ("state", said(serde_json::json!(state))));
    let words = words.chain(kinds.iter().map(|kind| ("kind of a stage", said(serde_json::json!(kind)))));
    let words = words.chain(outcomes.iter().map(|outcome| ("outcome", said(serde_json::json!(outcome)))));
    let words =
        words.chain(WaitKind::ALL.iter().map(|kind| ("kind of a wait", said(serde_json::json!(kind)))));
    words.map(|(what, word)| format!("{what}: {word}")).collect()
}

#[test]
fn no_document_changes_its_shape_by_accident() {
    insta::with_settings!({ snapshot_path => "../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        for (name, shape) in documents() {
            insta::assert_snapshot!(format!("shape-{name}"), text(&shape));
        }
        insta::assert_snapshot!("shape-words", vocabulary().join("\n"));
    });
}

#[test]
fn the_words_of_reasons_are_the_same_in_json_and_metrics() {
    for kind in WaitKind::ALL {
        assert_eq!(serde_json::json!(kind), kind.row().name);
    }
}

#[test]
fn every_route_is_described() {
    let routes: Vec<&str> =
        ROUTES.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert!(routes.len() >= 15 && routes.contains(&"/api/v1/status"), "{routes:?}");
    for route in routes {
        let written = route.replace("{stage}", "STAGE");
        let heading = PAGE.lines().any(|line| line.starts_with('#') && line.contains(&format!("{written}`")));
        assert!(heading, "docs/admin-api.md has no heading for {written}");
    }
}

#[test]
fn every_field_and_word_is_described() {
    for (document, shape) in documents() {
        for path in shape.keys() {
            let name = path.rsplit('.').next().unwrap_or(path).trim_end_matches("[]");
            let known = name == "*" || name.is_empty() || PAGE.contains(&format!("`{name}`"));
            assert!(known, "docs/admin-api.md does not tell of `{name}` ({path} of {document})");
        }
    }
    for word in vocabulary() {
        let word = word.rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(PAGE.contains(&format!("`{word}`")), "docs/admin-api.md does not tell of `{word}`");
    }
}
