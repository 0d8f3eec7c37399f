//! Paths as records.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use worker_tests::process::{Finished, Scratch};

fn run(scratch: &Scratch, line: &[&str]) -> Finished {
    scratch.worker(&[&["run", "--admin", "none", "--progress", "none"], line].concat()).run()
}

fn pictures(scratch: &Scratch, names: &[&[u8]]) {
    std::fs::create_dir_all(scratch.path("img")).expect("a directory");
    for name in names {
        std::fs::write(scratch.path("img").join(OsStr::from_bytes(name)), "x\n").expect("a file");
    }
}

#[test]
fn paths_are_what_a_shell_makes_of_the_pattern() {
    let scratch = Scratch::new();
    pictures(&scratch, &[b"b.png", b"a b.png", b"\xff\xe9.png", b"c.txt", b"-n.png", b"$(touch made).png"]);
    let expected = scratch.shell("LC_ALL=C; printf '%s\\n' img/*.png img/c*");
    let finished = run(&scratch, &["--list", "img/*.png", "--list", "img/c*"]).expect(0);
    assert_eq!(finished.stdout, expected);
    let each = run(&scratch, &["--list", "img/*.png", "-s", "wc -c {}", "--arg", "-k"]).expect(0);
    assert_eq!(each.stdout, scratch.shell("LC_ALL=C; for f in img/*.png; do wc -c \"$f\"; done"));
    // Where the names begin with a dash, a program is not given an option.
    scratch.write(
        "img/p.toml",
        "[source.in]\nlist = '*n.png'\n[stage.a]\nrun = 'cat {}'\ninput = 'arg'\n[sink.o]\nstdout = true\n",
    );
    assert_eq!(run(&scratch, &["img/p.toml"]).expect(0).stdout, b"x\n", "relative to the file");
    assert!(!scratch.path("made").exists(), "no shell has seen it");
}

#[test]
fn a_name_with_a_newline_goes_with_nul_and_is_refused_with_lines() {
    let scratch = Scratch::new();
    pictures(&scratch, &[b"a\nb.png", b"c.png"]);
    let line = ["--list", "img/*.png", "-s", "printf '<%s>' {}", "--arg", "-k", "-o", "out"];
    let refused = run(&scratch, &line).expect(2);
    refused.says(&[r"img/a\nb.png cannot be a record", "newline", "framing = \"nul\"", "--framing nul"]);
    assert!(!scratch.path("out").exists(), "nothing was begun");
    let line = ["--list", "img/*.png", "--framing", "nul", "-s", "printf '<%s>\\n' {}", "--arg", "-k"];
    assert_eq!(run(&scratch, &line).expect(0).stdout, b"<img/a\nb.png>\n<img/c.png>\n");
}

#[test]
fn what_cannot_be_listed_is_an_error_before_the_run_as_for_files() {
    let scratch = Scratch::new();
    pictures(&scratch, &[b"a.png"]);
    scratch.shell("ln -s ../out img/sink.tif");
    for (pattern, words) in [
        ("img/*.jpg", &["matches no file in", "check the pattern"][..]),
        ("img/none.png", &["cannot open", "none.png"]),
        ("img", &["is a directory", "img/*"]),
    ] {
        let list = run(&scratch, &["--list", pattern, "-o", "out"]).expect(2);
        let file = run(&scratch, &["-i", pattern, "-o", "out"]).expect(2);
        assert_eq!(list.stderr.replace("lists", "reads"), file.stderr, "{pattern}");
        list.says(words);
        assert!(!scratch.path("out").exists(), "nothing was begun");
    }
    scratch.write("out", "");
    run(&scratch, &["--list", "img/*.tif", "-o", "out", "--force"]).expect(2).says(&["sink out", "reads"]);
    run(&scratch, &["--list", "img/*", "-o", "img/o"]).expect(2).says(&["writes what source"]);
}

#[test]
fn a_file_that_goes_before_its_turn_is_an_error_or_a_dead_letter() {
    let pipeline = "[pipeline]\nname = 'p'\nmax_record = '4KiB'\ncredit = '5KiB'\noutbox = '5KiB'\nspill_limit = '5KiB'\n\
                    [source.in]\nlist = 'img/*'\n\
                    [stage.a]\nrun = ['sh', '-c', 'rm -f img/z; cat \"$@\"', 'sh', '{}']\ninput = 'args'\npartitions = 1\n\
                    batch = { max_records = 100 }\n[sink.o]\nfile = 'out'\n";
    let run_with = |scratch: &Scratch, on_damage: &str| {
        // More than budgets hold, and than is read while a first program starts: the last one is looked at when that has run.
        scratch.shell("mkdir img; for i in $(seq 10000 29999); do echo x > img/$i; done; echo x > img/z");
        scratch.write("p.toml", pipeline.replace("'img/*'\n", &format!("'img/*'\n{on_damage}\n")));
        run(scratch, &["p.toml"])
    };
    let scratch = Scratch::new();
    run_with(&scratch, "").expect(1).says(&["img/z is gone", "run again to list", "on_damage = \"skip\""]);
    assert_eq!(scratch.text("out").lines().count(), 20000, "what was given before is done");
    let scratch = Scratch::new();
    run_with(&scratch, "on_damage = 'skip'").expect(3).says(&["1 dead letter"]);
    assert_eq!(scratch.text("out").lines().count(), 20000);
    assert!(scratch.text("p.dead-letters.jsonl").contains("img/z is gone"));
}
