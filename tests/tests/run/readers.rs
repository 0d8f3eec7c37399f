//! Readers that leave, that are not there yet, and streams that were closed from the start.

use crate::sorted;
use rustix::process::Signal;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use worker_tests::process::{Finished, Running, Scratch, Start, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

const TO_STDOUT: &str =
    "[source.in]\nfile = 'in.txt'\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\nstdout = true\n";

/// The same with a file beside it.
const TO_BOTH: &str = "[source.in]\nfile = 'in.txt'\n[stage.same]\nfrom = 'in'\nrun = ['cat']\npartitions = 1\n\
    [sink.out]\nfrom = 'same'\nstdout = true\n[sink.file]\nfrom = 'same'\nfile = 'out.txt'\n";

const TO_FIFO: &str =
    "[source.in]\nfile = 'in.txt'\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\nfile = 'fifo'\n";

/// More than all pipes and buffers on the way hold.
const RECORDS: usize = 1_000_000;

fn prepared(pipeline: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.shell(&format!("seq {RECORDS} > in.txt; mkfifo fifo"));
    scratch.write("pipeline.toml", pipeline);
    scratch
}

/// Reads so many lines of what `start` prints, and leaves.
fn read_some(start: Start<'_>, lines: usize) -> (Vec<String>, Finished) {
    let mut running = start.stdout(Stdio::piped()).start();
    let reader = BufReader::new(running.take_stdout().expect("a pipe"));
    let read: Vec<String> = reader.lines().take(lines).map(|line| line.expect("a line")).collect();
    (read, running.wait(PATIENCE))
}

/// With what was read before, every record is there.
fn assert_all(read: Vec<String>, rest: &[u8], may_be_lost: usize) {
    let mut all: Vec<usize> = read.iter().map(|line| line.parse().expect("a whole line")).collect();
    all.extend(
        String::from_utf8_lossy(rest).lines().map(|line| line.parse::<usize>().expect("a whole line")),
    );
    all.sort_unstable();
    all.dedup();
    assert!(all.len() + may_be_lost >= RECORDS, "{} of {RECORDS}", all.len());
}

/// What the reader's buffer holds of such lines: he has taken it.
const HELD: usize = 8192 / 2;

#[test]
fn with_state_a_reader_that_leaves_ends_nothing_but_this_run() {
    let scratch = prepared(TO_STDOUT);
    let args = ["run", "pipeline.toml", "--state", "state"];
    let (read, finished) = read_some(scratch.worker(&args), 1000);
    finished.expect(141).says(&["stopped: whoever read the output has gone"]);
    let again = scratch.worker(&args).start().wait(PATIENCE).expect(0);
    // The first line of the second run may be one that the first reader had half.
    assert_all(read, &again.stdout, HELD);
    scratch.worker(&args).run().expect(0).says(&["finished already"]);
}

#[test]
fn in_memory_it_ends_the_run_as_in_any_pipe() {
    let scratch = prepared(TO_STDOUT);
    let (read, finished) =
        read_some(scratch.worker(&["run", "pipeline.toml", "--report", "report.json"]), 10);
    finished.expect(0);
    assert_eq!(read.len(), 10);
    let report: serde_json::Value = serde_json::from_slice(&scratch.read("report.json")).expect("JSON");
    let stages = report["stages"].as_array().expect("stages");
    let sink = stages.iter().find(|stage| stage["name"] == "out").expect("the sink");
    let written = sink["records_out"].as_u64().expect("a count");
    assert!((1..RECORDS as u64).contains(&written), "so many were written: {sink}");
}

#[test]
fn beside_a_reader_that_leaves_other_sinks_get_everything() {
    let scratch = prepared(TO_BOTH);
    let (_, finished) = read_some(scratch.worker(&["run", "pipeline.toml"]), 10);
    finished.expect(0);
    assert_eq!(scratch.text("out.txt").lines().count(), RECORDS);
    let scratch = prepared(TO_BOTH);
    let args = ["run", "pipeline.toml", "--state", "state"];
    let (read, finished) = read_some(scratch.worker(&args), 10);
    finished.expect(141);
    let again = scratch.worker(&args).start().wait(PATIENCE).expect(0);
    assert_all(read, &again.stdout, HELD);
    assert_eq!(scratch.text("out.txt").lines().count(), RECORDS);
}

/// Takes so many bytes of what `start` prints, and leaves.
fn take_bytes(start: Start<'_>, bytes: usize) -> (Vec<u8>, Finished) {
    let mut running = start.stdout(Stdio::piped()).start();
    let mut taken = vec![0; bytes];
    running.take_stdout().expect("a pipe").read_exact(&mut taken).expect("it prints");
    (taken, running.wait(PATIENCE))
}

/// The records that are whole in it.
fn whole(taken: &[u8]) -> &[u8] {
    &taken[..taken.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)]
}

