use super::*;
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use std::thread;
use tempfile::TempDir;

fn batch(text: &str) -> Batch {
    Batch::from_terminated(text.as_bytes().to_vec().into(), b'\n')
}

fn at(name: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

fn begun(path: &Path, exists: Exists) -> (DurableFileSink, Bytes) {
    let mut sink = DurableFileSink::open(path, exists, Some(b'\n'), None).unwrap();
    let position = sink.begin().unwrap().unwrap();
    (sink, position)
}

fn recover(path: &Path, position: &[u8]) -> Result<DurableFileSink, SinkError> {
    DurableFileSink::open(path, Exists::Error, Some(b'\n'), Some(position))
}

/// A file in which "1\n2\n" is committed and "3\n" is written behind it.
fn crashed() -> (TempDir, PathBuf, Bytes) {
    let (dir, path) = at("new/out");
    let (mut sink, _) = begun(&path, Exists::Error);
    sink.write(&[batch("1\n"), batch("2\n")]).unwrap();
    sink.sync().unwrap();
    let position = sink.position().unwrap();
    sink.write(&[batch("3\n")]).unwrap();
    (dir, path, position)
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_was_not_committed_is_cut_and_writing_goes_on() {
    let (_dir, path, position) = crashed();
    assert_eq!(content(&path), "1\n2\n3\n");
    let mut sink = recover(&path, &position).unwrap();
    assert_eq!(content(&path), "1\n2\n");
    assert_eq!(sink.begin().unwrap().unwrap(), position);
    sink.write(&[batch("three\n")]).unwrap();
    sink.close().unwrap();
    let position = sink.position().unwrap();
    drop(recover(&path, &position).unwrap());
    assert_eq!(content(&path), "1\n2\nthree\n");
}

#[test]
fn what_the_file_held_before_is_never_cut() {
    let (_dir, path) = at("out");
    let before = "before, without an end".repeat(500);
    fs::write(&path, &before).unwrap();
    let (mut sink, first) = begun(&path, Exists::Append);
    sink.write(&[]).unwrap();
    assert_eq!(content(&path), before, "no record, no change");
    sink.write(&[batch("1\n")]).unwrap();
    let position = sink.position().unwrap();
    sink.write(&[batch("2\n")]).unwrap();
    assert_eq!(content(&path), format!("{before}\n1\n2\n"), "the last record of before gets its end");
    drop(recover(&path, &position).unwrap());
    assert_eq!(content(&path), format!("{before}\n1\n"));
    drop(recover(&path, &first).unwrap());
    assert_eq!(content(&path), before);
    let mut again = recover(&path, &first).unwrap();
    again.write(&[batch("1\n")]).unwrap();
    again.close().unwrap();
    assert_eq!(content(&path), format!("{before}\n1\n"), "in the life after a crash too");
}

#[test]
fn a_missing_end_is_that_of_the_framing_and_is_added_once() {
    for (before, terminator, want) in [
        ("a", 0, "a\0b\0"),
        ("a\n", 0, "a\n\0b\0"),
        ("a\0", 0, "a\0b\0"),
        ("", 0, "b\0"),
        ("a\n", b'\n', "a\nb\0"),
    ] {
        let (_dir, path) = at("out");
        fs::write(&path, before).unwrap();
        let mut sink = DurableFileSink::open(&path, Exists::Append, Some(terminator), None).unwrap();
        sink.begin().unwrap();
        sink.write(&[batch("b\0")]).unwrap();
        sink.close().unwrap();
        assert_eq!(content(&path), want);
    }
}

#[test]
fn a_replaced_file_keeps_its_content_until_the_sink_begins() {
    let (_dir, path) = at("out");
    fs::write(&path, "old and long").unwrap();
    drop(DurableFileSink::open(&path, Exists::Replace, Some(b'\n'), None).unwrap());
    assert_eq!(content(&path), "old and long");
    let (mut sink, first) = begun(&path, Exists::Replace);
    assert_eq!(content(&path), "");
    sink.write(&[batch("new\n")]).unwrap();
    drop(recover(&path, &first).unwrap());
    assert_eq!(content(&path), "");
}

#[test]
fn the_first_start_refuses_only_a_file_that_holds_something() {
    let (_dir, path) = at("out");
    fs::write(&path, "old").unwrap();
    let refused = DurableFileSink::open(&path, Exists::Error, Some(b'\n'), None).unwrap_err();
    assert!(matches!(refused, SinkError::Exists { .. }), "{refused}");
    fs::write(&path, "").unwrap();
    drop(DurableFileSink::open(&path, Exists::Error, Some(b'\n'), None).unwrap());
    assert!(path.exists(), "it was there before");
    fs::remove_file(&path).unwrap();
    drop(DurableFileSink::open(&path, Exists::Error, Some(b'\n'), None).unwrap());
    assert!(!path.exists(), "it was not");
    drop(begun(&path, Exists::Error));
    assert!(path.exists(), "its position may be in the journal");
}

#[test]
fn a_file_that_is_not_as_it_was_left_is_refused_and_not_touched() {
    let (dir, path, position) = crashed();
    let refused = |want: fn(&SinkError) -> bool| {
        let before = fs::read(&path).ok();
        let error = recover(&path, &position).unwrap_err();
        let message = error.to_string();
        assert!(want(&error) && message.ends_with("begin a new run with --fresh"), "{message}");
        assert_eq!(fs::read(&path).ok(), before);
    };
    let other = dir.path().join("other");
    fs::rename(&path, &other).unwrap();
    refused(|e| matches!(e, SinkError::Gone { committed: 4, .. }));
    fs::copy(&other, &path).unwrap();
    refused(|e| matches!(e, SinkError::Replaced { .. }));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(|e| matches!(e, SinkError::Replaced { .. }));
    fs::remove_dir(&path).unwrap();
    fs::rename(&other, &path).unwrap();
    fs::write(&path, "1\n2").unwrap();
    refused(|e| matches!(e, SinkError::Shorter { length: 3, committed: 4, .. }));
    fs::write(&path, "1\n9\n3\n4\n").unwrap();
    refused(|e| matches!(e, SinkError::Changed { committed: 4, .. }));
    fs::write(&path, "1\n2\n3\n4\n").unwrap();
    drop(recover(&path, &position).unwrap());
    assert_eq!(content(&path), "1\n2\n");
}

#[test]
fn a_mark_of_something_else_is_refused() {
    let (_dir, path, position) = crashed();
    for bytes in [&b""[..], b"WKF0", &position[1..], &position[..position.len() - 1]] {
        let refused = recover(&path, bytes).unwrap_err();
        assert!(matches!(refused, SinkError::Position { .. }), "{refused}");
    }
}

#[test]
fn what_is_no_regular_file_is_a_stream() {
    let mut sink = DurableFileSink::open(Path::new("/dev/null"), Exists::Error, Some(b'\n'), None).unwrap();
    assert_eq!(sink.begin().unwrap(), None);
    sink.write(&[batch("1\n")]).unwrap();
    sink.sync().unwrap();
    assert!(sink.position().is_none() && sink.sync_handle().is_none());
    sink.close().unwrap();
    let mut full = DurableFileSink::open(Path::new("/dev/full"), Exists::Error, Some(b'\n'), None).unwrap();
    assert!(matches!(full.write(&[batch("1\n")]), Err(SinkError::Full { .. })));
}

#[test]
fn a_write_that_found_no_room_leaves_nothing_and_can_be_tried_again() {
    let (_dir, path) = at("out");
    let (mut sink, _) = begun(&path, Exists::Error);
    sink.write(&[batch("1\n")]).unwrap();
    let position = sink.position();
    // As if the disk had taken a part of the next write.
    let mut part = OpenOptions::new().append(true).open(&path).unwrap();
    part.write_all(b"2 but not all").unwrap();
    sink.take_back(2);
    assert_eq!((content(&path).as_str(), sink.position()), ("1\n", position));
    sink.write(&[batch("2\n")]).unwrap();
    assert_eq!(content(&path), "1\n2\n");
    fs::write(&path, "1\n").unwrap();
    sink.take_back(4);
    assert_eq!(content(&path), "1\n", "what somebody has cut does not come back as zeros");
}

#[test]
fn after_a_failed_sync_nothing_works_any_more() {
    let (_dir, path) = at("out");
    let (mut sink, _) = begun(&path, Exists::Error);
    let handle = sink.sync_handle().unwrap();
    // It cannot be synced.
    let device = Arc::new(OpenOptions::new().write(true).open("/dev/null").unwrap());
    let first = SinkSync { file: device, ..handle.clone() }.sync();
    // Whoever is told next, and says it before the thread that syncs has: the reason is the same.
    for refused in [first, handle.sync(), sink.sync(), sink.write(&[batch("1\n")]), sink.close()] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("out to stable storage: Invalid argument"), "{message}");
    }
    assert_eq!(content(&path), "");
}

