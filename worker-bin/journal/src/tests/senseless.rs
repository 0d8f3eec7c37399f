//! Records that are whole by their checksums and say what cannot be.

use super::*;
use crate::format::RecordKind;
use crate::record::{
    Admitted, AttemptHead, BodyHead, CommitHead, CopiedHead, LifeHead, Location, OutputHead, Part, Payload,
    Span, StepHead,
};

fn head() -> CommitHead {
    CommitHead {
        id: 1,
        inputs: Vec::new(),
        outputs: Vec::new(),
        dead: 0,
        dead_bytes: None,
        ended: false,
        position_bytes: None,
        step: None,
        attempt: AttemptHead::default(),
        turn: None,
    }
}

fn span(ends_bytes: u64, payload_bytes: u64) -> Span {
    Span { base: 0, ends_bytes, payload_bytes, crc: 0 }
}

fn output(first: u64, body: BodyHead) -> CommitHead {
    CommitHead { outputs: vec![OutputHead { link: LinkId(1), first: Seq(first), body }], ..head() }
}

fn elsewhere(segment: u64, offset: u64) -> Location {
    Location { segment, offset, span: span(4, 2) }
}

/// What comes of a journal with such a record behind its first ones.
fn refusal(kind: RecordKind, payload: &Payload<'_>) -> String {
    let disk = MemStorage::new();
    let mut journal = open(&disk).journal;
    journal.active.append(kind, Position(0), payload).unwrap();
    drop(journal);
    assert!(
        !inspect(&disk, &mut |finding| {
            drop(finding.to_string());
            Ok(())
        })
        .unwrap(),
        "looking at it ends well"
    );
    match Journal::open(disk, &identity(), tiny(), NewestPosition::default()) {
        Err(JournalError::Damaged { damage: Damage::Senseless { what, .. }, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_that_makes_no_sense_is_refused() {
    let part = |skip, records, cost| {
        let admitted = vec![Admitted { at: elsewhere(1, 64), part: Some(Part { skip, records, cost }) }];
        CommitHead { step: Some(StepHead::Refer { window: 1, admitted }), ..head() }
    };
    let printed = StepHead::Printed { window: 1, records: u64::MAX, hash: 0 };
    for (head, expected) in [
        (output(1, BodyHead::Inline(span(u64::MAX - 3, 8))), "the length of a batch's ends"),
        (output(1, BodyHead::Inline(span(4, 1 << 60))), "the length of a batch is"),
        (output(1, BodyHead::Inline(span(5, 8))), "ends of 5 bytes"),
        (output(1, BodyHead::Inline(span(4, 1 << 20))), "its batches are longer than itself"),
        (output(1, BodyHead::Elsewhere(elsewhere(77, 64))), "that are not there"),
        (output(1, BodyHead::Elsewhere(elsewhere(1, 1 << 40))), "that are not there"),
        (output(1, BodyHead::Elsewhere(elsewhere(1, u64::MAX))), "a batch's offset"),
        (output(5, BodyHead::Elsewhere(elsewhere(1, 64))), "expected 1"),
        (output(u64::MAX, BodyHead::Elsewhere(elsewhere(1, 64))), "an output's position"),
        (CommitHead { id: 0, ..head() }, "commit 0 comes behind commit 0"),
        (CommitHead { position_bytes: Some(u64::MAX), ..head() }, "the length of a position"),
        (CommitHead { dead: u64::MAX, ..head() }, "the number of dead letters"),
        (CommitHead { step: Some(printed), ..head() }, "what was printed"),
        (part(2, 1, 0), "the beginning of a part"),
        (part(1, 1, 0), "the length of a part"),
        (part(0, 1, 7), "the cost of a part"),
    ] {
        let what = refusal(RecordKind::Commit, &Payload::default().with_head(&head));
        assert!(what.contains(expected), "{what:?} does not say {expected:?}");
    }
}

#[test]
fn a_life_a_note_and_a_copy_that_make_no_sense_are_refused() {
    let life = Payload::default().with_head(&LifeHead { epoch: Epoch(u64::MAX) });
    assert!(refusal(RecordKind::Life, &life).contains("an epoch"));
    let note = Payload::default().with_head(&AttemptHead { records: u64::MAX, ..AttemptHead::default() });
    assert!(refusal(RecordKind::Note, &note).contains("in flight"));
    let copy = CopiedHead { span: span(4, u64::MAX), output: Some((LinkId(1), Seq(1))) };
    assert!(
        refusal(RecordKind::Copied, &Payload::default().with_head(&copy)).contains("the length of a batch")
    );
}

#[test]
fn a_segment_of_a_position_that_none_can_have_is_refused() {
    let disk = MemStorage::new();
    drop(open(&disk));
    let mut files = disk.contents();
    let (name, bytes) = files.first_entry().map(|entry| (entry.key().clone(), entry.get().clone())).unwrap();
    let mut header = format::SegmentHeader::decode(&bytes, 1).unwrap();
    header.base = Position(u64::MAX);
    let bytes = [&header.encode()[..], &bytes[64..]].concat();
    files.insert(name, bytes);
    let error =
        Journal::open(MemStorage::with_contents(files), &identity(), tiny(), NewestPosition::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("makes no sense (position 18446744073709551615"), "{error}");
}
