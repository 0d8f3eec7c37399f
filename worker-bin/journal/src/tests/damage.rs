//! Every byte cut off, every bit flipped: the journal recovers to what it must say, or refuses.

use super::model::{AllPositions, Expected};
use super::*;
use std::collections::BTreeMap;

/// A journal's files, every state it ever said, and what is known durable by the records in it.
struct Written {
    files: BTreeMap<String, Vec<u8>>,
    model: Model,
    states: Vec<Expected>,
    /// When the file was how long, how many commits did the records in it say to be durable: segment, offset, commits.
    claims: Vec<(String, usize, u64)>,
}

/// A journal of some steps; the last sync is not the last step.
fn written(seed: u64, steps: usize) -> Written {
    let disk = MemStorage::new();
    let mut model = Model::new(seed);
    model.open(&disk);
    let (mut states, mut claims) = (vec![Expected::default()], Vec::new());
    for step in 0..steps {
        let durable = model.history.front().map_or(0, |(_, e)| e.commits);
        let end = model.journal().end();
        model.step(&disk);
        if step + 8 == steps {
            model.sync();
        }
        if model.journal().end() > end {
            let active = &model.journal().active;
            let (name, offset) = (format::file_name(active.header.number), active.offset);
            claims.push((name, usize::try_from(offset).unwrap(), durable));
        }
        if states.last() != Some(&model.now) {
            states.push(model.now.clone());
        }
    }
    let mut files = disk.contents();
    // Nothing is ever read of it.
    files.remove(crate::full::ROOM_NAME);
    Written { files, model, states, claims }
}

impl Written {
    /// Opens the files with one of them changed; the commits it says, or `None` if it refuses.
    fn open_with(&self, name: &str, bytes: Option<Vec<u8>>, what: &str) -> Option<u64> {
        let mut files = self.files.clone();
        match bytes {
            Some(bytes) => files.insert(name.to_owned(), bytes),
            None => files.remove(name),
        };
        let disk = MemStorage::with_contents(files);
        let opened = match Journal::open(disk, &identity(), tiny(), AllPositions::default()) {
            Ok(opened) => opened,
            Err(JournalError::Damaged { .. }) => return None,
            Err(other) => panic!("{what}: {other}"),
        };
        let commits = opened.state.commits;
        let mut model = Model::new(0);
        model.epoch = self.model.epoch;
        model.acknowledged = self.model.acknowledged.clone();
        model.history = self.states.iter().map(|state| (Position(0), state.clone())).collect();
        model.accept(opened);
        Some(commits)
    }

    fn durable(&self) -> u64 {
        self.claims.last().map_or(0, |(_, _, commits)| *commits)
    }
}

#[test]
fn undamaged_it_says_everything() {
    for seed in 0..20 {
        let written = written(seed, 60);
        assert_eq!(written.open_with("none", None, "nothing"), Some(written.model.now.commits));
    }
}

#[test]
fn no_flipped_bit_gives_wrong_records_or_loses_durable_ones() {
    for (seed, steps) in [(1, 12), (2, 18)] {
        let written = written(seed, steps);
        assert!(written.durable() > 0);
        let (mut refused, mut cut) = (0, 0);
        for (name, bytes) in &written.files {
            // Of the room that is not used yet, not every bit.
            let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| (last + 33) * 8);
            for bit in 0..used.min(bytes.len() * 8) {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let what = format!("seed {seed}, {name}, bit {bit}");
                match written.open_with(name, Some(bad), &what) {
                    None => refused += 1,
                    Some(commits) => {
                        assert!(commits >= written.durable(), "{what}: {commits} commits");
                        cut += u64::from(commits < written.model.now.commits);
                    }
                }
            }
        }
        assert!(refused > 1000 && cut > 1000, "{refused} refused, {cut} cut");
    }
}

#[test]
fn no_cut_off_byte_gives_wrong_records_or_loses_durable_ones() {
    for seed in 1..3 {
        let written = written(seed, 30);
        let last = written.files.keys().next_back().unwrap();
        let mut refused = 0;
        for (name, bytes) in &written.files {
            let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 33);
            for length in 0..used.min(bytes.len()) {
                let what = format!("seed {seed}, {name}, {length} bytes");
                // In the last file, claims that are cut off are not known.
                let known =
                    |(file, end, _): &&(String, usize, u64)| name != last || file != last || *end <= length;
                let durable = written.claims.iter().filter(known).map(|(_, _, commits)| *commits).max();
                match written.open_with(name, Some(bytes[..length].to_vec()), &what) {
                    None => refused += 1,
                    Some(commits) => {
                        assert!(commits >= durable.unwrap_or(0), "{what}: {commits} of {durable:?}");
                    }
                }
            }
        }
        assert!(refused > 100, "{refused} refused");
    }
}

#[test]
fn a_missing_segment_is_noticed_unless_nothing_needs_it() {
    let mut noticed = 0;
    for seed in 0..40 {
        let written = written(seed, 80);
        for name in written.files.keys() {
            match written.open_with(name, None, name) {
                None => noticed += 1,
                Some(commits) => {
                    let last = written.files.keys().next_back() == Some(name);
                    assert!(last || commits >= written.durable(), "seed {seed}, {name}: {commits}");
                }
            }
        }
    }
    assert!(noticed > 40, "{noticed}");
}

#[test]
fn messages_name_segment_and_offset_and_what_to_do() {
    let written = written(1, 24);
    let (name, bytes) = written.files.first_key_value().unwrap();
    let mut bad = bytes.clone();
    bad[70] ^= 1;
    let disk = MemStorage::with_contents([(name.clone(), bad)].into());
    let error = Journal::open(disk, &identity(), tiny(), AllPositions::default()).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("byte 64") && error.contains("start over"), "{error}");

    let mut newer = format::SegmentHeader::decode(bytes, 1).unwrap();
    newer.version = 9;
    let mut bad = bytes.clone();
    bad[..64].copy_from_slice(&newer.encode());
    let disk = MemStorage::with_contents([(name.clone(), bad)].into());
    let error = Journal::open(disk, &identity(), tiny(), AllPositions::default()).unwrap_err().to_string();
    assert!(error.contains("made by a newer worker"), "{error}");
}

#[test]
fn segments_of_two_journals_are_not_one() {
    let [mine, other] = [7, 8].map(|id| {
        let disk = MemStorage::new();
        let identity = Identity { new_id: JournalId(id), ..identity() };
        for _ in 0..2 {
            let mut journal =
                Journal::open(disk.clone(), &identity, tiny(), NewestPosition::default()).unwrap().journal;
            let (id, first) =
                (journal.images.tasks()[0].commits + 1, journal.images.tasks()[0].outputs[&LinkId(1)].next.0);
            journal.append(&with_output(id, 1, first, "a\n"), None).unwrap();
            sync(&mut journal);
            // Says that the commit is durable, so that its segment stays.
            journal.note(&Attempt::default()).unwrap();
        }
        disk.contents()
    });
    let mut mixed = mine;
    mixed.extend(other.into_iter().take(1));
    let error =
        Journal::open(MemStorage::with_contents(mixed), &identity(), tiny(), NewestPosition::default());
    assert!(matches!(error, Err(JournalError::Damaged { damage: Damage::Mixed { .. }, .. })), "{error:?}");
}
