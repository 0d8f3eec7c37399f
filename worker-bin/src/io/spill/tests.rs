use super::*;
use proptest::prelude::*;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;

fn batch(seed: u64, bytes: usize) -> Batch {
    let line =
        |n: u64| format!("{seed}/{n} {}\n", "x".repeat(usize::try_from((seed * 31 + n * 17) % 90).unwrap()));
    let mut text = String::new();
    for n in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&line(n));
    }
    Batch::from_terminated(text.into_bytes().into(), b'\n')
}

fn store(segment_bytes: u64) -> (SpillStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (SpillStore::with_segments_of(dir.path(), segment_bytes).unwrap(), dir)
}

/// Bytes that the store's files take on the disk.
fn disk_bytes(store: &SpillStore) -> u64 {
    store.index().segments.values().map(|s| s.file().metadata().unwrap().blocks() * 512).sum()
}

#[test]
fn what_is_stored_comes_back_also_a_slice() {
    let (store, _dir) = store(1 << 20);
    let whole = batch(1, 5000);
    let slice = whole.slice(3..20);
    let (a, b) = (store.store(&whole).unwrap(), store.store(&slice).unwrap());
    assert_eq!(store.load(b).unwrap(), slice);
    assert_eq!(store.load(a).unwrap(), whole);
    assert_eq!(store.load(a).unwrap(), whole, "again");
    assert_eq!(store.bytes(), whole.cost() + slice.cost());
}

#[test]
fn discarded_places_are_unknown_and_discarding_twice_does_nothing() {
    let (store, _dir) = store(1 << 20);
    let (a, b) = (store.store(&batch(1, 100)).unwrap(), store.store(&batch(2, 100)).unwrap());
    store.discard(a);
    store.discard(a);
    assert!(matches!(store.load(a), Err(SpillError::Unknown { place }) if place == a));
    assert_eq!(store.load(b).unwrap(), batch(2, 100));
    store.discard(b);
    assert_eq!((store.bytes(), store.index().segments.len()), (0, 0));
}

#[test]
fn the_directory_stays_empty_while_the_store_is_used() {
    let (store, dir) = store(10_000);
    for seed in 0..20 {
        store.store(&batch(seed, 3000)).unwrap();
    }
    assert!(store.index().segments.len() > 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "so a killed process leaves nothing");
}

#[test]
fn disk_use_follows_the_live_bytes() {
    let (store, _dir) = store(1 << 20);
    let places: Vec<Place> = (0..800).map(|seed| store.store(&batch(seed, 3000)).unwrap()).collect();
    let full = disk_bytes(&store);
    assert!(full >= 2 << 20);
    // One in forty stays: every segment is alive, and mostly dead.
    for (i, place) in places.iter().enumerate() {
        if i % 40 != 0 {
            store.discard(*place);
        }
    }
    let kept = disk_bytes(&store);
    assert!(kept <= 20 * 3 * 4096 + 16 * 4096, "{kept} of {full} for {} live bytes", store.bytes());
    for (i, place) in places.iter().enumerate().step_by(40) {
        assert_eq!(store.load(*place).unwrap(), batch(i as u64, 3000));
    }
}

#[test]
fn damage_is_noticed() {
    let (store, dir) = store(1 << 20);
    let place = store.store(&batch(1, 5000)).unwrap();
    let file = Arc::clone(store.index().segments[&1].file());
    rustix::io::pwrite(&*file, b"#", 2500).unwrap();
    let message = store.load(place).unwrap_err().to_string();
    assert!(message.contains("damaged") && message.contains(dir.path().to_str().unwrap()), "{message}");
    file.set_len(1000).unwrap();
    assert!(matches!(store.load(place), Err(SpillError::Damaged { .. })));
}

#[test]
fn an_impossible_directory_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let message = SpillStore::new(&dir.path().join("file")).unwrap_err().to_string();
    assert!(message.starts_with("cannot make a temporary file in "), "{message}");
    let made = dir.path().join("made");
    let message = SpillStore::new(&made.join("here")).unwrap_err().to_string();
    assert!(message.contains(&format!("there is no {}", made.display())) && !made.exists(), "{message}");
    let store = SpillStore::new(&made).unwrap();
    assert!(made.is_dir());
    store.leave();
    assert!(!made.exists(), "nothing is left of it");
    let store = SpillStore::new(dir.path()).unwrap();
    store.leave();
    assert!(dir.path().exists(), "what was there stays");
}

