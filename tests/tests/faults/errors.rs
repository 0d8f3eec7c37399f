//! Errors of the disk at named points: a failed sync ends the process with the reason, a full disk only delays it.

use crate::{DONE, assert_comes_to_its_end, assert_result, live, prepare};
use worker_tests::process::Scratch;

/// What was written before a failed sync may be lost, whatever later syncs say: nothing is acknowledged after it.
#[test]
fn a_failed_sync_ends_the_process_with_the_reason_and_the_next_one_continues() {
    for operation in ["journal.sync", "sink.sync", "dead.sync"] {
        for (end, errno, said) in [
            ("before", "eio", "Input/output error"),
            ("after", "eio", "Input/output error"),
            ("before", "enospc", "No space left"),
        ] {
            for nth in [1, 2, 5, 11] {
                let fault = format!("{operation}.{end}:{nth}={errno}");
                let scratch = Scratch::new();
                prepare(&scratch);
                let ended = live(&scratch, &fault);
                if ended.status.code() == Some(DONE) {
                    assert!(nth > 1, "{fault} was not met");
                    break;
                }
                let code = ended.status.code();
                assert!(matches!(code, Some(1 | 2)), "{fault}: {} {}", ended.status, ended.stderr);
                let stderr = &ended.stderr;
                assert!(stderr.contains("error: ") && stderr.contains(said), "{fault}: {stderr}");
                assert_comes_to_its_end(&scratch, &fault);
            }
        }
    }
}

/// Nothing that was in flight is to blame for it, so the next life gives its programs as much at once as ever.
#[test]
fn an_end_by_a_failed_sync_is_no_death_of_what_was_in_flight() {
    let batch = 40;
    let mut ended_so = 0;
    for nth in 2..9 {
        let scratch = Scratch::new();
        scratch.shell("seq 1 200 > in.txt");
        let stage = format!(
            "[stage.sized]\npartitions = 1\nbatch = {{ max_records = {batch}, linger = '10s' }}\n\
             run = ['sh', '-c', 'cat > taken; wc -l < taken >> sizes; sleep 0.2; cat taken']\n"
        );
        scratch.write(
            "pipeline.toml",
            format!("[source.in]\nfile = 'in.txt'\n{stage}[sink.out]\nfile = 'out.txt'\n"),
        );
        let fault = format!("journal.sync.before:{nth}=eio");
        let ended = live(&scratch, &fault);
        ended_so += u32::from(ended.status.code() == Some(1));
        scratch.write("sizes", "");
        let finished = live(&scratch, "");
        assert_eq!(finished.status.code(), Some(0), "{fault}, then: {}", finished.stderr);
        let sizes: Vec<u32> =
            scratch.text("sizes").lines().map(|size| size.trim().parse().expect("a number")).collect();
        assert!(sizes.iter().all(|size| *size == batch), "{fault}: {sizes:?}");
        assert_eq!(scratch.text("out.txt"), scratch.text("in.txt"), "{fault}");
    }
    assert!(ended_so > 2, "{ended_so} ended by it while it worked");
}

/// Every other error is either survived or said, and nothing is lost by it.
#[test]
fn any_error_of_the_disk_is_said_and_loses_nothing() {
    let operations = [
        "journal.create",
        "journal.write",
        "journal.syncdir",
        "journal.unlink",
        "journal.rename",
        "manifest.write",
        "manifest.sync",
        "manifest.rename",
        "list.write",
        "list.rename",
        "sink.write",
        "sink.directory",
        "dead.write",
        "dead.directory",
        "state.syncdir",
        "reserve.make",
    ];
    for operation in operations {
        for nth in [1, 2, 9] {
            let fault = format!("{operation}.before:{nth}=eio");
            let scratch = Scratch::new();
            prepare(&scratch);
            let ended = live(&scratch, &fault);
            match ended.status.code() {
                Some(DONE) => assert_result(&scratch, &fault),
                Some(1 | 2) => {
                    let said =
                        ended.stderr.contains("error: ") && ended.stderr.contains("Input/output error");
                    assert!(said, "{fault}: {}", ended.stderr);
                    assert_comes_to_its_end(&scratch, &fault);
                }
                _ => panic!("{fault}: {} {}", ended.status, ended.stderr),
            }
        }
    }
}

/// A write that finds no room is done again: the reserve is there for it.
#[test]
fn writes_that_find_no_room_are_done_again() {
    for operation in ["journal.write", "sink.write", "dead.write", "journal.create", "journal.allocate"] {
        for nth in [1, 3, 12, 25] {
            let fault = format!("{operation}.before:{nth}=enospc");
            let scratch = Scratch::new();
            prepare(&scratch);
            let ended = live(&scratch, &fault);
            // Also at the start: that waits, too.
            assert_eq!(ended.status.code(), Some(DONE), "{fault}: {}", ended.stderr);
            assert_result(&scratch, &fault);
        }
    }
}
