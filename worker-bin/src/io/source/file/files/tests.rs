mod damage;
mod listing;

use super::super::{expand, first_record};
use super::*;
use crate::io::source::unpack::samples::{PACKED, every, gzip, utf16_big, utf16_little, xz, zstd};
use crate::io::source::{Header, OnLong, SourceOptions};
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use tempfile::TempDir;

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn batches(source: &mut FileSource) -> Result<Vec<Batch>, SourceError> {
    let mut all = Vec::new();
    while let Some(batch) = source.next_chunk()? {
        assert!(!batch.is_empty());
        all.push(batch);
    }
    assert!(source.next_chunk().unwrap().is_none(), "it stays at its end");
    Ok(all)
}

fn joined(batches: &[Batch]) -> Vec<u8> {
    batches.iter().flat_map(|b| b.payload().to_vec()).collect()
}

fn read(dir: &TempDir, pattern: &str, options: &SourceOptions) -> Result<String, SourceError> {
    let all = batches(&mut FileSource::open(dir.path(), &[pattern], options)?)?;
    Ok(String::from_utf8(joined(&all)).unwrap())
}

fn plain(dir: &TempDir, pattern: &str) -> Result<String, SourceError> {
    read(dir, pattern, &SourceOptions::default())
}

fn with_header(header: Header) -> SourceOptions {
    SourceOptions { header, ..SourceOptions::default() }
}

fn lines(bytes: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes + 200);
    let mut n = 0u64;
    while all.len() < bytes {
        writeln!(all, "{n} {}", "x".repeat((n.wrapping_mul(2_654_435_761) >> 20) as usize % 150)).unwrap();
        n += 1;
    }
    all
}

#[test]
fn a_glob_is_read_sorted_by_name_without_joining_records() {
    let dir = directory(&[
        ("b.log", b"3\n4"),
        ("a.log", b"1\n2"),
        ("c.log", b"5\n"),
        ("d.txt", b"no"),
        (".e.log", b"no"),
    ]);
    fs::create_dir(dir.path().join("f.log")).unwrap();
    assert_eq!(plain(&dir, "*.log").unwrap(), "1\n2\n3\n4\n5\n");
}

#[test]
fn several_patterns_are_read_in_their_order_as_cat_would() {
    let dir = directory(&[("a1", b"a1"), ("a2", b"a2"), ("b", b"b"), ("sub/deep/c", b"c")]);
    let paths = expand(dir.path(), &["b", "a*", "**/[ac]*"]).unwrap();
    let names: Vec<_> = paths.iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["b", "a1", "a2", "a1", "a2", "sub/deep/c"]);
}

#[test]
fn an_existing_path_stands_for_itself_and_a_base_is_no_pattern() {
    let dir = directory(&[("[x]/a[1].log", b"literal"), ("[x]/a1.log", b"glob"), ("x/a1.log", b"no")]);
    let base = dir.path().join("[x]");
    let paths = |pattern| expand(&base, &[pattern]).unwrap();
    assert_eq!(paths("a[1].log"), [base.join("a[1].log")]);
    assert_eq!(paths("a*"), [base.join("a1.log"), base.join("a[1].log")]);
}

#[test]
fn a_pattern_that_matches_nothing_is_named_with_its_directory() {
    let dir = directory(&[]);
    let message = plain(&dir, "logs/*.log").unwrap_err().to_string();
    let base = dir.path().canonicalize().unwrap();
    assert!(message.starts_with(&format!("`logs/*.log` matches no file in {}", base.display())), "{message}");
}

#[test]
fn missing_files_directories_and_bad_patterns_are_refused_before_reading() {
    let dir = directory(&[("sub/x", b"x")]);
    let missing = plain(&dir, "nope.log").unwrap_err();
    assert!(
        missing.to_string().contains("nope.log: ") && matches!(missing, SourceError::Open { .. }),
        "{missing}"
    );
    let directory = plain(&dir, "sub").unwrap_err().to_string();
    assert!(directory.contains("sub is a directory") && directory.contains("sub/*`"), "{directory}");
    let bad = plain(&dir, "a[").unwrap_err().to_string();
    assert!(bad.contains("`a[` is not a file pattern"), "{bad}");
    std::os::unix::fs::symlink("gone", dir.path().join("dangling")).unwrap();
    assert!(matches!(plain(&dir, "dangling"), Err(SourceError::Open { .. })));
}

