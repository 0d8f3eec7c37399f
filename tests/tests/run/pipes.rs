//! Pipes, sockets and files as standard input, and named pipes: nothing that was in them is lost, and half a record is whole in the end.

use rustix::process::Signal;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;
use worker_tests::process::{Disk, Pty, Running, Scratch, Start, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

const FROM_STDIN: &str =
    "[source.in]\nstdin = true\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n";
const FROM_FIFO: &str =
    "[source.in]\nfile = 'fifo'\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n";

/// So little is read ahead that it can be stopped amid.
const SLOWLY_FROM_STDIN: &str = "[pipeline]\nmax_record = '4KiB'\ncredit = '16KiB'\noutbox = '16KiB'\nspill_limit = '16KiB'\n\
    [source.in]\nstdin = true\n[stage.same]\nrun = ['sh', '-c', 'sleep 0.02; cat']\npartitions = 1\n\
    batch = { max_records = 1000 }\n[sink.out]\nfile = 'out.txt'\n";

const STATE: [&str; 4] = ["run", "pipeline.toml", "--state", "state"];

fn prepared(pipeline: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.shell("mkfifo fifo");
    scratch.write("pipeline.toml", pipeline);
    scratch
}

/// Both ends of the named pipe: so it lives as long as the test holds it.
fn hold_fifo(scratch: &Scratch) -> File {
    OpenOptions::new().read(true).write(true).open(scratch.path("fifo")).expect("the pipe")
}

fn until_out(scratch: &Scratch, running: &Running<'_>, text: &str) {
    eventually(&format!("{text:?} is written"), PATIENCE, || {
        if scratch.text("out.txt").contains(text) {
            return Ok(());
        }
        Err(format!(
            "{:?}, {}",
            scratch.text("out.txt").chars().take(500).collect::<String>(),
            running.stderr()
        ))
    });
}

#[test]
fn half_a_record_at_a_stop_is_whole_after_the_next_start() {
    for kill in [Signal::TERM, Signal::KILL] {
        let scratch = prepared(FROM_FIFO);
        let mut fifo = hold_fifo(&scratch);
        fifo.write_all(b"first\nsecond is a long ").expect("written");
        let running = scratch.worker(&STATE).start();
        until_out(&scratch, &running, "first\n");
        running.signal(kill);
        running.wait(PATIENCE);
        fifo.write_all(b"record\nthird\n").expect("written");
        let running = scratch.worker(&STATE).start();
        until_out(&scratch, &running, "third\n");
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
        assert_eq!(scratch.text("out.txt"), "first\nsecond is a long record\nthird\n");
    }
}

/// Starts it anew on what it reads, kills it at uneven moments while it is written to, and lets it end.
fn killed_again_and_again<'a>(
    scratch: &'a Scratch,
    mut writer: impl std::io::Write + Send,
    start: impl Fn() -> Start<'a>,
) {
    let text: String = (0..1_500_000).map(|number| format!("{number}\n")).collect();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // Pieces end anywhere in a record.
            for piece in text.as_bytes().chunks(10_007) {
                writer.write_all(piece).expect("somebody holds the pipe");
            }
            drop(writer);
        });
        for round in 0..6 {
            let (mut running, before) = (start().start(), scratch.len("out.txt"));
            eventually("some more is written", PATIENCE, || {
                let is_more = scratch.len("out.txt") > before + 100_000 * round;
                if is_more { Ok(()) } else { Err(running.stderr()) }
            });
            assert!(!running.has_ended(), "there is too little to read: {}", running.stderr());
            running.kill();
        }
        start().start().wait(PATIENCE).expect(0);
    });
    assert!(scratch.text("out.txt") == text, "{} of {} bytes", scratch.len("out.txt"), text.len());
}

#[test]
fn of_standard_input_a_kill_loses_nothing_that_the_pipe_still_held() {
    let scratch = prepared(FROM_STDIN);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    killed_again_and_again(&scratch, writer, || {
        scratch.worker(&STATE).stdin(OwnedFd::from(reader.try_clone().expect("a descriptor")))
    });
}

