mod framed;

use super::*;
use crate::io::source::unpack::samples::{PACKED, Pack, utf16_little};
use crate::io::source::{FileSource, OnLong, SourceReader};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use std::io::Write;
use tempfile::TempDir;

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn paths(dir: &TempDir) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn fix(dir: &TempDir, options: &SourceOptions) -> SourceFiles {
    SourceFiles::fix(paths(dir), options).unwrap()
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn rest(source: &mut FileSource) -> Result<String, SourceError> {
    let mut all = Vec::new();
    while let Some(batch) = source.next_chunk()? {
        all.extend_from_slice(batch.payload());
    }
    Ok(String::from_utf8(all).unwrap())
}

/// Twenty chunks of records that say where they are.
fn lines(name: &str) -> Vec<u8> {
    (0..20_000).flat_map(|n| format!("{name} {n:06}\n").into_bytes()).collect()
}

/// Reads one chunk of the files of `dir` as they are now; the list and the position behind that chunk.
fn after_one_chunk(dir: &TempDir) -> (SourceFiles, Bytes, String) {
    let files = fix(dir, &SourceOptions::default());
    let mut source = FileSource::fixed(files.clone(), &SourceOptions::default());
    let chunk = source.next_chunk().unwrap().unwrap();
    (files, source.position().unwrap(), String::from_utf8(chunk.payload().to_vec()).unwrap())
}

fn resume(files: &SourceFiles, position: &[u8]) -> Result<FileSource, SourceError> {
    FileSource::resume(files.clone(), position, &SourceOptions::default())
}

#[test]
fn the_list_survives_on_disk_and_refuses_damage() {
    let dir = directory(&[("a", b"h\n1\n"), ("b", b""), ("c", b"h\n2")]);
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("sources/log-0.list");
    for header in [Header::Keep, Header::Repeat] {
        let files = fix(&dir, &SourceOptions { header, ..SourceOptions::default() });
        files.store(&path).unwrap();
        let loaded = SourceFiles::load(&path).unwrap();
        assert_eq!((&loaded, loaded.hash()), (&files, files.hash()));
        assert_eq!(loaded.header().as_deref(), (header == Header::Repeat).then_some(&b"h\n"[..]));
    }
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let message = SourceFiles::load(&path).unwrap_err().to_string();
    assert!(message.contains("log-0.list: it is cut short") && message.contains("--fresh"), "{message}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(SourceFiles::load(&path), Err(SourceError::List { .. })));
}

#[test]
fn every_list_has_a_hash_of_its_own() {
    let dir = directory(&[("a", b"1\n")]);
    let before = fix(&dir, &SourceOptions::default());
    let position = FileSource::fixed(before.clone(), &SourceOptions::default()).position().unwrap();
    append(&dir.path().join("a"), b"2\n");
    let after = fix(&dir, &SourceOptions::default());
    assert_ne!(before.hash(), after.hash());
    assert!(matches!(resume(&after, &position), Err(SourceError::Position { .. })));
    assert!(matches!(resume(&before, b"nonsense"), Err(SourceError::Position { .. })));
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let dir = directory(&[]);
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let fixing = |path: &Path| SourceFiles::fix(vec![path.to_owned()], &SourceOptions::default());
    let message = fixing(&pipe).unwrap_err().to_string();
    assert!(message.contains("pipe is not a regular file"), "{message}");
    assert!(matches!(fixing(dir.path()), Err(SourceError::Directory { .. })));
    assert!(matches!(fixing(&dir.path().join("gone")), Err(SourceError::Open { .. })));
}

#[test]
fn only_what_a_file_held_at_the_first_start_is_read() {
    let dir = directory(&[("a", b"1\n2"), ("b", b""), ("c", b"3\n")]);
    let files = fix(&dir, &SourceOptions::default());
    let first = FileSource::fixed(files.clone(), &SourceOptions::default()).position().unwrap();
    for path in paths(&dir) {
        append(&path, b"and more\n");
    }
    let mut source = resume(&files, &first).unwrap();
    let warning = source.warning().unwrap();
    assert!(warning.contains("/a (and 1 more) has grown"), "{warning}");
    assert_eq!(rest(&mut source).unwrap(), "1\n2\n3\n");
    let done = resume(&files, &source.position().unwrap()).unwrap();
    assert_eq!(done.warning(), None, "nothing is needed of them any more");
}

#[test]
fn a_file_that_changed_is_refused_with_what_and_what_to_do() {
    let content = lines("a");
    let dir = directory(&[("a", &content), ("b", b"1\n")]);
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    let (files, position, _) = after_one_chunk(&dir);
    let refused = || {
        let error = resume(&files, &position).unwrap_err();
        assert!(error.to_string().ends_with("begin a new run with --fresh"), "{error}");
        error
    };
    fs::rename(&b, dir.path().join("c")).unwrap();
    assert!(matches!(refused(), SourceError::Gone { path } if path == b));
    fs::write(&b, b"1\n").unwrap();
    assert!(
        matches!(refused(), SourceError::Replaced { path, what: "another file is in its place" } if path == b)
    );
    fs::rename(dir.path().join("c"), &b).unwrap();
    resume(&files, &position).unwrap();
    fs::write(&b, b"2\n").unwrap();
    assert!(
        matches!(refused(), SourceError::Replaced { path, what: "it begins with other bytes" } if path == b)
    );
    fs::write(&b, b"1\n").unwrap();
    OpenOptions::new().write(true).open(&a).unwrap().set_len(1000).unwrap();
    assert!(
        matches!(refused(), SourceError::Shorter { path, length: 1000, expected, .. } if path == a && expected > 1000)
    );
}

#[test]
fn a_later_life_goes_on_in_the_middle_of_every_format() {
    for (name, pack) in PACKED.into_iter().chain([("UTF-16", utf16_little as Pack)]) {
        let dir = directory(&[(
            "a",
            &[&pack(&lines("a"))[..], &pack(&lines("b"))[if name == "UTF-16" { 2 } else { 0 }..]].concat(),
        )]);
        let want = [lines("a"), lines("b")].concat();
        let files = fix(&dir, &SourceOptions::default());
        let mut position = FileSource::fixed(files.clone(), &SourceOptions::default()).position().unwrap();
        let mut got = Vec::new();
        while let Some(chunk) = {
            let mut source = resume(&files, &position).unwrap();
            let chunk = source.next_chunk().unwrap();
            position = source.position().unwrap();
            chunk
        } {
            got.extend_from_slice(chunk.payload());
        }
        assert!(got == want, "{name}: {} of {} bytes", got.len(), want.len());
    }
}

#[test]
fn a_file_behind_the_position_is_not_needed_any_more() {
    for packed in [false, true] {
        let first = if packed { zstd::encode_all(&b"1\n2\n"[..], 1).unwrap() } else { b"1\n2\n".to_vec() };
        let dir = directory(&[("a", &first), ("b", &lines("b"))]);
        let (files, position, mut all) = after_one_chunk(&dir);
        fs::remove_file(dir.path().join("a")).unwrap();
        all += &rest(&mut resume(&files, &position).unwrap()).unwrap();
        assert_eq!(all.as_bytes(), [b"1\n2\n", &lines("b")[..]].concat());
        fs::remove_file(dir.path().join("b")).unwrap();
        assert!(matches!(resume(&files, &position), Err(SourceError::Gone { .. })));
    }
}

#[test]
fn a_plain_file_is_behind_as_soon_as_its_last_record_is_given() {
    let dir = directory(&[("a", b"1\n2\n")]);
    let (files, position, _) = after_one_chunk(&dir);
    fs::remove_file(dir.path().join("a")).unwrap();
    assert_eq!(rest(&mut resume(&files, &position).unwrap()).unwrap(), "");
}

#[test]
fn behind_a_long_last_record_without_its_end_a_later_life_goes_on_with_the_next_file() {
    let long = "x".repeat(100);
    let dir = directory(&[("a", format!("1\n{long}").as_bytes()), ("b", b"2\n")]);
    for spec in ["lines", "start=^[0-9x]", "end=^[0-9x]"] {
        let framing = spec.parse().unwrap();
        let options = SourceOptions {
            framing,
            max_record: 10,
            on_long: OnLong::DeadLetter,
            ..SourceOptions::default()
        };
        let files = fix(&dir, &options);
        let mut position = FileSource::fixed(files.clone(), &options).position().unwrap();
        let (mut all, mut letters) = (Vec::new(), 0);
        // Each chunk is of a life of its own.
        loop {
            let mut source = FileSource::resume(files.clone(), &position, &options).unwrap();
            let Some(chunk) = source.next_chunk().unwrap() else { break };
            all.extend_from_slice(chunk.payload());
            letters += source.take_letters().len();
            position = source.position().unwrap();
        }
        assert_eq!((String::from_utf8_lossy(&all).as_ref(), letters), ("1\n2\n", 1), "{spec}");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error_not_an_end() {
    let content = lines("a");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&content).unwrap();
    let others = PACKED[1..].iter().map(|(_, pack)| pack(&content));
    for bytes in
        [content.clone(), encoder.finish().unwrap(), utf16_little(&content)].into_iter().chain(others)
    {
        let dir = directory(&[("a", &bytes), ("b", b"1\n")]);
        let files = fix(&dir, &SourceOptions::default());
        let mut source = FileSource::fixed(files, &SourceOptions::default());
        OpenOptions::new().write(true).open(dir.path().join("a")).unwrap().set_len(4100).unwrap();
        let error = rest(&mut source).unwrap_err();
        assert!(matches!(error, SourceError::Shorter { length: 4100, .. }), "{error}");
    }
}

#[test]
fn progress_and_places_of_errors_count_on() {
    let mut content = lines("a");
    content.extend_from_slice(&[b'x'; 2000]);
    let dir = directory(&[("a", b"1\n"), ("b", &content)]);
    let options = SourceOptions { max_record: 1000, ..SourceOptions::default() };
    let files = fix(&dir, &options);
    let mut source = FileSource::fixed(files.clone(), &options);
    let total = Some(content.len() as u64 + 2);
    assert_eq!(source.progress().total_bytes, total);
    let chunk = source.next_chunk().unwrap().unwrap();
    let mut source = FileSource::resume(files, &source.position().unwrap(), &options).unwrap();
    assert_eq!(source.progress().records, chunk.len() as u64);
    source.next_chunk().unwrap().unwrap();
    let progress = source.progress();
    assert!(progress.done_bytes > chunk.bytes() as u64 && progress.total_bytes == total, "{progress:?}");
    let message = rest(&mut source).unwrap_err().to_string();
    assert!(message.contains("/b: record 20 001 (starting at byte 180 000)"), "{message}");
}

#[derive(Debug, Clone)]
struct Case {
    files: Vec<(usize, Vec<Vec<u8>>, bool)>,
    header: Header,
    limit: Option<u64>,
    on_long: OnLong,
    /// For each life: chunks it gives, and how many of them reach the journal.
    lives: Vec<(usize, usize)>,
}

fn cases() -> impl Strategy<Value = Case> {
    // No end of a record, and no character that could be cut in half.
    let plain = any::<u8>().prop_map(|byte| if byte == b'\n' || byte >= 0xc0 { b'.' } else { byte });
    let record = proptest::collection::vec(plain, 0..3000);
    let file = (0..=PACKED.len(), proptest::collection::vec(record, 0..30), any::<bool>());
    let header = prop_oneof![Just(Header::Keep), Just(Header::Skip), Just(Header::Repeat)];
    let lives = proptest::collection::vec((0usize..6, 0usize..6), 0..12);
    let on_long = prop_oneof![Just(OnLong::Halt), Just(OnLong::DeadLetter), Just(OnLong::Cut)];
    (proptest::collection::vec(file, 0..7), header, proptest::option::of(0u64..150), on_long, lives)
        .prop_map(|(files, header, limit, on_long, lives)| Case { files, header, limit, on_long, lives })
}

impl Case {
    /// Most records are shorter, and some are not, where that does not halt.
    fn max_record(&self) -> usize {
        if self.on_long == OnLong::Halt { 1 << 20 } else { 2000 }
    }

    fn options(&self) -> SourceOptions {
        let Self { header, limit, on_long, .. } = *self;
        SourceOptions { header, limit, on_long, max_record: self.max_record(), ..SourceOptions::default() }
    }

    /// What goes on of a record.
    fn expected(&self, record: &[u8]) -> Option<Vec<u8>> {
        let max_record = self.max_record();
        if record.len() <= max_record + 1 {
            return Some(record.to_vec());
        }
        let head = &record[..max_record];
        match self.on_long {
            OnLong::Halt | OnLong::DeadLetter => None,
            OnLong::Cut => Some([head, b"\n"].concat()),
        }
    }
}

fn packed(kind: usize, content: &[u8]) -> Vec<u8> {
    let pack = PACKED.get(kind).map(|(_, pack)| *pack);
    pack.map_or_else(|| content.to_vec(), |pack| pack(content))
}

/// The files, and what one undisturbed life gives.
fn prepared(case: &Case) -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Vec::new();
    for (n, (kind, records, cut)) in case.files.iter().enumerate() {
        // A leading letter, so that no plain file looks packed; one header for all.
        let mut content: Vec<u8> = b"phead\n".to_vec();
        content.extend(records.iter().flat_map(|r| [b"p", &r[..], b"\n"].concat()));
        let skipped = usize::from(case.header != Header::Keep);
        let records = content.split_inclusive(|&b| b == b'\n').skip(skipped);
        want.extend(records.filter_map(|record| case.expected(record)));
        content.truncate(content.len() - usize::from(*cut));
        fs::write(dir.path().join(format!("{n:03}")), packed(*kind, &content)).unwrap();
    }
    want.truncate(case.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
    (dir, want.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn lives_that_go_on_from_their_marks_read_what_one_life_reads(case in cases()) {
        let (dir, want) = prepared(&case);
        let options = case.options();
        let mut undisturbed = FileSource::of(paths(&dir), &options);
        let mut want_letters = Vec::new();
        while undisturbed.next_chunk().unwrap().is_some() {
            want_letters.extend(undisturbed.take_letters());
        }
        let (mut letters, mut new_letters) = (Vec::new(), Vec::new());
        let files = SourceFiles::decode(&fix(&dir, &options).encode()).unwrap();
        let mut position = FileSource::fixed(files.clone(), &options).position().unwrap();
        let mut got = Vec::new();
        for &(reads, commits) in case.lives.iter().chain([&(usize::MAX, usize::MAX)]) {
            // What lies behind may be gone, what lies ahead may grow.
            let next = crate::io::source::file::position::FilesPosition::decode(&position).unwrap().next.file;
            for (n, path) in files.paths().enumerate() {
                if n < next {
                    fs::remove_file(path).ok();
                } else {
                    append(path, b"pmore\n");
                }
            }
            new_letters.clear();
            let mut source = FileSource::resume(files.clone(), &position, &options).unwrap();
            prop_assert_eq!(source.position().unwrap(), position.clone(), "a position is where it says");
            for n in 0..reads {
                let Some(chunk) = source.next_chunk().unwrap() else { break };
                new_letters.extend(source.take_letters());
                if n < commits {
                    letters.append(&mut new_letters);
                    got.extend_from_slice(chunk.payload());
                    position = source.position().unwrap();
                }
            }
        }
        let lengths = |bytes: &[u8]| bytes.split(|&b| b == b'\n').map(<[u8]>::len).collect::<Vec<_>>();
        prop_assert!(got == want, "{:?}, not {:?}", lengths(&got), lengths(&want));
        prop_assert!(letters == want_letters, "{} of {} letters", letters.len(), want_letters.len());
    }
}
