//! What people are told about wrong files, word for word: every message shows the line, a caret and what to do.

use super::{cluster, laid_out, read, read_with, three_nodes};
use crate::pipeline::{ConfigError, StateOptions, plan};
use proptest::prelude::*;
use std::path::Path;
use worker_core::config::NodeIx;

/// A source before and a sink behind the stage's own text, as one line.
fn stage(body: &str) -> String {
    format!("[source.log]\nfile = \"*.log\"\n\n[stage.errors]\n{body}\n\n[sink.out]\nstdout = true\n")
}

fn shows<T: std::fmt::Debug>(name: &str, result: Result<T, ConfigError>) {
    let error = result.expect_err(name);
    insta::assert_snapshot!(name, error.to_string());
}

#[test]
fn keys_and_types() {
    shows("unknown_key", read(&stage("run = ['grep', 'x']\npartitons = 4")));
    shows("unknown_keys_of_later_versions", read(&stage("run = ['a']\nshared = 'x'\ninflight = 5")));
    shows("unknown_top_level", read(&stage("run = ['a']\n[stages.x]\nrun = ['b']")));
    shows(
        "wrong_types",
        read(&stage("run = 5\npartitions = 'four'\nok_exit = 1\nclear_env = 'yes'\nenv = ['A=1']")),
    );
    shows(
        "several_independent_errors",
        read(&stage("run = ['a']\nmode = 'bach'\ntimeout = 'soon'\non_eror = 'halt'")),
    );
    shows("syntax", read("[source.a\nfile = 'x'\n"));
    shows("duplicate_key", read("[source.a]\nfile = 'x'\nfile = 'y'\n"));
    shows("key_outside_a_named_table", read("[source]\nfile = 'x'\n[sink.out]\nstdout = true\n"));
    shows("bad_name", read("[source.\"a/b\"]\nfile = 'x'\n[sink.out]\nstdout = true\n"));
}

#[test]
fn what_is_followed() {
    let follow = |keys: &str| read(&format!("[source.a]\n{keys}\n[sink.b]\nstdout=true\n"));
    shows("follow_and_repeat", follow("file='x'\nfollow = true\nheader = 'repeat'"));
    shows("idle_without_follow", follow("file='x'\nidle = '1m'\nsince = 'end'"));
    shows("follow_of_stdin", follow("stdin = true\nfollow = true"));
    shows("follow_of_what_is_generated", follow("generate = { records = 1 }\nfollow = true"));
    shows("follow_of_a_program", follow("run = ['journalctl', '-f']\nsince = 'end'"));
    shows("wrong_values_of_follow", follow("file='x'\nfollow = 'yes'\nsince = 'now'\nidle = '0s'"));
}

#[test]
fn framings() {
    let framed = |framing: &str| {
        read(&format!("[source.a]\nfile = 'x'\nframing = {framing}\n[sink.b]\nstdout = true\n"))
    };
    shows("framing_word", framed("'cvs'"));
    shows("framing_as_on_a_command_line", framed("'start=^>'"));
    shows("framing_type", framed("4"));
    shows("framing_unknown_key", framed("{ begin = '^>' }"));
    shows("framing_empty", framed("{ }"));
    shows("framing_two_keys", framed("{ start = '^>', lines = 4 }"));
    shows("framing_bad_regex", framed("{ start = '^(a' }"));
    shows("framing_empty_regex", framed("{ end = '' }"));
    shows("framing_regex_of_all_lines", framed("{ start = 'a*' }"));
    shows("framing_no_lines", framed("{ lines = 0 }"));
    shows("framing_no_length", framed("{ length = 0 }"));
    shows("framing_length_over_max_record", framed("{ length = 2000000 }"));
    shows("framing_unknown_prefix", framed("{ prefix = 'u24be' }"));
    shows("framing_json_false", framed("{ json = false }"));
    shows("framing_cut", framed("{ lines = 4 }\non_long = 'cut'"));
    shows(
        "framing_generated",
        read("[source.a]\ngenerate = { records = 1 }\nframing = { lines = 4 }\n[sink.b]\nstdout = true\n"),
    );
}

