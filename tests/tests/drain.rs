//! `worker drain`: no new input is taken, all that was taken is delivered, and then the workers end, with status 0.

use std::time::Duration;
use worker_tests::process::{Finished, Nodes, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(90);

/// Batches that take their time, so that much is under way when the order comes.
const SLOW: &str = "[stage.slow]\nrun = ['sh', '-c', 'sleep 0.1; exec cat']\nbatch = { max_records = 100 }\npartitions = 2\n";

fn order(scratch: &Scratch, line: &[&str]) -> Finished {
    scratch.worker(line).run()
}

fn told(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr
}

fn one<'a>(scratch: &'a Scratch, pipeline: &str, state: bool) -> Running<'a> {
    scratch.write("pipeline.toml", pipeline);
    let state: &[&str] = if state { &["--state", "state"] } else { &[] };
    scratch.worker(&[&["run", "pipeline.toml", "--progress", "none"], state].concat()).start()
}

fn arrive(scratch: &Scratch, name: &str, running: &Running<'_>) {
    eventually("records come", PATIENCE, || match std::fs::metadata(scratch.path(name)) {
        Ok(file) if file.len() > 0 => Ok(()),
        Ok(_) | Err(_) => Err(running.stderr()),
    });
}

/// The numbers of a generated source's records, sorted.
fn numbers(scratch: &Scratch, name: &str) -> Vec<u64> {
    let text = scratch.text(name);
    let number = |line: &str| line.split(' ').nth(1).expect("a number").parse().expect("a number");
    let mut numbers: Vec<u64> = text.lines().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Each of the first ones, once.
fn is_whole(numbers: &[u64]) {
    let wrong = (1..).zip(numbers).find(|&(expected, &number)| expected != number);
    assert_eq!(wrong, None, "of {}", numbers.len());
    assert!(!numbers.is_empty());
}

/// What `taken` says was taken of the source.
fn taken(scratch: &Scratch, reports: &[&str]) -> u64 {
    reports
        .iter()
        .map(|name| {
            let report: serde_json::Value = serde_json::from_slice(&scratch.read(name)).expect("a report");
            let stages = report["stages"].as_array().expect("stages").clone();
            let source = stages.iter().find(|stage| stage["name"] == "made").expect("the source");
            source["records_out"].as_u64().unwrap_or(0)
        })
        .sum()
}

#[test]
fn all_that_was_taken_is_delivered_and_with_state_the_next_start_reads_on() {
    for state in [false, true] {
        let scratch = Scratch::new();
        let pipeline = format!(
            "[source.made]\ngenerate = {{ rate = '3000/s' }}\n{SLOW}[sink.out]\nfile = 'out.txt'\nexists = 'append'\n"
        );
        let running = one(&scratch, &pipeline, state);
        arrive(&scratch, "out.txt", &running);
        let drained = order(&scratch, &["drain"]).expect(0);
        for part in ["node local: draining: sources give no more", "node local has ended: drained"] {
            assert!(told(&drained).contains(part), "{part}: {}", told(&drained));
        }
        let ended = running.wait(Duration::from_secs(10)).expect(0);
        assert!(ended.stderr.contains("drained: no new input was taken"), "{}", ended.stderr);
        let first = numbers(&scratch, "out.txt");
        is_whole(&first);
        scratch.assert_no_process_left();
        if !state {
            continue;
        }
        // Nothing is left to be done: what comes is new.
        let again = one(&scratch, &pipeline, true);
        eventually("it reads on", PATIENCE, || {
            if numbers(&scratch, "out.txt").len() > first.len() { Ok(()) } else { Err(again.stderr()) }
        });
        order(&scratch, &["drain"]).expect(0);
        again.wait(Duration::from_secs(10)).expect(0);
        is_whole(&numbers(&scratch, "out.txt"));
    }
}

/// A window is over, as its time might end it; a program whose input has no end but the real one keeps what it has.
#[test]
fn windows_are_cut_and_what_has_no_window_waits_for_the_real_end() {
    let scratch = Scratch::new();
    scratch.shell("seq 1000 > in.txt");
    let pipeline = "[source.in]\nfile = 'in.txt'\nrate = '200/s'\n\
        [stage.sums]\nfrom = 'in'\nmode = 'stream'\nrun = ['awk', '{ n++ } END { print n }']\nwindow = { every = '1h' }\n\
        [stage.sorted]\nfrom = 'in'\nmode = 'stream'\nrun = ['sort', '-n']\n\
        [sink.of_sums]\nfrom = 'sums'\nfile = 'sums.txt'\n[sink.of_sorted]\nfrom = 'sorted'\nfile = 'sorted.txt'\n";
    let running = one(&scratch, pipeline, true);
    eventually("it reads", PATIENCE, || {
        let status = order(&scratch, &["status", "--json"]);
        let nodes: serde_json::Value = serde_json::from_slice(&status.stdout).map_err(|e| e.to_string())?;
        let tasks = nodes[0]["tasks"].as_array().cloned().unwrap_or_default();
        let has_read = |name: &str| {
            let task = tasks.iter().find(|task| task["name"] == name);
            task.and_then(|task| task["records_in"].as_u64()).is_some_and(|records| records > 100)
        };
        if has_read("sums/0") && has_read("sorted/0") { Ok(()) } else { Err(running.stderr()) }
    });
    order(&scratch, &["drain"]).expect(0);
    let ended = running.wait(Duration::from_secs(10)).expect(0);
    assert!(ended.stderr.contains("kept for programs whose input has not ended"), "{}", ended.stderr);
    let sum: u64 = scratch.text("sums.txt").trim().parse().expect("one window");
    assert!((100..1000).contains(&sum), "{sum}");
    assert_eq!(scratch.len("sorted.txt"), 0);
    let again = one(&scratch, &pipeline.replace("rate = '200/s'\n", ""), true);
    again.wait(PATIENCE).expect(0);
    let sums: Vec<u64> = scratch.text("sums.txt").lines().map(|line| line.parse().expect("a sum")).collect();
    assert_eq!((sums.len(), sums.iter().sum::<u64>()), (2, 1000), "{sums:?}");
    assert_eq!(scratch.read("sorted.txt"), scratch.read("in.txt"));
}

/// The end of the input, in memory, is one for whole-input programs, too.
#[test]
fn in_memory_a_program_over_all_input_sums_up_what_was_taken() {
    let scratch = Scratch::new();
    let pipeline = "[source.made]\ngenerate = { rate = '1000/s' }\n[stage.count]\nmode = 'stream'\nrun = ['wc', '-l']\n\
                    [sink.out]\nfile = 'out.txt'\n";
    scratch.write("pipeline.toml", pipeline);
    let line = ["run", "pipeline.toml", "--progress", "none", "--report", "report.json"];
    let running = scratch.worker(&line).start();
    eventually("it runs", PATIENCE, || {
        let status = told(&order(&scratch, &["status"]));
        if status.contains("made") && status.contains("records") { Ok(()) } else { Err(status) }
    });
    order(&scratch, &["drain"]).expect(0);
    running.wait(Duration::from_secs(10)).expect(0);
    let count: u64 = scratch.text("out.txt").trim().parse().expect("a count");
    assert_eq!(count, taken(&scratch, &["report.json"]));
}

fn over_three_nodes(delivery: &str) {
    let scratch = Scratch::new();
    // Back and forth, so that each node both sends to and receives of another.
    let pipeline = format!(
        "[pipeline]\ndelivery = '{delivery}'\n[source.made]\ngenerate = {{ rate = '3000/s' }}\nplace = 'a'\n{SLOW}place = ['b', 'c']\n\
         [stage.back]\nrun = 'cat'\npartitions = 2\nplace = ['a', 'c']\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n"
    );
    let _nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], &pipeline);
    let start = |name: &str| {
        let node =
            ["node", "--name", name, "--cluster", "cluster.toml", "pipeline.toml", "--progress", "none"];
        scratch.worker(&[&node[..], &["--report", &format!("{name}.json")]].concat()).start()
    };
    let running = ["a", "b", "c"].map(start);
    arrive(&scratch, "out.txt", &running[1]);
    let drained = order(&scratch, &["drain"]).expect(0);
    let said = told(&drained);
    for part in ["node a: draining: sources give no more", "node b: draining: it has no source of its own"] {
        assert!(said.contains(part), "{delivery}: {part}: {said}");
    }
    for node in running {
        let ended = node.wait(Duration::from_secs(20)).expect(0);
        assert!(ended.stderr.contains("drained: "), "{delivery}: {}", ended.stderr);
    }
    let given = numbers(&scratch, "out.txt");
    is_whole(&given);
    assert_eq!(given.len() as u64, taken(&scratch, &["a.json"]), "{delivery}");
    scratch.assert_no_process_left();
}

