//! Commits of a source that refer to the files it reads.

use super::model::AllPositions;
use super::referring::{LINK, READER, SENDER, admit, sent, window};
use super::shared::open_shared;
use super::*;
use crate::input::InputFiles;
use std::sync::{Arc, Mutex};
use worker_core::event::Origin;
use worker_core::rng::Rng;

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Files(Arc<Mutex<Vec<Vec<u8>>>>);

impl InputFiles for Files {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> Result<(), String> {
        let files = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let bytes = files.get(file as usize).and_then(|file| file.get(offset..offset + buffer.len()));
        bytes.map(|bytes| buffer.copy_from_slice(bytes)).ok_or_else(|| format!("in{file}.txt ends there"))
    }

    fn name(&self, file: u32) -> String {
        format!("in{file}.txt")
    }

    fn check(&self, file: u32) -> Result<(), String> {
        let is_there = self.0.lock().unwrap().get(file as usize).is_some_and(|file| !file.is_empty());
        if is_there { Ok(()) } else { Err(format!("in{file}.txt is gone")) }
    }
}

impl Files {
    /// Adds a file with these records; gives them as a source reads them.
    fn add(&self, text: &str) -> Origin {
        let mut files = self.0.lock().unwrap();
        files.push(format!("header\n{text}").into_bytes());
        Origin { file: u32::try_from(files.len() - 1).unwrap(), offset: 7, records: lines(text) }
    }

    fn change(&self, file: u32) {
        *self.0.lock().unwrap()[file as usize].last_mut().unwrap() = b'!';
    }
}

fn given(id: u64, first: u64, origin: &Origin) -> Commit {
    let chunk = Chunk { link: LINK, body: Body::Memory(origin.records.clone()) };
    Commit { outputs: vec![(Seq(first), chunk)], origin: Some(Box::new(origin.clone())), ..commit(id) }
}

fn opened(disk: &MemStorage, files: &Files) -> Journal<MemStorage, AllPositions> {
    let mut journal = open_shared(disk).journal;
    journal.reads(SENDER, Arc::new(files.clone()));
    journal
}

#[test]
fn what_lies_in_a_file_is_not_written_and_comes_back() {
    let (disk, files) = (MemStorage::new(), Files::default());
    let mut journal = opened(&disk, &files);
    let texts = ["x".repeat(800) + "\n", "y".repeat(800) + "\n", "z\n".to_owned()];
    let before = journal.end();
    let end = journal.append_of(SENDER, &given(1, 1, &files.add(&texts.concat())), None).unwrap();
    assert!(end.0 - before.0 < 300 && journal.live_bytes() == 0, "{} bytes", end.0 - before.0);
    journal.append_of(READER, &admit(1, vec![sent(1, &texts[..1])]), None).unwrap();
    journal.append_of(READER, &admit(2, vec![sent(2, &texts[1..2])]), None).unwrap();
    journal.acknowledged(LINK, Seq(1));
    for _ in 0..3 {
        assert_eq!(journal.read(LINK, Seq(2), 2).unwrap().payload(), texts[1..].concat().as_bytes());
        assert_eq!(window(&journal), texts[..2].concat());
        assert_eq!(journal.check(), Ok(()));
        drop(journal);
        journal = opened(&disk, &files);
    }
    journal.acknowledged(LINK, Seq(3));
    assert_eq!(window(&journal), texts[..2].concat(), "what is acknowledged is a window's still");
}

#[test]
fn a_file_that_has_changed_is_refused_by_its_name() {
    let (disk, files) = (MemStorage::new(), Files::default());
    let mut journal = opened(&disk, &files);
    let texts = ["a\n".to_owned(), "b\n".to_owned()];
    journal.append_of(SENDER, &given(1, 1, &files.add(&texts.concat())), None).unwrap();
    journal.append_of(READER, &admit(1, vec![sent(1, &texts)]), None).unwrap();
    files.change(0);
    let text = |result: Result<Batch, JournalError>| result.unwrap_err().to_string();
    let error = text(journal.read(LINK, Seq(1), 1));
    assert!(error.contains("in0.txt has changed since it was read: bytes 7 to 11"), "{error}");
    let error = text(join(journal.admitted_of(READER, 1).unwrap().iter()));
    assert!(error.contains("in0.txt has changed"), "{error}");
    files.0.lock().unwrap()[0].truncate(9);
    assert_eq!(text(journal.read(LINK, Seq(1), 1)), "in0.txt ends there");
    // Where nobody says what a task reads, nothing is taken for it.
    drop(journal);
    let journal = open_shared(&disk).journal;
    assert!(matches!(journal.read(LINK, Seq(1), 1), Err(JournalError::Misuse(_))));
}

