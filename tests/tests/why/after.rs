//! When the run is over, `worker why` still says how it ended.

use crate::ask::{PATIENCE, why_text};
use rustix::process::Signal;
use worker_tests::process::Scratch;

#[test]
fn a_failed_run_is_explained_by_its_last_words() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 5000 > in.txt");
    let run = scratch.start(
        "[pipeline]\nname = 'picky'\n[source.in]\nfile = 'in.txt'\n[stage.odd]\npartitions = 1\nmax_dead = 20\n\
         retry = { max_attempts = 1 }\nrun = ['awk', '$1 % 10 == 7 { exit 7 } { print }']\n[sink.out]\nfile = 'out.txt'\n",
        &[],
    );
    run.wait(PATIENCE).expect(1);
    let ended = scratch.worker(&["why"]).run();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(said.contains("picky on node local failed"), "{said}");
    assert!(
        said.contains("odd/0 waits: 21 dead letters of") && said.contains("more than max_dead allows"),
        "{said}"
    );
    assert!(said.contains("→ worker dlq list shows why they failed"), "{said}");
    ended.expect(3);
}

#[test]
fn a_finished_run_and_one_that_was_killed_are_told_apart() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 50 > in.txt");
    let pipeline = "[pipeline]\nname = 'short'\n[source.in]\nfile = 'in.txt'\n[sink.out]\nfile = 'out.txt'\n";
    scratch.run(pipeline).expect(0);
    let said = why_text(&scratch, &[]);
    assert!(said.starts_with("short on node local finished") && said.lines().count() == 1, "{said}");

    let mut run = scratch.start(
        "[pipeline]\nname = 'killed'\n[source.in]\nrun = ['sleep', '1000']\n[sink.out]\nfile = 'other.txt'\n",
        &[],
    );
    run.wait_for_message("admin API", PATIENCE);
    run.signal(Signal::KILL);
    run.wait(PATIENCE).expect_signal(9);
    let said = why_text(&scratch, &["--pipeline", "killed"]);
    assert!(said.contains("ended without a word"), "{said}");
}

#[test]
fn several_workers_are_listed_and_one_is_chosen_by_name() {
    let scratch = Scratch::new();
    let none = scratch.worker(&["why"]).run().expect(1);
    assert!(none.stderr.contains("no worker runs here"), "{}", none.stderr);
    let idle = |name: &str| {
        scratch.write(
            &format!("{name}.toml"),
            format!("[source.in]\nrun = ['sleep', '1000']\n[sink.out]\nfile = '{name}.txt'\n"),
        );
        let mut run = scratch.worker(&["run", &format!("{name}.toml")]).start();
        run.wait_for_message("admin API", PATIENCE);
        run
    };
    let (one, two) = (idle("one"), idle("two"));
    let several = scratch.worker(&["why"]).run().expect(2);
    for text in ["several workers run here", "one node local", "two node local", "--pipeline NAME"] {
        assert!(several.stderr.contains(text), "{}", several.stderr);
    }
    scratch.worker(&["why", "--pipeline", "one"]).run().expect(0);
    let listed = scratch.worker(&["status", "--list"]).run().expect(0);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).matches(" runs").count(), 2);
    drop((one, two));
}
