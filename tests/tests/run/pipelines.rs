//! Pipelines give what the same programs give in a shell pipe.

use crate::{AIRPORTS, sorted};
use worker_tests::process::Scratch;

#[test]
fn airports_through_batches_and_keyed_streams_equal_the_shell_pipe() {
    let scratch = Scratch::new();
    let pipeline = format!(
        r#"
        [source.airports]
        file = "{AIRPORTS}"
        header = "skip"
        [stage.small]
        run = ["grep", "-v", "Regional"]
        ok_exit = [0, 1]
        partitions = 3
        batch = {{ max_records = 200 }}
        [stage.by_state]
        mode = "stream"
        partition_by = {{ csv = 4 }}
        partitions = 3
        run = ["awk", "-F,", "{{n[$(NF-3)]++}} END {{for (s in n) print n[s], s}}"]
        [sink.out]
        file = "out.txt"
        "#
    );
    scratch.run(&pipeline).expect(0);
    let pipe = format!(
        "tail -n +2 {AIRPORTS} | grep -v Regional | awk -F, '{{n[$(NF-3)]++}} END {{for (s in n) print n[s], s}}'"
    );
    let expected = sorted(&scratch.shell(&pipe));
    assert!(expected.len() > 50, "the airports have states");
    assert_eq!(sorted(&scratch.read("out.txt")), expected);
}

#[test]
fn every_reader_gets_its_copy_and_a_stage_reads_from_several() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 5000 > in.txt");
    let finished = scratch.run(
        r#"
        [source.numbers]
        file = "in.txt"
        [stage.odd]
        from = "numbers"
        run = ["grep", "[13579]$"]
        ok_exit = [0, 1]
        [stage.even]
        from = "numbers"
        run = ["sed", "-n", "/[02468]$/p"]
        [stage.position]
        from = ["odd", "even"]
        run = ["sed", "s/^/n/"]
        [sink.marked]
        from = "position"
        file = "deep/er/marked.txt"
        [sink.raw]
        from = ["numbers", "odd"]
        file = "raw.txt"
        [sink.shown]
        from = "even"
        stdout = true
        "#,
    );
    let finished = finished.expect(0);
    assert_eq!(
        sorted(&scratch.read("deep/er/marked.txt")),
        sorted(&scratch.shell("seq 1 5000 | sed s/^/n/"))
    );
    assert_eq!(sorted(&scratch.read("raw.txt")), sorted(&scratch.shell("seq 1 5000; seq 1 2 5000")));
    assert_eq!(sorted(&finished.stdout), sorted(&scratch.shell("seq 2 2 5000")));
}

#[test]
fn a_directory_gets_one_file_per_partition_and_a_key_stays_in_one() {
    let scratch = Scratch::new();
    scratch.shell("for i in 1 2 3; do seq 1 300; done > in.txt");
    let finished = scratch.run(
        r#"
        [source.numbers]
        file = "in.txt"
        [sink.parts]
        file = "out/"
        partition_by = "record"
        partitions = 3
        "#,
    );
    finished.expect(0);
    let parts = ["out/part-00000", "out/part-00001", "out/part-00002"].map(|name| scratch.read(name));
    for (index, part) in parts.iter().enumerate() {
        let mut lines = sorted(part);
        assert!(lines.len() > 150, "partition {index} has only {} records", lines.len());
        let all = lines.len();
        lines.dedup();
        assert_eq!(lines.len() * 3, all, "each of the three copies is in the same partition");
    }
    assert_eq!(sorted(&parts.concat()), sorted(&scratch.read("in.txt")));
}

#[test]
fn standard_input_and_output_are_the_ends_of_an_inline_pipeline() {
    let scratch = Scratch::new();
    let input = scratch.shell("seq 1 20000");
    let finished = scratch.worker(&["run", "-s", "grep 7", "-S", "sort -r"]).input(&input).run().expect(0);
    assert_eq!(finished.stdout, scratch.shell("seq 1 20000 | grep 7 | sort -r"));
}

#[test]
fn programs_can_be_both_ends() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        r#"
        [source.numbers]
        run = ["seq", "1", "30000"]
        [stage.sevens]
        run = ["grep", "7"]
        ok_exit = [0, 1]
        [sink.file]
        run = ["sh", "-c", "sort > got.txt"]
        "#,
    );
    finished.expect(0);
    assert_eq!(scratch.read("got.txt"), scratch.shell("seq 1 30000 | grep 7 | sort"));
}

#[test]
fn a_header_heads_every_batch() {
    let scratch = Scratch::new();
    let by_name = "NR==1 {for (i=1; i<=NF; i++) if ($i==\"state\") c=i; next} {print $c}";
    let quoted = by_name.replace('"', "\\\"");
    let finished = scratch.run(&format!(
        r#"
        [source.airports]
        file = "{AIRPORTS}"
        header = "repeat"
        [stage.states]
        run = ["awk", "-F,", "{quoted}"]
        batch = {{ max_records = 100 }}
        [sink.out]
        stdout = true
        "#
    ));
    let expected = scratch.shell(&format!("awk -F, '{by_name}' {AIRPORTS}"));
    assert_eq!(sorted(&finished.expect(0).stdout), sorted(&expected));
}

