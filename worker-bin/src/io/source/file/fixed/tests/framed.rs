//! Lives that go on in records of every framing, and behind what is none.

use super::{append, fix, packed, paths};
use crate::io::framing::Framing;
use crate::io::source::file::fixed::SourceFiles;
use crate::io::source::{FileSource, OnDamage, OnLong, SourceOptions, SourceReader};
use proptest::prelude::*;
use std::fs;

/// Framings, with a record of number `n` and some padding, and what ends a file without being a record.
type Make = fn(usize, &str) -> String;
const FRAMED: [(&str, Make, &str); 6] = [
    ("csv", |n, pad| format!("{n},\"{pad}\n\"\"\",\r\n"), "7,\"open\n"),
    ("start=^>", |n, pad| format!(">{n}\n{pad}\n\n"), ""),
    ("end=^/$", |n, pad| format!("{n}\n{pad}\n/\n"), "no end"),
    ("lines=3", |n, pad| format!("{n}\n\n{pad}\n"), "one\ntwo"),
    (
        "prefix=varint",
        |n, pad| {
            String::from_utf8_lossy(
                &"prefix=varint"
                    .parse::<Framing>()
                    .unwrap_or_default()
                    .wrapped(format!("{n}{}", &pad[..pad.len().min(100)]).as_bytes()),
            )
            .into_owned()
        },
        "\x7fshort",
    ),
    ("json", |n, pad| format!(" {{\"{n}\":\n\"{pad}\"}}\n"), "\n \n"),
];

#[derive(Clone, Debug)]
struct Case {
    framing: usize,
    /// How each file is packed, the lengths of its records' padding, and whether it ends with what is none.
    files: Vec<(usize, Vec<usize>, bool)>,
    max_record: usize,
    lives: Vec<(usize, usize)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let file = (0usize..9, proptest::collection::vec(0usize..3000, 0..40), any::<bool>());
    let lives = proptest::collection::vec((0usize..6, 0usize..6), 0..12);
    (
        0..FRAMED.len(),
        proptest::collection::vec(file, 1..6),
        prop_oneof![Just(1 << 20), Just(2000usize)],
        lives,
    )
        .prop_map(|(framing, files, max_record, lives)| Case { framing, files, max_record, lives })
}

fn read(source: &mut FileSource, chunks: usize) -> Vec<(Vec<Vec<u8>>, Vec<String>, bytes::Bytes)> {
    let mut all = Vec::new();
    for _ in 0..chunks {
        let Some(chunk) = source.next_chunk().unwrap() else { break };
        let letters = source.take_letters().into_iter().map(|letter| letter.reason).collect();
        all.push((
            chunk.iter().map(<[u8]>::to_vec).collect(),
            letters,
            source.position().unwrap_or_default(),
        ));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn lives_go_on_at_the_beginning_of_a_record_whatever_the_framing(case in cases()) {
        let (spec, make, none) = FRAMED[case.framing];
        let options = SourceOptions {
            framing: spec.parse().unwrap(),
            on_damage: OnDamage::Skip,
            on_long: OnLong::DeadLetter,
            max_record: case.max_record,
            ..SourceOptions::default()
        };
        let dir = tempfile::tempdir().unwrap();
        for (n, (kind, pads, has_rest)) in case.files.iter().enumerate() {
            let mut content: String = pads.iter().enumerate().map(|(n, pad)| make(n, &"p".repeat(*pad))).collect();
            content += if *has_rest { none } else { "" };
            fs::write(dir.path().join(format!("{n:03}")), packed(*kind, content.as_bytes())).unwrap();
        }
        let want = read(&mut FileSource::of(paths(&dir), &options), usize::MAX);
        let files = SourceFiles::decode(&fix(&dir, &options).encode()).unwrap();
        let mut position = FileSource::fixed(files.clone(), &options).position().unwrap();
        let (mut records, mut letters) = (Vec::new(), Vec::new());
        for &(reads, commits) in case.lives.iter().chain([&(usize::MAX, usize::MAX)]) {
            files.paths().for_each(|path| append(path, b"more\n"));
            let mut source = FileSource::resume(files.clone(), &position, &options).unwrap();
            for (chunk, told, at) in read(&mut source, reads).into_iter().take(commits) {
                records.extend(chunk);
                letters.extend(told);
                position = at;
            }
        }
        prop_assert!(records == want.iter().flat_map(|(chunk, ..)| chunk.clone()).collect::<Vec<_>>(), "{}", spec);
        prop_assert_eq!(letters, want.iter().flat_map(|(_, told, _)| told.clone()).collect::<Vec<_>>());
    }
}
