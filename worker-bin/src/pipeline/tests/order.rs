//! `order = "input"`: who is given records in order, how they are joined, and where that cannot be.

use super::{cluster, laid_out, read, three_nodes, words as words_of};
use crate::pipeline::plan::{InOrder, semantics};
use crate::pipeline::{Cluster, Detail, inline, plan, to_toml};
use std::path::Path;
use worker_core::config::{LinkOrder, NodeIx};

const CHAIN: &str = "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\npartitions=3\n[stage.b]\nfrom='a'\nrun=['b']\nmode='stream'\n\
                     [stage.c]\nfrom='b'\nrun=['c']\npartitions=2\n[stage.other]\nfrom='a'\nrun=['o']\npartitions=2\n[sink.o]\nfrom='c'\nstdout=true\n\
                     [sink.p]\nfrom='other'\nfile='p'\n";

fn problem(text: &str) -> String {
    laid_out(text).expect_err("it has no order").to_string()
}

#[test]
fn order_goes_back_to_the_source_and_no_further() {
    let any = read(CHAIN).unwrap();
    assert_eq!(InOrder::of(&any), InOrder { stages: vec![false; 4], sinks: vec![false; 2] });
    let sink = read(&CHAIN.replace("stdout=true", "stdout=true\norder='input'")).unwrap();
    let expected = InOrder { stages: vec![true, true, true, false], sinks: vec![true, false] };
    assert_eq!(InOrder::of(&sink), expected, "all before the sink that asks for it");
    let stage = read(&CHAIN.replace("run=['a']", "run=['a']\norder='input'")).unwrap();
    let expected = InOrder { stages: vec![true, true, false, true], sinks: vec![false; 2] };
    assert_eq!(InOrder::of(&stage), expected, "the stage that asks for it, and who reads from it");
}

#[test]
fn links_are_dealt_where_tasks_work_side_by_side() {
    let plan = laid_out(&CHAIN.replace("stdout=true", "stdout=true\norder='input'")).unwrap();
    let order = |from: &str, to: &str| {
        let name = |task| plan.graph.task(task).name.as_str();
        let link = plan.graph.links.iter().find(|link| (name(link.from), name(link.to)) == (from, to));
        link.unwrap().order
    };
    assert_eq!(order("s/0", "a/2"), LinkOrder::Dealt);
    assert_eq!(order("a/1", "b/0"), LinkOrder::Dealt);
    assert_eq!(order("b/0", "c/1"), LinkOrder::Dealt);
    assert_eq!(order("c/1", "o/0"), LinkOrder::Dealt);
    assert_eq!(order("a/1", "other/0"), LinkOrder::Any, "nobody asks for order there");
    assert_eq!(plan.local[0].edges[0].links.len(), 1, "what is dealt the router gives to the first");
    let keyed = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\npartitions=2\norder='input'\n[stage.k]\nrun=['k']\nmode='stream'\n\
                 partition_by={field=1}\npartitions=3\n[sink.o]\nstdout=true\n";
    let plan = laid_out(keyed).unwrap();
    let orders: Vec<LinkOrder> = plan.graph.links.iter().map(|link| link.order).collect();
    assert_eq!(orders[..8], [&[LinkOrder::Dealt; 2][..], &[LinkOrder::Shared; 6]].concat());
    assert_eq!(orders[8..], [LinkOrder::Any; 3], "behind keys there is none");
    let alone =
        "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\npartitions=1\n[sink.o]\nstdout=true\norder='input'\n";
    let orders = laid_out(alone).unwrap().graph.links.into_iter().map(|link| link.order);
    assert!(
        orders.into_iter().all(|order| order == LinkOrder::Any),
        "one task after the other needs nothing"
    );
}

