//! Three `worker node` processes on the loopback: one is killed, stopped or slow while data flows, and blocks nobody else.

use rustix::process::Signal;
use std::time::Duration;
use worker_tests::process::{FLOW, MemoryBefore, Nodes, Running, Scratch, eventually, holds_for};

const PATIENCE: Duration = Duration::from_secs(25);

/// How long a fault lasts: longer than a silent peer is believed in (6 s).
const FAULT: Duration = Duration::from_secs(10);

/// Small ones, so that a fault of seconds goes far past them.
const BUDGETS: &str = "[pipeline]\nname = 'faults'\nmax_record = '64KiB'\ncredit = '256KiB'\noutbox = '512KiB'\n\
                       spill_limit = '512MiB'\n";

/// What two links may hold in memory, of their sender and their receiver.
const BUDGET_BYTES: u64 = 2 * (256 + 512) * 1024;

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/airports/airports.csv");

/// The nodes a (the source's), b and c (the sinks').
fn three<'a>(scratch: &'a Scratch, pipeline: &str) -> (Nodes<'a>, [Running<'a>; 3]) {
    let nodes = Nodes::on_loopback(scratch, &["a", "b", "c"], pipeline);
    let running = ["a", "b", "c"].map(|name| nodes.start(name));
    (nodes, running)
}

#[test]
fn keyed_stages_over_nodes_equal_the_shell_pipe() {
    let scratch = Scratch::new();
    let pipeline = format!(
        r#"
        [source.airports]
        file = "{AIRPORTS}"
        header = "skip"
        place = "a"
        [stage.small]
        run = ["grep", "-v", "Regional"]
        ok_exit = [0, 1]
        partitions = 3
        [stage.by_state]
        mode = "stream"
        partition_by = {{ csv = 4 }}
        partitions = 4
        place = ["b", "c"]
        run = ["awk", "-F,", "{{n[$(NF-3)]++}} END {{for (s in n) print n[s], s}}"]
        [sink.out]
        file = "out.txt"
        place = "c"
        "#
    );
    let (_, running) = three(&scratch, &pipeline);
    for node in running {
        node.wait(PATIENCE).expect(0);
    }
    let pipe = format!(
        "tail -n +2 {AIRPORTS} | grep -v Regional | awk -F, '{{n[$(NF-3)]++}} END {{for (s in n) print n[s], s}}' | sort"
    );
    let expected = scratch.shell(&pipe);
    assert_eq!(String::from_utf8_lossy(&scratch.shell("sort out.txt")), String::from_utf8_lossy(&expected));
}

#[test]
fn a_killed_and_restarted_destination_costs_what_is_reported_and_blocks_nobody() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.b]\nfrom = 'lines'\nmode = 'batch'\nrun = ['sh', '-c', 'cat >> b.txt']\nplace = 'b'\n\
         [sink.c]\nfrom = 'lines'\nmode = 'batch'\nrun = ['sh', '-c', 'cat >> c.txt']\nplace = 'c'\n"
    );
    let (nodes, [a, b, c]) = three(&scratch, &pipeline);
    scratch.wait_until_flows(&["b.txt", "c.txt"]);
    let memory = MemoryBefore::of(&a, BUDGET_BYTES);

    b.kill();
    scratch.assert_keeps_growing("c.txt", FAULT);
    let before = scratch.len("b.txt");
    let b = nodes.start("b");
    eventually("the restarted node takes data", PATIENCE, || {
        if scratch.len("b.txt") > before { Ok(()) } else { Err(a.stderr()) }
    });
    scratch.stop_flow();
    let finished = a.wait(PATIENCE);
    b.wait(PATIENCE).expect(0);
    c.wait(PATIENCE).expect(0);
    memory.assert_within("the sender", finished.peak_rss_bytes);

    scratch.assert_all_arrived(&["c.txt"]);
    let difference = scratch.difference(&["b.txt"]);
    let lost = finished.lost();
    let missing = u64::try_from(difference.missing.len()).expect("a count");
    assert!(missing <= lost, "{lost} records are reported as possibly lost, but {difference}");
    assert!(lost < 20_000, "a few hundred KiB were under way, not {lost} records");
    assert!(difference.torn.len() <= 2, "a kill tears one line, which the next continues: {difference}");
    finished.expect(if lost > 0 { 3 } else { 0 });
}