#[test]
fn rates_and_drops() {
    let source = |body: &str| read(&format!("[source.a]\nfile='x'\n{body}\n[sink.b]\nstdout=true\n"));
    let mut messages = String::new();
    for rate in ["'5000'", "'0/s'", "'-5/s'", "'abc'", "'5/d'", "'99999999999999999999/s'", "'1.5/s'", "5000"]
    {
        messages += &format!("{}\n\n", source(&format!("rate = {rate}")).expect_err(rate));
    }
    for body in
        ["burst = 5", "rate = '5/s'\nburst = 0", "rate = '5/s'\nburst = '1KiB'", "rate = '5/s'\nburst = 'x'"]
    {
        messages += &format!("{}\n\n", source(body).expect_err(body));
    }
    let twice = "[source.a]\ngenerate = { rate = '5/s' }\nrate = '6/s'\n[sink.b]\nstdout=true\n";
    messages += &format!("{}\n\n", read(twice).expect_err(twice));
    messages += &format!("{}\n\n", read(&stage("run = ['a']\nwhen_full = 'drop'")).expect_err("drop"));
    let drops = read(&stage("run = ['a']\nwhen_full = 'drop-oldest'")).unwrap();
    let kept = StateOptions { dir: Some(Path::new("/state")), ..StateOptions::default() };
    messages += &format!("{}\n\n", drops.with_state(kept).expect_err("with state"));
    let in_order = stage("run = ['a']\npartitions = 2\nwhen_full = 'drop-newest'")
        .replace("stdout = true", "stdout = true\norder = 'input'");
    messages += &format!("{}\n\n", laid_out(&in_order).expect_err("in order"));
    insta::assert_snapshot!(messages);
}

#[test]
fn what_leads_where() {
    let cycle = "[source.s]\nfile = 'x'\n[stage.a]\nfrom = ['s', 'c']\nrun = ['a']\n[stage.b]\nfrom = 'a'\nrun = ['b']\n\
                 [stage.c]\nfrom = 'b'\nrun = ['c']\n[sink.out]\nfrom = 'c'\nstdout = true\n";
    shows("cycle", read(cycle));
    shows(
        "cycle_of_one",
        read(&format!("{}from = 'errors'\n", stage("from = ['log', 'errors']\nrun = ['a']"))),
    );
    shows("unknown_from", read(&stage("from = 'lgo'\nrun = ['a']")));
    shows("from_a_sink", read(&stage("from = 'out'\nrun = ['a']")));
    shows("from_twice", read(&stage("from = ['log', 'log']\nrun = ['a']")));
    shows("from_nothing", read(&stage("from = []\nrun = ['a']")));
    shows("name_used_twice", read("[source.a]\nfile='x'\n[stage.a]\nrun=['a']\n[sink.b]\nstdout=true\n"));
    shows("no_source", read("[stage.a]\nrun=['a']\n[sink.b]\nfrom='a'\nstdout=true\n"));
    shows("no_sink", read("[source.a]\nfile='x'\n"));
    shows("empty_file", read(""));
    let unread = "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\n[stage.b]\nfrom='s'\nrun=['b']\n\
                  [sink.out]\nfrom='a'\nstdout=true\n";
    shows("nothing_reads_from_it", read(unread));
    let out_of_order = "[sink.out]\nstdout=true\n[stage.a]\nrun=['a']\n[source.s]\nfile='x'\n";
    shows("from_left_out", read(out_of_order));
    let framings = "[source.a]\nfile='x'\n[source.b]\nfile='y'\nframing='nul'\n[sink.out]\nfrom=['a','b']\nstdout=true\n";
    shows("framings_differ", read(framings));
}

#[test]
fn commands() {
    shows("pipe", read(&stage("run = \"grep error | sort\"")));
    shows("redirection", read(&stage("run = \"grep error > out.txt\"")));
    shows("input_redirection", read(&stage("run = \"grep error < in.txt\"")));
    shows("and", read(&stage("run = \"make && make test\"")));
    shows("semicolon", read(&stage("run = \"a; b\"")));
    shows("dollar", read(&stage("run = \"awk {print $1}\"")));
    shows("backtick", read(&stage("run = \"echo `date`\"")));
    shows("sign_in_an_escaped_string", read(&stage("run = \"grep \\\"a\\\" | sort\"")));
    shows("open_quote", read(&stage("run = \"grep 'it\"")));
    shows("empty_string", read(&stage("run = \"\"")));
    shows("empty_list", read(&stage("run = []")));
    shows("no_run", read(&stage("partitions = 2")));
    shows("undefined_variable", read(&stage("run = ['grep', '{{sinze}}']\n[vars]\nsince = '5'")));
    shows("shell_variable", read(&stage("run = ['grep', '${since}']\n[vars]\nsince = '5'")));
    shows("shell_variable_in_path", read(&stage("run = ['a']\ncwd = '${HOME}/x'")));
    shows(
        "set_of_no_variable",
        read_with(&stage("run = ['grep', '{{since}}']\n[vars]\nsince = '5'"), &[("sins", "6")]),
    );
    shows("no_program_directory", read("[source.a]\nfile='x'\ncwd='y'\n[sink.b]\nstdout=true\n"));
    shows("env_value", read(&stage("run = ['a']\nenv = { A = { environment = 'X' }, B = 5 }")));
}

