//! A header that every batch prints, passed on once.

use std::time::Duration;
use worker_tests::process::{Nodes, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(25);

/// 5000 rows in two files under one header.
const TABLE: &str = "mkdir in; echo 'n,k,text' > head; seq 1 5000 | awk '{print $1 \",\" $1 % 7 \",row \" $1}' > rows; \
                     (cat head; head -n 2000 rows) > in/a.csv; (cat head; tail -n +2001 rows) > in/b.csv; cat head rows > all.csv";

/// What a table's program of a stage does: three columns to two.
const CUT: &str = "awk -F, '{print $2 \",\" $1}'";

/// A run of one stage in batches, each under the header and with one of its own.
fn batches<'a>(input: &'a str, program: &'a str, tasks: &'a str, batch: &'a str) -> Vec<&'a str> {
    let read = ["run", "-i", input, "--header", "repeat"];
    let stage = ["-s", program, "--output-header", "-j", tasks, "--batch", batch];
    [&read[..], &stage].concat()
}

/// The first line stays the first, the rest is sorted.
fn sorted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some((_, rows)) = lines.split_first_mut() {
        rows.sort_unstable();
    }
    lines.join("\n")
}

fn assert_same(scratch: &Scratch, what: &str, got: &[u8], want: &str) {
    let (got, want) = (sorted(got), sorted(&scratch.shell(want)));
    let first = got.lines().zip(want.lines()).position(|(a, b)| a != b);
    assert!(got == want, "{what}: {} bytes instead of {}, line {first:?} differs", got.len(), want.len());
}

#[test]
fn batches_give_what_one_run_of_the_program_gives() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    for options in [&["-j", "1"][..], &["-j", "3", "--batch", "70records"], &["-j", "4", "--batch", "1KiB"]] {
        let line = ["run", "-i", "in/*", "--header", "repeat", "-s", CUT, "--output-header"];
        let line: Vec<&str> = line.iter().chain(options).copied().collect();
        let out = scratch.worker(&line).run().expect(0).stdout;
        assert_same(&scratch, &line.join(" "), &out, &format!("{CUT} all.csv"));
    }
    let second = "awk -F, 'NR == 1 {print \"doubled\"; next} $1 > 2 {print 2 * $2}'";
    let line = batches("in/*", CUT, "3", "90records");
    let chain = ["-s", second, "--output-header", "-j", "2"];
    let whole = format!("{CUT} all.csv | {second}");
    let out = scratch.worker(&[&line[..], &chain, &["-k"]].concat()).run().expect(0).stdout;
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&scratch.shell(&whole)), "in order");
    let out = scratch
        .worker(&[&line[..], &chain, &["-S", "awk -F, 'NR > 1 {s += $1} END {print NR, s}'"]].concat());
    let summed = scratch.shell(&format!("{whole} | awk 'NR > 1 {{s += $1}} END {{print NR, s}}'"));
    assert_eq!(String::from_utf8_lossy(&out.run().expect(0).stdout), String::from_utf8_lossy(&summed));
}

#[test]
fn every_file_has_the_header_once_with_and_without_state() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    let pipeline = format!(
        "[source.in]\nfile = 'in/*'\nheader = 'repeat'\n[stage.cut]\nfrom = 'in'\nrun = [\"sh\", \"-c\", \"{}\"]\noutput_header = true\n\
         partitions = 3\nbatch = {{ max_records = 100 }}\n[sink.whole]\nfrom = 'cut'\nfile = 'whole.csv'\n\
         [sink.parts]\nfrom = 'cut'\nfile = 'parts/'\npartitions = 4\npartition_by = {{ csv = 1 }}\n",
        CUT.replace('"', "\\\"")
    );
    for options in [&[][..], &["--state", "state"]] {
        scratch.shell("rm -rf whole.csv parts");
        scratch.run_with(&pipeline, options).expect(0);
        assert_same(&scratch, "whole", &scratch.read("whole.csv"), &format!("{CUT} all.csv"));
        let heads = scratch.shell("for f in parts/*; do head -n 1 $f; grep -c k,n $f; done");
        assert_eq!(String::from_utf8_lossy(&heads), "k,n\n1\n".repeat(4));
        let rows = scratch.shell("echo k,n; cat parts/* | grep -v k,n");
        assert_same(&scratch, "parts", &rows, &format!("{CUT} all.csv"));
        let status = scratch.run_with(
            &pipeline.replace("whole.csv", "w2.csv").replace("parts/", "p2/"),
            &["--report", "r.json"],
        );
        status.expect(0);
        let report = scratch.text("r.json");
        assert!(report.contains("5000") && !report.contains("5001"), "a header is no record: {report}");
        scratch.shell("rm -rf w2.csv p2 r.json");
    }
    scratch.run_with(&pipeline, &["--state", "state"]).expect(0);
    assert_same(&scratch, "again", &scratch.read("whole.csv"), &format!("{CUT} all.csv"));
}

