//! Disk space: finished segments go, mostly dead ones are emptied, a full disk loses nothing.

use super::*;

fn record(number: u64) -> String {
    format!("{number:0100}\n")
}

#[test]
fn acknowledged_output_takes_no_disk() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    for id in 1..2000 {
        journal.append(&with_output(id, 1, id, &record(id)), None).unwrap();
        if id % 10 == 0 {
            sync(&mut journal);
            journal.acknowledged(LinkId(1), Seq(id));
        }
        assert!(journal.disk_bytes() <= 7 * 4096, "{} bytes at {id}", journal.disk_bytes());
        assert_eq!(journal.disk_bytes(), disk.contents().values().map(|f| f.len() as u64).sum::<u64>());
    }
}

/// On a full disk nothing is appended, so nothing would roll the segment.
#[test]
fn what_is_acknowledged_can_be_given_back_without_an_append() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    for id in 1..=500 {
        journal.append(&with_output(id, 1, id, &record(id)), None).unwrap();
    }
    sync(&mut journal);
    assert!(!journal.give_back().unwrap(), "all of it is needed");
    let before = journal.disk_bytes();
    journal.acknowledged(LinkId(1), Seq(500));
    for _ in 0..2 {
        if journal.give_back().unwrap() {
            sync(&mut journal);
        }
    }
    assert!(!journal.give_back().unwrap(), "it comes to an end");
    // What is left is written to or kept to be used again.
    assert!(journal.disk_bytes() * 3 < before, "{} of {before} bytes", journal.disk_bytes());
    drop(journal);
    disk.crash(3);
    open(&disk).journal.append(&with_output(501, 1, 501, &record(501)), None).unwrap();
}

#[test]
fn a_few_live_records_do_not_hold_all_segments() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    // One record in a hundred goes to a link that acknowledges nothing.
    let (mut sent, mut kept) = (0, String::new());
    for id in 1..=6000 {
        let (link, first) = if id % 100 == 0 { (2, id / 100) } else { (1, sent + 1) };
        journal.append(&with_output(id, link, first, &record(id)), None).unwrap();
        if link == 1 {
            sent = first;
        } else {
            kept.push_str(&record(id));
        }
        if id % 10 == 0 {
            sync(&mut journal);
            journal.acknowledged(LinkId(1), Seq(sent));
        }
        let allowed = 4 * journal.live_bytes() + 12 * 4096;
        assert!(journal.disk_bytes() <= allowed, "{} bytes of {allowed}", journal.disk_bytes());
    }
    assert_eq!(journal.read(LinkId(2), Seq(1), 60).unwrap().payload(), kept.as_bytes());
    drop(journal);
    disk.crash(3);
    let journal = open(&disk).journal;
    assert_eq!(journal.read(LinkId(2), Seq(1), 60).unwrap().payload(), kept.as_bytes());
}

#[test]
fn a_segment_goes_only_when_a_durable_checkpoint_does_not_need_it() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let mut id = 0;
    while journal.sealed.len() < 2 {
        id += 1;
        journal.append(&with_output(id, 1, id, &record(id)), None).unwrap();
    }
    sync(&mut journal);
    assert_eq!(journal.sealed.len(), 2, "everything is live");
    journal.acknowledged(LinkId(1), Seq(id));
    let position = journal.end();
    journal.synced(position);
    assert_eq!(journal.sealed.len(), 2, "the durable checkpoint needs them still");
    while journal.sealed.len() < 3 {
        id += 1;
        journal.append(&with_output(id, 1, id, &record(id)), None).unwrap();
    }
    assert_eq!(journal.sealed.len(), 3, "the new checkpoint is not durable");
    sync(&mut journal);
    assert_eq!(journal.sealed.keys().copied().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_checkpoint_behind_the_sync_frees_nothing() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    journal.append(&with_output(1, 1, 1, &record(1)), None).unwrap();
    let ticket = journal.to_sync().unwrap();
    journal.acknowledged(LinkId(1), Seq(1));
    for id in 2.. {
        journal.append(&with_output(id, 1, id, &record(id)), None).unwrap();
        journal.acknowledged(LinkId(1), Seq(id));
        if journal.sealed.len() == 2 {
            break;
        }
    }
    let position = ticket.run().unwrap();
    journal.synced(position);
    assert_eq!(journal.sealed.len(), 2, "no later checkpoint was synced");
    sync(&mut journal);
    assert_eq!(journal.sealed.len(), 0);
}

#[test]
fn a_windows_segments_stay_and_do_not_move() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let step = StreamStep::Admit { window: 1, pieces: vec![piece("admitted\n")] };
    journal.append(&Commit { stream: Some(step), ..commit(1) }, None).unwrap();
    let held = journal.images.tasks()[0].window.as_ref().unwrap().admitted[0];
    for id in 2..2000 {
        journal.append(&with_output(id, 1, id - 1, &record(id)), None).unwrap();
        sync(&mut journal);
        journal.acknowledged(LinkId(1), Seq(id - 1));
    }
    assert_eq!(journal.images.tasks()[0].window.as_ref().unwrap().admitted[0], held);
    assert!(journal.sealed.contains_key(&1));
    assert_eq!(journal.admitted(1).unwrap()[0].read().unwrap().payload(), "admitted\n");
    assert!(journal.disk_bytes() <= 7 * 4096);
}

#[test]
fn a_segment_being_read_is_not_overwritten() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let mut extents = Vec::new();
    for id in 1..600 {
        journal.append(&with_output(id, 1, id, &record(id)), None).unwrap();
        extents.extend(journal.locate(LinkId(1), Seq(id), 1).unwrap());
        sync(&mut journal);
        journal.acknowledged(LinkId(1), Seq(id));
    }
    for (id, extent) in (1..).zip(&extents) {
        assert_eq!(extent.read().unwrap().payload(), record(id).as_bytes());
    }
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on() {
    for seed in 0..30 {
        let disk = MemStorage::new();
        let mut journal = open(&disk).journal;
        let mut rng = worker_core::rng::Rng::new(seed);
        let mut refused = 0;
        for id in 1..400 {
            disk.set_full(rng.up_to(4) == 0);
            let commit = with_output(id, 1, id, &record(id));
            while let Err(error) = journal.append(&commit, None) {
                assert!(error.is_full(), "{error}");
                refused += 1;
                disk.set_full(rng.up_to(2) > 0);
            }
            if rng.up_to(20) == 0 {
                sync(&mut journal);
            }
        }
        assert!(refused > 0);
        disk.set_full(false);
        sync(&mut journal);
        drop(journal);
        disk.crash(seed);
        let Opened { journal, state, .. } = open(&disk);
        assert_eq!(state.commits, 399);
        let all: String = (1..400).map(record).collect();
        assert_eq!(journal.read(LinkId(1), Seq(1), 399).unwrap().payload(), all.as_bytes());
    }
}

#[test]
fn a_large_commit_is_several_records_and_counts_whole() {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    let text = record(1).repeat(400_000);
    let batch = lines(&text);
    let chunk = |link| Chunk { link: LinkId(link), body: Body::Memory(batch.clone()) };
    let outputs = vec![(Seq(1), chunk(1)), (Seq(1), chunk(2))];
    journal.append(&Commit { outputs, ..commit(1) }, None).unwrap();
    assert_eq!(journal.live_bytes(), 2 * batch.cost());
    sync(&mut journal);
    drop(journal);
    disk.crash(1);
    let journal = open(&disk).journal;
    assert_eq!(journal.read(LinkId(2), Seq(400_000), 1).unwrap().payload(), record(1).as_bytes());
}
