//! What is promised, by the file and the command line together.

use super::{read, words};
use crate::pipeline::{Delivery, Detail, Pipeline, SourceText, StateOptions, inline, parse, to_toml};
use std::path::{Path, PathBuf};

const REST: &str = "[source.s]\nfile='x'\n[sink.o]\nfile='y'\n";
const ASKS: &str = "[pipeline]\nname='jobs'\ndelivery='exactly-once'\n";

fn settled(head: &str, options: StateOptions<'_>) -> (Delivery, Option<PathBuf>) {
    let pipeline = read(&format!("{head}{REST}")).unwrap().with_state(options).unwrap();
    (pipeline.delivery, pipeline.state_dir)
}

#[test]
fn state_is_beside_a_file_that_asks_for_exactly_once_unless_the_command_line_says_where() {
    let beside = (Delivery::ExactlyOnce, Some(PathBuf::from("/base/.worker/jobs")));
    assert_eq!(settled(ASKS, StateOptions::default()), beside);
    assert_eq!(settled(ASKS, StateOptions { fresh: true, ..StateOptions::default() }), beside);
    let dir = Some(Path::new("/var/../srv/state"));
    let there = (Delivery::ExactlyOnce, Some(PathBuf::from("/srv/state")));
    assert_eq!(settled(ASKS, StateOptions { dir, ..StateOptions::default() }), there);
    assert_eq!(settled("", StateOptions { dir, ..StateOptions::default() }), there);
    assert_eq!(settled("", StateOptions::default()), (Delivery::Memory, None));
    let here = Some(std::env::current_dir().unwrap().join("d"));
    let dir = Some(Path::new("d"));
    assert_eq!(
        settled("", StateOptions { dir, ..StateOptions::default() }).1,
        here,
        "from where the worker was started"
    );
}

#[test]
fn every_node_has_a_directory_of_its_own() {
    let node = Some("b");
    let beside = settled(ASKS, StateOptions { node, ..StateOptions::default() }).1;
    assert_eq!(beside, Some("/base/.worker/jobs/b".into()));
    let dir = Some(Path::new("/srv/state"));
    assert_eq!(settled("", StateOptions { dir, node, fresh: false }).1, Some("/srv/state/b".into()));
    assert_eq!(settled("", StateOptions { node, ..StateOptions::default() }), (Delivery::Memory, None));
}

#[test]
fn a_look_at_a_part_keeps_no_state() {
    let cut = read(&format!("{ASKS}{REST}")).unwrap().cut_behind("s").unwrap();
    assert_eq!((cut.delivery, cut.state_dir), (Delivery::Memory, None));
}

#[test]
fn a_command_line_keeps_state_where_it_says_and_becomes_a_file_that_asks_for_it() {
    let pipeline: Pipeline = inline(&words("-s cat"), Path::new("/base"), &[]).unwrap();
    let dir = Some(Path::new("/srv/state"));
    let pipeline = pipeline.with_state(StateOptions { dir, ..StateOptions::default() }).unwrap();
    assert_eq!((pipeline.delivery, pipeline.state_dir.as_deref()), (Delivery::ExactlyOnce, dir));
    let text = to_toml(&pipeline, Detail::Short);
    let again = parse(&SourceText::new("again.toml", &text), Path::new("/base"), &[]).unwrap();
    let beside = Some("/base/.worker/inline".into());
    assert_eq!((again.delivery, again.state_dir), (Delivery::ExactlyOnce, beside));
}
