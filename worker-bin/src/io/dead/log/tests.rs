use super::*;
use crate::io::dead::read_letters;
use bytes::Bytes;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use worker_core::event::Contents;

fn letter(record: &str) -> DeadLetter {
    DeadLetter {
        record: Bytes::copy_from_slice(record.as_bytes()),
        reason: "why".to_owned(),
        attempts: 1,
        stderr_tail: String::new(),
        cause: None,
        batch_id: None,
        origin: None,
        contents: Contents::Record,
        header: None,
    }
}

fn state() -> (TempDir, PathBuf) {
    let state = tempfile::tempdir().unwrap();
    let path = log_path(state.path(), "errors", 3);
    (state, path)
}

fn open(path: &Path, committed: u64) -> Result<DeadLetterLog, DeadLogError> {
    DeadLetterLog::open(path.to_owned(), "errors/3".to_owned(), b'\n'.into(), committed)
}

fn append(log: &mut DeadLetterLog, records: &[&str]) -> Result<u64, DeadLogError> {
    let letters: Vec<DeadLetter> = records.iter().map(|record| letter(record)).collect();
    let new = |letter| NewLetter { letter, from: None, batch_id: None };
    log.append(&letters.iter().map(new).collect::<Vec<_>>())
}

fn kept(path: &Path) -> Vec<(u64, String)> {
    let text = |letter: crate::io::dead::Letter| {
        (letter.id.unwrap(), String::from_utf8(letter.record.to_vec()).unwrap())
    };
    read_letters(path).unwrap().map(|letter| text(letter.unwrap())).collect()
}

#[test]
fn letters_are_numbered_over_all_lives() {
    let (state, path) = state();
    assert_eq!(path, state.path().join("dead/errors-3.jsonl"));
    let mut log = open(&path, 0).unwrap();
    assert_eq!(append(&mut log, &[]).unwrap(), 0);
    assert!(!path.exists(), "no letter makes no file");
    let first = append(&mut log, &["a\n", "b\n"]).unwrap();
    let second = append(&mut log, &["c\n"]).unwrap();
    assert_eq!((log.count(), log.length(), fs::metadata(&path).unwrap().len()), (3, second, second));
    let mut log = open(&path, first).unwrap();
    assert_eq!((log.count(), log.length()), (2, first));
    append(&mut log, &["d\n"]).unwrap();
    let want = [(1, "a"), (2, "b"), (3, "d")].map(|(id, record)| (id, record.to_owned()));
    assert_eq!(kept(&path), want);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn letters_that_are_committed_and_not_there_are_refused() {
    let (_state, path) = state();
    let mut log = open(&path, 0).unwrap();
    let committed = append(&mut log, &["a\n", "b\n"]).unwrap();
    let refused = |committed| open(&path, committed).unwrap_err();
    let shorter = refused(committed + 1);
    assert!(
        matches!(shorter, DeadLogError::Shorter { .. }) && shorter.to_string().contains("--fresh"),
        "{shorter}"
    );
    let changed = refused(committed - 1);
    assert!(
        matches!(changed, DeadLogError::Changed { .. }) && changed.to_string().contains("--fresh"),
        "{changed}"
    );
    assert_eq!(kept(&path).len(), 2, "a refusal changes nothing");
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(committed), DeadLogError::Shorter { length: 0, .. }));
    assert_eq!(open(&path, 0).unwrap().count(), 0);
}

