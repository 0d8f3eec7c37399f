//! The state of a version in which every task had a journal of its own.

use crate::run;
use std::collections::BTreeSet;
use std::path::Path;
use worker_tests::process::{Finished, Scratch};

/// What that version had made when it was killed in the middle: its state, and what it had printed.
const MADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exactly_once/format_1");

#[test]
fn the_state_of_a_journal_a_task_is_gone_on_with_as_it_is() {
    let scratch = Scratch::new();
    scratch.shell(&format!("cp -r {MADE}/. . && chmod -R go-rwx state"));
    assert!(Path::new(MADE).is_dir() && scratch.text("state/manifest.json").contains("\"format\": 1"));
    let before = scratch.text("printed.txt");
    let rest = text(run(&scratch));
    let begun_anew = text(scratch.worker(&["run", "pipeline.toml"]).run());
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let all: BTreeSet<_> = lines(&before).union(&lines(&rest)).cloned().collect();
    assert_eq!(all, lines(&begun_anew));
    assert!(rest.lines().count() < 200, "it goes on, and does not begin anew: {rest}");
    scratch.shell("test -d state/tasks/same-1; test ! -e state/tasks/column-0; grep -q '\"format\": 1' state/manifest.json");
    // Its manifest is lost: the journals say themselves whose they are.
    let scratch = Scratch::new();
    scratch.shell(&format!("cp -r {MADE}/. . && chmod -R go-rwx state && rm state/manifest.json"));
    let again = text(run(&scratch));
    assert_eq!(lines(&before).union(&lines(&again)).count(), 200);
    assert!(again.lines().count() < 200, "{again}");
    scratch.shell("test ! -e state/tasks/column-0");
}

fn text(ended: Finished) -> String {
    String::from_utf8(ended.expect(0).stdout).expect("lines of text")
}
