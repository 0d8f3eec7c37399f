//! The same command after the end, when the files that were written are somewhere else by then.

use crate::{SLOW, half, prepare, run, start};
use rustix::process::Signal;
use worker_tests::process::{Scratch, eventually};

fn says_after(change: &str, texts: &[&str]) {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    run(&scratch).expect(0);
    let ended = run(&scratch).expect(0);
    assert!(!ended.stderr.contains("out.txt"), "nothing has changed: {}", ended.stderr);
    scratch.shell(change);
    let ended = run(&scratch).expect(0).says(&["finished already", "--fresh"]).says(texts);
    assert_eq!(ended.stderr.matches("out.txt").count(), usize::from(!texts.is_empty()), "{}", ended.stderr);
}

#[test]
fn a_result_that_was_taken_away_or_changed_is_no_fault_and_is_told() {
    let again = "nothing is written again unless you start over";
    says_after("mv out.txt result", &["out.txt is not there any more: moved or removed since", again]);
    says_after("rm out.txt; seq 10 > out.txt", &["out.txt", again]);
    says_after("truncate -s 1000 out.txt", &["out.txt was cut since: 1 000 bytes are left of 7", again]);
    says_after("sed -i s/8000/9000/ out.txt", &["out.txt is ", again]);
    says_after("chmod a-w out.txt; mv out.txt o; mv o out.txt", &[]);
    says_after("echo more >> out.txt", &[]);
}

#[test]
fn of_many_files_one_line_tells() {
    let scratch = Scratch::new();
    prepare(
        &scratch,
        "[pipeline]\nname = 'parts'\n[source.in]\nfile = 'in.txt'\n[sink.out]\nfile = 'out/'\npartitions = 3\n\
         partition_by = 'record'\n",
    );
    run(&scratch).expect(0);
    scratch.shell("mv out elsewhere");
    run(&scratch)
        .expect(0)
        .says(&["out/part-00000 is not there any more", "2 more files are not as they were"]);
}

/// Of two sinks one has everything, and the run goes on.
const TWO: &str = "[source.few]\nfile = 'few.txt'\n[sink.first]\nfrom = 'few'\nfile = 'first.txt'\n";

#[test]
fn before_the_end_of_the_run_the_file_of_a_sink_that_has_everything_is_missed() {
    let scratch = Scratch::new();
    let pipeline = SLOW.replace("[stage.same]", &format!("{TWO}[stage.same]\nfrom = 'in'"));
    prepare(&scratch, &pipeline.replace("[sink.out]", "[sink.out]\nfrom = 'same'"));
    scratch.write("few.txt", "1\n2\n");
    half(&scratch);
    for (change, says) in [("mv first.txt kept", "is gone"), ("printf '1\\n' > first.txt", "first.txt")] {
        scratch.shell(&format!("cp -p first.txt copy; {change}"));
        run(&scratch).expect(2).says(&["first.txt", says, "--fresh"]);
        scratch.shell("[ -e kept ] && mv kept first.txt; cat copy > first.txt");
    }
    let running = start(&scratch);
    eventually("it goes on", crate::PATIENCE, || {
        if scratch.len("out.txt") > 300_000 { Ok(()) } else { Err(running.stderr()) }
    });
    running.signal(Signal::TERM);
    running.wait(crate::PATIENCE).expect(143);
}

/// A report of an earlier run is not to be taken for that of this one.
#[test]
fn the_report_of_a_run_with_nothing_to_do_says_so() {
    let fails = "run = ['sh', '-c', 'if grep b; then exit 1; fi; echo fine']\nretry = { max_attempts = 1 }\nmax_dead = '100%'\n\
                 batch = { max_records = 1 }\npartitions = 1";
    for (stage, status, dead) in [("run = 'cat'", 0, 0), (fails, 3, 1)] {
        let scratch = Scratch::new();
        let pipeline = format!(
            "[pipeline]\nname = 'p'\n[source.in]\nfile = 'in.txt'\n[stage.s]\n{stage}\n[sink.out]\nfile = 'out.txt'\n"
        );
        let line = [
            "run",
            "p.toml",
            "--progress",
            "none",
            "--state",
            "state",
            "--report",
            "r.json",
            "--report",
            "r.html",
        ];
        scratch.write("p.toml", &pipeline);
        scratch.write("in.txt", "a\nb\nc\n");
        // Killed when all was done, before it could say so.
        scratch.worker(&line).env("WORKER_FAULT", "manifest.rename.after:2").run().expect_signal(9);
        scratch.shell("printf old > r.json; printf old > r.html");
        scratch.worker(&line).run().expect(status).says(&["finished already", "the report says no more"]);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(scratch.path("r.json")).unwrap()).unwrap();
        let why = report["why"].as_str().unwrap();
        assert!(why.contains("finished already, by the state in "), "{why}");
        let told = ["exit_status", "dead_records", "read_bytes"].map(|field| report[field].as_u64().unwrap());
        assert_eq!(told, [u64::from(status.unsigned_abs()), dead, 0]);
        let page = String::from_utf8(scratch.shell("cat r.html")).unwrap();
        assert!(page.contains("finished already, by the state in "), "{page}");
    }
}
