//! The examples give what the same programs give in a shell pipe.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn airports_by_state_are_what_the_shell_pipe_counts() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["airports.csv", "airports.toml", "shell-pipe.sh"] {
        std::fs::copy(examples().join("airports").join(name), dir.path().join(name)).unwrap();
    }
    let run = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["run", "--quiet"])
        .arg(dir.path().join("airports.toml"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let pipe = Command::new("sh").arg(dir.path().join("shell-pipe.sh")).output().unwrap();
    let counted = std::fs::read_to_string(dir.path().join("by-state.txt")).unwrap();
    assert_eq!(counted, String::from_utf8(pipe.stdout).unwrap());
    let airports: u64 =
        counted.lines().map(|line| line.split_once(' ').unwrap().0.parse::<u64>().unwrap()).sum();
    assert_eq!(airports, 3372, "all airports in the USA, those with quoted commas included\n{counted}");
    assert!(counted.starts_with("263 AK\n209 TX\n205 CA\n"), "{counted}");
}

#[test]
fn three_nodes_survive_a_stop_and_a_kill() {
    let run = Command::new("bash")
        .arg(examples().join("three-nodes/run.sh"))
        .env("WORKER", env!("CARGO_BIN_EXE_worker"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    assert!(out.contains("equal byte for byte"), "{out}");
}

#[test]
fn programs_that_answer_each_record_count_visits() {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(examples().join("records")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    for (pipeline, result, want) in [
        ("count.toml", "counts.txt", "1 cid\n2 bob\n3 ann\n"),
        ("number.toml", "numbered.txt", "1 ann\n1 bob\n1 cid\n2 ann\n2 bob\n3 ann\n"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_worker"))
            .args(["run", "--quiet"])
            .arg(dir.path().join(pipeline))
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let text = std::fs::read_to_string(dir.path().join(result)).unwrap();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        lines.sort_unstable();
        assert_eq!(lines.concat(), want);
    }
}
