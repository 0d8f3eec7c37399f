//! What is measured.

use crate::world::{Plan, World};
use bytes::{Buf as _, BufMut as _, Bytes};
use std::num::NonZeroUsize;
use std::time::Duration;
use worker_core::config::{BatchSpec, MaxDead, OnError, RecordsSpec, Retry, StreamSpec, TaskKind};
use worker_core::event::Output;
use worker_core::route::{Edge, PartitionBy, Router};
use worker_proto::frame::BatchFrame;
use worker_proto::{Batch, Epoch, Frame, LinkId, RecvBuffer, SendBuffer, Seq};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Handles so many tuples.
    run: fn(u64),
    /// Of the shorter run that is counted; the longer one has twice as many.
    pub(crate) tuples: u64,
}

pub(crate) const CASES: [Case; 12] = [
    Case { name: "link-of-large-chunks", run: |tuples| link(1, 1000, tuples), tuples: 2_000_000 },
    Case { name: "link-of-single-tuples", run: |tuples| link(1, 1, tuples), tuples: 5_000 },
    Case { name: "links-in-thousands", run: |tuples| link(1000, 10, tuples), tuples: 10_000 },
    Case { name: "link-with-journal", run: journaled, tuples: 50_000 },
    Case { name: "batch-stage", run: |tuples| stage(batch(), tuples), tuples: 100_000 },
    Case { name: "stream-stage", run: |tuples| stage(stream(), tuples), tuples: 100_000 },
    Case { name: "records-stage", run: |tuples| stage(records(), tuples), tuples: 100_000 },
    Case { name: "route-by-key", run: route, tuples: 20_000 },
    Case { name: "encode-large-batches", run: |tuples| encode(1000, tuples), tuples: 1_000_000 },
    Case { name: "encode-single-tuples", run: |tuples| encode(1, tuples), tuples: 10_000 },
    Case { name: "decode-large-batches", run: |tuples| decode(1000, tuples), tuples: 200_000 },
    Case { name: "decode-single-tuples", run: |tuples| decode(1, tuples), tuples: 10_000 },
];

/// Whether there is such a case, with such numbers.
pub(crate) fn run(name: &str, numbers: &[u64]) -> bool {
    let case = CASES.iter().find(|case| case.name == name);
    match (case, name, numbers) {
        (Some(case), _, &[tuples]) => (case.run)(tuples),
        (None, "link", &[links, tuples]) => link(links, 10, tuples),
        (None, "link", &[links, tuples, unacknowledged]) => {
            World::new(Plan::links(links, chunk(10)).unacknowledged(unacknowledged), tuples).run();
        }
        _ => return false,
    }
    true
}

/// So many records of 100 bytes; field 1 is a key of a thousand.
fn chunk(records: u64) -> Batch {
    let record = |n: u64| format!("key{:03} {:91}\n", n % 1000, n);
    Batch::from_terminated(Bytes::from((0..records).map(record).collect::<String>()), b'\n')
}

fn link(links: u64, chunk_records: u64, tuples: u64) {
    World::new(Plan::links(links, chunk(chunk_records)), tuples).run();
}

fn journaled(tuples: u64) {
    World::new(Plan::links(1, chunk(100)).journaled(), tuples).run();
}

fn stage(kind: TaskKind, tuples: u64) {
    World::new(Plan::stage(kind, chunk(100)), tuples).run();
}

const RETRY: Retry =
    Retry { max_attempts: 5, initial: Duration::from_millis(100), max: Duration::from_secs(30) };

fn batch() -> TaskKind {
    TaskKind::Batch(BatchSpec {
        max_bytes: 8 << 20,
        max_records: u64::MAX,
        linger: Duration::ZERO,
        retry: RETRY,
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Share(0.01),
    })
}

fn stream() -> TaskKind {
    TaskKind::Stream(StreamSpec {
        window: None,
        early_exit_is_done: false,
        replay_bytes: 8 << 30,
        restart: None,
    })
}

fn records() -> TaskKind {
    TaskKind::Records(RecordsSpec {
        in_flight: 1024,
        in_flight_bytes: 1 << 20,
        tick: None,
        retry: RETRY,
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Share(0.01),
    })
}

fn route(tuples: u64) {
    let by = PartitionBy::Field { index: NonZeroUsize::MIN, delimiter: None };
    let mut router = Router::new(vec![Edge { links: (0..8).map(LinkId).collect(), by: Some(by) }], b'\n');
    let chunk = chunk(1000);
    for _ in 0..tuples / 1000 {
        let mut output = Output::default();
        router.route(chunk.clone(), &mut output);
        assert_eq!(output.records, 1000);
    }
}

fn frame(records: u64) -> Frame {
    Frame::Batch(BatchFrame { link: LinkId(0), epoch: Epoch(1), first_seq: Seq(1), batch: chunk(records) })
}

fn encode(records: u64, tuples: u64) {
    let frame = frame(records);
    let mut buffer = SendBuffer::new();
    for _ in 0..tuples / records {
        buffer.push(&frame).expect("a frame that may be sent");
        buffer.advance(buffer.remaining());
    }
}

fn decode(records: u64, tuples: u64) {
    let mut encoded = SendBuffer::new();
    encoded.push(&frame(records)).expect("a frame that may be sent");
    let encoded = encoded.copy_to_bytes(encoded.remaining());
    let mut buffer = RecvBuffer::new();
    buffer.handshake_done();
    for _ in 0..tuples / records {
        let mut left = &encoded[..];
        while !left.is_empty() {
            let mut space = buffer.space();
            let count = left.len().min(space.remaining_mut());
            space.put_slice(&left[..count]);
            left.advance(count);
            let frame = buffer.next_frame().expect("it is well formed");
            assert_eq!(frame.is_some(), left.is_empty(), "a frame is there when all of it is");
        }
    }
}
