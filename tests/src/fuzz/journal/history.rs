//! A history of commits, then damage, then what recovery makes of it.

use super::{LINKS, MemJournal, Positions, is_about_the_files, lines, one_more, open, sync};
use crate::fuzz::Input;
use std::collections::BTreeMap;
use worker_core::event::{Attempt, Body, Chunk, Commit, CommitId, InputDone, StreamStep};
use worker_core::inbox::Piece;
use worker_core::{Epoch, JournalId, LinkId, Seq};
use worker_journal::{Fold as _, MemStorage, Opened, join};

/// Where records come from.
const UPSTREAM: LinkId = LinkId(9);

/// What the journal has said after a commit.
#[derive(Clone, Debug, Default)]
struct Said {
    commits: u64,
    through: u64,
    positions: Positions,
    /// All tuples ever, by link.
    sent: BTreeMap<LinkId, Vec<String>>,
    window: Option<(u64, String)>,
    dead_bytes: Option<u64>,
}

#[derive(Default)]
struct History {
    /// After each commit; the first is nothing.
    said: Vec<Said>,
    acknowledged: BTreeMap<LinkId, u64>,
    /// So many commits are known to be durable.
    durable: u64,
}

pub(super) fn run(input: &mut Input<'_>) {
    let disk = MemStorage::new();
    let mut history = History { said: vec![Said::default()], ..History::default() };
    for _ in 0..=input.below(3) {
        let opened = open(&disk).expect("nothing is wrong with it");
        let mut journal = history.accept(opened, true);
        for _ in 0..input.below(24) {
            history.step(&mut journal, input);
        }
        assert_eq!(journal.check(), Ok(()));
        drop(journal);
        if input.chance() {
            disk.crash(u64::from(input.byte()));
        }
    }
    let mut files = disk.contents();
    let before = files.clone();
    for _ in 0..input.below(4) {
        damage(&mut files, input);
    }
    let is_whole = files == before;
    let disk = MemStorage::with_contents(files);
    match open(&disk) {
        Ok(opened) => history.go_on(&disk, opened, is_whole),
        Err(error) => {
            assert!(!is_whole, "nothing is wrong with it: {error}");
            is_about_the_files(&error);
        }
    }
}

/// Something that happens to files.
fn damage(files: &mut BTreeMap<String, Vec<u8>>, input: &mut Input<'_>) {
    let names: Vec<String> = files.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let (name, other) = (names[input.index(names.len())].clone(), names[input.index(names.len())].clone());
    let (kind, at, count) =
        (input.below(8), usize::from(input.byte()) * 8 + usize::from(input.below(8)), input.byte());
    let donor = files[&other].clone();
    let Some(bytes) = files.get_mut(&name) else { return };
    let at = at.min(bytes.len());
    let to = (at + usize::from(count)).min(bytes.len());
    match kind {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << (count % 8),
        2 => bytes.truncate(at),
        3 => bytes[at..to].fill(0),
        // A sector of another file, or of this one, at another place.
        4 => {
            let from = usize::from(input.byte()) * 8;
            for (own, others) in bytes[at..to].iter_mut().zip(donor.iter().skip(from)) {
                *own = *others;
            }
        }
        5 => bytes.extend_from_slice(&donor[..donor.len().min(usize::from(count))]),
        6 => drop(files.remove(&name)),
        // Under a name that is another's, or none's yet.
        7 => drop(files.insert(format!("{:016x}.wj", 1 + count % 9), donor)),
        _ => {}
    }
}

impl History {
    /// Takes over what the journal says, which must be one of the states that it may be.
    fn accept(&mut self, opened: Opened<MemStorage, Positions>, is_whole: bool) -> MemJournal {
        let Opened { journal, state, dead_bytes, .. } = opened;
        let known = self.said.iter().position(|said| said.commits == state.commits);
        let at = known.unwrap_or_else(|| panic!("commit {} never was", state.commits));
        assert!(!is_whole || state.commits >= self.durable, "{} of {}", state.commits, self.durable);
        self.said.truncate(at + 1);
        let said = &self.said[at];
        assert_eq!(dead_bytes, said.dead_bytes);
        assert_eq!(state.inputs.get(&UPSTREAM).map_or(0, |input| input.through.0), said.through);
        assert_eq!(*journal.fold(), said.positions);
        for (link, sent) in &said.sent {
            let output = &state.outputs[link];
            assert_eq!(output.next, Seq(sent.len() as u64 + 1));
            let through = self.acknowledged.get(link).copied().unwrap_or(0);
            let from = output.held.first().map_or(output.next, |held| held.first);
            assert!(output.through.0 <= through && from.0 <= through + 1, "{link}: {output:?}");
            let count = output.next.since(from);
            if count > 0 {
                let batch = journal.read(*link, from, count).expect("what is held is there");
                let wanted = sent[usize::try_from(from.0 - 1).expect("few")..].concat();
                assert_eq!(batch.payload(), wanted.as_bytes());
            }
        }
        let window = said.window.clone().unwrap_or_default();
        assert_eq!(state.window.map(|window| window.window), said.window.as_ref().map(|window| window.0));
        let admitted = journal.admitted(window.0).expect("it is known where");
        let admitted = join(admitted.iter()).expect("what is admitted is there");
        assert_eq!(admitted.payload(), window.1.as_bytes());
        // A life that is over by now may have said more; its receivers were told nothing that is not durable.
        self.durable = state.commits;
        journal
    }