#[test]
fn what_prints_nothing_or_only_its_header_leaves_the_header_alone() {
    let scratch = Scratch::new();
    scratch.shell(&format!("{TABLE}; echo 'n,k,text' > none.csv; : > empty"));
    let run = |input: &str, program: &str, more: &[&str]| {
        let line = batches(input, program, "3", "50records");
        let out = scratch.worker(&[&line[..], more].concat()).run().expect(0).stdout;
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(
        run("in/*", "awk -F, 'NR == 1 || $1 > 9999'", &[]),
        "n,k,text\n",
        "every batch its header only"
    );
    let chain = ["-s", "sed s/text/name/", "--output-header", "-s", "tail -n +1", "--output-header"];
    assert_eq!(run("in/*", "awk -F, 'NR == 1 || $1 > 9999'", &chain), "n,k,name\n", "and so on");
    assert_eq!(run("none.csv", "cat", &chain), "n,k,name\n", "no record at all");
    assert_eq!(run("in/*", "true", &[]), "", "nothing at all");
    let some = "awk -F, '$1 == 4321 && !h {print \"n,k,text\"; h = 1} $1 == 4321'";
    assert_eq!(run("in/*", some, &["-k"]), "n,k,text\n4321,2,row 4321\n", "a header in one batch of many");
    // A program that fails over no records has no header to give.
    assert_eq!(run("none.csv", "sh -c 'read h && read r && echo $h'", &[]), "");
}

#[test]
fn a_batch_under_another_header_fails_and_says_both() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    // Records 101 and 102 alone make the program print something else; the first batch has succeeded by then.
    let program = "awk -F, '{l[NR] = $0} /row 10[12]$/ {odd = 1} END {l[1] = odd ? \"other,\\\"head\" : \"n,k,text\"; for (i = 1; i <= NR; i++) print l[i]}'";
    let line = batches("in/*", program, "1", "100records");
    let run = scratch.worker(&[&line[..], &["-o", "out.csv", "--dead-letters", "dead.jsonl"]].concat()).run();
    run.expect(3);
    assert_same(&scratch, "the rest", &scratch.read("out.csv"), "grep -v 'row 10[12]$' all.csv");
    let letters = scratch.text("dead.jsonl");
    assert_eq!(letters.lines().count(), 2, "{letters}");
    for letter in letters.lines() {
        assert!(
            letter.contains("n,k,text") && letter.contains("other,") && letter.contains("output_header"),
            "{letter}"
        );
    }
}

#[test]
fn a_byte_order_mark_and_the_ends_of_lines_are_no_difference_and_a_quoted_newline_is_in_the_header() {
    let scratch = Scratch::new();
    scratch.write("in.csv", "\u{feff}\"two\nlines\",b\r\n1,2\r\n3,4\r\n5,6\r\n");
    let line = [
        "run",
        "-i",
        "in.csv",
        "--header",
        "repeat",
        "--framing",
        "csv",
        "--batch",
        "1records",
        "-j",
        "1",
        "-k",
    ];
    // The mark is printed by the first program only, and so are carriage returns.
    let program =
        "sh -c 'if mkdir first 2> /dev/null; then cat; else sed \"s/\\xef\\xbb\\xbf//; s/\\r//\"; fi'";
    let stage = ["-s", program, "--output-header"];
    let line = [&line[..7], &stage, &line[7..]].concat();
    let out = scratch.worker(&line).run().expect(0).stdout;
    assert_eq!(String::from_utf8_lossy(&out), "\u{feff}\"two\nlines\",b\r\n1,2\r\n3,4\n5,6\n");
}

#[test]
fn behind_a_file_that_has_it_the_header_is_left_out_and_behind_another_refused() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    for state in [&[][..], &["--state"]] {
        let states = ["s1", "s2", "s3"];
        let run = |at: usize| {
            let line = [
                "run",
                "-i",
                "in/a.csv",
                "--header",
                "repeat",
                "-s",
                "cat",
                "--output-header",
                "-o",
                "out.csv",
                "--append",
            ];
            let state: Vec<&str> = state.iter().flat_map(|&option| [option, states[at]]).collect();
            scratch.worker(&[&line[..], &state].concat()).run()
        };
        scratch.shell("rm -rf out.csv s1 s2 s3");
        run(0).expect(0);
        run(1).expect(0);
        let want = "cat in/a.csv; tail -n +2 in/a.csv";
        assert_same(&scratch, "appended", &scratch.read("out.csv"), want);
        scratch.write("out.csv", "something,else\n1,2\n");
        run(2).expect(1).says(&["out.csv begins with \"something,else\"", "\"n,k,text\"", "--force"]);
        assert_eq!(scratch.text("out.csv"), "something,else\n1,2\n");
    }
}

