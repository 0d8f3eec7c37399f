//! `worker test`: real programs on inputs whole, cut and killed, and what is said of them.

use std::time::Duration;
use worker_tests::process::{Finished, Scratch, eventually};

const SOURCE: &str = "[source.in]\nfile = 'nothing/*.log'\n";
const SINK: &str = "[sink.out]\nfile = 'nothing/out.txt'\n";

fn test(scratch: &Scratch, file: &str, more: &[&str]) -> Finished {
    scratch.write("p.toml", file);
    scratch.worker(&[&["test", "p.toml"], more].concat()).run()
}

/// Tests of the only stage there is.
fn of_stage(stage: &str, tests: &str) -> String {
    format!("{SOURCE}[stage.s]\n{stage}\n{SINK}{tests}")
}

fn one(input: &str, output: &str) -> String {
    format!("[[test]]\nstage = 's'\ninput = \"{input}\"\noutput = \"{output}\"\n")
}

#[test]
fn a_good_stage_passes_whole_cut_and_killed_in_every_mode() {
    let records = r#"mode = 'records'
run = ['python3', '-c', '''
import json, sys
for line in iter(sys.stdin.readline, ""):
    ask = json.loads(line)
    if "id" in ask:
        emit = [ask["record"].upper()] if "record" in ask else []
        print(json.dumps({"id": ask["id"], "emit": emit}), flush=True)
''']"#;
    for (stage, told) in [
        ("run = 'tr a-z A-Z'", "whole; in batches of 1, 2 and 3; with 24 programs killed"),
        ("run = 'tr a-z A-Z'\norder = 'input'\npartitions = 3", "compared in order"),
        ("run = 'tr a-z A-Z'\npartitions = 1", "compared in order"),
        (
            "run = 'tr a-z A-Z'\npartitions = 3\npartition_by = 'record'",
            "compared in any order: `s` has several tasks",
        ),
        ("run = 'tr a-z A-Z'\nmode = 'stream'", "whole; with 6 programs killed"),
        (records, "whole; with 6 programs killed"),
    ] {
        let scratch = Scratch::new();
        let input = "a\\nb\\nc\\nd\\ne\\nf\\ng\\nh";
        let ended = test(&scratch, &of_stage(stage, &one(input, "A\\nB\\nC\\nD\\nE\\nF\\nG\\nH\\n")), &[]);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{stage}: {said} {}", ended.stderr);
        assert!(said.contains("ok      s: whole") && said.contains(told), "{stage}: {said}");
        assert!(said.ends_with(": passed\n"), "{said}");
        assert!(!scratch.path("nothing").exists(), "its ends were touched");
    }
}

