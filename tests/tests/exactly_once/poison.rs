//! A record that makes its program kill the worker is found and dead-lettered; no other is.

use crate::PATIENCE;
use std::os::unix::process::ExitStatusExt as _;
use worker_tests::process::Scratch;

/// Of at most 1500 records in flight ten halvings leave one, which dies three times; and once more, should something else have
/// been in flight beside it. A death that counts for nothing makes it more.
const DEATHS_MAX: u32 = 10 + 3 + 1;

/// Kills the worker, the parent of the launcher's guardian, at the record `777`.
const BATCH: &str = "while read -r l; do if [ $l = 777 ]; then g=$(cut -d' ' -f4 /proc/$PPID/stat); kill -9 $(cut -d' ' -f4 /proc/$g/stat); \
                     sleep 10; fi; echo $l; done";

const RECORDS: &str = r#"
import json, os, signal, sys, time
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m: continue
    if m.get("record") == "777":
        parent = lambda pid: open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()[1]
        os.kill(int(parent(parent(os.getppid()))), signal.SIGKILL)
        time.sleep(10)
    print(json.dumps({"id": m["id"], "emit": [m["record"]] if "record" in m else []}), flush=True)
"#;

/// Starts it again and again; gives how often the worker died.
fn deaths(scratch: &Scratch) -> u32 {
    for deaths in 0..40 {
        let start = scratch.worker(&[
            "run",
            "pipeline.toml",
            "--state",
            "state",
            "--progress",
            "none",
            "--pid-namespace",
            "off",
        ]);
        let ended = start.start().wait(PATIENCE);
        if ended.status.signal() != Some(9) {
            ended.expect(3).says(&["1 dead letter"]);
            return deaths;
        }
    }
    panic!("it still dies after 40 lives");
}

fn assert_only_it_is_dead_lettered(scratch: &Scratch, stage: &str) {
    scratch.shell("seq 1 1500 > in.txt");
    scratch.write(
        "pipeline.toml",
        format!(
            "[pipeline]\nname = 'poison'\n[source.in]\nfile = 'in.txt'\n{stage}[sink.out]\nfile = 'out.txt'\n"
        ),
    );
    let deaths = deaths(scratch);
    assert!((3..=DEATHS_MAX).contains(&deaths), "it took {deaths} deaths to find it");
    let want = scratch.shell("grep -vx 777 in.txt");
    assert!(scratch.shell("sort -n out.txt") == want, "others are missing or there twice");
    let letters = scratch.shell("cat state/dead/*.jsonl");
    let letters = String::from_utf8_lossy(&letters);
    assert_eq!(letters.lines().count(), 1, "{letters}");
    assert!(letters.contains("\"777\"") && letters.contains("the worker itself died"), "{letters}");
}

#[test]
fn by_a_batch_program() {
    let scratch = Scratch::new();
    let stage = format!("[stage.deadly]\nrun = ['sh', '-c', \"{BATCH}\"]\npartitions = 1\n");
    assert_only_it_is_dead_lettered(&scratch, &stage);
}

#[test]
fn by_a_batch_program_among_several() {
    let scratch = Scratch::new();
    let stage = format!(
        "[stage.deadly]\nrun = ['sh', '-c', \"{BATCH}\"]\npartitions = 4\nbatch = {{ max_records = 100 }}\n"
    );
    assert_only_it_is_dead_lettered(&scratch, &stage);
}

#[test]
fn by_a_program_that_answers_records() {
    let scratch = Scratch::new();
    scratch.write("deadly.py", RECORDS);
    let stage = "[stage.deadly]\nmode = 'records'\nrun = ['python3', 'deadly.py']\npartition_by = 'record'\npartitions = 2\n";
    assert_only_it_is_dead_lettered(&scratch, stage);
}
