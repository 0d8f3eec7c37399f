//! A journal that several tasks share.

use super::model::{AllPositions, tiny};
use super::*;
use std::collections::BTreeMap;
use worker_core::rng::Rng;

const TASKS: u32 = 3;

pub(super) fn shared() -> SharedIdentity {
    let tasks =
        (0..TASKS).map(|task| MemberIdentity { task: format!("a/{task}"), outputs: vec![LinkId(task)] });
    SharedIdentity { tasks: tasks.collect(), fingerprint: Fingerprint(1), new_id: JournalId(7) }
}

pub(super) fn open_shared(disk: &MemStorage) -> OpenedShared<MemStorage, AllPositions> {
    let folds = (0..TASKS).map(|_| AllPositions::default()).collect();
    Journal::open_shared(disk.clone(), &shared(), tiny(), folds).unwrap()
}

/// What the tasks have committed, in the order of the journal: whose it is, what it sends.
#[derive(Debug, Default)]
struct Appended {
    commits: Vec<(u32, String, Position)>,
    /// By task: acknowledged through.
    acknowledged: BTreeMap<u32, u64>,
}

impl Appended {
    fn of(&self, task: u32) -> impl Iterator<Item = &str> {
        self.commits.iter().filter(move |(of, ..)| *of == task).map(|(_, text, _)| text.as_str())
    }

    fn count(&self, task: u32) -> u64 {
        self.of(task).count() as u64
    }

    /// What a journal says is a beginning of this, and at least what was durable: nothing of a later commit is there, of whichever
    /// task, without all that was appended before it.
    fn check(&mut self, opened: &OpenedShared<MemStorage, AllPositions>, durable: Position) {
        let kept: u64 = opened.tasks.iter().map(|task| task.state.commits).sum();
        let least = self.commits.iter().filter(|(.., end)| *end <= durable).count() as u64;
        assert!(kept >= least, "{kept} commits are left, {least} were durable");
        self.commits.truncate(usize::try_from(kept).unwrap());
        for (task, OpenedMember { state, dead_bytes, .. }) in (0..).zip(&opened.tasks) {
            let count = self.count(task);
            assert_eq!(state.commits, count, "those of task {task} are not a beginning");
            assert_eq!(*dead_bytes, (count > 0).then_some(count * 10 + u64::from(task)));
            assert_eq!(state.attempt.alone, 0);
            let fold = opened.journal.fold_of(Member(task)).unwrap();
            assert!(fold.0.iter().all(|&of| u32::from(of) == task), "positions of {task}: {fold:?}");
            let Some(output) = state.outputs.get(&LinkId(task)) else { continue };
            let through = self.acknowledged.get(&task).copied().unwrap_or(0);
            let from = output.held.first().map_or(output.next.0, |held| held.first.0);
            assert!(from <= through + 1);
            let left = count + 1 - from;
            if left > 0 {
                let read = opened.journal.read(LinkId(task), Seq(from), left).unwrap();
                let expected: String = self.of(task).skip(usize::try_from(from - 1).unwrap()).collect();
                assert_eq!(read.payload(), expected.as_bytes());
            }
            let admitted = opened.journal.admitted_of(Member(task), 1).unwrap();
            let admitted: u64 = admitted.iter().map(Extent::records).sum();
            assert_eq!(admitted, count);
        }
        assert_eq!(opened.journal.check(), Ok(()));
    }

    fn append(&mut self, journal: &mut Journal<MemStorage, AllPositions>, rng: &mut Rng) {
        let task = u32::try_from(rng.up_to(u64::from(TASKS) - 1)).unwrap();
        let (id, length) = (self.count(task) + 1, usize::try_from(1 + rng.up_to(90)).unwrap());
        let text = format!("{task} {id:0length$}\n");
        let body = if rng.up_to(3) == 0 {
            let place = journal.stage(&lines(&text)).unwrap();
            Body::Stored { place, records: 1, cost: lines(&text).cost() }
        } else {
            Body::Memory(lines(&text))
        };
        let commit = Commit {
            outputs: vec![(Seq(id), Chunk { link: LinkId(task), body })],
            position: Some(vec![u8::try_from(task).unwrap()].into()),
            stream: Some(StreamStep::Admit { window: 1, pieces: vec![piece("x\n")] }),
            ..commit(id)
        };
        let end = journal.append_of(Member(task), &commit, Some(id * 10 + u64::from(task))).unwrap();
        self.commits.push((task, text, end));
    }
}

