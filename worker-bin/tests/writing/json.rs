//! `worker check --json`.

use super::worker;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const GOOD: &str = "[source.log]\nfile = 'in.txt'\n[stage.errors]\nfrom = 'log'\nrun = ['grep', 'x']\npartitions = 2\n\
    [stage.total]\nfrom = 'errors'\nrun = ['wc', '-l']\n[sink.out]\nfrom = ['errors', 'total']\nstdout = true\n";

fn check(dir: &Path, text: &str, more: &[&str]) -> (i32, Value) {
    std::fs::write(dir.join("p.toml"), text).unwrap();
    asked(dir, &[&["check", "p.toml", "--json"], more].concat())
}

/// What it prints must be JSON, and all of it.
fn asked(dir: &Path, args: &[&str]) -> (i32, Value) {
    let done = worker(dir, args);
    assert_eq!(done.err, "", "{args:?}");
    (done.status, serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out)))
}

/// Names of all fields, but of what the file itself has.
fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                into.insert(name.clone());
                if name != "resolved" {
                    fields(value, into);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn graph_defaults_and_warnings_are_in_it_and_each_field_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.txt"), "x\ny\nx\n".repeat(100)).unwrap();
    let (status, found) = check(dir.path(), GOOD, &["--sample", "in.txt"]);
    assert_eq!((status, &found["ok"], &found["errors"]), (1, &json!(true), &json!([])));
    let graph = found["pipeline"]["graph"].as_array().unwrap();
    let names: Vec<&str> = graph.iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["log", "errors", "total", "out"]);
    assert_eq!(
        (&graph[1]["tasks"], &graph[1]["from"], &graph[1]["mode"]),
        (&json!(2), &json!(["log"]), &json!("batch"))
    );
    assert_eq!(graph[3]["from"], json!(["errors", "total"]));
    let resolved = &found["pipeline"]["resolved"];
    assert_eq!(resolved["stage"]["errors"]["timeout"], "30s");
    assert_eq!(resolved["stage"]["errors"]["partitions"], 2);
    assert_eq!(resolved["pipeline"]["max_record"], "1MiB");
    let warnings = found["warnings"].as_array().unwrap();
    let of_wc =
        warnings.iter().find(|warning| warning["line"] == 9).unwrap_or_else(|| panic!("{warnings:#?}"));
    assert_eq!((&of_wc["file"], &of_wc["end_line"]), (&json!("p.toml"), &json!(9)));
    assert_eq!(found["sample"]["equal"], false, "wc counts each piece");
    let mut named = BTreeSet::new();
    fields(&found, &mut named);
    let page = include_str!("../../../docs/check-json.md");
    let missing: Vec<_> = named.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/check-json.md does not name {missing:?}");
    // The same fields, whatever is found.
    let (_, wrong) = check(dir.path(), "[sink.x]\n", &[]);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&found));
}

#[test]
fn every_error_is_in_it_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (status, found) = check(
        dir.path(),
        "# ä\n[source.s]\nfile = 'x'\nframing = 'lnies'\n[stage.a]\nfrom = 'ß'\nrun = 'a'\ntimeuot = 1\n",
        &[],
    );
    assert_eq!((status, &found["ok"], &found["pipeline"]), (2, &json!(false), &Value::Null));
    let errors = found["errors"].as_array().unwrap();
    let lines: Vec<_> = errors.iter().filter_map(|error| error["line"].as_u64()).collect();
    assert!(lines.contains(&4) && lines.contains(&8) && lines.is_sorted(), "{errors:#?}");
    let word = errors.iter().find(|error| error["line"] == 4).unwrap();
    assert_eq!((&word["column"], &word["end_column"]), (&json!(11), &json!(18)));
    assert_eq!(word["help"][0], "did you mean `lines`?");
    let (status, broken) = check(dir.path(), "[source.s\n", &[]);
    assert_eq!((status, &broken["errors"][0]["line"]), (2, &json!(1)));
    let (status, missing) = asked(dir.path(), &["check", "q.toml", "--json"]);
    assert_eq!((status, missing["errors"][0].get("line")), (2, None));
    assert!(
        missing["errors"][0]["message"].as_str().unwrap().contains("did you mean `p.toml`?"),
        "{missing}"
    );
    let twice = "[source.s]\nfile='x'\n[stage.s]\nrun='cat'\n[sink.o]\nfrom='s'\nfile='o'\n";
    let (_, twice) = check(dir.path(), twice, &[]);
    assert_eq!(twice["errors"][0]["related"].as_array().map(Vec::len), Some(1), "{twice:#}");
    let (status, program) = check(dir.path(), &GOOD.replace("grep", "no-such-program"), &[]);
    assert_eq!((status, &program["ok"]), (2, &json!(false)));
    assert!(program["errors"][0]["message"].as_str().unwrap().contains("no-such-program"), "{program:#}");
    assert_eq!(program["pipeline"]["name"], "p", "the graph is in it all the same");
    let (status, sample) = check(dir.path(), GOOD, &["--sample", "none.txt"]);
    assert_eq!(status, 2);
    assert!(sample["errors"][0]["message"].as_str().unwrap().contains("none.txt"), "{sample:#}");
}
