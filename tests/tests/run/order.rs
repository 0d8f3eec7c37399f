//! The order of the input, kept by stages whose tasks work side by side.

use std::time::Duration;
use worker_tests::process::{Nodes, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(25);

fn assert_same(scratch: &Scratch, what: &str, got: &[u8], want: &str) {
    let want = scratch.shell(want);
    let first = got.split(|&b| b == b'\n').zip(want.split(|&b| b == b'\n')).position(|(a, b)| a != b);
    assert!(got == want, "{what}: {} bytes instead of {}, line {first:?} differs", got.len(), want.len());
}

#[test]
fn what_comes_out_is_what_a_pipe_gives_whatever_the_batches() {
    let scratch = Scratch::new();
    scratch.shell("mkdir in; seq 1 60000 > all; split -n l/4 all in/; gzip in/ac");
    for (stage, options) in [
        ("-s", &["-j", "3"][..]),
        ("-s", &["-j", "4", "--batch", "61records"]),
        ("-s", &["-j", "2", "--batch", "1KiB"]),
        ("-s", &["-j", "1"]),
        ("-S", &[]),
    ] {
        let line = ["run", "-i", "in/*", stage, "sed '/3$/d;s/$/!/'"];
        let line: Vec<&str> = line.iter().chain(options).copied().chain(["-k"]).collect();
        let out = scratch.worker(&line).run().expect(0).stdout;
        assert_same(&scratch, &line.join(" "), &out, "sed '/3$/d;s/$/!/' all");
    }
    let fed = scratch.shell("cat all");
    let out = scratch
        .worker(&["run", "-s", "cat", "-j", "3", "-s", "sed s/1/x/", "-j", "2", "-k"])
        .input(fed)
        .run();
    assert_same(&scratch, "two stages", &out.expect(0).stdout, "sed s/1/x/ all");
}

#[test]
fn programs_that_take_long_to_start_are_not_started_for_each_few_records() {
    let scratch = Scratch::new();
    // A line every 25 ms, each later than the linger of the one before it.
    let source = "i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); sleep 0.025; done";
    let pipeline = format!(
        "[source.in]\nrun = ['sh', '-c', '{source}']\n[stage.slow]\nrun = ['sh', '-c', 'echo >> ran; sleep 0.5; exec cat']\npartitions = 2\n\
         [sink.out]\norder = 'input'\nfile = 'out.txt'\n"
    );
    scratch.run_with(&pipeline, &["--slots", "2"]).expect(0);
    assert_same(&scratch, "out", &scratch.read("out.txt"), "seq 0 99");
    let ran = scratch.text("ran").lines().count();
    assert!(ran < 50, "{ran} programs for 100 records that came while others ran");
}

#[test]
fn programs_that_answer_records_side_by_side_keep_the_order_too() {
    let scratch = Scratch::new();
    scratch.write(
        "shout.py",
        "import json, sys\nfor line in sys.stdin:\n  m = json.loads(line)\n  if 'hello' in m or 'record' not in m: \n    \
         if 'id' in m: print(json.dumps({'id': m['id']}), flush=True)\n    continue\n  r = m['record']\n  \
         print(json.dumps({'id': m['id'], 'emit': [] if r.endswith('9') else [r + '!']}), flush=True)\n",
    );
    let pipeline = "[source.in]\nrun = ['seq', '1', '20000']\n[stage.shout]\nmode = 'records'\nrun = ['python3', 'shout.py']\npartitions = 3\n\
                    order = 'input'\n[sink.out]\nstdout = true\n";
    let out = scratch.run(pipeline).expect(0).stdout;
    assert_same(&scratch, "answers", &out, "seq 1 20000 | sed '/9$/d;s/$/!/'");
}

#[test]
fn records_that_fail_are_left_out_and_the_rest_stays_in_order() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['seq', '1', '3000']\n[stage.picky]\nrun = ['awk', '/^(1|77|500|999|2999)$/ {exit 7} {print}']\n\
                    partitions = 3\nbatch = { max_records = 40 }\nretry = { max_attempts = 2, initial = '1ms', max = '5ms' }\n\
                    [sink.out]\norder = 'input'\nfile = 'out.txt'\n";
    scratch.run(pipeline).expect(3);
    assert_same(&scratch, "out", &scratch.read("out.txt"), "seq 1 3000 | grep -Evx '1|77|500|999|2999'");
}

