//! A stop: programs have time to end, and what they say meanwhile counts.

use rustix::process::Signal;
use std::time::{Duration, Instant};
use worker_tests::process::{Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

/// Says five lines and ends with `status` when it is asked to end; sleeps are short, for the shell hears signals between them.
fn talker(status: u32) -> String {
    format!(
        "trap 'for i in 1 2 3 4 5; do echo last $i; done; exit {status}' TERM; echo up; while :; do sleep 0.05; done"
    )
}

fn source(script: &str, keys: &str) -> String {
    format!(
        "[source.in]\nrun = ['sh', '-c', '''{script}''']\n{keys}\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n"
    )
}

fn until_out(scratch: &Scratch, running: &Running<'_>, text: &str) {
    eventually("it is written", PATIENCE, || {
        if scratch.text("out.txt").contains(text) { Ok(()) } else { Err(running.stderr()) }
    });
}

#[test]
fn what_a_sources_program_says_when_it_is_stopped_comes_through() {
    for status in [0, 7] {
        let scratch = Scratch::new();
        let running = scratch.start(&source(&talker(status), ""), &[]);
        until_out(&scratch, &running, "up");
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
        assert_eq!(scratch.text("out.txt"), "up\nlast 1\nlast 2\nlast 3\nlast 4\nlast 5\n");
    }
}

#[test]
fn with_state_it_is_kept_and_comes_with_the_next_start() {
    let scratch = Scratch::new();
    let running = scratch.start(&source(&talker(0), ""), &["--state", "state"]);
    until_out(&scratch, &running, "up");
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
    let running = scratch.start(&source(&talker(0), ""), &["--state", "state"]);
    until_out(&scratch, &running, "last 5\nup\n");
    running.signal(Signal::KILL);
    running.wait(PATIENCE).expect_signal(9);
    assert!(scratch.text("out.txt").starts_with("up\nlast 1\nlast 2\nlast 3\nlast 4\nlast 5\nup\n"));
}

#[test]
fn more_than_memory_holds_is_kept_as_well() {
    let scratch = Scratch::new();
    let script = "trap 'seq -f %099.0f 40000; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let pipeline =
        format!("[pipeline]\noutbox = '1MiB'\ncredit = '1MiB'\nmax_record = '64KiB'\n{}", source(script, ""));
    let running = scratch.start(&pipeline, &["--state", "state"]);
    until_out(&scratch, &running, "up");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    let running = scratch.start(&pipeline, &["--state", "state"]);
    until_out(&scratch, &running, &format!("{:099}\nup\n", 40000));
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
}

#[test]
fn a_source_that_does_not_listen_is_killed_after_its_grace() {
    let scratch = Scratch::new();
    let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    let running = scratch.start(&source(script, "stop_grace = '400ms'"), &[]);
    until_out(&scratch, &running, "up");
    let begun = Instant::now();
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[test]
fn the_drain_timeout_bounds_a_long_grace() {
    let scratch = Scratch::new();
    let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    let running = scratch.start(&source(script, "stop_grace = '1h'"), &["--drain-timeout", "500ms"]);
    until_out(&scratch, &running, "up");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143).says(&["stopped"]);
}

#[test]
fn a_second_signal_does_not_wait_for_the_grace() {
    let scratch = Scratch::new();
    let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    let mut running = scratch.start(&source(script, "stop_grace = '1h'"), &["--drain-timeout", "1h"]);
    until_out(&scratch, &running, "up");
    running.signal(Signal::INT);
    running.wait_for_message("stopping:", PATIENCE);
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
}

#[test]
fn with_state_a_stages_program_sees_the_end_of_its_input_and_has_its_grace() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['sh', '-c', 'echo up; exec sleep 1000']\n\
        [stage.sum]\nmode = 'stream'\nrun = ['sh', '-c', 'touch runs; cat; sleep 0.3; touch ended']\n[sink.out]\nfile = 'out.txt'\n";
    let running = scratch.start(pipeline, &["--state", "state"]);
    until_out(&scratch, &running, "up");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    assert!(scratch.path("ended").exists(), "it had time to end by itself");
}

#[test]
fn what_is_not_done_at_the_end_of_a_long_stop_is_asked_before_it_is_killed() {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        let pipeline = "[source.in]\nrun = ['sh', '-c', 'echo up; exec sleep 1000']\n\
            [stage.long]\nrun = ['sh', '-c', 'trap \"touch tidied; exit 0\" TERM; touch runs; while :; do sleep 0.05; done']\n\
            [sink.out]\nfile = 'out.txt'\n";
        let running = scratch.start(pipeline, &[&["--drain-timeout", "2s"], state].concat());
        eventually("it runs", PATIENCE, || {
            if scratch.path("runs").exists() { Ok(()) } else { Err(running.stderr()) }
        });
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143).says(&["stopped"]);
        assert!(scratch.path("tidied").exists());
    }
}

