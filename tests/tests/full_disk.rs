//! A disk that is full where outputs spill: tasks wait, nothing is lost, and work goes on by itself.

use rustix::process::Signal;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use worker_tests::process::{Disk, Nodes, Scratch, eventually, holds_for};

const PATIENCE: Duration = Duration::from_secs(40);

fn numbers(count: u32) -> String {
    (1..=count).fold(String::new(), |mut text, n| {
        writeln!(text, "{n}").expect("a string takes it");
        text
    })
}

/// The stopped node's records fill the disk; when it goes on, its own outputs need room too, on that same disk.
#[test]
fn a_disk_full_of_one_destinations_records_does_not_keep_itself_full() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "3m");
    let input = numbers(2_000_000);
    scratch.write("in.txt", &input);
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\nspill_dir = 'tiny'\n\
                    [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [stage.same]\nrun = 'cat'\npartition_by = 'record'\npartitions = 2\nplace = ['b', 'c']\n\
                    [sink.out]\nfile = 'out/'\nplace = ['b', 'c']\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], pipeline);
    let c = nodes.start("c");
    c.signal(Signal::STOP);
    let [mut a, b] = ["a", "b"].map(|name| nodes.start(name));
    a.wait_for_message("cannot put outputs aside", PATIENCE);
    c.signal(Signal::CONT);
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    let mut got: Vec<u32> = ["out/part-00000", "out/part-00001"]
        .iter()
        .flat_map(|part| scratch.text(part).lines().map(|n| n.parse().expect("a number")).collect::<Vec<_>>())
        .collect();
    got.sort_unstable();
    assert!(got.iter().copied().eq(1..=2_000_000), "{} records arrived", got.len());
    drop(disk);
}

#[test]
fn a_program_that_prints_more_than_fits_anywhere_waits_for_room_and_is_told_of() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "3m");
    std::fs::write(scratch.path("tiny/ballast"), vec![0; 2 << 20]).expect("it fits");
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\nspill_dir = 'tiny'\n\
                    [source.in]\nfile = 'in.txt'\n\
                    [stage.many]\nrun = ['sh', '-c', 'cat > /dev/null; seq 1 4000000']\npartitions = 1\n\
                    [sink.out]\nfile = 'out.txt'\n";
    scratch.write("in.txt", "go\n");
    let mut run = scratch.start(pipeline, &[]);
    run.wait_for_message("its program waits until it works", PATIENCE);
    std::fs::remove_file(scratch.path("tiny/ballast")).expect("make room");
    disk.resize("200m");
    run.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt"), numbers(4_000_000));
    drop(disk);
}

/// Others take what room there is, and what is given back, until this is dropped.
struct Others {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Others {
    fn take_all(scratch: &Scratch, path: &str) -> Self {
        let (stop, stopped) = channel();
        let path = scratch.path(path);
        let thread = std::thread::spawn(move || {
            let mut file = std::fs::File::create(&path).expect("a file there");
            while stopped.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                while file.write_all(&[0; 4096]).is_ok() {}
            }
            drop(file);
            std::fs::remove_file(path).expect("make room");
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join);
    }
}

/// What a state can give back is gone in the first life; none of the next ends for want of room, and none makes the reserve smaller.
#[test]
fn a_start_on_a_full_disk_waits_for_room_and_keeps_the_reserve() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "64m");
    let input = numbers(3_000_000);
    scratch.write("in.txt", &input);
    let pipeline = "[source.in]\nfile = 'in.txt'\n\
                    [stage.pass]\nrun = ['sh', '-c', 'sleep 0.1; exec cat']\nbatch = { max_bytes = '128KiB' }\npartitions = 2\n\
                    [sink.out]\nfile = 'out.txt'\n";
    let start = || scratch.start(pipeline, &["--state", "tiny/state"]);
    let set_aside = || scratch.len("tiny/state/reserve");
    let mut run = start();
    until_something_is_written(&scratch);
    let others = Others::take_all(&scratch, "tiny/fill");
    run.wait_for_message("the disk is full", PATIENCE);
    run.kill();
    let reserve = set_aside();
    assert!(reserve > 4 << 20, "{reserve}");
    for life in 1..=3 {
        let mut run = start();
        run.wait_for_message("the disk is full", PATIENCE);
        holds_for("it waits", Duration::from_secs(1), || {
            if run.has_ended() { Err(run.stderr()) } else { Ok(()) }
        });
        run.kill();
        assert_eq!(set_aside(), reserve, "in life {life}");
    }
    let mut run = start();
    run.wait_for_message("the disk is full", PATIENCE);
    drop(others);
    run.wait(PATIENCE).expect(0);
    assert!(scratch.shell("sort -n out.txt") == input.into_bytes(), "each number once");
    drop(disk);
}

