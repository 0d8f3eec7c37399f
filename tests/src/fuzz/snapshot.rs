//! What another worker answers, from its bytes to what people are shown: nothing of it gets to a terminal as it came.

use super::is_fit_to_print;
use worker_bin::explain::{Snapshot, explain, words};

pub(super) fn run(data: &[u8]) {
    // Answers of several nodes, one a line.
    let answers = data.split(|&byte| byte == b'\n').take(4);
    let snapshots: Vec<Snapshot> = answers.filter_map(|answer| serde_json::from_slice(answer).ok()).collect();
    let explanation = explain(&snapshots);
    for most in [0, 6] {
        is_fit_to_print(&words::explanation(&explanation, most));
    }
    let again = serde_json::to_vec(&snapshots).expect("what was read can be written");
    let read: Vec<Snapshot> = serde_json::from_slice(&again).expect("what was written can be read");
    assert_eq!(read.len(), snapshots.len());
}
