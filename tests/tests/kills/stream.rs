//! Programs that run once: whole inputs, windows, and output that comes while input does.

use crate::{assert_equal, assert_no_letters, campaign};
use worker_tests::process::{Crew, Scratch};

/// `running` prints while it reads, so that a replay meets output that is committed already.
const PIPELINE: &str = r#"
    [pipeline]
    name = "streams"
    [source.in]
    file = "in.txt"
    [stage.slow]
    from = "in"
    run = ["sh", "-c", "sleep 0.01; cat"]
    partitions = 1
    batch = { max_records = 100 }
    [stage.sorted]
    from = "slow"
    mode = "stream"
    run = ["sort", "-k3,3n"]
    [stage.counts]
    from = "slow"
    mode = "stream"
    partition_by = { field = 1 }
    partitions = 2
    run = ["awk", "{n[$1]++} END {for (k in n) print k, n[k]}"]
    [stage.windows]
    from = "slow"
    mode = "stream"
    window = { records = 333 }
    run = ["awk", "{s += $3} END {print NR, s}"]
    [stage.running]
    from = "slow"
    mode = "stream"
    run = ["awk", "{s += $3; print s; fflush()} END {print \"end\", NR}"]
    [stage.after]
    from = "running"
    run = ["sed", "s/$/ so far/"]
    partitions = 1
    [sink.sorted_out]
    from = "sorted"
    file = "sorted.txt"
    [sink.counts_out]
    from = "counts"
    file = "counts.txt"
    [sink.windows_out]
    from = "windows"
    file = "windows.txt"
    [sink.running_out]
    from = "after"
    file = "running.txt"
"#;

fn input(scratch: &Scratch) {
    scratch.shell("seq 3000 -1 1 | awk '{print $1 % 7, \"line\", $1}' > in.txt");
}

#[test]
fn streams_and_windows() {
    campaign("streams", 70, |scratch, rng, kills| {
        input(scratch);
        let mut crew = Crew::one(scratch, PIPELINE);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(&crew, scratch, "sorted", "cat sorted.txt", "sort -k3,3n in.txt");
        let counts = "awk '{n[$1]++} END {for (k in n) print k, n[k]}' in.txt | sort";
        assert_equal(&crew, scratch, "counts", "sort counts.txt", counts);
        let windows = "awk '{s += $3; n++} n == 333 {print n, s; n = s = 0} END {if (n) print n, s}' in.txt";
        assert_equal(&crew, scratch, "windows", "cat windows.txt", windows);
        let running = "awk '{s += $3; print s \" so far\"} END {print \"end\", NR, \"so far\"}' in.txt";
        assert_equal(&crew, scratch, "running", "cat running.txt", running);
        assert_no_letters(&crew, scratch);
        hits
    });
}
