use super::*;
use crate::config::{BatchSpec, MaxDead, OnError, Retry};
use bytes::Bytes;
use worker_proto::Batch;

/// To batches of at most so much.
fn giving(links: u32, max_bytes: u64, max_records: u64) -> Giving {
    let second = Duration::from_secs(1);
    let spec = BatchSpec {
        max_bytes,
        max_records,
        linger: LINGER,
        retry: Retry { max_attempts: 1, initial: second, max: second },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Unlimited,
    };
    giving_to(links, &TaskKind::Batch(spec))
}

fn giving_to(links: u32, kind: &TaskKind) -> Giving {
    let mut giving = Giving::to(LinkId(7), TaskId(1), LinkOrder::Dealt, (0, 1), kind, 1 << 30);
    (8..7 + links).for_each(|link| giving.add(LinkId(link)));
    giving
}

/// What comes of a batch of so many records of 10 bytes: links and records, or `|` for a boundary.
fn dealt(giving: &mut Giving, at_ms: u64, records: usize) -> Vec<String> {
    dealt_to(giving, &[], 0, at_ms, records)
}

/// The same while the readers at the ends of some links are busy, and batches aim at a size.
fn dealt_to(giving: &mut Giving, busy: &[u32], batch_bytes: u64, at_ms: u64, records: usize) -> Vec<String> {
    let batch = Batch::from_terminated(Bytes::from("012345678\n".repeat(records)), b'\n');
    let mut dealt = Vec::new();
    let chunk = Chunk { link: LinkId(7), body: Body::Memory(batch) };
    let is_busy = |link: LinkId| busy.contains(&link.0);
    let readers = Readers { now: Time::from_micros(at_ms * 1000), batch_bytes, is_busy: &is_busy };
    giving.deal(&readers, chunk, &mut dealt);
    let shown = dealt.iter().map(|chunk| match chunk.body.boundaries() {
        0 => format!("{}: {}", chunk.link.0, chunk.body.records()),
        _ => format!("{}: |", chunk.link.0),
    });
    shown.collect()
}

#[test]
fn few_records_after_a_rest_go_to_all_and_what_comes_soon_follows_the_last() {
    let mut giving = giving(3, 1 << 20, u64::MAX);
    assert_eq!(dealt(&mut giving, 0, 7), ["7: 3", "7: |", "8: 3", "8: |", "9: 1"]);
    assert_eq!(dealt(&mut giving, 5, 2), ["9: 2"], "the chunk is open");
    assert_eq!(dealt(&mut giving, 21, 2), ["9: |", "7: 2"], "it is as old as the linger");
    assert_eq!(dealt(&mut giving, 60, 1), ["7: |", "8: 1"]);
    assert_eq!(giving.given(), 4);
}

#[test]
fn no_chunk_is_more_than_a_batch_may_be() {
    let mut giving = giving(2, 1 << 20, 2);
    assert_eq!(
        dealt(&mut giving, 0, 5),
        ["7: 2", "7: |", "8: 2", "8: |", "7: 1"],
        "two records are the largest batch"
    );
    assert_eq!(dealt(&mut giving, 1, 2), ["7: 1", "7: |", "8: 1"]);
}

#[test]
fn chunks_grow_with_what_was_dealt_up_to_the_largest_batch() {
    let mut giving = giving(2, 512 * 1024, u64::MAX);
    // 200 kB a batch, one after the other: 64 KiB are a chunk at first, then a sixteenth of all.
    let mut sizes = Vec::new();
    let mut open = 0;
    for at in 0..200 {
        for part in dealt(&mut giving, at / 50, 20_000) {
            if part.ends_with('|') {
                sizes.push(std::mem::take(&mut open));
            } else {
                open += 200_000;
            }
        }
    }
    assert_eq!(sizes[..4], [200_000; 4]);
    assert!(sizes.is_sorted(), "{sizes:?}");
    assert_eq!(
        sizes.last(),
        Some(&400_000),
        "the largest batch, of 14 bytes of cost a record, and what came with it"
    );
}

#[test]
fn a_chunk_goes_on_while_everybody_is_busy() {
    let mut giving = giving(3, 1 << 20, u64::MAX);
    let all = [7, 8, 9];
    assert_eq!(dealt_to(&mut giving, &all, 0, 0, 7), ["7: 7"], "who is busy gets no part of a few records");
    assert_eq!(dealt_to(&mut giving, &all, 0, 100, 7), ["7: 7"]);
    assert_eq!(dealt_to(&mut giving, &[7, 8], 0, 200, 7), ["7: |", "8: |", "9: 7"], "one is not any more");
    assert_eq!(dealt_to(&mut giving, &[9], 0, 201, 7), ["9: 7"], "it is young");
    let large = dealt_to(&mut giving, &all, 0, 300, 5000);
    assert_eq!(large, ["9: 5000", "9: |"], "it is large");
}

#[test]
fn a_chunk_is_as_large_as_batches_want_to_be() {
    let mut giving = giving(2, 1 << 20, u64::MAX);
    let all = [7, 8];
    let mut give = |at| dealt_to(&mut giving, &all, 200_000, at, 5000);
    assert_eq!([give(0), give(1)].concat(), ["7: 5000", "7: 5000"], "70 kB each, with the ends of records");
    assert_eq!([give(2), give(3)].concat(), ["7: 5000", "7: |", "8: 5000"]);
}

#[test]
fn where_no_program_is_started_for_a_chunk_time_alone_ends_it() {
    let mut giving = giving_to(2, &TaskKind::Sink);
    let all = [7, 8];
    assert_eq!(dealt_to(&mut giving, &all, 0, 0, 2), ["7: 1", "7: |", "8: 1"]);
    assert_eq!(dealt_to(&mut giving, &all, 0, 21, 2), ["8: |", "7: 1", "7: |", "8: 1"]);
}
