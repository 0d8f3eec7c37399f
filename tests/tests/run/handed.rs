//! Batches as arguments and in files.

use worker_tests::process::{Finished, Scratch};

fn run(scratch: &Scratch, line: &[&str], input: impl AsRef<[u8]>) -> Finished {
    scratch.worker(&[&["run", "--admin", "none", "--progress", "none"], line].concat()).input(input).run()
}

/// What a record may be that is an argument.
const RECORDS: &[u8] = b"a\n two  words \n-rf\n\n$(touch made)\n'\"\\\nna\xefve\n{}\n--\n*\nlast";

#[test]
fn a_record_is_an_argument_as_it_is() {
    let scratch = Scratch::new();
    for line in [
        &["-s", "printf '<%s>\\n' {}", "--arg", "-j", "1"][..],
        &["-s", "printf '<%s>\\n'", "--arg", "-j", "1"],
        &["-s", "printf '<%s>\\n'", "--args", "-j", "1"],
    ] {
        let finished = run(&scratch, line, RECORDS).expect(0);
        let expected = scratch.shell(&format!("xargs -d '\\n' printf '<%s>\\n' < stdin.{}", 0));
        assert_eq!(String::from_utf8_lossy(&finished.stdout), String::from_utf8_lossy(&expected), "{line:?}");
    }
    assert!(!scratch.path("made").exists(), "no shell has seen it");
    let within = run(&scratch, &["-s", "echo a={},b={}", "--arg", "-j", "1"], "1\n2\n").expect(0);
    assert_eq!(within.stdout, b"a=1,b=1\na=2,b=2\n");
    let several =
        run(&scratch, &["-s", "echo --x={} end", "--args", "--batch", "2records", "-j", "1"], "1\n2\n3\n");
    assert_eq!(several.expect(0).stdout, b"--x=1 --x=2 end\n--x=3 end\n");
    let nul = "[source.in]\nstdin = true\nframing = 'nul'\n[stage.a]\nrun = ['printf', '<%s>\\n']\ninput = 'arg'\npartitions = 1\n\
               [sink.out]\nstdout = true\n";
    scratch.write("nul.toml", nul);
    let finished = run(&scratch, &["nul.toml"], b"a\nb\0c\0").expect(0);
    assert_eq!(finished.stdout, b"<a\nb>\n<c>\n", "what is printed are lines");
}

/// The same whether one of the others has succeeded before or not.
#[test]
fn records_that_no_argument_can_be_are_dead_letters_and_the_others_go_on() {
    let long = "x".repeat(200_000);
    for (place, input) in [
        ("first", format!("a\0b\n{long}\n1\n2\n")),
        ("last", format!("1\n2\na\0b\n{long}\n")),
        ("all", format!("a\0b\n{long}\n")),
    ] {
        for mode in ["--arg", "--args"] {
            let scratch = Scratch::new();
            let line = ["-s", "printf '%s\\n'", mode, "-j", "1", "--dead-letters", "dead.jsonl"];
            let finished = run(&scratch, &line, &input).expect(3);
            let expected: &[u8] = if place == "all" { b"" } else { b"1\n2\n" };
            assert_eq!(finished.stdout, expected, "{place} {mode}");
            let dead = scratch.text("dead.jsonl");
            assert_eq!(dead.lines().count(), 2, "{place} {mode}: {dead}");
            assert!(dead.contains("holds a zero byte") && dead.contains("200000 bytes"), "{place} {mode}");
            assert_eq!(dead.matches("input = \\\"stdin\\\"").count(), 2, "what to do is said: {dead}");
        }
    }
}