#[test]
fn packed_files_are_recognised_by_their_first_bytes_not_their_names() {
    let members = [gzip(b"2\n"), gzip(b""), gzip(b"3\n4")].concat();
    let frames = [zstd(b"5\n"), zstd(b"6"), zstd(b"7\n")].concat();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd(b"8\n")].concat();
    let dir = directory(&[
        ("a.gz", b"1\n"),
        ("b", &members),
        ("c.txt", &frames),
        ("d", &skippable),
        ("e.zst", b"9"),
    ]);
    assert_eq!(plain(&dir, "*").unwrap(), "1\n2\n3\n4\n5\n67\n8\n9\n");
    let text = "ä𝄞\n".repeat(50_000);
    for (name, pack) in every() {
        let dir = directory(&[("a.txt", &pack(text.as_bytes())), ("b", b"last")]);
        assert!(plain(&dir, "*").unwrap() == format!("{text}last\n"), "{name}");
    }
}

/// Lines that no format makes much smaller.
fn varied(bytes: usize) -> Vec<u8> {
    let lines =
        (0_u64..).map(|n| format!("{:x}\n", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes());
    let mut all = Vec::with_capacity(bytes + 20);
    lines
        .take_while(|line| {
            all.extend_from_slice(line);
            all.len() < bytes
        })
        .for_each(drop);
    all
}

#[test]
fn damaged_and_truncated_packed_files_are_named_with_the_place() {
    let content = varied(800_000);
    for (format, whole) in PACKED.map(|(format, pack)| (format, pack(&content))) {
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle..middle + 20].fill(0x55);
        let garbage = [&whole[..], b"garbage"].concat();
        // Gzip and bzip2 say that their data has ended.
        let garbage = if ["gzip", "bzip2"].contains(&format) { &flipped } else { &garbage };
        for bytes in [&whole[..whole.len() - 1], &whole[..middle], &whole[..10], &flipped, garbage] {
            let dir = directory(&[("x", bytes)]);
            match plain(&dir, "x") {
                Err(SourceError::Corrupt { name, format: said, offset, .. }) => {
                    assert_eq!((name, said), (dir.path().join("x").display().to_string(), format));
                    assert!(offset <= bytes.len() as u64);
                }
                other => panic!("{format}, {} of {} bytes: {other:?}", bytes.len(), whole.len()),
            }
        }
    }
}

#[test]
fn empty_files_give_nothing() {
    let dir = directory(&[("a", b""), ("b", b""), ("c.gz", &gzip(b""))]);
    for header in [Header::Keep, Header::Skip, Header::Repeat] {
        assert_eq!(read(&dir, "*", &with_header(header)).unwrap(), "");
    }
}

#[test]
fn carriage_returns_nul_framing_and_binary_bytes_are_kept() {
    let dir = directory(&[("crlf", b"a\r\nb\r\n"), ("nul", b"a\nb\0\xff\xfe\0c")]);
    assert_eq!(plain(&dir, "crlf").unwrap(), "a\r\nb\r\n");
    let options = SourceOptions { framing: crate::io::framing::Framing::Nul, ..SourceOptions::default() };
    let all = batches(&mut FileSource::open(dir.path(), &["nul"], &options).unwrap()).unwrap();
    assert_eq!(all[0].iter().collect::<Vec<_>>(), [&b"a\nb\0"[..], b"\xff\xfe\0", b"c\0"]);
}

#[test]
fn headers_are_kept_skipped_or_put_aside() {
    let dir = directory(&[("a", b"h\n1\n"), ("b", b""), ("c", b"h"), ("d", &gzip(b"h\n2\n3"))]);
    assert_eq!(read(&dir, "*", &with_header(Header::Keep)).unwrap(), "h\n1\nh\nh\n2\n3\n");
    assert_eq!(read(&dir, "*", &with_header(Header::Skip)).unwrap(), "1\n2\n3\n");
    let mut source = FileSource::open(dir.path(), &["*"], &with_header(Header::Repeat)).unwrap();
    assert_eq!(source.header(), None);
    assert_eq!(joined(&batches(&mut source).unwrap()), b"1\n2\n3\n");
    assert_eq!(source.header().unwrap(), "h\n");
}