fn run(seed: u64, lives: u64, steps: u64) {
    let (disk, mut rng, mut appended) = (MemStorage::new(), Rng::new(seed), Appended::default());
    let mut durable = Position(0);
    for life in 0..lives {
        let opened = open_shared(&disk);
        appended.check(&opened, durable);
        assert!(opened.tasks.iter().all(|task| task.state.epoch == Epoch(life + 1)));
        let mut journal = opened.journal;
        appended.commits.iter_mut().for_each(|(.., end)| *end = Position(0));
        for _ in 0..rng.up_to(steps) {
            match rng.up_to(9) {
                0..=5 => appended.append(&mut journal, &mut rng),
                6 => {
                    let task = u32::try_from(rng.up_to(u64::from(TASKS) - 1)).unwrap();
                    let through = rng.up_to(appended.count(task));
                    // Only what is durable was ever sent.
                    let is_durable = |nth: u64| {
                        let mut of = appended.commits.iter().filter(|(of, ..)| *of == task);
                        nth == 0 || of.nth(usize::try_from(nth - 1).unwrap()).is_some_and(|c| c.2 <= durable)
                    };
                    if is_durable(through) {
                        let known = appended.acknowledged.entry(task).or_default();
                        *known = through.max(*known);
                        journal.acknowledged(LinkId(task), Seq(through));
                    }
                }
                7 => drop(journal.note_of(Member(1), &Attempt { records: 3, ..Attempt::default() }).unwrap()),
                _ => {
                    while let Some(ticket) = journal.to_sync() {
                        journal.synced(ticket.run().unwrap());
                    }
                    durable = journal.durable();
                }
            }
        }
        assert_eq!(journal.check(), Ok(()));
        durable = journal.durable();
        drop(journal);
        if rng.up_to(3) > 0 {
            disk.crash(seed * 1000 + life);
        }
    }
}

#[test]
fn after_any_crash_every_task_has_what_lies_before_one_point() {
    for seed in 0..60 {
        run(seed, 8, 60);
    }
    for seed in 0..3 {
        run(seed, 3, 900);
    }
}

#[test]
fn one_sync_serves_all_tasks() {
    let disk = MemStorage::new();
    let (mut journal, before) = (open_shared(&disk).journal, disk.syncs());
    let ends = [0, 2, 1].map(|task| {
        let commit = Commit { inputs: Vec::new(), ..commit(1) };
        journal.append_of(Member(task), &commit, None).unwrap()
    });
    let ticket = journal.to_sync().unwrap();
    journal.synced(ticket.run().unwrap());
    assert_eq!(disk.syncs() - before, 1);
    assert!(ends.iter().all(|end| *end <= journal.durable()));
}

#[test]
fn it_is_refused_to_other_tasks_or_in_another_order() {
    let disk = MemStorage::new();
    drop(open_shared(&disk));
    let mut other = shared();
    other.tasks.swap(0, 1);
    let fewer = SharedIdentity { tasks: shared().tasks[..2].to_vec(), ..shared() };
    for (identity, tasks) in [(other, 3), (fewer, 2)] {
        let folds = vec![AllPositions::default(); tasks];
        let refused = Journal::open_shared(disk.clone(), &identity, tiny(), folds);
        assert!(matches!(refused, Err(JournalError::NotOurs { .. })), "{refused:?}");
    }
    let few = Journal::open_shared(disk.clone(), &shared(), tiny(), vec![AllPositions::default()]);
    assert!(matches!(few, Err(JournalError::Misuse(_))));
    assert!(matches!(
        open_shared(&disk).journal.append_of(Member(3), &commit(1), None),
        Err(JournalError::Misuse(_))
    ));
}

