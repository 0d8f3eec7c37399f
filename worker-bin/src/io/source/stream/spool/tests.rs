mod in_turn;

use crate::io::source::{
    Header, Lives, OnDamage, SourceError, SourceOptions, SourceReader as _, Stop, StreamSource,
};
use bytes::Bytes;
use rustix::fd::OwnedFd;
use std::io::{PipeWriter, Write, pipe};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What is left of a source between its lives.
struct Place {
    dir: TempDir,
    position: Option<Bytes>,
    /// The records whose commit the journal has.
    committed: String,
    options: SourceOptions,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            position: None,
            committed: String::new(),
            options: SourceOptions::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sources/in-0.list")
    }

    fn life(&self, stream: &OwnedFd) -> (StreamSource, Stop) {
        let stop = Stop::new().unwrap();
        (self.open(stream, &stop).unwrap(), stop)
    }

    fn open(&self, stream: &OwnedFd, stop: &Stop) -> Result<StreamSource, SourceError> {
        let lives = Lives {
            position: self.position.clone(),
            given: 0,
            list: self.path(),
            may_refer: false,
            state: Path::new("/nowhere"),
        };
        let stream = stream.try_clone().unwrap();
        StreamSource::kept(stream, "it".into(), &self.options, stop.clone(), &lives)
    }

    fn commits(&mut self, source: &mut StreamSource, records: &str) {
        self.committed += records;
        self.position = source.position();
        let position = self.position.as_ref().unwrap();
        if source.keeps_much_before(position) {
            source.forget_before(position).unwrap();
        }
    }
}

/// A life that has read a record and a half, of which the record is committed.
struct First {
    stream: OwnedFd,
    writer: PipeWriter,
    place: Place,
    source: StreamSource,
    stop: Stop,
}

fn first_of_two() -> First {
    let (reader, mut writer) = pipe().unwrap();
    let (stream, mut place) = (OwnedFd::from(reader), Place::new());
    let (mut source, stop) = place.life(&stream);
    writer.write_all(b"first\nsecond").unwrap();
    assert_eq!(next(&mut source).unwrap(), "first\n");
    place.commits(&mut source, "first\n");
    First { stream, writer, place, source, stop }
}

