//! What good files mean.

use super::{read, read_with};
use crate::child::Gives;
use crate::io::{sink, source};
use crate::pipeline::{
    BatchMode, Column, EarlyExit, EnvValue, Exists, Failures, Framing, Header, Input, KeyRule, Mode, Origin,
    RecordsMode, RecordsState, Restart, StreamMode,
};
use std::path::PathBuf;
use std::time::Duration;
use worker_core::config::{MaxDead, OnError, Retry, Window};

pub(super) const EVERYTHING: &str = r#"
[pipeline]
name = "access-log"
delivery = "memory"
max_record = "64KiB"
credit = "1MiB"
outbox = 4096
spill_limit = "1GiB"
spill_dir = "spill"
[vars]
since = "50[0-9]"
[source.log]
file = "logs/*.log"
header = "skip"
framing = "nul"
place = "a"
[source.journal]
run = ["journalctl"]
framing = "nul"
[stage.errors]
from = ["log", "journal"]
run = ["grep", " {{since}} "]
mode = "batch"
ok_exit = [1, 0]
partitions = 4
batch = { max_bytes = "1MiB", max_records = 100, linger = "5ms" }
retry = { max_attempts = 2, initial = "1s", max = "2s" }
on_error = "halt"
max_dead = 7
timeout = "1m"
cwd = "work"
env = { LANG = "C", TOKEN = { env = "TOKEN" }, PW = { file = "pw" } }
clear_env = true
framing = "lines"
place = ["a", "b"]
[stage.per_path]
from = "errors"
partition_by = { field = 7 }
mode = "stream"
window = { every = "1m" }
early_exit = "done"
replay_limit = "1GiB"
run = "awk '{c[$7]++} END{for(p in c) print c[p], p}'"
[stage.totals]
from = "errors"
partition_by = "record"
mode = "records"
in_flight = 16
tick = "10s"
state = "inline"
state_budget = "1MiB"
retry = { max_attempts = 3 }
on_error = "halt"
max_dead = "2%"
run = ["python3", "totals.py"]
[sink.out]
from = "per_path"
file = "out/"
exists = "replace"
partition_by = { csv = "state" }
order = "any"
[sink.sums]
from = "totals"
partition_by = "key"
file = "sums.txt"
exists = "append"
[[test]]
name = "of one"
stage = "errors"
input = "a\n"
output_file = "tests/out.txt"
dead_letters = 2
[[test]]
input = { log = "{{since}}", journal = "" }
output = { out = "" }
"#;

#[test]
fn every_key_of_a_stage_is_understood() {
    let pipeline = read(EVERYTHING).unwrap();
    let errors = &pipeline.stages[0];
    assert_eq!(errors.from, [Origin::Source(0), Origin::Source(1)]);
    assert_eq!(errors.program.argv, ["grep", " 50[0-9] "]);
    assert_eq!(errors.program.cwd, PathBuf::from("/base/work"));
    assert_eq!(errors.program.env["LANG"], EnvValue::Text("C".to_owned()));
    assert_eq!(errors.program.env["TOKEN"], EnvValue::Env("TOKEN".to_owned()));
    assert_eq!(errors.program.env["PW"], EnvValue::File("/base/pw".into()));
    assert!(errors.program.clear_env);
    assert_eq!(errors.ok_exit, [0, 1]);
    assert_eq!(errors.partitions, Some(4));
    assert_eq!(errors.timeout, Some(Duration::from_secs(60)));
    let retry = Retry { max_attempts: 2, initial: Duration::from_secs(1), max: Duration::from_secs(2) };
    let batch = BatchMode {
        max_bytes: 1 << 20,
        max_records: Some(100),
        linger: Duration::from_millis(5),
        input: Input::Stdin,
        output_header: false,
        output: Gives::Stdout,
        failures: Failures { retry, on_error: OnError::Halt, max_dead: MaxDead::Records(7) },
    };
    assert_eq!(errors.mode, Mode::Batch(batch));
    let per_path = &pipeline.stages[1];
    assert_eq!(per_path.program.argv, ["awk", "{c[$7]++} END{for(p in c) print c[p], p}"]);
    assert_eq!(per_path.partition_by, Some(KeyRule::Field { index: 7, delimiter: None }));
    let window = Some(Window::Every(Duration::from_secs(60)));
    assert_eq!(
        per_path.mode,
        Mode::Stream(StreamMode {
            window,
            early_exit: EarlyExit::Done,
            replay_limit_bytes: 1 << 30,
            restart: Restart::Never
        })
    );
    assert_eq!(per_path.timeout, None, "off by default in stream mode");
    let records = RecordsMode {
        in_flight: 16,
        state: RecordsState::Inline,
        state_budget_bytes: 1 << 20,
        tick: Some(Duration::from_secs(10)),
        failures: Failures {
            retry: Retry {
                max_attempts: 3,
                initial: Duration::from_millis(100),
                max: Duration::from_secs(30),
            },
            on_error: OnError::Halt,
            max_dead: MaxDead::Share(0.02),
        },
    };
    assert_eq!(pipeline.stages[2].mode, Mode::Records(records));
    assert_eq!(pipeline.sinks[1].partition_by, Some(KeyRule::Answer));
    let again: sink::file::Files = pipeline.sinks[1].target.of().unwrap();
    assert_eq!((again.exists, again.is_directory), (Exists::Append, false));
}

