//! What is allowed and bites is said, and nothing else.

use super::read;
use crate::pipeline::{Cluster, ignored_places, warnings};

fn warned(text: &str) -> String {
    let all: Vec<String> = warnings(&read(text).unwrap()).iter().map(ToString::to_string).collect();
    all.join("\n\n")
}

fn stage(body: &str) -> String {
    format!("[source.log]\nfile = 'x'\n\n[stage.a]\n{body}\n\n[sink.out]\nstdout = true\n")
}

#[test]
fn whole_input_programs_in_batch_mode() {
    insta::assert_snapshot!("whole_input", warned(&stage("run = ['env', 'LC_ALL=C', 'sort', '-u']")));
    assert_eq!(warned(&stage("run = ['sort']\nmode = 'stream'")), "");
    assert_eq!(warned(&stage("run = ['grep', 'sort']")), "");
}

#[test]
fn programs_that_run_where_relative_paths_lead_elsewhere() {
    let listed =
        |list: &str, body: &str| warned(&stage(body).replace("file = 'x'", &format!("list = {list}")));
    let in_w = "run = ['cat']\ninput = 'arg'\ncwd = 'w'";
    let said = listed("['/a/*', 'b/*']", in_w);
    assert!(said.contains("`a` is given paths") && said.contains("begins with /"), "{said}");
    assert_eq!(listed("'/a/*'", in_w), "");
    assert_eq!(listed("'a/*'", "run = ['cat']\ninput = 'arg'"), "");
    let sink = "[source.log]\nlist = 'a/*'\n[sink.out]\nrun = ['cat']\ncwd = 'w'\n";
    assert!(warned(sink).contains("`out` is given paths"), "{}", warned(sink));
}

#[test]
fn streams_of_several_partitions_without_a_key() {
    insta::assert_snapshot!(
        "keyless_stream",
        warned(&stage("run = ['sort']\nmode = 'stream'\npartitions = 3"))
    );
    assert_eq!(
        warned(&stage("run = ['sort']\nmode = 'stream'\npartitions = 3\npartition_by = 'record'")),
        ""
    );
}

#[test]
fn streams_without_window_behind_an_endless_source() {
    let text = "[source.s]\nrun = ['journalctl', '-f']\n[stage.a]\nrun = ['cat']\n[stage.b]\nrun = ['sort']\nmode = 'stream'\n\
                [sink.out]\nstdout = true\n";
    insta::assert_snapshot!("endless", warned(text));
    assert_eq!(warned(&text.replace("mode = 'stream'", "mode = 'stream'\nwindow = { every = '1m' }")), "");
    assert_eq!(warned(&text.replace("'-f'", "'-n', '5'")), "");
}

#[test]
fn what_exactly_once_cannot_do_for_ends_that_are_no_files() {
    let text = "[pipeline]\ndelivery='exactly-once'\n[source.typed]\nstdin=true\n[source.fed]\nrun=['feed']\n\
                [source.followed]\nrun=['tail', '-f', 'x']\n[stage.sums]\nfrom=['typed','fed']\nmode='stream'\nrun=['sort']\n\
                [stage.more]\nfrom='followed'\nmode='stream'\nrun=['sort']\nwindow={every='1m'}\n[sink.shown]\nfrom='sums'\nstdout=true\n\
                [sink.stored]\nfrom='more'\nrun=['psql']\n";
    insta::assert_snapshot!("exactly_once", warned(text));
    assert_eq!(
        warned(&text.replace("delivery='exactly-once'", "")),
        "",
        "nothing of it is promised in memory"
    );
    let files = "[pipeline]\ndelivery='exactly-once'\n[source.s]\nfile='x'\n[stage.a]\nmode='stream'\nrun=['sort']\n\
                 [sink.o]\nfile='y'\n";
    assert_eq!(warned(files), "");
    let windows =
        text.replace("run=['sort']\n[stage.more]", "run=['sort']\nwindow={records=5}\n[stage.more]");
    assert!(!warned(&windows).contains("replay_limit"));
}

#[test]
fn variables_that_nothing_uses() {
    insta::assert_snapshot!(
        "unused_variable",
        warned(&format!("[vars]\nsince = '5'\n{}", stage("run = ['cat']")))
    );
}

#[test]
fn places_outside_a_cluster() {
    let pipeline = read(&stage("run = ['cat']\nplace = ['a', 'b']")).unwrap();
    let ignored = ignored_places(&pipeline, &Cluster::single());
    assert_eq!(ignored.len(), 1);
    insta::assert_snapshot!("place_ignored", ignored[0].to_string());
    assert!(ignored_places(&pipeline, &super::three_nodes()).is_empty());
}