#[test]
fn values() {
    shows("zero_partitions", read(&stage("run = ['a']\npartitions = 0")));
    shows("too_many_partitions", read(&stage("run = ['a']\npartitions = 5000")));
    shows("negative", read(&stage("run = ['a']\npartitions = -1")));
    let wide = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\npartitions = 200\n[stage.b]\nrun=['b']\npartitions = 100\n\
                partition_by='record'\n[sink.out]\nstdout=true\n";
    shows("too_many_links", laid_out(wide));
    shows("bad_duration", read(&stage("run = ['a']\ntimeout = '30'\nbatch = { linger = 20 }")));
    shows("bad_size", read(&stage("run = ['a']\nbatch = { max_bytes = '8 megs' }")));
    shows("bad_share", read(&stage("run = ['a']\nmax_dead = '120%'")));
    shows("bad_window", read(&stage("run = ['a']\nmode = 'stream'\nwindow = { every = '1m', records = 5 }")));
    shows("window_in_batch", read(&stage("run = ['a']\nwindow = { every = '1m' }")));
    shows("retry_in_stream", read(&stage("run = ['a']\nmode = 'stream'\nretry = { max_attempts = 3 }")));
    shows("retry_upside_down", read(&stage("run = ['a']\nretry = { initial = '1m', max = '1s' }")));
    shows("bad_exit", read(&stage("run = ['a']\nok_exit = [0, 256]")));
    shows("bad_key_rule", read(&stage("run = ['a']\npartition_by = { feild = 7 }")));
    shows("bad_pointer", read(&stage("run = ['a']\npartition_by = { json = 'user.id' }")));
    shows("field_zero", read(&stage("run = ['a']\npartition_by = { field = 0 }")));
}

#[test]
fn keys_of_other_modes() {
    shows("replay_limit_in_batch", read(&stage("run = ['a']\nreplay_limit = '1GiB'")));
    shows(
        "stream_keys_in_records",
        read(&stage("run = ['a']\nmode = 'records'\nwindow = { every = '1m' }\nearly_exit = 'done'")),
    );
    shows(
        "records_keys_in_stream",
        read(&stage("run = ['a']\nmode = 'stream'\ntick = '1s'\non_error = 'halt'")),
    );
    shows(
        "batch_limits_in_records",
        read(&stage("run = ['a']\nmode = 'records'\nbatch = { max_records = 5 }")),
    );
}

#[test]
fn records() {
    let records = |text: &str| read(&stage(&format!("run = ['a']\nmode = 'records'\n{text}")));
    shows("state_without_key", records("state = 'inline'\nstate_budget = '1GiB'"));
    shows(
        "records_values",
        records("partition_by = 'record'\nin_flight = 0\ntick = '0s'\nstate = 'inlined'\nstate_budget = 0"),
    );
    shows("too_many_in_flight", records("in_flight = 100000"));
    shows("misspelled_in_flight", records("inflight = 5"));
    let header = "[source.log]\nfile = 'x'\nheader = 'repeat'\n[stage.a]\nrun = ['a']\nmode = 'records'\n[sink.out]\nstdout = true\n";
    shows("header_into_records", read(header));
}

#[test]
fn keys_of_answers() {
    shows("answer_key_behind_a_source", read(&stage("run = ['a']\npartition_by = 'key'")));
    let behind = |mode: &str, reader: &str| {
        read(&format!(
            "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\nmode='{mode}'\n[stage.b]\nfrom='a'\nrun=['b']\n{reader}\n\
             [sink.o]\nfrom='b'\nstdout=true\n"
        ))
    };
    shows("answer_key_behind_a_stream", behind("stream", "partition_by = 'key'"));
    shows("answer_key_into_records", behind("records", "mode = 'records'\npartition_by = 'key'"));
    assert!(behind("records", "partition_by = 'key'").is_ok());
    let sink = "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\nmode='records'\n[sink.o]\nfrom=['a','s']\nfile='o/'\n\
                partition_by = 'key'\n";
    shows("answer_key_of_only_some", read(sink));
}

#[test]
fn state() {
    let with = |delivery: &str, options: StateOptions<'_>| {
        read(&format!("[pipeline]\n{delivery}\n{}", stage("run = ['a']")))?.with_state(options)
    };
    let dir = Some(Path::new("/var/state"));
    shows("state_in_memory", with("delivery = 'memory'", StateOptions { dir, ..StateOptions::default() }));
    shows("fresh_without_state", with("", StateOptions { fresh: true, ..StateOptions::default() }));
    shows("delivery_misspelled", with("delivery = 'exactly_once'", StateOptions::default()));
    let file = "[source.s]\nfile='x'\n[sink.o]\nfile='state/out.txt'\n";
    let dir = Some(Path::new("/base/state"));
    shows(
        "sink_in_the_state_directory",
        read(file).unwrap().with_state(StateOptions { dir, ..StateOptions::default() }),
    );
}

