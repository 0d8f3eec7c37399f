//! The program fails.

use crate::until_longer;
use crate::{
    PATIENCE, RECORDS, STATE, WAYS, assert_all_taken, assert_taken_once, numbers, run, scratch, start,
};
use worker_tests::process::{descendants, eventually, kill_living};

/// Fails amid its input until there is a file `mended`.
const FAILS_AMID: &str =
    "run = ['sh', '-c', 'test -e mended || { head -n 100 > part.txt; exit 9; }; cat >> db.txt']";

/// Fails at its end, when it has read all.
const FAILS_AT_ITS_END: &str =
    "run = ['sh', '-c', 'cat > part.txt; test -e mended || exit 9; cat part.txt >> db.txt']";

#[test]
fn what_a_failed_program_was_given_is_not_done() {
    for sink in [FAILS_AMID, FAILS_AT_ITS_END] {
        let scratch = scratch(sink);
        for _ in 0..2 {
            let failed = run(&scratch, STATE).expect(1);
            assert!(failed.stderr.contains("exited with status 9"), "{}", failed.stderr);
            assert!(!failed.stderr.contains("done in"), "{}", failed.stderr);
        }
        assert!(numbers(&scratch, "db.txt").is_empty());
        scratch.write("mended", "");
        run(&scratch, STATE).expect(0);
        assert_taken_once(&scratch);
    }
}

#[test]
fn a_program_that_fails_once_is_given_its_input_again() {
    let sink = "run = ['sh', '-c', 'cat > part.txt; test -e tried || { touch tried; exit 9; }; cat part.txt >> db.txt']";
    let scratch = scratch(sink);
    run(&scratch, STATE).expect(0).says(&["exited with status 9"]);
    assert_taken_once(&scratch);
}

#[test]
fn in_memory_nothing_is_done_that_the_program_failed_with() {
    for sink in [FAILS_AMID, FAILS_AT_ITS_END] {
        let scratch = scratch(sink);
        let failed = run(&scratch, &["--report", "report.json"]).expect(1);
        assert!(failed.stderr.contains("exited with status 9"), "{}", failed.stderr);
        assert!(numbers(&scratch, "db.txt").is_empty());
        let report: serde_json::Value = serde_json::from_str(&scratch.text("report.json")).expect("JSON");
        let stages = report["stages"].as_array().expect("stages");
        let db = stages.iter().find(|stage| stage["name"] == "db").expect("the sink");
        assert_eq!(db["kind"], "sink", "{db}");
        assert_eq!(db["records_out"].as_u64(), Some(0), "{db}");
    }
}

#[test]
fn a_program_that_is_killed_costs_nothing() {
    for (way, sink) in WAYS {
        let scratch = scratch(sink);
        let mut running = start(&scratch, STATE);
        until_longer(
            &scratch,
            &mut running,
            if way.starts_with("windows") { "taken.txt" } else { "db.txt" },
            100,
        );
        let part = if way == "batch" { "sleep 0.02" } else { "python3" };
        eventually("a program to kill", PATIENCE, || {
            let is_it = |pid: &i32| {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).replace('\0', " ").contains(part)
            };
            let hit = descendants(running.pid()).into_iter().find(is_it).is_some_and(kill_living);
            if hit { Ok(()) } else { Err(running.stderr()) }
        });
        running.wait(PATIENCE).expect(0);
        assert_all_taken(&scratch, way);
    }
}

/// In batches one bad record costs itself, under the same name at each attempt, and can be replayed.
#[test]
fn a_record_that_fails_is_a_dead_letter_and_can_be_replayed() {
    let batch = "run = ['sh', '-c', 'cat > part.$$; echo $WORKER_BATCH_ID $(cat part.$$) >> ids.txt; \
                 grep -qx 77 part.$$ && test ! -e mended && exit 9; cat part.$$ >> db.txt']\nmode = 'batch'\nbatch = { max_records = 50 }\n\
                 retry = { max_attempts = 2, initial = '1ms', max = '1ms' }";
    let answers = "run = ['python3', 'picky.py']\nmode = 'records'\nretry = { max_attempts = 2, initial = '1ms', max = '1ms' }";
    for sink in [batch, answers] {
        let scratch = scratch(sink);
        let fails = "print(json.dumps({'id': m['id'], 'fail': 'no'} if m.get('record') == '77' and not os.path.exists('mended') else {'id': m['id']}), flush=True)";
        let picky = crate::ANSWERS
            .replace("import json", "import os, json")
            .replace("print(json.dumps({'id': m['id']}), flush=True)", fails)
            .replace(
                "if 'record' in m:",
                "if 'record' in m and (m['record'] != '77' or os.path.exists('mended')):",
            );
        scratch.write("picky.py", picky);
        run(&scratch, STATE).expect(3);
        let others: Vec<u64> = (1..=RECORDS).filter(|n| *n != 77).collect();
        let mut taken = numbers(&scratch, "db.txt");
        taken.sort_unstable();
        assert!(taken == others, "{} records", taken.len());
        if sink == batch {
            let ids = scratch.text("ids.txt");
            let of_the_batch: Vec<&str> =
                ids.lines().filter(|line| line.contains(" 51 52 ") && line.ends_with(" 100")).collect();
            assert!(
                of_the_batch.len() >= 2 && of_the_batch.iter().all(|line| *line == of_the_batch[0]),
                "{of_the_batch:?}"
            );
        }
        scratch.write("mended", "");
        scratch.worker(&["dlq", "replay", "pipeline.toml", "--state", "state", "all"]).run().expect(0);
        let mut taken = numbers(&scratch, "db.txt");
        taken.sort_unstable();
        assert!(taken.into_iter().eq(1..=RECORDS));
    }
}

