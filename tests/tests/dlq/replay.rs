//! `worker dlq replay`.

use crate::{dlq, listed, text};
use std::time::Duration;
use worker_tests::process::{Scratch, Start, eventually};

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

fn replay<'a>(scratch: &'a Scratch, words: &[&str]) -> Start<'a> {
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
    for words in
        [&["show", "--state", "state", first][..], &["show", "pipeline.toml", "--state", "state", first]]
    {
        let page = text(&dlq(&scratch, words).expect(0).stdout);
        assert!(page.contains("replayed    r1\n"), "{page}");
    }
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
    eventually("three dead letters", Duration::from_secs(20), || {
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
    refused(&["all"], &["has no stage `picky` any more; stages there: choosy, mark"]);
    scratch.write("pipeline.toml", FIXABLE.replace("\"fixable\"", "\"other\""));
    refused(&["all"], &["is of pipeline `fixable`, not of `other`"]);
    scratch.write("pipeline.toml", FIXABLE);
    refused(&["all", "--state", "nowhere"], &["cannot be used multiple times"]);
    scratch
        .worker(&["dlq", "replay", "pipeline.toml", "all"])
        .run()
        .expect(2)
        .says(&["there is no file of dead letters fixable.dead-letters.jsonl", "--state"]);
    assert!(!scratch.path("state/replays/1/letters.jsonl").exists(), "nothing was claimed");
}

#[test]
fn a_changed_pipeline_takes_new_replays_but_not_one_that_was_begun() {
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    replay(&scratch, &["all"]).env("WORKER_FAULT", "sink.sync.before").run().expect_signal(9);
    let fixed = FIXABLE.replace("stage.picky]\n", "stage.picky]\nok_exit = [0]\n").replace("exit 7", "x = 1");
    scratch.write("pipeline.toml", &fixed);
    let refused = replay(&scratch, &["all"]).run().expect(2);
    let refused =
        refused.says(&["going on with it", "stage.picky", "replay 1 is not finished", "state/replays/1"]);
    let advice = refused.stderr.lines().last().expect("what to do");
    assert!(advice.contains("worker dlq replay pipeline.toml") && advice.contains("give it up"), "{advice}");
    scratch.shell("rm -r state/replays/1");
    replay(&scratch, &["all"]).run().expect(0).says(&["replay 1: 3 dead letters"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
}

#[test]
fn stages_with_a_memory_are_told_to_begin_anew() {
    let scratch = Scratch::new();
    run_with_state(&scratch, &FIXABLE.replace("[stage.mark]\n", "[stage.mark]\nmode = \"stream\"\n"));
    scratch.write("fixed", "");
    replay(&scratch, &["all"]).run().expect(0).says(&["warning: mark may depend on more than one record"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
}

#[test]
fn an_interrupted_replay_is_gone_on_with_by_the_next_one() {
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    // What was `fixed` takes its time until it is let go.
    let slow = scratch
        .text("pipeline.toml")
        .replace("test -e fixed", "while [ ! -e go ]; do sleep 0.05; done; test -e fixed");
    scratch.write("pipeline.toml", slow);
    scratch.write("fixed", "");
    let mut first = replay(&scratch, &["all"]).start();
    first.wait_for_message("exactly once", Duration::from_secs(20));
    replay(&scratch, &["all"]).run().expect(2).says(&["being replayed by process"]);
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(2).says(&["in use"]);
    first.kill();
    scratch.write("go", "");
    replay(&scratch, &[]).run().expect(0).says(&["replay 1 was interrupted: going on with it"]);
    assert_eq!(lines(&scratch, "out.txt"), marked(&[]));
    replay(&scratch, &["all"]).run().expect(0).says(&["no dead letters to replay"]);
}

/// Lines of 1 to 100, two of them longer than `max_record`, one without the key.
const PIECES: &str = r#"
    [pipeline]
    name = "pieces"
    max_record = "200"
    [source.numbers]
    file = "in.txt"
    on_long = "ON_LONG"
    [sink.out]
    file = "out.txt"
    partition_by = { field = 1 }
"#;

#[test]
fn pieces_of_input_never_go_back_as_records() {
    for (on_long, arrived) in [("cut", 102), ("dead-letter", 100)] {
        let scratch = Scratch::new();
        scratch.shell("(seq 1 50; yes | head -c 600 | tr '\\n' x; echo; seq 51 99; echo) > in.txt");
        scratch.shell("(yes | head -c 100000 | tr '\\n' x; echo; echo 100) >> in.txt");
        scratch.write("pipeline.toml", PIECES.replace("ON_LONG", on_long));
        scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
        assert_eq!(lines(&scratch, "out.txt").len(), arrived, "{on_long}");
        let list = dlq(&scratch, &["list", "--json", "--state", "state"]).expect(0);
        let letters: Vec<serde_json::Value> = text(&list.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        let contents: Vec<&str> =
            letters.iter().map(|letter| letter["contents"].as_str().expect("what it holds")).collect();
        assert_eq!(contents, ["input", "record", "input"], "{on_long}");
        let piece = letters[0]["id"].as_str().expect("an id");
        replay(&scratch, &[piece]).run().expect(2).says(&["is a piece of input and no record", "new input"]);
        let page = text(&dlq(&scratch, &["show", "--state", "state", piece]).expect(0).stdout);
        assert!(page.contains("a piece of input, which is no record"), "{page}");
        // The record that has no key has none now.
        let skipped = "2 dead letters (numbers/0:1 first) are pieces of input and no record";
        replay(&scratch, &["all"]).run().expect(3).says(&[skipped, "replay 1: 1 dead letter"]);
        replay(&scratch, &["all"]).run().expect(3).says(&[skipped, "replay 2: 1 dead letter"]);
        assert_eq!(lines(&scratch, "out.txt").len(), arrived, "{on_long}");
    }
}

#[test]
fn a_letter_that_does_not_fit_any_more_keeps_no_others_back() {
    let scratch = Scratch::new();
    run_with_state(&scratch, FIXABLE);
    scratch.write("fixed", "");
    let smaller = FIXABLE.replace("[source.numbers]", "max_record = \"2\"\n[source.numbers]");
    scratch.write("pipeline.toml", smaller);
    let letters = listed(&scratch, &["--state", "state"]);
    let (id, _) = letters.iter().find(|(_, record)| record == "500").expect("a letter");
    replay(&scratch, &[id]).run().expect(2).says(&["cannot go into `picky`", "longer than `max_record`"]);
    let said = replay(&scratch, &["all", "--out", "again.txt"]).run();
    said.says(&["warning: dead letter picky/", "longer than `max_record`", "replay 1: 1 dead letter"]);
}

/// Framings with what bash's printf makes of a record that passes, one that fails, and another that passes.
const FRAMED: [(&str, [&str; 3]); 6] = [
    ("'csv'", [r#"1,"a\nb"\n"#, r#"2,"bad\n""x"\n"#, r"3,c\n"]),
    ("{ start = '^>' }", [r">a\nAC\n", r">bad\nGT\n", r">c\nTT\n"]),
    ("{ end = '^//$' }", [r"a\n//\n", r"bad\nb\n//\n", r"c\n//\n"]),
    ("{ lines = 2 }", [r"a\n1\n", r"b\nbad\n", r"c\n3\n"]),
    ("{ prefix = 'u32be' }", [r"\0\0\0\002a\n", r"\0\0\0\004bad\n", r"\0\0\0\001c"]),
    ("{ json = true }", [r"{\n}\n", r#"{"bad":\n1}\n"#, r"[\n3]\n"]),
];

#[test]
fn letters_of_records_of_several_lines_are_whole_and_replayed_whole() {
    for (framing, records) in FRAMED {
        let scratch = Scratch::new();
        for (number, record) in records.iter().enumerate() {
            scratch.shell(&format!("printf '%b' '{record}' > record{number}"));
        }
        scratch.shell("cat record? > in; cat record0 record2 record1 > want");
        scratch.write(
            "pipeline.toml",
            format!(
                "[pipeline]\nname = 'framed'\n[source.in]\nfile = 'in'\nframing = {framing}\n\
                 [stage.picky]\nrun = ['sh', '-c', 'cat > part.$$; if [ ! -e fixed ] && grep -aq bad part.$$; then exit 7; fi; cat part.$$']\n\
                 partitions = 1\nretry = {{ max_attempts = 1 }}\n[sink.out]\nfile = 'out'\n"
            ),
        );
        scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
        scratch.shell("cat record0 record2 | cmp - out");
        let (id, _) = &listed(&scratch, &["--state", "state"])[0];
        let repro = ["repro", "pipeline.toml", "--state", "state", id, "--out", "bug"];
        dlq(&scratch, &repro).expect(0);
        scratch.shell("cmp bug/input record1");
        scratch.write("fixed", "");
        replay(&scratch, &["all"]).run().expect(0).says(&["replay 1: 1 dead letter"]);
        scratch.shell("cmp want out");
        let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
        assert!(list.contains("1 dead letter, 1 of them replayed"), "{framing}: {list}");
    }
}

#[test]
fn letters_that_fail_again_are_found_again_by_their_content() {
    let scratch = Scratch::new();
    scratch.shell("for n in $(seq 40); do printf '>s%d\\n%d\\n' $n $n; done > in");
    let pipeline = "[pipeline]\nname = 'framed'\n[source.in]\nfile = 'in'\nframing = { start = '^>' }\n\
                    [stage.picky]\nrun = ['awk', '/^(7|21)$/ {exit 7} {print}']\nretry = { max_attempts = 1 }\n[sink.out]\nfile = 'out'\n";
    scratch.write("pipeline.toml", pipeline);
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
    replay(&scratch, &["all"]).run().expect(3);
    let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
    assert!(list.contains("4 dead letters, 2 of them replayed"), "{list}");
    let again: Vec<&str> = list.lines().filter(|line| line.starts_with("r1/picky/")).collect();
    assert!(again.len() == 2 && again.iter().all(|line| line.contains(" again: ")), "{list}");
}

#[test]
fn a_letter_that_would_be_a_part_of_another_record_is_kept_and_named() {
    let scratch = Scratch::new();
    scratch.shell("printf 'before\\n>a\\nAC\\n>b\\nGT\\n' > in");
    let pipeline = "[pipeline]\nname = 'framed'\n[source.in]\nfile = 'in'\nframing = { start = '^>' }\n\
                    [stage.picky]\nrun = ['sh', '-c', 'cat > part.$$; if [ ! -e fixed ] && grep -Eq \"before|a\" part.$$; then exit 7; fi; cat part.$$']\n\
                    partitions = 1\nretry = { max_attempts = 1 }\n[sink.out]\nfile = 'out'\n";
    scratch.write("pipeline.toml", pipeline);
    scratch.worker(&["run", "pipeline.toml", "--state", "state"]).run().expect(3);
    scratch.write("fixed", "");
    let why = "its first line does not match ^>, so it would be part of the one before it";
    replay(&scratch, &["all"]).run().expect(0).says(&[why, "replay 1: 1 dead letter"]);
    assert_eq!(scratch.text("out"), ">b\nGT\n>a\nAC\n");
    let list = text(&dlq(&scratch, &["list", "--state", "state"]).expect(0).stdout);
    assert!(list.contains("2 dead letters, 1 of them replayed"), "{list}");
}
