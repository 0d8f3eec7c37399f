//! The examples give what they say: what a shell pipe gives, whatever is killed on the way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

/// The run of this example that is disturbed has to be over by then.
const DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn ten_kills_at_random_change_nothing_exactly_once() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = log.reopen().unwrap();
    let mut run = Command::new("bash")
        .arg(examples().join("exactly-once/run.sh"))
        .env("WORKER", env!("CARGO_BIN_EXE_worker"))
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        match run.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if begun.elapsed() > DEADLINE => {
                // The script's own way out stops what it has started.
                Command::new("kill").arg(run.id().to_string()).status().unwrap();
                run.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert!(status.is_some_and(|s| s.success()), "{status:?}\n{said}");
    assert_eq!(said.matches(" rows numbered so far").count(), 10, "{said}");
    assert_eq!(said.matches("equal, byte for byte").count(), 3, "{said}");
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

#[test]
fn records_of_several_lines_come_whole_through_small_batches() {
    let dir = tempfile::tempdir().unwrap();
    let run = Command::new("sh")
        .arg(examples().join("records-of-several-lines/run.sh"))
        .arg(dir.path())
        .env("WORKER", env!("CARGO_BIN_EXE_worker"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    for (result, whole) in [
        ("lengths.txt", "awk -f lengths.awk sequences.fa"),
        ("reads.txt", "awk -f quality.awk reads.fq"),
        ("causes.txt", "python3 causes.py < app.log"),
        (
            "names.txt",
            "jq -n -c 'reduce inputs.user as $u ({}; .[$u.name] += ($u.tags | length)) | to_entries[]' events.json",
        ),
    ] {
        let compare = format!("diff <(sort {result}) <({whole} | sort) && test -s {result}");
        let same = Command::new("bash").args(["-c", &compare]).current_dir(dir.path()).output().unwrap();
        assert!(same.status.success(), "{result}: {}", String::from_utf8_lossy(&same.stdout));
    }
}