#[test]
fn a_stage_that_needs_all_its_input_is_told_from_one_that_is_wrong() {
    for (run, input, output) in [
        ("wc -l", "a\\nb\\nc\\n", "3\\n"),
        // In a batch each is right by itself: only the order shows it.
        ("sort", "b\\nd\\na\\nc\\n", "a\\nb\\nc\\nd\\n"),
        ("head -n 1", "a\\nb\\nc\\n", "a\\n"),
    ] {
        let scratch = Scratch::new();
        let ended = test(&scratch, &of_stage(&format!("run = '{run}'"), &one(input, output)), &[]);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{run}: {said}");
        for part in [
            "FAILED  s: right as a whole",
            "`s` does not work record by record",
            "mode = \"stream\"",
            "--- expected",
        ] {
            assert!(said.contains(part), "{run}: {part}: {said}");
        }
    }
    let scratch = Scratch::new();
    let ended = test(&scratch, &of_stage("run = 'cat'", &one("a\\nb\\nc\\n", "a\\nB\\nc\\n")), &[]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED  s: the output is not what is expected\n"), "{said}");
    assert!(said.contains("  --- expected\n  +++ given\n  @@ -1,3 +1,3 @@\n   a\n  -B\n"), "{said}");
    assert!(!said.contains("record by record"), "{said}");
}

#[test]
fn of_several_stages_the_one_is_named_that_does_not_work_record_by_record() {
    let scratch = Scratch::new();
    let stages = "[stage.good]\nrun = 'cat'\n[stage.bad]\nrun = 'wc -l'\n[stage.last]\nrun = 'cat'\n";
    let tests = "[[test]]\ninput = \"a\\nb\\nc\\n\"\noutput = \"3\\n\"\n";
    let ended = test(&scratch, &format!("{SOURCE}{stages}{SINK}{tests}"), &[]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        ended.status.code() == Some(1) && said.contains(": `bad` does not work record by record"),
        "{said}"
    );
}

#[test]
fn a_program_that_gives_something_else_each_time_is_told() {
    let scratch = Scratch::new();
    // Right once.
    let run = "run = ['sh', '-c', 'if test -e seen; then echo other; else echo first; fi; touch seen; cat >/dev/null']";
    let ended = test(&scratch, &of_stage(run, &one("a\\nb\\n", "first\\n")), &[]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("gives something else each time"), "{said}");
}

/// A program that leaves something behind in its own directory is not right any more when it was killed amid its work.
#[test]
fn a_program_that_does_not_survive_being_killed_fails() {
    let scratch = Scratch::new();
    let run = "run = ['sh', '-c', 'if test -e $0; then echo again; else touch $0; cat; fi; sleep 0.01; rm -f $0', \
               'begun']\npartitions = 1";
    // So much that a kill comes while it is at work.
    let lines: String = (0..20_000).map(|number| format!("{number}\\n")).collect();
    let ended = test(&scratch, &of_stage(run, &one(&lines, &lines)), &[]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("with programs killed (seed "), "{said}");
}

#[test]
fn the_whole_pipeline_is_tried_with_all_its_ends_and_through_deaths_of_the_worker() {
    let scratch = Scratch::new();
    scratch.write("in.csv", "id,name\n1,a\n2,b\n3,c\n4,d\n5,e\n6,f\n7,g\n8,h\n");
    let file = "[pipeline]\ndelivery = 'exactly-once'\n[source.table]\nfile = 'nothing.csv'\nheader = 'skip'\nframing = 'csv'\n\
                [source.live]\nrun = ['false']\nframing = 'csv'\n\
                [stage.names]\nfrom = ['table', 'live']\nrun = 'cut -d, -f2'\nframing = 'lines'\norder = 'any'\n\
                [stage.count]\nfrom = 'names'\nmode = 'stream'\nrun = ['sh', '-c', 'sort | uniq -c | wc -l']\n\
                [sink.db]\nfrom = 'names'\nrun = ['false']\n[sink.sum]\nfrom = 'count'\nfile = 'sums/'\n[sink.rest]\nfrom = 'names'\nstdout = true\n\
                [[test]]\ninput = { live = \"9,z\\n\" }\ninput_file = { table = 'in.csv' }\n\
                output = { sum = \"9\\n\", db = \"a\\nb\\nc\\nd\\ne\\nf\\ng\\nh\\nz\\n\" }\n";
    let ended = test(&scratch, file, &[]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said} {}", ended.stderr);
    for part in [
        "ok      pipeline: whole; in batches of 1, 2 and 3; with ",
        " programs killed; with the worker killed ",
        "  db: compared in any order: `names` has several tasks",
        "  rest: not compared: the test does not say what is expected there\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("killed 0 times"), "{said}");
    let left: Vec<String> = scratch
        .shell("ls -A")
        .split(|&b| b == b'\n')
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    assert!(
        !left.iter().any(|name| name == "sums" || name == ".worker" || name.contains("dead-letters")),
        "{left:?}"
    );
}

#[test]
fn dead_letters_are_counted_and_their_reasons_told() {
    let run = "run = ['sh', '-c', 'if grep bad; then echo no such luck >&2; exit 3; fi; echo fine']\nbatch = { max_records = 1 }";
    let input = "a\\nbad\\nb\\n";
    let scratch = Scratch::new();
    let ended = test(&scratch, &of_stage(run, &one(input, "fine\\nfine\\n")), &[]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("1 dead letter instead of 0"), "{said}");
    assert!(said.contains("no such luck"), "{said}");
    let expected = one(input, "fine\\nfine\\n") + "dead_letters = 1\n";
    let ended = test(&scratch, &of_stage(run, &expected), &[]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}

#[test]
fn a_program_that_hangs_ends_its_test_and_not_the_others() {
    let scratch = Scratch::new();
    let other = "[stage.t]\nfrom = 'in'\nrun = 'cat'\n[sink.more]\nfrom = 's'\nfile = 'more'\n";
    let file = format!(
        "{SOURCE}[stage.s]\nfrom = 'in'\nrun = 'sleep 1000'\n{other}{SINK}from = 't'\n{}{}",
        one("a\\n", "a\\n"),
        one("a\\n", "a\\n").replace("'s'", "'t'")
    );
    let ended = test(&scratch, &file, &["--timeout", "1s"]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said} {}", ended.stderr);
    assert!(said.contains("FAILED  s: did not end within 1.0 s") && said.contains("ok      t: "), "{said}");
    assert!(said.ends_with(": 1 passed, 1 failed\n"), "{said}");
}

#[test]
fn junit_xml_is_read_by_a_parser_whatever_programs_print() {
    let scratch = Scratch::new();
    let run = r#"run = ['sh', '-c', 'printf "\033[31m<&>]]>\001\377\n"; cat >/dev/null']"#;
    let tests =
        one("a\\n", "b\\n") + "[[test]]\nname = '<\"x\"> & y'\nstage = 's'\ninput = ''\noutput = ''\n";
    let ended = test(&scratch, &of_stage(run, &tests), &["--junit", "out.xml"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let script = "import xml.etree.ElementTree as E\n\
                  root = E.parse('out.xml').getroot()\n\
                  cases = root.findall('./testsuite/testcase')\n\
                  print(root.get('tests'), root.get('failures'), root.get('errors'))\n\
                  print([case.get('name') for case in cases])\n\
                  print(cases[0].find('failure').text)\n\
                  print(cases[1].find('failure'))\n";
    scratch.write("parse.py", script);
    let parsed = String::from_utf8(scratch.shell("python3 parse.py")).unwrap();
    assert!(parsed.starts_with("2 1 0\n['s', '<\"x\"> & y']\n--- expected\n"), "{parsed}");
    assert!(parsed.contains("+\\u{1b}[31m<&>]]>\\u{1}\\xff\n") && parsed.ends_with("\nNone\n"), "{parsed}");
}

#[test]
fn what_cannot_be_run_is_said_with_status_2() {
    let scratch = Scratch::new();
    let good = of_stage("run = 'cat'", &one("a\\n", "a\\n"));
    let files =
        of_stage("run = 'cat'", "[[test]]\nstage = 's'\ninput_file = 'no/in'\noutput_file = 'no/out'\n");
    for (file, more, told) in [
        (good.as_str(), &["t"][..], &["p.toml has no test `t`", "tests there: s"][..]),
        (&of_stage("run = 'cat'", ""), &[], &["p.toml has no tests: add a table [[test]]"]),
        (
            &files,
            &[],
            &["test `s`: input_file: cannot read ", "no/in", "output_file: cannot read ", "make it"],
        ),
        (&good, &["--junit", "no/out.xml"], &["--junit no/out.xml: cannot write there"]),
        (&good, &["--junit", "."], &["--junit .: it is a directory"]),
        (&good, &["--timeout", "0s"], &["expected a duration above 0"]),
        (&(good.clone() + "stag = 's'\n"), &[], &["unknown key `stag`", "did you mean `stage`?"]),
    ] {
        let ended = test(&scratch, file, more);
        assert_eq!(ended.status.code(), Some(2), "{more:?}: {}", ended.stderr);
        for part in told {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
    }
    let checked = {
        scratch.write("p.toml", &files);
        scratch.worker(&["check", "p.toml"]).run()
    };
    assert!(checked.stderr.contains("warning: test `s`: input_file: cannot read"), "{}", checked.stderr);
}

/// A state goes on when only a test has changed.
#[test]
fn a_test_that_is_added_leaves_a_state_what_it_is() {
    let scratch = Scratch::new();
    scratch.write("in.log", "a\nb\n");
    let file = of_stage("run = 'cat'", "").replace("nothing/*.log", "in.log").replace("nothing/out", "out");
    let run = |file: &str| {
        scratch.write("p.toml", file);
        scratch
            .worker(&["run", "p.toml", "--state", "state", "--admin", "none", "--progress", "none"])
            .run()
            .expect(0)
    };
    run(&file);
    let again = run(&(file.clone() + &one("a\\n", "a\\n")));
    assert!(again.stderr.contains("finished already"), "{}", again.stderr);
}

/// What an earlier run of the tests has left, until this one has a result.
#[test]
fn an_old_junit_file_is_not_taken_for_that_of_tests_that_did_not_run() {
    let scratch = Scratch::new();
    let old = || scratch.write("out.xml", "<testsuites tests='1' failures='0' errors='0'/>");
    let script = "import xml.etree.ElementTree as E\n\
                  root = E.parse('out.xml').getroot()\n\
                  print([(case.get('name'), [kind.get('message')[:7] for kind in case.findall('error')]) for case in \
                  root.findall('./testsuite/testcase')])\n";
    scratch.write("parse.py", script);
    let cases = || String::from_utf8(scratch.shell("python3 parse.py")).unwrap();
    old();
    let ended = test(&scratch, "[stage", &["--junit", "out.xml"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert_eq!(cases(), "[('worker test', ['not run'])]\n");
    let kept = test(&scratch, &of_stage("run = 'cat'", &one("a", "a")), &["--junit", "./p.toml"]);
    assert!(kept.stderr.contains("it is the pipeline file"), "{}", kept.stderr);
    assert!(scratch.shell("cat p.toml").starts_with(b"[source.in]"));

    old();
    let hangs = "run = ['sh', '-c', 'if grep -q hang; then touch begun; until test -e over; do sleep 0.01; done; fi; echo a']";
    let tests = "[[test]]\nname = 'good'\nstage = 's'\ninput = 'a'\noutput = 'a'\n\
                 [[test]]\nname = 'bad'\nstage = 's'\ninput = 'hang'\noutput = 'a'\n\
                 [[test]]\nname = 'last'\nstage = 's'\ninput = 'a'\noutput = 'a'\n";
    scratch.write("p.toml", of_stage(hangs, tests));
    let running = scratch.worker(&["test", "p.toml", "--junit", "out.xml"]).start();
    eventually("the second test has begun", Duration::from_secs(60), || {
        if scratch.path("begun").exists() { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    scratch.write("over", "");
    assert_eq!(cases(), "[('good', []), ('bad', ['not run']), ('last', ['not run'])]\n");
}