#[test]
fn letters_are_replayed_under_their_header() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    let program = "awk -F, -v OFS=, 'NR == 1 {print; next} $2 % 1000 == 0 && system(\"test -e mended\") {exit 3} {print}'";
    let pipeline = format!(
        "[source.in]\nfile = 'in/*'\nheader = 'repeat'\n[stage.cut]\nrun = [\"sh\", \"-c\", \"{}\"]\noutput_header = true\npartitions = 2\n\
         [stage.picky]\nrun = [\"sh\", \"-c\", \"{}\"]\noutput_header = true\nretry = {{ max_attempts = 1, initial = '1ms', max = '1ms' }}\n\
         [sink.out]\nfile = 'out.csv'\nexists = 'replace'\n",
        CUT.replace('"', "\\\""),
        program.replace('"', "\\\"")
    );
    for with_state in [true, false] {
        scratch.shell("rm -f mended");
        let options: &[&str] =
            if with_state { &["--state", "state"] } else { &["--dead-letters", "dead.jsonl"] };
        scratch.run_with(&pipeline, options).expect(3);
        let want = format!("{CUT} all.csv");
        assert_same(&scratch, "run", &scratch.read("out.csv"), &format!("{want} | grep -v ',[1-5]000$'"));
        let from: &[&str] = if with_state { &["--state", "state"] } else { &["--letters", "dead.jsonl"] };
        let list =
            scratch.worker(&[&["dlq", "list", "pipeline.toml"][..], from].concat()).run().expect(0).stdout;
        let list = String::from_utf8_lossy(&list).into_owned();
        let id = list.lines().find_map(|line| {
            line.split_whitespace().find(|word| word.contains("/1") || word.ends_with(":1"))
        });
        let id = id.unwrap_or_else(|| panic!("{list}"));
        scratch.shell("rm -rf case");
        scratch
            .worker(&[&["dlq", "repro", "pipeline.toml", id, "--out", "case"][..], from].concat())
            .run()
            .expect(0);
        assert!(scratch.text("case/input").starts_with("k,n\n"), "{}", scratch.text("case/input"));
        // What fails again in a replay stands under its header there, too.
        scratch.worker(&[&["dlq", "replay", "pipeline.toml", "all"][..], from].concat()).run().expect(3);
        let again =
            scratch.worker(&[&["dlq", "list", "pipeline.toml", "--json"][..], from].concat()).run().expect(0);
        let again = String::from_utf8_lossy(&again.stdout).into_owned();
        let letters =
            again.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a letter"));
        let letters: Vec<_> =
            letters.filter(|letter| letter["id"].as_str().is_some_and(|id| id.starts_with("r1/"))).collect();
        assert_eq!(letters.len(), 5, "{again}");
        scratch.shell("rm -rf case");
        let id = letters[0]["id"].as_str().expect("a name");
        scratch
            .worker(&[&["dlq", "repro", "pipeline.toml", id, "--out", "case"][..], from].concat())
            .run()
            .expect(0);
        assert!(scratch.text("case/input").starts_with("k,n\n"), "{}", scratch.text("case/input"));
        scratch.write("mended", "");
        scratch.worker(&[&["dlq", "replay", "pipeline.toml", "all"][..], from].concat()).run().expect(0);
        assert_same(&scratch, "with what was replayed", &scratch.read("out.csv"), &want);
    }
}

#[test]
fn nodes_give_one_header_to_each_file() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    let pipeline = format!(
        "[pipeline]\nname = 'tables'\n[source.in]\nfile = 'in/*'\nheader = 'repeat'\nplace = 'a'\n\
         [stage.cut]\nrun = [\"sh\", \"-c\", \"{}\"]\noutput_header = true\npartitions = 4\nbatch = {{ max_records = 100 }}\nplace = ['a', 'b']\n\
         [stage.next]\nrun = ['sed', 's/k,n/key,number/']\noutput_header = true\npartitions = 3\nplace = ['b', 'a']\n\
         [sink.out]\nfile = 'out.csv'\nplace = 'b'\n",
        CUT.replace('"', "\\\"")
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_same(&scratch, "out", &scratch.read("out.csv"), &format!("{CUT} all.csv | sed s/k,n/key,number/"));
}

