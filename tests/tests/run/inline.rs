//! Pipelines on the command line, by the habits of other tools.

use worker_tests::process::Scratch;

const QUIET: [&str; 4] = ["run", "-q", "--admin", "none"];

fn args<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&QUIET[..], rest].concat()
}

#[test]
fn a_dash_is_a_standard_stream() {
    let scratch = Scratch::new();
    for line in [&["-i", "-", "-s", "cat"][..], &["-s", "cat", "-o", "-"], &["-i", "-", "-o", "-"]] {
        let finished = scratch.worker(&args(line)).input("hi\n").run().expect(0);
        assert_eq!(finished.stdout, b"hi\n", "{line:?}");
    }
    assert!(!scratch.path("-").exists(), "no file of that name is made");
    scratch.write("-", "a file\n");
    let finished = scratch.worker(&args(&["-i", "./-"])).input("hi\n").run().expect(0);
    assert_eq!(finished.stdout, b"a file\n");
}

#[test]
fn a_pipeline_may_come_from_standard_input() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "b\na\n");
    let pipeline = "[source.in]\nfile = 'in.txt'\n[stage.sort]\nmode = 'stream'\nrun = 'sort'\n[sink.out]\nstdout = true\n";
    let finished = scratch.worker(&args(&["-"])).input(pipeline).run().expect(0);
    assert_eq!(finished.stdout, b"a\nb\n");
    scratch.worker(&["check", "-"]).input(pipeline).run().expect(0);
    let wrong = scratch.worker(&["check", "-"]).input("[source.in]\nfil = 'in.txt'\n").run().expect(2);
    wrong.says(&["standard input:2:1", "did you mean `file`?"]);
    let piped = scratch.shell(&format!(
        "mkdir sub; {} run -q --admin none <(printf %s \"{pipeline}\")",
        worker_tests::process::worker_binary().display()
    ));
    assert_eq!(piped, b"a\nb\n", "its paths are relative to the working directory");
}

#[test]
fn a_pipeline_from_standard_input_leaves_nothing_to_be_read_there() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nstdin = true\n[sink.out]\nstdout = true\n";
    let refused = scratch.worker(&args(&["-"])).input(pipeline).run().expect(2);
    refused.says(&["`in` reads standard input", "put the pipeline into a file"]);
}

#[test]
fn several_inputs_are_read_one_after_the_other_as_cat_does() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 40000 > b; seq 5 > a1; seq 9 > a2");
    let line = ["-i", "b", "-i", "a*", "-i", "b", "-S", "cat", "-o", "out"];
    scratch.worker(&args(&line)).run().expect(0);
    assert_eq!(scratch.read("out"), scratch.shell("cat b a* b"));
    // The same with state, where the list is fixed.
    scratch.worker(&args(&[&line[..9], &["kept", "--state", "state"]].concat())).run().expect(0);
    assert_eq!(scratch.read("kept"), scratch.shell("cat b a* b"));
    let missing = scratch.worker(&args(&["-i", "b", "-i", "c*", "-o", "-"])).run().expect(2);
    missing.says(&["c*"]);
}

#[test]
fn options_behind_a_stage_do_what_they_say() {
    let scratch = Scratch::new();
    scratch.shell("seq 1000 > in; printf 'id,n\\n1,2\\n' > a.csv; printf 'id,n\\n3,4\\n' > b.csv");
    let out = |line: &[&str]| scratch.worker(&args(line)).run().expect(0).stdout;
    assert_eq!(out(&["-i", "*.csv", "--header", "skip", "-S", "cat"]), b"1,2\n3,4\n");
    assert_eq!(out(&["-i", "*.csv", "--header", "repeat", "-S", "cat"]), b"id,n\n1,2\n3,4\n");
    assert_eq!(out(&["-i", "in", "-S", "head -n 2", "--early-exit"]), b"1\n2\n");
    let counts = out(&["-i", "in", "-s", "wc -l", "--batch", "10records", "-j", "1"]);
    assert_eq!(counts, "10\n".repeat(100).into_bytes());
    let windows = out(&["-i", "in", "-S", "wc -l", "--window", "250records"]);
    assert_eq!(windows, "250\n".repeat(4).into_bytes());
    let keyed = out(&["-i", "in", "-S", "sh -c 'cut -c1 | sort -u'", "--key", "record", "-j", "2"]);
    assert_eq!(keyed.len(), 2 * 2 * 9, "two tasks: {}", String::from_utf8_lossy(&keyed));
    let echo = "import sys, json\nfor line in sys.stdin:\n    q = json.loads(line)\n    \
                if 'id' in q: print(json.dumps({'id': q['id'], 'emit': [q['record'] + '!'] if 'record' in q else []}), flush=True)\n";
    scratch.write("echo.py", echo);
    assert_eq!(out(&["-i", "a.csv", "-R", "python3 echo.py"]), b"id,n!\n1,2!\n");
}

#[test]
fn a_file_that_is_there_is_kept_written_behind_or_replaced() {
    let scratch = Scratch::new();
    scratch.write("in", "new\n");
    scratch.write("out", "old\n");
    let refused = scratch.worker(&args(&["-i", "in", "-o", "out"])).run().expect(2);
    refused.says(&["--append", "--force"]);
    scratch.worker(&args(&["-i", "in", "-o", "out", "--append"])).run().expect(0);
    assert_eq!(scratch.read("out"), b"old\nnew\n");
    scratch.worker(&args(&["--force", "-i", "in", "-o", "out"])).run().expect(0);
    assert_eq!(scratch.read("out"), b"new\n");
}

#[test]
fn as_many_batches_run_at_once_as_are_asked_for() {
    let scratch = Scratch::new();
    // Each waits until all eight are there.
    let meet = "sh -c 'cat; touch here.$$; until [ $(ls here.* | wc -l) -ge 8 ]; do sleep 0.05; done'";
    let line = ["-s", meet, "--batch", "1record", "-j", "8", "--timeout", "off"];
    let finished = scratch.worker(&args(&line)).input("1\n2\n3\n4\n5\n6\n7\n8\n").run().expect(0);
    assert_eq!(super::sorted(&finished.stdout).len(), 8);
    let printed = scratch.worker(&args(&[&line[..], &["--print-toml"]].concat())).run().expect(0);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("--slots 8"), "said in the file");
}