#[test]
fn a_stopped_destination_blocks_only_itself_and_loses_nothing() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [stage.same]\nrun = ['cat']\npartition_by = {{ field = 1 }}\npartitions = 2\nplace = ['b', 'c']\n\
         [sink.out]\nfile = 'out/'\nplace = ['b', 'c']\n"
    );
    let (_, [a, b, c]) = three(&scratch, &pipeline);
    let parts = ["out/part-00000", "out/part-00001"];
    scratch.wait_until_flows(&parts);
    let memory = MemoryBefore::of(&a, BUDGET_BYTES);

    b.signal(Signal::STOP);
    scratch.assert_keeps_growing(parts[1], FAULT);
    memory.assert_within("the healthy destination", c.peak_rss_bytes());
    b.signal(Signal::CONT);
    scratch.stop_flow();
    let finished = a.wait(PATIENCE).expect(0);
    memory.assert_within("the sender", finished.peak_rss_bytes);
    b.wait(PATIENCE).expect(0);
    c.wait(PATIENCE).expect(0);
    scratch.assert_all_arrived(&parts);
}

#[test]
fn a_slow_sink_slows_only_itself() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.b]\nfrom = 'lines'\nplace = 'b'\n\
         run = ['sh', '-c', '{{ while test ! -e go && read -r l; do echo \"$l\"; sleep 0.01; done; cat; }} > b.txt']\n\
         [sink.c]\nfrom = 'lines'\nfile = 'c.txt'\nplace = 'c'\n"
    );
    let (_, [a, b, c]) = three(&scratch, &pipeline);
    scratch.wait_until_flows(&["c.txt"]);
    let memory = MemoryBefore::of(&a, BUDGET_BYTES);

    scratch.assert_keeps_growing("c.txt", FAULT);
    let (slow, fast) = (scratch.len("b.txt"), scratch.len("c.txt"));
    assert!(slow > 0 && slow * 5 < fast, "the slow sink wrote {slow} bytes, the other one {fast}");
    memory.assert_within("b, which the slow sink is on,", b.peak_rss_bytes());
    scratch.write("go", "");
    scratch.stop_flow();
    let finished = a.wait(PATIENCE).expect(0);
    memory.assert_within("the sender", finished.peak_rss_bytes);
    b.wait(PATIENCE).expect(0);
    c.wait(PATIENCE).expect(0);
    scratch.assert_all_arrived(&["b.txt"]);
    scratch.assert_all_arrived(&["c.txt"]);
}

#[test]
fn past_the_spill_limit_the_source_waits_and_goes_on_after_the_heal() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.b]\nfrom = 'lines'\nrun = ['sh', '-c', 'while test ! -e go; do sleep 0.05; done; cat > b.txt']\nplace = 'b'\n\
         [sink.c]\nfrom = 'lines'\nfile = 'c.txt'\nplace = 'c'\n",
        BUDGETS.replace("512MiB", "4MiB")
    );
    let (_, [a, b, c]) = three(&scratch, &pipeline);
    scratch.wait_until_flows(&["c.txt"]);
    let mut stands = (0, 0);
    eventually("the source waits", PATIENCE, || {
        let now = scratch.len("c.txt");
        stands = if now == stands.0 { (now, stands.1 + 1) } else { (now, 0) };
        if stands.1 > 200 { Ok(()) } else { Err(format!("c has {now} bytes")) }
    });
    // Outbox, spill, credit, what the sink has, its pipe, and a chunk read before the limit was seen.
    let limit = (4 << 20) + (512 + 256 + 256 + 1024 + 2048) * 1024;
    assert!(stands.0 < limit, "c got {} bytes before the other's limit of {limit} held the source", stands.0);
    holds_for("the source still waits", Duration::from_secs(1), || {
        if scratch.len("c.txt") == stands.0 { Ok(()) } else { Err("it went on".into()) }
    });
    scratch.write("go", "");
    eventually("the source goes on", PATIENCE, || {
        if scratch.len("c.txt") > stands.0 + 1_000_000 { Ok(()) } else { Err(a.stderr()) }
    });
    scratch.stop_flow();
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    scratch.assert_all_arrived(&["b.txt"]);
    scratch.assert_all_arrived(&["c.txt"]);
}

#[test]
fn a_node_that_is_not_there_yet_is_not_waited_for() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n[sink.b]\nfrom = 'lines'\nfile = 'b.txt'\nplace = 'b'\n\
         [sink.c]\nfrom = 'lines'\nfile = 'c.txt'\nplace = 'c'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], &pipeline);
    let (a, c) = (nodes.start("a"), nodes.start("c"));
    scratch.wait_until_flows(&["c.txt"]);
    scratch.assert_keeps_growing("c.txt", Duration::from_secs(2));
    scratch.stop_flow();
    let b = nodes.start("b");
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    scratch.assert_all_arrived(&["b.txt"]);
    scratch.assert_all_arrived(&["c.txt"]);
}

