//! Streams, and lives, one after the other: what is of which.

use super::*;

#[test]
fn pipes_and_files_in_turn_are_read_whole() {
    let mut place = Place::new();
    let path = place.dir.path().join("in.txt");
    std::fs::write(&path, "file\nmore\n").unwrap();
    let file = || OwnedFd::from(std::fs::File::open(&path).unwrap());
    for _ in 0..2 {
        let (reader, mut writer) = pipe().unwrap();
        let (mut source, _stop) = place.life(&reader.into());
        writer.write_all(b"pipe\nhalf").unwrap();
        assert_eq!(next(&mut source).unwrap(), "pipe\n");
        place.commits(&mut source, "pipe\n");
        let refused = place.open(&file(), &Stop::new().unwrap()).unwrap_err();
        assert!(matches!(refused, SourceError::LeftOfPipe { bytes: 4, .. }), "{refused}");
        let (mut source, _stop) = place.life(&pipe().unwrap().0.into());
        assert_eq!(next(&mut source).unwrap(), "half\n");
        place.commits(&mut source, "half\n");
        let (mut source, _stop) = place.life(&file());
        assert_eq!(next(&mut source).unwrap(), "file\nmore\n", "from its beginning");
        place.commits(&mut source, "file\nmore\n");
        let (mut source, _stop) = place.life(&file());
        assert_eq!(next(&mut source), None, "it is done with");
    }
}

/// What a source gives until there is nothing more for now.
fn all_there_is(source: &mut StreamSource, bytes: usize) -> String {
    let mut all = String::new();
    while all.len() < bytes {
        all += &next(source).unwrap();
    }
    all
}

fn with_header() -> SourceOptions {
    SourceOptions { header: Header::Skip, ..SourceOptions::default() }
}

#[test]
fn lives_that_commit_nothing_keep_the_records_of_streams_apart() {
    let mut place = Place { options: with_header(), ..Place::new() };
    let pipes: Vec<(OwnedFd, PipeWriter)> =
        (0..3).map(|_| pipe().unwrap()).map(|(reader, writer)| (OwnedFd::from(reader), writer)).collect();
    let text = |number: usize| format!("head\nfirst of {number}\nsecond of {number}");
    let records = |number: usize| {
        let before: String =
            (0..number).map(|number| format!("first of {number}\nsecond of {number}\n")).collect();
        before + &format!("first of {number}\n")
    };
    for (number, (stream, writer)) in pipes.iter().enumerate() {
        // One that reads it, and one that is killed before it has read anything.
        let mut writer = writer;
        writer.write_all(text(number).as_bytes()).unwrap();
        let (mut source, stop) = place.life(stream);
        assert_eq!(all_there_is(&mut source, records(number).len()), records(number));
        stop.stop();
        assert_eq!(next(&mut source), None);
        drop(source);
        drop(place.life(stream));
    }
    let (mut source, _stop) = place.life(&pipes[2].0);
    let all = records(2);
    assert_eq!(all_there_is(&mut source, all.len()), all);
    place.commits(&mut source, &all);
    drop(source);
    let (mut source, _stop) = place.life(&pipes[2].0);
    (&pipes[2].1).write_all(b" is whole\n").unwrap();
    assert_eq!(next(&mut source).unwrap(), "second of 2 is whole\n");
}

#[test]
fn a_stream_of_which_nothing_was_taken_ends_no_record_of_the_one_before() {
    let First { stream, mut writer, mut place, source, .. } = first_of_two();
    drop(source);
    for _ in 0..2 {
        let (other, _writer) = pipe().unwrap();
        drop(place.life(&other.into()));
    }
    writer.write_all(b" is whole\n").unwrap();
    let (mut source, _stop) = place.life(&stream);
    assert_eq!(next(&mut source).unwrap(), "second is whole\n");
    place.commits(&mut source, "second is whole\n");
}

#[test]
fn a_start_that_is_refused_leaves_the_beginning_of_a_stream_where_it_was() {
    let First { mut place, source, .. } = first_of_two();
    drop(source);
    let (reader, mut writer) = pipe().unwrap();
    let other = OwnedFd::from(reader);
    // Opened, and then something else of the run cannot be: nothing is read.
    drop(place.life(&other));
    writer.write_all(b"other\n").unwrap();
    let (mut source, _stop) = place.life(&other);
    assert_eq!(all_there_is(&mut source, 13), "second\nother\n");
    place.commits(&mut source, "second\nother\n");
}

