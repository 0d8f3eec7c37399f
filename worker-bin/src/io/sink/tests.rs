use super::*;
use crate::io::identity::FileId;
use std::fs;
use std::io::{Read, pipe};
use std::path::Path;
use std::thread;
use worker_proto::Batch;

fn batch(text: &str) -> Batch {
    Batch::from_terminated(text.as_bytes().to_vec().into(), b'\n')
}

fn open(path: &Path, exists: Exists) -> Result<FileSink, SinkError> {
    FileSink::open(path, exists, Some(b'\n'))
}

#[test]
fn a_new_file_gets_everything_and_its_directories() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/deep/out.txt");
    let mut sink = open(&path, Exists::Error).unwrap();
    sink.write(&[batch("1\n2\n"), Batch::empty(), batch("3\n")]).unwrap();
    sink.write(&[]).unwrap();
    sink.write(&[batch("4\n")]).unwrap();
    sink.close().unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "1\n2\n3\n4\n");
}

#[test]
fn an_existing_file_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    fs::write(&path, "old").unwrap();
    let message = open(&path, Exists::Error).unwrap_err().to_string();
    assert!(
        message.contains("out exists already") && message.contains("`exists = \"replace\"`"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(path).unwrap(), "old");
}

#[test]
fn a_replaced_file_keeps_its_content_until_the_pipeline_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    fs::write(&path, "old and long").unwrap();
    drop(open(&path, Exists::Replace).unwrap());
    let mut sink = open(&path, Exists::Replace).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old and long");
    sink.write(&[batch("new\n")]).unwrap();
    sink.write(&[batch("more\n")]).unwrap();
    sink.close().unwrap();
    drop(sink);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new\nmore\n");
    let mut nothing = open(&path, Exists::Replace).unwrap();
    nothing.close().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "", "no records replace it too");
}

#[test]
fn an_appended_file_keeps_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    for (n, want) in ["0\n", "0\n1\n"].into_iter().enumerate() {
        let mut sink = open(&path, Exists::Append).unwrap();
        sink.write(&[batch(&format!("{n}\n"))]).unwrap();
        sink.close().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), want);
    }
    drop(open(&path, Exists::Append).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n");
}

#[test]
fn what_is_appended_begins_a_record_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    for (before, terminator, want) in [
        ("old", b'\n', "old\n1\n2\n"),
        ("old\n", b'\n', "old\n1\n2\n"),
        ("", b'\n', "1\n2\n"),
        ("old\n", 0, "old\n\x001\n2\n"),
    ] {
        fs::write(&path, before).unwrap();
        let mut sink = FileSink::open(&path, Exists::Append, Some(terminator)).unwrap();
        let moved = Moved::default();
        sink.count_into(moved.clone());
        sink.write(&[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), before, "no record, no change");
        sink.write(&[batch("1\n")]).unwrap();
        sink.write(&[batch("2\n")]).unwrap();
        sink.close().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), want);
        assert_eq!(moved.bytes(), 4, "what is added is no part of a record");
    }
}

#[test]
fn a_sink_that_never_started_leaves_no_file_and_a_finished_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let sink = open(&path, Exists::Error).unwrap();
    assert!(path.exists());
    drop(sink);
    assert!(!path.exists());
    let mut sink = open(&path, Exists::Error).unwrap();
    sink.close().unwrap();
    drop(sink);
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn directories_and_impossible_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let message = open(dir.path(), Exists::Replace).unwrap_err().to_string();
    assert!(
        message.contains("is a directory, expected a file") && message.contains("/` for one file"),
        "{message}"
    );
    fs::write(dir.path().join("file"), "").unwrap();
    let below = open(&dir.path().join("file/out"), Exists::Replace).unwrap_err();
    assert!(matches!(below, SinkError::Open { .. }), "{below}");
}

#[test]
fn a_sink_knows_its_file_by_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let [path, link, other] = ["out", "link", "other"].map(|name| dir.path().join(name));
    fs::write(&path, "").unwrap();
    fs::write(&other, "").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let sink = open(&link, Exists::Replace).unwrap();
    let identity = |path: &Path| path.metadata().ok().map(|metadata| FileId::of(&metadata));
    assert!(sink.identity().is_some() && sink.identity() == identity(&path));
    assert!(sink.identity() == identity(&link) && sink.identity() != identity(&other));
    let null = open(Path::new("/dev/null"), Exists::Error).unwrap();
    assert_eq!(null.identity(), None, "a device holds nothing to destroy");
}

#[test]
fn a_full_disk_is_told_with_file_and_count() {
    let mut sink = open(Path::new("/dev/full"), Exists::Error).unwrap();
    let refused = sink.write(&[batch("x\n")]).unwrap_err();
    assert!(matches!(refused, SinkError::Full { written: 0, .. }));
    let message = refused.to_string();
    assert!(message.starts_with("/dev/full: no room left after 0 bytes (No space left"), "{message}");
}