#[test]
fn budgets() {
    let with = |text: &str| read(&format!("[pipeline]\n{text}\n{}", stage("run = ['a']")));
    shows("max_record_fits_no_frame", with("max_record = '9MiB'\ncredit = '16MiB'"));
    let credit = |text: &str| with(text).unwrap().budgets.credit_bytes;
    assert_eq!(credit("max_record = '4MiB'"), (4 << 20) + (256 << 10), "it follows where it is not given");
    assert_eq!(credit("max_record = '1KiB'"), 1280 << 10);
    shows("credit_given_below_max_record", with("max_record = '4MiB'\ncredit = '3MiB'"));
}

#[test]
fn ends() {
    shows("source_of_nothing", read("[source.a]\nheader='skip'\n[sink.b]\nstdout=true\n"));
    shows("sink_of_two", read("[source.a]\nfile='x'\n[sink.b]\nstdout=true\nfile='y'\n"));
    shows("stdout_false", read("[source.a]\nfile='x'\n[sink.b]\nstdout=false\n"));
    shows("file_with_partitions", read("[source.a]\nfile='x'\n[sink.b]\nfile='y'\npartitions=2\n"));
    shows("bad_glob", read("[source.a]\nfile='x[a'\n[sink.b]\nstdout=true\n"));
    shows("repeat_of_stdin", read("[source.a]\nstdin=true\nheader='repeat'\n[sink.b]\nstdout=true\n"));
    let two = |a: &str, b: &str| {
        read(&format!("[source.s]\nfile='in'\n[sink.a]\nfrom='s'\n{a}\n[sink.b]\nfrom='s'\n{b}\n"))
    };
    shows("two_sinks_on_one_path", two("file='out/x.txt'", "file='./out/../out/x.txt'"));
    shows("sink_in_a_directory_sink", two("file='out/'", "file='/base/out/part-00003'"));
    shows("two_standard_outputs", two("stdout=true", "stdout=true"));
    shows("sink_on_a_source", two("file='in'", "stdout=true"));
    shows("sink_under_a_sources_glob", read("[source.s]\nfile='*.txt'\n[sink.a]\nfile='out.txt'\n"));
    let stdin = "[source.a]\nstdin=true\n[source.b]\nstdin=true\n[sink.o]\nfrom=['a','b']\nstdout=true\n";
    shows("two_standard_inputs", read(stdin));
}

#[test]
fn nodes() {
    shows("cluster_without_node", cluster("# nothing\n"));
    shows(
        "cluster_bad_address",
        cluster("[node.a]\naddress='10.0.0.1'\n[node.b]\naddress='b:99999'\n[node.c]\n"),
    );
    shows("cluster_one_address", cluster("[node.a]\naddress='h:1'\n[node.b]\naddress='h:1'\n"));
    shows("cluster_bad_name", cluster("[node.\"..\"]\naddress='h:1'\n"));
    shows("cluster_unknown_key", cluster("[node.a]\nadress='h:1'\n"));
    shows("cluster_unknown_node", three_nodes().find("d").map(|_| ()));
    let on = |text: &str| plan(&read(text)?, &three_nodes(), NodeIx(0));
    shows("place_of_unknown_node", on(&stage("run = ['a']\nplace = ['a', 'bb']")));
    shows("local_ends_without_place", on(&stage("run = ['a']")));
    let two = "[source.s]\nfile='x'\nplace='a'\n[sink.o]\nfile='y'\nplace=['a','b']\n";
    shows("file_on_two_nodes", on(two));
    let no_slots = cluster("[node.a]\naddress='h:1'\n[node.b]\naddress='h:2'\nslots=2\n").unwrap();
    let text = "[source.s]\nfile='x'\nplace='a'\n[stage.e]\nrun=['a']\n[sink.o]\nfile='y'\nplace='b'\n";
    shows("partitions_unknown_in_a_cluster", plan(&read(text).unwrap(), &no_slots, NodeIx(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[ -~]{0,3}|[äß→\\u{0}\\n\\t='\"\\[{}.]{0,3}"), 1..4),
    ) {
        let mut text = super::model::EVERYTHING.to_owned();
        for (place, cut, put) in cuts {
            let mut start = place.index(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (start + cut).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, &put);
        }
        match read(&text) {
            Err(error) => prop_assert!(error.render(true).contains("error")),
            Ok(pipeline) => {
                let _shown: Vec<String> = crate::pipeline::warnings(&pipeline).iter().map(ToString::to_string).collect();
            }
        }
    }
}
