//! What is printed reads back to an equal pipeline.

use super::read;
use super::words;
use crate::pipeline::{Detail, Pipeline, SourceText, inline, parse, to_toml};
use proptest::prelude::*;
use std::path::Path;

fn again(pipeline: &Pipeline, detail: Detail) -> Pipeline {
    let text = to_toml(pipeline, detail);
    parse(&SourceText::new("again.toml", &text), Path::new("/base"), &[])
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Some of these lines, in their order.
fn some_of(lines: &'static [&'static [&'static str]]) -> impl Strategy<Value = String> {
    let choices: Vec<_> = lines
        .iter()
        .map(|same_key| prop_oneof![Just(""), proptest::sample::select(same_key.to_vec())])
        .collect();
    choices.prop_map(|lines| {
        lines.into_iter().filter(|line| !line.is_empty()).fold(String::new(), |all, l| all + l + "\n")
    })
}

const PIPELINE: &[&[&str]] = &[
    &["name = 'x.y'"],
    &["max_record = 1000", "max_record = '64KiB'"],
    &["credit = '3MiB'"],
    &["outbox = 5"],
    &["spill_limit = '1TB'"],
    &["spill_dir = 'a/../b'", "spill_dir = '/abs'"],
    &["delivery = 'memory'", "delivery = 'exactly-once'"],
];
const SOURCE: &[&[&str]] = &[
    &["header = 'skip'", "header = 'keep'"],
    &[
        "framing = 'nul'",
        "framing = 'csv'",
        "framing = { start = '^> \\d' }",
        "framing = { end = \"^'$\" }",
        "framing = { lines = 4 }",
        "framing = { length = 80 }",
        "framing = { prefix = 'u32be' }",
        "framing = { json = true }",
    ],
    &["place = ['a', 'b']", "place = 'a'"],
];
const PROGRAM: &[&[&str]] = &[
    &["cwd = '.'", "cwd = 'w'", "cwd = '..'"],
    &["env = { A = '1', \"b-c\" = { env = 'X' }, D = { file = 'f' } }"],
    &["clear_env = true", "clear_env = false"],
    &["limits = { memory = '64MiB', cpu = '90s', open_files = 64, processes = 5, file_size = '1MiB' }"],
    &["user = 'nobody'"],
    &["sandbox = { read = ['.', '/srv'], write = ['w'], net = false }", "sandbox = { net = true }"],
];
const KEY: &[&[&str]] = &[&[
    "partition_by = { field = 7 }",
    "partition_by = { field = 1, delimiter = \"\\t\" }",
    "partition_by = { csv = 'state' }",
    "partition_by = { csv = 3 }",
    "partition_by = { json = '/a/b' }",
    "partition_by = 'record'",
]];
const BATCH: &[&[&str]] = &[
    &["ok_exit = [1, 0]"],
    &["partitions = 4"],
    &["batch = { max_bytes = '8KB', max_records = 10 }", "batch = { linger = '1s' }"],
    &["retry = { max_attempts = 2, max = '1h' }"],
    &["on_error = 'halt'"],
    &["max_dead = 7", "max_dead = '0.5%'"],
    &["timeout = 'off'", "timeout = '90s'"],
    &["framing = 'lines'", "framing = 'nul'"],
];
const STREAM: &[&[&str]] = &[
    &["window = { every = '90s' }", "window = { records = 10 }"],
    &["early_exit = 'done'"],
    &["timeout = '1m'"],
    &["replay_limit = '3GiB'"],
];
const RECORDS: &[&[&str]] = &[
    &["in_flight = 1", "in_flight = 65536"],
    &["tick = '10s'"],
    &["state = 'inline'", "state = 'hello'"],
    &["state_budget = '1KiB'"],
    &["retry = { initial = '1s' }"],
    &["on_error = 'halt'"],
    &["max_dead = 0"],
    &["timeout = 'off'"],
];
const SINK: &[&[&str]] = &[&["place = 'b'"], &["order = 'any'"]];

fn any_file() -> impl Strategy<Value = String> {
    let source = prop_oneof![
        Just("file = 'a*.txt'\n".to_owned()),
        Just("stdin = true\n".to_owned()),
        some_of(PROGRAM).prop_map(|rest| format!("run = ['cat', \"it's \\\"x\\\"\"]\n{rest}")),
    ];
    let sink = prop_oneof![
        Just("file = 'out/'\npartitions = 3\n".to_owned()),
        Just("file = '../x/o.txt'\nexists = 'replace'\n".to_owned()),
        Just("stdout = true\n".to_owned()),
        some_of(PROGRAM).prop_map(|rest| format!("run = 'psql x'\npartitions = 2\n{rest}")),
    ];
    let fan = prop_oneof![
        Just(("from = 's'\n", "from = 'b'\n")),
        Just(("from = ['s', 'b']\n", "from = ['c', 's']\n"))
    ];
    ((some_of(PIPELINE), source, some_of(SOURCE)), (some_of(PROGRAM), some_of(KEY), some_of(BATCH)), (some_of(STREAM), some_of(KEY)), (sink, some_of(KEY), some_of(SINK)), fan, some_of(RECORDS))
        .prop_map(|((pipeline, source, more_source), (program, key, batch), (stream, stream_key), (sink, sink_key, more_sink), (from_c, from_o), records)| {
            format!(
                "[pipeline]\n{pipeline}[source.s]\n{source}{more_source}[stage.b]\nfrom = 's'\nrun = ['a b', '']\n\
                 {program}{key}{batch}[stage.'c.d']\nrun = 'awk \"{{print}}\"'\nmode = 'stream'\n{from_c}{stream}{stream_key}\
                 [stage.c]\nrun = ['z']\nfrom = 'c.d'\n[stage.r]\nrun = ['r']\nfrom = 'b'\nmode = 'records'\npartition_by = 'record'\n{records}\
                 [sink.p]\nfrom = 'r'\nrun = ['p']\npartition_by = 'key'\n[sink.o]\n{sink}{sink_key}{more_sink}{from_o}"
            )
        })
        .prop_filter("everything is read", |text| text.contains("'c', 's'"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_printed_reads_back_to_an_equal_pipeline(text in any_file()) {
        // Framings that differ are refused; what is refused is not printed.
        if let Ok(pipeline) = read(&text) {
            prop_assert_eq!(&again(&pipeline, Detail::Short), &pipeline);
            let full = again(&pipeline, Detail::Full);
            prop_assert_eq!((full.delivery, &full.state_dir), (pipeline.delivery, &pipeline.state_dir));
            prop_assert_eq!(full.stages, pipeline.stages);
            prop_assert_eq!(full.sources, pipeline.sources);
            prop_assert_eq!(full.sinks, pipeline.sinks);
        }
    }
}

#[test]
fn most_random_files_are_good() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let texts = (0..100).map(|_| any_file().new_tree(&mut runner).unwrap().current());
    assert!(texts.filter(|text| read(text).is_ok()).count() >= 20);
}

#[test]
fn a_command_line_becomes_a_file() {
    let words = words(
        "-i 'logs/*.log' -s \"grep ' 50[0-9] '\" --ok-exit 0,1 -S /usr/bin/sort -S 'sort -u' -o out.txt",
    );
    let pipeline = inline(&words, Path::new("/base"), &[]).unwrap();
    insta::assert_snapshot!(to_toml(&pipeline, Detail::Short));
    assert_eq!(again(&pipeline, Detail::Short), pipeline);
}

#[test]
fn a_command_line_without_ends_uses_the_standard_streams_and_may_have_several_inputs() {
    let pipeline = inline(&[], Path::new("/base"), &[]).unwrap();
    assert_eq!(
        to_toml(&pipeline, Detail::Short),
        "[pipeline]\nname = \"inline\"\n\n[source.in]\nstdin = true\n\n[sink.out]\nstdout = true\n"
    );
    let two = inline(&words("-i 'b*' -i a"), Path::new("/base"), &[]).unwrap();
    assert!(to_toml(&two, Detail::Short).contains("\nfile = [\"b*\", \"a\"]\n"));
    assert_eq!(again(&two, Detail::Short), two);
}

#[test]
fn a_wrong_command_on_the_command_line_is_shown_in_the_file_that_says_the_same() {
    let error = inline(&words("-s 'grep x | sort'"), Path::new("/base"), &[]).unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn every_default_can_be_printed() {
    let text = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\n[stage.b]\nmode='stream'\nrun=['b']\n\
                [stage.c]\nmode='records'\npartition_by='record'\nrun=['c']\n[sink.o]\nfile='y'\n";
    let mut pipeline = read(text).unwrap();
    pipeline.budgets.spill_dir = Some("/tmp".into());
    insta::assert_snapshot!(to_toml(&pipeline, Detail::Full));
}

#[test]
fn a_cut_keeps_what_leads_to_a_stage_and_prints_what_it_gives() {
    let text = "[source.s]\nfile='x'\n[source.t]\nfile='y'\n[stage.a]\nfrom='s'\nrun=['a']\n[stage.b]\nfrom=['a','t']\nrun=['b']\n\
                [stage.c]\nfrom='a'\nrun=['c']\nframing='nul'\n[sink.o]\nfrom=['b']\nfile='z'\n[sink.p]\nfrom='c'\nfile='p'\n";
    let pipeline = read(text).unwrap();
    let cut = pipeline.cut_behind("c").unwrap();
    let expected = "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\n[stage.c]\nfrom='a'\nrun=['c']\nframing='nul'\n\
                    [sink.stdout]\nfrom='c'\nstdout=true\n";
    assert_eq!(cut, read(expected).unwrap());
    assert_eq!(pipeline.cut_behind("t").unwrap().sources.len(), 1);
    let error = pipeline.cut_behind("cc").unwrap_err().to_string();
    assert!(error.contains("has no stage `cc`") && error.contains("did you mean `c`?"), "{error}");
}