#[test]
fn a_reader_that_goes_away_is_told_apart() {
    let (reader, writer) = pipe().unwrap();
    let mut sink = StreamSink::new(writer.into(), "`head`".to_owned());
    sink.write(&[batch("1\n")]).unwrap();
    drop(reader);
    let gone = sink.write(&[batch("2\n")]).unwrap_err();
    assert!(matches!(gone, SinkError::ReaderGone { written: 2, .. }), "{gone:?}");
    assert!(gone.to_string().starts_with("`head`: "), "{gone}");
}

#[test]
fn closing_a_stream_ends_its_readers_input() {
    let (mut reader, writer) = pipe().unwrap();
    let mut sink = StreamSink::new(writer.into(), "pipe".to_owned());
    sink.write(&[batch("1\n")]).unwrap();
    sink.close().unwrap();
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    assert_eq!(all, "1\n");
    assert!(sink.write(&[batch("2\n")]).is_err());
}

#[test]
fn many_batches_and_partial_writes_arrive_whole() {
    for nonblocking in [false, true] {
        let (mut reader, writer) = pipe().unwrap();
        if nonblocking {
            rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        }
        let batches: Vec<Batch> =
            (0..5000).map(|i| batch(&format!("{i} {}\n", "x".repeat(i % 400)))).collect();
        let want: Vec<u8> = batches.iter().flat_map(|b| b.payload().to_vec()).collect();
        let writing = thread::spawn(move || {
            let mut sink = StreamSink::new(writer.into(), "pipe".to_owned());
            sink.write(&batches).unwrap();
            sink.close().unwrap();
        });
        let mut all = Vec::new();
        let mut piece = [0; 1009];
        loop {
            match reader.read(&mut piece).unwrap() {
                0 => break,
                n => all.extend_from_slice(&piece[..n]),
            }
        }
        writing.join().unwrap();
        assert!(all == want);
    }
}

/// What a slow reader has taken shows while a write is under way, and it gets the same bytes.
#[test]
fn a_slow_reader_is_seen_to_read() {
    let (mut reader, writer) = pipe().unwrap();
    let mut sink = StreamSink::new(writer.into(), "program".into());
    let moved = Moved::default();
    sink.count_into(moved.clone());
    let (large, count) = (batch(&"0123456789\n".repeat(60_000)), 660_000_usize);
    let first = large.clone();
    let writing = thread::spawn(move || {
        sink.write(std::slice::from_ref(&first)).unwrap();
        sink.write(&[first]).unwrap();
    });
    let mut all = Vec::new();
    let mut read = |bytes: usize| {
        let mut taken = vec![0; bytes];
        reader.read_exact(&mut taken).unwrap();
        all.extend(taken);
    };
    // The first write finds out that the reader is slow; the second one goes in pieces.
    thread::sleep(std::time::Duration::from_millis(150));
    read(count);
    let mut seen = Vec::new();
    for _ in 0..4 {
        read(64 << 10);
        seen.push(moved.bytes());
    }
    read(count - (4 << 16));
    writing.join().unwrap();
    // What was read was counted, but for one piece that is just being counted, and besides it only what the pipe holds.
    for (at, seen) in (1..).zip(&seen) {
        let taken = count as u64 + at * (64 << 10);
        assert!((taken - 4096..=taken + (68 << 10)).contains(seen), "{seen} after {taken}");
    }
    assert_eq!((moved.bytes(), all.len()), (2 * count as u64, 2 * count));
    assert!(all.chunks(11).all(|line| line == b"0123456789\n"));
}

#[test]
fn a_file_that_somebody_cuts_or_removes_is_written_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let disturbed = |by: &dyn Fn()| {
        fs::remove_file(&path).ok();
        let mut sink = open(&path, Exists::Error).unwrap();
        sink.write(&[batch("1\n2\n")]).unwrap();
        by();
        sink.write(&[batch("3\n")])
    };
    let cut = disturbed(&|| fs::write(&path, "1\n").unwrap());
    assert!(matches!(cut, Err(SinkError::Cut { length: 2, expected: 4, .. })), "{cut:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    let removed = disturbed(&|| fs::remove_file(&path).unwrap());
    assert!(matches!(removed, Err(SinkError::Removed { written: 4, .. })), "{removed:?}");
    let replaced = disturbed(&|| {
        fs::rename(&path, dir.path().join("kept")).unwrap();
        fs::write(&path, "1\n2\n").unwrap();
    });
    assert!(matches!(replaced, Err(SinkError::Elsewhere { written: 4, .. })), "{replaced:?}");
}

#[test]
fn what_others_append_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let mut sink = open(&path, Exists::Error).unwrap();
    sink.write(&[batch("1\n")]).unwrap();
    fs::write(&path, "1\nforeign\n").unwrap();
    sink.write(&[batch("2\n")]).unwrap();
    sink.close().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\nforeign\n2\n");
}
