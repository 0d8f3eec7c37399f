//! A disk that is full where outputs spill: tasks wait, nothing is lost, and work goes on by itself.

use rustix::process::Signal;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use worker_tests::process::{Nodes, Scratch};

const PATIENCE: Duration = Duration::from_secs(40);

/// A file system of a few MiB, mounted until it is dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir(&at).expect("make a directory to mount on");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&at).status();
        let mounted = mounted.expect("`mount` is there (Debian package mount)");
        assert!(mounted.success(), "this test mounts a tmpfs: run it as root, where mounting is allowed");
        Self(at)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().expect("unmount what was mounted");
    }
}

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
    let disk = TinyDisk::mount(scratch.path("tiny"));
    let input = numbers(2_000_000);
    scratch.write("in.txt", &input);
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\nspill_dir = 'tiny'\n\
                    [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [stage.same]\nrun = 'cat'\npartitions = 2\nplace = ['b', 'c']\n\
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
    let disk = TinyDisk::mount(scratch.path("tiny"));
    std::fs::write(scratch.path("tiny/ballast"), vec![0; 2 << 20]).expect("it fits");
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\nspill_dir = 'tiny'\n\
                    [source.in]\nfile = 'in.txt'\n\
                    [stage.many]\nrun = ['sh', '-c', 'cat > /dev/null; seq 1 4000000']\npartitions = 1\n\
                    [sink.out]\nfile = 'out.txt'\n";
    scratch.write("in.txt", "go\n");
    let mut run = scratch.start(pipeline, &[]);
    run.wait_for_message("its program waits until it works", PATIENCE);
    std::fs::remove_file(scratch.path("tiny/ballast")).expect("make room");
    let enlarged = Command::new("mount").args(["-o", "remount,size=200m"]).arg(scratch.path("tiny")).status();
    assert!(enlarged.expect("`mount` is there").success());
    run.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt"), numbers(4_000_000));
    drop(disk);
}