#[test]
fn of_a_socket_a_kill_loses_nothing_that_it_still_held() {
    let scratch = prepared(FROM_STDIN);
    let (reader, writer) = UnixStream::pair().expect("a pair");
    killed_again_and_again(&scratch, writer, || {
        scratch.worker(&STATE).stdin(OwnedFd::from(reader.try_clone().expect("a descriptor")))
    });
}

#[test]
fn of_a_named_pipe_a_kill_loses_nothing_that_it_still_held() {
    let scratch = prepared(FROM_FIFO);
    // Holds the reading end only, so that the writer's end is the end.
    let open = std::thread::spawn({
        let path = scratch.path("fifo");
        move || File::open(path).expect("the pipe")
    });
    let writer = OpenOptions::new().write(true).open(scratch.path("fifo")).expect("the pipe");
    let _held = open.join().expect("it was opened");
    killed_again_and_again(&scratch, writer, || scratch.worker(&STATE));
}

#[test]
fn a_kill_at_each_step_of_taking_loses_and_doubles_nothing() {
    // Much more than the spool keeps of what is done with, for the journal has that on stable storage a while after it was given.
    let text: String = (0..2_000_000).map(|number| format!("{number}\n")).collect();
    let points = ["spool.take.before:1", "spool.take.after:1", "spool.take.before:4", "spool.take.after:4"];
    for point in points.iter().chain(&[
        "spool.rename.before:1",
        "spool.rename.after:1",
        "spool.rename.before:2",
        "spool.rename.after:2",
    ]) {
        let scratch = prepared(FROM_STDIN);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let start = || scratch.worker(&STATE).stdin(OwnedFd::from(reader.try_clone().expect("a descriptor")));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut writer = writer;
                writer.write_all(text.as_bytes()).expect("somebody holds the pipe");
            });
            start().env("WORKER_FAULT", &format!("{point}=kill")).start().wait(PATIENCE).expect_signal(9);
            start().start().wait(PATIENCE).expect(0);
        });
        assert!(
            scratch.text("out.txt") == text,
            "{point}: {} of {} bytes",
            scratch.len("out.txt"),
            text.len()
        );
    }
}

#[test]
fn another_pipe_is_another_input() {
    let scratch = prepared(FROM_STDIN);
    for (input, until) in [("one\nhalf", "one\n"), ("two\n", "two\n")] {
        let mut running = scratch.worker(&STATE).stdin(Stdio::piped()).start();
        let mut stdin = running.take_stdin().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("written");
        until_out(&scratch, &running, until);
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
    }
    assert_eq!(
        scratch.text("out.txt"),
        "one\nhalf\ntwo\n",
        "what another writer began is a record of its own"
    );
}

#[test]
fn a_file_as_standard_input_is_gone_on_with() {
    let scratch = prepared(SLOWLY_FROM_STDIN);
    let text: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    scratch.write("in.txt", &text);
    let input = || File::open(scratch.path("in.txt")).expect("the input");
    for signal in [Signal::KILL, Signal::TERM] {
        let (running, before) = (scratch.worker(&STATE).stdin(input()).start(), scratch.len("out.txt"));
        eventually("some more is written", PATIENCE, || {
            if scratch.len("out.txt") > before { Ok(()) } else { Err(running.stderr()) }
        });
        running.signal(signal);
        running.wait(PATIENCE);
    }
    assert!(scratch.len("out.txt") < text.len() as u64, "it was stopped amid");
    scratch.worker(&STATE).stdin(input()).start().wait(PATIENCE).expect(0);
    assert!(scratch.text("out.txt") == text);
}

fn input(scratch: &Scratch) -> File {
    File::open(scratch.path("in.txt")).expect("the input")
}

