//! `worker dlq list`, `show` and `repro`.

use crate::{dlq, listed, text};
use worker_tests::process::Scratch;

/// Three records in a thousand fail; what is said about them would turn a terminal upside down.
const SOME_FAIL: &str = r#"
    [pipeline]
    name = "some-fail"
    [source.numbers]
    run = ["seq", "1", "1000"]
    [stage.picky]
    run = ["awk", "/^(77|500|998)$/ {printf \"cannot do \\033[7m%s\\n\", $1 > \"/dev/stderr\"; exit 7} {print}"]
    env = { TOKEN = { env = "DLQ_TOKEN" }, MODE = "it's" }
    retry = { max_attempts = 2, initial = "1ms", max = "5ms" }
    [sink.out]
    stdout = true
"#;

fn run_in_memory(scratch: &Scratch) {
    scratch.write("pipeline.toml", SOME_FAIL);
    scratch.worker(&["run", "pipeline.toml"]).env("DLQ_TOKEN", "s3cret").run().expect(3);
}

#[test]
fn letters_of_a_run_without_state_are_listed_and_shown() {
    let scratch = Scratch::new();
    run_in_memory(&scratch);
    let list = text(&dlq(&scratch, &["list", "some-fail.dead-letters.jsonl"]).expect(0).stdout);
    assert!(!list.contains('\u{1b}'), "{list:?}");
    assert!(list.starts_with("ID "), "{list}");
    assert!(list.contains("exit 7"), "{list}");
    assert!(list.contains("3 dead letters, by stage and reason:"), "{list}");
    assert!(list.contains(r"       1  picky: awk exited with status 7: cannot do  [7m77"), "{list}");
    assert_eq!(text(&dlq(&scratch, &["list", "pipeline.toml"]).expect(0).stdout), list);
    let mut letters = listed(&scratch, &["pipeline.toml"]);
    letters.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(letters.iter().map(|(_, record)| record.as_str()).collect::<Vec<_>>(), ["500", "77", "998"]);
    let page = text(&dlq(&scratch, &["show", "pipeline.toml", &letters[0].0]).expect(0).stdout);
    for part in [
        &*letters[0].0,
        "attempts",
        "exit 7",
        "record, 3 bytes:\n  500\n",
        r"cannot do \u{1b}[7m500",
        "from numbers/0",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let raw = dlq(&scratch, &["show", "--letters", "some-fail.dead-letters.jsonl", &letters[0].0, "--raw"]);
    assert_eq!(raw.expect(0).stdout, b"500");
    assert!(listed(&scratch, &["pipeline.toml", "--stage", "numbers"]).is_empty());
    assert!(listed(&scratch, &["some-fail.dead-letters.jsonl", "--stage", "other"]).is_empty());
}

#[test]
fn the_latest_run_without_state_is_the_one_that_is_shown() {
    let scratch = Scratch::new();
    run_in_memory(&scratch);
    scratch.write("pipeline.toml", SOME_FAIL.replace("77|500|998", "42"));
    scratch.worker(&["run", "pipeline.toml"]).env("DLQ_TOKEN", "s3cret").run().expect(3);
    let letters = listed(&scratch, &["pipeline.toml"]);
    assert_eq!(letters.iter().map(|(_, record)| record.as_str()).collect::<Vec<_>>(), ["42"]);
}

#[test]
fn a_failure_can_be_reproduced_without_the_worker() {
    let scratch = Scratch::new();
    run_in_memory(&scratch);
    let letters = listed(&scratch, &["pipeline.toml"]);
    let (id, record) = &letters[1];
    dlq(&scratch, &["repro", "pipeline.toml", id, "--out", "bug"]).expect(0).says(&["sh bug/run.sh"]);
    assert_eq!(scratch.text("bug/input"), format!("{record}\n"));
    for file in ["run.sh", "README.txt"] {
        assert!(!scratch.text(&format!("bug/{file}")).contains("s3cret"), "{file} holds a secret");
    }
    let again = scratch.shell("DLQ_TOKEN=x sh bug/run.sh 2>&1; echo status $?");
    assert_eq!(text(&again), format!("cannot do \u{1b}[7m{record}\nstatus 7\n"));
    scratch.shell("echo 78 > bug/input");
    assert_eq!(text(&scratch.shell("DLQ_TOKEN=x sh bug/run.sh")), "78\n");
    dlq(&scratch, &["repro", "pipeline.toml", id, "--out", "bug"])
        .expect(2)
        .says(&["not an empty directory"]);
}

#[test]
fn what_is_not_there_is_said() {
    let scratch = Scratch::new();
    run_in_memory(&scratch);
    let refused = |words: &[&str], says: &[&str]| {
        dlq(&scratch, words).expect(2).says(says);
    };
    refused(
        &["show", "pipeline.toml", "picky/0:99"],
        &["there is no dead letter picky/0:99", "worker dlq list"],
    );
    for list in ["pipeline.toml", "some-fail.dead-letters.jsonl"] {
        refused(&["list", list, "--stage", "piky"], &["there is no stage piky; did you mean `picky`?"]);
    }
    refused(
        &["replay", "pipeline.toml", "--stage", "Picky"],
        &["there is no stage Picky; did you mean `picky`?"],
    );
    refused(
        &["list", "pipeline.toml", "--stage", "other"],
        &["there is no stage other; stages there: numbers, out, picky"],
    );
    let (id, _) = listed(&scratch, &["pipeline.toml"]).remove(0);
    let wrong = id.replace("picky", "pickie");
    for command in [&["show", "pipeline.toml", &wrong][..], &["replay", "pipeline.toml", &wrong]] {
        refused(command, &[&format!("there is no dead letter {wrong}"), &format!("did you mean `{id}`?")]);
    }
    refused(&["list", "pipelin.toml"], &["did you mean `pipeline.toml`?"]);
    refused(&["list", "some-fail.dead-letter.jsonl"], &["did you mean `some-fail.dead-letters.jsonl`?"]);
    refused(&["show", "pipeline.toml", "99"], &["expected TASK:NUMBER"]);
    refused(&["show", "picky/0:1"], &["say where dead letters are"]);
    refused(&["list", "--state", "nowhere"], &["there is no state directory nowhere"]);
    refused(&["list", "--state", "."], &["is no state directory"]);
    refused(&["list", "other.jsonl"], &["there is no file of dead letters other.jsonl", "--letters"]);
    refused(&["list", "other.toml"], &["cannot read other.toml"]);
    let (id, _) = listed(&scratch, &["pipeline.toml"]).remove(0);
    scratch.write("pipeline.toml", SOME_FAIL.replace("stage.picky", "stage.choosy"));
    refused(&["repro", "pipeline.toml", &id, "--out", "bug"], &["of stage `picky`", "stages there: choosy"]);
    let mut letters = scratch.text("some-fail.dead-letters.jsonl");
    letters.insert_str(0, "{\"time\":\n");
    scratch.write("some-fail.dead-letters.jsonl", letters);
    let list = dlq(&scratch, &["list", "pipeline.toml"]).expect(2);
    let list = list
        .says(&["some-fail.dead-letters.jsonl, line 1: not a dead letter", "the lines around it are fine"]);
    assert!(text(&list.stdout).contains("3 dead letters"), "{}", text(&list.stdout));
}

#[test]
fn what_is_no_whole_letter_is_said_and_the_others_are_replayed() {
    let scratch = Scratch::new();
    let fails = r#"if [ -e mended ]; then cat; else awk "/^(77|500|998)$/ {exit 7} {print}"; fi"#;
    let pipeline = format!(
        "[pipeline]\nname = 'some-fail'\n[source.numbers]\nrun = ['seq', '1', '1000']\n\
         [stage.picky]\nrun = ['sh', '-c', '{fails}']\nretry = {{ max_attempts = 1 }}\n[sink.out]\nfile = 'out.txt'\n"
    );
    scratch.write("pipeline.toml", pipeline);
    scratch.worker(&["run", "pipeline.toml"]).run().expect(3);
    scratch.write("mended", "");
    let file = "some-fail.dead-letters.jsonl";
    let whole = scratch.read(file);
    scratch.write(file, &whole[..whole.len() - 30]);
    let lines = String::from_utf8_lossy(&whole).lines().count();
    let broken = format!("line {lines} breaks off");
    dlq(&scratch, &["list", file]).expect(2).says(&[&broken, "is in no other line"]);
    let replay = |letters: &str| {
        dlq(&scratch, &["replay", "pipeline.toml", "--letters", letters, "all", "--out", "again.txt"])
    };
    replay(file).expect(2).says(&[&broken, "replay 1: 2 dead letters"]);
    assert_eq!(scratch.read("again.txt").iter().filter(|&&byte| byte == b'\n').count(), lines - 1);
    scratch.write("half.jsonl", &whole[..40]);
    replay("half.jsonl").expect(2).says(&["line 1 breaks off", "no dead letters to replay"]);
    scratch.write("other.jsonl", (1..=200).map(|n| format!("{n}\n")).collect::<String>());
    let other = replay("other.jsonl").expect(2);
    assert!(!other.stderr.contains("line 6") && !other.stderr.contains("struct"), "{}", other.stderr);
    other.says(&["line 5: not a dead letter", "200 lines are no dead letters; is it the right file?"]);
}
