//! Files as they are given, with checksums made right: what they say may make no sense, and nothing worse comes of it than a refusal.

use super::{LINKS, Positions, is_about_the_files, one_more, open, small, sync};
use crate::fuzz::{Input, is_fit_to_print};
use crc32fast::Hasher;
use std::collections::BTreeMap;
use worker_core::{Fingerprint, JournalId};
use worker_journal::{
    Journal, JournalError, MemStorage, Member, MemberIdentity, SharedIdentity, committed_dead_bytes,
    committed_position, inspect, join,
};

/// The layout is told in the documentation of `worker_journal`.
const SEGMENT_HEADER_BYTES: usize = 64;
const SEGMENT_CRC_AT: usize = 56;
const RECORD_HEADER_BYTES: usize = 24;

/// Most files.
const FILES_MAX: u64 = 4;

pub(super) fn run(input: &mut Input<'_>) {
    let mut files = BTreeMap::new();
    let is_shared = input.chance();
    for number in 1..=FILES_MAX {
        let length = usize::from(input.byte()) << 8 | usize::from(input.byte());
        let mut bytes = input.take(length).to_vec();
        if !bytes.is_empty() {
            seal(&mut bytes, number);
            files.insert(format!("{number:016x}.wj"), bytes);
        }
    }
    look(&MemStorage::with_contents(files.clone()));
    if is_shared {
        go_on_shared(&MemStorage::with_contents(files.clone()));
    } else {
        go_on(&MemStorage::with_contents(files));
    }
}

/// Makes the checksums of a segment right, as far as records follow one another.
fn seal(bytes: &mut Vec<u8>, number: u64) {
    bytes.resize(bytes.len().max(SEGMENT_HEADER_BYTES), 0);
    bytes[..4].copy_from_slice(b"WKJ1");
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..SEGMENT_CRC_AT]);
    bytes[SEGMENT_CRC_AT..SEGMENT_CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes[SEGMENT_CRC_AT + 4..SEGMENT_HEADER_BYTES].fill(0);
    let mut hasher = Hasher::new();
    hasher.update(&bytes[8..16]);
    hasher.update(&number.to_le_bytes());
    let seed = hasher.finalize();
    let (mut crc, mut at) = (seed, SEGMENT_HEADER_BYTES);
    while let Some(header) = bytes.get(at..at + RECORD_HEADER_BYTES) {
        if header[..2] != [0xa7, b'w'] {
            return;
        }
        let said = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let left = bytes.len() - at - RECORD_HEADER_BYTES;
        let length = usize::try_from(said).unwrap_or(usize::MAX).min(left);
        let end = at + RECORD_HEADER_BYTES + length;
        let mut payload = Hasher::new_with_initial(crc);
        payload.update(&bytes[at + RECORD_HEADER_BYTES..end]);
        crc = payload.finalize();
        bytes[at + 3] = 0;
        bytes[at + 4..at + 8].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
        let mut check = Hasher::new_with_initial(seed);
        check.update(&(at as u64).to_le_bytes());
        check.update(&bytes[at..at + 20]);
        let check = check.finalize();
        bytes[at + 20..at + 24].copy_from_slice(&check.to_le_bytes());
        at = end;
    }
}

/// What looks at a journal and changes nothing.
fn look(disk: &MemStorage) {
    let before = disk.contents();
    let mut found = 0;
    let verdict = inspect(disk, &mut |finding| {
        found += 1;
        is_fit_to_print(&finding.to_string());
        Ok(())
    });
    if let Err(error) = &verdict {
        is_fit_to_print(&error.to_string());
    }
    committed_dead_bytes(disk).err().iter().for_each(is_about_the_files);
    committed_position(disk, "a/0").err().iter().for_each(is_about_the_files);
    assert_eq!(disk.contents(), before, "looking changes nothing");
}

fn go_on(disk: &MemStorage) {
    let opened = match open(disk) {
        Ok(opened) => opened,
        Err(error) => return is_about_the_files(&error),
    };
    let mut journal = opened.journal;
    assert_eq!(journal.check(), Ok(()));
    for (link, output) in &opened.state.outputs {
        for held in &output.held {
            journal.read(*link, held.first, held.records).err().iter().for_each(is_about_the_files);
        }
    }
    if let Some(window) = opened.state.window {
        match journal.admitted(window.window) {
            Ok(admitted) => drop(join(admitted.iter())),
            Err(error) => is_about_the_files(&error),
        }
    }
    let next = opened.state.outputs.get(&LINKS[0]).map_or(worker_core::Seq(1), |output| output.next);
    match journal.append(&one_more(opened.state.commits.saturating_add(1), LINKS[0], next), None) {
        Ok(_) => sync(&mut journal),
        Err(JournalError::Misuse(why)) => is_fit_to_print(&why),
        Err(error) => is_about_the_files(&error),
    }
    assert_eq!(journal.check(), Ok(()));
    drop(journal);
    disk.crash(1);
    assert!(open(disk).is_ok(), "what was gone on with opens again");
}

fn go_on_shared(disk: &MemStorage) {
    let task = |name: &str, link| MemberIdentity { task: name.to_owned(), outputs: vec![link] };
    let identity = SharedIdentity {
        tasks: vec![task("a/0", LINKS[0]), task("b/0", LINKS[1])],
        fingerprint: Fingerprint(1),
        new_id: JournalId(7),
    };
    let folds = vec![Positions::default(); 2];
    let opened = match Journal::open_shared(disk.clone(), &identity, small(), folds) {
        Ok(opened) => opened,
        Err(error) => return is_about_the_files(&error),
    };
    let mut journal = opened.journal;
    assert_eq!(journal.check(), Ok(()));
    let state = &opened.tasks[1].state;
    let next = state.outputs.get(&LINKS[1]).map_or(worker_core::Seq(1), |output| output.next);
    let commit = one_more(state.commits.saturating_add(1), LINKS[1], next);
    match journal.append_of(Member(1), &commit, None) {
        Ok(_) => sync(&mut journal),
        Err(JournalError::Misuse(why)) => is_fit_to_print(&why),
        Err(error) => is_about_the_files(&error),
    }
    assert_eq!(journal.check(), Ok(()));
}
