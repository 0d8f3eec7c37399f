//! The corpora of the fuzz targets, replayed as they are, and changed a little: what was found once stays mended, on any compiler.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use worker_core::rng::Rng;
use worker_tests::fuzz::TARGETS;

/// A corpus of the repository is small, in bytes a file: a frame that is read into a buffer of its own has more than 16 KiB.
const FILE_BYTES_MAX: usize = 20 * 1024;

/// So often each file is changed where `WORKER_FUZZ_CHANGES` does not say it.
const CHANGES: u64 = 4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The files of a corpus, by their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = folder().join("corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    let named = |file: PathBuf| {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read(&file).expect("it can be read"))
    };
    files.into_iter().map(named).collect()
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let changes =
        std::env::var("WORKER_FUZZ_CHANGES").ok().map_or(CHANGES, |text| text.parse().expect("a number"));
    let files = corpus(name);
    assert!(files.len() >= 12, "the corpus of {name} has {} files", files.len());
    for (file, bytes) in &files {
        assert!(bytes.len() <= FILE_BYTES_MAX, "{name}/{file} has {} bytes", bytes.len());
        let run = |bytes: &[u8], what: &str| {
            let ended = std::panic::catch_unwind(|| (target.run)(bytes));
            assert!(ended.is_ok(), "{name}/{file}{what}: what is said above; the bytes: {bytes:?}");
        };
        run(bytes, "");
        for seed in 0..changes {
            run(&changed(bytes, seed), &format!(", change {seed}"));
        }
    }
}

/// A few bytes otherwise: the same ones for the same seed.
fn changed(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed + 1000 * bytes.len() as u64);
    let mut below = |bound: usize| usize::try_from(rng.up_to(bound as u64 - 1)).expect("it was one");
    let mut bytes = bytes.to_vec();
    for _ in 0..=below(4) {
        let at = below(bytes.len() + 1);
        match below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::try_from(below(256)).expect("a byte")),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ if at < bytes.len() => bytes[at] = u8::try_from(below(256)).expect("a byte"),
            _ => {}
        }
    }
    bytes
}

macro_rules! replayed {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        /// Every target has its binary, its corpus and its test here.
        #[test]
        fn no_target_is_left_out() {
            let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
            assert_eq!(names, [$(stringify!($target)),*].map(str::to_owned).into());
            let listed = |dir: &str| -> BTreeSet<String> {
                let entries = std::fs::read_dir(folder().join(dir)).expect("it is there").map(|entry| entry.expect("listed").path());
                entries.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
            };
            assert_eq!(listed("fuzz_targets"), names);
            assert_eq!(listed("corpus"), names);
            let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).expect("it is there");
            assert!(names.iter().all(|name| manifest.contains(&format!("fuzz_targets/{name}.rs"))));
        }
    };
}

replayed!(answers delivery frames framings glob journal pipeline session snapshot);
