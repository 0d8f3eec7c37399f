//! Files that are found while the first of them are read.

use super::*;
use crate::io::identity::FileId;
use std::fs::OpenOptions;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// A source of which so far `first` was found, and what finds the others; they are no more when that is dropped.
fn begun(dir: &TempDir, first: &str) -> (FileSource, Sender<Result<Listed, SourceError>>) {
    let (finds, found) = channel();
    finds.send(listed(dir, first)).unwrap();
    let listing = Listing::begin(found.into_iter()).unwrap();
    let (files, are_all) = listing.first_within(Duration::ZERO).unwrap();
    assert!(!are_all && files.len() == 1);
    (FileSource::found(files, Some(listing), &SourceOptions::default()), finds)
}

fn listed(dir: &TempDir, name: &str) -> Result<Listed, SourceError> {
    Listed::look(dir.path().join(name))
}

fn text(batch: Option<Batch>) -> String {
    batch.map_or_else(String::new, |batch| String::from_utf8(batch.payload().to_vec()).unwrap())
}

#[test]
fn what_was_found_is_read_while_the_rest_is_looked_for() {
    let dir = directory(&[("a", b"1\n2"), ("b", b"3\n"), ("c", b"")]);
    let (mut source, finds) = begun(&dir, "a");
    let total = source.total();
    assert_eq!(text(source.next_chunk().unwrap()), "1\n2\n");
    assert_eq!(
        (total.bytes(), source.progress().total_bytes),
        (None, None),
        "nobody knows how much there is"
    );
    finds.send(listed(&dir, "b")).unwrap();
    finds.send(listed(&dir, "c")).unwrap();
    assert_eq!(text(source.next_chunk().unwrap()), "3\n");
    drop(finds);
    assert!(source.next_chunk().unwrap().is_none());
    assert_eq!((total.bytes(), source.progress().total_bytes), (Some(5), Some(5)));
}

#[test]
fn what_cannot_be_read_and_is_found_late_is_an_error_behind_all_before_it() {
    let dir = directory(&[("a", b"1\n"), ("b", b"2\n"), ("d/x", b"")]);
    let (mut source, finds) = begun(&dir, "a");
    finds.send(listed(&dir, "b")).unwrap();
    finds.send(listed(&dir, "d")).unwrap();
    let mut read = String::new();
    let error = loop {
        match source.next_chunk() {
            Ok(Some(batch)) => read += &text(Some(batch)),
            Ok(None) => panic!("it ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!(read, "1\n2\n");
    assert!(matches!(&error, SourceError::Directory { path } if path.ends_with("d")), "{error}");
    assert_eq!(source.total().bytes(), None);
}

#[test]
fn a_file_that_a_sink_writes_is_an_error_whenever_it_is_found() {
    let dir = directory(&[("a", b"1\n"), ("out", b"2\n")]);
    let id = FileId::of(&dir.path().join("out").metadata().unwrap());
    let written = Arc::new(Written::from([(id, "sink".to_owned())]));
    let (mut early, _finds) = begun(&dir, "out");
    assert_eq!(early.would_read(&written), Some((dir.path().join("out"), "sink".to_owned())));
    let (mut late, finds) = begun(&dir, "a");
    assert_eq!(late.would_read(&written), None);
    finds.send(listed(&dir, "out")).unwrap();
    let end = batches(&mut late).unwrap_err();
    assert!(matches!(&end, SourceError::Written { path, .. } if path.ends_with("out")), "{end}");
}

#[test]
fn a_stop_ends_the_wait_for_a_file() {
    let dir = directory(&[("a", b"1\n")]);
    let (mut source, _finds) = begun(&dir, "a");
    let stop = Stop::new().unwrap();
    source.stop = Some(stop.clone());
    assert_eq!(text(source.next_chunk().unwrap()), "1\n");
    stop.stop();
    assert!(source.next_chunk().unwrap().is_none());
    assert!(source.next_chunk().unwrap().is_none());
}

#[test]
fn a_file_that_is_cut_after_it_was_found_is_an_error_though_it_was_not_read_yet() {
    let dir = directory(&[("a", b"1\n"), ("b", b"2\n3\n")]);
    let (mut source, finds) = begun(&dir, "a");
    finds.send(listed(&dir, "b")).unwrap();
    fs::write(dir.path().join("b"), "2\n").unwrap();
    let end = batches(&mut source).unwrap_err();
    assert!(matches!(end, SourceError::Cut { length: 2, expected: 4, .. }), "{end}");
}

#[test]
fn a_file_that_is_cut_behind_where_it_is_read_is_told_of_as_long_as_it_is_now() {
    let whole = "0123456789\n".repeat(500_000);
    let dir = directory(&[("a", whole.as_bytes())]);
    let (mut source, _finds) = begun(&dir, "a");
    source.next_chunk().unwrap().unwrap();
    OpenOptions::new().write(true).open(dir.path().join("a")).unwrap().set_len(11).unwrap();
    let end = batches(&mut source).unwrap_err();
    assert!(matches!(end, SourceError::Cut { length: 11, read: 12.., .. }), "{end}");
    let said = "ends after 11 bytes, but had 5 500 000 when this run began, of which ";
    assert!(end.to_string().contains(said), "{end}");
}
