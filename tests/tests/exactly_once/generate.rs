//! Records that the worker makes itself: a killed worker's next life makes the rest.

use crate::{PATIENCE, run, start};
use worker_tests::process::{Scratch, eventually};

const MADE: &str = "[pipeline]\nname = 'made'\nmax_record = '16KiB'\ncredit = '32KiB'\noutbox = '32KiB'\n\
                    [source.made]\ngenerate = { records = 20000, bytes = 60, keys = 100, rate = '10000/s', seed = 7 }\n\
                    [sink.out]\nfile = 'out.txt'\n";

#[test]
fn killed_again_and_again_it_makes_what_it_makes_in_one_life() {
    let scratch = Scratch::new();
    scratch.write("whole.toml", MADE.replace("out.txt", "whole.txt").replace(", rate = '10000/s'", ""));
    scratch.worker(&["run", "whole.toml"]).run().expect(0);
    scratch.write("pipeline.toml", MADE);
    let mut written = 0;
    for _ in 0..3 {
        let mut running = start(&scratch);
        eventually("it goes on", PATIENCE, || {
            assert!(!running.has_ended(), "it ended: {}", running.stderr());
            if scratch.len("out.txt") > written + 200_000 { Ok(()) } else { Err(running.stderr()) }
        });
        running.kill();
        scratch.assert_no_process_left();
        written = scratch.len("out.txt");
    }
    run(&scratch).expect(0);
    assert_eq!(scratch.len("whole.txt"), 20_000 * 61);
    assert!(scratch.read("out.txt") == scratch.read("whole.txt"), "{}", first_difference(&scratch));
}

#[test]
fn a_faster_rate_is_no_other_input_and_another_seed_is() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", MADE.replace("20000,", "1000000,"));
    let mut running = start(&scratch);
    eventually("it goes on", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        if scratch.len("out.txt") > 10_000 { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    scratch.write("pipeline.toml", MADE.replace("20000,", "1000000,").replace("seed = 7", "seed = 8"));
    run(&scratch).expect(2).says(&["changed", "source.made.generate", "seed = 8", "--fresh"]);
    scratch.write("pipeline.toml", MADE.replace("20000,", "1000000,").replace("10000/s", "1000000/s"));
    run(&scratch).expect(0);
    assert_eq!(scratch.len("out.txt"), 61_000_000);
}

fn first_difference(scratch: &Scratch) -> String {
    String::from_utf8_lossy(&scratch.shell("cmp out.txt whole.txt; true")).into_owned()
}
