//! Sources, each with a file as the sink.

use crate::cell::{Delivery, RECORDS, Trial, WORDS};
use crate::fifo;
use crate::row;
use std::fs::File;
use worker_tests::process::Scratch;

pub(crate) const NAMES: &[&str] = &[
    "source file",
    "source list",
    "source generate",
    "source standard input, a file",
    "source named pipe",
    "source program",
];

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
fn lists() {
    row("source list", |_: Delivery| {
        let trial = trial("list = 'in/*'");
        let words = WORDS.replace(' ', "-");
        trial.scratch.shell(&format!("mkdir in; cd in; seq -f '%05g-{words}' 1 {RECORDS} | xargs touch"));
        Trial { got: |scratch| scratch.shell("cat disk/out.txt | sed 's|^in/0*||; s/-/ /'"), ..trial }
    });
}

#[test]
fn generated() {
    row("source generate", |_| Trial {
        // Its numbers are the second word.
        got: |scratch| scratch.shell("head -n $(wc -l < disk/out.txt) disk/out.txt | awk '{print $2, $3}'"),
        ..trial(&format!("generate = {{ records = {RECORDS}, bytes = 60, keys = 7, seed = 3 }}"))
    });
}

#[test]
fn a_file_as_standard_input() {
    row("source standard input, a file", |_| Trial {
        prepare: |scratch, start| start.stdin(File::open(scratch.path("in.txt")).expect("the input")),
        ..trial("stdin = true")
    });
}

#[test]
fn named_pipes() {
    row("source named pipe", |_| Trial {
        prepare: |scratch, start| {
            fifo::write(scratch);
            start
        },
        ..trial("file = 'fifo'")
    });
}

#[test]
fn programs() {
    row("source program", |_| Trial {
        program: Some("cat in.txt"),
        ..trial("run = ['sh', '-c', 'cat in.txt; sleep 1']")
    });
}
