//! Files that are damaged, or not what they seem.

use super::*;

/// All that a source gives, its letters' reasons, and why it ended if that was no end.
fn all(source: &mut FileSource) -> (Vec<u8>, Vec<DeadLetter>, Option<SourceError>) {
    let (mut records, mut letters) = (Vec::new(), Vec::new());
    loop {
        match source.next_chunk() {
            Ok(Some(chunk)) => records.extend_from_slice(chunk.payload()),
            Ok(None) => return (records, letters, None),
            Err(error) => return (records, letters, Some(error)),
        }
        letters.extend(source.take_letters());
    }
}

fn skipping() -> SourceOptions {
    SourceOptions { on_damage: OnDamage::Skip, ..SourceOptions::default() }
}

#[test]
fn what_can_be_unpacked_before_the_damage_is_given_and_what_cannot_is_told_of() {
    let content = varied(800_000);
    for (format, whole) in PACKED.map(|(format, pack)| (format, pack(&content))) {
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle..middle + 20].fill(0x55);
        for bytes in [&whole[..whole.len() - 1], &whole[..middle], &flipped] {
            let dir = directory(&[("a", bytes), ("b", b"next\n")]);
            let paths = || expand(dir.path(), &["*"]).unwrap();
            let (before, letters, error) = all(&mut FileSource::of(paths(), &SourceOptions::default()));
            assert!(matches!(error, Some(SourceError::Corrupt { .. })) && letters.is_empty(), "{error:?}");
            // What is flipped may be unpacked to something else before that is noticed.
            let sure = if *bytes == flipped[..] { content.len() / 4 } else { before.len() };
            assert!(content.starts_with(&before[..sure]) && before.ends_with(b"\n"), "{format}");
            assert!(before.len() > content.len() / 4, "{format}: {} of {}", before.len(), content.len());
            let (skipped, letters, error) = all(&mut FileSource::of(paths(), &skipping()));
            assert!(error.is_none() && skipped == [&before[..], b"next\n"].concat(), "{error:?}");
            assert_eq!(letters.len(), 1);
            let reason = &letters[0].reason;
            assert!(
                reason.contains("/a (") && reason.contains("left out") && reason.contains(format),
                "{reason}"
            );
        }
    }
}

#[test]
fn damage_behind_the_last_record_of_the_last_file_is_told_of_when_all_is_given() {
    for (format, pack) in PACKED.into_iter().filter(|(format, _)| !["gzip", "bzip2"].contains(format)) {
        for bytes in (0..40).map(|n| 50_000 + n * 10_000).chain([1]) {
            let content = lines(bytes);
            let dir = directory(&[("a", &[&pack(&content)[..], b"what follows is no data"].concat())]);
            let (all, letters, error) = all(&mut FileSource::open(dir.path(), &["a"], &skipping()).unwrap());
            assert!(all == content && error.is_none(), "{format}, {bytes}: {error:?}");
            assert_eq!(letters.len(), 1, "{format}, {bytes}");
        }
    }
}

#[test]
fn bytes_behind_gzip_data_are_told_of_and_zeros_are_nothing() {
    let packed = gzip(b"1\n2");
    let zeros = [&packed[..], &[0; 100_000]].concat();
    let garbage = [&packed[..], &[0; 10], b"garbage"].concat();
    let dir =
        directory(&[("a", &zeros), ("b", &garbage), ("c", &[&packed[..], &[0x1f]].concat()), ("d", b"3\n")]);
    let paths = expand(dir.path(), &["*"]).unwrap();
    let (records, letters, error) = all(&mut FileSource::of(paths[..1].to_vec(), &SourceOptions::default()));
    assert_eq!((&records[..], letters.len(), error.is_none()), (&b"1\n2\n"[..], 0, true));
    let (records, letters, error) = all(&mut FileSource::of(paths[1..2].to_vec(), &SourceOptions::default()));
    assert_eq!((&records[..], letters.len(), error.is_none()), (&b"1\n2\n"[..], 1, true));
    assert!(letters[0].reason.starts_with("17 bytes behind the gzip data of"), "{letters:?}");
}

#[test]
fn text_that_is_damaged_halts_or_has_the_damage_replaced() {
    let damaged = [&utf16_little(b"1\n2")[..], b"\0\xd8", &utf16_little(b"\n3\n")[2..], b"4"].concat();
    let dir = directory(&[("a", &damaged), ("b", b"next\n")]);
    let paths = || expand(dir.path(), &["*"]).unwrap();
    let (records, letters, error) = all(&mut FileSource::of(paths(), &SourceOptions::default()));
    assert_eq!((&records[..], letters.len()), (&b"1\n"[..], 0));
    let error = error.unwrap().to_string();
    assert!(
        error.contains("damaged or truncated UTF-16 data near byte") && error.contains("d800"),
        "{error}"
    );
    let (records, letters, error) = all(&mut FileSource::of(paths(), &skipping()));
    assert!(error.is_none());
    assert_eq!(String::from_utf8(records).unwrap(), "1\n2\u{fffd}\n3\n\u{fffd}\nnext\n");
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.starts_with("2 places of ") && letters[0].reason.contains("/a are no UTF-16"));
}

