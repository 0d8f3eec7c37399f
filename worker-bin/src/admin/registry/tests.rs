use super::*;
use crate::explain::sample;
use std::os::unix::fs::PermissionsExt as _;

fn entry(pipeline: &str, pid: u32) -> RegistryEntry {
    RegistryEntry {
        pid,
        pipeline: pipeline.to_owned(),
        node: "a/b".to_owned(),
        admin: Some("127.0.0.1:7480".to_owned()),
        certificate: None,
        token: "s3cret".to_owned(),
        started_ms: u64::from(pid),
        last: None,
        state: None,
    }
}

fn private() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("a mode");
    dir
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("readable").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Makes a file older than it is.
fn age(path: &Path, age: Duration) {
    let file = OpenOptions::new().write(true).open(path).expect("there");
    file.set_modified(SystemTime::now() - age).expect("a time");
}

#[test]
fn an_entry_lives_as_long_as_its_process_and_says_how_that_ended() {
    let dir = private();
    let path = dir.path().join("deep/er");
    let first = Registration::in_dir(&path, entry("first", 1)).expect("an entry");
    let second = Registration::in_dir(&path, entry("second", 2)).expect("another");
    let seen = || {
        let found = list_in(&path).expect("readable");
        found.iter().map(|f| (f.entry.pipeline.clone(), f.alive, f.entry.last.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(seen(), [("second".to_owned(), true, false), ("first".to_owned(), true, false)]);
    second.ended(sample::calm());
    assert_eq!(
        seen(),
        [("first".to_owned(), true, false), ("second".to_owned(), false, true)],
        "the living first"
    );
    drop(first);
    assert_eq!(
        seen(),
        [("second".to_owned(), false, true), ("first".to_owned(), false, false)],
        "killed: no last word"
    );
    let found = list_in(&path).expect("readable").remove(0).entry;
    assert_eq!(
        (found.token(), found.last.map(|last| *last)),
        (Token::from_text("s3cret"), Some(sample::calm()))
    );
    assert_eq!(files(&path), ["first-a_b-1.json", "second-a_b-2.json"], "no name leaves the directory");
}

#[test]
fn entries_hold_secrets_that_only_their_user_can_read() {
    let dir = private();
    let path = dir.path().join("made");
    let _registration = Registration::in_dir(&path, entry("p", 1)).expect("an entry");
    let mode = |path: &Path| path.metadata().expect("there").mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("p-a_b-1.json"))), (0o700, 0o600));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).expect("a mode");
    let refused = Registration::in_dir(&path, entry("p", 2)).expect_err("others can read it").to_string();
    assert!(refused.contains("mode 0700") && refused.contains("made"), "{refused}");
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let dir = private();
    let (own, link) = (dir.path().join("own"), dir.path().join("link"));
    std::fs::create_dir(&own).expect("a directory");
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700)).expect("a mode");
    std::os::unix::fs::symlink(&own, &link).expect("a link");
    assert!(Registration::in_dir(&link, entry("p", 1)).is_err(), "where a link leads, its maker decides");
    // Only the superuser can give a directory away; everybody else finds one of his.
    let others = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&own, Some(12_345), None).expect("given away");
        own
    } else {
        PathBuf::from("/")
    };
    let refused = Registration::in_dir(&others, entry("p", 1)).expect_err("not ours").to_string();
    assert!(refused.contains("of this user"), "{refused}");
}

#[test]
fn what_is_not_there_lists_nothing_and_what_is_no_entry_is_left_out() {
    let dir = private();
    assert_eq!(list_in(&dir.path().join("missing")).expect("nothing"), []);
    let _registration = Registration::in_dir(dir.path(), entry("p", 1)).expect("an entry");
    for (name, text) in [
        ("half-a-7.json", r#"{"pid":7,"pipel"#),
        ("other.json", "[1]"),
        ("note.txt", "x"),
        ("empty-a-8.json", ""),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    assert_eq!(list_in(dir.path()).expect("readable").len(), 1);
}

#[test]
fn the_last_few_ended_entries_are_kept_for_a_day() {
    let dir = private();
    let minute = Duration::from_secs(60);
    let path = |pid: u32| dir.path().join(format!("p-a_b-{pid}.json"));
    for pid in 1..=20 {
        std::fs::write(path(pid), serde_json::to_vec(&entry("p", pid)).expect("json")).expect("written");
        age(&path(pid), minute * (30 - pid));
    }
    let living = Registration::in_dir(dir.path(), entry("alive", 99)).expect("an entry");
    age(&dir.path().join("alive-a_b-99.json"), KEPT * 2);
    assert_eq!(files(dir.path()).len(), ENDED_MAX + 1);
    assert!(!path(4).exists() && path(5).exists() && path(20).exists(), "the oldest went");
    age(&path(20), KEPT + minute);
    age(&path(19), KEPT - minute);
    sweep(dir.path());
    assert!(!path(20).exists() && path(19).exists(), "a day, not more");
    assert!(dir.path().join("alive-a_b-99.json").exists(), "who lives is listed, however long it has run");
    drop(living);
    sweep(dir.path());
    assert!(!dir.path().join("alive-a_b-99.json").exists());
}

#[test]
fn sweeping_removes_nothing_but_entries() {
    let dir = private();
    let torn = ["half-a-7.json", "empty-a-8.json"];
    for (name, text) in [
        (torn[0], r#"{"pid":7,"pipel"#),
        (torn[1], ""),
        ("notes-2024.json", "{}"),
        ("thesis.txt", "years of work"),
        ("data-a-9.json", r#"{"name":"x"}"#),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file");
        age(&dir.path().join(name), KEPT * 2);
    }
    sweep(dir.path());
    assert_eq!(files(dir.path()), ["data-a-9.json", "notes-2024.json", "thesis.txt"]);
}

#[test]
fn a_reader_does_not_keep_a_process_from_making_its_entry() {
    let dir = private();
    let path = dir.path().join("p-a_b-1.json");
    let reader = File::create(&path).expect("a file");
    flock(&reader, FlockOperation::LockShared).expect("a lock");
    let held = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        drop(reader);
    });
    Registration::in_dir(dir.path(), entry("p", 1)).expect("an entry, a moment later");
    held.join().expect("it ends");
}

#[test]
fn readers_wait_for_nothing_and_believe_nobody_else() {
    let dir = private();
    let kept = Registration::in_dir(dir.path(), entry("mine", 1)).expect("an entry");
    let pipe = dir.path().join("x-a-9.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("a pipe");
    let elsewhere = private();
    let target = elsewhere.path().join("entry");
    std::fs::copy(dir.path().join("mine-a_b-1.json"), &target).expect("a copy");
    std::os::unix::fs::symlink(&target, dir.path().join("linked-a-8.json")).expect("a link");
    assert_eq!(list_in(dir.path()).expect("readable").len(), 1, "the own one");
    sweep(dir.path());
    assert_eq!(files(dir.path()).len(), 3, "what is no entry is left alone");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    assert_eq!(list_in(dir.path()).expect("asked"), [], "others may write there");
    drop(kept);
}
