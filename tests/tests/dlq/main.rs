//! `worker dlq`: dead letters seen, understood and processed again.

mod letters;
mod memory;
mod replay;

use worker_tests::process::{Finished, Scratch};

fn dlq(scratch: &Scratch, words: &[&str]) -> Finished {
    scratch.worker(&[&["dlq"], words].concat()).run()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The ids that `worker dlq list` gives, with the record of each.
fn listed(scratch: &Scratch, words: &[&str]) -> Vec<(String, String)> {
    let list = dlq(scratch, &[&["list", "--json"], words].concat()).expect(0);
    let lines = text(&list.stdout);
    let field = |line: &serde_json::Value, name: &str| line[name].as_str().expect(name).to_owned();
    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    lines.map(|line: serde_json::Value| (field(&line, "id"), field(&line, "record"))).collect()
}
