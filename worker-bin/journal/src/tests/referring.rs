//! Admissions that refer to what another task of the journal sent.

use super::model::AllPositions;
use super::shared::open_shared;
use super::*;
use worker_core::rng::Rng;

pub(super) const SENDER: Member = Member(0);
pub(super) const READER: Member = Member(1);
pub(super) const LINK: LinkId = LinkId(0);

/// Records of the link from the `first` on.
pub(super) fn sent(first: u64, texts: &[String]) -> Piece {
    Piece { link: LINK, epoch: Epoch(1), first_seq: Seq(first), batch: lines(&texts.concat()) }
}

pub(super) fn admit(id: u64, pieces: Vec<Piece>) -> Commit {
    Commit { stream: Some(StreamStep::Admit { window: 1, pieces }), ..commit(id) }
}

pub(super) fn window(journal: &Journal<MemStorage, AllPositions>) -> String {
    let admitted = journal.admitted_of(READER, 1).unwrap();
    let all = join(admitted.iter()).unwrap();
    String::from_utf8(all.payload().to_vec()).unwrap()
}

/// A sender and its reader, and what both have done by each position of the journal.
struct Pair {
    journal: Journal<MemStorage, AllPositions>,
    rng: Rng,
    texts: Vec<String>,
    admitted: u64,
    commits: (u64, u64),
    /// Where in the journal how much of the texts was sent, or admitted, and by which commits.
    history: Vec<(Position, u64, u64, (u64, u64))>,
}

impl Pair {
    fn step(&mut self) {
        let sent_now = self.texts.len() as u64;
        match self.rng.up_to(5) {
            0..=2 => {
                let length = usize::try_from(1 + self.rng.up_to(70)).unwrap();
                let fresh: Vec<String> =
                    (0..=self.rng.up_to(6)).map(|n| format!("{:0length$}\n", sent_now + n)).collect();
                self.commits.0 += 1;
                self.journal
                    .append_of(SENDER, &with_output(self.commits.0, 0, sent_now + 1, &fresh.concat()), None)
                    .unwrap();
                self.texts.extend(fresh);
            }
            3 | 4 if self.admitted < sent_now => {
                let count = 1 + self.rng.up_to((sent_now - self.admitted - 1).min(9));
                let range =
                    usize::try_from(self.admitted).unwrap()..usize::try_from(self.admitted + count).unwrap();
                self.commits.1 += 1;
                let piece = sent(self.admitted + 1, &self.texts[range]);
                self.journal.append_of(READER, &admit(self.commits.1, vec![piece]), None).unwrap();
                self.admitted += count;
                self.journal.acknowledged(LINK, Seq(self.admitted));
            }
            _ => {
                if let Some(ticket) = self.journal.to_sync() {
                    let position = ticket.run().unwrap();
                    self.journal.synced(position);
                }
            }
        }
        let now = (self.journal.end(), self.texts.len() as u64, self.admitted, self.commits);
        self.history.push(now);
        assert_eq!(self.journal.check(), Ok(()));
    }
}

#[test]
fn whatever_is_lost_a_window_has_what_was_admitted_to_it() {
    for seed in 0..40 {
        let (disk, mut texts, mut admitted, mut commits) = (MemStorage::new(), Vec::new(), 0, (0, 0));
        for life in 0..5 {
            let journal = open_shared(&disk).journal;
            let expected: String = texts[..usize::try_from(admitted).unwrap()].concat();
            assert_eq!(window(&journal), expected, "seed {seed}, life {life}");
            let rng = Rng::new(seed * 100 + life);
            let mut pair = Pair { journal, rng, texts, admitted, commits, history: Vec::new() };
            pair.history.push((Position(0), pair.texts.len() as u64, admitted, commits));
            for _ in 0..120 {
                pair.step();
            }
            let Pair { journal, history, .. } = &pair;
            assert_eq!(window(journal), pair.texts[..usize::try_from(pair.admitted).unwrap()].concat());
            let durable = journal.durable();
            disk.crash(seed * 7 + life);
            // The next life says which of it was left: at least what was durable.
            let state = open_shared(&disk).tasks;
            let left = (state[0].state.commits, state[1].state.commits);
            let known = history.iter().rev().find(|(.., commits)| *commits == left);
            let (_, sent, taken, _) = *known.expect("a beginning of what was appended");
            let least =
                history.iter().rev().find(|(end, ..)| *end <= durable).map_or((0, 0), |known| known.3);
            assert!(left.0 >= least.0 && left.1 >= least.1, "{left:?} are left, {least:?} were durable");
            texts = pair.texts;
            texts.truncate(usize::try_from(sent).unwrap());
            (admitted, commits) = (taken, left);
        }
    }
}