/// Kills a run that reads `in.txt` on standard input when some of it is written.
fn killed_amid(scratch: &Scratch) {
    let running = scratch.worker(&STATE).stdin(input(scratch)).start();
    eventually("some is written", PATIENCE, || {
        if scratch.len("out.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
}

#[test]
fn a_file_as_standard_input_that_was_cut_is_refused() {
    let scratch = prepared(SLOWLY_FROM_STDIN);
    scratch.shell("seq 200000 > in.txt");
    killed_amid(&scratch);
    scratch.shell("truncate -s 0 in.txt");
    scratch
        .worker(&STATE)
        .stdin(input(&scratch))
        .run()
        .expect(2)
        .says(&["standard input ends after 0 bytes, but had"]);
}

#[test]
fn a_file_as_standard_input_that_is_another_now_is_refused() {
    for change in ["seq 900001 1200000 > in.txt", "seq 900001 1200000 > other; mv other in.txt"] {
        let scratch = prepared(SLOWLY_FROM_STDIN);
        scratch.shell("seq 200000 > in.txt");
        killed_amid(&scratch);
        scratch.shell(change);
        let finished = scratch.worker(&STATE).stdin(input(&scratch)).run().expect(2);
        finished.says(&["standard input is not the file that this run began to read"]);
    }
}

/// It is typed while the disk of the state has no room, and is not lost with a stop then.
#[test]
fn what_a_terminal_gives_stays_there_while_the_disk_is_full() {
    let scratch = prepared(FROM_STDIN);
    let disk = Disk::in_memory(&scratch, "tiny", "64m");
    let mut terminal = Pty::new(24, 80);
    let args = ["run", "pipeline.toml", "--state", "tiny/state", "--progress", "none"];
    let mut running = scratch.worker(&args).stdin(terminal.end()).start();
    running.wait_for_message("live page", PATIENCE);
    scratch.shell("cat /dev/zero >> tiny/fill; true");
    terminal.type_keys("two\n");
    running.wait_for_message("no room in the state directory", PATIENCE);
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    scratch.shell("rm tiny/fill");
    let running = scratch.worker(&args).stdin(terminal.end()).start();
    until_out(&scratch, &running, "two\n");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    drop(disk);
}

/// But between reading and writing it.
#[test]
fn what_a_terminal_gives_is_kept_or_stays_there() {
    for (point, status) in [
        ("spool.room.before:1=kill", None),
        ("spool.room.after:1=kill", None),
        ("spool.write.after:1=kill", None),
        ("spool.room:1=enospc", Some(143)),
        ("spool.write:1=enospc", Some(143)),
    ] {
        let scratch = prepared(FROM_STDIN);
        let mut terminal = Pty::new(24, 80);
        terminal.type_keys("typed\n");
        let start = || scratch.worker(&STATE).stdin(terminal.end());
        let mut running = start().env("WORKER_FAULT", point).start();
        match status {
            None => drop(running.wait(PATIENCE).expect_signal(9)),
            Some(status) => {
                running.wait_for_message("no room in the state directory", PATIENCE);
                running.signal(Signal::TERM);
                running.wait(PATIENCE).expect(status);
            }
        }
        let running = start().start();
        until_out(&scratch, &running, "typed\n");
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
        assert_eq!(scratch.text("out.txt"), "typed\n", "{point}");
    }
}

#[test]
fn before_the_run_nothing_is_taken_of_a_pipe() {
    for (key, says) in [
        ("header = 'repeat'\n[stage.same]\nrun = ['cat']", "the header of source `in` cannot be repeated"),
        ("[stage.same]\npartition_by = { csv = 'name' }\nrun = ['cat']", "column `name` cannot be looked up"),
    ] {
        let scratch = prepared(&format!("[source.in]\nfile = 'fifo'\n{key}\n[sink.out]\nfile = 'out.txt'\n"));
        let mut fifo = hold_fifo(&scratch);
        fifo.write_all(b"name\none\n").expect("written");
        for args in [&["check", "pipeline.toml"][..], &STATE, &STATE[..2]] {
            scratch.worker(args).start().wait(PATIENCE).expect(2).says(&[says, "is no regular file"]);
        }
        assert_eq!(rustix::io::ioctl_fionread(&fifo).expect("a pipe"), 9, "all of it is there");
        let as_it_is = scratch.text("pipeline.toml").replace("fifo", "/dev/stdin");
        scratch.write("pipeline.toml", as_it_is);
        let mut running = scratch.worker(&STATE).stdin(Stdio::piped()).start();
        running.take_stdin().expect("a pipe").write_all(b"name\none\n").ok();
        running.wait(PATIENCE).expect(2).says(&[says, "is no regular file"]);
    }
}

#[test]
fn a_damaged_file_that_comes_through_a_pipe_does_not_hold_the_others_up() {
    let scratch = prepared("[source.in]\nfile = 'in/*'\non_damage = 'skip'\n[sink.out]\nfile = 'out.txt'\n");
    scratch.shell(
        "mkdir in; mv fifo in/1; seq 100000 | gzip > damaged; truncate -s -9 damaged; echo end > in/2",
    );
    let running = scratch.worker(&["run", "pipeline.toml"]).start();
    let mut fifo = OpenOptions::new().write(true).open(scratch.path("in/1")).expect("the pipe");
    fifo.write_all(&scratch.read("damaged")).expect("written");
    drop(fifo);
    running.wait(PATIENCE).expect(3).says(&["damaged or truncated gzip data"]);
    assert!(scratch.text("out.txt").ends_with("\nend\n"));
}

#[test]
fn in_memory_half_a_record_at_a_stop_is_told_of() {
    let scratch = prepared(FROM_FIFO);
    let mut fifo = hold_fifo(&scratch);
    fifo.write_all(b"first\nhalf").expect("written");
    let running = scratch.worker(&["run", "pipeline.toml"]).start();
    until_out(&scratch, &running, "first\n");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143).says(&["stopped in the middle of a record", "bytes=4"]);
    assert_eq!(scratch.text("out.txt"), "first\n");
}

#[test]
fn a_named_pipe_without_a_writer_holds_nothing_up_but_its_source() {
    for args in [&STATE[..], &STATE[..2]] {
        let scratch = prepared(FROM_FIFO);
        let running = scratch.worker(args).start();
        eventually("it can be asked", PATIENCE, || {
            let status = scratch.worker(&["status"]).run();
            if status.status.success() { Ok(()) } else { Err(running.stderr()) }
        });
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
        scratch.shell("rm -f out.txt; rm -rf state");
        let running = scratch.worker(args).start();
        let mut fifo = OpenOptions::new().write(true).open(scratch.path("fifo")).expect("the pipe");
        fifo.write_all(b"it comes\n").expect("written");
        drop(fifo);
        running.wait(PATIENCE).expect(0);
        assert_eq!(scratch.text("out.txt"), "it comes\n", "the end of its writer is its end");
    }
}

#[test]
fn another_pipe_is_looked_at_from_its_beginning() {
    let scratch = prepared(FROM_STDIN);
    scratch.shell("seq 10 | gzip > in.gz");
    let mut running = scratch.worker(&STATE).stdin(Stdio::piped()).start();
    let mut stdin = running.take_stdin().expect("a pipe");
    stdin.write_all(b"first\nhalf").expect("written");
    until_out(&scratch, &running, "first\n");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    drop(stdin);
    let mut running = scratch.worker(&STATE).stdin(Stdio::piped()).start();
    running.take_stdin().expect("a pipe").write_all(&scratch.read("in.gz")).expect("written");
    running.wait(PATIENCE).expect(1).says(&["standard input is gzip data", "gzip -dc"]);
    assert!("first\nhalf\n".starts_with(&scratch.text("out.txt")));
}

#[test]
fn a_pipe_among_files_holds_up_nothing_before_it_and_no_stop() {
    let scratch = prepared("[source.in]\nfile = 'in/*'\n[sink.out]\nfile = 'out.txt'\n");
    scratch.shell("mkdir in; mv fifo in/2; echo before > in/1; echo behind > in/3");
    let running = scratch.worker(&["run", "pipeline.toml"]).start();
    until_out(&scratch, &running, "before\n");
    let asked = std::time::Instant::now();
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
    // Not the 30 s that a stop may take.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(scratch.text("out.txt"), "before\n");
    scratch.shell("rm out.txt");
    let running = scratch.worker(&["run", "pipeline.toml"]).start();
    until_out(&scratch, &running, "before\n");
    scratch.shell("echo between > in/2");
    running.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt"), "before\nbetween\nbehind\n");
}
