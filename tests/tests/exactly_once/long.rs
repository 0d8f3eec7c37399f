//! Records over `max_record`: halt, pass by, be cut; with state once each, whatever happens meanwhile.

use crate::{PATIENCE, run, start};
use worker_tests::process::{Scratch, eventually};

/// Lines, one of them of 2 MB.
const INPUT: &str = "(seq 1000; head -c 2000000 /dev/zero | tr '\\0' x; echo; seq 1001 2000) > in.txt";
const GOOD: &str = "seq 2000 | cmp - out.txt";

fn pipeline(head: &str, source: &str) -> String {
    format!(
        "[pipeline]\nname = 'long'\n{head}[source.s]\n{source}\n[stage.a]\nrun = ['sh', '-c', 'sleep 0.05; cat']\n\
         partitions = 1\nbatch = {{ max_records = 50 }}\n[sink.o]\nfile = 'out.txt'\n"
    )
}

fn prepared(head: &str, source: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.shell(INPUT);
    scratch.write("pipeline.toml", pipeline(head, source));
    scratch
}

fn letters(scratch: &Scratch) -> usize {
    scratch.text("state/dead/s-0.jsonl").lines().count()
}

#[test]
fn what_the_message_says_goes_on_with_the_same_state() {
    for change in ["max_record", "on_long"] {
        let scratch = prepared("", "file = 'in.txt'");
        run(&scratch).expect(1).says(&["record 1 001", "raise `max_record`", "on_long"]);
        match change {
            "max_record" => {
                scratch.write("pipeline.toml", pipeline("max_record = '4MiB'\n", "file = 'in.txt'"));
                run(&scratch).expect(0);
                scratch.shell("cmp in.txt out.txt");
            }
            _ => {
                scratch.write("pipeline.toml", pipeline("", "file = 'in.txt'\non_long = 'dead-letter'"));
                run(&scratch).expect(3).says(&["1 dead letter, with its reason, is in"]);
                scratch.shell(GOOD);
                assert_eq!(letters(&scratch), 1);
            }
        }
    }
}

#[test]
fn a_long_record_passes_by_in_memory_from_every_kind_of_source() {
    let sources =
        ["file = 'in.txt'", "file = 'in.gz'", "run = ['cat', 'in.txt']", "file = 'pipe'", "stdin = true"];
    for source in sources {
        let scratch = prepared("", &format!("{source}\non_long = 'dead-letter'"));
        scratch.shell("gzip -c in.txt > in.gz; mkfifo pipe");
        let command = if source.contains("pipe") {
            "cat in.txt > pipe & "
        } else if source.contains("stdin") {
            "cat in.txt | "
        } else {
            ""
        };
        let worker = worker_tests::process::worker_binary();
        let said = scratch.shell(&format!(
            "{command}{} run pipeline.toml --admin none --report report.json 2>&1; echo status $?",
            worker.display()
        ));
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("status 3"), "{source}: {said}");
        scratch.shell(GOOD);
        let letters = scratch.text("long.dead-letters.jsonl");
        assert_eq!(letters.lines().count(), 1, "{source}");
        assert!(letters.contains("record 1 001 of") && letters.contains("has 2 000 000 bytes"), "{source}");
    }
}

#[test]
fn a_cut_record_goes_on_as_far_as_it_may() {
    let scratch = prepared("max_record = '1000'\n", "file = 'in.txt'\non_long = 'cut'");
    run(&scratch).expect(3).says(&["1 dead letter, with its reason, is in"]);
    scratch.shell("cut -c -1000 in.txt | cmp - out.txt");
}

#[test]
fn killed_again_and_again_the_letter_is_written_once() {
    let scratch = prepared("credit = '1100KiB'\n", "file = 'in.txt'\non_long = 'dead-letter'");
    scratch.shell("for n in 1 2 3; do cat in.txt; done > more; mv more in.txt");
    for kill in 1_u64.. {
        let mut running = start(&scratch);
        eventually("more is written", PATIENCE, || {
            if running.has_ended() || scratch.len("out.txt") > kill * 2000 {
                Ok(())
            } else {
                Err(running.stderr())
            }
        });
        if running.has_ended() {
            running.wait(PATIENCE).expect(3);
            break;
        }
        running.kill();
    }
    scratch.shell("for n in 1 2 3; do seq 2000; done | cmp - out.txt");
    assert_eq!(letters(&scratch), 3);
}

