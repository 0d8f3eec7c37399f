use super::*;
use proptest::prelude::*;

const CHUNK: usize = 16 * 1024;

fn records(batches: &[Batch]) -> Vec<Vec<u8>> {
    batches.iter().flat_map(|b| b.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect()
}

fn feed(chunker: &mut Chunker, piece: &[u8], into: &mut Vec<Batch>) -> Result<(), RecordTooLong> {
    chunker.space().extend_from_slice(piece);
    while let Some(batch) = chunker.next()? {
        into.push(batch);
    }
    Ok(())
}

fn finish(chunker: &mut Chunker) -> Result<Option<Batch>, RecordTooLong> {
    chunker.finish().map_err(|error| match error {
        FinishError::TooLong(refused) => refused,
        FinishError::Torn(torn) => panic!("lines break off nowhere: {torn}"),
    })
}

fn chunked<'a>(
    mut chunker: Chunker,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Batch>, RecordTooLong> {
    let mut out = Vec::new();
    for piece in pieces {
        feed(&mut chunker, piece, &mut out)?;
    }
    out.extend(finish(&mut chunker)?);
    assert!(chunker.is_empty());
    Ok(out)
}

fn expected(input: &[u8], terminator: u8) -> Vec<Vec<u8>> {
    let mut want: Vec<Vec<u8>> = input.split_inclusive(|&b| b == terminator).map(<[u8]>::to_vec).collect();
    if let Some(last) = want.last_mut()
        && last.last() != Some(&terminator)
    {
        last.push(terminator);
    }
    want
}

#[test]
fn carriage_returns_binary_bytes_and_empty_records_are_kept() {
    let input = b"a\r\n\n\xff\x00\xfe\nend\r";
    let out = chunked(Chunker::new(&Framing::Lines, 100, CHUNK), [&input[..]]).unwrap();
    assert_eq!(records(&out), [&b"a\r\n"[..], b"\n", b"\xff\x00\xfe\n", b"end\r\n"]);
}

#[test]
fn nul_framing_keeps_newlines() {
    let out = chunked(Chunker::new(&Framing::Nul, 100, CHUNK), [&b"one\ntwo\0three\n"[..]]).unwrap();
    assert_eq!(records(&out), [&b"one\ntwo\0"[..], b"three\n\0"]);
}

#[test]
fn nothing_in_gives_nothing_out() {
    assert!(chunked(Chunker::new(&Framing::Lines, 100, CHUNK), [&b""[..], b""]).unwrap().is_empty());
}

#[test]
fn max_record_does_not_count_the_terminator() {
    let fits = chunked(Chunker::new(&Framing::Lines, 5, CHUNK), [&b"12345\n12345"[..]]).unwrap();
    assert_eq!(records(&fits), [b"12345\n", b"12345\n"]);
    let refused = chunked(Chunker::new(&Framing::Lines, 5, CHUNK), [&b"1\n2\n123456\n"[..]]).unwrap_err();
    assert_eq!(refused, RecordTooLong { limit: 5, record: 3, offset: 4 });
    assert!(refused.to_string().contains("raise `max_record`, up to 8 388 479, or check"), "{refused}");
    let limit = usize::try_from(MAX_RECORD_BYTES_OF_FRAME).unwrap();
    let longest = RecordTooLong { limit, ..refused }.to_string();
    assert!(
        longest.contains("`max_record` can be 8 388 479 at most: split"),
        "nothing is to be raised: {longest}"
    );
    assert!(RecordTooLong { limit: limit - 1, ..refused }.to_string().contains("raise `max_record`"));
}

#[test]
fn an_unending_record_is_refused_as_soon_as_it_is_too_long() {
    let mut chunker = Chunker::new(&Framing::Lines, 10_000, CHUNK);
    let mut fed = 0;
    let refused = loop {
        chunker.space().extend_from_slice(&[b'x'; 1000]);
        fed += 1000;
        if let Err(refused) = chunker.next() {
            break refused;
        }
    };
    assert_eq!((fed, refused.record, refused.offset), (11_000, 1, 0));
    assert_eq!(chunker.next(), Err(refused), "it stays refused");
    assert_eq!(chunker.discard_partial(), 11_000);
    assert_eq!(chunker.next(), Ok(None), "and is gone once discarded");
}

#[test]
fn a_record_larger_than_a_chunk_works_and_counts_its_position() {
    let mut input = vec![b'x'; 10 * CHUNK];
    input.push(b'\n');
    input.extend_from_slice(b"after\n");
    let out = chunked(Chunker::new(&Framing::Lines, 10 * CHUNK, CHUNK), input.chunks(777)).unwrap();
    assert_eq!(records(&out), expected(&input, b'\n'));
    let refused =
        chunked(Chunker::new(&Framing::Lines, 10 * CHUNK - 1, CHUNK), input.chunks(777)).unwrap_err();
    assert_eq!(refused.offset, 0);
}

#[test]
fn a_long_record_in_small_pieces_is_searched_once_and_seldom_moved() {
    const PIECES: usize = 2048;
    let mut chunker = Chunker::new(&Framing::Lines, 1 << 30, CHUNK);
    let mut capacities = std::collections::BTreeSet::new();
    for _ in 0..PIECES {
        chunker.space().extend_from_slice(&[b'x'; 4096]);
        assert_eq!(chunker.next(), Ok(None));
        // A terminator that was not there when the byte was searched: a second search would find it.
        let last = chunker.buffer.len() - 2;
        chunker.buffer[last] = b'\n';
        capacities.insert(chunker.buffer.capacity());
    }
    assert!(capacities.len() <= 12, "it grows by doubling: {capacities:?}");
    let whole = chunker.finish().unwrap().unwrap();
    assert_eq!((whole.len(), whole.bytes()), (1, PIECES * 4096 + 1));
}

#[test]
fn flush_gives_whole_records_at_once_and_keeps_the_rest() {
    let mut chunker = Chunker::new(&Framing::Lines, 100, CHUNK);
    chunker.space().extend_from_slice(b"one\ntw");
    assert_eq!(chunker.next(), Ok(None));
    assert_eq!(records(&[chunker.flush().unwrap().unwrap()]), [b"one\n"]);
    assert_eq!(chunker.flush(), Ok(None));
    assert!(chunker.has_partial());
    chunker.space().extend_from_slice(b"o\n");
    assert_eq!(records(&[chunker.flush().unwrap().unwrap()]), [b"two\n"]);
    assert_eq!((chunker.records(), chunker.bytes()), (2, 8));
}

#[test]
fn a_discarded_partial_record_leaves_no_trace() {
    let mut chunker = Chunker::new(&Framing::Lines, 100, CHUNK);
    chunker.space().extend_from_slice(b"whole\npart");
    assert_eq!(chunker.discard_partial(), 4);
    assert_eq!(chunker.discard_partial(), 0);
    assert_eq!(records(&[chunker.finish().unwrap().unwrap()]), [b"whole\n"]);
}

#[test]
fn a_small_batch_does_not_pin_a_large_buffer() {
    let mut chunker = Chunker::new(&Framing::Lines, 100, 256 * 1024);
    chunker.space().extend_from_slice(b"tiny\n");
    let buffer = chunker.buffer.as_ptr();
    let batch = chunker.flush().unwrap().unwrap();
    assert_ne!(batch.payload().as_ptr(), buffer, "copied out");
    assert_eq!(chunker.buffer.as_ptr(), buffer, "and the buffer is used on");
}

#[test]
fn a_full_batch_is_not_copied() {
    let mut chunker = Chunker::new(&Framing::Lines, 100, CHUNK);
    let line = [b'x'; 63];
    while chunker.buffer.len() < CHUNK - CHUNK / 4 {
        chunker.space().extend_from_slice(&line);
        chunker.space().push(b'\n');
    }
    let buffer = chunker.buffer.as_ptr();
    assert_eq!(chunker.next().unwrap().unwrap().payload().as_ptr(), buffer);
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    let record = prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => (1usize..20_000, any::<u8>()).prop_map(|(n, b)| vec![b; n]),
    ];
    (proptest::collection::vec(record, 0..80), any::<bool>()).prop_map(|(records, terminated)| {
        let mut all = records.join(&b'\n');
        if terminated {
            all.push(b'\n');
        }
        all
    })
}

