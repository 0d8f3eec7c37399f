//! A sample is the same through kills.

use crate::{PATIENCE, run, start};
use worker_tests::process::{Scratch, eventually};

fn pipeline(source: &str, out: &str) -> String {
    format!(
        "[pipeline]\nname = 'sampled'\nmax_record = '4KiB'\ncredit = '8KiB'\noutbox = '8KiB'\nspill_limit = '8KiB'\n\
         [source.in]\n{source}\n[stage.same]\nrun = ['sh', '-c', 'sleep 0.02; cat']\npartitions = 1\nbatch = {{ max_records = 50 }}\n\
         [sink.out]\nfile = '{out}'\n"
    )
}

/// Killed so many times, with a dead letter now and then, and equal to one undisturbed run in memory.
fn equal_over_kills(source: &str) {
    let scratch = Scratch::new();
    scratch.shell(
        "seq 60000 | awk '{print \"k\" $1 % 500, \"a line of some length, so that budgets hold few of them\", $1}' > in.txt",
    );
    scratch.write("whole.toml", pipeline(source, "whole.txt"));
    scratch.worker(&["run", "whole.toml", "--admin", "none"]).run().expect(0);
    scratch.write("pipeline.toml", pipeline(&format!("{source}\nrate = '4000/s'\nburst = 7"), "out.txt"));
    for _ in 0..4 {
        let written = scratch.len("out.txt");
        let mut running = start(&scratch);
        eventually("it goes on", PATIENCE, || {
            assert!(!running.has_ended(), "it ended: {}", running.stderr());
            if scratch.len("out.txt") > written + 20_000 { Ok(()) } else { Err(running.stderr()) }
        });
        running.kill();
        scratch.assert_no_process_left();
    }
    scratch.write("pipeline.toml", pipeline(&format!("{source}\nrate = '100000/s'"), "out.txt"));
    run(&scratch).expect(0);
    assert!(
        scratch.len("out.txt") > 0 && scratch.read("out.txt") == scratch.read("whole.txt"),
        "not the same records"
    );
}

#[test]
fn at_random_it_is_equal_over_kills() {
    equal_over_kills("file = 'in.txt'\nsample = '10%'\nsample_seed = 3");
}

#[test]
fn by_key_it_is_equal_over_kills() {
    equal_over_kills("file = 'in.txt'\nsample = '15%'\nsample_by = { field = 1 }");
}

#[test]
fn of_a_log_that_is_followed_it_is_equal_over_kills() {
    let scratch = Scratch::new();
    let source = "file = 'in.txt'\nfollow = true\nsample = '10%'";
    scratch.write("in.txt", "");
    scratch.write("pipeline.toml", pipeline(source, "out.txt"));
    let text = |from: u32, to: u32| {
        format!("seq {from} {to} | sed 's/$/ is a line of some length, so that budgets hold few/'")
    };
    scratch.shell(&format!("{} > all.txt", text(1, 20_000)));
    for part in 0..4 {
        scratch.shell(&format!("{} >> in.txt", text(part * 5000 + 1, part * 5000 + 5000)));
        let mut running = start(&scratch);
        let written = scratch.len("out.txt");
        eventually("it goes on", PATIENCE, || {
            assert!(!running.has_ended(), "it ended: {}", running.stderr());
            if scratch.len("out.txt") > written + 10_000 { Ok(()) } else { Err(running.stderr()) }
        });
        running.kill();
    }
    scratch.write("whole.toml", pipeline("file = 'all.txt'\nsample = '10%'", "whole.txt"));
    scratch.worker(&["run", "whole.toml", "--admin", "none"]).run().expect(0);
    let mut running = start(&scratch);
    eventually("all of it comes", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        if scratch.len("out.txt") >= scratch.len("whole.txt") { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    assert!(scratch.read("out.txt") == scratch.read("whole.txt"), "not the same records");
}

#[test]
fn another_sample_is_another_input() {
    let scratch = Scratch::new();
    scratch.shell("seq 1000 > in.txt");
    scratch.write("pipeline.toml", pipeline("file = 'in.txt'\nsample = '10%'", "out.txt"));
    run(&scratch).expect(0);
    for (change, named) in
        [("sample = '20%'", "source.in.sample"), ("sample = '10%'\nsample_seed = 1", "sample_seed")]
    {
        scratch.write("pipeline.toml", pipeline(&format!("file = 'in.txt'\n{change}"), "out.txt"));
        run(&scratch).expect(2).says(&["changed", named, "--fresh"]);
    }
}