#[test]
fn variables_come_from_the_file_and_the_command_line() {
    let scratch = Scratch::new();
    let pipeline = r#"
        [vars]
        what = "1"
        [source.numbers]
        run = ["seq", "1", "100"]
        [stage.some]
        run = ["grep", "{{what}}"]
        ok_exit = [0, 1]
        [sink.out]
        stdout = true
    "#;
    assert_eq!(sorted(&scratch.run(pipeline).expect(0).stdout), sorted(&scratch.shell("seq 100 | grep 1")));
    let other = scratch.run_with(pipeline, &["--set", "what=99"]).expect(0);
    assert_eq!(other.stdout, b"99\n");
}

#[test]
fn programs_get_their_directory_and_environment() {
    let scratch = Scratch::new();
    scratch.write("secret", "open sesame\n");
    scratch.write("sub/marker", "");
    scratch.write(
        "pipeline.toml",
        r#"
        [source.one]
        run = ["echo", "x"]
        [stage.show]
        run = ["/bin/sh", "-c", "cat >/dev/null; ls; echo \"$GREETING|$TOKEN|$PW|$HIDDEN|$WORKER_TASK|$WORKER_STAGE|$WORKER_PARTITION/$WORKER_PARTITIONS|$WORKER_ATTEMPT\"; test -d \"$WORKER_TMPDIR\" && echo tmp"]
        cwd = "sub"
        clear_env = true
        partitions = 1
        env = { GREETING = "hi", TOKEN = { env = "TEST_TOKEN" }, PW = { file = "secret" }, PATH = "/usr/bin:/bin" }
        [sink.out]
        stdout = true
        "#,
    );
    let start = scratch.worker(&["run", "pipeline.toml"]).env("TEST_TOKEN", "t0k").env("HIDDEN", "seen");
    let shown = start.run().expect(0).stdout;
    assert_eq!(String::from_utf8_lossy(&shown), "marker\nhi|t0k|open sesame||show/0|show|0/1|1\ntmp\n");
}

#[test]
fn a_window_ends_a_stream_program_and_starts_the_next() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        r#"
        [source.numbers]
        run = ["seq", "1", "35"]
        [stage.count]
        mode = "stream"
        window = { records = 10 }
        run = ["wc", "-l"]
        [sink.out]
        stdout = true
        "#,
    );
    assert_eq!(String::from_utf8_lossy(&finished.expect(0).stdout), "10\n10\n10\n5\n");
}

#[test]
fn an_early_exit_ends_an_endless_source() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        r#"
        [source.endless]
        run = ["yes"]
        [stage.first]
        mode = "stream"
        early_exit = "done"
        run = ["head", "-n", "5"]
        [sink.out]
        stdout = true
        "#,
    );
    assert_eq!(finished.expect(0).stdout, b"y\ny\ny\ny\ny\n");
}

#[test]
fn more_streams_than_cores_beside_batches_finish_on_one_slot() {
    let scratch = Scratch::new();
    let pipeline = r#"
        [source.numbers]
        run = ["seq", "1", "20000"]
        [stage.before]
        run = ["cat"]
        partitions = 4
        batch = { max_records = 1000 }
        [stage.sums]
        mode = "stream"
        partition_by = "record"
        partitions = 9
        run = ["awk", "{s+=$1} END {print s}"]
        [stage.after]
        run = ["sed", "s/$/ is a sum/"]
        partitions = 4
        [sink.out]
        stdout = true
    "#;
    let finished = scratch.run_with(pipeline, &["--slots", "1"]).expect(0);
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    let sums = text.lines().map(|line| line.strip_suffix(" is a sum").expect("through `after`"));
    let sums: Vec<u64> = sums.map(|sum| sum.parse().expect("a number")).collect();
    assert_eq!((sums.len(), sums.iter().sum::<u64>()), (9, 20_000 * 20_001 / 2));
}

#[test]
fn a_run_can_be_cut_short_by_records_and_by_stage() {
    let scratch = Scratch::new();
    let pipeline = r#"
        [source.numbers]
        run = ["seq", "1", "1000000"]
        [stage.a]
        run = ["sed", "s/^/a/"]
        [stage.b]
        run = ["sed", "s/^/b/"]
        [sink.out]
        file = "out.txt"
    "#;
    let finished = scratch.run_with(pipeline, &["--limit", "3", "--to", "a"]).expect(0);
    assert_eq!(sorted(&finished.stdout), ["a1", "a2", "a3"]);
    assert!(!scratch.path("out.txt").exists(), "the file's sink is behind the cut");
}

#[test]
fn the_printed_file_does_what_the_one_liner_did() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 3000 > in.txt");
    let inline = ["-i", "in.txt", "-s", "grep 9", "--ok-exit", "0,1", "-S", "sort -r", "-o", "out.txt"];
    let printed = scratch.worker(&[&["run"], &inline[..], &["--print-toml"]].concat()).run().expect(0);
    assert!(!scratch.path("out.txt").exists(), "printing does not run");
    scratch.run(&String::from_utf8_lossy(&printed.stdout)).expect(0);
    assert_eq!(scratch.read("out.txt"), scratch.shell("seq 1 3000 | grep 9 | sort -r"));
}
