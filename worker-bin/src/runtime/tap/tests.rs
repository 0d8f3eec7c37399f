//! Looks at passing records.

use super::*;
use crate::io::framing::Framing;
use std::num::NonZeroUsize;
use worker_core::event::Contents;
use worker_core::route::Edge;
use worker_proto::LinkId;

fn field(index: usize) -> PartitionBy {
    PartitionBy::Field { index: NonZeroUsize::new(index).unwrap(), delimiter: None }
}

fn edge(link: u32, by: Option<PartitionBy>) -> Edge {
    Edge { links: vec![LinkId(link)], by }
}

fn taps(role: Role, by: Option<PartitionBy>, edges: Vec<Edge>) -> Arc<Taps> {
    let name = "errors/0".to_owned();
    let (framing_in, framing_out, stage) = (Framing::Lines, Framing::Lines, "errors".to_owned());
    let (id, partition, partitions) = (TaskId(0), 0, 1);
    let task = LocalTask { id, name, stage, partition, partitions, by, edges, framing_in, framing_out, role };
    Taps::new(&[task])
}

/// Something with two inner sides whose role does not matter here.
fn middle(by: Option<PartitionBy>, edges: Vec<Edge>) -> Arc<Taps> {
    let taps = taps(sink(), by, edges);
    let mut taps = Arc::try_unwrap(taps).unwrap();
    taps.tasks.get_mut(&TaskId(0)).unwrap().end = None;
    Arc::new(taps)
}

fn sink() -> Role {
    Role::Sink(crate::pipeline::plan::SinkTask {
        target: crate::io::shared::Shared(Arc::new(crate::io::sink::stdout::StandardOutput)),
    })
}

fn ask(side: TapSide, key: Option<&str>) -> TapAsk {
    TapAsk { stage: "errors".to_owned(), side, key: key.map(str::to_owned) }
}

fn open(taps: &Arc<Taps>, side: TapSide, key: Option<&str>) -> mpsc::Receiver<Tapped> {
    taps.open(&ask(side, key), &tokio::runtime::Handle::current()).unwrap()
}

fn batch(text: &str) -> Batch {
    Batch::from_terminated(Bytes::copy_from_slice(text.as_bytes()), b'\n')
}

async fn texts(mut shown: mpsc::Receiver<Tapped>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(tapped) = shown.recv().await {
        texts.push(match tapped {
            Tapped::Record { record: Some(text), .. } => text,
            Tapped::Record { record_b64, .. } => format!("b64 {}", record_b64.unwrap()),
            Tapped::Skipped { records } => format!("{records} skipped"),
        });
    }
    texts
}

fn letter(record: &str) -> DeadLetter {
    DeadLetter {
        record: Bytes::copy_from_slice(record.as_bytes()),
        reason: String::new(),
        attempts: 0,
        stderr_tail: String::new(),
        batch_id: None,
        cause: None,
        origin: None,
        contents: Contents::Record,
        header: None,
    }
}

#[tokio::test]
async fn each_side_is_shown_to_who_asked_for_it_and_to_its_end() {
    let taps = middle(None, vec![edge(0, None)]);
    taps.taken(TaskId(0), &[batch("before\n")]);
    let (taken, given) = (open(&taps, TapSide::In, None), open(&taps, TapSide::Out, None));
    taps.taken(TaskId(0), &[batch("a\nb\n"), batch("c\n")]);
    taps.given(TaskId(0), &batch("A\n\n"), &[], &[]);
    taps.taken(TaskId(7), &[batch("of another\n")]);
    taps.close();
    taps.taken(TaskId(0), &[batch("after\n")]);
    assert_eq!(texts(taken).await, ["a", "b", "c"]);
    assert_eq!(texts(given).await, ["A", ""]);
    taps.drained(Duration::from_secs(5)).await;
    assert!(taps.open(&ask(TapSide::In, None), &tokio::runtime::Handle::current()).is_err());
}

#[tokio::test]
async fn bytes_that_are_no_text_are_shown_in_base64() {
    let taps = middle(None, Vec::new());
    let shown = open(&taps, TapSide::In, None);
    taps.taken(TaskId(0), &[Batch::from_terminated(Bytes::from_static(b"\xff\x00\n"), b'\n')]);
    taps.close();
    assert_eq!(texts(shown).await, ["b64 /wA="]);
}

#[tokio::test]
async fn a_key_is_read_as_the_stage_or_those_behind_it_do() {
    let taps = middle(Some(field(1)), vec![edge(0, Some(field(2))), edge(1, Some(PartitionBy::Given))]);
    let (taken, given) = (open(&taps, TapSide::In, Some("k")), open(&taps, TapSide::Out, Some("k")));
    taps.taken(TaskId(0), &[batch("k 1\nx k\nk 2\n")]);
    let keys = [None, None, Some(Bytes::from_static(b"k"))];
    taps.given(TaskId(0), &batch("k 1\nx k\nby its key\n"), &keys, &[letter("k 1\n"), letter("x k\n")]);
    taps.close();
    assert_eq!(texts(taken).await, ["k 1", "k 2"]);
    assert_eq!(texts(given).await, ["x k", "by its key"]);
}