#[test]
fn letters_that_somebody_takes_away_are_missed_at_the_next() {
    let (_state, path) = state();
    let mut log = open(&path, 0).unwrap();
    append(&mut log, &["a\n"]).unwrap();
    fs::write(&path, "").unwrap();
    let cut = append(&mut log, &["b\n"]);
    assert!(matches!(cut, Err(DeadLogError::Shorter { length: 0, .. })), "{cut:?}");
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_letter_that_cannot_be_kept_is_an_error_that_names_the_file() {
    let mut log = open(Path::new("/nowhere/dead/a-0.jsonl"), 0).unwrap();
    let message = append(&mut log, &["a\n"]).unwrap_err().to_string();
    assert!(message.starts_with("cannot keep dead letters in /nowhere/dead/a-0.jsonl: "), "{message}");
    assert_eq!((log.count(), log.length()), (0, 0));
    let (_state, path) = state();
    fs::create_dir_all(&path).unwrap();
    assert!(matches!(open(&path, 0), Err(DeadLogError::Write { .. })));
}

#[test]
fn after_a_failed_sync_nothing_is_kept_any_more() {
    let (_state, path) = state();
    let mut log = open(&path, 0).unwrap();
    // It cannot be synced.
    log.file = Some(OpenOptions::new().write(true).open("/dev/null").unwrap());
    for _ in 0..2 {
        let refused = append(&mut log, &["a\n"]).unwrap_err();
        assert!(matches!(refused, DeadLogError::Sync { .. }), "{refused}");
        assert!(refused.to_string().contains("Invalid argument"), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn after_any_crash_the_letters_are_those_committed(
        steps in proptest::collection::vec((0usize..4, any::<bool>(), any::<bool>(), 0usize..400), 0..20),
    ) {
        let (_state, path) = state();
        let (mut log, mut committed, mut want) = (open(&path, 0).unwrap(), 0, Vec::new());
        for (n, (letters, commits, crashes, torn)) in steps.into_iter().enumerate() {
            let records: Vec<String> = (0..letters).map(|i| format!("{n} \u{e9}\n{i}")).collect();
            let written = append(&mut log, &records.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            if commits {
                committed = written;
                want.extend(records);
            }
            if crashes || !commits {
                // Of what was not committed any part may be on the disk.
                if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                    file.set_len((committed + torn as u64).min(written)).unwrap();
                }
                log = open(&path, committed).unwrap();
            }
            let numbered: Vec<_> = (1..).zip(want.iter().cloned()).collect();
            prop_assert_eq!(&kept(&path), &numbered);
            prop_assert_eq!(log.count(), numbered.len() as u64);
        }
    }
}

/// What the processes below run: keeps the letters that are missing. By itself it runs once, undisturbed.
#[cfg(debug_assertions)]
#[test]
fn a_life_of_a_log() {
    let own = tempfile::tempdir().unwrap();
    let state = std::env::var_os("WORKER_TEST_DEAD").map_or_else(|| own.path().to_owned(), PathBuf::from);
    let (path, journal) = (log_path(&state, "errors", 3), state.join("journal"));
    let committed = fs::read_to_string(&journal).map_or(0, |text| text.parse().unwrap());
    let mut log = open(&path, committed).unwrap();
    for n in log.count()..4 {
        let length = append(&mut log, &[&format!("{n}\n")]).unwrap();
        durable::replace_file(&journal, length.to_string().as_bytes(), "journal").unwrap();
    }
}

#[cfg(debug_assertions)]
#[test]
fn lives_that_end_anywhere_leave_each_letter_once() {
    let life = |state: &Path, fault: &str| {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "io::dead::log::tests::a_life_of_a_log"]);
        test.env("WORKER_TEST_DEAD", state).env("WORKER_FAULT", fault).output().unwrap().status.success()
    };
    for operation in ["dead.directory", "dead.write", "dead.sync", "dead.cut", "journal.rename"] {
        for fault in [":1", ":2", ".after:1=eio"] {
            let state = tempfile::tempdir().unwrap();
            assert!(!life(state.path(), "dead.write.after:2"), "something to cut is left");
            life(state.path(), &format!("{operation}{fault}"));
            assert!(life(state.path(), ""), "{operation}{fault}");
            let want: Vec<_> = (0..4).map(|n: u64| (n + 1, n.to_string())).collect();
            assert_eq!(kept(&state.path().join("dead")), want, "{operation}{fault}");
        }
    }
}
