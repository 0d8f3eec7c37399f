//! State that cannot be used: refused with what is wrong and what to do, and nothing of it is lost.

use crate::{PATIENCE, SLOW, assert_copied, half, prepare, run, start};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use worker_tests::process::{Disk, Scratch, eventually};

/// What is wrong, how it is made so and repaired, and what is said.
struct Bad {
    what: &'static str,
    spoil: &'static str,
    repair: &'static str,
    says: &'static [&'static str],
}

const BAD: [Bad; 5] = [
    Bad {
        what: "another pipeline's",
        spoil: "sed -i \"s/name = 'slow'/name = 'other'/\" pipeline.toml",
        repair: "sed -i \"s/name = 'other'/name = 'slow'/\" pipeline.toml",
        says: &["of pipeline `slow`, not of `other`", "--state"],
    },
    Bad {
        what: "newer manifest",
        spoil: r#"cp state/manifest.json kept; sed -i -E 's/"format": ?2/"format": 99/' state/manifest.json"#,
        repair: "cp kept state/manifest.json",
        says: &["manifest.json", "newer worker", "99"],
    },
    Bad {
        what: "senseless manifest",
        spoil: "cp state/manifest.json kept; echo '{' > state/manifest.json",
        repair: "cp kept state/manifest.json",
        says: &["manifest.json", "cannot be understood", "--fresh"],
    },
    Bad {
        what: "the tasks' journal is gone",
        spoil: "mv state/tasks/column-0 kept-journal",
        repair: "rm -rf state/tasks/column-0; mv kept-journal state/tasks/column-0",
        says: &["in/0, same/0, out/0", "column-0", "--fresh"],
    },
    Bad {
        what: "all segments of a journal are gone",
        spoil: "mkdir kept-segments; mv state/tasks/column-0/*.wj kept-segments",
        repair: "rm -f state/tasks/column-0/*; mv kept-segments/*.wj state/tasks/column-0; rmdir kept-segments",
        says: &["column-0", "--fresh"],
    },
];

#[test]
fn state_that_cannot_be_used_is_refused_and_kept() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    for Bad { what, spoil, repair, says } in BAD {
        scratch.shell(spoil);
        let written = scratch.len("out.txt");
        let ended = run(&scratch);
        assert!(matches!(ended.status.code(), Some(1 | 2)), "{what}: {} {}", ended.status, ended.stderr);
        for text in says {
            assert!(ended.stderr.contains(text), "{what}: {text:?} is missing in: {}", ended.stderr);
        }
        assert_eq!(scratch.len("out.txt"), written, "{what}");
        scratch.shell(repair);
    }
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

/// The segments of a journal in their order.
fn segments(scratch: &Scratch, task: &str) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(scratch.path(&format!("state/tasks/{task}"))).expect("a journal");
    let mut paths: Vec<PathBuf> = dir.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "wj"));
    paths.sort();
    paths
}

#[test]
fn a_journal_that_is_damaged_in_the_middle_is_refused_with_the_place() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    for path in [segments(&scratch, "column-0").pop().expect("a segment")] {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let file = std::fs::File::options().read(true).write(true).open(&path).expect("a segment");
        // In the header, and in the records that came first.
        for at in [4, 60, 100, 140] {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("a byte");
            file.write_all_at(&[byte[0] ^ 0x40], at).expect("a byte");
            let ended = run(&scratch);
            assert_eq!(ended.status.code(), Some(2), "{at}: {}", ended.stderr);
            for text in ["damaged at byte", &name, "restore", "--fresh"] {
                assert!(ended.stderr.contains(text), "{at}: {text:?} is missing in: {}", ended.stderr);
            }
            file.write_all_at(&byte, at).expect("a byte");
        }
    }
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

