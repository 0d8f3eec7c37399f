//! Sources and sinks that somebody has changed since: refused with what is wrong, until they are put back.

use crate::{SLOW, assert_copied, half, prepare, run};
use worker_tests::process::Scratch;

/// What is wrong, how it is made so, and what is said; `kept` is the good file.
fn refused(file: &str, cases: &[(&str, &str, &[&str])]) {
    for (what, spoil, says) in cases {
        let scratch = Scratch::new();
        prepare(&scratch, SLOW);
        half(&scratch);
        // In its place, so that putting it back gives the same file.
        scratch.shell(&format!("cp -p in.txt in.good; ln {file} kept; cp {file} good; {spoil}"));
        let ended = run(&scratch);
        assert_eq!(ended.status.code(), Some(2), "{what}: {}", ended.stderr);
        for text in *says {
            assert!(ended.stderr.contains(text), "{what}: {text:?} is missing in: {}", ended.stderr);
        }
        scratch.shell(&format!("cat good > kept; ln -f kept {file}; cat in.good > in.txt"));
        run(&scratch).expect(0);
        assert_copied(&scratch);
    }
}

#[test]
fn a_source_file_that_is_not_what_it_was() {
    refused(
        "in.txt",
        &[
            ("shortened", "truncate -s 500000 in.txt", &["in.txt", "500 000 bytes", "--fresh"]),
            ("emptied", "truncate -s 0 in.txt", &["in.txt", "--fresh"]),
            ("deleted", "rm in.txt", &["in.txt", "gone", "put it back"]),
            ("replaced", "rm in.txt; tac kept > in.txt", &["in.txt", "not the file", "--fresh"]),
            (
                "changed at its beginning",
                "printf X | dd of=in.txt conv=notrunc status=none",
                &["in.txt", "--fresh"],
            ),
        ],
    );
}

#[test]
fn a_sink_file_that_is_not_what_it_was() {
    refused(
        "out.txt",
        &[
            ("shortened", "truncate -s 20000 out.txt", &["out.txt", "20 000", "--fresh"]),
            ("deleted", "rm out.txt", &["out.txt", "--fresh"]),
            ("replaced by a copy", "cp out.txt o; mv o out.txt", &["out.txt", "not the file", "--fresh"]),
            // All of it: what lies behind the committed length counts for nothing, and nobody knows how much that is.
            ("changed", "tr a X < kept > other; cat other > out.txt", &["out.txt", "--fresh"]),
        ],
    );
}