#[test]
fn a_damaged_file_halts_and_is_skipped_when_told_to_in_both_deliveries() {
    let damaged = |source: &str| {
        let scratch = prepared("", source);
        scratch.shell("seq 20000 | gzip > a.gz; truncate -s -100 a.gz; seq 5 | gzip > b.gz");
        // gzip itself gives less than what can be unpacked.
        let whole_lines = "import zlib; a = zlib.decompressobj(31).decompress(open('a.gz', 'rb').read()); \
                           print(a[:a.rfind(b'\\n')].decode())";
        scratch
            .shell(&format!("(python3 -c \"{whole_lines}\"; seq 5) > want; test $(wc -l < want) -gt 10000"));
        scratch
    };
    let scratch = damaged("file = '*.gz'");
    run(&scratch).expect(1).says(&["damaged or truncated gzip data", "a.gz", "on_damage"]);
    scratch.write("pipeline.toml", pipeline("", "file = '*.gz'\non_damage = 'skip'"));
    run(&scratch).expect(3).says(&["1 dead letter, with its reason, is in"]);
    scratch.shell("cmp want out.txt");
    assert_eq!(letters(&scratch), 1);
    let scratch = damaged("file = '*.gz'\non_damage = 'skip'");
    scratch
        .worker(&["run", "pipeline.toml", "--progress", "none"])
        .run()
        .expect(3)
        .says(&["1 dead letter, with its reason, is in"]);
    scratch.shell("cmp want out.txt");
}

#[test]
fn killed_again_and_again_every_format_is_gone_on_with_in_its_middle() {
    let packed = "import bz2, gzip, lzma; d = open('in.txt', 'rb').read(); t = b'\\xff\\xfe' + d.decode().encode('utf-16-le'); \
                  [open('in.' + n, 'wb').write(b) for n, b in \
                  [('1', gzip.compress(d)), ('2', bz2.compress(d)), ('3', lzma.compress(d)), ('4', t)]]";
    let scratch = Scratch::new();
    scratch.shell("seq 1500 > in.txt; zstd -q in.txt -o in.5");
    scratch.shell(&format!("python3 -c \"{packed}\""));
    scratch
        .write("pipeline.toml", pipeline("credit = '1100KiB'\nmax_record = '1KiB'\n", "file = 'in.[1-5]'"));
    let mut lives = 0;
    loop {
        lives += 1;
        let mut running = start(&scratch);
        let before = scratch.len("out.txt");
        eventually("more is written", PATIENCE, || {
            let is_more = scratch.len("out.txt") > before + 4000;
            if running.has_ended() || is_more { Ok(()) } else { Err(running.stderr()) }
        });
        if running.has_ended() {
            running.wait(PATIENCE).expect(0);
            break;
        }
        running.kill();
    }
    assert!(lives > 3, "{lives} lives");
    scratch.shell("for n in 1 2 3 4 5; do cat in.txt; done | cmp - out.txt");
}

#[test]
fn what_comes_before_a_damage_is_through_when_the_run_halts_in_both_deliveries() {
    for state in [&[][..], &["--state", "state"]] {
        for run in ["'sh', '-c', 'sleep 0.2; cat'", "'cat'"] {
            let scratch = Scratch::new();
            scratch.shell("seq 20000 > in.txt; gzip -c in.txt > a.gz; truncate -s -100 a.gz");
            let mode = if run == "'cat'" { "mode = 'stream'" } else { "batch = { max_records = 2000 }" };
            scratch.write(
                "pipeline.toml",
                format!(
                    "[source.s]\nfile = 'a.gz'\n[stage.a]\nrun = [{run}]\npartitions = 1\n{mode}\n[sink.o]\nfile = 'out.txt'\n"
                ),
            );
            let args = [&["run", "pipeline.toml", "--progress", "none"], state].concat();
            scratch.worker(&args).run().expect(1).says(&["damaged or truncated gzip data"]);
            // What a program has read and holds goes with it; cat holds nothing.
            scratch.shell(
                "test $(wc -l < out.txt) -gt 19000; head -n $(wc -l < out.txt) in.txt | cmp - out.txt",
            );
        }
    }
}
