//! Starts that are refused: what they have made goes with them.

use std::net::TcpListener;
use worker_tests::process::{Finished, Scratch};

const PIPELINE: &str = "[pipeline]\nname = 'new'\n[source.in]\nfile = 'in.txt'\n[sink.out]\nfile = 'new/deep/out/'\npartitions = 3\n\
                        [sink.last]\nfrom = 'in'\nfile = 'last/out.txt'\n";

fn start(scratch: &Scratch, pipeline: &str, args: &[&str]) -> Finished {
    scratch.write("pipeline.toml", pipeline.replace("[sink.out]\n", "[sink.out]\nfrom = 'in'\n"));
    scratch.worker(&[&["run", "pipeline.toml", "--progress", "none"], args].concat()).run()
}

fn assert_nothing_new(scratch: &Scratch, before: &[u8]) {
    let now = scratch.shell("find . -not -name 'std*'");
    assert_eq!(String::from_utf8_lossy(&now), String::from_utf8_lossy(before));
}

#[test]
fn nothing_is_left_of_a_start_that_is_refused_and_what_was_wrong_can_be_mended() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    for state in [&[][..], &["--state", "states/state"], &["--state", "empty"]] {
        let scratch = Scratch::new();
        scratch.shell("seq 100 > in.txt; mkdir empty; touch file pipeline.toml");
        let before = scratch.shell("find . -not -name 'std*'");
        start(&scratch, &PIPELINE.replace("in.txt", "on.txt"), state).expect(2).says(&["on.txt"]);
        assert_nothing_new(&scratch, &before);
        start(&scratch, &PIPELINE.replace("last/", "file/"), state).expect(2).says(&["file/out.txt"]);
        assert_nothing_new(&scratch, &before);
        start(&scratch, PIPELINE, &[state, &["--admin", &admin]].concat()).expect(2).says(&["in use"]);
        assert_nothing_new(&scratch, &before);
        start(&scratch, PIPELINE, state).expect(0);
        scratch.shell("sort -n new/deep/out/* | cmp - in.txt; cmp last/out.txt in.txt");
    }
}

#[test]
fn a_state_with_something_in_it_stays() {
    let scratch = Scratch::new();
    scratch.shell("seq 100 > in.txt; mkdir file");
    start(&scratch, PIPELINE, &["--state", "state"]).expect(0);
    let before = scratch.shell("find . -not -name 'std*'");
    scratch.shell("mv in.txt kept; mv state/manifest.json m; sed 's/\"finished\": true/\"finished\": false/' m > state/manifest.json");
    let ended = start(&scratch, PIPELINE, &["--state", "state", "--admin", "127.0.0.1:1x"]);
    assert!(!ended.status.success(), "{}", ended.stderr);
    scratch.shell("mv kept in.txt; mv m state/manifest.json");
    assert_nothing_new(&scratch, &before);
    start(&scratch, PIPELINE, &["--state", "state"]).expect(0).says(&["finished already"]);
}
