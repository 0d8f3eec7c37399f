//! Input as it comes: packed, framed otherwise, broken or odd.

use crate::sorted;
use std::time::Duration;
use worker_tests::process::{Finished, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

const COPY: &str = "[source.in]\nfile = \"in*\"\n[sink.out]\nstdout = true\n";
const THROUGH_CAT: &str =
    "[source.in]\nfile = \"in*\"\n[stage.cat]\nrun = \"cat\"\npartitions = 1\n[sink.out]\nstdout = true\n";

#[test]
fn packed_files_are_known_by_their_first_bytes_and_read_by_name() {
    let scratch = Scratch::new();
    scratch.shell(
        "seq 1 1000 > in1; seq 1001 2000 | gzip > in2; seq 2001 3000 | zstd -q > in3.txt; seq 3001 4000 > in4.gz",
    );
    assert_eq!(scratch.run(COPY).expect(0).stdout, scratch.shell("seq 1 4000"));
}

#[test]
fn records_may_end_with_zero_bytes() {
    let scratch = Scratch::new();
    scratch.write("in", b"one\nline\0two\0three\nlines\0");
    let finished = scratch.run(
        "[source.in]\nfile = 'in'\nframing = 'nul'\n[stage.e]\nrun = ['grep', '-z', 'e']\nok_exit = [0, 1]\n\
         framing = 'nul'\npartitions = 1\n[sink.out]\nstdout = true\n",
    );
    assert_eq!(finished.expect(0).stdout, b"one\nline\0three\nlines\0");
}

#[test]
fn odd_bytes_arrive_as_they_are() {
    let binary: Vec<u8> = (0..=255u8).filter(|&b| b != b'\n').chain([b'\n']).cycle().take(256 * 40).collect();
    let cases: [(&str, &[u8], &[u8]); 5] = [
        ("carriage returns", b"a\r\nb\r\n", b"a\r\nb\r\n"),
        ("no last newline", b"a\nb", b"a\nb\n"),
        ("no record", b"", b""),
        ("empty records", b"\n\n\n", b"\n\n\n"),
        ("every byte", &binary, &binary),
    ];
    for (what, input, expected) in cases {
        for pipeline in [COPY, THROUGH_CAT] {
            let scratch = Scratch::new();
            scratch.write("in", input);
            assert_eq!(scratch.run(pipeline).expect(0).stdout, expected, "{what}: {pipeline}");
        }
    }
}

#[test]
fn empty_input_still_gives_an_end_to_whole_input_programs() {
    let scratch = Scratch::new();
    scratch.write("in", "");
    let finished = scratch.run(
        "[source.in]\nfile = 'in'\n[stage.n]\nmode = 'stream'\nrun = ['wc', '-l']\n[sink.out]\nstdout = true\n",
    );
    assert_eq!(finished.expect(0).stdout, b"0\n");
}

#[test]
fn a_record_over_the_limit_is_an_error_that_says_where() {
    let scratch = Scratch::new();
    scratch.write("in", [&b"short\n"[..], &[b'x'; 3000], b"\n"].concat());
    let limited = format!("[pipeline]\nmax_record = '2KiB'\n{COPY}");
    scratch.run(&limited).expect(1).says(&["in", "max_record"]);

    scratch.write("in", "short\n");
    let program = "[pipeline]\nmax_record = '2KiB'\n[source.in]\nfile = 'in'\n[stage.wide]\nmode = 'stream'\n\
                   run = ['awk', '{printf \"%03000d\", 1}']\n[sink.out]\nstdout = true\n";
    scratch.run(program).expect(1).says(&["wide", "max_record"]);
}

#[test]
fn a_record_without_the_key_is_a_dead_letter() {
    let scratch = Scratch::new();
    scratch.write("in", "a 1\nb\nc 2\n\n");
    let finished = scratch.run(
        "[pipeline]\nname = 'keys'\n[source.in]\nfile = 'in'\n[stage.n]\nmode = 'stream'\npartitions = 2\n\
         partition_by = { field = 2 }\nrun = ['cat']\n[sink.out]\nstdout = true\n",
    );
    let finished = finished.expect(3).says(&["2 dead letters", "keys.dead-letters.jsonl"]);
    assert_eq!(sorted(&finished.stdout), ["a 1", "c 2"]);
    let letters = scratch.text("keys.dead-letters.jsonl");
    assert_eq!(letters.lines().count(), 2, "{letters}");
}

/// Small budgets, so that what is behind a program that waits stops the source soon.
const GATED: &str = "[pipeline]\nname = 'gated'\nmax_record = '4KiB'\ncredit = '16KiB'\noutbox = '16KiB'\nspill_limit = '16KiB'\n\
                     [source.in]\nfile = 'in*.txt'\n\
                     [stage.gate]\nmode = 'stream'\nrun = ['sh', '-c', 'while [ ! -e go ]; do sleep 0.02; done; cat']\n\
                     [sink.out]\nfile = 'out.txt'\n";

/// What a run says of input or output that somebody else does this to, while a program waits.
fn disturbed(by: impl Fn(&Scratch)) -> (Scratch, Finished) {
    let scratch = Scratch::new();
    scratch.shell("seq 1 300000 > in1.txt; seq 1 10 > in2.txt");
    let mut running = scratch.start(GATED, &["--progress", "none"]);
    eventually("its program waits", PATIENCE, || {
        assert!(!running.has_ended(), "{}", running.stderr());
        let waits =
            !worker_tests::process::descendants(running.pid()).is_empty() && scratch.path("out.txt").exists();
        if waits { Ok(()) } else { Err(running.stderr()) }
    });
    by(&scratch);
    scratch.write("go", "");
    let finished = running.wait(PATIENCE);
    (scratch, finished)
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_no_end() {
    let whole = Scratch::new();
    whole.shell("seq 1 300000 > in1.txt");
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("truncate -s 100 in1.txt")));
    let expected = worker_core::words::number(whole.len("in1.txt"));
    finished
        .expect(1)
        .says(&[&format!("in1.txt ends after 100 bytes, but had {expected} when this run began"), "cut"]);
}