#[test]
fn different_headers_are_refused_naming_both_files() {
    let dir = directory(&[("a", b"id,name\n1\n"), ("b", b"id,nom\n2\n")]);
    let message = read(&dir, "*", &with_header(Header::Repeat)).unwrap_err().to_string();
    for part in ["/a ", "/b ", "`id,nom`", "`id,name`", "header = \"skip\""] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(read(&dir, "*", &with_header(Header::Skip)).unwrap(), "1\n2\n");
}

#[test]
fn a_long_record_is_named_with_file_and_position_in_it() {
    let dir = directory(&[("a", b"1\n2\n3"), ("b", b"ok\nmuch too long\n")]);
    let options = SourceOptions { max_record: 5, ..SourceOptions::default() };
    let message = read(&dir, "*", &options).unwrap_err().to_string();
    assert!(message.contains("/b: record 2 (starting at byte 3) is longer than 5 bytes"), "{message}");
    assert!(message.contains("raise `max_record`"), "{message}");
}

#[test]
fn the_limit_counts_records_of_all_files() {
    let dir = directory(&[("a", b"h\n1\n2\n"), ("b", b"h\n3\n4\n")]);
    for (limit, want) in [(0, ""), (1, "1\n"), (3, "1\n2\n3\n"), (9, "1\n2\n3\n4\n")] {
        let options = SourceOptions { limit: Some(limit), ..with_header(Header::Skip) };
        assert_eq!(read(&dir, "*", &options).unwrap(), want);
    }
}

#[test]
fn what_was_read_stays_read_when_the_limit_is_reached() {
    let dir = directory(&[("a", b"1\n2\n3\n")]);
    let options = SourceOptions { limit: Some(1), ..SourceOptions::default() };
    let mut source = FileSource::open(dir.path(), &["a"], &options).unwrap();
    let mut last = 0;
    while source.next_chunk().unwrap().is_some() {
        last = source.progress().done_bytes;
    }
    assert!(last > 0 && source.progress().done_bytes >= last);
}

#[test]
fn ten_megabytes_come_out_as_they_are_in_chunks_that_grow() {
    let content = lines(10 << 20);
    let dir = directory(&[("big", &content)]);
    let mut source = FileSource::open(dir.path(), &["big"], &SourceOptions::default()).unwrap();
    assert_eq!(source.progress().total_bytes, Some(content.len() as u64));
    let all = batches(&mut source).unwrap();
    assert!(joined(&all) == content);
    let sizes: Vec<_> = all.iter().map(Batch::bytes).collect();
    assert!(sizes[0] <= FIRST && sizes[1] <= 2 * FIRST + 200, "{sizes:?}");
    assert!(sizes[10] > 180_000 && sizes.iter().all(|&s| s <= 256 * 1024 + 200), "{sizes:?}");
    let records = content.iter().filter(|&&b| b == b'\n').count() as u64;
    let bytes = content.len() as u64;
    assert_eq!(source.progress(), Progress { done_bytes: bytes, total_bytes: Some(bytes), records });
}

const FIRST: usize = 16 * 1024;

#[test]
fn progress_of_packed_files_counts_packed_bytes() {
    let content = lines(2 << 20);
    let packed = [gzip(&content), gzip(&content)].concat();
    let dir = directory(&[("a", &packed), ("b", &zstd(&content))]);
    let mut source = FileSource::open(dir.path(), &["*"], &SourceOptions::default()).unwrap();
    let total = source.progress().total_bytes.unwrap();
    let mut before = 0;
    while source.next_chunk().unwrap().is_some() {
        let done = source.progress().done_bytes;
        assert!(before <= done && done <= total);
        before = done;
    }
    assert_eq!(source.progress().done_bytes, total);
}

fn named_pipe(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    path
}

/// All records that come until the input ends, as one text.
fn rest(source: &mut FileSource) -> String {
    let batches = std::iter::from_fn(|| source.next_chunk().unwrap());
    batches.map(|batch| String::from_utf8_lossy(batch.payload()).into_owned()).collect()
}

