//! A disk that is nearly full: what is admitted is committed as long as a small segment has room.

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn where_a_large_segment_finds_no_room_a_small_one_does() {
    let disk = MemStorage::new();
    let opened = Journal::open(disk.clone(), &identity(), Settings::default(), NewestPosition::default());
    let mut journal = opened.unwrap().journal;
    disk.set_bytes_max(Some(7 * MIB));
    let text = "x".repeat(100_000) + "\n";
    let mut committed = 0;
    while journal.append(&with_output(committed + 1, 1, committed + 1, &text), None).is_ok() {
        committed += 1;
        assert!(committed < 1_000, "the disk has an end");
    }
    assert!(committed * 100_000 > 6 * MIB, "all but the rest of a small segment is used: {committed}");
    assert_eq!(journal.disk_bytes(), 7 * MIB);
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
