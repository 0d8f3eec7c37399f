//! The recount finds what is wrong.

use super::*;
use crate::live::Use;

/// Two outputs that are not acknowledged, and a segment before the one that is appended to.
fn journal() -> MemJournal {
    let mut journal = open(&MemStorage::new()).journal;
    journal.append(&with_output(1, 1, 1, "a\nb\n"), None).unwrap();
    journal.append(&with_output(2, 1, 3, "c\n"), None).unwrap();
    journal.roll().unwrap();
    sync(&mut journal);
    assert_eq!(journal.check(), Ok(()));
    journal
}

fn held(journal: &mut MemJournal) -> &mut std::collections::VecDeque<crate::image::Held> {
    &mut journal.images.task_mut(Member(0)).unwrap().outputs.get_mut(&LinkId(1)).unwrap().held
}

fn wrong(spoil: impl FnOnce(&mut MemJournal)) -> String {
    let mut journal = journal();
    spoil(&mut journal);
    journal.check().unwrap_err()
}

#[test]
fn what_is_live_is_counted_again() {
    let first = |journal: &MemJournal| journal.images.tasks()[0].outputs[&LinkId(1)].held[0].at;
    let twice = wrong(|journal| {
        let at = first(journal);
        journal.images.live.add(&at, Use::Output);
    });
    assert!(twice.contains("is counted"), "{twice}");
    let forgotten = wrong(|journal| {
        let at = first(journal);
        journal.images.live.remove(&at, Use::Output);
    });
    assert!(forgotten.contains("is counted"), "{forgotten}");
}

#[test]
fn outputs_have_no_gaps_and_are_not_acknowledged() {
    let moved = wrong(|journal| held(journal)[1].first = Seq(4));
    assert!(moved.contains("expected tuple 3"), "{moved}");
    let kept = wrong(|journal| {
        journal.images.task_mut(Member(0)).unwrap().outputs.get_mut(&LinkId(1)).unwrap().through = Seq(2)
    });
    assert!(kept.contains("2 is acknowledged"), "{kept}");
    let dropped = wrong(|journal| {
        journal.images.task_mut(Member(0)).unwrap().outputs.get_mut(&LinkId(1)).unwrap().next = Seq(5)
    });
    assert!(dropped.contains("held up to 4, not to 5"), "{dropped}");
}

#[test]
fn what_is_needed_is_there() {
    let gone = wrong(|journal| {
        journal.sealed.clear();
    });
    assert!(gone.contains("is gone, but what is live needs it"), "{gone}");
    let removed = wrong(|journal| {
        journal.acknowledged(LinkId(1), Seq(3));
        journal.sealed.clear();
    });
    assert!(removed.contains("is gone, but a checkpoint needs it"), "{removed}");
}

#[test]
fn positions_are_in_order() {
    let ahead = wrong(|journal| journal.durable.0 += 1);
    assert!(ahead.contains("durable to"), "{ahead}");
}