    fn step(&mut self, journal: &mut MemJournal, input: &mut Input<'_>) {
        match input.below(8) {
            0..=3 => self.commit(journal, input),
            4 => {
                let attempt = Attempt { records: input.byte().into(), ..Attempt::default() };
                journal.note(&attempt).expect("this disk does not fail");
            }
            5 | 6 => {
                sync(journal);
                self.durable = self.said.last().map_or(0, |said| said.commits);
            }
            _ => {
                let link = LINKS[input.index(2)];
                let durable = self.said.iter().find(|said| said.commits == self.durable);
                let sent = durable.and_then(|said| said.sent.get(&link)).map_or(0, Vec::len);
                let through = self.acknowledged.entry(link).or_default();
                *through = (*through + u64::from(input.below(4))).min(sent as u64).max(*through);
                journal.acknowledged(link, Seq(*through));
            }
        }
    }

    fn commit(&mut self, journal: &mut MemJournal, input: &mut Input<'_>) {
        let mut said = self.said.last().cloned().unwrap_or_default();
        said.commits += 1;
        let mut commit = Commit::empty(CommitId(said.commits));
        for _ in 0..input.below(3) {
            let link = LINKS[input.index(2)];
            let text = text(said.commits, input);
            let sent = said.sent.entry(link).or_default();
            let body = match input.chance() {
                true => Body::Memory(lines(&text)),
                false => {
                    let batch = lines(&text);
                    let place = journal.stage(&batch).expect("this disk does not fail");
                    Body::Stored { place, records: batch.len() as u64, cost: batch.cost() }
                }
            };
            commit.outputs.push((Seq(sent.len() as u64 + 1), Chunk { link, body }));
            sent.extend(text.split_inclusive('\n').map(str::to_owned));
        }
        if input.chance() {
            said.through += u64::from(input.below(9));
            let through = Seq(said.through);
            commit.inputs = vec![InputDone {
                link: UPSTREAM,
                epoch: Epoch(1),
                journal: JournalId(3),
                through,
                ended: false,
            }];
        }
        if input.chance() {
            let position = vec![input.byte(); usize::from(input.below(40))];
            said.positions.apply(&position);
            commit.position = Some(position.into());
        }
        commit.stream = window_step(&mut said, input);
        let dead_bytes = (input.below(4) == 0).then(|| input.number());
        said.dead_bytes = dead_bytes.or(said.dead_bytes);
        journal.append(&commit, dead_bytes).expect("it fits behind the last one");
        self.said.push(said);
    }

    /// What is left can be gone on with, and comes back.
    fn go_on(mut self, disk: &MemStorage, opened: Opened<MemStorage, Positions>, is_whole: bool) {
        let mut journal = self.accept(opened, is_whole);
        let mut said = self.said.last().cloned().unwrap_or_default();
        for _ in 0..3 {
            said.commits += 1;
            let sent = said.sent.entry(LINKS[0]).or_default();
            let commit = one_more(said.commits, LINKS[0], Seq(sent.len() as u64 + 1));
            sent.push("more\n".to_owned());
            journal.append(&commit, None).expect("it fits behind the last one");
            self.said.push(said.clone());
        }
        sync(&mut journal);
        self.durable = said.commits;
        assert_eq!(journal.check(), Ok(()));
        drop(journal);
        disk.crash(1);
        let opened = open(disk).expect("it was gone on with");
        self.accept(opened, true);
    }
}

fn text(commit: u64, input: &mut Input<'_>) -> String {
    let length = usize::from(input.below(60));
    (0..=input.below(3)).map(|record| format!("{commit}.{record}{:.>length$}\n", "")).collect()
}

fn window_step(said: &mut Said, input: &mut Input<'_>) -> Option<StreamStep> {
    match input.below(6) {
        0 => said.window.take().map(|(window, _)| StreamStep::Done { window }),
        1 | 2 => {
            let text = text(said.commits, input);
            let (window, admitted) = said.window.get_or_insert((said.commits, String::new()));
            admitted.push_str(&text);
            let piece = Piece { link: UPSTREAM, epoch: Epoch(1), first_seq: Seq(1), batch: lines(&text) };
            Some(StreamStep::Admit { window: *window, pieces: vec![piece] })
        }
        3 => said.window.as_ref().map(|(window, _)| StreamStep::Cut { window: *window }),
        _ => None,
    }
}