#[test]
fn more_arguments_than_the_system_takes_are_given_in_parts() {
    let scratch = Scratch::new();
    let input: String = (0..200).map(|_| "y".repeat(20_000) + "\n").collect();
    let line = ["-s", "sh -c 'echo $#' sh", "--args", "--batch", "100MiB"];
    let finished = run(&scratch, &line, &input).expect(0);
    let counts: Vec<usize> =
        String::from_utf8_lossy(&finished.stdout).lines().map(|line| line.parse().unwrap()).collect();
    assert!(counts.len() > 1 && counts.iter().sum::<usize>() == 200, "{counts:?}");
    // An environment that leaves no room for all of them: what the system refuses is halved.
    let large = "z".repeat(100_000);
    let names = (0..18).map(|n| format!("V{n} = '{large}'")).collect::<Vec<_>>().join(", ");
    scratch.write(
        "large.toml",
        format!(
            "[source.in]\nstdin = true\n[stage.a]\nrun = ['sh', '-c', 'echo $#', 'sh']\ninput = 'args'\nbatch = {{ linger = '1s' }}\n\
             env = {{ {names} }}\n[sink.out]\nstdout = true\n"
        ),
    );
    let input: String = (0..60_000).map(|n| format!("{n:07}\n")).collect();
    let finished = run(&scratch, &["large.toml"], &input).expect(0);
    let counts =
        String::from_utf8_lossy(&finished.stdout).lines().map(|l| l.parse::<usize>().unwrap()).sum::<usize>();
    assert_eq!(counts, 60_000);
}

#[test]
fn of_several_arguments_only_the_one_that_fails_is_a_dead_letter() {
    let scratch = Scratch::new();
    let fails = "sh -c 'for word; do [ \"$word\" != 77 ] || exit 1; done; printf \"%s\\n\" \"$@\"' sh {}";
    let line = ["-s", fails, "--args", "--retries", "0", "-j", "1", "--state", "state", "-o", "out"];
    scratch.shell("seq 200 > in");
    run(&scratch, &[&["-i", "in"], &line[..]].concat(), "").expect(3);
    assert_eq!(scratch.read("out"), scratch.shell("seq 200 | grep -vx 77"));
}

#[test]
fn a_file_has_the_batch_and_the_output() {
    let scratch = Scratch::new();
    scratch.shell("seq 100000 > in; (echo n; seq 5) > head.csv");
    let line = ["-i", "in", "-s", "sh -c 'rev \"$1\"; cat' sh {}", "--batch-file", "-j", "1"];
    assert_eq!(
        run(&scratch, &line, "").expect(0).stdout,
        scratch.shell("rev in"),
        "and nothing on standard input"
    );
    let line = [
        "-i",
        "head.csv",
        "--header",
        "repeat",
        "-s",
        "cat",
        "--batch-file",
        "--batch",
        "2records",
        "-j",
        "1",
    ];
    assert_eq!(run(&scratch, &line, "").expect(0).stdout, b"n\n1\n2\nn\n3\n4\nn\n5\n");
    let both = "sh -c 'echo said; rev < \"$1\" > \"$2\"; ls \"$WORKER_TMPDIR\" | wc -l >> count' sh {} {out}";
    let line = ["-i", "in", "-s", both, "--batch-file", "--out-file", "-j", "1", "-o", "out", "-v"];
    let finished = run(&scratch, &line, "").expect(0);
    assert_eq!(scratch.read("out"), scratch.shell("rev in"));
    finished.says(&["said"]);
    let counts = scratch.text("count");
    assert!(
        counts.lines().count() > 1 && counts.lines().all(|count| count == "2"),
        "they are removed: {counts}"
    );
    let line = [
        "-i",
        "in",
        "-s",
        "sh -c 'sort -r > \"$1\"' sh {out}",
        "--out-file",
        "-j",
        "1",
        "--batch",
        "2records",
    ];
    let finished = run(&scratch, &[&line[..], &["--limit", "4"]].concat(), "").expect(0);
    assert_eq!(finished.stdout, b"2\n1\n4\n3\n");
}

#[test]
fn an_output_that_is_not_there_fails_the_batch() {
    for (script, word) in [
        ("[ $(cat) = 3 ] || : > \"$1\"", "made no file"),
        ("if [ $(cat) = 3 ]; then mkdir \"$1\"; else : > \"$1\"; fi", "no regular file"),
        ("if [ $(cat) = 3 ]; then head -c 2000000 /dev/zero > \"$1\"; else : > \"$1\"; fi", "max_record"),
    ] {
        let scratch = Scratch::new();
        let command = format!("sh -c '{script}' sh {{out}}");
        let line =
            ["-s", &command, "--out-file", "--batch", "1record", "--retries", "0", "--dead-letters", "dead"];
        run(&scratch, &line, "1\n2\n3\n4\n").expect(3);
        let dead = scratch.text("dead");
        assert!(dead.lines().count() == 1 && dead.contains(word), "{dead}");
    }
}