proptest! {
    #[test]
    fn any_splitting_gives_the_same_records(
        input in input(),
        sizes in proptest::collection::vec(1usize..9000, 1..50),
        flush_every in 1usize..10,
        max_record in prop_oneof![Just(1 << 20), 10usize..5000],
    ) {
        let whole = chunked(Chunker::new(&Framing::Lines, max_record, 8192), [&input[..]]);
        let mut chunker = Chunker::new(&Framing::Lines, max_record, 4096);
        let mut out = Vec::new();
        let mut rest = &input[..];
        let mut result = Ok(());
        for (i, size) in sizes.iter().cycle().enumerate() {
            if rest.is_empty() || result.is_err() {
                break;
            }
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            rest = tail;
            result = feed(&mut chunker, piece, &mut out);
            if i % flush_every == 0 && result.is_ok() {
                result = chunker.flush().map(|b| out.extend(b));
            }
        }
        if result.is_ok() {
            result = finish(&mut chunker).map(|b| out.extend(b));
        }
        for batch in &out {
            prop_assert!(!batch.is_empty());
        }
        match whole {
            Ok(whole) => {
                prop_assert_eq!(result, Ok(()));
                prop_assert_eq!(records(&out), records(&whole));
                prop_assert_eq!(records(&whole), expected(&input, b'\n'));
            }
            Err(refused) => prop_assert_eq!(result, Err(refused)),
        }
    }
}