/// A column that is cut behind a record says nothing of that by itself; what another column has from it does.
#[test]
fn a_column_that_was_cut_is_named_with_its_file() {
    let scratch = Scratch::new();
    let keyed = SLOW.replace("partitions = 1", "partitions = 2\npartition_by = 'record'");
    prepare(&scratch, &keyed);
    half(&scratch);
    if !scratch.path("state/tasks/column-1").exists() {
        return; // One processor: nothing crosses.
    }
    scratch.shell("cp -a state good");
    let mut named = 0;
    for column in ["column-0", "column-1"] {
        let path = segments(&scratch, column).pop().expect("a segment");
        let inspected = scratch
            .worker(&[
                "journal",
                "inspect",
                "--json",
                &path.parent().expect("a directory").display().to_string(),
            ])
            .run();
        let text = String::from_utf8_lossy(&inspected.expect(0).stdout).into_owned();
        let found = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line"));
        let commits: Vec<u64> = found
            .filter(|found| {
                found["kind"] == "commit" && path.ends_with(found["segment"].as_str().unwrap_or_default())
            })
            .filter_map(|found| found["offset"].as_u64())
            .collect();
        let Some(first) = commits.first() else { continue };
        let file = std::fs::File::options().write(true).open(&path).expect("a segment");
        file.set_len(*first).expect("it can be cut");
        let ended = run(&scratch);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        for text in [&*name, column, "was cut", "put the whole state directory back", "--fresh"] {
            assert!(ended.stderr.contains(text), "{text:?} is missing in: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("sending node"), "{}", ended.stderr);
        named += 1;
        scratch.shell("rm -rf state; cp -a good state");
    }
    assert!(named > 0, "none has a commit");
    run(&scratch).expect(0);
    assert_eq!(scratch.shell("sort out.txt"), scratch.shell("sort in.txt"));
}

/// A header with another version and the right checksum, as a newer worker would write it.
#[test]
fn a_journal_of_a_newer_format_is_refused() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    let path = segments(&scratch, "column-0").pop().expect("a segment");
    let good = std::fs::read(&path).expect("a segment");
    let newer = "import struct, sys, zlib; b = bytearray(open(sys.argv[1], 'rb').read()); b[4:8] = struct.pack('<I', 77); \
                 b[56:60] = struct.pack('<I', zlib.crc32(bytes(b[:56]))); open(sys.argv[1], 'wb').write(b)";
    scratch.shell(&format!("python3 -c \"{newer}\" {}", path.display()));
    run(&scratch).expect(2).says(&["made by a newer worker", "77", "use the newer worker"]);
    std::fs::write(&path, good).expect("the segment as it was");
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

/// Each journal says whose it is: the manifest is made again.
#[test]
fn a_lost_manifest_loses_nothing() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    scratch.shell("rm state/manifest.json");
    scratch.write("pipeline.toml", SLOW.replace("cat']", "tac']"));
    run(&scratch).expect(2).says(&["belongs to", "--fresh"]);
    scratch.shell("rm -f state/manifest.json");
    scratch.write("pipeline.toml", SLOW);
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

#[test]
fn state_in_use_by_a_living_process_is_refused() {
    let scratch = Scratch::new();
    prepare(&scratch, &SLOW.replace("sleep 0.02", "test -e go || sleep 1000"));
    let first = start(&scratch);
    eventually("it has started", PATIENCE, || {
        if scratch.processes().iter().any(|(_, name)| name.starts_with("sleep")) {
            Ok(())
        } else {
            Err(first.stderr())
        }
    });
    let holder = format!("process {}", first.pid());
    run(&scratch).expect(2).says(&[&holder, "--state"]);
    scratch.worker(&["run", "pipeline.toml", "--state", "state", "--fresh"]).run().expect(2).says(&[&holder]);
    first.kill();
    scratch.write("go", "");
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

#[test]
fn read_only_state_is_refused() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    let mount = |args: &[&str]| {
        let status = Command::new("mount").args(args).current_dir(scratch.dir()).status();
        assert!(status.expect("`mount` is there").success(), "this test mounts {args:?}: run it as root");
    };
    mount(&["--bind", "state", "state"]);
    mount(&["-o", "remount,bind,ro", "state"]);
    let ended = run(&scratch);
    Command::new("umount").arg(scratch.path("state")).status().expect("`umount` is there");
    ended.expect(2).says(&["Read-only file system", "state", "--state"]);
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

#[test]
fn a_disk_that_is_full_at_the_first_start_is_said_and_waited_for() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    let disk = Disk::in_memory(&scratch, "disk", "64k");
    // A directory of its own on that disk: one with other files in it is no state.
    scratch.shell(
        "mkdir disk/state && ln -s disk/state state && head -c 65536 /dev/zero > disk/ballast || true",
    );
    let mut waits = start(&scratch);
    for said in ["the disk is full", "No space left", "make room", "goes on by itself"] {
        waits.wait_for_message(said, PATIENCE);
    }
    disk.resize("64m");
    waits.wait(PATIENCE).expect(0);
    assert_copied(&scratch);
}
