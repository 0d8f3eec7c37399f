//! A part of a source's records.

use super::AIRPORTS;
use std::collections::BTreeMap;
use worker_tests::process::{Finished, Scratch};

fn run(scratch: &Scratch, line: &[&str]) -> Finished {
    scratch.worker(&[&["run", "--admin", "none", "--progress", "none"], line].concat()).run()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

#[test]
fn the_same_records_go_on_at_every_start_in_every_way() {
    let scratch = Scratch::new();
    scratch.shell("seq 100000 > in.txt; gzip -k in.txt; tr '\\n' '\\0' < in.txt > in.nul");
    let of = |line: &[&str]| lines(&run(&scratch, line).expect(0).stdout);
    let first = of(&["-i", "in.txt", "--sample", "1%"]);
    assert!((900..1100).contains(&first.len()), "{}", first.len());
    assert_eq!(first, of(&["-i", "in.txt.gz", "--sample", "1%"]));
    assert_eq!(first, of(&["-i", "in.txt", "--sample", "1.0 %", "--rate", "100000/s"]));
    let nul = run(&scratch, &["-i", "in.nul", "--framing", "nul", "--sample", "1%"]).expect(0).stdout;
    assert_eq!(nul, first.iter().map(|line| format!("{line}\0")).collect::<String>().as_bytes());
    let piped =
        scratch.worker(&["run", "--sample", "1%", "--admin", "none"]).input(scratch.read("in.txt")).run();
    assert_eq!(first, lines(&piped.expect(0).stdout));
    scratch.write("p.toml", "[source.in]\nrun = ['cat', 'in.txt']\nsample = '1%'\n[sink.o]\nstdout = true\n");
    assert_eq!(first, of(&["p.toml"]));
    assert_eq!(
        first[..50],
        of(&["-i", "in.txt", "--sample", "1%", "--limit", "50"]),
        "a limit counts what goes on"
    );
    assert_eq!(first[..50], of(&["p.toml", "--limit", "50"]));
    assert_ne!(first, of(&["-i", "in.txt", "--sample", "1%", "--sample-seed", "2"]));
    assert_eq!(of(&["-i", "in.txt", "--sample", "100%"]).len(), 100_000);
}

#[test]
fn records_with_one_key_go_on_together_or_not_at_all() {
    let scratch = Scratch::new();
    let counted = |line: &[&str]| {
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines(&run(&scratch, line).expect(0).stdout) {
            *keys.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        keys
    };
    scratch.shell("seq 20000 | awk '{print \"k\" $1 % 200, $1}' > in.txt");
    for seed in ["0", "7"] {
        let keys = counted(&["-i", "in.txt", "--sample", "10%", "--sample-by", "1", "--sample-seed", seed]);
        assert!((8..35).contains(&keys.len()), "{} keys", keys.len());
        assert!(keys.values().all(|&count| count == 100), "{keys:?}");
    }
    // A sample by a key leaves work for every partition of a stage by the same key.
    let spread = [
        "-i",
        "in.txt",
        "--sample",
        "10%",
        "--sample-by",
        "1",
        "-S",
        "sh -c 'wc -l'",
        "-j",
        "2",
        "--key",
        "1",
    ];
    let shares = lines(&run(&scratch, &spread).expect(0).stdout);
    assert!(shares.iter().all(|share| share.trim() != "0"), "{shares:?}");
}

#[test]
fn no_header_is_left_out_and_a_column_is_known_by_its_name() {
    let scratch = Scratch::new();
    std::fs::copy(AIRPORTS, scratch.path("airports.csv")).expect("the airports");
    let of =
        |line: &[&str]| lines(&run(&scratch, &[&["-i", "airports.csv"], line].concat()).expect(0).stdout);
    let header = lines(&scratch.read("airports.csv")).remove(0);
    assert_eq!(of(&["--sample", "0.0000001%"]), [header.as_str()], "with keep it goes on once");
    assert_eq!(of(&["--sample", "0.0000001%", "--header", "skip"]), [""; 0]);
    let none = run(&scratch, &["--list", "air*.csv", "--sample", "0.0000001%"]).expect(0);
    assert_eq!(none.stdout, b"", "paths have no header");
    scratch.write("pairs.txt", "a\n1\nb\n2\n");
    let pairs = ["-i", "pairs.txt", "--framing", "lines=2", "--sample", "0.0000001%"];
    assert_eq!(run(&scratch, &pairs).expect(0).stdout, b"", "two lines are no header");
    let states = of(&["--sample", "20%", "--sample-by", "csv:state", "--header", "skip"]);
    let all = of(&["--sample", "20%", "--sample-by", "csv:state"]);
    assert_eq!((&all[0], &all[1..]), (&header, &states[..]));
    let repeated = of(&[
        "--header",
        "repeat",
        "--sample",
        "20%",
        "--sample-by",
        "csv:state",
        "-s",
        "sh -c 'head -n 1; cat >&2'",
        "-j",
        "1",
    ]);
    assert!(!repeated.is_empty() && repeated.iter().all(|line| *line == header), "{repeated:?}");
    let wrong =
        run(&scratch, &["-i", "airports.csv", "--sample", "20%", "--sample-by", "csv:stat"]).expect(2);
    wrong.says(&["no column `stat`", "state"]);
}

#[test]
fn what_is_left_out_is_counted_and_what_has_no_key_is_a_dead_letter() {
    let scratch = Scratch::new();
    scratch.shell("(seq 9999 | sed 's/^/k /'; echo) > in.txt");
    scratch.write("p.toml", "[source.in]\nfile = 'in.txt'\nsample = '0.0000001%'\nsample_by = { field = 1 }\n[sink.o]\nfile = 'out'\n");
    let finished = run(&scratch, &["p.toml", "--report", "report.json"]).expect(3);
    finished.says(&["9 999 records left out by samples", "1 dead letter"]);
    assert!(scratch.text("p.dead-letters.jsonl").contains("sample_by finds no key: no field 1"));
    assert_eq!(scratch.text("out"), "");
    let report: serde_json::Value = serde_json::from_slice(&scratch.read("report.json")).expect("a report");
    let source = &report["stages"][0];
    assert_eq!(
        (&source["left_out_records"], &source["records_in"]),
        (&9999.into(), &9999.into()),
        "{source}"
    );
}

#[test]
fn what_is_no_part_is_refused_with_what_would_be_one() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "1\n");
    for share in ["10", "0%", "101%", "-1%", "1e1%", "%"] {
        let refused = run(&scratch, &["-i", "in.txt", &format!("--sample={share}")]).expect(2);
        refused.says(&["--sample", "a percentage above 0, such as 1%"]);
        scratch.write(
            "p.toml",
            format!("[source.in]\nfile = 'in.txt'\nsample = '{share}'\n[sink.o]\nstdout = true\n"),
        );
        run(&scratch, &["p.toml"]).expect(2).says(&["`sample` is not a part of the records", "\"1%\""]);
    }
    for (keys, words) in [
        ("sample = 0.01", &["sample", "such as \"1%\""][..]),
        ("sample_by = { field = 1 }", &["`sample_by` belongs to `sample`"]),
        ("sample_seed = 1", &["`sample_seed` belongs to `sample`"]),
        ("sample = '1%'\nsample_by = 'key'", &["only answers of a program name a key"]),
        ("sample = '1%'\nsample_seed = -1", &["sample_seed"]),
        ("stdin_ = 1\nsample = '1%'", &["unknown key"]),
    ] {
        scratch.write("p.toml", format!("[source.in]\nfile = 'in.txt'\n{keys}\n[sink.o]\nstdout = true\n"));
        run(&scratch, &["p.toml"]).expect(2).says(words);
    }
    let piped = run(&scratch, &["--sample", "1%", "--sample-by", "csv:state"]).expect(2);
    piped.says(&["column `state` cannot be looked up", "csv = 3"]);
}