#[test]
fn nodes_whose_programs_print_different_headers_end_with_both() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    let pipeline = "[pipeline]\nname = 'tables'\n[source.in]\nfile = 'in/*'\nheader = 'repeat'\nplace = 'a'\n\
         [stage.cut]\nrun = ['sh', '-c', 'read h; echo \"$WORKER_PARTITION,head\"; cat']\noutput_header = true\npartitions = 2\nplace = ['a', 'b']\n\
         [sink.out]\nfile = 'out.csv'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    b.wait(PATIENCE).expect(1).says(&["0,head", "1,head", "one table has one header"]);
    a.wait(PATIENCE).expect(1);
}

#[test]
fn in_memory_a_reader_that_comes_back_without_the_header_ends_the_run_and_says_why() {
    let scratch = Scratch::new();
    let pipeline = "[pipeline]\nname = 'tables'\n[source.in]\nplace = 'a'\nrun = ['sh', '-c', 'i=0; while :; do seq $i $((i+99)); i=$((i+100)); sleep 0.01; done']\n\
         [stage.cut]\nrun = ['sh', '-c', 'echo number; cat']\noutput_header = true\npartitions = 1\nplace = 'a'\n\
         [sink.out]\nfile = 'out.csv'\nexists = 'append'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    eventually("it flows", PATIENCE, || {
        let lines = scratch.path("out.csv").exists().then(|| scratch.text("out.csv").lines().count());
        if lines > Some(2000) { Ok(()) } else { Err(a.stderr()) }
    });
    b.kill();
    let b = nodes.start("b");
    b.wait(PATIENCE).expect(1).says(&["nobody gives it the header", "--state"]);
    a.wait(PATIENCE).expect(1);
}

#[test]
fn what_cannot_have_a_header_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    let base = "[source.in]\nstdin = true\n[stage.cut]\nfrom = 'in'\nrun = ['cat']\noutput_header = true\n";
    for (rest, says) in [
        (
            "mode = 'stream'\n[sink.out]\nfrom = 'cut'\nstdout = true\n",
            &["output_header", "mode = \"batch\"", "prints its header once"][..],
        ),
        (
            "mode = 'records'\n[sink.out]\nfrom = 'cut'\nstdout = true\n",
            &["output_header", "mode = \"batch\""],
        ),
        (
            "[stage.r]\nfrom = 'cut'\nrun = ['cat']\nmode = 'records'\n[sink.out]\nfrom = 'r'\nstdout = true\n",
            &["cannot be given a header", "sed 1d"],
        ),
        (
            "[stage.r]\nfrom = 'cut'\nrun = ['echo']\ninput = 'args'\n[sink.out]\nfrom = 'r'\nstdout = true\n",
            &["is given arguments", "sed 1d"],
        ),
        (
            "[sink.out]\nfrom = ['cut', 'in']\nstdout = true\n",
            &["records with a header and records without", "a stage of its own"],
        ),
        ("[sink.out]\nfrom = 'cut'\nstdout = true\nwhen_full = 'drop-oldest'\n", &["could drop the header"]),
        (
            "[sink.out]\nfrom = 'cut'\nfile = 'p/'\npartition_by = { csv = 'a' }\n",
            &["`cut` prints a header of its own", "{ csv = 3 }"],
        ),
        ("output_header = 1\n[sink.out]\nfrom = 'cut'\nstdout = true\n", &["output_header"]),
    ] {
        scratch.run(&format!("{base}{rest}")).expect(2).says(says);
    }
    let sink = "[source.in]\nstdin = true\n[sink.out]\nrun = ['cat']\nmode = 'batch'\noutput_header = true\n";
    scratch.run(sink).expect(2).says(&["output_header"]);
}

#[test]
fn check_knows_programs_that_print_headers_and_compares_a_sample_under_one() {
    let scratch = Scratch::new();
    scratch.shell(TABLE);
    scratch.shell("mkdir bin; printf '#!/bin/sh\\nexec cat\\n' > bin/csvcut; chmod +x bin/csvcut");
    let base =
        "[source.in]\nfile = 'in/a.csv'\nheader = 'repeat'\n[stage.cut]\nrun = ['bin/csvcut', '-c', '1']\n";
    let check = |more: &str| {
        scratch.write("p.toml", format!("{base}{more}[sink.out]\nfile = 'o'\n"));
        let run = scratch.worker(&["check", "p.toml", "--sample", "in/a.csv"]).run();
        format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr)
    };
    let without = check("");
    assert!(
        without.contains("prints a header for each batch") && without.contains("output_header = true"),
        "{without}"
    );
    assert!(without.contains("not record by record"), "{without}");
    let with = check("output_header = true\n");
    assert!(!with.contains("prints a header") && with.contains("record by record, "), "{with}");
}
