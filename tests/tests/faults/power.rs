//! Power cuts: what a disk holds that was copied while the pipeline ran, without what only the page cache had.

use rustix::process::Signal;
use std::time::Duration;
use worker_tests::process::{Disk, Running, Scratch, eventually};
use worker_tests::sim::rng::Rng;

/// How many copies of one life are taken.
const CUTS: u64 = 5;

/// About three seconds of batches, streams and records, with everything that they keep on `disk`.
const PIPELINE: &str = r#"
    [pipeline]
    name = "power"
    [source.in]
    file = "in.txt"
    [stage.slow]
    from = "in"
    run = ["sh", "-c", "sleep 0.02; cat"]
    partitions = 1
    batch = { max_records = 50 }
    [stage.keyed]
    from = "slow"
    partition_by = { field = 1 }
    partitions = 2
    run = ["sed", "s/line/LINE/"]
    [stage.running]
    from = "slow"
    mode = "stream"
    window = { records = 777 }
    run = ["awk", "{s += $3; print s; fflush()} END {print \"end\", NR}"]
    [stage.numbered]
    from = "slow"
    mode = "records"
    partition_by = { field = 1 }
    partitions = 1
    state = "inline"
    run = ["sh", "count.sh"]
    [sink.copy]
    from = "slow"
    file = "disk/copy.txt"
    [sink.all]
    from = "keyed"
    file = "disk/all.txt"
    [sink.sums]
    from = "running"
    file = "disk/sums.txt"
    [sink.numbers]
    from = "numbered"
    file = "disk/numbers.txt"
"#;

#[test]
fn what_a_power_cut_leaves_comes_to_the_same_result() {
    let seed = std::env::var("WORKER_KILL_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    let mut rng = Rng::new(seed);
    let scratch = Scratch::new();
    scratch.shell("seq 1 6000 | awk '{print \"k\" $1 % 7, \"line\", $1}' > in.txt");
    scratch.write("count.sh", include_bytes!("../../../examples/records/count.sh"));
    scratch.write("pipeline.toml", PIPELINE);
    let mut cuts = cut(&scratch, &mut rng, "disk.img", CUTS);
    // A cut of what was continued after a cut.
    cuts.extend(cut(&scratch, &mut rng, "disk.img.0", 2));
    let (mut lost, taken) = (0, cuts.len());
    for image in cuts {
        let disk = Disk::image(&scratch, "disk", &image);
        lost += usize::from(scratch.read(&unsynced(&image)) != b"written");
        start(&scratch).wait(Duration::from_secs(60)).expect(0);
        assert_result(&scratch, &image);
        drop(disk);
    }
    // The kernel may have written one by itself.
    assert!(lost * 2 > taken, "{lost} of {taken} copies hold what was not synced: these are no power cuts");
}

/// A file that is written and not synced just before the copy is taken.
fn unsynced(copy: &str) -> String {
    format!("disk/unsynced-{copy}")
}

fn start(scratch: &Scratch) -> Running<'_> {
    scratch.worker(&["run", "pipeline.toml", "--state", "disk/state", "--progress", "none"]).start()
}

/// Copies the disk at some moments of a life, which is killed then.
fn cut(scratch: &Scratch, rng: &mut Rng, image: &str, cuts: u64) -> Vec<String> {
    let disk = Disk::image(scratch, "disk", image);
    let mut running = start(scratch);
    let mut images = Vec::new();
    for n in 0..cuts {
        std::thread::sleep(Duration::from_millis(rng.within(20, 250)));
        if running.has_ended() {
            break;
        }
        stop_all_threads(&running);
        let copy = format!("{image}.{n}");
        scratch.write(&unsynced(&copy), "written");
        scratch.shell(&format!("cp --sparse=always {image} {copy}"));
        running.signal(Signal::CONT);
        images.push(copy);
    }
    let said = running.stderr();
    running.kill();
    scratch.assert_no_process_left();
    drop(disk);
    assert!(!images.is_empty(), "with {image} it ended before the first cut: {said}");
    images
}

/// Stops a process, and waits until no thread of it is in the middle of a system call: a copy takes longer than a moment.
fn stop_all_threads(running: &Running<'_>) {
    running.signal(Signal::STOP);
    eventually("all threads stand still", Duration::from_secs(20), || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", running.pid())).map_err(|e| e.to_string())?;
        let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat"));
        let moving = tasks.flatten().filter_map(|entry| stat(entry).ok());
        let moving: Vec<String> = moving.filter(|stat| !stat.contains(") T ")).collect();
        if moving.is_empty() { Ok(()) } else { Err(format!("{moving:?}")) }
    });
}

fn assert_result(scratch: &Scratch, image: &str) {
    let sums =
        "awk '{s += $3; n++; print s} n == 777 {print \"end\", n; n = s = 0} END {print \"end\", n}' in.txt";
    let numbers = "awk '{print ++n[$1], $1}' in.txt";
    for (got, want) in [
        ("cat disk/copy.txt", "cat in.txt"),
        ("sort disk/all.txt", "sed 's/line/LINE/' in.txt | sort"),
        ("cat disk/sums.txt", sums),
        ("cat disk/numbers.txt", numbers),
    ] {
        assert!(
            scratch.shell(got) == scratch.shell(want),
            "after the power cut of {image}: {got} is not {want}"
        );
    }
}
