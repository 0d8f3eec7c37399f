//! Chains that lead over several tasks, and over nodes.

use crate::ask::{admin, chain, root_kind, steps, why_text};
use std::fs::OpenOptions;
use worker_tests::process::{FLOW, Nodes, Scratch};

/// A program that takes a line, and then nothing more until `go` is there.
const HANGS: &str =
    "run = ['bash', '-c', 'read -r l; while ! test -e go; do sleep 0.1; done; exec cat > /dev/null']";

#[test]
fn a_wait_on_one_node_ends_in_its_cause_on_another() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'across'\ncredit = '256KiB'\nmax_record = '64KiB'\noutbox = '512KiB'\nspill_limit = '1MiB'\n\
         [source.lines]\n{FLOW}\nplace = 'a'\n\
         [stage.slow]\nmode = 'stream'\n{HANGS}\nplace = 'b'\n\
         [sink.out]\nfile = 'out.txt'\nplace = 'b'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let [mut a, mut b] = ["a", "b"].map(|name| nodes.start(name));
    admin(&mut a);
    admin(&mut b);
    let told = chain(&scratch, &[], "the chain leads from node a to the program on node b", |c| {
        c["task"] == "lines/0" && steps(c).len() > 1
    });
    let last = told["steps"].as_array().and_then(|s| s.last()).expect("a root");
    assert_eq!((&last["task"], &last["node"]), (&"slow/0".into(), &"b".into()), "{told}");
    scratch.write("go", "");
    scratch.stop_flow();
    drop((a, b));
}

#[test]
fn a_paused_stage_is_the_root_of_what_waits_for_it_until_it_is_resumed() {
    let scratch = Scratch::new();
    let run = scratch.start(
        &format!(
            "[pipeline]\nname = 'held'\ncredit = '256KiB'\nmax_record = '64KiB'\noutbox = '512KiB'\nspill_limit = '1MiB'\n\
             [source.lines]\n{FLOW}\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n"
        ),
        &[],
    );
    scratch.wait_until_flows(&["out.txt"]);
    scratch.worker(&["pause", "same"]).run().expect(0);
    let told =
        chain(&scratch, &[], "the pause is the root", |c| c["task"] == "lines/0" && root_kind(c) == "paused");
    assert!(told["advice"].as_str().is_some_and(|advice| advice.contains("worker resume")), "{told}");
    let refused = scratch.worker(&["pause", "sane"]).run().expect(2);
    assert!(
        refused
            .stderr
            .contains("there is no stage sane; did you mean `same`? (stages there: lines, same, out)"),
        "{}",
        refused.stderr
    );
    scratch.worker(&["resume", "same"]).run().expect(0);
    scratch.assert_keeps_growing("out.txt", std::time::Duration::from_secs(1));
    scratch.stop_flow();
    run.wait(crate::ask::PATIENCE).expect(0);
    scratch.assert_all_arrived(&["out.txt"]);
}

#[test]
fn a_program_that_cannot_keep_up_is_what_limits_the_throughput() {
    let scratch = Scratch::new();
    let run = scratch.start(
        "[pipeline]\nname = 'busy'\n[source.lines]\nrun = ['yes']\n[stage.slow]\npartitions = 1\n\
         batch = { max_bytes = '64KiB' }\nrun = ['sh', '-c', 'sleep 0.2; cat']\n[sink.out]\nfile = 'out.txt'\n",
        &[],
    );
    worker_tests::process::eventually("it is named", crate::ask::PATIENCE, || {
        let said = why_text(&scratch, &[]);
        if said.contains("throughput is limited by stage slow (its programs are busy") {
            Ok(())
        } else {
            Err(said)
        }
    });
    drop(run);
}

#[test]
fn a_reader_that_takes_nothing_is_the_root_and_one_that_is_slow_is_not() {
    let scratch = Scratch::new();
    scratch.shell("mkfifo pipe");
    let mut reader = std::process::Command::new("bash")
        .args(["-c", "while ! test -e go; do sleep 0.1; done; while ! test -e fast; do dd bs=4000 count=1 status=none of=/dev/null; \
                      sleep 0.02; done; exec cat > /dev/null"])
        .current_dir(scratch.path("."))
        .stdin(OpenOptions::new().read(true).write(true).open(scratch.path("pipe")).expect("the pipe"))
        .spawn()
        .expect("bash");
    let mut run = scratch.start(
        &format!(
            "[pipeline]\nname = 'pipe'\ncredit = '256KiB'\nmax_record = '64KiB'\noutbox = '512KiB'\nspill_limit = '1MiB'\n\
             [source.lines]\n{FLOW}\n[sink.out]\nfile = 'pipe'\n"
        ),
        &[],
    );
    admin(&mut run);
    chain(&scratch, &[], "the write is the root", |c| {
        c["task"] == "lines/0" && c["stalled"] == true && root_kind(c) == "write_hung"
    });
    scratch.write("go", "");
    let is_root = || {
        let (said, _) = crate::ask::why(&scratch, &[]);
        said["chains"].as_array().is_some_and(|chains| chains.iter().any(|c| root_kind(c) == "write_hung"))
    };
    let over = || if is_root() { Err("it is still the root".to_owned()) } else { Ok(()) };
    worker_tests::process::eventually("it reads again", crate::ask::PATIENCE, over);
    worker_tests::process::holds_for("slow is not stuck", std::time::Duration::from_secs(5), over);
    scratch.write("fast", "");
    scratch.stop_flow();
    run.wait(crate::ask::PATIENCE).expect(0);
    reader.kill().and_then(|()| reader.wait()).expect("it is there");
}
