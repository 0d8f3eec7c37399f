//! What becomes durable when, and what a failed sync means.

use super::*;

#[test]
fn nothing_is_durable_before_its_sync_ran() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    assert!(journal.to_sync().is_none());
    let first = journal.append(&with_output(1, 1, 1, "a\n"), None).unwrap();
    assert!(journal.durable() < first);
    let ticket = journal.to_sync().unwrap();
    let second = journal.append(&with_output(2, 1, 2, "b\n"), None).unwrap();
    let synced = ticket.run().unwrap();
    assert_eq!(synced, first, "a ticket is for what was appended before it was taken");
    journal.synced(synced);
    assert_eq!(journal.durable(), first);
    sync(&mut journal);
    assert_eq!(journal.durable(), second);
}

#[test]
fn one_sync_serves_all_who_wait() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let before = disk.syncs();
    for id in 1..6 {
        journal.append(&with_output(id, 1, id, "a\n"), None).unwrap();
    }
    sync(&mut journal);
    assert_eq!(disk.syncs() - before, 1);
}

#[test]
fn the_first_failed_sync_is_the_end() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    journal.append(&with_output(1, 1, 1, "a\n"), None).unwrap();
    disk.fail_sync(1);
    let first = journal.to_sync().unwrap();
    let second = journal.to_sync().unwrap();
    assert!(matches!(first.run(), Err(JournalError::Poisoned { .. })));
    assert!(matches!(second.run(), Err(JournalError::Poisoned { .. })), "a later sync proves nothing");
    let refused = journal.append(&with_output(2, 1, 2, "b\n"), None);
    assert!(matches!(refused, Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.note(&Attempt::default()), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.stage(&lines("a\n")), Err(JournalError::Poisoned { .. })));
}

/// After a failed sync the page cache shows what is not on the disk, and no later sync puts it there.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_anew() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    journal.append(&with_output(1, 1, 1, "a\n"), None).unwrap();
    disk.fail_sync(1);
    assert!(journal.to_sync().unwrap().run().is_err());
    drop(journal);
    let opened = open(&disk);
    assert_eq!(opened.state.commits, 1, "the cache shows it");
    drop(opened);
    disk.crash(1);
    let Opened { journal, state, .. } = open(&disk);
    assert_eq!(state.commits, 1, "the life before has relied on it");
    assert_eq!(journal.read(LinkId(1), Seq(1), 1).unwrap().payload(), "a\n");
}

/// The process ends in good order with it: no record that was in flight is to blame.
#[test]
fn an_end_by_a_failed_sync_is_no_death() {
    let attempt =
        |records, suspects| Attempt { records, first: Some((LinkId(9), Seq(3))), alone: 0, suspects };
    let cases = [
        (attempt(5, 0), Attempt::default()),
        (attempt(1, 1), attempt(0, 1)),
        (Attempt { alone: 2, ..attempt(1, 1) }, Attempt { alone: 2, ..attempt(0, 1) }),
    ];
    for (noted, left) in cases {
        let disk = MemStorage::new();
        let mut journal = open(&disk).journal;
        sync(&mut journal);
        journal.append(&with_output(1, 1, 1, "a\n"), None).unwrap();
        journal.note(&noted).unwrap();
        disk.fail_sync(1);
        assert!(journal.to_sync().unwrap().run().is_err());
        journal.leave();
        drop(journal);
        let copy = MemStorage::with_contents(disk.contents());
        assert_eq!(open(&copy).state.attempt, left);
        // The power may take all of it away again.
        disk.crash(2);
        assert_eq!(open(&disk).state.commits, 0);
    }
}

/// What one that goes on has read of this segment is all that there is.
#[test]
fn who_has_been_replaced_notes_nothing() {
    let disk = MemStorage::new();
    let mut old = open(&disk).journal;
    old.note(&Attempt { records: 1, ..Attempt::default() }).unwrap();
    sync(&mut old);
    drop(open(&disk));
    let before = disk.contents();
    old.leave();
    assert_eq!(disk.contents(), before);
}

/// A full disk that keeps a note from being written keeps nothing else from it.
#[test]
fn a_leave_without_room_changes_nothing() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let noted = Attempt { records: 2, ..Attempt::default() };
    journal.note(&noted).unwrap();
    disk.set_full(true);
    journal.leave();
    disk.set_full(false);
    assert_eq!(journal.check(), Ok(()));
    sync(&mut journal);
    drop(journal);
    assert_eq!(open(&disk).state.attempt, noted);
}

#[test]
fn a_life_that_cannot_be_made_durable_does_not_begin() {
    for n in 1..3 {
        let disk = MemStorage::new();
        drop(open(&disk));
        disk.fail_sync(n);
        Journal::open(disk.clone(), &identity(), tiny(), NewestPosition::default()).unwrap_err();
        disk.crash(n);
        open(&disk);
    }
}

#[test]
fn a_second_owner_is_fenced() {
    let disk = MemStorage::new();
    let mut old = open(&disk).journal;
    let mut new = open(&disk).journal;
    for id in 1.. {
        let commit = with_output(id, 1, id, "a\n");
        new.append(&commit, None).unwrap();
        match old.append(&commit, None) {
            Ok(_) => assert!(old.sealed.is_empty(), "it has gone on in a segment that is taken"),
            Err(error) => {
                assert!(matches!(error, JournalError::Fenced { .. }), "{error}");
                return;
            }
        }
    }
}
