//! What it costs to keep the order of the input over tasks that work side by side: the same filter with and without `-k`.
//!
//! The work is even: every record costs the same. `gzip` is a filter that computes, `grep` one that is through its input as fast
//! as it is fed. What `-k` writes is compared with a pipe of the same filter, byte for byte.

use super::About;
use crate::figure::Figure;
use crate::input;
use crate::pipeline::{Delivery, command, run, shell};
use crate::suite::{Contender, Suite, Work};
use std::path::Path;

pub(super) const NAME: &str = "order";

const FILTERS: [(&str, &str); 2] = [
    ("a filter that computes (gzip)", "sh -c 'gzip -1 | gzip -dc'"),
    ("a fast filter (grep)", "grep -v 'page/77 '"),
];

pub(super) fn about() -> About {
    About::new(
        input::ACCESS_LOG_IS,
        format!(
            "{}, in memory, batches of up to 8 MiB: `worker run -i access.log -k -s FILTER -o out.txt --force --quiet`; the result is compared with a pipe's",
            FILTERS.map(|(_, filter)| format!("`{filter}`")).join(" and ")
        ),
        "the same without `-k`",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    input::access_log(suite);
    FILTERS.iter().flat_map(|(name, filter)| compare(suite, name, filter)).collect()
}

fn compare(suite: &Suite, name: &str, filter: &str) -> Vec<Figure> {
    shell(suite, &format!("{filter} < {} > pipe.txt", input::ACCESS_LOG));
    let ours = |binary: &Path, options: &[&str]| {
        let line = ["-i", input::ACCESS_LOG, "-s", filter, "-o", "out.txt", "--force"];
        run(binary, suite, &[&line, options].concat(), Delivery::Memory)
    };
    let others = suite.workers.iter().map(|(who, binary)| {
        let ordered = move || {
            let took = ours(binary, &["-k"]);
            same(suite);
            took
        };
        Contender::new(format!("{who}, in order"), ordered)
    });
    let limit = Contender::new("in any order", || ours(suite.worker(), &[]));
    Work { row: NAME, work: name.to_owned(), unit: "s" }.in_turn(suite.rounds, limit, others.collect())
}

fn same(suite: &Suite) {
    let status = command(Path::new("cmp"), suite).args(["pipe.txt", "out.txt"]).status();
    assert!(status.expect("cmp runs").success(), "the order of the input is not kept");
}
