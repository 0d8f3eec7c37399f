//! `[[test]]`: what of it is wrong, what it is called, and that it changes nothing of a run.

use super::{laid_out, read};
use crate::pipeline::{Batches, ByEnd, Detail, Framing, Header, Mode, Pipeline, to_toml};
use std::path::Path;

const ENDS: &str = "[source.in]\nfile='x'\n[stage.upper]\nrun='tr a-z A-Z'\n[stage.count]\nmode='stream'\nrun='wc -l'\n[sink.out]\nfile='y'\n";

fn with(tests: &str) -> Result<Pipeline, crate::pipeline::ConfigError> {
    read(&format!("{ENDS}{tests}"))
}

fn wrong(tests: &str) -> String {
    with(tests).unwrap_err().to_string()
}

#[test]
fn tests_are_read_and_printed_so_that_they_read_back_to_the_same() {
    let pipeline = with(
        "[[test]]\nname='a \"b\"'\nstage='upper'\ninput='''{{x}} \\ \n'''\noutput_file='t/out'\n\
         [[test]]\ninput={in='a'}\noutput={out=''}\ndead_letters=3\n",
    )
    .unwrap();
    let [first, second] = pipeline.tests.as_slice() else { panic!("{:?}", pipeline.tests) };
    assert_eq!(first.input, Some(ByEnd::One("{{x}} \\ \n".to_owned())), "nothing is replaced");
    assert_eq!(first.output_file, Some(ByEnd::One("/base/t/out".into())));
    assert_eq!((first.label.as_str(), second.label.as_str()), ("a \"b\"", "pipeline"));
    assert_eq!((first.dead_letters, second.dead_letters), (0, 3));
    for detail in [Detail::Short, Detail::Full] {
        assert_eq!(read(&to_toml(&pipeline, detail)).unwrap().tests, pipeline.tests);
    }
}

#[test]
fn tests_without_a_name_are_called_by_what_they_are_of_and_numbered() {
    let one = |rest: &str| format!("[[test]]\n{rest}\ninput=''\noutput=''\n");
    let text = one("stage='upper'") + &one("") + &one("stage='upper'") + &one("name='upper-2'") + &one("");
    let labels: Vec<String> = with(&text).unwrap().tests.into_iter().map(|test| test.label).collect();
    assert_eq!(labels, ["upper", "pipeline", "upper-3", "upper-2", "pipeline-2"]);
}

#[test]
fn tests_change_neither_the_fingerprint_nor_the_layout() {
    let test = "[[test]]\nstage='upper'\ninput='a'\noutput='A'\n";
    let (without, with) = (laid_out(ENDS).unwrap(), laid_out(&format!("{ENDS}{test}")).unwrap());
    assert_eq!(without.semantic_fingerprint, with.semantic_fingerprint);
    assert_eq!(without.placement_fingerprint, with.placement_fingerprint);
}