#[test]
fn with_state_the_next_start_goes_on_with_the_first_record_that_was_not_taken() {
    let scratch = prepared(TO_STDOUT);
    let args = ["run", "pipeline.toml", "--state", "state"];
    let (mut all, expected) = (Vec::new(), scratch.read("in.txt"));
    for bytes in [4_001, 300_007, 1] {
        let (taken, finished) = take_bytes(scratch.worker(&args), bytes);
        finished.expect(141).says(&["has left this in the pipe", "bytes="]);
        all.extend_from_slice(whole(&taken));
        assert!(expected.starts_with(&all));
    }
    let last = scratch.worker(&args).start().wait(PATIENCE).expect(0);
    all.extend_from_slice(&last.stdout);
    assert!(all == expected, "{} of {} bytes", all.len(), expected.len());
}

/// All that fits into the pipe is written when the reader leaves.
#[test]
fn with_state_even_the_last_records_are_done_only_when_they_were_taken() {
    let scratch = prepared(TO_STDOUT);
    scratch.shell("seq 100 > in.txt");
    let args = ["run", "pipeline.toml", "--state", "state"];
    let (taken, finished) = take_bytes(scratch.worker(&args), 5);
    finished.expect(141);
    let last = scratch.worker(&args).start().wait(PATIENCE).expect(0);
    assert_eq!([whole(&taken), &last.stdout].concat(), scratch.read("in.txt"));
}

/// A worker that a shell starts with these redirections.
fn redirected<'a>(scratch: &'a Scratch, arguments: &str) -> Start<'a> {
    let mut start = scratch.program(Path::new("bash"));
    let worker = worker_tests::process::worker_binary().display().to_string();
    start.command.args(["-c", &format!("exec '{worker}' {arguments}")]);
    start
}

#[test]
fn a_stream_that_was_closed_from_the_start_is_an_error_where_it_is_needed() {
    let scratch = prepared(TO_STDOUT);
    for (redirections, code, says) in [
        ("run pipeline.toml >&-", 2, "standard output is closed"),
        ("run -i in.txt -s cat -o /dev/stdout >&-", 2, "standard output is closed"),
        ("run pipeline.toml --state state >&-", 2, "standard output is closed"),
        ("run -s cat <&-", 2, "standard input is closed"),
        ("run -s cat <&- >&-", 2, "standard input is closed"),
        ("run -i /dev/stdin -s cat -o out.txt <&-", 2, "standard input is closed"),
        ("run -i in.txt -s cat -o /dev/stderr 2>&-", 2, ""),
        ("run pipeline.toml --print-toml >&-", 1, "standard output is closed"),
        ("check pipeline.toml >&-", 2, "standard output is closed"),
    ] {
        redirected(&scratch, redirections).run().expect(code).says(&[says]);
    }
}

#[test]
fn a_stream_that_was_closed_from_the_start_disturbs_nothing_where_it_is_not_needed() {
    let scratch = prepared(TO_STDOUT);
    let first = scratch.shell("head -n 1000 in.txt | tee few.txt");
    for (redirections, out) in [
        ("run -i few.txt -s cat -o 1.txt >&-", "1.txt"),
        ("run -i few.txt -s cat -o 2.txt <&- >&- 2>&-", "2.txt"),
        ("run -i few.txt -s cat 2>&- > 3.txt", "3.txt"),
    ] {
        redirected(&scratch, redirections).run().expect(0);
        assert_eq!(sorted(&scratch.read(out)), sorted(&first), "{redirections}");
    }
    // As many programs give it, opened to be read and written: it is meant.
    redirected(&scratch, "run -i few.txt -s cat 1<>/dev/null").run().expect(0);
}

/// Reads a named pipe until its writers have closed it, or so many bytes.
fn read_fifo(scratch: &Scratch, bytes: u64) -> Vec<u8> {
    let fifo = File::open(scratch.path("fifo")).expect("the pipe");
    let mut read = Vec::new();
    fifo.take(bytes).read_to_end(&mut read).expect("the pipe is read");
    read
}