#[test]
fn a_restarted_source_node_fails_the_pipeline_everywhere() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n[sink.b]\nfrom = 'lines'\nfile = 'b.txt'\nplace = 'b'\n\
         [sink.c]\nfrom = 'lines'\nfile = 'c.txt'\nplace = 'c'\n"
    );
    let (nodes, [a, b, c]) = three(&scratch, &pipeline);
    scratch.wait_until_flows(&["b.txt", "c.txt"]);
    a.kill();
    let a = nodes.start("a");
    let restarted = "which ran a source, was restarted";
    b.wait(PATIENCE).expect(1).says(&["node a", restarted]);
    c.wait(PATIENCE).expect(1).says(&["node a", restarted]);
    // It has proved nothing to them yet, so it is told no more than that.
    a.wait(PATIENCE).expect(1).says(&["stopped the pipeline", "its log says why"]);
}

#[test]
fn the_failure_of_one_node_ends_the_others_with_its_reason() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.b]\nfrom = 'lines'\nrun = ['sh', '-c', 'head -c 3000000 > b.txt; echo no room >&2; exit 6']\nplace = 'b'\n\
         [sink.c]\nfrom = 'lines'\nfile = 'c.txt'\nplace = 'c'\n"
    );
    let (_, [a, b, c]) = three(&scratch, &pipeline);
    b.wait(PATIENCE).expect(1).says(&["b/0", "status 6", "no room"]);
    a.wait(PATIENCE).expect(1).says(&["node b", "no room"]);
    c.wait(PATIENCE).expect(1).says(&["no room"]);
}

#[test]
fn an_interrupted_source_node_ends_the_input_for_all() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.out]\nfile = 'out/'\npartitions = 2\nplace = ['b', 'c']\n"
    );
    let (_, [a, b, c]) = three(&scratch, &pipeline);
    let parts = ["out/part-00000", "out/part-00001"];
    scratch.wait_until_flows(&parts);
    a.signal(Signal::INT);
    a.wait(PATIENCE).expect(130);
    b.wait(PATIENCE).expect(0);
    c.wait(PATIENCE).expect(0);
    let arrived = scratch.shell("sort out/part-* | cut -d' ' -f1");
    let numbers = String::from_utf8_lossy(&arrived).into_owned();
    let numbers: Vec<usize> = numbers.lines().map(|line| line.parse().expect("a whole record")).collect();
    assert_eq!(
        numbers,
        (1..=numbers.len()).collect::<Vec<_>>(),
        "nothing that was read is missing or repeated"
    );
}

#[test]
fn a_dead_destination_behind_a_filter_stops_nobody() {
    let scratch = Scratch::new();
    scratch
        .shell("seq 1 50000 | sed 's/$/ is a record of about sixty bytes, more than any budget/' > in.txt");
    let pipeline = "[pipeline]\nname = 'rare'\nmax_record = '4KiB'\ncredit = '16KiB'\noutbox = '16KiB'\nspill_limit = '1MiB'\n\
         [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
         [stage.rare]\nfrom = 'in'\nrun = ['grep', '00 ']\nok_exit = [0, 1]\npartitions = 1\nplace = 'a'\nbatch = { max_bytes = '64KiB' }\n\
         [sink.b]\nfrom = 'rare'\nfile = 'b.txt'\nplace = 'b'\n\
         [sink.all]\nfrom = 'in'\nfile = 'all.txt'\nplace = 'a'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let a = nodes.start("a");
    eventually("all records on the living way", PATIENCE, || {
        let (got, all) = (scratch.len("all.txt"), scratch.len("in.txt"));
        if got == all { Ok(()) } else { Err(format!("{got} of {all} bytes; {}", a.stderr())) }
    });
    let b = nodes.start("b");
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert!(scratch.read("b.txt") == scratch.shell("grep '00 ' in.txt"));
}

#[test]
fn a_node_without_work_says_once_that_another_is_away() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['sh', '-c', 'echo one; exec sleep 1000']\nplace = 'a'\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let node = ["node", "--name", "a", "--cluster", "cluster.toml", "pipeline.toml", "--progress", "lines"];
    let (a, b) = (scratch.worker(&node).start(), nodes.start("b"));
    eventually("the record is written", PATIENCE, || match scratch.path("out.txt").exists() {
        true if scratch.text("out.txt") == "one\n" => Ok(()),
        _ => Err(a.stderr()),
    });
    b.kill();
    let named =
        || a.stderr().lines().filter(|line| line.starts_with('[') && line.contains("| node b ")).count();
    eventually("a line names b", PATIENCE, || if named() > 0 { Ok(()) } else { Err(a.stderr()) });
    // Two lines of a working node would come in this time; why b is away may be known better once.
    holds_for("nothing is said again", Duration::from_secs(11), || {
        if named() <= 2 { Ok(()) } else { Err(a.stderr()) }
    });
}