#[test]
fn where_there_is_no_order_an_error_says_what_to_do() {
    let two = "[source.s]\nfile='x'\n[source.t]\nfile='y'\n[stage.a]\nfrom=['s','t']\nrun=['a']\n[sink.o]\nfrom='a'\nstdout=true\norder='input'\n";
    let keyed = "[source.s]\nfile='x'\n[stage.k]\nrun=['k']\npartition_by={field=1}\npartitions=3\n[sink.o]\nstdout=true\norder='input'\n";
    let stream = "[source.s]\nfile='x'\n[stage.k]\nrun=['k']\nmode='stream'\npartitions=3\n[sink.o]\nstdout=true\norder='input'\n";
    let sinks = "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\n[stage.b]\nfrom='s'\nrun=['b']\n[sink.o]\nfrom=['a','b']\nstdout=true\norder='input'\n";
    let later = "[source.s]\nfile='x'\n[stage.k]\nrun=['k']\npartition_by={field=1}\npartitions=2\n[stage.m]\nrun=['m']\n[sink.o]\nstdout=true\norder='input'\n";
    for (text, words) in [
        (
            two,
            &["`a` cannot be in the order of the input", "`s` and `t`", "file = [\"a.txt\", \"b.txt\"]"][..],
        ),
        (
            keyed,
            &[
                "`o` cannot be in the order",
                "by their keys to 3 tasks",
                "partitions = 1 for `k`",
                "asks for the order",
            ],
        ),
        (stream, &["`o` cannot be in the order", "3 programs of `k`", "mode = \"batch\""]),
        (sinks, &["`o` cannot be in the order", "it reads from several", "`a` and `b`"]),
        (later, &["`m` cannot be in the order", "by their keys to 2 tasks"]),
    ] {
        let said = problem(text);
        for word in words {
            assert!(said.contains(word), "{word:?} is not in\n{said}");
        }
    }
    laid_out(&keyed.replace("partitions=3", "partitions=1")).expect("one task has an order");
    let said = read("[source.s]\nfile='x'\n[sink.o]\nstdout=true\norder='inputs'\n").unwrap_err().to_string();
    assert!(said.contains("\"any\"") && said.contains("\"input\""), "{said}");
}

#[test]
fn a_command_line_is_shown_as_it_was_written() {
    for (line, words) in [
        ("-S cat -j 3 -k", ["| -j 3", "| -k", "3 programs of `cat`"]),
        ("-s cat --key 1 -j 3 -k", ["| --key 1", "| -k", "by their keys to 3 tasks"]),
    ] {
        let pipeline = inline(&words_of(line), Path::new("/base"), &[]).unwrap();
        let said = plan(&pipeline, &Cluster::single(), NodeIx(0)).unwrap_err().to_string();
        for word in words {
            assert!(said.contains(word), "{word} is not in\n{said}");
        }
        assert!(!said.contains("[stage"), "shown in a file that nobody wrote\n{said}");
    }
}

#[test]
fn a_source_in_several_places_has_no_order() {
    let text = "[source.s]\nrun=['s']\nplace=['a','b']\n[stage.a]\nrun=['a']\npartitions=2\n[sink.o]\nfile='x'\nplace='a'\norder='input'\n";
    let said = plan(&read(text).unwrap(), &three_nodes(), NodeIx(0)).unwrap_err().to_string();
    assert!(said.contains("source `s` is read in 2 places") && said.contains("give it one place"), "{said}");
    let one = text.replace("['a','b']", "'a'");
    let nodes =
        cluster("[node.a]\naddress='10.0.0.1:7400'\nslots=2\n[node.b]\naddress='10.0.0.2:7400'\nslots=3\n")
            .unwrap();
    plan(&read(&one).unwrap(), &nodes, NodeIx(1)).expect("one place has an order");
}

#[test]
fn state_is_not_gone_on_with_in_another_order_and_that_of_older_versions_is() {
    let texts = |text: &str| {
        let plan = plan(&read(text).unwrap(), &Cluster::single(), NodeIx(0)).unwrap();
        semantics(&plan).clone()
    };
    let any = texts(CHAIN);
    assert!(!any.keys().any(|key| key.ends_with(".order") && key != "pipeline.order"), "{any:?}");
    let said = texts(&CHAIN.replace("stdout=true", "stdout=true\norder='any'"));
    assert_eq!(said, any, "to say the default changes nothing");
    let input = texts(&CHAIN.replace("stdout=true", "stdout=true\norder='input'"));
    assert_eq!(input.get("sink.o.order").map(String::as_str), Some("\"input\""));
}

#[test]
fn order_is_printed_and_kept_by_a_look_at_a_stage() {
    let pipeline = read(&CHAIN.replace("stdout=true", "stdout=true\norder='input'")).unwrap();
    assert!(to_toml(&pipeline, Detail::Short).contains("order = \"input\""));
    assert_eq!(InOrder::of(&pipeline.cut_behind("a").unwrap()).sinks, [true], "c reads it in order");
    assert_eq!(InOrder::of(&pipeline.cut_behind("other").unwrap()).sinks, [false]);
}
