//! What was read of a file is not kept a second time: the journal refers to it, and reads it again where it is needed.

use crate::{PATIENCE, assert_copied, prepare, run, start};
use worker_tests::process::{Scratch, eventually};

/// A program that has been given everything and has said nothing is given it again.
const HOLDS: &str = "[pipeline]\nname = 'holds'\n[source.in]\nfile = 'in.txt'\n\
                     [stage.holds]\nmode = 'stream'\n\
                     run = ['sh', '-c', 'cat > got; until test -e go; do sleep 0.02; done; cat got']\n\
                     [sink.out]\nfile = 'out.txt'\n";

#[test]
fn a_window_is_given_again_from_the_file_that_it_was_read_from() {
    let scratch = Scratch::new();
    prepare(&scratch, HOLDS);
    let running = start(&scratch);
    let length = scratch.len("in.txt");
    eventually("its program has all", PATIENCE, || {
        if scratch.path("got").exists() && scratch.len("got") == length {
            Ok(())
        } else {
            Err(running.stderr())
        }
    });
    running.kill();
    scratch.assert_no_process_left();
    let journal = scratch.worker(&["journal", "inspect", "state"]).run().expect(0);
    let text = String::from_utf8_lossy(&journal.stdout);
    assert!(text.contains("in file 0 of what task 0 reads at byte "), "{text}");

    scratch.shell("cp in.txt kept; printf X | dd of=in.txt bs=1 seek=300000 conv=notrunc 2> /dev/null");
    run(&scratch).expect(1).says(&["in.txt", "has changed since it was read", "--fresh"]);
    scratch.shell("mv in.txt away");
    run(&scratch).expect(2).says(&["still needed", "in.txt is gone", "put it back", "--fresh"]);

    scratch.shell("mv away in.txt; cat kept > in.txt; touch go");
    run(&scratch).expect(0);
    assert_copied(&scratch);
}