#[test]
fn letters_of_an_ordered_run_are_replayed_behind_their_turn() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['seq', '1', '300']\n[stage.picky]\nrun = ['awk', '/7$/ && system(\"test -e mended\") {exit 3} {print}']\n\
                    partitions = 3\nretry = { max_attempts = 1, initial = '1ms', max = '1ms' }\nmax_dead = 1000\n[stage.marked]\nrun = ['sed', 's/$/!/']\n\
                    partitions = 2\n[sink.out]\norder = 'input'\nfile = 'out.txt'\n";
    scratch.run_with(pipeline, &["--state", "state"]).expect(3);
    assert_same(&scratch, "out", &scratch.read("out.txt"), "seq 1 300 | grep -v '7$' | sed 's/$/!/'");
    scratch.write("mended", "");
    scratch.worker(&["dlq", "replay", "pipeline.toml", "--state", "state", "all"]).run().expect(0);
    let all = scratch.shell("sort -n out.txt");
    assert_same(&scratch, "with what was replayed", &all, "seq 1 300 | sed 's/$/!/'");
    let changed = pipeline.replace("order = 'input'\n", "");
    scratch
        .run_with(&changed, &["--state", "state"])
        .expect(2)
        .says(&["sink.out.order: was \"input\"", "--fresh"]);
}

#[test]
fn a_slow_batch_holds_only_what_is_behind_it_and_why_names_it() {
    let scratch = Scratch::new();
    let program = "read first; echo $first >> ran; [ $first = 101 ] && until [ -e go ]; do sleep 0.05; done; echo $first; cat";
    let pipeline = format!(
        "[source.in]\nrun = ['seq', '1', '20000']\n[stage.slow]\nrun = ['sh', '-c', '{program}']\npartitions = 3\nbatch = {{ max_records = 100 }}\n\
         [sink.out]\norder = 'input'\nfile = 'out.txt'\n"
    );
    let running = scratch.start(&pipeline, &["--slots", "3"]);
    eventually("batches behind the slow one run", PATIENCE, || {
        let ran = scratch.text("ran").lines().count();
        if ran > 100 { Ok(()) } else { Err(format!("{ran} batches\n{}", running.stderr())) }
    });
    eventually("what is before it is written", PATIENCE, || {
        let out = scratch.text("out.txt");
        if out.lines().count() == 100 { Ok(()) } else { Err(format!("{} records", out.lines().count())) }
    });
    eventually("worker why names the task that has it", PATIENCE, || {
        let said = String::from_utf8_lossy(&scratch.worker(&["why", "--json"]).run().stdout).into_owned();
        let names = said.contains("slow/1 on node local, whose output comes next in the input's order");
        if names { Ok(()) } else { Err(said) }
    });
    scratch.write("go", "");
    running.wait(PATIENCE).expect(0);
    assert_same(&scratch, "out", &scratch.read("out.txt"), "seq 1 20000");
}

#[test]
fn in_memory_a_node_that_comes_back_ends_the_run_and_says_why() {
    let scratch = Scratch::new();
    let pipeline = "[pipeline]\nname = 'ordered'\n[source.in]\nrun = ['sh', '-c', 'i=0; while :; do seq $i $((i+99)); i=$((i+100)); sleep 0.01; done']\n\
                    place = 'a'\n[stage.copy]\nrun = ['cat']\npartitions = 2\nplace = ['a', 'b']\n\
                    [sink.out]\norder = 'input'\nfile = 'out.txt'\nplace = 'a'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    eventually("it flows", PATIENCE, || {
        let lines = scratch.path("out.txt").exists().then(|| scratch.text("out.txt").lines().count());
        if lines > Some(2000) { Ok(()) } else { Err(a.stderr()) }
    });
    b.kill();
    let b = nodes.start("b");
    a.wait(PATIENCE).expect(1).says(&["b", "order = \"input\"", "--state"]);
    drop(b);
    let out = scratch.text("out.txt");
    let lines = out.lines().count();
    assert_same(&scratch, "what was written", out.as_bytes(), &format!("seq 0 {}", lines - 1));
}
