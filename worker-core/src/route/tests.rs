use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

fn lines(text: impl Into<Bytes>) -> Batch {
    Batch::from_terminated(text.into(), b'\n')
}

fn links(range: std::ops::Range<u32>) -> Vec<LinkId> {
    range.map(LinkId).collect()
}

fn field(index: usize) -> Option<PartitionBy> {
    Some(PartitionBy::Field { index: NonZeroUsize::new(index).unwrap(), delimiter: None })
}

fn routed(router: &mut Router, text: impl Into<Bytes>) -> Output {
    let mut out = Output::default();
    router.route(lines(text), &mut out);
    out
}

fn by_link(out: &Output) -> BTreeMap<u32, Vec<String>> {
    let mut records: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for chunk in &out.chunks {
        let texts = memory(chunk).iter().map(|r| String::from_utf8_lossy(r).into_owned());
        records.entry(chunk.link.0).or_default().extend(texts);
    }
    records
}

fn memory(chunk: &Chunk) -> &Batch {
    match &chunk.body {
        Body::Memory(batch) => batch,
        Body::Stored { .. } => panic!("a router stores nothing"),
    }
}

fn shares_memory(a: &Batch, b: &Batch) -> bool {
    let range = b.payload().as_ptr_range();
    range.contains(&a.payload().as_ptr())
}

#[test]
fn one_keyless_link_gets_the_batch_itself() {
    let mut router = Router::new(vec![Edge { links: links(0..1), by: None }], b'\n');
    let batch = lines("a\nb\n");
    let mut out = Output::default();
    router.route(batch.clone(), &mut out);
    assert!(shares_memory(memory(&out.chunks[0]), &batch));
    assert_eq!(out.records, 2);
}

#[test]
fn every_edge_gets_every_record() {
    let edges = vec![Edge { links: links(0..1), by: None }, Edge { links: links(1..2), by: None }];
    let out = routed(&mut Router::new(edges, b'\n'), "a\nb\n");
    assert_eq!(by_link(&out)[&0], by_link(&out)[&1]);
    assert_eq!(out.records, 2);
}

#[test]
fn nothing_in_nothing_out() {
    let mut router = Router::new(vec![Edge { links: links(0..3), by: None }], b'\n');
    let out = routed(&mut router, "");
    assert!(out.chunks.is_empty() && out.records == 0);
}

#[test]
fn small_keyless_batches_are_dealt_in_equal_contiguous_copies() {
    let mut router = Router::new(vec![Edge { links: links(0..3), by: None }], b'\n');
    let batch = lines("a\nb\nc\nd\n");
    let mut out = Output::default();
    router.route(batch.clone(), &mut out);
    assert!(out.chunks.iter().all(|chunk| !shares_memory(memory(chunk), &batch)));
    router.route(lines("e\nf\n"), &mut out);
    let want = [(0, vec!["a\n", "b\n"]), (1, vec!["c\n", "e\n"]), (2, vec!["d\n", "f\n"])];
    let want = want.map(|(link, records)| (link, records.into_iter().map(str::to_owned).collect()));
    assert_eq!(by_link(&out), BTreeMap::from(want));
}

#[test]
fn large_keyless_batches_go_whole_in_turn() {
    let mut router = Router::new(vec![Edge { links: links(0..2), by: None }], b'\n');
    let batch = lines("0123456\n".repeat(WHOLE_BYTES_MIN / 8));
    let mut out = Output::default();
    for _ in 0..3 {
        router.route(batch.clone(), &mut out);
    }
    assert_eq!(out.chunks.iter().map(|c| c.link.0).collect::<Vec<_>>(), [0, 1, 0]);
    assert!(out.chunks.iter().all(|chunk| shares_memory(memory(chunk), &batch)));
}

#[test]
fn a_record_without_the_key_is_a_dead_letter_that_names_it() {
    let mut router = Router::new(vec![Edge { links: links(0..4), by: field(7) }], b'\n');
    let out = routed(&mut router, "1 2 3\n1 2 3 4 5 6 k\n");
    assert_eq!(out.dead.len(), 1);
    assert_eq!(out.dead[0].record, "1 2 3\n");
    assert_eq!(out.dead[0].reason, "no field 7: the record has 3");
    assert_eq!(out.dead[0].attempts, 0);
    assert_eq!(by_link(&out).values().flatten().count(), 1);
    assert_eq!(out.records, 2);
}

#[test]
fn one_partition_does_not_hide_a_missing_key() {
    let out = routed(&mut Router::new(vec![Edge { links: links(0..1), by: field(2) }], b'\n'), "a\nb c\n");
    assert_eq!((out.dead.len(), by_link(&out)[&0].len()), (1, 1));
}

#[test]
fn a_record_is_dead_only_for_the_edge_whose_key_it_lacks() {
    let edges = vec![Edge { links: links(0..2), by: field(1) }, Edge { links: links(2..4), by: field(2) }];
    let out = routed(&mut Router::new(edges.clone(), b'\n'), "only\n");
    let reason = "no field 2: the record has 1 (needed by receiver 2 of 2; the others have the record)";
    assert_eq!((out.dead.len(), out.dead[0].reason.as_str()), (1, reason));
    let mut named = Router::new(edges, b'\n').named(|link| format!("stage{}", link.0));
    let reason = "no field 2: the record has 1 (needed by stage2; the others have the record)";
    assert_eq!(routed(&mut named, "only\n").dead[0].reason, reason);
    assert_eq!(by_link(&out).values().flatten().collect::<Vec<_>>(), ["only\n"]);
}

