//! Programs that are several processes, of which the first does not wait for the others.

use std::time::Duration;
use worker_tests::process::{Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// Pipeline with `keys`, given numbers up to `count`; with state and without.
fn each_delivery(count: u32, keys: &str, check: &str, want: &str) {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        scratch.shell(&format!("seq {count} > in.txt"));
        scratch.run_with(keys, &[&["-q"], state].concat());
        let got = String::from_utf8_lossy(&scratch.shell(check)).into_owned();
        assert_eq!(got, want, "{keys} {state:?}");
    }
}

#[test]
fn what_processes_print_after_their_program_has_ended_is_its_output() {
    let check = "sort -n out.txt | tr -d x | cmp - in.txt && grep -c x out.txt || true";
    for keys in [
        "mode = 'batch'",
        "mode = 'batch'\nbatch = { max_records = 2000 }",
        "mode = 'stream'",
        "mode = 'stream'\nwindow = { records = 5000 }",
    ] {
        let program = "exec > >(sleep 0.2; sed s/$/x/); cat";
        let pipeline = format!(
            "[source.in]\nfile = 'in.txt'\n[stage.s]\nrun = ['bash', '-c', '{program}']\n{keys}\n[sink.out]\nfile = 'out.txt'\n"
        );
        each_delivery(20_000, &pipeline, check, "20000\n");
    }
}

#[test]
fn a_source_gives_what_its_processes_print_after_its_end() {
    let pipeline = "[source.in]\nrun = ['bash', '-c', 'exec > >(sleep 0.3; sed s/^/x/); seq 1000']\n[sink.out]\nfile = 'out.txt'\n";
    each_delivery(1, pipeline, "grep -c x out.txt", "1000\n");
}

#[test]
fn a_sink_may_finish_what_its_processes_write_after_its_end() {
    for mode in ["batch", "stream"] {
        let program = "tee >(sleep 0.2; gzip -c >> all.gz) > /dev/null";
        let pipeline = format!(
            "[source.in]\nfile = 'in.txt'\n[sink.out]\nrun = ['bash', '-c', '{program}']\nmode = '{mode}'\n"
        );
        each_delivery(3_000, &pipeline, "gzip -dc all.gz | sort -n | cmp - in.txt && echo same", "same\n");
    }
}

/// What it prints is not taken for longer than a process may do nothing: that is not its doing.
#[test]
fn a_source_that_nobody_takes_from_loses_nothing_of_its_processes() {
    let pipeline = "[pipeline]\noutbox = '1MiB'\n[source.in]\nrun = ['bash', 'source.sh']\nstop_grace = '200ms'\n\
                    [sink.out]\nrun = ['bash', 'sink.sh']\n";
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        scratch.write("source.sh", "exec > >(cat > all.txt; touch full; cat all.txt)\nseq -f %0999g 12000\n");
        scratch.write("sink.sh", "while [ ! -e go ]; do sleep 0.05; done\ncat > out.txt\n");
        let run = scratch.start(pipeline, &[&["-q"], state].concat());
        eventually("it prints", PATIENCE, || {
            if scratch.path("full").exists() { Ok(()) } else { Err("not yet".to_owned()) }
        });
        // Ten times what it may do nothing for.
        std::thread::sleep(Duration::from_secs(2));
        scratch.write("go", "");
        run.wait(PATIENCE).expect(0);
        scratch.shell("seq -f %0999g 12000 | cmp - out.txt");
    }
}

#[test]
fn a_source_does_not_wait_for_who_has_let_go_of_its_pipes() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['bash', '-c', '''\n\
                    (while [ ! -e over ]; do sleep 0.02; done) > /dev/null 2>&1 & echo hi''']\n\
                    [sink.out]\nfile = 'out.txt'\n";
    scratch.start(pipeline, &["-q"]).wait(PATIENCE).expect(0);
    scratch.write("over", "");
    assert_eq!(scratch.read("out.txt"), b"hi\n");
}

#[test]
fn a_daemon_that_holds_standard_error_alone_ends_nothing_and_holds_up_nothing() {
    let daemon = "(while [ ! -e over ]; do echo beat >&2; sleep 0.02; done) > /dev/null < /dev/null &\n";
    let stage = |mode| format!("[stage.s]\nmode = '{mode}'\npartitions = 1\n");
    let sink = |mode| format!("[sink.s]\nmode = '{mode}'\n");
    for (shape, behind, program) in [
        (stage("batch"), "[sink.out]\nfile = 'out.txt'\n", "cat"),
        (stage("stream"), "[sink.out]\nfile = 'out.txt'\n", "cat"),
        (sink("batch"), "", "cat > out.txt"),
        (sink("stream"), "", "cat > out.txt"),
    ] {
        let scratch = Scratch::new();
        scratch.shell("seq 3000 > in.txt");
        scratch.write("p.sh", format!("{daemon}{program}"));
        let keys = "run = ['bash', 'p.sh']\nstop_grace = '300ms'\n";
        let pipeline = format!("[source.in]\nfile = 'in.txt'\n{shape}{keys}{behind}");
        let ended = scratch.start(&pipeline, &[]).wait(PATIENCE).expect(0);
        ended.says(&["standard error open, and no more than that"]);
        scratch.write("over", "");
        scratch.shell("cmp in.txt out.txt");
    }
}

/// Who may have records and does nothing is killed, and then its program has not ended well.
#[test]
fn records_that_may_be_lost_with_a_process_that_is_killed_are_not_done() {
    let stage = |mode| format!("[stage.s]\nmode = '{mode}'\npartitions = 1\n");
    let sink = |mode| format!("[sink.s]\nmode = '{mode}'\n");
    let retry = "retry = { max_attempts = 1 }\n";
    let out = "[sink.out]\nfile = 'out.txt'\n";
    let source = "[source.in]\nfile = 'in.txt'\n";
    let (prints, takes) =
        ("exec > >(sleep 1000; cat)\ncat\n", "tee >(sleep 1000; cat > all.txt) > /dev/null\n");
    for (before, shape, behind, program) in [
        (source, stage("batch") + retry, out, prints),
        (source, stage("stream"), out, prints),
        (source, sink("batch") + retry, "", takes),
        (source, sink("stream"), "", takes),
        ("", "[source.s]\n".to_owned(), out, "exec > >(sleep 1000; cat)\nseq 10\n"),
    ] {
        for state in [&[][..], &["--state", "state"]] {
            let scratch = Scratch::new();
            scratch.shell("seq 10 > in.txt");
            scratch.write("p.sh", program);
            let keys = "run = ['bash', 'p.sh']\nstop_grace = '300ms'\n";
            let pipeline = format!("{before}{shape}{keys}{behind}");
            let ended = scratch.start(&pipeline, &[&["-q"], state].concat()).wait(PATIENCE);
            ended.expect(1).says(&["has ended well, but", "sleep (", "would be missing"]);
        }
    }
}

/// Twenty times what the program's processes may do nothing for.
#[test]
fn a_sinks_processes_that_have_its_input_may_work_as_long_as_they_like() {
    let scratch = Scratch::new();
    scratch.shell("seq 3000 > in.txt");
    let works = "for i in $(seq 60); do sleep 0.05; done; cat > all.txt";
    scratch.write("p.sh", format!("tee >({works}) > /dev/null\n"));
    let pipeline = "[source.in]\nfile = 'in.txt'\n[sink.s]\nrun = ['bash', 'p.sh']\nstop_grace = '150ms'\n";
    scratch.start(pipeline, &["-q"]).wait(PATIENCE).expect(0);
    scratch.shell("cmp in.txt all.txt");
}