#[test]
fn a_named_pipe_is_read_packed_or_not() {
    for content in [gzip(b"1\n2\n"), xz(b"1\n2\n"), utf16_big(b"1\n2\n"), b"1\n2".to_vec()] {
        let dir = directory(&[("a", b"0\n"), ("z", b"3\n")]);
        let path = named_pipe(&dir);
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&path, &content).unwrap());
            let source = FileSource::open(dir.path(), &["*"], &SourceOptions::default()).unwrap();
            let mut source = source.stopped_by(Stop::new().unwrap());
            assert_eq!(source.progress().total_bytes, None);
            assert_eq!(rest(&mut source), "0\n1\n2\n3\n");
            assert_eq!(source.progress().records, 4);
            assert!(source.progress().done_bytes >= 7);
        });
    }
}

#[test]
fn what_a_named_pipe_gives_comes_at_once_and_a_stop_waits_for_no_more() {
    let dir = directory(&[("a", b"0\n"), ("z", b"3\n")]);
    let path = named_pipe(&dir);
    let stop = Stop::new().unwrap();
    let source = FileSource::open(dir.path(), &["*"], &SourceOptions::default()).unwrap();
    let mut source = source.stopped_by(stop.clone());
    let mut writer = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    writer.write_all(b"1\n2\nhal").unwrap();
    let next = |source: &mut FileSource| source.next_chunk().unwrap().map(|b| b.payload().to_vec());
    assert_eq!(next(&mut source).unwrap(), b"0\n");
    assert_eq!(next(&mut source).unwrap(), b"1\n2\n", "its writer stays");
    stop.stop();
    assert_eq!(next(&mut source), None, "nothing behind it is read");
}

#[test]
fn a_header_of_a_named_pipe_is_taken_off_as_of_any_file() {
    let dir = directory(&[("a", b"h\n0\n")]);
    let path = named_pipe(&dir);
    std::thread::scope(|scope| {
        scope.spawn(|| fs::write(&path, "h\n1\n").unwrap());
        let options = SourceOptions { header: Header::Skip, limit: Some(2), ..SourceOptions::default() };
        let source = FileSource::open(dir.path(), &["*"], &options).unwrap();
        assert_eq!(rest(&mut source.stopped_by(Stop::new().unwrap())), "0\n1\n");
    });
}

#[test]
fn the_first_record_is_found_without_reading_all() {
    let long = [&[b'h'; 50_000][..], b"\nrest\n"].concat();
    let dir = directory(&[("a", b"h1\n2\n"), ("b", &gzip(&long)), ("c", b""), ("d", &zstd(b"only"))]);
    let first = |name: &str, max_record| {
        let options = SourceOptions { max_record, ..SourceOptions::default() };
        first_record(&dir.path().join(name), &options).map(|r| r.map(|r| r.to_vec()))
    };
    assert_eq!(first("a", 100).unwrap().unwrap(), b"h1\n");
    assert_eq!(first("b", 50_000).unwrap().unwrap(), &long[..50_001]);
    assert_eq!(first("c", 100).unwrap(), None);
    assert_eq!(first("d", 100).unwrap().unwrap(), b"only\n");
    assert!(matches!(first("b", 49_999), Err(SourceError::TooLong { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_mix_of_files_gives_their_records_in_order(
        files in proptest::collection::vec(
            (0_usize..=PACKED.len(), proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..20)), 0..8),
        header in prop_oneof![Just(Header::Keep), Just(Header::Skip)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        let mut want = Vec::new();
        for (i, (kind, records)) in files.into_iter().enumerate() {
            // A leading letter, so that no plain file looks packed.
            let content: Vec<u8> = records.iter().flat_map(|r| [b"p", &r[..], b"\n"].concat()).collect();
            let content = &content[..content.len() - content.len().min(i % 2)];
            let skipped = usize::from(header == Header::Skip);
            for record in content.split_inclusive(|&b| b == b'\n').skip(skipped) {
                want.extend_from_slice(record.strip_suffix(b"\n").unwrap_or(record));
                want.push(b'\n');
            }
            let path = dir.path().join(format!("{i:03}"));
            fs::write(&path, if kind == 0 { content.to_vec() } else { PACKED[kind - 1].1(content) }).unwrap();
            paths.push(path);
        }
        let mut source = FileSource::of(paths, &with_header(header));
        let got = joined(&batches(&mut source).unwrap());
        prop_assert!(got == want);
    }
}
