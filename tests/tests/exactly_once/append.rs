//! Sinks that write behind what others have left in their files.

use crate::{PATIENCE, SLOW, half, prepare, run};
use worker_tests::process::Scratch;

fn appends(pipeline: &str) -> String {
    pipeline.replace("'out.txt'\n", "'out.txt'\nexists = 'append'\n")
}

#[test]
fn the_last_record_of_others_is_none_with_the_first_of_ours_also_after_a_kill() {
    let scratch = Scratch::new();
    prepare(&scratch, &appends(SLOW));
    scratch.write("out.txt", "old1\nold2");
    half(&scratch);
    run(&scratch).expect(0);
    scratch.shell("{ printf 'old1\\nold2\\n'; cat in.txt; } | cmp - out.txt");
}

#[test]
fn so_it_is_when_the_kill_comes_before_anything_is_committed() {
    let scratch = Scratch::new();
    prepare(&scratch, &appends(SLOW));
    scratch.write("out.txt", "old1\nold2");
    for fault in ["sink.write.before", "sink.write.after", "sink.sync.after:2"] {
        let killed = scratch.worker(&["run", "pipeline.toml", "--state", "state", "--progress", "none"]);
        killed.env("WORKER_FAULT", fault).run().expect_signal(9);
    }
    run(&scratch).expect(0);
    scratch.shell("{ printf 'old1\\nold2\\n'; cat in.txt; } | cmp - out.txt");
}

#[test]
fn each_file_of_a_partitioned_sink_and_each_delivery_do_so() {
    for state in [&["--state", "state"][..], &[]] {
        let scratch = Scratch::new();
        prepare(
            &scratch,
            "[pipeline]\nname = 'parts'\n[source.in]\nfile = 'in.txt'\n\
             [sink.out]\nfile = 'out/'\npartitions = 2\npartition_by = 'record'\nexists = 'append'\n",
        );
        scratch.shell("mkdir out; printf 'old\\nold' > out/part-00000; printf 'old\\n' > out/part-00001");
        scratch
            .worker(&[&["run", "pipeline.toml", "--progress", "none"], state].concat())
            .start()
            .wait(PATIENCE)
            .expect(0);
        scratch.shell("cat out/* | grep -vx old | sort > got; sort in.txt | cmp - got; test $(grep -cx old out/part-00000) = 2");
    }
}
