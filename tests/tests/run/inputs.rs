//! Input as it comes: packed, framed otherwise, broken or odd.

use crate::sorted;
use worker_tests::process::Scratch;

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
