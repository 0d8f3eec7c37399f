//! `worker init`, but for its questions: those need a terminal.

use super::{Done, worker};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn init(dir: &Path, args: &[&str]) -> Done {
    worker(dir, &[&["init"], args].concat())
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn a_one_liner_becomes_a_file_that_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("in.txt"), "b 500\na 200\nc 500\na 500\n").unwrap();
    let line = ["-i", "in.txt", "-s", "grep 500", "--ok-exit", "0,1", "-j", "999", "-S", "sort"];
    let done = init(dir.path(), &[&["jobs.toml", "--"], &line[..]].concat());
    assert_eq!(done.status, 0, "{done:?}");
    for said in ["wrote jobs.toml\n", "next: worker run jobs.toml --slots 999\n"] {
        assert!(done.err.contains(said), "{said}: {done:?}");
    }
    assert!(
        done.out.starts_with("jobs (delivery") && done.out.contains("grep 500"),
        "the graph is shown: {done:?}"
    );
    let text = std::fs::read_to_string(at("jobs.toml")).unwrap();
    assert!(text.starts_with("[pipeline]\nname = \"jobs\"\n"), "{text}");
    assert_eq!(at("jobs.toml").metadata().unwrap().permissions().mode() & 0o700, 0o600);
    let quiet = ["--progress", "none", "--admin", "none", "-q"];
    let by_file = worker(dir.path(), &[&["run", "jobs.toml"], &quiet[..]].concat());
    let by_line = worker(dir.path(), &[&["run"], &line[..], &quiet[..]].concat());
    assert_eq!((by_file.status, by_file.out.as_str()), (0, "a 500\nb 500\nc 500\n"));
    assert_eq!(by_line.out, by_file.out);
    assert_eq!(worker(dir.path(), &["fmt", "--check", "jobs.toml"]).status, 0);
}

#[test]
fn every_example_is_good_and_runs() {
    for (example, file) in [
        ("lines", ""),
        ("csv", "dearest.txt"),
        ("records", "counts.txt"),
        ("exactly-once", "priced.jsonl"),
        ("follow", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let done = init(dir.path(), &["--example", example]);
        let next = format!("next: cd {example}\n      worker run pipeline.toml\n");
        // What this machine has room for is not the example's.
        let of_machine = |line: &&str| line.starts_with("warning: at worst this node ");
        let warned = done.err.lines().any(|line| line.starts_with("warning") && !of_machine(&line));
        assert!(done.status == 0 && done.err.contains(&next) && !warned, "{done:?}");
        let own = dir.path().join(example);
        assert_eq!(worker(&own, &["fmt", "--check", "pipeline.toml"]).status, 0, "{example}");
        if example == "follow" {
            continue;
        }
        let run = worker(&own, &["run", "pipeline.toml", "--progress", "none", "--admin", "none", "-q"]);
        assert_eq!((run.status, run.err.as_str()), (0, ""), "{example}");
        let out = if file.is_empty() { run.out } else { std::fs::read_to_string(own.join(file)).unwrap() };
        insta::assert_snapshot!(format!("example_{example}"), sorted(&out));
    }
}

/// The crate is packed without the examples beside it, so it has a copy of each file that they share.
#[test]
fn a_file_of_an_example_is_as_in_the_examples_of_the_project() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = root.join("src/cli/init/examples/records");
    let mut shared = Vec::new();
    for entry in std::fs::read_dir(&ours).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Ok(theirs) = std::fs::read_to_string(root.join("../examples/records").join(&name)) else {
            continue;
        };
        assert_eq!(std::fs::read_to_string(ours.join(&name)).unwrap(), theirs, "{name} differs");
        shared.push(name);
    }
    shared.sort_unstable();
    assert_eq!(shared, ["count.py", "visits.txt"]);
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn nothing_that_is_there_is_replaced_without_force() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("csv")).unwrap();
    std::fs::write(at("csv/rooms.csv"), "mine\n").unwrap();
    std::fs::write(at("pipeline.toml"), "mine\n").unwrap();
    std::os::unix::fs::symlink("nowhere", at("link.toml")).unwrap();
    for (args, file) in [
        (&["--example", "csv"][..], "csv/rooms.csv"),
        (&["--", "-s", "cat"], "pipeline.toml"),
        (&["link.toml", "--", "-s", "cat"], "link.toml"),
    ] {
        let done = init(dir.path(), args);
        assert!(done.status == 2 && done.err.contains(&format!("{file} is there already")), "{done:?}");
        assert!(done.err.contains("--force"), "{done:?}");
    }
    assert_eq!(std::fs::read_dir(at("csv")).unwrap().count(), 1, "all of an example, or nothing");
    assert_eq!(std::fs::read_to_string(at("pipeline.toml")).unwrap(), "mine\n");
    assert_eq!(init(dir.path(), &["--example", "csv", "--force"]).status, 0);
    assert!(std::fs::read_to_string(at("csv/rooms.csv")).unwrap().starts_with("name,"));
    std::fs::set_permissions(at("pipeline.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(init(dir.path(), &["--force", "--", "-s", "cat"]).status, 0);
    assert!(std::fs::read_to_string(at("pipeline.toml")).unwrap().contains("run = [\"cat\"]"));
    assert_eq!(at("pipeline.toml").metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_link_is_written_through_and_one_that_leads_nowhere_stays() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("real.toml"), "mine\n").unwrap();
    for (link, to) in [("link.toml", "real.toml"), ("lost.toml", "nowhere.toml")] {
        std::os::unix::fs::symlink(to, at(link)).unwrap();
    }
    assert_eq!(init(dir.path(), &["link.toml", "--force", "--", "-s", "cat"]).status, 0);
    assert!(at("link.toml").symlink_metadata().unwrap().is_symlink());
    assert!(std::fs::read_to_string(at("real.toml")).unwrap().contains("run = [\"cat\"]"));
    let done = init(dir.path(), &["lost.toml", "--force", "--", "-s", "cat"]);
    assert!(done.status == 2 && done.err.contains("lost.toml is a link to nowhere.toml"), "{done:?}");
    assert!(at("lost.toml").symlink_metadata().unwrap().is_symlink() && !at("nowhere.toml").exists());
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["--", "-s", "grep | wc"][..], "no shell"),
        (&["--", "-s", "cat", "--framing", "lnies"], "--framing"),
        (&["--", "-s", "cat", "--limit", "3"], "unexpected argument '--limit'"),
        (&["--", "-s", "cat", "stray.toml"], "unexpected argument 'stray.toml'"),
        (&["other/p.toml", "--", "-s", "cat"], "is in another directory"),
        (&["/tmp", "--", "-s", "cat"], "/tmp is a directory"),
        (&["--example", "cvs"], "there is no example cvs; did you mean `csv`? (examples: lines, "),
        (&["--example", "csv", "--", "-s", "cat"], "cannot be used with"),
        (&[], "on a terminal, worker init asks"),
    ] {
        let done = init(dir.path(), args);
        assert!(done.status == 2 && done.err.contains(says), "{says}: {done:?}");
        assert!(is_empty(dir.path()), "{args:?}");
    }
    let missing = init(dir.path(), &["--", "-s", "no-such-program"]);
    assert!(missing.status == 2 && missing.err.contains("no-such-program"), "{missing:?}");
    assert!(missing.err.contains("pipeline.toml is written; mend what is said above"), "{missing:?}");
    let nowhere = init(dir.path(), &["--example", "csv", "/proc/nowhere"]);
    assert!(nowhere.status == 1 && nowhere.err.contains("cannot write /proc/nowhere/"), "{nowhere:?}");
}
