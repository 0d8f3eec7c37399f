//! Sinks, each with a file as the source.

use crate::cell::Trial;
use crate::fifo;
use crate::row;
use crate::sources::trial;
use std::fs::OpenOptions;

pub(crate) const NAMES: &[&str] = &[
    "sink file",
    "sink standard output",
    "sink named pipe",
    "sink program, batch",
    "sink program, stream",
    "sink program, records",
];

fn collected(sink: &str, program: &'static str) -> Trial {
    let trial = trial("file = 'in.txt'");
    Trial {
        sink: sink.to_owned(),
        program: Some(program),
        got: |scratch| scratch.read("disk/got.txt"),
        ..trial
    }
}

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

/// Makes what it has been given durable before it ends.
const KEEP: &str = "exec dd of=disk/got.txt oflag=append conv=notrunc,fsync status=none";

#[test]
fn programs_that_take_batches() {
    let lives_long_enough_to_be_killed = format!("sleep 0.03; {KEEP}");
    let sink = format!(
        "mode = 'batch'\nrun = ['sh', '-c', '{lives_long_enough_to_be_killed}']\nbatch = {{ max_records = 300 }}"
    );
    row("sink program, batch", |_| collected(&sink, "dd of="));
}

#[test]
fn programs_that_take_all() {
    let sink = format!("run = ['sh', '-c', '{KEEP}']");
    row("sink program, stream", |_| collected(&sink, "dd of="));
}

/// Keeps each record before it answers.
const ANSWER: &str = "import json, os, sys
kept = open('disk/got.txt', 'a')
for line in sys.stdin:
    asked = json.loads(line)
    if 'record' in asked:
        kept.write(asked['record'] + chr(10))
    if 'id' in asked:
        kept.flush()
        if asked['id'] % 100 == 0: os.fsync(kept.fileno())
        print(json.dumps({'id': asked['id']}), flush=True)
";

#[test]
fn programs_that_answer_records() {
    let sink = "mode = 'records'\nrun = ['python3', 'answer.py']";
    row("sink program, records", |_| {
        let trial = collected(sink, "answer.py");
        trial.scratch.write("answer.py", ANSWER);
        trial
    });
}