fn why(scratch: &Scratch, running: &Running<'_>, says: &str) {
    eventually(&format!("why says {says:?}"), PATIENCE, || {
        let said = scratch.worker(&["why"]).run();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        if text.contains(says) { Ok(()) } else { Err(format!("{text}\n{}", running.stderr())) }
    });
}

#[test]
fn a_named_pipe_waits_for_its_first_reader_and_for_the_next() {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = prepared(TO_FIFO);
        let running = scratch.worker(&[&["run", "pipeline.toml"], state].concat()).start();
        why(&scratch, &running, "nobody has read");
        let first = read_fifo(&scratch, 3_000_000);
        why(&scratch, &running, "nobody has read");
        let second = read_fifo(&scratch, u64::MAX);
        running.wait(PATIENCE).expect(0);
        assert!([first, second].concat() == scratch.read("in.txt"), "as if one had read all of it");
    }
}

#[test]
fn a_stop_with_state_does_not_wait_for_a_reader() {
    let scratch = prepared(TO_FIFO);
    let args = ["run", "pipeline.toml", "--state", "state", "--drain-timeout", "1h"];
    let running = scratch.worker(&args).start();
    why(&scratch, &running, "nobody has read");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    let running = scratch.worker(&args).start();
    let all = read_fifo(&scratch, u64::MAX);
    running.wait(PATIENCE).expect(0);
    assert_eq!(all, scratch.read("in.txt"));
}

#[test]
fn what_lies_in_a_named_pipe_without_a_reader_is_written_again() {
    let args = ["run", "pipeline.toml", "--state", "state"];
    for (signal, records) in
        [(Signal::TERM, RECORDS), (Signal::KILL, RECORDS), (Signal::TERM, 1000), (Signal::KILL, 1000)]
    {
        let scratch = prepared(TO_FIFO);
        scratch.shell(&format!("seq {records} > in.txt"));
        let running = scratch.worker(&args).start();
        let first = read_fifo(&scratch, 2_001);
        why(&scratch, &running, "nobody has read");
        running.signal(signal);
        running.wait(PATIENCE);
        let running = scratch.worker(&args).start();
        let rest = read_fifo(&scratch, u64::MAX);
        running.wait(PATIENCE).expect(0);
        let all = [whole(&first), &rest].concat();
        assert!(all == scratch.read("in.txt"), "{signal:?}: {} bytes", all.len());
    }
}

/// With a reader that takes nothing, a stop waits for him; what he then takes does not come again.
#[test]
fn a_stop_with_state_waits_until_what_is_in_the_pipe_is_taken() {
    let scratch = prepared(TO_FIFO);
    let args = ["run", "pipeline.toml", "--state", "state", "--drain-timeout", "1h"];
    let mut running = scratch.worker(&args).start();
    let mut fifo = File::open(scratch.path("fifo")).expect("the pipe");
    let mut first = vec![0; 100];
    fifo.read_exact(&mut first).expect("it writes");
    running.signal(Signal::TERM);
    worker_tests::process::holds_for("it waits for the reader", Duration::from_millis(300), || {
        if running.has_ended() { Err(running.stderr()) } else { Ok(()) }
    });
    fifo.read_to_end(&mut first).expect("it is read to its end");
    running.wait(PATIENCE).expect(143);
    let running = scratch.worker(&args).start();
    let rest = read_fifo(&scratch, u64::MAX);
    running.wait(PATIENCE).expect(0);
    assert!([first, rest].concat() == scratch.read("in.txt"), "each record once");
}

#[test]
fn a_pipe_without_a_name_has_no_next_reader() {
    let scratch = prepared(TO_STDOUT);
    redirected(&scratch, "run -i in.txt -s cat -o >(head -n 3 > three.txt)").run().expect(0);
    eventually("head has written", PATIENCE, || {
        let three = scratch.text("three.txt");
        if three.lines().count() == 3 { Ok(()) } else { Err(three) }
    });
}

#[test]
fn standard_output_by_another_name_is_the_same() {
    let scratch = prepared(TO_STDOUT);
    let few = scratch.shell("head -n 1000 in.txt | tee few.txt");
    let finished =
        scratch.worker(&["run", "-i", "few.txt", "-S", "cat", "-o", "/dev/stdout"]).run().expect(0);
    assert_eq!(finished.stdout, few, "though the file that it is exists");
}