#[test]
fn three_nodes_end_together_in_memory() {
    over_three_nodes("memory");
}

#[test]
fn three_nodes_end_together_exactly_once() {
    over_three_nodes("exactly-once");
}

#[test]
fn a_drain_that_waits_says_for_what_and_a_stop_ends_it() {
    let scratch = Scratch::new();
    let pipeline = "[source.made]\ngenerate = { rate = '100/s' }\n[stage.hangs]\nrun = ['sh', '-c', 'cat > /dev/null; exec sleep 3600']\npartitions = 1\n\
                    [sink.out]\nfile = 'out.txt'\n";
    let running = one(&scratch, pipeline, true);
    eventually("a program hangs", PATIENCE, || {
        let why = told(&order(&scratch, &["why"]));
        if why.contains("hangs") { Ok(()) } else { Err(why) }
    });
    let late = order(&scratch, &["drain", "--timeout", "1s"]).expect(1);
    late.says(&["node local has not ended yet", "hangs", "worker stop does not wait for all of it"]);
    assert!(told(&order(&scratch, &["status"])).contains("draining"));
    assert!(told(&order(&scratch, &["drain", "--timeout", "1s"])).contains("drains already"));
    order(&scratch, &["stop", "--now"]).expect(0);
    running.wait(PATIENCE).expect(143);
    order(&scratch, &["drain"]).expect(1).says(&["no worker runs here"]);
    scratch.assert_no_process_left();
}