#[test]
fn a_stream_that_is_refused_takes_nothing_of_the_one_before_along() {
    let First { mut place, source, .. } = first_of_two();
    drop(source);
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(PACKED).unwrap();
    let (mut source, _stop) = place.life(&reader.into());
    assert_eq!(next(&mut source).unwrap(), "second\n");
    assert!(is_refused(&mut source));
    // Killed before what it has given is committed.
    drop(source);
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"third\n").unwrap();
    let (mut source, _stop) = place.life(&reader.into());
    assert_eq!(all_there_is(&mut source, 13), "second\nthird\n");
    place.commits(&mut source, "second\nthird\n");
}

#[test]
fn a_position_that_is_older_than_what_is_kept_is_an_error() {
    let First { stream, mut writer, mut place, mut source, .. } = first_of_two();
    let old = place.position.clone();
    writer.write_all(b"\n").unwrap();
    assert_eq!(next(&mut source).unwrap(), "second\n");
    place.commits(&mut source, "second\n");
    source.forget_before(place.position.as_ref().unwrap()).unwrap();
    drop(source);
    // The journal is put back from a copy, and what is kept is not.
    let new = std::mem::replace(&mut place.position, old);
    let refused = place.open(&stream, &Stop::new().unwrap()).unwrap_err();
    assert!(matches!(refused, SourceError::Ahead { begins: 13, taken: 6, .. }), "{refused}");
    let file = place.dir.path().join("in.txt");
    std::fs::write(&file, "file\n").unwrap();
    let refused = place.open(&std::fs::File::open(&file).unwrap().into(), &Stop::new().unwrap());
    assert!(matches!(refused.unwrap_err(), SourceError::Ahead { .. }));
    place.position = new;
    writer.write_all(b"third\n").unwrap();
    let (mut source, _stop) = place.life(&stream);
    assert_eq!(next(&mut source).unwrap(), "third\n", "nothing was changed");
}

#[test]
fn what_a_version_before_has_kept_is_read() {
    let First { stream, mut writer, mut place, source, .. } = first_of_two();
    drop(source);
    let path = place.path().with_extension("pipe");
    let (header, data) = super::super::Header::load(&path).unwrap().unwrap();
    // Its numbers were the same, but for those of streams, in less room.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(4 + 11 * 8);
    bytes[..4].copy_from_slice(b"WSP1");
    bytes.resize(128, 0);
    bytes.extend(&data);
    std::fs::write(&path, bytes).unwrap();
    let (before, data_before) = super::super::Header::load(&path).unwrap().unwrap();
    assert_eq!(
        (before.base, before.boot, before.streams.now),
        (header.base, header.boot, header.streams.now)
    );
    assert_eq!((before.synced, before.noted, data_before), (header.synced, header.noted, data));
    writer.write_all(b" is whole\n").unwrap();
    let (mut source, _stop) = place.life(&stream);
    assert_eq!(next(&mut source).unwrap(), "second is whole\n");
    place.commits(&mut source, "second is whole\n");
}

#[test]
fn what_is_no_file_does_not_go_on_in_the_middle_of_one() {
    let mut place = Place::new();
    let path = place.dir.path().join("in.txt");
    // More than a chunk.
    let text = "0123456789\n".repeat(50_000);
    std::fs::write(&path, &text).unwrap();
    let file = || OwnedFd::from(std::fs::File::open(&path).unwrap());
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let stop = Stop::new().unwrap();
    // Nothing of it is committed.
    drop(place.life(&file()));
    place.open(&null(), &stop).unwrap();
    let (mut source, _stop) = place.life(&file());
    let first = next(&mut source).unwrap();
    assert!(first.len() < text.len());
    place.commits(&mut source, &first);
    drop(source);
    for other in [null(), pipe().unwrap().0.into()] {
        let refused = place.open(&other, &stop).unwrap_err();
        let left = (text.len() - first.len()) as u64;
        assert!(matches!(refused, SourceError::LeftOfFile { left: l, .. } if l == left), "{refused}");
        assert!(refused.to_string().contains("< FILE"), "{refused}");
    }
    let (mut source, _stop) = place.life(&file());
    let rest = all_there_is(&mut source, text.len() - first.len());
    assert!(first + &rest == text, "it goes on");
    place.commits(&mut source, &rest);
    drop(source);
    // At its end others may follow; until something of them is committed, it is what was read.
    let (reader, mut writer) = pipe().unwrap();
    let stream = OwnedFd::from(reader);
    writer.write_all(b"pipe\n").unwrap();
    drop(place.life(&stream));
    let (mut source, _stop) = place.life(&file());
    assert_eq!(next(&mut source), None, "it is done with");
    let (mut source, _stop) = place.life(&stream);
    assert_eq!(next(&mut source).unwrap(), "pipe\n");
    place.commits(&mut source, "pipe\n");
    let (mut source, _stop) = place.life(&file());
    assert!(next(&mut source).unwrap().starts_with("0123456789\n"), "from its beginning");
}