#[test]
fn a_sink_may_take_arguments_and_files_too() {
    let scratch = Scratch::new();
    let pipeline = |input: &str, run: &str| {
        format!("[source.in]\nrun = ['seq', '4']\n[sink.out]\nrun = {run}\nmode = 'batch'\n{input}\n")
    };
    scratch.run(&pipeline("input = 'arg'", "['sh', '-c', 'echo got \"$1\" >> \"$0\"', 'got']")).expect(0);
    assert_eq!(super::sorted(&scratch.read("got")), ["got 1", "got 2", "got 3", "got 4"]);
    scratch.run(&pipeline("input = 'file'", "['sh', '-c', 'cat \"$1\" >> \"$0\"', 'all', '{}']")).expect(0);
    assert_eq!(super::sorted(&scratch.read("all")), ["1", "2", "3", "4"]);
}

#[test]
fn dead_letters_are_run_again_as_they_were_given() {
    for (input, script) in [
        ("arg", "[ \"$1\" != \" b  c\" ] || exit 1; echo \"<$1>\" > \"$2\""),
        ("file", "! grep -q \" b  c\" \"$1\" || exit 1; sed \"s/.*/<&>/\" \"$1\" > \"$2\""),
    ] {
        let scratch = Scratch::new();
        scratch.write("in", "a\n b  c\nd\n");
        let pipeline = |script: &str| {
            let script = script.replace('\\', "\\\\").replace('"', "\\\"");
            scratch.write(
                "p.toml",
                format!(
                    "[source.in]\nfile = 'in'\n[stage.a]\nrun = [\"sh\", \"-c\", \"{script}\", \"it's\", \"{{}}\", \"{{out}}\"]\ninput = '{input}'\n\
                     output = 'file'\nretry = {{ max_attempts = 1 }}\n[sink.out]\nfile = 'out'\n"
                ),
            )
        };
        pipeline(script);
        run(&scratch, &["p.toml", "--state", "state"], "").expect(3);
        assert_eq!(super::sorted(&scratch.read("out")), ["<a>", "<d>"]);
        let list = scratch.worker(&["dlq", "list", "p.toml", "--state", "state", "--json"]).run().expect(0);
        let letter: serde_json::Value =
            serde_json::from_slice(list.stdout.split(|b| *b == b'\n').next().unwrap()).unwrap();
        let id = letter["id"].as_str().unwrap();
        scratch.worker(&["dlq", "repro", "p.toml", id, "--state", "state", "--out", "case"]).run().expect(0);
        scratch.shell("sh case/run.sh; [ $? = 1 ]");
        pipeline(&script.replace("exit 1", "true"));
        scratch.shell("sed -i 's/exit 1/true/' case/run.sh");
        assert_eq!(scratch.shell("sh case/run.sh"), b"< b  c>\n");
        scratch.worker(&["dlq", "replay", "p.toml", id, "--state", "state"]).run().expect(0);
        assert_eq!(super::sorted(&scratch.read("out")), ["< b  c>", "<a>", "<d>"]);
    }
}

#[test]
fn a_sample_is_given_as_the_run_would() {
    let scratch = Scratch::new();
    scratch.shell("seq 20 > in");
    for (input, run, says) in [
        ("arg", "['echo', 'n{}']", "record by record, 20 in, 20 out"),
        ("args", "['sh', '-c', 'echo $#', 'sh']", "not record by record"),
        ("file", "['rev']", "record by record, 20 in, 20 out"),
    ] {
        scratch.write(
            "p.toml",
            format!("[source.in]\nfile = 'in'\n[stage.a]\nrun = {run}\ninput = '{input}'\n[sink.out]\nfile = 'out'\n"),
        );
        let checked = scratch.worker(&["check", "p.toml", "--sample", "in"]).run();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(said.contains(says), "{input}: {said}");
    }
}