/// Each byte is written once a hop.
#[test]
fn what_lies_in_the_journal_is_not_written_again() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    let texts = ["x".repeat(900) + "\n", "y".repeat(900) + "\n"];
    let end = journal.append_of(SENDER, &with_output(1, 0, 1, &texts.concat()), None).unwrap();
    let first = admit(1, vec![sent(1, &texts[..1])]);
    let referred = journal.append_of(READER, &first, None).unwrap();
    assert!(referred.0 - end.0 < 500, "{} bytes", referred.0 - end.0);
    let second = admit(2, vec![sent(2, &texts[1..])]);
    journal.append_of(READER, &second, None).unwrap();
    let window_of = &journal.images.task(READER).unwrap().window;
    assert_eq!(window_of.as_ref().unwrap().admitted.len(), 1, "what follows in one batch is one");
    let state = |opened: &OpenedShared<MemStorage, AllPositions>| opened.tasks[1].state.window.unwrap();
    let expected = lines(&texts.concat());
    journal.acknowledged(LINK, Seq(2));
    for _ in 0..3 {
        assert_eq!(window(&journal), texts.concat());
        drop(journal);
        let opened = open_shared(&disk);
        assert_eq!((state(&opened).records, state(&opened).cost), (2, expected.cost()));
        journal = opened.journal;
    }
    journal.acknowledged(LINK, Seq(2));
    // What was acknowledged before it is admitted, as by a reader that is asked again, is written with the admission.
    let step = StreamStep::Admit { window: 1, pieces: vec![sent(1, &texts[..1])] };
    let before = journal.end();
    journal.append_of(READER, &Commit { stream: Some(step), ..commit(3) }, None).unwrap();
    assert!(journal.end().0 - before.0 > 900);
    assert_eq!(window(&journal), texts.concat() + &texts[0]);
}

#[test]
fn what_is_referred_to_stays_until_its_window_is_done() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    let mut kept = String::new();
    for id in 1..400_u64 {
        let text = format!("{id:0200}\n");
        journal.append_of(SENDER, &with_output(id, 0, id, &text), None).unwrap();
        // One in twenty is admitted: what lies around it is not held by it for ever.
        if id % 20 == 0 {
            journal
                .append_of(READER, &admit(id / 20, vec![sent(id, std::slice::from_ref(&text))]), None)
                .unwrap();
            kept.push_str(&text);
        }
        while let Some(ticket) = journal.to_sync() {
            journal.synced(ticket.run().unwrap());
        }
        journal.acknowledged(LINK, Seq(id));
        assert_eq!(journal.check(), Ok(()));
        assert!(journal.disk_bytes() <= 6 * journal.live_bytes() + 16 * 4096);
        assert_eq!(window(&journal), kept);
    }
    let done = Commit { stream: Some(StreamStep::Done { window: 1 }), ..commit(20) };
    journal.append_of(READER, &done, None).unwrap();
    assert_eq!(journal.live_bytes(), 0);
}

/// An admission for which a segment begins, which takes over what the admission refers to, names where that is then: a reference to where it
/// was would hold the segment that was emptied, and the batch would be there twice.
#[test]
fn a_roll_within_an_admission_moves_nothing_that_it_refers_to() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    // The first segments are small.
    (0..3).for_each(|_| journal.roll().unwrap());
    let texts: Vec<String> = (1..=40).map(|n| format!("{n:06}\n")).collect();
    journal.append_of(SENDER, &with_output(1, 0, 1, &texts.concat()), None).unwrap();
    let (mut reads, mut fills, mut filled, mut moves) = (0, 0, 0, 0);
    for admitted in 0..texts.len() {
        // Something of the window in each segment, so that they are mostly dead and not empty.
        reads += 1;
        let other = StreamStep::Admit { window: 1, pieces: vec![piece("other\n")] };
        journal.append_of(READER, &Commit { stream: Some(other), ..commit(reads) }, None).unwrap();
        // What fills it up to where the admission does not fit is done with at once.
        while journal.active.has_room(Member(2), 60) {
            fills += 1;
            let filler = if journal.active.has_room(Member(2), 400) {
                filled += 1;
                with_output(fills, 2, filled, &format!("{filled:0200}\n"))
            } else {
                commit(fills)
            };
            journal.append_of(Member(2), &filler, None).unwrap();
            journal.acknowledged(LinkId(2), Seq(filled));
        }
        while let Some(ticket) = journal.to_sync() {
            journal.synced(ticket.run().unwrap());
        }
        let place =
            |journal: &Journal<MemStorage, AllPositions>| journal.images.output(LINK).unwrap().held[0].at;
        let (segment, before) = (journal.active.header.number, place(&journal));
        reads += 1;
        let next = sent(admitted as u64 + 1, &texts[admitted..=admitted]);
        journal.append_of(READER, &admit(reads, vec![next]), None).unwrap();
        assert_eq!(journal.active.header.number, segment + 1, "the segment was rolled for it");
        let now = place(&journal);
        moves += u32::from(now != before);
        let window = journal.images.task(READER).unwrap().window.as_ref().unwrap();
        let referring = window.admitted.iter().filter(|admitted| admitted.at.span == now.span);
        assert!(referring.clone().all(|admitted| admitted.at == now), "it is in one place");
        assert_eq!(referring.map(|admitted| admitted.records()).sum::<u64>(), admitted as u64 + 1);
        assert_eq!(journal.check(), Ok(()));
    }
    assert!(moves > 3, "what is referred to was taken over by {moves} of the rolls");
}

