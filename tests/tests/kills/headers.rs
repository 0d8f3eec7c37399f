//! Headers that batches print, each once in each file, through kills.

use crate::{assert_equal, assert_no_letters, campaign};
use worker_tests::process::{Crew, Nodes};

const TABLE: &str = "echo n,k,text > all.csv; seq 1 4000 | awk '{print $1 \",\" $1 % 13 \",line \" $1}' >> all.csv; \
                     mkdir in; head -n 1500 all.csv > in/a.csv; (head -n 1 all.csv; tail -n +1501 all.csv) > in/b.csv";

#[test]
fn one_header_a_file() {
    campaign("headers", 50, |scratch, rng, kills| {
        scratch.shell(TABLE);
        let pipeline = r#"
            [pipeline]
            name = "headers"
            [source.in]
            file = "in/*"
            header = "repeat"
            [stage.some]
            from = "in"
            run = ["sh", "-c", "sleep 0.01; exec awk -F, 'NR == 1 || !/7$/ {print $2 \",\" $1}'"]
            output_header = true
            partitions = 3
            batch = { max_records = 60 }
            [stage.marked]
            from = "some"
            run = ["awk", "{print $0 (NR == 1 ? \",mark\" : \",x\")}"]
            output_header = true
            partitions = 2
            [stage.summed]
            from = "some"
            mode = "stream"
            partitions = 1
            run = ["awk", "-F,", "NR == 1 {print \"first\", $0; next} {s += $2} END {print s, NR}"]
            [sink.out]
            from = "marked"
            file = "out.csv"
            ORDER
            [sink.sum]
            from = "summed"
            file = "sum.txt"
            [sink.by_key]
            from = "some"
            file = "parts/"
            partition_by = { csv = 1 }
            partitions = 2
        "#;
        let in_order = rng.below(2) == 0;
        let pipeline = pipeline.replace("ORDER", if in_order { "order = \"input\"" } else { "" });
        let mut crew = Crew::one(scratch, &pipeline);
        let hits = crew.kill_at_random(rng, kills);
        let some = "awk -F, 'NR == 1 || !/7$/ {print $2 \",\" $1}' all.csv";
        let marked = format!("{some} | awk '{{print $0 (NR == 1 ? \",mark\" : \",x\")}}'");
        let sorted = |command: &str| match in_order {
            true => command.to_owned(),
            false => format!("{command} | (read head; echo $head; sort)"),
        };
        assert_equal(&crew, scratch, "out", &sorted("cat out.csv"), &sorted(&marked));
        let sum = format!(
            "{some} | awk -F, 'NR == 1 {{print \"first\", $0; next}} {{s += $2}} END {{print s, NR}}'"
        );
        assert_equal(&crew, scratch, "sum", "cat sum.txt", &sum);
        let by_key =
            "for f in parts/*; do head -n 1 $f; done; for f in parts/*; do tail -n +2 $f; done | sort";
        let want = format!("echo k,n; echo k,n; {some} | tail -n +2 | sort");
        assert_equal(&crew, scratch, "by key", by_key, &want);
        assert_no_letters(&crew, scratch);
        hits
    });
}

#[test]
fn one_header_a_file_over_three_nodes() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let pipeline = r#"
        [pipeline]
        name = "headers-three"
        [source.in]
        file = "in/*"
        header = "repeat"
        place = "a"
        [stage.slow]
        run = ["sh", "-c", "sleep 0.01; exec awk -F, '{print $2 \",\" $1}'"]
        output_header = true
        partitions = 4
        batch = { max_records = 60 }
        place = ["a", "b", "c"]
        [stage.marked]
        run = ["awk", "{print $0 (NR == 1 ? \",mark\" : \",x\")}"]
        output_header = true
        partitions = 3
        place = ["b", "c"]
        [sink.out]
        file = "out.csv"
        place = "a"
    "#;
    campaign("headers over three nodes", 30, |scratch, rng, kills| {
        scratch.shell(TABLE);
        let nodes = Nodes::on_loopback(scratch, &NAMES, pipeline);
        let mut crew = Crew::nodes(&nodes, &NAMES);
        let hits = crew.kill_at_random(rng, kills);
        let want = "awk -F, '{print $2 \",\" $1 (NR == 1 ? \",mark\" : \",x\")}' all.csv | (read head; echo $head; sort)";
        assert_equal(&crew, scratch, "out", "(read head; echo $head; sort) < out.csv", want);
        assert_no_letters(&crew, scratch);
        hits
    });
}
