//! Processes that write a sink and die, or fail, wherever they can.

use super::*;
use crate::io::durable::replace_file;
use std::fs;
use std::process::{Command, ExitStatus};

const TEST: &str = "io::sink::file::durable::kill_tests::a_life_of_a_sink";
const DIRECTORY: &str = "WORKER_TEST_SINK";
const LINES: u64 = 8;

/// What the processes below run: writes the lines that are missing. By itself it runs once, undisturbed.
#[test]
fn a_life_of_a_sink() {
    let own = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(DIRECTORY).map_or_else(|| own.path().to_owned(), PathBuf::from);
    let (path, journal) = (dir.join("out"), dir.join("journal"));
    let keep = |position: Option<Bytes>| replace_file(&journal, &position.unwrap(), "journal").unwrap();
    let position = fs::read(&journal).ok();
    let mut sink = DurableFileSink::open(&path, Exists::Error, Some(b'\n'), position.as_deref()).unwrap();
    keep(sink.begin().unwrap());
    for n in fs::read(&path).unwrap().len() as u64 / 2..LINES {
        sink.write(&[Batch::from_terminated(format!("{n}\n").into_bytes().into(), b'\n')]).unwrap();
        let position = sink.position();
        sink.sync().unwrap();
        keep(position);
    }
    sink.close().unwrap();
}

fn life(dir: &Path, fault: &str) -> ExitStatus {
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", TEST]).env(DIRECTORY, dir).env("WORKER_FAULT", fault);
    test.output().unwrap().status
}

#[test]
fn lives_that_end_anywhere_leave_each_record_once() {
    let want: String = (0..LINES).map(|n| format!("{n}\n")).collect();
    let mut disturbed = 0;
    for operation in ["sink.sync", "sink.directory", "sink.write", "sink.cut", "journal.rename"] {
        for fault in [":1", ":4", ".after:1=eio"] {
            let dir = tempfile::tempdir().unwrap();
            // Something to cut is left where this one is killed.
            assert!(!life(dir.path(), "sink.write.after:3").success());
            disturbed += u32::from(!life(dir.path(), &format!("{operation}{fault}")).success());
            assert!(life(dir.path(), "").success(), "{operation}{fault}");
            assert_eq!(fs::read_to_string(dir.path().join("out")).unwrap(), want, "{operation}{fault}");
        }
    }
    assert!(disturbed > 10, "only {disturbed} lives were disturbed");
}

#[test]
fn a_life_that_dies_before_its_first_mark_is_as_if_it_never_was() {
    for fault in ["sink.sync.before", "sink.directory.after", "journal.rename.before"] {
        let dir = tempfile::tempdir().unwrap();
        assert!(!life(dir.path(), fault).success(), "{fault}");
        assert!(life(dir.path(), "").success(), "{fault}");
        assert_eq!(fs::read(dir.path().join("out")).unwrap().len() as u64, 2 * LINES);
    }
}
