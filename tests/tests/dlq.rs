//! `worker dlq`: dead letters seen, understood and processed again.

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

fn dlq(scratch: &Scratch, words: &[&str]) -> worker_tests::process::Finished {
    scratch.worker(&[&["dlq"], words].concat()).run()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The ids that `worker dlq list` gives, with the record of each.
fn listed(scratch: &Scratch, words: &[&str]) -> Vec<(String, String)> {
    let list = dlq(scratch, &[&["list", "--json"], words].concat()).expect(0);
    let lines = text(&list.stdout);
    let field = |line: &serde_json::Value, name: &str| line[name].as_str().expect(name).to_owned();
    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    lines.map(|line: serde_json::Value| (field(&line, "id"), field(&line, "record"))).collect()
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
    assert!(listed(&scratch, &["pipeline.toml", "--stage", "other"]).is_empty());
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
    refused(&["show", "pipeline.toml", "99"], &["expected TASK:NUMBER"]);
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

/// Records 77, 500 and 998 of `in.txt` fail until there is a file `fixed`; the rest of the run is fast.
const FIXABLE: &str = r#"
    [pipeline]
    name = "fixable"
    [source.numbers]
    file = "in.txt"
    [stage.picky]
    run = ["awk", "/^(77|500|998)$/ && system(\"test -e fixed\") {exit 7} {print \"picked\", $1}"]
    retry = { max_attempts = 1 }
    batch = { max_records = 50 }
    partitions = 2
    [stage.mark]
    run = ["sed", "s/$/ marked/"]
    [sink.out]
    file = "out.txt"
"#;

/// What a pipeline made of 1 to 1000 has, some of them left out.
fn marked(without: &[u32]) -> Vec<String> {
    let mut lines: Vec<String> =
        (1..=1000).filter(|n| !without.contains(n)).map(|n| format!("picked {n} marked")).collect();
    lines.sort();
    lines
}

fn lines(scratch: &Scratch, name: &str) -> Vec<String> {
    let mut lines: Vec<String> = scratch.text(name).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn run_with_state(scratch: &Scratch, pipeline: &str) {
    let numbers: Vec<String> = (1..=1000).map(|n| format!("{n}\n")).collect();
    scratch.write("in.txt", numbers.concat());
    scratch.write("pipeline.toml", pipeline);
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
}

fn replay<'a>(scratch: &'a Scratch, words: &[&str]) -> worker_tests::process::Start<'a> {
    scratch.worker(&[&["dlq", "replay", "pipeline.toml", "--state", "state"], words].concat())
}

#[test]
fn replayed_letters_go_on_to_the_sinks_once() {
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[77, 500, 998]));
    let letters = listed(&scratch, &["--state", "state"]);
    assert_eq!(letters.len(), 3, "{letters:?}");
    scratch.write("fixed", "");
    let (first, record) = &letters[0];
    replay(&scratch, &[first]).run().expect(0).says(&["replay 1: 1 dead letter"]);
    let left: Vec<u32> = letters[1..].iter().map(|(_, record)| record.parse().expect("a number")).collect();
    assert_eq!(lines(&scratch, "out.txt"), marked(&left), "{record} was replayed");
    let again = format!("dead letter {first} was given to replay 1 already");
    replay(&scratch, &[first]).run().expect(2).says(&[&again]);
    replay(&scratch, &["--stage", "picky"]).run().expect(0).says(&["replay 2: 2 dead letters"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
    replay(&scratch, &["all"]).run().expect(0).says(&["no dead letters to replay"]);
    replay(&scratch, &[]).run().expect(2).says(&["say which dead letters"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
    let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
    assert!(list.contains("3 dead letters, 3 of them replayed"), "{list}");
    let page = text(&dlq(&scratch, &["show", "--state", "state", first]).expect(0).stdout);
    assert!(page.contains("replayed    r1\n"), "{page}");
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().says(&["finished"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]), "a finished pipeline does not cut what was replayed");
}

#[test]
fn letters_that_fail_again_are_letters_of_the_replay_and_can_be_replayed() {
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    replay(&scratch, &["all"]).run().expect(3).says(&["replay 1: 3 dead letters"]);
    let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
    assert!(list.contains("6 dead letters, 3 of them replayed"), "{list}");
    let again: Vec<&str> = list.lines().filter(|line| line.starts_with("r1/picky/")).collect();
    assert_eq!(again.len(), 3, "{list}");
    for line in &again {
        assert!(line.contains("picky/") && line.contains(" again: awk exited with status 7"), "{line}");
    }
    let letters = listed(&scratch, &["--state", "state"]);
    let records = |of_replay: bool| {
        let mut records: Vec<&str> = letters
            .iter()
            .filter(|(id, _)| id.starts_with("r1/") == of_replay)
            .map(|(_, r)| r.as_str())
            .collect();
        records.sort_unstable();
        records
    };
    assert_eq!(records(true), records(false));
    let id = again[0].split(' ').next().expect("an id");
    dlq(&scratch, &["repro", "pipeline.toml", "--state", "state", id, "--out", "bug"]).expect(0);
    assert_eq!(text(&scratch.shell("sh bug/run.sh; echo status $?")), "status 7\n");
    scratch.write("fixed", "");
    replay(&scratch, &["all"]).run().expect(0).says(&["replay 2: 3 dead letters"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
}

#[test]
fn many_letters_may_fail_alike_again() {
    let scratch = Scratch::new();
    // So many records that those that fail are not too many, and a success before the first of them.
    run_with_state(&scratch, &FIXABLE.replace("^(77|500|998)$", "^[5-9]0[0-9]$"));
    replay(&scratch, &["all"]).run().expect(3).says(&["replay 1: 50 dead letters"]);
    let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
    assert!(list.contains("100 dead letters, 50 of them replayed"), "{list}");
    scratch.write("fixed", "");
    replay(&scratch, &["all"]).run().expect(0).says(&["replay 2: 50 dead letters"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
}

#[test]
fn records_that_end_with_a_zero_byte_keep_what_lines_cannot_hold() {
    let scratch = Scratch::new();
    let pipeline = r#"
        [pipeline]
        name = "zeros"
        [source.names]
        file = "in"
        framing = "nul"
        [stage.picky]
        run = ["sh", "-c", "if [ -e fixed ]; then cat; else sed -z '/bad/q7'; fi"]
        partitions = 1
        retry = { max_attempts = 1 }
        [sink.out]
        file = "out"
    "#;
    scratch.write("in", "good\0bad\nname\0fine\n\0");
    scratch.write("pipeline.toml", pipeline);
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
    let page = text(&dlq(&scratch, &["list", "--state", "state", "--json"]).expect(0).stdout);
    assert!(page.contains(r#""record":"bad\nname""#), "{page}");
    scratch.write("fixed", "");
    replay(&scratch, &["all"]).run().expect(0);
    assert_eq!(text(&scratch.read("out")), "good\0fine\n\0bad\nname\0");
}

#[test]
fn a_replay_that_is_killed_anywhere_is_gone_on_with_and_replays_each_letter_once() {
    let points = [
        "replay.directory",
        "replay.directory:3",
        "replay.claim.write",
        "replay.claim.sync.before",
        "replay.claim.rename.before",
        "replay.claim.rename.after",
        "replay.claim.directory.after",
        "manifest.rename.before",
        "manifest.rename.after:2",
        "journal.create",
        "journal.write:3",
        "journal.sync:2",
        "journal.sync:5",
        "sink.write.before",
        "sink.write.after",
        "sink.sync.before:2",
        "sink.sync.after:2",
        "replay.done.write.before",
        "replay.done.rename.before",
        "replay.done.rename.after",
    ];
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    scratch.write("fixed", "");
    scratch.shell("cp -a state state.before; cp -a out.txt out.before");
    let mut killed = 0;
    for point in points {
        // The file's identity is part of the state, so that its content is put back, not the file.
        scratch.shell("rm -rf state; cp -a state.before state; cat out.before > out.txt");
        let first = replay(&scratch, &["all"]).env("WORKER_FAULT", point).run();
        killed += u32::from(first.status.code().is_none());
        let second = replay(&scratch, &["all"]).run().expect(0);
        assert_eq!(lines(&scratch, "out.txt"), marked(&[]), "killed at {point}; {}", second.stderr);
        let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
        assert!(list.contains("3 dead letters, 3 of them replayed"), "killed at {point}: {list}");
    }
    assert!(killed >= 16, "only {killed} of {} points were passed", points.len());
}

#[test]
fn a_pipeline_that_is_not_finished_keeps_its_sinks_to_itself() {
    let scratch = Scratch::new();
    let endless = FIXABLE.replace(
        "file = \"in.txt\"\n",
        "run = [\"sh\", \"-c\", \"seq 1 1000; while [ ! -e stop ]; do sleep 0.05; done\"]\n",
    );
    scratch.write("pipeline.toml", &endless);
    let running = scratch.worker(&["run", "pipeline.toml", "--state", "state"]).start();
    worker_tests::process::eventually("three dead letters", std::time::Duration::from_secs(20), || {
        let found = dlq(&scratch, &["list", "--state", "state"]);
        let list = text(&found.stdout);
        if list.contains("3 dead letters") { Ok(()) } else { Err(list + &found.stderr) }
    });
    scratch.write("fixed", "");
    replay(&scratch, &["all"]).run().expect(2).says(&["fixable is running (process", "--out"]);
    running.kill();
    replay(&scratch, &["all"]).run().expect(2).says(&["fixable is not finished", "--out"]);
    replay(&scratch, &["all", "--out", "state/x"])
        .run()
        .expect(2)
        .says(&["names a file in the state directory"]);
    // A letter whose commit is not in the journal: the run will process its record again.
    let logs = String::from_utf8(scratch.shell("ls state/dead/*.jsonl | head -n 1")).expect("a path");
    let log = logs.trim();
    scratch.shell(&format!(r#"sed -n '$s/"id":[0-9]*/"id":99/p' {log} > line; cat line >> {log}"#));
    replay(&scratch, &["all", "--out", "again.txt"]).run().expect(0).says(&["replay 1: 3 dead letters"]);
    assert_eq!(lines(&scratch, "again.txt"), ["picked 500 marked", "picked 77 marked", "picked 998 marked"]);
    replay(&scratch, &["all", "--out", "more.txt"]).run().expect(0).says(&["no dead letters to replay"]);
}

#[test]
fn headers_and_keys_are_as_in_the_run() {
    let scratch = Scratch::new();
    let pipeline = r#"
        [pipeline]
        name = "fixable"
        [source.rows]
        file = "in.csv"
        header = "repeat"
        [stage.upper]
        run = ["awk", "-F,", "NR == 1 {if ($2 != \"state\") exit 9; next} $2 == \"bad\" && system(\"test -e fixed\") {exit 7} {print toupper($0)}"]
        retry = { max_attempts = 1 }
        [stage.count]
        partition_by = { csv = "state" }
        partitions = 3
        run = ["cat"]
        [sink.out]
        from = "count"
        file = "parts/"
        partition_by = { field = 1, delimiter = "," }
        partitions = 2
    "#;
    let rows: String = (1..=40).map(|n| format!("{n},{}\n", ["good", "bad", "fine"][n % 3])).collect();
    scratch.write("in.csv", format!("id,state\n{rows}"));
    scratch.write("pipeline.toml", pipeline);
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
    scratch.write("fixed", "");
    replay(&scratch, &["all"]).run().expect(0);
    let sorted = |name: &str| lines(&scratch, name);
    let both = [sorted("parts/part-00000"), sorted("parts/part-00001")].concat();
    assert_eq!(both.len(), 40, "{both:?}");
    scratch.shell("rm -r parts state");
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(0);
    assert_eq!(both, [sorted("parts/part-00000"), sorted("parts/part-00001")].concat());
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    let refused = |words: &[&str], says: &[&str]| {
        replay(&scratch, words).run().expect(2).says(says);
    };
    refused(&["picky/0:99"], &["there is no dead letter picky/0:99"]);
    refused(&["all", "picky/0:1"], &["`all` are all"]);
    refused(&["nonsense"], &["expected TASK:NUMBER"]);
    scratch.write("pipeline.toml", FIXABLE.replace("stage.picky", "stage.choosy"));
    refused(&["all"], &["has no stage `picky` any more (there are: choosy, mark)"]);
    scratch.write("pipeline.toml", FIXABLE.replace("\"fixable\"", "\"other\""));
    refused(&["all"], &["is of pipeline `fixable`, not of `other`"]);
    scratch.write("pipeline.toml", FIXABLE);
    refused(&["all", "--state", "nowhere"], &["cannot be used multiple times"]);
    scratch
        .worker(&["dlq", "replay", "pipeline.toml", "all"])
        .run()
        .expect(2)
        .says(&["fixable keeps no state"]);
    assert!(!scratch.path("state/replays/1/letters.jsonl").exists(), "nothing was claimed");
}
