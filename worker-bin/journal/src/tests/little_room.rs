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