#[test]
fn syncing_goes_on_beside_writing() {
    let (_dir, path) = at("out");
    let (mut sink, _) = begun(&path, Exists::Error);
    let handle = sink.sync_handle().unwrap();
    let syncing = thread::spawn(move || (0..20).for_each(|_| handle.sync().unwrap()));
    for n in 0..500 {
        sink.write(&[batch(&format!("{n}\n"))]).unwrap();
    }
    syncing.join().unwrap();
    sink.sync().unwrap();
    let want: String = (0..500).map(|n| format!("{n}\n")).collect();
    assert_eq!(content(&path), want);
}

#[test]
fn a_sink_knows_its_file_by_any_name() {
    let (dir, path, position) = crashed();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let sink = recover(&link, &position).unwrap();
    let identity = |path: &Path| path.metadata().ok().map(|metadata| FileId::of(&metadata));
    assert!(sink.identity().is_some() && sink.identity() == identity(&path));
    assert!(sink.identity() == identity(sink.file().unwrap()) && sink.identity() != identity(dir.path()));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<usize>),
    Commit,
    /// The process dies; of what was not synced so much is in the file, and then so many zeros.
    Crash(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(0usize..7000, 0..4).prop_map(Step::Write),
        3 => Just(Step::Commit),
        2 => (0usize..9000, 0usize..50).prop_map(|(kept, zeros)| Step::Crash(kept, zeros)),
    ];
    proptest::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn after_any_crash_the_file_is_what_was_committed(
        before in proptest::collection::vec(any::<u8>(), 0..9000),
        exists in prop_oneof![Just(Exists::Append), Just(Exists::Replace)],
        steps in steps(),
    ) {
        let (_dir, path) = at("out");
        fs::write(&path, &before).unwrap();
        let (mut sink, mut journal) = begun(&path, exists);
        let mut all = if exists == Exists::Append { before } else { Vec::new() };
        let mut committed = all.len();
        let start = committed;
        for (n, step) in steps.into_iter().chain([Step::Crash(0, 0)]).enumerate() {
            match step {
                Step::Write(lengths) => {
                    let line = |&length: &usize| format!("{n} {}\n", "x".repeat(length));
                    let batches: Vec<Batch> = lengths.iter().map(|l| batch(&line(l))).collect();
                    sink.write(&batches).unwrap();
                    let lacks_its_end = all.len() == start && all.last().is_some_and(|&last| last != b'\n');
                    all.extend(b"\n".iter().filter(|_| lacks_its_end && !batches.is_empty()));
                    batches.iter().for_each(|b| all.extend_from_slice(b.payload()));
                }
                Step::Commit => {
                    sink.sync().unwrap();
                    journal = sink.position().unwrap();
                    committed = all.len();
                }
                Step::Crash(kept, zeros) => {
                    let on_disk = fs::read(&path).unwrap();
                    prop_assert!(on_disk == all);
                    let kept = (committed + kept).min(all.len());
                    fs::write(&path, [&all[..kept], &vec![0; zeros]].concat()).unwrap();
                    sink = recover(&path, &journal).unwrap();
                    all.truncate(committed);
                    prop_assert!(fs::read(&path).unwrap() == all);
                }
            }
        }
    }
}