#[test]
fn threads_do_not_disturb_each_other() {
    let (store, _dir) = store(200_000);
    thread::scope(|scope| {
        for t in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                let mut live = std::collections::VecDeque::new();
                for n in 0..300 {
                    let seed = t * 1000 + n;
                    live.push_back((seed, store.store(&batch(seed, 2000)).unwrap()));
                    if n % 3 != 0 {
                        let (seed, place) = live.pop_front().unwrap();
                        assert_eq!(store.load(place).unwrap(), batch(seed, 2000));
                        store.discard(place);
                    }
                }
                for (seed, place) in live {
                    assert_eq!(store.load(place).unwrap(), batch(seed, 2000));
                    store.discard(place);
                }
            });
        }
    });
    assert_eq!((store.bytes(), store.index().segments.len()), (0, 0));
}

/// Runs itself again under a file size limit of 1 MiB: the limit is a process's.
#[test]
fn a_file_size_limit_is_told_and_keeps_what_is_stored() {
    const CHILD: &str = "WORKER_TEST_SPILL_LIMITED";
    if std::env::var_os(CHILD).is_some() {
        let (store, _dir) = store(64 << 20);
        let small = store.store(&batch(1, 1000)).unwrap();
        let refused = store.store(&batch(2, 2 << 20)).unwrap_err();
        assert!(matches!(refused, SpillError::Full { .. }), "{refused:?}");
        assert!(refused.to_string().contains("lower `spill_limit`"), "{refused}");
        assert_eq!(store.load(small).unwrap(), batch(1, 1000));
        return;
    }
    let name = "io::spill::tests::a_file_size_limit_is_told_and_keeps_what_is_stored";
    let exe = std::env::current_exe().unwrap();
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" --exact \"$1\"";
    let output = Command::new("sh").args(["-c", script]).arg(exe).arg(name).env(CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

/// Unmounts also when a test fails.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// A file system of this size, if we may mount one.
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(dir.path()).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status().unwrap();
        assert!(unmounted.success() || thread::panicking());
    }
}

/// Needs the right to mount; the test above covers the message where it is missing.
#[test]
fn a_full_disk_is_told_and_works_again_when_there_is_room() {
    let Some(tmpfs) = Tmpfs::mount("size=1m") else { return };
    let store = SpillStore::new(tmpfs.0.path()).unwrap();
    let mut places = Vec::new();
    let refused = loop {
        match store.store(&batch(places.len() as u64, 100_000)) {
            Ok(place) => places.push(place),
            Err(refused) => break refused,
        }
    };
    let stored = store.bytes();
    assert!(matches!(refused, SpillError::Full { stored: s, .. } if s == stored), "{refused:?}");
    assert!(store.store(&batch(99, 2 << 20)).is_err());
    assert_eq!(store.bytes(), stored, "what does not fit leaves no trace");
    let last = places.len() as u64 - 1;
    for place in places.drain(..places.len() - 1) {
        store.discard(place);
    }
    let after = store.store(&batch(7, 100_000)).unwrap();
    assert_eq!(store.load(after).unwrap(), batch(7, 100_000));
    assert_eq!(store.load(places[0]).unwrap(), batch(last, 100_000));
}

#[derive(Clone, Debug)]
enum Op {
    Store(usize),
    Load(usize),
    Discard(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (1usize..20_000).prop_map(Op::Store),
        2 => any::<usize>().prop_map(Op::Load),
        3 => any::<usize>().prop_map(Op::Discard),
    ];
    proptest::collection::vec(op, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_behaves_like_a_map(ops in ops()) {
        let (store, _dir) = store(64 * 1024);
        let mut model: Vec<(Place, Batch)> = Vec::new();
        for (seed, op) in ops.into_iter().enumerate() {
            match op {
                Op::Store(bytes) => {
                    let batch = batch(seed as u64, bytes);
                    model.push((store.store(&batch).unwrap(), batch));
                }
                Op::Load(i) if !model.is_empty() => {
                    let (place, batch) = &model[i % model.len()];
                    prop_assert_eq!(&store.load(*place).unwrap(), batch);
                }
                Op::Discard(i) if !model.is_empty() => store.discard(model.swap_remove(i % model.len()).0),
                Op::Load(_) | Op::Discard(_) => {}
            }
            prop_assert_eq!(store.bytes(), model.iter().map(|(_, b)| b.cost()).sum::<u64>());
        }
        for (place, batch) in &model {
            prop_assert_eq!(&store.load(*place).unwrap(), batch);
        }
        // Each live batch may keep two blocks that it shares with dead neighbours, each segment one at its end.
        let slack = (2 * model.len() + store.index().segments.len()) as u64 * 4096;
        prop_assert!(disk_bytes(&store) <= store.bytes() + slack);
    }
}