#[test]
fn one_key_for_all_records_copies_nothing() {
    let mut router = Router::new(vec![Edge { links: links(0..8), by: field(1) }], b'\n');
    let batch = lines("k 1\nk 2\n");
    let mut out = Output::default();
    router.route(batch.clone(), &mut out);
    assert_eq!(out.chunks.len(), 1);
    assert!(shares_memory(memory(&out.chunks[0]), &batch));
}

#[test]
fn the_terminator_is_no_part_of_the_key() {
    let mut router = Router::new(vec![Edge { links: links(0..64), by: Some(PartitionBy::Record) }], b'\n');
    let out = routed(&mut router, "same\nother\nsame");
    let of_same =
        |text: &str| by_link(&out).into_iter().find(|(_, r)| r.iter().any(|r| r == text)).unwrap().0;
    assert_eq!(of_same("same\n"), of_same("same"));
}

#[test]
fn a_key_beside_the_record_decides_and_one_that_is_missing_is_a_dead_letter() {
    let given = Edge { links: links(0..4), by: Some(PartitionBy::Given) };
    let by_record = Edge { links: links(4..8), by: Some(PartitionBy::Record) };
    let mut router = Router::new(vec![given, by_record], b'\n');
    let keys = [Some(Bytes::from_static(b"k")), None, Some(Bytes::from_static(b"k"))];
    let mut out = Output::default();
    router.route_given(lines("a\nb\nc\nd\n"), &keys, &mut out);
    let sent = by_link(&out);
    let expected = u32::try_from(partition_of(key_group(b"k"), 4)).unwrap();
    assert_eq!(sent[&expected], ["a\n", "c\n"]);
    assert_eq!(sent.range(4..).map(|(_, records)| records.len()).sum::<usize>(), 4, "others read the record");
    let dead: Vec<&[u8]> = out.dead.iter().map(|letter| &letter.record[..]).collect();
    assert_eq!(dead, [b"b\n", b"d\n"]);
    assert!(out.dead[0].reason.starts_with("no key was given with this record"), "{}", out.dead[0].reason);
}

#[test]
fn another_terminator_leaves_newlines_in_the_record() {
    let mut router = Router::new(vec![Edge { links: links(0..1), by: field(2) }], 0);
    let mut out = Output::default();
    router.route(Batch::from_terminated("a b\nc\0d\0".into(), 0), &mut out);
    assert_eq!(by_link(&out)[&0], ["a b\nc\0"]);
    assert_eq!(out.dead.len(), 1);
}

#[test]
fn in_records_of_several_lines_a_newline_lies_between_fields() {
    let mut router = Router::new(vec![Edge { links: links(0..64), by: field(1) }], Envelope::Lines);
    let mut out = Output::default();
    for record in [">seq1 human\nACGT\n", ">seq1\nTTTT\n"] {
        router.route(Batch::of_one(record.into()), &mut out);
    }
    assert_eq!(by_link(&out).len(), 1, "one key");
}

fn any_edge() -> impl Strategy<Value = (usize, Option<PartitionBy>)> {
    let one = NonZeroUsize::MIN;
    let by = prop_oneof![
        Just(None),
        Just(Some(PartitionBy::Record)),
        (1usize..4).prop_map(field),
        Just(Some(PartitionBy::Field { index: one.saturating_add(1), delimiter: Some(b",".to_vec()) })),
        Just(Some(PartitionBy::Csv { column: one.saturating_add(1) })),
        Just(Some(PartitionBy::Json { pointer: String::new() })),
    ];
    (1usize..6, by)
}

proptest! {
    #[test]
    fn every_record_goes_once_over_every_edge_in_order(
        shapes in prop::collection::vec(any_edge(), 1..4),
        batches in prop::collection::vec(prop::collection::vec("[ab ,\"1]{0,8}", 0..20), 1..4),
    ) {
        let mut next = 0;
        let edges: Vec<Edge> = shapes
            .into_iter()
            .map(|(count, by)| {
                let first = next;
                next += u32::try_from(count).unwrap();
                Edge { links: links(first..next), by }
            })
            .collect();
        let mut router = Router::new(edges.clone(), b'\n');
        let mut out = Output::default();
        let mut sent = Vec::new();
        for texts in &batches {
            let mut payload = String::new();
            for text in texts {
                payload.push_str(&format!("{text}\n"));
                sent.push(format!("{text}\n"));
            }
            router.route(lines(payload), &mut out);
        }
        prop_assert_eq!(out.records, sent.len() as u64);
        let by_link = by_link(&out);
        let mut copies = out.dead.len();
        for edge in &edges {
            let mut routed: Vec<&String> = edge.links.iter().flat_map(|l| by_link.get(&l.0)).flatten().collect();
            copies += routed.len();
            prop_assert!(edge.by.is_some() || routed.len() == sent.len());
            for link in &edge.links {
                prop_assert!(is_subsequence(by_link.get(&link.0).map_or(&[], Vec::as_slice), &sent));
            }
            if edge.by.is_some() {
                let homes = edge.links.iter().flat_map(|l| by_link.get(&l.0).map(|r| (l.0, r)));
                let mut home_of: BTreeMap<&String, u32> = BTreeMap::new();
                for (link, record) in homes.flat_map(|(l, r)| r.iter().map(move |r| (l, r))) {
                    prop_assert_eq!(*home_of.entry(record).or_insert(link), link);
                }
            } else {
                let sizes = edge.links.iter().map(|l| by_link.get(&l.0).map_or(0, Vec::len));
                let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
                prop_assert!(most - least <= 1);
            }
            routed.sort();
            let mut all: Vec<&String> = sent.iter().collect();
            all.sort();
            prop_assert!(is_subsequence(&routed, &all));
        }
        prop_assert_eq!(copies, sent.len() * edges.len());
    }
}

fn is_subsequence<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|item| rest.any(|other| other == item))
}
