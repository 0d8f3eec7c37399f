use super::*;
use crate::io::source::unpack::samples::{PACKED, every, gzip, utf16_little, xz, zstd};
use crate::io::source::{Header, OnDamage};
use std::fs::File;
use std::io::{PipeWriter, Write, pipe};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

fn source(options: &SourceOptions) -> (StreamSource, PipeWriter, Stop) {
    let (reader, writer) = pipe().unwrap();
    let stop = Stop::new().unwrap();
    (StreamSource::new(reader.into(), "the pipe".to_owned(), options, stop.clone()), writer, stop)
}

fn text(source: &mut StreamSource) -> Option<String> {
    source.next_chunk().unwrap().map(|b| String::from_utf8(b.payload().to_vec()).unwrap())
}

#[test]
fn whole_records_are_given_at_once_and_the_rest_waits() {
    let (mut source, mut writer, _stop) = source(&SourceOptions::default());
    writer.write_all(b"one\ntwo\nthr").unwrap();
    assert_eq!(text(&mut source).unwrap(), "one\ntwo\n");
    writer.write_all(b"ee\n").unwrap();
    assert_eq!(text(&mut source).unwrap(), "three\n");
    writer.write_all(b"last").unwrap();
    drop(writer);
    assert_eq!(text(&mut source).unwrap(), "last\n");
    assert_eq!(text(&mut source), None);
    assert_eq!(text(&mut source), None);
    assert_eq!(source.progress(), Progress { done_bytes: 19, total_bytes: None, records: 4 });
}

#[test]
fn stop_wakes_a_waiting_reader() {
    let (mut source, writer, stop) = source(&SourceOptions::default());
    let (said, hear) = mpsc::channel();
    let reader = thread::spawn(move || said.send(source.next_chunk().unwrap()).unwrap());
    assert!(hear.recv_timeout(Duration::from_millis(20)).is_err(), "nothing to read yet");
    stop.stop();
    stop.stop();
    assert_eq!(hear.recv_timeout(DEADLINE).unwrap(), None);
    reader.join().unwrap();
    drop(writer);
}

#[test]
fn stop_goes_before_more_input_and_drops_an_incomplete_record() {
    let (mut source, mut writer, stop) = source(&SourceOptions::default());
    writer.write_all(b"a\nb").unwrap();
    assert_eq!(text(&mut source).unwrap(), "a\n");
    writer.write_all(b"\nc\n").unwrap();
    stop.stop();
    assert_eq!(text(&mut source), None);
    assert_eq!(text(&mut source), None);
}

#[test]
fn a_stop_gives_the_last_record_that_looks_whole_where_it_is_not_read_again() {
    for (framing, written, first, last) in [
        ("start=^>", ">a\n>b\nB\n", ">a\n", Some(">b\nB\n")),
        ("start=^>", ">a\n>b\nB", ">a\n", None),
        ("json", "{}\n{\"a\":1}", "{}\n", Some("{\"a\":1}\n")),
        ("json", "{}\n{\"a\":1", "{}\n", None),
        ("csv", "a\nb", "a\n", None),
    ] {
        let options = SourceOptions { framing: framing.parse().unwrap(), ..SourceOptions::default() };
        let (mut source, mut writer, stop) = source(&options);
        writer.write_all(written.as_bytes()).unwrap();
        assert_eq!(text(&mut source).as_deref(), Some(first), "{framing}");
        stop.stop();
        assert_eq!(text(&mut source).as_deref(), last, "{framing} {written:?}");
        assert_eq!(text(&mut source), None);
    }
}

#[test]
fn headers_and_limits_work_as_for_files() {
    let (mut source, mut writer, _stop) =
        source(&SourceOptions { header: Header::Repeat, limit: Some(2), ..SourceOptions::default() });
    writer.write_all(b"h\n").unwrap();
    writer.write_all(b"1\n2\n3\n").unwrap();
    assert_eq!(text(&mut source).unwrap(), "1\n2\n");
    assert_eq!(text(&mut source), None, "though the writer is still there");
    assert_eq!(source.header().unwrap(), "h\n");
}

#[test]
fn a_long_record_is_refused_with_the_streams_name() {
    let (mut source, mut writer, _stop) =
        source(&SourceOptions { max_record: 3, ..SourceOptions::default() });
    writer.write_all(b"ok\nlong").unwrap();
    let message = source.next_chunk().unwrap_err().to_string();
    assert!(
        message.starts_with("the pipe: record 2 (starting at byte 3) is longer than 3 bytes"),
        "{message}"
    );
}