/// A batch so large that reading it for a part of it would cost more than it spares.
#[test]
fn what_is_large_is_written_again() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    let bytes = usize::try_from(crate::admitting::REFERRED_BYTES_MAX).unwrap();
    let texts = ["x".repeat(bytes) + "\n", "y\n".to_owned()];
    journal.append_of(SENDER, &with_output(1, 0, 1, &texts.concat()), None).unwrap();
    let before = journal.live_bytes();
    journal.append_of(READER, &admit(1, vec![sent(2, &texts[1..])]), None).unwrap();
    journal.acknowledged(LINK, Seq(2));
    assert!(journal.live_bytes() < before / 2);
    assert_eq!(window(&journal), "y\n");
}

#[test]
fn a_reference_is_printed_with_its_place() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    let texts = ["a\n".to_owned(), "b\n".to_owned()];
    journal.append_of(SENDER, &with_output(1, 0, 1, &texts.concat()), None).unwrap();
    journal.append_of(READER, &admit(1, vec![sent(1, &texts)]), None).unwrap();
    let mut text = String::new();
    let mut found = |finding: &Finding| {
        text += &format!("{finding}\n");
        Ok(())
    };
    assert!(inspect(&disk, &mut found).unwrap());
    assert!(text.contains("window 1 admits 2 records in 0000000000000001.wj at byte "), "{text}");
}

/// A window that has taken what the first of two batches is, and what comes behind it.
fn with_a_reference(disk: &MemStorage) -> (Journal<MemStorage, AllPositions>, Vec<String>) {
    let mut journal = open_shared(disk).journal;
    let texts = vec!["a\n".to_owned(), "b\n".to_owned(), "c\n".to_owned()];
    journal.append_of(SENDER, &with_output(1, 0, 1, &texts.concat()), None).unwrap();
    journal.append_of(READER, &admit(1, vec![sent(1, &texts[..2])]), None).unwrap();
    journal.acknowledged(LINK, Seq(3));
    (journal, texts)
}

/// A planted bug: the rule that a window pins what it refers to is what keeps it.
#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "is counted")]
fn a_reference_that_is_not_pinned_is_seen() {
    let disk = MemStorage::new();
    let (mut journal, _) = with_a_reference(&disk);
    let admitted = journal.images.task(READER).unwrap().window.as_ref().unwrap().admitted[0];
    journal.images.live.remove_admitted(&admitted);
    for id in 2..200 {
        journal.append_of(SENDER, &with_output(id, 0, id + 2, "x\n"), None).unwrap();
        journal.acknowledged(LINK, Seq(id + 2));
    }
}

/// Another planted bug: a reference to other records is no reference to these.
#[test]
fn a_reference_to_others_gives_others() {
    let disk = MemStorage::new();
    let (mut journal, texts) = with_a_reference(&disk);
    assert_eq!(window(&journal), texts[..2].concat());
    let image = journal.images.task_mut(READER).unwrap();
    let admitted = &mut image.window.as_mut().unwrap().admitted[0];
    admitted.part = admitted.part.map(|part| crate::record::Part { skip: part.skip + 1, ..part });
    assert_eq!(window(&journal), texts[1..].concat());
    assert_eq!(journal.check(), Ok(()), "only who knows what was admitted can see it");
}

/// Of a journal in the format before references, the window's input is as it was.
#[test]
fn what_was_admitted_before_there_were_references_is_read_as_it_is() {
    #[derive(serde::Serialize)]
    struct Before {
        window: u64,
        cut: bool,
        admitted: Vec<crate::record::Location>,
        steps: Vec<crate::image::PrintedImage>,
    }
    let span = crate::record::Span { base: 0, ends_bytes: 8, payload_bytes: 6, crc: 3 };
    let at = crate::record::Location { segment: 5, offset: 77, span };
    let before = Before { window: 2, cut: true, admitted: vec![at], steps: Vec::new() };
    let bytes = rmp_serde::to_vec(&before).unwrap();
    let now: crate::image::WindowImage = crate::record::decode(&bytes).unwrap();
    assert_eq!((now.window, now.cut), (2, true));
    assert_eq!(now.admitted, [crate::record::Admitted::whole(at)]);
    assert_eq!(rmp_serde::to_vec(&now).unwrap(), bytes, "and what refers to nothing is written as before");
}