#[test]
fn when_another_program_has_failed_the_others_are_asked_to_end() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['sh', '-c', 'echo up; exec sleep 1000']\n\
        [stage.tidy]\nfrom = 'in'\nmode = 'stream'\nrun = ['sh', '-c', 'trap \"touch tidied; exit 0\" TERM; touch runs; while :; do sleep 0.05; done']\n\
        [stage.bad]\nfrom = 'in'\nmode = 'stream'\nrun = ['sh', '-c', 'while ! [ -e runs ]; do sleep 0.05; done; exit 5']\n\
        [sink.a]\nfrom = 'tidy'\nfile = 'a.txt'\n[sink.b]\nfrom = 'bad'\nfile = 'b.txt'\n";
    scratch.run(pipeline).expect(1).says(&["status 5"]);
    assert!(scratch.path("tidied").exists());
}

#[test]
fn a_source_that_fails_is_started_again_where_that_is_wanted() {
    let scratch = Scratch::new();
    let script = "echo run >> runs; cat runs; printf half; [ $(wc -l < runs) -ge 3 ] || exit 4";
    let pipeline = source(script, "restart = 'on-failure'");
    scratch.run(&pipeline).expect(0).says(&["started again in 1 s", "status 4", "left out"]);
    assert_eq!(scratch.text("out.txt"), "run\nrun\nrun\nrun\nrun\nrun\nhalf\n");
}

#[test]
fn a_source_that_is_always_started_again_ends_with_the_stop() {
    let scratch = Scratch::new();
    let pipeline = source("echo run >> runs; tail -n 1 runs", "restart = 'always'");
    let running = scratch.start(&pipeline, &["--state", "state"]);
    // More often than the core permits chunks ahead.
    until_out(&scratch, &running, &"run\n".repeat(7));
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
}

#[test]
fn which_ends_are_good_is_said_for_sources_too() {
    let scratch = Scratch::new();
    scratch.run(&source("echo x; exit 4", "ok_exit = [0, 4]")).expect(0);
    assert_eq!(scratch.text("out.txt"), "x\n");
    let scratch = Scratch::new();
    scratch
        .run(&source("echo x; until grep -q x out.txt; do sleep 0.05; done; printf half; exit 4", ""))
        .expect(1)
        .says(&["status 4"]);
    assert_eq!(scratch.text("out.txt"), "x\n", "nobody knows whether the last record is whole");
}

/// A program that takes a thousand records and does nothing with them, as each kind of task; in memory and with state.
#[test]
fn what_a_stop_leaves_on_its_way_is_counted_once() {
    let hangs = "run = ['sh', '-c', 'touch up; exec sleep 1000']\nstop_grace = '100ms'";
    let mut shapes = Vec::new();
    for mode in ["batch", "stream", "records"] {
        let key = if mode == "records" { "partition_by = 'record'\npartitions = 1\n" } else { "" };
        let stage = format!("[stage.x]\nmode = '{mode}'\n{key}{hangs}\n[sink.out]\nfile = 'out.txt'\n");
        shapes.extend([stage, format!("[sink.x]\nmode = '{mode}'\n{key}{hangs}\n")]);
    }
    for shape in shapes {
        for state in [&[][..], &["--state", "state"]] {
            let scratch = Scratch::new();
            scratch.write("in.txt", scratch.shell("seq 1000"));
            let pipeline = format!("[source.s]\nfile = 'in.txt'\n{shape}");
            let running = scratch.start(&pipeline, &[state, &["--drain-timeout", "1s"]].concat());
            eventually("all is read, and the program runs", PATIENCE, || {
                let status = scratch.worker(&["status"]).run();
                let read = String::from_utf8_lossy(&status.stdout).contains("1 000 out");
                if read && scratch.path("up").exists() { Ok(()) } else { Err(status.stderr) }
            });
            running.signal(Signal::TERM);
            let (then, not) = match state.is_empty() {
                true => (" and are lost: this run kept no state", "goes on with them"),
                false => (": the same command goes on with them", "lost"),
            };
            let said = format!("stopped; 1 000 records were still on their way{then}");
            let finished = running.wait(PATIENCE).expect(143);
            assert!(finished.stderr.contains(&said), "{pipeline}\n{state:?}\n{}", finished.stderr);
            let last =
                finished.stderr.lines().filter(|line| line.starts_with("stopped; ")).collect::<Vec<_>>();
            assert!(last.len() == 1 && !last[0].contains(not), "{last:?}");
        }
    }
}

#[test]
fn time_in_which_the_worker_itself_is_stopped_is_none_of_a_drains_nor_of_a_graces() {
    let scratch = Scratch::new();
    // Asked to end, it needs longer than the worker is stopped, and two seconds more.
    let talks = "trap 'until [ -e on ]; do sleep 0.05; done; sleep 1.5; echo last; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let running = scratch.start(&source(talks, "stop_grace = '4s'"), &["--drain-timeout", "6s"]);
    until_out(&scratch, &running, "up");
    running.signal(Signal::TERM);
    eventually("it is told to stop", PATIENCE, || {
        if running.stderr().contains("stopping") { Ok(()) } else { Err(running.stderr()) }
    });
    running.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(8));
    scratch.write("on", "");
    running.signal(Signal::CONT);
    running.wait(PATIENCE).expect(143);
    assert_eq!(scratch.text("out.txt"), "up\nlast\n");
}