#[test]
fn a_regular_file_and_a_stream_that_does_not_block_are_read_to_their_ends() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"1\n2").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let stop = Stop::new().unwrap();
    let mut plain = StreamSource::new(file.into(), "file".to_owned(), &SourceOptions::default(), stop);
    assert_eq!(text(&mut plain).unwrap(), "1\n2\n");
    assert_eq!(text(&mut plain), None);

    let (mut source, writer, _stop) = source(&SourceOptions::default());
    rustix::fs::fcntl_setfl(&source.stream, rustix::fs::OFlags::NONBLOCK).unwrap();
    let feeder = thread::spawn(move || {
        let mut writer = writer;
        for i in 0..1000 {
            writeln!(writer, "{i}").unwrap();
        }
    });
    let mut records = 0;
    while let Some(batch) = source.next_chunk().unwrap() {
        records += batch.len();
    }
    assert_eq!(records, 1000);
    feeder.join().unwrap();
}

#[test]
fn much_in_odd_pieces_comes_out_as_it_went_in() {
    let (mut source, mut writer, _stop) = source(&SourceOptions::default());
    let input: Vec<u8> = (0..200_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
    let sent = input.clone();
    let feeder = thread::spawn(move || {
        for (i, piece) in sent.chunks(9973).enumerate() {
            writer.write_all(&piece[..piece.len().min(i)]).unwrap();
            writer.write_all(&piece[piece.len().min(i)..]).unwrap();
        }
    });
    let mut output = Vec::new();
    while let Some(batch) = source.next_chunk().unwrap() {
        output.extend_from_slice(batch.payload());
    }
    feeder.join().unwrap();
    assert!(output == input);
}

#[test]
fn an_unreadable_stream_is_an_error_with_its_name() {
    let write_only = File::options().write(true).open("/dev/null").unwrap();
    let stop = Stop::new().unwrap();
    let mut source =
        StreamSource::new(write_only.into(), "odd stream".to_owned(), &SourceOptions::default(), stop);
    let message = source.next_chunk().unwrap_err().to_string();
    assert!(message.starts_with("cannot read odd stream at byte 0"), "{message}");
}

/// A life that is fed `input`, goes on after `position` and leaves another.
fn life(options: &SourceOptions, position: Option<&Bytes>, input: &str) -> (String, Bytes, Progress) {
    let (source, mut writer, _stop) = source(options);
    let mut source = match position {
        Some(position) => source.resume(position).unwrap(),
        None => source,
    };
    writer.write_all(input.as_bytes()).unwrap();
    drop(writer);
    let mut all = String::new();
    while let Some(chunk) = text(&mut source) {
        all += &chunk;
    }
    (all, source.position().unwrap(), source.progress())
}

#[test]
fn the_limit_counts_the_records_of_all_lives() {
    let options = SourceOptions { limit: Some(5), ..SourceOptions::default() };
    let (first, position, _) = life(&options, None, "1\n2\n3\n");
    let (second, position, progress) = life(&options, Some(&position), "4\n5\n6\n");
    assert_eq!((first.as_str(), second.as_str()), ("1\n2\n3\n", "4\n5\n"));
    assert_eq!((progress.records, progress.done_bytes), (5, 12));
    assert_eq!(life(&options, Some(&position), "7\n").0, "");
}

#[test]
fn a_later_life_takes_off_only_the_header_it_knows() {
    let options = SourceOptions { header: Header::Skip, ..SourceOptions::default() };
    let (first, position, _) = life(&options, None, "name\n1\n");
    let (anew, _, _) = life(&options, Some(&position), "name\n2\nname\n");
    let (on, position, _) = life(&options, Some(&position), "3\n4\n");
    assert_eq!((first.as_str(), anew.as_str(), on.as_str()), ("1\n", "2\nname\n", "3\n4\n"));
    assert_eq!(life(&options, Some(&position), "name\n5\n").0, "5\n", "it is known for good");
    let (nothing, position, _) = life(&options, None, "");
    assert_eq!((nothing.as_str(), life(&options, Some(&position), "name\n1\n").0.as_str()), ("", "1\n"));
}

#[test]
fn a_mark_of_something_else_is_refused() {
    let (source, _writer, _stop) = source(&SourceOptions::default());
    let refused = source.resume(b"WSF1").unwrap_err();
    assert!(matches!(refused, SourceError::Position { .. }), "{refused}");
}

#[test]
fn a_long_record_is_passed_over_wherever_reads_end() {
    for (on_long, given) in [(OnLong::DeadLetter, "ok\nend\n"), (OnLong::Cut, "ok\nlon\nend\n")] {
        let (mut source, mut writer, _stop) =
            source(&SourceOptions { max_record: 3, on_long, ..SourceOptions::default() });
        let feeder = thread::spawn(move || {
            for byte in b"ok\nlonger\nend\nand one without its end" {
                writer.write_all(&[*byte]).unwrap();
            }
        });
        let (mut all, mut letters) = (String::new(), Vec::new());
        while let Some(some) = text(&mut source) {
            all.push_str(&some);
            letters.extend(source.take_letters());
        }
        feeder.join().unwrap();
        let last = if on_long == OnLong::Cut { "and\n" } else { "" };
        assert_eq!(all, format!("{given}{last}"));
        let reasons: Vec<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
        assert!(reasons[0].starts_with("record 2 of the pipe (bytes 3 to 9) has 6 bytes"), "{reasons:?}");
        assert!(reasons[1].starts_with("record 4 of the pipe (bytes 14 to 37) has 23 bytes"), "{reasons:?}");
        let kept = if on_long == OnLong::Cut { "ger\n" } else { "longer\n" };
        assert_eq!((letters.len(), &letters[0].record[..]), (2, kept.as_bytes()));
        let position = source.position().unwrap();
        assert_eq!(StreamPosition::decode(&position, "x").unwrap().taken, 37, "behind all of it");
    }
}

/// All that comes of `bytes`, written in pieces of that size, the letters' reasons, and how it ended.
fn all_of(
    bytes: &[u8],
    piece: usize,
    options: &SourceOptions,
) -> (Vec<u8>, Vec<String>, Option<SourceError>) {
    let (mut source, mut writer, _stop) = source(options);
    thread::scope(|scope| {
        // Whoever writes may be left.
        scope.spawn(move || bytes.chunks(piece).all(|piece| writer.write_all(piece).is_ok()));
        let (mut all, mut letters) = (Vec::new(), Vec::new());
        let error = loop {
            match source.next_chunk() {
                Ok(Some(chunk)) => all.extend_from_slice(chunk.payload()),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            letters.extend(source.take_letters().into_iter().map(|letter| letter.reason));
        };
        drop(source);
        (all, letters, error)
    })
}

#[test]
fn a_packed_stream_is_unpacked_however_it_comes() {
    let content = "ä𝄞 7\n".repeat(2000).into_bytes();
    for (name, pack) in every() {
        let packed = pack(&content);
        for piece in [1, 7, 1 << 20] {
            let (all, letters, error) = all_of(&packed, piece, &SourceOptions::default());
            assert!(all == content && letters.is_empty() && error.is_none(), "{name}: {error:?}");
        }
    }
    assert_eq!(all_of(b"\xff\xfe", 1, &SourceOptions::default()).0, b"", "a mark alone");
    assert_eq!(all_of(b"BZh9", 1, &SourceOptions::default()).0, b"BZh9\n", "no mark");
}

#[test]
fn a_record_is_given_as_soon_as_it_can_be_unpacked() {
    let (mut source, mut writer, stop) = source(&SourceOptions::default());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for n in 0..3 {
        write!(encoder, "{n}\n{n} again\nand").unwrap();
        encoder.flush().unwrap();
        writer.write_all(&std::mem::take(encoder.get_mut())).unwrap();
        let before = if n == 0 { "" } else { "and" };
        assert_eq!(text(&mut source).unwrap(), format!("{before}{n}\n{n} again\n"));
    }
    stop.stop();
    assert_eq!(text(&mut source), None, "it is stopped while it waits for more");
    drop(writer);
    let frames = [zstd(b"1\n"), xz(b"1\n"), utf16_little(b"1\n")];
    for frame in frames {
        let (mut source, mut writer, _stop) = self::source(&SourceOptions::default());
        writer.write_all(&frame).unwrap();
        assert_eq!(text(&mut source).unwrap(), "1\n", "though more may come");
    }
}

#[test]
fn a_damaged_stream_gives_what_comes_before_and_halts_or_is_read_to_its_end() {
    let content: Vec<u8> = (0..60_000_u64)
        .flat_map(|n| format!("{:x}\n", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes())
        .collect();
    let skipping = SourceOptions { on_damage: OnDamage::Skip, ..SourceOptions::default() };
    for (name, pack) in PACKED {
        let mut packed = pack(&content);
        let middle = packed.len() / 2;
        packed[middle..middle + 20].fill(0x55);
        for bytes in [&packed[..], &packed[..middle]] {
            let (before, letters, error) = all_of(bytes, 10_000, &SourceOptions::default());
            let error = error.unwrap().to_string();
            assert!(error.starts_with(&format!("the pipe: damaged or truncated {name} data")), "{error}");
            assert!(
                letters.is_empty() && before.len() > content.len() / 4 && before.ends_with(b"\n"),
                "{name}"
            );
            assert!(content.starts_with(&before[..content.len() / 4]));
            let (skipped, letters, error) = all_of(bytes, 10_000, &skipping);
            assert!(skipped == before && error.is_none(), "{name}: {error:?}");
            assert!(letters.len() == 1 && letters[0].contains("left out"), "{letters:?}");
        }
    }
    let (all, letters, error) =
        all_of(&[&gzip(b"1\n")[..], b"garbage"].concat(), 1, &SourceOptions::default());
    assert!(all == b"1\n" && error.is_none(), "{error:?}");
    assert_eq!(letters, ["7 bytes behind the gzip data of the pipe are no gzip data, and were left out"]);
}
