//! Records that failed before any success of their stage, and limits that let no more of them wait.

use crate::run;
use worker_tests::process::Scratch;

#[test]
fn a_stage_that_only_fails_ends_also_where_few_large_records_fill_all_that_may_wait() {
    let scratch = Scratch::new();
    scratch.shell("for n in $(seq 12); do head -c 900000 /dev/zero | tr '\\0' x; echo $n; done > in.txt");
    scratch.write(
        "pipeline.toml",
        "[pipeline]\nname = 'large'\noutbox = '1MiB'\nspill_limit = '2MiB'\n[source.in]\nfile = 'in.txt'\n\
         [stage.bad]\nrun = ['sh', 'program.sh']\npartitions = 1\nretry = { max_attempts = 1 }\n[sink.out]\nfile = 'out.txt'\n",
    );
    scratch.write("program.sh", "cat > passed; exit 3");
    let never = "no program of this stage has ever succeeded";
    run(&scratch).expect(1).says(&["records failed", never, "`spill_limit`", "exited with status 3"]);
    scratch.write("program.sh", "cat");
    run(&scratch).expect(0);
    assert!(scratch.read("out.txt") == scratch.read("in.txt"), "none was a dead letter");
}