#[test]
fn what_is_wrong_with_a_test_is_said_with_what_to_do() {
    let both = "input='a'\noutput='b'\n";
    let cases: &[(String, &[&str])] = &[
        (
            format!("[[test]]\nstage='uper'\n{both}"),
            &["of a stage `uper`", "did you mean `upper`?", "stages there: upper, count"],
        ),
        (format!("[[test]]\nstage='in'\n{both}"), &["a source is no stage"]),
        (format!("[[test]]\nstage='out'\n{both}"), &["a sink is no stage"]),
        (
            "[[test]]\nstage='upper'\noutput='b'\n".to_owned(),
            &["a test has no input", "input_file = \"tests/input.txt\""],
        ),
        ("[[test]]\nstage='upper'\ninput='b'\n".to_owned(), &["a test has no output", "output_file"]),
        (
            format!("[[test]]\nstage='upper'\n{both}input_file='x'\n"),
            &["has two inputs", "remove one of `input` and `input_file`"],
        ),
        (format!("[[test]]\n{both}output_file='x'\n"), &["has two outputs"]),
        (format!("[[test]]\n{both}inptu='x'\n"), &["unknown key `inptu`", "did you mean `input`?"]),
        (
            "[[test]]\nstage='upper'\ninput={in='a'}\noutput='b'\n".to_owned(),
            &["`upper` is one stage", "leave `stage` out"],
        ),
        (
            "[[test]]\ninput={inn='a'}\noutput='b'\n".to_owned(),
            &["source `inn`", "did you mean `in`?", "no input for source `in`", "in = \"\""],
        ),
        ("[[test]]\ninput='a'\noutput={uot='b'}\n".to_owned(), &["sink `uot`", "did you mean `out`?"]),
        ("[[test]]\ninput={in='a'}\ninput_file={in='a'}\noutput='b'\n".to_owned(), &["two inputs of `in`"]),
        ("[[test]]\ninput={}\noutput='b'\n".to_owned(), &["`input` is not a table of strings"]),
        (
            "[[test]]\ninput=['a']\noutput='b'\n".to_owned(),
            &["`input` has the wrong type", "by source or sink"],
        ),
        ("[[test]]\ninput={in=1}\noutput='b'\n".to_owned(), &["`in` has the wrong type"]),
        ("[[test]]\ninput_file=''\noutput='b'\n".to_owned(), &["`input_file` is empty"]),
        (format!("[[test]]\nname='x'\n{both}[[test]]\nname='x'\n{both}"), &["two tests are called `x`"]),
        (format!("[[test]]\nname='-x'\n{both}"), &["name of a test"]),
        (format!("[[test]]\nname=\"a\\u001b[1m\"\n{both}"), &["name of a test"]),
        (format!("[[test]]\ndead_letters=-1\n{both}"), &["`dead_letters` cannot be -1"]),
        (format!("[test]\n{both}"), &["a test is a table of a list", "write [[test]]"]),
        (format!("[test.upper]\n{both}"), &["write [[test]]"]),
    ];
    for (tests, told) in cases {
        let error = wrong(tests);
        for part in *told {
            assert!(error.contains(part), "{tests}: {part}\n{error}");
        }
    }
}

#[test]
fn a_stage_that_goes_by_keys_of_answers_cannot_be_tested_alone() {
    let text = "[source.in]\nfile='x'\n[stage.a]\nmode='records'\nrun='a'\n[stage.b]\npartition_by='key'\nrun='b'\n[sink.o]\nfile='o'\n\
                [[test]]\nstage='b'\ninput=''\noutput=''\n";
    let error = read(text).unwrap_err().to_string();
    assert!(
        error.contains("`b` cannot be tested alone") && error.contains("test the whole pipeline"),
        "{error}"
    );
}

#[test]
fn several_ends_are_told_apart_by_name_and_sinks_may_be_left_out() {
    let ends = "[source.a]\nfile='x'\n[source.b]\nfile='z'\n[sink.o]\nfrom='a'\nfile='o'\n[sink.p]\nfrom='b'\nfile='p'\n";
    let error = read(&format!("{ends}[[test]]\ninput='a'\noutput='b'\n")).unwrap_err().to_string();
    for part in
        ["of which source its input is", "input = { a = \"…\", b = \"…\" }", "of which sink its output is"]
    {
        assert!(error.contains(part), "{part}\n{error}");
    }
    let good = "[[test]]\ninput={a='1'}\ninput_file={b='f'}\noutput={p='2'}\n";
    assert_eq!(read(&format!("{ends}{good}")).unwrap().tests.len(), 1);
}