/// At the start, and all at once: not one after the other, when their turn comes, hours later.
#[test]
fn all_files_that_are_gone_and_still_needed_are_named() {
    let (disk, files) = (MemStorage::new(), Files::default());
    let mut journal = opened(&disk, &files);
    let texts = ["a\n".to_owned(), "b\n".to_owned(), "c\n".to_owned(), "d\n".to_owned()];
    for (id, text) in (1..).zip(&texts) {
        journal.append_of(SENDER, &given(id, id, &files.add(text)), None).unwrap();
    }
    journal.append_of(READER, &admit(1, vec![sent(1, &texts[..1])]), None).unwrap();
    drop(journal);
    let mut journal = opened(&disk, &files);
    journal.acknowledged(LINK, Seq(2));
    journal.check_inputs().unwrap();
    let said = |journal: &Journal<_, _>| journal.check_inputs().unwrap_err().to_string();
    for gone in [0, 1, 3] {
        files.0.lock().unwrap()[gone].clear();
    }
    let error = said(&journal);
    let named = ["in0.txt is gone; ", "in3.txt is gone; put them back", "--fresh"];
    assert!(
        named.iter().all(|text| error.contains(text)),
        "the one of a window, and one of an output: {error}"
    );
    assert!(!error.contains("in1") && !error.contains("in2"), "acknowledged, and there: {error}");
    drop(journal);
    let error = said(&open_shared(&disk).journal);
    assert!(error.contains("file 0 of what a/0 reads is not known"), "{error}");
}

/// Equal records that lie elsewhere in memory are not known to lie in the file.
#[test]
fn only_the_very_records_are_referred_to() {
    let (disk, files) = (MemStorage::new(), Files::default());
    let mut journal = opened(&disk, &files);
    let text = "x".repeat(300) + "\n";
    let origin = files.add(&text);
    let other = Chunk { link: LINK, body: Body::Memory(lines(&text)) };
    let commit = Commit { outputs: vec![(Seq(1), other)], ..given(1, 1, &origin) };
    journal.append_of(SENDER, &commit, None).unwrap();
    assert!(journal.live_bytes() > 300);
    files.change(0);
    assert_eq!(journal.read(LINK, Seq(1), 1).unwrap().payload(), text.as_bytes());
}

/// Format 1 has no references, whatever is said of what a task reads.
#[test]
fn the_journal_of_one_task_has_the_records_themselves() {
    let (disk, files) = (MemStorage::new(), Files::default());
    let mut journal = open(&disk).journal;
    assert!(!journal.refers() && open_shared(&MemStorage::new()).journal.refers());
    journal.reads(Member(0), Arc::new(files.clone()));
    let origin = files.add("alone\n");
    let chunk = Chunk { link: LinkId(1), body: Body::Memory(origin.records.clone()) };
    let commit = Commit { outputs: vec![(Seq(1), chunk)], ..given(1, 1, &origin) };
    journal.append(&commit, None).unwrap();
    files.change(0);
    assert_eq!(journal.read(LinkId(1), Seq(1), 1).unwrap().payload(), "alone\n");
}

/// Files, segments and windows together, through crashes.
#[test]
fn whatever_is_lost_what_is_left_can_be_read() {
    for seed in 0..25 {
        let (disk, files, mut rng) = (MemStorage::new(), Files::default(), Rng::new(seed));
        let mut sent_texts: Vec<String> = Vec::new();
        for life in 0..4 {
            let opening = open_shared(&disk);
            let states = opening.tasks;
            let mut journal = opening.journal;
            journal.reads(SENDER, Arc::new(files.clone()));
            let next = states[0].state.outputs.get(&LINK).map_or(1, |output| output.next.0);
            sent_texts.truncate(usize::try_from(next - 1).unwrap());
            let mut admitted = states[1].state.window.map_or(0, |window| window.records);
            let (mut sends, mut admits) = (states[0].state.commits, states[1].state.commits);
            let upto = |count: u64, texts: &[String]| texts[..usize::try_from(count).unwrap()].concat();
            assert_eq!(window(&journal), upto(admitted, &sent_texts), "seed {seed}, life {life}");
            for _ in 0..80 {
                let count = sent_texts.len() as u64;
                match rng.up_to(3) {
                    0 | 1 => {
                        sends += 1;
                        let fresh: Vec<String> =
                            (0..=rng.up_to(4)).map(|n| format!("{:030}\n", count + n)).collect();
                        let commit = if rng.up_to(2) > 0 {
                            given(sends, count + 1, &files.add(&fresh.concat()))
                        } else {
                            with_output(sends, LINK.0, count + 1, &fresh.concat())
                        };
                        journal.append_of(SENDER, &commit, None).unwrap();
                        sent_texts.extend(fresh);
                    }
                    2 if admitted < count => {
                        admits += 1;
                        let to = admitted + 1 + rng.up_to((count - admitted - 1).min(6));
                        let range = usize::try_from(admitted).unwrap()..usize::try_from(to).unwrap();
                        let piece = sent(admitted + 1, &sent_texts[range]);
                        journal.append_of(READER, &admit(admits, vec![piece]), None).unwrap();
                        admitted = to;
                        journal.acknowledged(LINK, Seq(admitted));
                    }
                    _ => {
                        if let Some(ticket) = journal.to_sync() {
                            journal.synced(ticket.run().unwrap());
                        }
                    }
                }
                assert_eq!(journal.check(), Ok(()));
            }
            let count = sent_texts.len() as u64;
            if admitted < count {
                let left = journal.read(LINK, Seq(admitted + 1), count - admitted).unwrap();
                let expected = sent_texts[usize::try_from(admitted).unwrap()..].concat();
                assert_eq!(left.payload(), expected.as_bytes());
            }
            drop(journal);
            disk.crash(seed * 11 + life);
        }
    }
}