fn next(source: &mut StreamSource) -> Option<String> {
    source.next_chunk().unwrap().map(|batch| String::from_utf8(batch.payload().to_vec()).unwrap())
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Lives that are killed at any moment read all that is written, each record once; where all lines are `alike`, too.
fn survives_kills(mut writer: impl Write, stream: &OwnedFd, seed: u64, alike: bool) {
    let (mut dice, mut place) = (Dice(seed), Place::new());
    let text: String = (0..2000)
        .map(|number| {
            let line = if alike { "y".to_owned() } else { format!("{number}{}", "x".repeat(number % 700)) };
            line + "\n"
        })
        .collect();
    let mut unwritten = text.as_bytes();
    while !unwritten.is_empty() || place.committed.len() < text.len() {
        let (mut source, _stop) = place.life(stream);
        let mut given = String::new();
        for _ in 0..dice.below(5) {
            // As much as a pipe and a socket take at once, with records cut anywhere, and at least an end of one.
            let piece = usize::try_from(dice.below(20_000) + 1).unwrap().min(unwritten.len());
            writer.write_all(&unwritten[..piece]).unwrap();
            unwritten = &unwritten[piece..];
            let has_record = text[..text.len() - unwritten.len()].rfind('\n').map_or(0, |at| at + 1);
            if place.committed.len() + given.len() < has_record {
                given += &next(&mut source).unwrap();
                if dice.below(3) > 0 {
                    place.commits(&mut source, &std::mem::take(&mut given));
                }
            }
        }
        // Killed: what was given and is not committed is given again.
    }
    assert!(place.committed == text, "seed {seed}, {} of {} bytes", place.committed.len(), text.len());
}

#[test]
fn a_pipe_is_read_once_through_kills_at_any_moment() {
    for seed in 0..20 {
        let (reader, writer) = pipe().unwrap();
        survives_kills(writer, &reader.into(), seed, seed % 2 == 0);
    }
}

#[test]
fn a_socket_is_read_once_through_kills_at_any_moment() {
    for seed in 0..20 {
        let (reader, writer) = UnixStream::pair().unwrap();
        survives_kills(writer, &reader.into(), seed, seed % 2 == 0);
    }
}

#[test]
fn a_kill_between_copying_from_a_socket_and_taking_doubles_nothing() {
    for is_taken in [true, false] {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let (stream, mut place) = (OwnedFd::from(reader), Place::new());
        let (mut source, _stop) = place.life(&stream);
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(next(&mut source).unwrap(), "one\n");
        place.commits(&mut source, "one\n");
        drop(source);
        // As a process leaves it that dies between the two: noted and copied.
        let path = place.path().with_extension("pipe");
        let (mut header, mut data) = super::Header::load(&path).unwrap().unwrap();
        let end = header.base + data.len() as u64;
        header.noted = [end, end + 6];
        data.extend_from_slice(b"o\nthre");
        super::make(&path, &header, &data).unwrap();
        writer.write_all(if is_taken { b"e\n" } else { b"o\nthree\n" }).unwrap();
        let (mut source, _stop) = place.life(&stream);
        let mut all = next(&mut source).unwrap();
        if all == "two\n" {
            all += &next(&mut source).unwrap();
        }
        assert_eq!(all, "two\nthree\n", "{is_taken}");
    }
}

#[test]
fn a_stop_in_the_middle_of_a_record_keeps_its_beginning_for_the_same_pipe() {
    let (reader, mut writer) = pipe().unwrap();
    let (stream, mut place) = (OwnedFd::from(reader), Place::new());
    let (mut source, stop) = place.life(&stream);
    writer.write_all(b"first\nsecond is").unwrap();
    assert_eq!(next(&mut source).unwrap(), "first\n");
    place.commits(&mut source, "first\n");
    stop.stop();
    assert_eq!(next(&mut source), None);
    drop(source);
    writer.write_all(b" whole\n").unwrap();
    let (mut source, _stop) = place.life(&stream);
    assert_eq!(next(&mut source).unwrap(), "second is whole\n");
}

#[test]
fn another_pipe_does_not_go_on_with_the_record_of_the_first() {
    let (reader, mut writer) = pipe().unwrap();
    let mut place = Place::new();
    let (mut source, _stop) = place.life(&reader.into());
    writer.write_all(b"first\nsec").unwrap();
    assert_eq!(next(&mut source).unwrap(), "first\n");
    place.commits(&mut source, "first\n");
    drop(source);
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"other\n").unwrap();
    let (mut source, _stop) = place.life(&reader.into());
    assert_eq!(next(&mut source).unwrap(), "sec\n", "its last record, which had no end");
    place.commits(&mut source, "sec\n");
    drop(source);
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"third\n").unwrap();
    drop(writer);
    let (mut source, _stop) = place.life(&reader.into());
    assert_eq!(next(&mut source).unwrap(), "third\n");
    assert_eq!(next(&mut source), None);
}

/// Streams one after the other, each written and closed; what the source gives of each, letters in brackets.
fn in_lives(framing: &str, streams: &[(&str, &[&str])]) {
    let mut place = Place::new();
    place.options.framing = framing.parse().unwrap();
    place.options.on_damage = OnDamage::Skip;
    for (number, (text, want)) in streams.iter().enumerate() {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        if number + 1 == streams.len() {
            drop(writer);
        }
        let (mut source, _stop) = place.life(&reader.into());
        for want in *want {
            let given = loop {
                let mut given = next(&mut source).unwrap();
                let letters = source.take_letters();
                given.extend(
                    letters.iter().map(|letter| format!("[{}]", String::from_utf8_lossy(&letter.record))),
                );
                if !given.is_empty() {
                    break given;
                }
            };
            assert_eq!(given, *want, "{framing}, stream {number}");
            place.commits(&mut source, "");
        }
    }
}

