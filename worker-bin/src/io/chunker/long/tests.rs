use super::*;
use crate::io::framing::Framing;
use proptest::prelude::*;

const MAX: usize = 10;

/// A record that was given, or the length of one that was too long.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Record(Vec<u8>),
    Long { record: u64, offset: u64, length: u64, bytes: u64, head: Vec<u8>, rest: Vec<u8> },
}

fn note(piece: Piece, into: &mut Vec<Came>) {
    match piece {
        Piece::Records(batch) => into.extend(batch.iter().map(|record| Came::Record(record.to_vec()))),
        Piece::Long(long) => into.push(Came::Long {
            length: long.length(),
            record: long.record,
            offset: long.offset,
            bytes: long.bytes,
            head: long.head,
            rest: long.rest,
        }),
    }
}

/// How a chunker is asked after each piece.
#[derive(Clone, Copy, Debug)]
enum Asked {
    ForMuch,
    ForAll,
    /// Only at the end.
    Late,
}

/// What a chunker makes of input in these pieces.
fn came<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, asked: Asked) -> Vec<Came> {
    came_framed(&Framing::Lines, pieces, asked)
}

fn came_framed<'a>(framing: &Framing, pieces: impl IntoIterator<Item = &'a [u8]>, asked: Asked) -> Vec<Came> {
    let mut chunker = Chunker::new(framing, MAX, 0).passing_over_long(true);
    let mut out = Vec::new();
    for piece in pieces {
        chunker.space().extend_from_slice(piece);
        let mut ask = || match asked {
            Asked::ForMuch => chunker.next_piece().unwrap(),
            Asked::ForAll => chunker.flush_piece().unwrap(),
            Asked::Late => None,
        };
        while let Some(piece) = ask() {
            note(piece, &mut out);
        }
    }
    chunker.end_record().unwrap();
    while let Some(piece) = chunker.flush_piece().unwrap() {
        note(piece, &mut out);
    }
    assert!(chunker.is_empty());
    assert_eq!(chunker.records(), out.len() as u64);
    out
}

fn expected(input: &[u8]) -> Vec<Came> {
    let mut offset = 0;
    let mut out = Vec::new();
    for (record, line) in (1..).zip(input.split_inclusive(|&byte| byte == b'\n')) {
        let bytes = line.len() as u64;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.push(if text.len() <= MAX {
            Came::Record([text, b"\n"].concat())
        } else {
            let (head, rest) = (text[..MAX].to_vec(), text[MAX..].to_vec());
            // The last one is ended by the chunker where it was found to be too long only then.
            Came::Long { record, offset, length: text.len() as u64, bytes, head, rest }
        });
        offset += bytes;
    }
    out
}

/// A newline before a cut may be the record's end, or stand between two of its lines.
#[test]
fn the_end_of_a_long_record_of_several_lines_is_none_of_its_content_wherever_it_is_cut() {
    let framing = "start=^>".parse().unwrap();
    let (first, second) = (b">1\n 2\n 3\n 45\n", b">6\n 7\n 8\n 90");
    let whole = came_framed(&framing, [&[&first[..], second].concat()[..]], Asked::ForAll);
    let long = |record: u64, offset: u64, bytes: u64, head: &[u8], rest: &[u8]| {
        let (head, rest) = (head.to_vec(), rest.to_vec());
        Came::Long { record, offset, length: bytes - 1, bytes, head, rest }
    };
    assert_eq!(whole, [long(1, 0, 13, &first[..10], b"45"), long(2, 13, 13, &second[..10], b"90")]);
    let input = [&first[..], second].concat();
    for cut_at in 1..input.len() {
        let (front, rest) = input.split_at(cut_at);
        assert_eq!(came_framed(&framing, [front, rest], Asked::ForAll), whole, "cut at {cut_at}");
    }
    assert_eq!(came_framed(&framing, input.chunks(1), Asked::ForMuch), whole, "byte by byte");
}

#[test]
fn a_long_record_stands_in_its_place_with_its_length() {
    let input = b"one\n12345678901\n1234567890\nthis is far too long\n\nend";
    assert_eq!(came([&input[..]], Asked::ForMuch), expected(input));
}

#[test]
fn a_long_record_of_any_length_is_held_in_little_memory() {
    let mut chunker = Chunker::new(&Framing::Lines, MAX, 0).passing_over_long(true);
    for _ in 0..1000 {
        chunker.space().extend_from_slice(&[b'x'; 1000]);
        assert_eq!(chunker.next_piece(), Ok(None));
        assert!(chunker.has_partial() && !chunker.has_records());
    }
    assert!(chunker.space().capacity() < 100_000);
    chunker.space().extend_from_slice(b"\nnext\n");
    let Some(Piece::Long(long)) = chunker.next_piece().unwrap() else { panic!("it was taken for a record") };
    assert_eq!((long.length(), long.bytes), (1_000_000, 1_000_001));
    assert_eq!((long.head.len(), long.rest.len()), (MAX, REST_BYTES_MAX));
    assert_eq!(chunker.bytes(), 1_000_006);
}

#[test]
fn half_a_long_record_can_be_forgotten() {
    let mut chunker = Chunker::new(&Framing::Lines, MAX, 0).passing_over_long(true);
    chunker.space().extend_from_slice(&[b'x'; 50]);
    assert_eq!(chunker.next_piece(), Ok(None));
    chunker.space().extend_from_slice(&[b'x'; 50]);
    assert_eq!(chunker.discard_partial(), 100);
    assert!(chunker.is_empty() && !chunker.has_partial() && chunker.bytes() == 0);
}

#[test]
fn without_leave_it_is_refused() {
    let mut chunker = Chunker::new(&Framing::Lines, MAX, 0);
    chunker.space().extend_from_slice(b"12345678901\n");
    assert!(chunker.next_piece().is_err() && chunker.flush_piece().is_err());
}

/// Records around the limit, far beyond it, and none.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![0..=3_usize, 8..=13_usize, 3000..=9000_usize];
    (prop::collection::vec(line, 0..12), any::<bool>()).prop_map(|(lines, is_ended)| {
        let mut input = Vec::new();
        for (index, length) in lines.iter().enumerate() {
            input.extend(std::iter::repeat_n(b'a' + u8::try_from(index % 26).unwrap_or(0), *length));
            if is_ended || index + 1 < lines.len() {
                input.push(b'\n');
            }
        }
        input
    })
}

proptest! {
    #[test]
    fn pieces_do_not_depend_on_where_reads_end(
        input in inputs(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        asked in prop_oneof![Just(Asked::ForMuch), Just(Asked::ForAll), Just(Asked::Late)],
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &input[ends[0]..ends[1]]);
        let mut got = came(pieces, asked);
        let mut want = expected(&input);
        // An end that the last one was given may be counted as its terminator, or not be there.
        for last in [got.last_mut(), want.last_mut()].into_iter().flatten() {
            if let Came::Long { bytes, .. } = last {
                *bytes = 0;
            }
        }
        prop_assert_eq!(got, want);
    }
}
