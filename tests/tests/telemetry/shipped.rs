//! The dashboard and the alerts that are shipped: they can be read, and use only metrics that there are.

use crate::metrics::{documented, family};
use serde_json::Value;
use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../../docs/grafana/worker.json");
const ALERTS: &str = include_str!("../../../docs/prometheus/alerts.yml");

#[test]
fn the_dashboard_is_json_and_asks_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let queries = variables.filter_map(|variable| variable["query"]["query"].as_str());
    let used = asked.iter().copied().chain(queries).flat_map(metrics_of).collect();
    all_are_documented(&used);
    assert!(used.len() > 30, "only {used:?}");
}

#[test]
fn the_alerts_are_rules_and_ask_for_metrics_that_there_are() {
    // JSON is YAML; the comments before it are YAML only.
    let json: String = ALERTS.lines().filter(|line| !line.starts_with('#')).collect();
    let rules: Value = serde_json::from_str(&json).expect("JSON below the comments");
    let mut names = BTreeSet::new();
    for rule in rules["groups"][0]["rules"].as_array().expect("rules") {
        let name = rule["alert"].as_str().expect("a name");
        let expression = rule["expr"].as_str().expect("an expression");
        assert!(names.insert(name), "{name} is there twice");
        assert!(
            rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(),
            "{name}"
        );
        let metrics = metrics_of(expression);
        assert!(!metrics.is_empty() || expression.starts_with("up{"), "{name}: {expression}");
        all_are_documented(&metrics.into_iter().collect());
    }
    for name in
        ["WorkerStalled", "WorkerDestinationDown", "WorkerNodeDown", "WorkerRecordsLost", "WorkerCommitsSlow"]
    {
        assert!(names.contains(name), "{name}");
    }
}

/// The names of metrics in an expression.
fn metrics_of(expression: &str) -> Vec<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("worker_")).map(str::to_owned).collect()
}

fn all_are_documented(used: &BTreeSet<String>) {
    let documented = documented();
    let strange: Vec<_> =
        used.iter().filter(|name| !documented.contains_key(&family(name, &documented))).collect();
    assert!(strange.is_empty(), "not in docs/metrics.md: {strange:?}");
}