fn printed(disk: &MemStorage) -> String {
    let mut text = String::new();
    let mut found = |finding: &Finding| {
        text += &format!("{finding}\n");
        Ok(())
    };
    assert!(inspect(disk, &mut found).unwrap());
    text
}

/// Format 1 knows no kind of record for more than one task.
#[test]
fn the_journal_of_one_task_is_written_as_older_programs_know_it() {
    let (old, new) = (journal_with_everything(), MemStorage::new());
    let version = |disk: &MemStorage, name: &str| disk.contents()[name][4];
    assert_eq!(version(&old, "0000000000000001.wj"), 1);
    drop(open_shared(&new));
    assert_eq!(version(&new, "0000000000000001.wj"), 3, "and that of several is refused by them");
    let text = printed(&old);
    assert!(!text.contains("  of  ") && !text.contains("  part  "), "{text}");
}

#[test]
fn its_records_are_printed_with_their_task() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    journal.append_of(Member(1), &with_output(1, 1, 1, "a\n"), Some(30)).unwrap();
    let text = printed(&disk);
    for expected in [
        "what follows is of task 1",
        "part",
        "1: task a/1, epoch 1, commit 1",
        "2: task a/2, epoch 1, commit 0",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    let dead = committed_dead_bytes(&disk).unwrap();
    assert_eq!(
        dead,
        [("a/0", 0), ("a/1", 30), ("a/2", 0)].map(|(task, bytes)| (task.to_owned(), bytes)).into()
    );
    assert_eq!(committed_position(&disk, "a/1").unwrap(), None);
    let commit = Commit { position: Some(Bytes::from_static(b"there")), ..commit(1) };
    journal.append_of(Member(2), &commit, None).unwrap();
    assert_eq!(committed_position(&disk, "a/2").unwrap().as_deref(), Some(&b"there"[..]));
    assert_eq!(committed_position(&disk, "a/1").unwrap(), None);
}

/// A window that is open for long, of which little lies in each segment that another task has filled.
#[test]
fn a_window_does_not_hold_the_segments_of_other_tasks() {
    let disk = MemStorage::new();
    let mut journal = open_shared(&disk).journal;
    let (mut admitted, mut most) = (String::new(), 0);
    for id in 1..3000_u64 {
        journal.append_of(Member(0), &with_output(id, 0, id, &format!("{id:0200}\n")), None).unwrap();
        if id % 20 == 0 {
            let text = format!("kept {id}\n");
            let step = StreamStep::Admit { window: 1, pieces: vec![piece(&text)] };
            journal.append_of(Member(1), &Commit { stream: Some(step), ..commit(id / 20) }, None).unwrap();
            admitted.push_str(&text);
        }
        while let Some(ticket) = journal.to_sync() {
            journal.synced(ticket.run().unwrap());
        }
        journal.acknowledged(LinkId(0), Seq(id));
        assert_eq!(journal.check(), Ok(()));
        most = journal.disk_bytes().max(most);
        let allowed = 6 * journal.live_bytes() + 16 * 4096;
        assert!(
            journal.disk_bytes() <= allowed,
            "{} bytes on disk, {} live",
            journal.disk_bytes(),
            journal.live_bytes()
        );
    }
    assert!(most < 3000 * 200 / 4, "{most}");
    let window = |journal: &Journal<MemStorage, AllPositions>| {
        join(journal.admitted_of(Member(1), 1).unwrap().iter()).unwrap().payload().clone()
    };
    assert_eq!(window(&journal), admitted.as_bytes());
    drop(journal);
    disk.crash(9);
    assert_eq!(window(&open_shared(&disk).journal), admitted.as_bytes());
}