#[test]
fn what_is_not_decoded_is_refused_with_the_command_that_does() {
    let dir = directory(&[("x", b"\xff\xfe\0\0a\0\0\0"), ("y", b"BZh, he said\n")]);
    let refused = plain(&dir, "x").unwrap_err().to_string();
    assert!(
        refused.contains("/x is UTF-32 text") && refused.contains("iconv -f UTF-32 -t UTF-8"),
        "{refused}"
    );
    assert_eq!(plain(&dir, "y").unwrap(), "BZh, he said\n");
}

#[test]
fn what_is_said_to_be_plain_is_read_as_it_is() {
    let bytes = [&b"\xff\xfea\n"[..], &gzip(b"1\n"), b"\n"].concat();
    let dir = directory(&[("x", &bytes)]);
    let options = SourceOptions { is_plain: true, ..SourceOptions::default() };
    let mut source = FileSource::open(dir.path(), &["x"], &options).unwrap();
    assert_eq!(joined(&batches(&mut source).unwrap()), bytes);
    let files = SourceFiles::fix(vec![dir.path().join("x")], &options).unwrap();
    assert_eq!(joined(&batches(&mut FileSource::fixed(files, &options)).unwrap()), bytes);
}

#[test]
fn a_file_that_is_damaged_before_its_header_has_none() {
    let content = b"h\n1\n";
    let dir = directory(&[("a", &gzip(content)[..12]), ("b", &gzip(content)), ("c", &xz(content)[..20])]);
    let options = SourceOptions { header: Header::Repeat, ..skipping() };
    let paths = || expand(dir.path(), &["*"]).unwrap();
    let halting = SourceOptions { on_damage: OnDamage::Halt, ..options.clone() };
    assert!(matches!(SourceFiles::fix(paths(), &halting), Err(SourceError::Corrupt { .. })));
    for mut source in [
        FileSource::fixed(SourceFiles::fix(paths(), &options).unwrap(), &options),
        FileSource::of(paths(), &options),
    ] {
        let (records, letters, error) = all(&mut source);
        assert_eq!((&records[..], letters.len()), (&b"1\n"[..], 2), "{error:?}");
        assert_eq!(source.header().unwrap(), "h\n");
    }
    assert_eq!(first_record(&dir.path().join("a"), &options).unwrap(), None);
}

#[test]
fn headers_do_not_differ_by_a_byte_order_mark() {
    let dir = directory(&[("a", b"\xef\xbb\xbfid\n1\n"), ("b", b"id\n2\n"), ("c", &utf16_big(b"id\n3\n"))]);
    let mut source = FileSource::open(dir.path(), &["*"], &with_header(Header::Repeat)).unwrap();
    assert_eq!(joined(&batches(&mut source).unwrap()), b"1\n2\n3\n");
    assert_eq!(source.header().unwrap(), "\u{feff}id\n", "programs are given it as it is");
}

#[test]
fn a_damaged_file_is_passed_once_wherever_lives_end() {
    let content = lines(100_000);
    let packed = gzip(&content);
    // The damage is within a record that is too long.
    let long = gzip(&[&content[..], &[b'x'; 100_000], b"\n"].concat());
    let dir = directory(&[
        ("a", &packed[..packed.len() / 2]),
        ("b", &[&gzip(b"one\n")[..], b"garbage"].concat()),
        ("c", &zstd(&content)[..50]),
        ("d", b"next\n"),
        ("e", &long[..long.len() - 50]),
        ("f", &content),
    ]);
    let options = SourceOptions { max_record: 2000, on_long: OnLong::DeadLetter, ..skipping() };
    let files = SourceFiles::fix(expand(dir.path(), &["*"]).unwrap(), &options).unwrap();
    let (want, want_letters, _) = all(&mut FileSource::fixed(files.clone(), &options));
    assert_eq!(want_letters.len(), 4);
    for lives in 1..4 {
        let (mut got, mut letters) = (Vec::new(), Vec::new());
        let mut position = FileSource::fixed(files.clone(), &options).position().unwrap();
        'lives: loop {
            let mut source = FileSource::resume(files.clone(), &position, &options).unwrap();
            for _ in 0..lives {
                let Some(chunk) = source.next_chunk().unwrap() else { break 'lives };
                got.extend_from_slice(chunk.payload());
                letters.extend(source.take_letters());
                position = source.position().unwrap();
                assert!(
                    want.starts_with(&got) && want_letters.starts_with(&letters),
                    "{} letters",
                    letters.len()
                );
            }
            // This one is read and not kept.
            source.next_chunk().unwrap();
        }
        assert_eq!(got.len(), want.len());
        assert_eq!(letters, want_letters);
    }
}