#[test]
fn every_key_of_ends_and_budgets_is_understood() {
    let pipeline = read(EVERYTHING).unwrap();
    assert_eq!(pipeline.name, "access-log");
    let budgets = &pipeline.budgets;
    assert_eq!(
        (budgets.max_record_bytes, budgets.credit_bytes, budgets.outbox_bytes),
        (65_536, 1 << 20, 4096)
    );
    assert_eq!(budgets.spill_dir(), PathBuf::from("/base/spill"));
    let log = &pipeline.sources[0];
    assert_eq!(log.input.of::<source::file::Files>().unwrap().patterns, ["logs/*.log"]);
    assert_eq!((log.header, &log.framing), (Header::Skip, &Framing::Nul));
    assert_eq!(log.place[0].node, "a");
    assert_eq!(pipeline.sources[1].input.program().unwrap().argv, ["journalctl"]);
    let out = &pipeline.sinks[0];
    let files: sink::file::Files = out.target.of().unwrap();
    assert_eq!(
        (files.path, files.is_directory, files.exists),
        (PathBuf::from("/base/out"), true, Exists::Replace)
    );
    assert_eq!(out.partition_by, Some(KeyRule::Csv(Column::Name("state".to_owned()))));
}

#[test]
fn framing_goes_down_the_graph_until_a_stage_says_otherwise() {
    let pipeline = read(EVERYTHING).unwrap();
    let [errors, per_path, _] = pipeline.stages.as_slice() else { panic!("three stages") };
    assert_eq!((&errors.framing_in, &errors.framing_out), (&Framing::Nul, &Framing::Lines));
    assert_eq!((&per_path.framing_in, &per_path.framing_out), (&Framing::Lines, &Framing::Lines));
    assert_eq!(pipeline.sinks[0].framing, Framing::Lines);
}

#[test]
fn a_straight_line_needs_no_from_and_defaults_are_resolved() {
    let text = "[source.s]\nstdin = true\n[stage.a]\nrun = ['cat']\n[stage.b]\nrun = ['cat']\n[sink.o]\nstdout = true\n";
    let pipeline = read(text).unwrap();
    assert_eq!(pipeline.name, "test");
    assert_eq!(pipeline.stages[0].from, [Origin::Source(0)]);
    assert_eq!(pipeline.stages[1].from, [Origin::Stage(0)]);
    assert_eq!(pipeline.sinks[0].from, [Origin::Stage(1)]);
    assert_eq!(pipeline.stages[0].timeout, Some(Duration::from_secs(30)));
    assert_eq!(pipeline.stages[0].program.cwd, PathBuf::from("/base"));
    assert_eq!(pipeline.budgets.max_record_bytes, 1 << 20);
    assert_eq!(pipeline.budgets.credit_bytes, 1280 << 10);
    let Mode::Batch(batch) = &pipeline.stages[0].mode else { panic!("batch is the default") };
    assert_eq!((batch.max_bytes, batch.max_records, batch.failures.retry.max_attempts), (8 << 20, None, 5));
    assert_eq!(batch.failures.max_dead, MaxDead::Share(0.01));
}

/// What an error tells a user to say, of whose records none may get through.
#[test]
fn all_records_of_a_stage_may_fail_where_that_is_said() {
    let text = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\nmax_dead='100%'\n[sink.o]\nstdout=true\n";
    let pipeline = read(text).unwrap();
    let Mode::Batch(batch) = &pipeline.stages[0].mode else { panic!("batch is the default") };
    assert_eq!(batch.failures.max_dead, MaxDead::Unlimited);
}

#[test]
fn stages_may_stand_in_any_order_and_come_upstream_first() {
    let text = "[sink.o]\nfrom='b'\nstdout=true\n[stage.b]\nfrom='a'\nrun=['b']\n[stage.a]\nfrom='s'\nrun=['a']\n\
                [source.s]\nfile='x'\n";
    let pipeline = read(text).unwrap();
    let names: Vec<&str> = pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(pipeline.stages[1].from, [Origin::Stage(0)]);
    assert_eq!(pipeline.sinks[0].from, [Origin::Stage(1)]);
}

#[test]
fn variables_come_from_the_file_and_the_command_line_goes_first() {
    let text = "[vars]\nn = 3\nword = 'a b'\n[source.s]\nfile='x'\n[stage.a]\nrun=\"grep {{word}}\"\npartitions='{{n}}'\n\
                [sink.o]\nstdout=true\n";
    let pipeline = read(text).unwrap();
    assert_eq!(pipeline.stages[0].program.argv, ["grep", "a b"], "a value stays one word");
    assert_eq!(pipeline.stages[0].partitions, Some(3));
    let pipeline = read_with(text, &[("word", "; rm"), ("n", "5")]).unwrap();
    assert_eq!(pipeline.stages[0].program.argv, ["grep", "; rm"]);
    assert_eq!(pipeline.stages[0].partitions, Some(5));
}

#[test]
fn shells_may_have_their_own_variables_in_a_list_of_words() {
    let text =
        "[source.s]\nfile='x'\n[stage.a]\nrun=['sh', '-c', 'echo ${HOME} | cat']\n[sink.o]\nstdout=true\n";
    assert_eq!(read(text).unwrap().stages[0].program.argv[2], "echo ${HOME} | cat");
}