#[test]
fn a_file_that_is_less_or_gone_or_another_when_its_turn_comes_is_no_input() {
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("truncate -s 5 in2.txt")));
    finished.expect(1).says(&["in2.txt ends after 5 bytes, but had 21"]);
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("rm in2.txt")));
    finished.expect(1).says(&["cannot open", "in2.txt"]);
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("mv in2.txt old; seq 1 20 > in2.txt")));
    finished.expect(1).says(&["in2.txt is not the file that was there when this run began"]);
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("mv in2.txt old; mkfifo in2.txt")));
    finished.expect(1).says(&["in2.txt is not the file that was there when this run began"]);
}

#[test]
fn a_pipe_among_files_is_refused_where_every_record_is_to_count_once() {
    let scratch = Scratch::new();
    scratch.shell("seq 9 > in1; mkfifo in2; seq 9 > in3");
    let pipeline = "[source.s]\nfile = 'in*'\n[sink.o]\nfile = 'out.txt'\n";
    let refused = scratch.start(pipeline, &["-q", "--state", "state"]).wait(PATIENCE).expect(2);
    refused.says(&["in2 is not a regular file", "a source of its own"]);
}

#[test]
fn a_file_that_has_grown_is_read_to_where_it_ends_now() {
    let (scratch, finished) = disturbed(|scratch| drop(scratch.shell("seq 11 12 >> in2.txt")));
    finished.expect(0);
    assert_eq!(scratch.shell("tail -n 2 out.txt"), b"11\n12\n");
}

#[test]
fn output_that_somebody_empties_while_it_is_written_is_not_done() {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        let program = "seq 1 100; until [ -e go ]; do sleep 0.02; done; seq 101 200";
        let pipeline =
            format!("[source.in]\nrun = ['sh', '-c', '{program}']\n[sink.out]\nfile = 'out.txt'\n");
        let mut running = scratch.start(&pipeline, &[&["--progress", "none"], state].concat());
        eventually("the first are written", PATIENCE, || {
            assert!(!running.has_ended(), "{}", running.stderr());
            if scratch.len("out.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
        });
        scratch.shell(": > out.txt; touch go");
        running.wait(PATIENCE).expect(1).says(&["out.txt has", "cut"]);
    }
}

#[test]
fn output_that_somebody_takes_away_is_not_done() {
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("rm out.txt")));
    finished.expect(1).says(&["out.txt was removed while this run wrote it"]);
    let (scratch, finished) = disturbed(|scratch| drop(scratch.shell("mv out.txt kept.txt")));
    finished.expect(0).says(&["out.txt was moved while it was written"]);
    assert_eq!(scratch.shell("wc -l < kept.txt"), b"300010\n");
    let (_, finished) = disturbed(|scratch| drop(scratch.shell("mv out.txt kept.txt; cp kept.txt out.txt")));
    finished.expect(1).says(&["another file was put in the place of"]);
}

/// Below /proc files say that they have no bytes, below /sys that they have a page.
#[test]
fn files_that_do_not_have_the_length_they_say_are_read_to_their_ends_or_refused() {
    const FILES: [&str; 2] = ["/proc/version", "/sys/devices/system/cpu/possible"];
    let scratch = Scratch::new();
    scratch.worker(&["run", "-q", "-i", FILES[0], "-i", FILES[1], "-o", "out.txt"]).run().expect(0);
    scratch.shell(&format!("cat {} {} | cmp - out.txt", FILES[0], FILES[1]));
    for file in FILES {
        let scratch = Scratch::new();
        let pipeline = format!("[source.in]\nfile = '{file}'\n[sink.out]\nfile = 'out.txt'\n");
        let refused = scratch.start(&pipeline, &["-q", "--state", "state"]).wait(PATIENCE).expect(2);
        refused.says(&[file, &format!("cat {file} | worker run")]);
    }
}
