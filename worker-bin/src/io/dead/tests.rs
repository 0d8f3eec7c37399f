use super::*;
use bytes::Bytes;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use worker_core::event::{Contents, FailureKind};
use worker_proto::{LinkId, Seq};

fn letter(record: &'static [u8]) -> DeadLetter {
    DeadLetter {
        cause: None,
        batch_id: None,
        record: Bytes::from_static(record),
        reason: "exit status 1".to_owned(),
        attempts: 5,
        stderr_tail: "oops\n".to_owned(),
        origin: Some((LinkId(3), Seq(42))),
        contents: Contents::Record,
        header: None,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn letters_are_json_lines_that_say_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut dead = DeadLetterFile::new(dir.path().join("job.dead.jsonl"));
    dead.put("errors/1", Some("log/0"), &letter(b"caf\xc3\xa9 \"1\"\r\n"), Envelopes::default()).unwrap();
    dead.put(
        "errors/1",
        None,
        &DeadLetter { stderr_tail: String::new(), origin: None, ..letter(b"\xff\x00\n") },
        Envelopes::default(),
    )
    .unwrap();
    assert_eq!((dead.count(), dead.path().unwrap()), (2, dir.path().join("job.dead.jsonl").as_path()));
    let mut lines = lines(dead.path().unwrap());
    for line in &mut lines {
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'));
    }
    let common = json!({"task": "errors/1", "reason": "exit status 1", "attempts": 5});
    let mut first = common.clone();
    first["record"] = "café \"1\"\r".into();
    first["stderr_tail"] = "oops\n".into();
    first["origin"] = json!({"from": "log/0", "seq": 42});
    let mut second = common;
    second["record_b64"] = "/wA=".into();
    second["contents"] = "record".into();
    assert_eq!(lines, [first, second]);
}

#[test]
fn no_letter_makes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadLetterFile::new(dir.path().join("job.dead.jsonl"));
    assert_eq!((dead.count(), dead.path()), (0, None));
    drop(dead);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn files_of_earlier_runs_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.dead.jsonl");
    for _ in 0..3 {
        DeadLetterFile::new(path.clone()).put("a/0", None, &letter(b"x\n"), Envelopes::default()).unwrap();
    }
    for name in ["job.dead.jsonl", "job.dead-1.jsonl", "job.dead-2.jsonl"] {
        assert_eq!(lines(&dir.path().join(name)).len(), 1, "{name}");
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what failed may be secret");
    }
}

#[test]
fn a_letter_that_cannot_be_kept_is_an_error_that_names_the_file() {
    let mut dead = DeadLetterFile::new("/nowhere/job.dead.jsonl".into());
    let message = dead.put("a/0", None, &letter(b"x\n"), Envelopes::default()).unwrap_err().to_string();
    assert!(message.starts_with("cannot keep a dead letter in /nowhere/job.dead.jsonl: "), "{message}");
    assert_eq!(dead.count(), 0);
}

#[test]
fn how_a_program_ended_is_told_where_it_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut dead = DeadLetterFile::new(dir.path().join("job.dead.jsonl"));
    for cause in [FailureKind::Exit(3), FailureKind::Signal(9), FailureKind::Timeout] {
        dead.put("a/0", None, &DeadLetter { cause: Some(cause), ..letter(b"x\n") }, Envelopes::default())
            .unwrap();
    }
    let told: Vec<_> = lines(dead.path().unwrap())
        .into_iter()
        .map(|line| (line["exit_status"].as_i64(), line["signal"].as_i64()))
        .collect();
    assert_eq!(told, [(Some(3), None), (None, Some(9)), (None, None)]);
}

#[test]
fn letters_that_somebody_takes_away_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.dead.jsonl");
    for (by, says) in [("rm", "removed"), ("cut", "cut meanwhile: 0 bytes are left")] {
        let mut dead = DeadLetterFile::new(path.clone());
        dead.put("errors/1", None, &letter(b"1\n"), Envelopes::default()).unwrap();
        dead.check().unwrap();
        if by == "rm" {
            fs::remove_file(&path).unwrap()
        } else {
            fs::write(&path, "").unwrap()
        }
        let at_the_next =
            dead.put("errors/1", None, &letter(b"2\n"), Envelopes::default()).unwrap_err().to_string();
        let at_the_end = dead.check().unwrap_err().to_string();
        for said in [at_the_next, at_the_end] {
            assert!(said.contains(says) && said.contains("are lost"), "{said}");
        }
    }
}
