//! The page of keys names every key that a file may have, and the file it shows is a good one.

use super::root;
use std::collections::BTreeSet;
use std::process::{Command, Output};

/// A file in which every table has a key that none knows; messages then list those that are known.
const EVERY_TABLE: &str = r#"
[pipeline]
qqqqqq = 1
[source.s]
qqqqqq = 1
file = "x"
[stage.a]
qqqqqq = 1
run = "cat"
batch = { qqqqqq = 1 }
retry = { qqqqqq = 1 }
partition_by = { qqqqqq = 1 }
env = { A = { qqqqqq = 1 } }
[stage.b]
run = "cat"
mode = "stream"
window = { qqqqqq = 1 }
[sink.o]
qqqqqq = 1
file = "y"
"#;

fn page() -> String {
    std::fs::read_to_string(root().join("docs/reference/keys.md")).unwrap()
}

/// The first block of TOML: the file with all keys.
fn shown(page: &str) -> &str {
    let (_, rest) = page.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn check(file: &str) -> Output {
    checked(file, &[])
}

fn checked(file: &str, options: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access-log.toml");
    std::fs::write(&path, file).unwrap();
    Command::new(env!("CARGO_BIN_EXE_worker")).arg("check").arg(path).args(options).output().unwrap()
}

#[test]
fn every_key_is_on_the_page() {
    let errors = String::from_utf8(check(EVERY_TABLE).stderr).unwrap();
    let lists: Vec<&str> =
        errors.lines().filter_map(|line| line.split_once("known here: ")).map(|l| l.1).collect();
    assert_eq!(lists.len(), 9, "one list a table: {errors}");
    let known: BTreeSet<&str> = lists.iter().flat_map(|list| list.split(", ")).collect();
    assert!(known.contains("state_budget") && known.contains("max_records"), "{known:?}");
    let page = page();
    let file = shown(&page);
    let words: BTreeSet<&str> = file.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    // `place` is told of with the cluster file.
    let missing: Vec<_> = known.iter().filter(|key| **key != "place" && !words.contains(*key)).collect();
    assert!(missing.is_empty(), "not in the page's file: {missing:?}");
    assert!(page.contains("`place = \"a\"`"));
}

/// Keys of which the page's file shows another value than the default, which it tells of beside them.
const OTHERWISE: [&str; 12] = [
    "name",
    "delivery",
    "spill_dir",
    "file",
    "from",
    "run",
    "cwd",
    "mode",
    "ok_exit",
    "partitions",
    "partition_by",
    "timeout",
];

#[test]
fn defaults_are_as_the_page_says() {
    let stage = |name: &str, rest: &str| format!("[stage.{name}]\nrun = \"cat\"\n{rest}\n");
    let stages = stage("a", "")
        + &stage("b", "mode = \"stream\"")
        + &stage("c", "mode = \"records\"\npartition_by = \"record\"");
    let file = format!("[source.s]\nfile = \"x\"\n{stages}[sink.o]\nfile = \"y\"\n");
    let full = String::from_utf8(checked(&file, &["--full"]).stdout).unwrap();
    let is_default = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !OTHERWISE.contains(&key) && !key.is_empty() && !key.contains(' ')
    };
    let defaults: Vec<&str> = full.lines().filter(|line| is_default(line)).collect();
    assert!(defaults.contains(&"state_budget = \"64MiB\"") && defaults.len() > 15, "{full}");
    let page = page();
    for line in defaults {
        assert!(shown(&page).contains(line), "the page has another default: {line}");
    }
}

#[test]
fn the_file_of_the_page_is_a_good_one() {
    let checked = check(shown(&page()));
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