/// With room in its reserve a start goes on to where `why` can be asked.
#[test]
fn a_start_on_a_full_disk_with_a_reserve_says_why_it_waits() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "64m");
    let padded = numbers(120_000).replace('\n', &format!("{}\n", " ".repeat(95)));
    scratch.write("in.txt", &padded);
    // So little under way that the source has most of its input left.
    let pipeline = "[pipeline]\nname = 'full'\nmax_record = '1KiB'\ncredit = '256KiB'\noutbox = '256KiB'\n[source.in]\nfile = 'in.txt'\n\
                    [stage.pass]\nrun = ['sh', '-c', 'sleep 0.05; exec cat']\nbatch = { max_records = 1000 }\npartitions = 1\n\
                    [sink.out]\nfile = 'out.txt'\n";
    let start = || scratch.start(pipeline, &["--state", "tiny/state"]);
    let run = start();
    until_something_is_written(&scratch);
    run.kill();
    let others = Others::take_all(&scratch, "tiny/fill");
    let mut run = start();
    run.wait_for_message("the disk is full", PATIENCE);
    until_why_names_the_disk(&scratch);
    drop(others);
    run.wait(PATIENCE).expect(0);
    assert!(scratch.shell("sort -n out.txt") == padded.into_bytes(), "each record once");
    drop(disk);
}

fn until_something_is_written(scratch: &Scratch) {
    eventually("it works", PATIENCE, || {
        let is_there = scratch.path("out.txt").exists() && scratch.len("out.txt") > 0;
        if is_there { Ok(()) } else { Err("nothing yet".into()) }
    });
}

fn until_why_names_the_disk(scratch: &Scratch) {
    let told = || {
        let why = scratch.worker(&["why"]).run();
        let said = String::from_utf8_lossy(&why.stdout).into_owned();
        if said.contains("disk") && said.contains("full") {
            Ok(())
        } else {
            Err(format!("{said}{}", why.stderr))
        }
    };
    eventually("`why` names the disk", PATIENCE, told);
}

/// The journal has room in what it set aside, so that what a pipe gives is the only thing that finds none.
#[test]
fn a_disk_that_is_full_only_for_what_a_pipe_gives_is_told() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "64m");
    scratch.write("pipeline.toml", "[source.in]\nstdin = true\n[sink.out]\nfile = 'out.txt'\n");
    let mut run = scratch
        .worker(&["run", "pipeline.toml", "--state", "tiny/state"])
        .stdin(std::process::Stdio::piped())
        .start();
    let mut input = run.take_stdin().expect("its input");
    let all = numbers(100_000);
    let (first, rest) = all.split_at(2);
    input.write_all(first.as_bytes()).expect("it reads");
    until_something_is_written(&scratch);
    scratch.shell("cat /dev/zero >> tiny/fill; true");
    let writer = std::thread::spawn({
        let rest = rest.to_owned();
        move || input.write_all(rest.as_bytes()).expect("it reads")
    });
    run.wait_for_message("the disk is full", PATIENCE);
    until_why_names_the_disk(&scratch);
    std::fs::remove_file(scratch.path("tiny/fill")).expect("make room");
    writer.join().expect("all is written");
    run.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt"), all);
    drop(disk);
}

#[test]
fn dead_letters_of_a_run_without_state_wait_for_room_and_none_is_lost_or_torn() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "1m");
    std::fs::write(scratch.path("tiny/ballast"), vec![0; (1 << 20) - 8_192]).expect("it fits");
    scratch.write("in.txt", numbers(400));
    let pipeline = "[source.in]\nfile = 'in.txt'\n\
                    [stage.picky]\nrun = ['sh', '-c', '! grep 7']\nbatch = { max_records = 1 }\n\
                    retry = { max_attempts = 1 }\nmax_dead = 1000\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n";
    let mut run = scratch.start(pipeline, &["--dead-letters", "tiny/dead.jsonl"]);
    run.wait_for_message("dead letters find no room", PATIENCE);
    let told = || {
        let why = scratch.worker(&["why"]).run();
        let said = String::from_utf8_lossy(&why.stdout).into_owned();
        if said.contains("dead letter") { Ok(()) } else { Err(format!("{said}{}", why.stderr)) }
    };
    eventually("`why` names them", PATIENCE, told);
    std::fs::remove_file(scratch.path("tiny/ballast")).expect("make room");
    run.wait(PATIENCE).expect(3);
    let dead = scratch.text("tiny/dead.jsonl");
    let records: Vec<String> = dead
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line"))
        .map(|letter| letter["record"].as_str().expect("text").to_owned())
        .collect();
    let expected: Vec<String> = (1..=400).map(|n: u32| n.to_string()).filter(|n| n.contains('7')).collect();
    assert_eq!(records, expected);
    drop(disk);
}
