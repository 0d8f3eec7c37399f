//! Sinks, each with a file as the source.

use crate::cell::Trial;
use crate::fifo;
use crate::row;
use crate::sources::trial;
use std::fs::OpenOptions;

pub(crate) const NAMES: &[&str] = &["sink file", "sink standard output", "sink named pipe"];

#[test]
fn files() {
    row("sink file", |_| trial("file = 'in.txt'"));
}

#[test]
fn standard_output() {
    row("sink standard output", |_| Trial {
        sink: "stdout = true".to_owned(),
        prepare: |scratch, start| {
            let out = OpenOptions::new().create(true).append(true).open(scratch.path("out.txt"));
            start.stdout(out.expect("a file"))
        },
        got: |scratch| scratch.read("out.txt"),
        ..trial("file = 'in.txt'")
    });
}

#[test]
fn named_pipes() {
    row("sink named pipe", |_| Trial {
        sink: "file = 'fifo'".to_owned(),
        prepare: |scratch, start| {
            fifo::read(scratch);
            start
        },
        got: fifo::got,
        ..trial("file = 'in.txt'")
    });
}