#[tokio::test]
async fn a_key_that_nothing_is_routed_by_is_refused() {
    let refused = |taps: Arc<Taps>, side| {
        taps.open(&ask(side, Some("k")), &tokio::runtime::Handle::current()).unwrap_err()
    };
    let why = refused(middle(None, vec![edge(0, None)]), TapSide::In);
    assert!(why.starts_with("errors has no partition_by"), "{why}");
    let why = refused(middle(Some(field(1)), vec![edge(0, None)]), TapSide::Out);
    assert!(why.starts_with("no stage behind errors has partition_by"), "{why}");
    let why = refused(middle(Some(PartitionBy::Given), Vec::new()), TapSide::In);
    assert!(why.contains("not in its records"), "{why}");
}

#[tokio::test]
async fn what_a_sink_writes_is_what_it_takes() {
    let taps = taps(sink(), Some(field(1)), Vec::new());
    let shown = open(&taps, TapSide::Out, Some("k"));
    taps.taken(TaskId(0), &[batch("k\nl\n")]);
    taps.close();
    assert_eq!(texts(shown).await, ["k"]);
}

#[tokio::test]
async fn dead_letters_are_shown_only_where_they_go_on_another_way() {
    let one = middle(None, vec![edge(0, Some(field(2)))]);
    let shown = open(&one, TapSide::Out, None);
    one.given(TaskId(0), &batch("a 1\nb\nb\nc 1\n"), &[], &[letter("b\n"), letter("b\n")]);
    one.close();
    assert_eq!(texts(shown).await, ["a 1", "c 1"]);

    let two = middle(None, vec![edge(0, Some(field(2))), edge(1, Some(field(1)))]);
    let shown = open(&two, TapSide::Out, None);
    two.given(
        TaskId(0),
        &batch("b\n\nb\n"),
        &[],
        &[letter("b\n"), letter("\n"), letter("b\n"), letter("\n")],
    );
    two.close();
    assert_eq!(texts(shown).await, ["b", "b"]);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_little_and_nothing_up() {
    let taps = middle(None, Vec::new());
    let shown = open(&taps, TapSide::In, None);
    let large = batch(&"a record of some length\n".repeat(4096));
    for _ in 0..1000 {
        taps.taken(TaskId(0), std::slice::from_ref(&large));
    }
    let held = lock(&taps.open).taps[0].fill.bytes.load(Ordering::Relaxed);
    assert!(held <= QUEUE_BYTES, "{held}");
    taps.close();
    let (mut records, mut skipped) = (0, 0);
    let mut shown = shown;
    while let Some(tapped) = shown.recv().await {
        match tapped {
            Tapped::Record { .. } => records += 1,
            Tapped::Skipped { records } => skipped += records,
        }
    }
    assert!(skipped > 0 && records >= 4096);
    assert_eq!(records + skipped, 4_096_000);
}

#[tokio::test]
async fn a_record_larger_than_the_queue_is_shown() {
    let taps = middle(None, Vec::new());
    let shown = open(&taps, TapSide::In, None);
    let large = "x".repeat(usize::try_from(QUEUE_BYTES).unwrap() * 2);
    taps.taken(TaskId(0), &[batch(&format!("{large}\n")), batch("left out\n")]);
    taps.close();
    assert_eq!(texts(shown).await, [large.as_str(), "1 skipped"]);
}

#[tokio::test]
async fn output_is_shown_when_it_counts() {
    let taps = middle(None, vec![edge(0, None)]);
    let shown = open(&taps, TapSide::Out, None);
    let mut held = Held::default();
    held.keep(&batch("a\n"), &[]);
    held.keep(&batch(&"x".repeat(usize::try_from(QUEUE_BYTES).unwrap())), &[]);
    taps.given_at_once(TaskId(0), &mut held);
    taps.close();
    assert_eq!(texts(shown).await, ["a", "1 skipped"]);
}

#[tokio::test]
async fn readers_are_few_and_make_room_when_they_go() {
    let taps = middle(None, Vec::new());
    let mut all: Vec<_> = (0..TAPS_MAX).map(|_| open(&taps, TapSide::In, None)).collect();
    let one_more = taps.open(&ask(TapSide::In, None), &tokio::runtime::Handle::current());
    assert!(one_more.unwrap_err().contains("8 taps are open already"));
    assert!(taps.is_tapped());
    all.pop();
    while lock(&taps.open).taps.len() == TAPS_MAX {
        tokio::task::yield_now().await;
    }
    all.push(open(&taps, TapSide::In, None));
    all.clear();
    while taps.is_tapped() {
        tokio::task::yield_now().await;
    }
}
