use super::*;
use crate::admin::registry::RegistryEntry;
use crate::explain::{End, RunState, sample};

fn found(pipeline: &str, node: &str, pid: u32, alive: bool) -> Found {
    let entry = RegistryEntry {
        pid,
        pipeline: pipeline.to_owned(),
        node: node.to_owned(),
        admin: Some(format!("127.0.0.1:{pid}")),
        certificate: None,
        token: "t".to_owned(),
        started_ms: u64::from(pid),
        last: None,
        state: None,
    };
    Found { entry, alive }
}

fn ended(pipeline: &str, node: &str, pid: u32, why: Option<&str>) -> Found {
    let mut found = found(pipeline, node, pid, false);
    let mut last = sample::calm();
    (last.pipeline, last.node, last.pid) = (pipeline.to_owned(), node.to_owned(), pid);
    last.state = if why.is_some() { RunState::Failed } else { RunState::Done };
    last.end = Some(End { at_ms: 1, why: why.map(str::to_owned) });
    found.entry.last = Some(Box::new(last));
    found
}

fn running(found: &[Found], pipeline: Option<&str>) -> Vec<String> {
    match among(found, pipeline).expect("found") {
        Target::Running { instances, .. } => {
            instances.iter().map(|i| format!("{} {}", i.node, i.client.address())).collect()
        }
        Target::Ended(last) => panic!("{last:?}"),
    }
}

fn refused(found: &[Found], pipeline: Option<&str>) -> (u8, String) {
    let failure = among(found, pipeline).expect_err("nothing to ask");
    (failure.status, failure.why)
}

#[test]
fn the_nodes_of_one_pipeline_are_asked_together() {
    let here = [found("p", "b", 2, true), found("p", "a", 1, true), ended("old", "a", 3, None)];
    assert_eq!(running(&here, None), ["b 127.0.0.1:2", "a 127.0.0.1:1"]);
}

#[test]
fn several_pipelines_are_listed_and_one_is_chosen_by_name() {
    let here = [found("p", "a", 1, true), found("q", "a", 2, true)];
    let (status, why) = refused(&here, None);
    assert_eq!(status, WRONG);
    for text in ["--pipeline NAME", "p node a pid 1", "http://127.0.0.1:2/"] {
        assert!(why.contains(text), "{text}: {why}");
    }
    assert_eq!(running(&here, Some("q")), ["a 127.0.0.1:2"]);
    let (status, why) = refused(&here, Some("r"));
    assert!(status == FAILED && why.contains("no worker of pipeline r runs here"), "{why}");
    assert!(why.ends_with("; pipelines here: p, q"), "{why}");
    let here = [found("access-log", "a", 1, true), ended("access-lag", "a", 2, None)];
    let (_, why) = refused(&here, Some("acces_log"));
    assert!(why.ends_with("; did you mean `access-log`? (pipelines here: access-log)"), "{why}");
    let (_, why) = refused(&here[1..], Some("access"));
    assert!(why.ends_with("; did you mean `access-lag`? (pipelines here: access-lag)"), "{why}");
}

#[test]
fn two_runs_of_one_pipeline_are_not_taken_for_one() {
    let here = [found("p", "a", 1, true), found("p", "a", 2, true)];
    let (status, why) = refused(&here, Some("p"));
    assert!(
        status == WRONG && why.contains("pid 1") && why.contains("pid 2") && why.contains("--admin"),
        "{why}"
    );
}

#[test]
fn a_worker_without_an_address_is_named_as_such() {
    let mut mute = found("p", "a", 1, true);
    mute.entry.admin = None;
    let (status, why) = refused(&[mute], None);
    assert!(status == FAILED && why.contains("--admin none") && why.contains("no admin address"), "{why}");
}

#[test]
fn of_those_that_ended_the_last_run_of_each_node_is_told() {
    let here = [
        ended("p", "a", 3, Some("it hurts")),
        ended("p", "b", 2, None),
        ended("p", "a", 1, None),
        ended("q", "a", 0, None),
    ];
    let Target::Ended(last) = among(&here, None).expect("they said how they ended") else {
        panic!("none runs")
    };
    let told: Vec<_> = last.iter().map(|s| (s.pipeline.as_str(), s.node.as_str(), s.pid)).collect();
    assert_eq!(told, [("p", "a", 3), ("p", "b", 2)]);
    assert!(
        line(&here[0]).ends_with("ended: it hurts") && line(&here[1]).ends_with(" ended"),
        "{}",
        line(&here[0])
    );
}

#[test]
fn one_that_died_is_told_from_one_that_never_was() {
    let died = found("p", "a", 1, false);
    let (status, why) = refused(std::slice::from_ref(&died), None);
    assert!(status == FAILED && why.contains("ended without a word") && why.contains("--state"), "{why}");
    assert!(line(&died).ends_with(" died"), "{}", line(&died));
    let (status, why) = refused(&[], None);
    assert!(status == FAILED && why.contains("no worker runs here") && why.contains("worker run"), "{why}");
}

#[test]
fn what_a_worker_said_last_cannot_write_to_the_terminal_as_it_likes() {
    let evil = ended("p", "a", 1, Some("\u{1b}[2J gone"));
    assert!(!line(&evil).contains('\u{1b}'), "{:?}", line(&evil));
}
