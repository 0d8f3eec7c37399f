//! Paths as records: the list is fixed at the first start.

use crate::{PATIENCE, run, start};
use worker_tests::process::{Scratch, eventually};

const LISTED: &str = "[pipeline]\nname = 'listed'\nmax_record = '4KiB'\ncredit = '5KiB'\noutbox = '5KiB'\nspill_limit = '5KiB'\n\
                      [source.in]\nlist = ['in/*', 'last']\n\
                      [stage.taken]\nrun = ['sh', '-c', 'sleep 0.02; printf \"%s\\n\" \"$@\"; rm -f \"$@\"', 'sh', '{}']\ninput = 'args'\n\
                      partitions = 1\nbatch = { max_records = 50 }\n\
                      [sink.out]\nfile = 'out.txt'\n";

fn prepare(scratch: &Scratch) {
    scratch.shell(
        "mkdir in; cd in; seq -f \"%g-$(printf '%0150d')\" 1000 3999 | xargs touch; \
         cd ..; echo > last; ls -d in/* last > listed",
    );
    scratch.write("pipeline.toml", LISTED);
}

fn until(scratch: &Scratch, written: u64) {
    let mut running = start(scratch);
    eventually("it goes on", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        if scratch.len("out.txt") > written { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    scratch.assert_no_process_left();
}

/// The program removes what it has taken, and others put new files there.
#[test]
fn killed_again_and_again_it_gives_what_was_there_at_the_first_start_once() {
    let scratch = Scratch::new();
    prepare(&scratch);
    for _ in 0..4 {
        let written = scratch.len("out.txt");
        until(&scratch, written + 30_000);
        scratch.shell("echo > in/0new; echo > in/3500new; echo > in/9new");
    }
    run(&scratch).expect(0);
    assert_eq!(scratch.text("out.txt"), scratch.text("listed"));
    run(&scratch).expect(0).says(&["finished already"]);
}

/// A rate lets a part of what is read at once go on; that part is gone when the next life begins.
#[test]
fn killed_with_a_rate_it_misses_none_of_what_was_given() {
    let scratch = Scratch::new();
    prepare(&scratch);
    let rated = LISTED.replace("'last']\n", "'last']\nrate = '2000/s'\nburst = 3\n");
    scratch.write("pipeline.toml", rated);
    for _ in 0..3 {
        let written = scratch.len("out.txt");
        until(&scratch, written + 22_500);
    }
    run(&scratch).expect(0);
    assert_eq!(scratch.text("out.txt"), scratch.text("listed"));
}

#[test]
fn a_listed_file_that_is_missing_later_is_named_and_can_be_left_out() {
    let scratch = Scratch::new();
    prepare(&scratch);
    until(&scratch, 10_000);
    scratch.shell("mv last away");
    run(&scratch).expect(2).says(&["last is gone", "put it back", "on_damage = \"skip\"", "--fresh"]);
    scratch.shell("mv away last");
    until(&scratch, scratch.len("out.txt") + 10_000);
    scratch.shell("rm last");
    scratch.write("pipeline.toml", LISTED.replace("'last']\n", "'last']\non_damage = 'skip'\n"));
    run(&scratch).expect(3).says(&["1 dead letter"]);
    assert_eq!(scratch.text("out.txt"), scratch.text("listed").replace("last\n", ""));
    let letters = scratch.worker(&["dlq", "list", "--state", "state"]).run().expect(0).stdout;
    assert!(String::from_utf8_lossy(&letters).contains("last is gone"));
}
