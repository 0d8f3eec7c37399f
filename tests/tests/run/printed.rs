//! In memory what a stream's program prints goes on at once, whether its input has ended or not, and as its receivers take it.

use std::time::Duration;
use worker_tests::process::{Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_slow_program_behind_an_ended_source_shows_what_it_has_done() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "1\n2\n3\n");
    scratch.write(
        "slow.sh",
        "while read n; do echo $n; while [ ! -e go$n ]; do sleep 0.02; done; done; echo end; while [ ! -e go ]; do sleep 0.02; done",
    );
    let run = scratch.start(
        "[source.in]\nfile = 'in.txt'\n[stage.slow]\nrun = ['sh', 'slow.sh']\nmode = 'stream'\n[sink.out]\nfile = 'out.txt'\n",
        &["-q"],
    );
    let mut all = String::new();
    for (text, goes_on) in [("1\n", "go1"), ("2\n", "go2"), ("3\n", "go3"), ("end\n", "go")] {
        all += text;
        eventually("it is written", PATIENCE, || {
            let written = scratch.text("out.txt");
            if written == all { Ok(()) } else { Err(written) }
        });
        scratch.write(goes_on, "");
    }
    run.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt"), all);
}

#[test]
fn what_it_printed_before_it_failed_has_gone_on() {
    let scratch = Scratch::new();
    let script = "cat > /dev/null; echo sum; until [ -s out.txt ]; do sleep 0.02; done; exit 3";
    let pipeline = format!(
        "[source.in]\ngenerate = {{ records = 3 }}\n[stage.s]\nrun = ['sh', '-c', '{script}']\nmode = 'stream'\n[sink.out]\nfile = 'out.txt'\n"
    );
    scratch.start(&pipeline, &["-q"]).wait(PATIENCE).expect(1).says(&["s/0", "exited with status 3"]);
    assert_eq!(scratch.text("out.txt"), "sum\n");
}

/// A receiver that takes nothing holds the program up, instead of filling a disk with what it prints; that is no standstill of the
/// program's, and nothing of it is lost.
#[test]
fn it_waits_while_its_receiver_takes_nothing() {
    let scratch = Scratch::new();
    scratch.shell("head -c 1048575 /dev/zero | tr '\\0' x > block; echo >> block; mkfifo out");
    scratch
        .write("prints.sh", "cat > /dev/null\nfor n in $(seq 40); do cat block; echo $n > progress; done\n");
    let run = scratch.start(
        "[pipeline]\noutbox = '4MiB'\nmax_record = '2MiB'\n[source.in]\ngenerate = { records = 3 }\n\
         [stage.s]\nrun = ['sh', 'prints.sh']\nmode = 'stream'\ntimeout = '300ms'\nstop_grace = '300ms'\n[sink.out]\nfile = 'out'\n",
        &["-q"],
    );
    let why = || {
        let said = scratch.worker(&["why"]).run();
        String::from_utf8_lossy(&said.stdout).into_owned() + &said.stderr
    };
    eventually("it is held up", PATIENCE, || {
        let said = why();
        if said.contains("also held up by that: s/0") { Ok(()) } else { Err(said) }
    });
    // Longer than its timeout, its grace, and what is left of a program's end.
    std::thread::sleep(Duration::from_secs(2));
    let printed: u32 = scratch.text("progress").trim().parse().expect("a number");
    assert!(printed < 20, "{printed} MiB printed before anybody took one\n{}", why());
    scratch.shell("cat out > taken");
    run.wait(PATIENCE).expect(0);
    scratch.shell("for n in $(seq 40); do cat block; done | cmp - taken");
}
