//! A disk that is nearly full: what is admitted is committed as long as a small segment has room.

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn where_a_large_segment_finds_no_room_a_small_one_does() {
    let disk = MemStorage::new();
    let opened = Journal::open(disk.clone(), &identity(), Settings::default(), NewestPosition::default());
    let mut journal = opened.unwrap().journal;
    let bytes_max = journal.disk_bytes() + 3 * MIB + (64 << 10);
    disk.set_bytes_max(Some(bytes_max));
    let text = "x".repeat(100_000) + "\n";
    let mut committed = 0;
    while journal.append(&with_output(committed + 1, 1, committed + 1, &text), None).is_ok() {
        committed += 1;
        assert!(committed < 1_000, "the disk has an end");
    }
    assert!(committed * 100_000 > 6 * MIB, "all but the rest of a small segment is used: {committed}");
    assert!((bytes_max - (64 << 10)..=bytes_max).contains(&journal.disk_bytes()));
    sync(&mut journal);
    drop(journal);
    disk.crash(5);
    disk.set_bytes_max(None);
    assert_eq!(open(&disk).state.commits, committed);
}

/// As large as the keyed state of many tasks together.
#[derive(Debug)]
struct Large(Vec<u8>);

impl Fold for Large {
    fn apply(&mut self, _position: &[u8]) {}

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        self.0.chunks(1 << 20).for_each(chunk);
    }

    fn restore(&mut self, _chunk: &[u8]) {}
}

#[test]
fn a_checkpoint_needs_no_more_room_than_itself_and_a_small_segment() {
    let disk = MemStorage::new();
    let state = Large(vec![7; 20 << 20]);
    let mut journal = Journal::open(disk.clone(), &identity(), Settings::default(), state).unwrap().journal;
    journal.append(&with_output(1, 1, 1, "a\n"), None).unwrap();
    disk.set_bytes_max(Some(journal.disk_bytes() + 22 * MIB));
    journal.roll().unwrap();
    journal.append(&with_output(2, 1, 2, "b\n"), None).unwrap();
}

const SEGMENT_BYTES: u64 = 512 << 10;
const DISK_BYTES: u64 = 40 * SEGMENT_BYTES;

fn opened(disk: &MemStorage) -> MemJournal {
    let settings = Settings { first_segment_bytes: SEGMENT_BYTES / 4, segment_bytes_max: SEGMENT_BYTES };
    Journal::open(disk.clone(), &identity(), settings, NewestPosition::default()).unwrap().journal
}

/// A journal on a disk of which it takes all, and of which three quarters are of no use any more: each segment has a little that lives.
fn full_of_dead(seed: u64) -> (MemStorage, MemJournal, Vec<String>, u64) {
    let disk = MemStorage::new();
    let mut journal = opened(&disk);
    disk.set_bytes_max(Some(DISK_BYTES));
    let mut rng = worker_core::rng::Rng::new(seed);
    let (mut kept, mut passed, mut id) = (Vec::new(), 0, 0);
    loop {
        id += 1;
        let text = format!("{id:0length$}\n", length = usize::try_from(1000 + rng.up_to(12_000)).unwrap());
        let commit = if rng.up_to(3) == 0 {
            with_output(id, 2, kept.len() as u64 + 1, &text)
        } else {
            with_output(id, 1, passed + 1, &text)
        };
        match journal.append(&commit, None) {
            Ok(_) if commit.outputs[0].1.link == LinkId(2) => kept.push(text),
            Ok(_) => passed += 1,
            Err(error) => {
                assert!(error.is_full(), "{error}");
                sync(&mut journal);
                return (disk, journal, kept, passed);
            }
        }
        sync(&mut journal);
    }
}

fn given_back(journal: &mut MemJournal) {
    for _ in 0..100 {
        match journal.give_back() {
            Ok(true) => sync(journal),
            Ok(false) => return,
            Err(error) => return assert!(error.is_full(), "{error}"),
        }
        assert_eq!(journal.check(), Ok(()));
    }
    panic!("it goes on for ever");
}

/// Nothing is left of the disk, and what lives is in every segment.
#[test]
fn a_disk_full_of_mostly_dead_segments_gives_room_by_itself() {
    for seed in 0..6 {
        let (disk, mut journal, kept, passed) = full_of_dead(seed);
        given_back(&mut journal);
        journal.acknowledged(LinkId(1), Seq(passed));
        // As large as the reserve is that is given up then.
        disk.set_bytes_max(Some(DISK_BYTES + DISK_BYTES / 8));
        given_back(&mut journal);
        disk.set_bytes_max(Some(DISK_BYTES));
        let (live, taken) = (journal.live_bytes(), journal.disk_bytes());
        assert!(taken < 2 * live + 6 * SEGMENT_BYTES, "seed {seed}: {live} bytes are live, of {taken}");
        let next = with_output(10_000, 1, passed + 1, "more\n");
        journal.append(&next, None).unwrap();
        sync(&mut journal);
        for life in 0..2 {
            let text = journal.read(LinkId(2), Seq(1), kept.len() as u64).unwrap();
            assert_eq!(text.payload(), kept.concat().as_bytes(), "seed {seed}, life {life}");
            drop(journal);
            disk.crash(seed);
            journal = opened(&disk);
        }
    }
}

/// Not even a small segment could be made: what is set aside for that is used.
#[test]
fn segments_of_which_nothing_is_live_need_no_room_to_go() {
    for seed in 0..6 {
        let (disk, mut journal, kept, passed) = full_of_dead(seed);
        disk.set_bytes_max(Some(0));
        for _ in 0..3 {
            journal.acknowledged(LinkId(1), Seq(passed));
            journal.acknowledged(LinkId(2), Seq(kept.len() as u64));
            given_back(&mut journal);
        }
        assert!(journal.disk_bytes() <= 3 * SEGMENT_BYTES, "{}", journal.disk_bytes());
        let next = with_output(10_000, 1, passed + 1, "more\n");
        disk.set_bytes_max(Some(DISK_BYTES));
        journal.append(&next, None).unwrap();
        sync(&mut journal);
        // So it is another time, with what was set aside of what has gone.
        drop(journal);
        disk.crash(seed);
        let journal = opened(&disk);
        assert_eq!(journal.read(LinkId(1), Seq(passed + 1), 1).unwrap().payload(), "more\n");
    }
}