#[test]
fn what_is_no_record_at_the_end_of_a_stream_is_behind_when_the_next_is_read() {
    in_lives(
        "json",
        &[("{}\n\n \n", &["{}\n"]), ("[1]\n[2", &["[1]\n"]), (",3]\n4\n\n", &["[[2\n]", ",3]\n4\n"])],
    );
    in_lives("csv", &[("a\n\"b\n", &["a\n"]), ("c\n", &["[\"b\n\n]", "c\n"]), ("d\n\"", &["d\n", "[\"\n]"])]);
    in_lives(
        "lines=2",
        &[("1\n2\n3\n", &["1\n2\n"]), ("4\n5\n", &["[3\n\n]", "4\n5\n"]), ("6\n7", &["6\n7\n"])],
    );
    in_lives(
        "start=^>",
        &[(">1\n>2\n", &[">1\n"]), (">3\n3\n>5\n", &[">2\n", ">3\n3\n"]), (">4", &[">5\n", ">4\n"])],
    );
}

#[test]
fn what_the_journal_has_is_not_kept_for_ever() {
    let (reader, mut writer) = pipe().unwrap();
    let (stream, mut place) = (OwnedFd::from(reader), Place::new());
    let (mut source, _stop) = place.life(&stream);
    let lines = "0123456789\n".repeat(5000);
    for _ in 0..400 {
        writer.write_all(lines.as_bytes()).unwrap();
        let mut given = 0;
        while given < lines.len() {
            let records = next(&mut source).unwrap();
            given += records.len();
            place.commits(&mut source, &records);
        }
    }
    let kept = place.path().with_extension("pipe").metadata().unwrap().len();
    assert!(kept < 8 << 20, "{kept} of {} bytes", place.committed.len());
}

#[test]
fn after_another_start_of_the_system_only_what_was_synced_counts() {
    for stopped in [true, false] {
        let First { stream, writer, place, mut source, stop } = first_of_two();
        if stopped {
            stop.stop();
            assert_eq!(next(&mut source), None);
        }
        drop(source);
        let path = place.path().with_extension("pipe");
        let (mut header, data) = super::Header::load(&path).unwrap().unwrap();
        header.boot = [1, 2];
        super::make(&path, &header, &data).unwrap();
        drop(writer);
        let (mut source, _stop) = place.life(&stream);
        assert_eq!(next(&mut source), stopped.then(|| "second\n".to_owned()));
    }
}

/// As gzip begins.
const PACKED: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0";

fn is_refused(source: &mut StreamSource) -> bool {
    matches!(source.next_chunk(), Err(SourceError::Encoded { .. }))
}

#[test]
fn nothing_of_a_stream_that_was_refused_comes_again() {
    let place = Place::new();
    let (reader, mut writer) = pipe().unwrap();
    let (mut source, _stop) = place.life(&reader.into());
    writer.write_all(PACKED).unwrap();
    assert!(is_refused(&mut source));
    drop(source);
    let (reader, mut writer) = pipe().unwrap();
    let (mut source, _stop) = place.life(&reader.into());
    writer.write_all(b"unpacked\n").unwrap();
    assert_eq!(next(&mut source).unwrap(), "unpacked\n");
}

#[test]
fn each_stream_is_looked_at_from_its_beginning() {
    let mut place = Place::new();
    for half in ["", "half"] {
        let (reader, mut writer) = pipe().unwrap();
        let (mut source, _stop) = place.life(&reader.into());
        writer.write_all(format!("text\n{half}").as_bytes()).unwrap();
        assert_eq!(next(&mut source).unwrap(), "text\n");
        place.commits(&mut source, "text\n");
        drop(source);
        let (reader, mut writer) = pipe().unwrap();
        let (mut source, _stop) = place.life(&reader.into());
        writer.write_all(PACKED).unwrap();
        if !half.is_empty() {
            assert_eq!(next(&mut source).unwrap(), "half\n", "the end of the stream before");
        }
        assert!(is_refused(&mut source), "{half:?}");
    }
    // What goes on in the middle of a stream may have any bytes.
    let (reader, mut writer) = pipe().unwrap();
    let (stream, mut place) = (OwnedFd::from(reader), Place::new());
    let (mut source, _stop) = place.life(&stream);
    writer.write_all(b"text\n").unwrap();
    assert_eq!(next(&mut source).unwrap(), "text\n");
    place.commits(&mut source, "text\n");
    drop(source);
    writer.write_all(&[PACKED, b"\n"].concat()).unwrap();
    let (mut source, _stop) = place.life(&stream);
    assert_eq!(source.next_chunk().unwrap().unwrap().bytes(), PACKED.len() + 1);
}