#[test]
fn a_stage_alone_reads_its_input_as_its_source_would_and_keeps_what_it_is() {
    let text = "[source.in]\nfile='x'\nheader='repeat'\nframing='csv'\nrate='5/s'\n\
                [stage.a]\nrun='a'\npartitions=3\nframing='lines'\nrate='1/s'\nwhen_full='drop-newest'\nretry={initial='1s',max='2s',max_attempts=7}\n\
                [stage.b]\nrun='b'\npartition_by={csv='id'}\npartitions=2\n[sink.o]\nfile='o/'\nrate='1/s'\n\
                [[test]]\nstage='a'\ninput=''\noutput=''\n[[test]]\nstage='b'\ninput=''\noutput=''\n[[test]]\ninput=''\noutput=''\n";
    let pipeline = read(text).unwrap();
    let trial = |index: usize| pipeline.trial(&pipeline.tests[index], Path::new("/t[1]"));
    let a = trial(0);
    let source = &a.pipeline.sources[0];
    assert_eq!((source.header, &source.framing, source.pace.rate), (Header::Repeat, &Framing::Csv, None));
    assert_eq!(a.outputs[0].framing, Framing::Lines);
    assert!(a.outputs[0].unordered.as_ref().unwrap().contains("`a` has several tasks"));
    let Mode::Batch(batch) = &a.pipeline.stages[0].mode else { panic!() };
    assert!(batch.failures.retry.initial.as_millis() <= 1 && batch.failures.retry.max_attempts == 7);
    assert_eq!(
        (trial(1).pipeline.sources[0].header, a.pipeline.stages[0].partitions),
        (Header::Skip, Some(3))
    );
    assert_eq!(a.in_batches(Batches::Whole).stages[0].partitions, Some(1));
    let all = trial(2);
    assert_eq!((all.pipeline.stages.len(), all.pipeline.sinks[0].partitions), (2, None));
    // What it is written as is read back to the same: paths with what patterns obey included.
    for trial in [a, all] {
        let printed = to_toml(&trial.pipeline, Detail::Short);
        let again = read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(
            (&again.sources, &again.stages, &again.sinks),
            (&trial.pipeline.sources, &trial.pipeline.stages, &trial.pipeline.sinks)
        );
        assert!(printed.contains("/t[[]1]/input"), "{printed}");
    }
}

#[test]
fn order_is_kept_where_one_task_hands_on_to_one_or_order_says_so() {
    let of = |stages: &str, sink: &str| {
        let text = format!(
            "[source.in]\nfile='x'\n{stages}[sink.o]\nfile='o'\n{sink}[[test]]\ninput=''\noutput=''\n"
        );
        let pipeline = read(&text).unwrap();
        let trial = pipeline.trial(&pipeline.tests[0], Path::new("/t"));
        (trial.outputs[0].unordered.is_none(), trial.is_single_file())
    };
    assert_eq!(of("", ""), (true, true));
    assert_eq!(of("[stage.a]\nrun='a'\n", ""), (false, true));
    assert_eq!(of("[stage.a]\nrun='a'\npartitions=1\n", ""), (true, true));
    assert_eq!(of("[stage.a]\nrun='a'\n", "order='input'\n"), (true, true));
    assert_eq!(of("[stage.a]\nrun='a'\nmode='stream'\n", ""), (true, true));
    assert_eq!(of("[stage.a]\nrun='a'\nmode='stream'\npartition_by='record'\n", ""), (false, false));
    assert_eq!(of("[stage.a]\nrun='a'\npartitions=2\npartition_by='record'\n", ""), (false, false));
    assert_eq!(of("[stage.a]\nfrom='in'\nrun='a'\npartitions=1\n", "from=['a', 'in']\n"), (false, false));
}

#[test]
fn a_stage_alone_that_reads_what_has_a_header_is_given_it_with_every_batch() {
    let text = "[source.in]\nfile='x'\nheader='repeat'\nframing='csv'\n\
                [stage.a]\nrun='a'\noutput_header=true\n[stage.b]\nrun='b'\noutput_header=true\n\
                [stage.c]\nrun='c'\n[sink.o]\nfile='o'\n\
                [[test]]\nstage='b'\ninput=''\noutput=''\n[[test]]\nstage='c'\ninput=''\noutput=''\n";
    let pipeline = read(text).unwrap();
    for test in &pipeline.tests {
        let trial = pipeline.trial(test, Path::new("/t"));
        assert_eq!(trial.pipeline.sources[0].header, Header::Repeat, "{}", test.label);
    }
}
