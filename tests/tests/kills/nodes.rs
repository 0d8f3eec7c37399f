//! The same over three nodes.

use crate::records::COUNT;
use crate::{assert_equal, assert_no_letters, campaign};
use worker_tests::process::{Crew, Nodes};

const NAMES: [&str; 3] = ["a", "b", "c"];

const PIPELINE: &str = r#"
    [pipeline]
    name = "three"
    [source.in]
    file = "in.txt"
    place = "a"
    [stage.slow]
    from = "in"
    run = ["sh", "-c", "sleep 0.01; cat"]
    partitions = 1
    batch = { max_records = 150 }
    place = "a"
    [stage.keyed]
    from = "slow"
    run = ["sed", "s/line/LINE/"]
    partition_by = { field = 1 }
    partitions = 4
    place = ["b", "c"]
    [stage.sorted]
    from = "keyed"
    mode = "stream"
    run = ["sort", "-k3,3n"]
    place = "c"
    [stage.count]
    from = "slow"
    mode = "records"
    partition_by = { field = 1 }
    partitions = 2
    run = ["python3", "count.py"]
    place = ["b", "c"]
    [sink.sorted_out]
    from = "sorted"
    file = "sorted.txt"
    place = "a"
    [sink.counted]
    from = "count"
    file = "counted.txt"
    place = "b"
    [sink.parts]
    from = "keyed"
    file = "parts/"
    partition_by = { field = 1 }
    partitions = 2
    place = ["b", "c"]
    [sink.copy]
    from = "slow"
    file = "copy.txt"
    place = "c"
"#;

#[test]
fn three_nodes() {
    campaign("three nodes", 70, |scratch, rng, kills| {
        scratch.write("count.py", COUNT);
        scratch.shell("seq 1 3000 | awk '{print \"k\" $1 % 13, \"line\", $1}' > in.txt");
        let nodes = Nodes::on_loopback(scratch, &NAMES, PIPELINE);
        let mut crew = Crew::nodes(&nodes, &NAMES);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(&crew, scratch, "copy", "cat copy.txt", "cat in.txt");
        assert_equal(&crew, scratch, "sorted", "cat sorted.txt", "sed 's/line/LINE/' in.txt");
        assert_equal(&crew, scratch, "parts", "sort parts/*", "sed 's/line/LINE/' in.txt | sort");
        let counted =
            "awk '{print $1, ++n[$1], $0} END {for (k in n) print \"total\", k, n[k]}' in.txt | sort";
        assert_equal(&crew, scratch, "counted", "sort counted.txt", counted);
        assert_no_letters(&crew, scratch);
        hits
    });
}