#[test]
fn a_named_pipe_is_the_same_only_if_its_size_is_one_that_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let open = || OwnedFd::from(std::fs::File::options().read(true).write(true).open(&path).unwrap());
    let size = |pipe: &OwnedFd, bytes| rustix::pipe::fcntl_setpipe_size(pipe, bytes).unwrap();
    let made_with = rustix::pipe::fcntl_getpipe_size(open()).unwrap();
    // Larger, smaller, and the size of any pipe, where no other may be had.
    for (given, is_known) in [(1 << 20, true), (made_with / 2, true), (made_with, false)] {
        let pipe = open();
        size(&pipe, given);
        let identity = super::Identity::of(&pipe).unwrap();
        assert_eq!(identity.is(&super::Identity::of(&pipe).unwrap()), is_known, "{given}");
        drop(pipe);
        assert!(!identity.is(&super::Identity::of(&open()).unwrap()), "{given}: made anew");
    }
    let pipe = open();
    super::header::mark(&pipe, &super::Identity::of(&pipe).unwrap());
    assert_ne!(rustix::pipe::fcntl_getpipe_size(&pipe).unwrap(), made_with);
}

#[test]
fn what_was_synced_outlives_a_power_cut_in_any_later_life() {
    for is_begun_anew in [false, true] {
        let First { stream, mut writer, place, mut source, stop } = first_of_two();
        stop.stop();
        assert_eq!(next(&mut source), None);
        drop(source);
        let (mut source, _stop) = place.life(&stream);
        writer.write_all(b" of another life").unwrap();
        if is_begun_anew {
            source.forget_before(place.position.as_ref().unwrap()).unwrap();
        }
        drop(source);
        let path = place.path().with_extension("pipe");
        let (mut header, data) = super::Header::load(&path).unwrap().unwrap();
        assert_eq!(header.synced, 6, "what came behind it was not synced");
        header.boot = [1, 2];
        super::make(&path, &header, &data).unwrap();
        drop(writer);
        let (reader, _) = pipe().unwrap();
        let (mut source, _stop) = place.life(&reader.into());
        assert_eq!(next(&mut source).unwrap(), "second\n", "{is_begun_anew}");
    }
}

#[test]
fn what_is_synced_is_not_more_than_was() {
    let (reader, mut writer) = pipe().unwrap();
    let (stream, mut place) = (OwnedFd::from(reader), Place::new());
    let (mut source, stop) = place.life(&stream);
    writer.write_all(b"first\nsecond").unwrap();
    assert_eq!(next(&mut source).unwrap(), "first\n");
    stop.stop();
    assert_eq!(next(&mut source), None);
    drop(source);
    let (mut source, _stop) = place.life(&stream);
    writer.write_all(b" goes on\n").unwrap();
    let mut all = next(&mut source).unwrap();
    if all == "first\n" {
        all += &next(&mut source).unwrap();
    }
    place.commits(&mut source, &all);
    source.forget_before(place.position.as_ref().unwrap()).unwrap();
    let (header, _) = super::Header::load(&place.path().with_extension("pipe")).unwrap().unwrap();
    assert_eq!(header.synced, 0, "it was behind all that was synced");
}

#[test]
fn a_stop_says_what_it_cannot_keep() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-0.pipe");
    let mut spool = super::Spool::open(&path, &pipe().unwrap().0.into(), 0).unwrap().spool;
    spool.in_hand = b"read".to_vec();
    spool.file = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let why = spool.sync().unwrap_err().to_string();
    assert!(why.contains("the last 4 bytes that were read, which are lost"), "{why}");
}