/// Writes, lets somebody do `by` to the file, and gives what the next write says.
fn disturbed(by: impl Fn(&Path)) -> (TempDir, PathBuf, Result<(), SinkError>) {
    let (dir, path) = at("out");
    let (mut sink, _) = begun(&path, Exists::Error);
    sink.write(&[batch("1\n2\n")]).unwrap();
    by(&path);
    let said = sink.write(&[batch("3\n")]);
    (dir, path, said)
}

#[test]
fn a_file_that_somebody_cuts_or_removes_or_writes_to_is_written_no_further() {
    for by in ["", "1\n2"] {
        let (_dir, path, said) = disturbed(|path| fs::write(path, by).unwrap());
        assert!(matches!(said, Err(SinkError::Shorter { committed: 4, .. })), "{said:?}");
        assert_eq!(content(&path), by);
    }
    let (_dir, _, said) = disturbed(|path| fs::remove_file(path).unwrap());
    assert!(matches!(said, Err(SinkError::Gone { committed: 4, .. })), "{said:?}");
    let (_dir, _, said) = disturbed(|path| fs::write(path, "1\n2\nforeign\n").unwrap());
    assert!(matches!(said, Err(SinkError::Grown { length: 12, committed: 4, .. })), "{said:?}");
    let (_dir, _, said) = disturbed(|path| fs::rename(path, path.with_extension("moved")).unwrap());
    said.unwrap();
    let (_dir, _, said) = disturbed(|path| {
        fs::rename(path, path.with_extension("moved")).unwrap();
        fs::copy(path.with_extension("moved"), path).unwrap();
    });
    assert!(matches!(said, Err(SinkError::Replaced { .. })), "{said:?}");
}

#[test]
fn what_is_cut_between_the_look_and_the_write_is_missing_for_good() {
    let (_dir, path) = at("out");
    let (mut sink, _) = begun(&path, Exists::Error);
    sink.write(&[batch("1\n2\n")]).unwrap();
    fs::write(&path, "").unwrap();
    // As the write that follows the look.
    (&*sink.file).write_all(b"3\n").unwrap();
    sink.written.as_mut().unwrap().0.committed += 2;
    assert_eq!(content(&path), "3\n", "no hole");
    assert!(matches!(sink.close(), Err(SinkError::Shorter { length: 2, committed: 6, .. })));
}
