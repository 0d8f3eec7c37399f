//! The order of the source, kept over tasks side by side, through kills.

use crate::{assert_equal, assert_no_letters, campaign};
use worker_tests::process::{Crew, Nodes};

#[test]
fn in_the_order_of_the_input() {
    campaign("in order", 50, |scratch, rng, kills| {
        scratch.shell(
            "mkdir in; seq 1 4000 | awk '{print $1 % 13, \"line\", $1}' > all-in; head -n 1000 all-in > in/a; \
             sed -n '1001,2500p' all-in | gzip > in/b.gz; sed -n '2501,$p' all-in > in/c",
        );
        let pipeline = r#"
            [pipeline]
            name = "ordered"
            [source.in]
            file = "in/*"
            [stage.some]
            run = ["sh", "-c", "sleep 0.01; exec grep -v '7$'"]
            ok_exit = [0, 1]
            partitions = 3
            batch = { max_records = 60 }
            [stage.marked]
            run = ["sed", "s/line/LINE/"]
            partitions = 2
            [sink.out]
            from = "marked"
            file = "out.txt"
            order = "input"
            [sink.by_key]
            from = "some"
            file = "parts/"
            partition_by = { field = 1 }
            partitions = 2
            order = "input"
        "#;
        let pipeline = pipeline.replace("[stage.some]", "[stage.some]\nfrom = \"in\"");
        let pipeline = pipeline.replace("[stage.marked]", "[stage.marked]\nfrom = \"some\"");
        let mut crew = Crew::one(scratch, &pipeline);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(&crew, scratch, "out", "cat out.txt", "grep -v '7$' all-in | sed s/line/LINE/");
        let by_key = "for f in parts/*; do sort -s -c -k3,3n $f || exit 1; done; sort parts/*";
        assert_equal(&crew, scratch, "by key", by_key, "grep -v '7$' all-in | sort");
        assert_no_letters(&crew, scratch);
        hits
    });
}

#[test]
fn in_the_order_of_the_input_over_three_nodes() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let pipeline = r#"
        [pipeline]
        name = "ordered-three"
        [source.in]
        file = "in.txt"
        place = "a"
        [stage.slow]
        run = ["sh", "-c", "sleep 0.01; cat"]
        partitions = 4
        batch = { max_records = 60 }
        place = ["a", "b", "c"]
        [stage.marked]
        run = ["sed", "s/line/LINE/"]
        partitions = 3
        place = ["b", "c"]
        [stage.numbered]
        mode = "stream"
        run = ["awk", "{print NR, $0}"]
        place = "b"
        order = "input"
        [stage.again]
        run = ["cat"]
        partitions = 2
        place = ["a", "c"]
        [sink.out]
        file = "out.txt"
        place = "a"
        order = "input"
    "#;
    campaign("in order over three nodes", 40, |scratch, rng, kills| {
        scratch.shell("seq 1 3000 | awk '{print \"k\" $1 % 13, \"line\", $1}' > in.txt");
        let nodes = Nodes::on_loopback(scratch, &NAMES, pipeline);
        let mut crew = Crew::nodes(&nodes, &NAMES);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(
            &crew,
            scratch,
            "out",
            "cat out.txt",
            "awk '{sub(/line/, \"LINE\"); print NR, $0}' in.txt",
        );
        assert_no_letters(&crew, scratch);
        hits
    });
}
