//! Sources, each with a file as the sink.

use crate::cell::{Delivery, RECORDS, Trial, WORDS};
use crate::row;
use worker_tests::process::Scratch;

pub(crate) const NAMES: &[&str] = &["source file", "source generate"];

pub(crate) fn trial(source: &str) -> Trial {
    let scratch = Scratch::new();
    scratch.shell(&format!("seq 1 {RECORDS} | sed 's/$/ {WORDS}/' > in.txt"));
    Trial {
        scratch,
        source: source.to_owned(),
        sink: "file = 'disk/out.txt'".to_owned(),
        prepare: |_, start| start,
        got: |scratch| scratch.read("disk/out.txt"),
        program: None,
    }
}

#[test]
fn files() {
    row("source file", |_: Delivery| trial("file = 'in.txt'"));
}

#[test]
fn generated() {
    row("source generate", |_| Trial {
        // Its numbers are the second word.
        got: |scratch| scratch.shell("head -n $(wc -l < disk/out.txt) disk/out.txt | awk '{print $2, $3}'"),
        ..trial(&format!("generate = {{ records = {RECORDS}, bytes = 60, keys = 7, seed = 3 }}"))
    });
}