/// Letters of a stage go on to the program behind it, and are done only when that has ended well.
#[test]
fn a_replay_whose_program_fails_keeps_the_letters() {
    let stage = "[stage.picky]\nfrom = 'in'\nrun = ['awk', '/^77$/ && system(\"test -e fixed\") {exit 7} {print}']\n\
                 retry = { max_attempts = 1 }\nbatch = { max_records = 50 }\npartitions = 1";
    let sink = "from = 'picky'\nrun = ['sh', '-c', 'cat > part.txt; test ! -e broken || exit 9; cat part.txt >> db.txt']";
    let scratch = scratch(&format!("{sink}\n{stage}"));
    run(&scratch, STATE).expect(3);
    assert_eq!(numbers(&scratch, "db.txt").len() as u64, RECORDS - 1);
    scratch.write("fixed", "");
    scratch.write("broken", "");
    let replay = || scratch.worker(&["dlq", "replay", "pipeline.toml", "--state", "state", "all"]).run();
    replay().expect(1).says(&["exited with status 9"]);
    assert_eq!(numbers(&scratch, "db.txt").len() as u64, RECORDS - 1);
    std::fs::remove_file(scratch.path("broken")).expect("it is there");
    replay().expect(0);
    assert_all_taken(&scratch, "after the replay");
    assert_eq!(numbers(&scratch, "db.txt").len() as u64, RECORDS);
}

/// Fails three times when it has read all: with `restart`, its input comes until it has ended well.
const FAILS_THRICE: &str = "run = ['sh', '-c', 'cat > part.txt; echo >> tries.txt; test $(wc -l < tries.txt) -gt 3 || exit 9; \
                            cat part.txt >> db.txt']\nrestart = 'on-failure'";

#[test]
fn a_program_is_restarted_until_it_has_taken_its_input() {
    for args in [&[][..], STATE] {
        for window in ["", "\nwindow = { records = 500 }"] {
            let scratch = scratch(&format!("{FAILS_THRICE}{window}"));
            run(&scratch, args).expect(0).says(&["exited with status 9"]);
            assert_taken_once(&scratch);
        }
    }
}

/// A stop while it waits for its next start: with state the input comes again; in memory it is counted.
#[test]
fn a_stop_does_not_call_done_what_the_program_never_took() {
    let sink = "run = ['sh', '-c', 'cat > part.txt; test -e mended || exit 9; cat part.txt >> db.txt']\nrestart = 'on-failure'";
    for args in [&[][..], STATE] {
        let scratch = scratch(sink);
        let mut running = start(&scratch, &[args, &["--drain-timeout", "1s"]].concat());
        running.wait_for_message("exited with status 9", PATIENCE);
        running.signal(rustix::process::Signal::TERM);
        let counted: &[&str] =
            if args.is_empty() { &["1 200 records were still on their way"] } else { &["stopped"] };
        running.wait(PATIENCE).expect(143).says(counted);
        assert!(numbers(&scratch, "db.txt").is_empty());
        scratch.write("mended", "");
        run(&scratch, args).expect(0);
        assert_taken_once(&scratch);
    }
}

/// In memory the input is kept for it, up to a limit that is told of.
#[test]
fn what_is_kept_for_a_restart_has_a_limit() {
    let scratch = scratch("run = ['cat']\nrestart = 'on-failure'\nreplay_limit = '2KiB'");
    run(&scratch, &[]).expect(1).says(&["replay_limit", "set a window"]);
    let check = scratch.worker(&["check", "pipeline.toml", "--full"]).run().expect(0);
    let check = String::from_utf8(check.stdout).expect("text");
    assert!(check.contains("1 sinks with restart x replay_limit"), "{check}");
}

#[test]
fn restart_has_its_place_and_its_words() {
    for (lines, says) in [
        ("restart = 'always'", "on-failure"),
        ("restart = 'on-failure'\nmode = 'batch'", "always started again"),
        ("restart = 'on-failure'\nmode = 'records'", "always started again"),
    ] {
        let scratch = scratch(&format!("run = ['cat']\n{lines}"));
        let refused = run(&scratch, &[]);
        assert_eq!(refused.status.code(), Some(2), "{lines}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{lines}: {}", refused.stderr);
    }
}
