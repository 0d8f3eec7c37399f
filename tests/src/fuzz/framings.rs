//! Records out of bytes: cut anywhere they are the same, together they are the input, and each of them is one by itself.

use super::{Input, is_fit_to_print};
use worker_bin::io::chunker::{Chunker, FinishError, LeftOut, LongRecord, Piece};
use worker_bin::io::framing::Framing;

/// Of those whose records differ in kind; a byte beyond them takes one from the input.
const SPECS: [&str; 17] = [
    "lines",
    "nul",
    "csv",
    "json",
    "start=^>",
    "start=x",
    "end=;$",
    "lines=1",
    "lines=3",
    "length=1",
    "length=7",
    "prefix=u16be",
    "prefix=u16le",
    "prefix=u32be",
    "prefix=u32le",
    "prefix=u64le",
    "prefix=varint",
];

const MAX_RECORDS: [usize; 5] = [1, 2, 7, 30, 1 << 20];

/// What comes of an input, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Record(Vec<u8>),
    Long(LongRecord),
    Left(LeftOut),
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(framing) = framing(&mut input) else { return };
    let max_record = MAX_RECORDS[input.index(MAX_RECORDS.len())];
    let from = input.byte();
    let cuts: Vec<usize> = (0..input.below(8)).map(|_| usize::from(input.byte())).collect();
    let bytes = input.rest();
    let pieces = pieces(bytes, &cuts);
    let whole = split(&framing, max_record, &[bytes]);
    assert_eq!(split(&framing, max_record, &pieces), whole, "{framing} cut at {cuts:?}");
    give_the_input_back(&framing, &whole, bytes);
    each_is_one(&framing, &whole);
    can_be_gone_on_from(&framing, max_record, &whole, (bytes, from));
    refuses_at_the_same_place(&framing, max_record, &whole, (bytes, &pieces));
}

fn framing(input: &mut Input<'_>) -> Option<Framing> {
    if let Some(spec) = SPECS.get(usize::from(input.byte())) {
        return Some(spec.parse().expect("these are framings"));
    }
    let spec = std::str::from_utf8(input.some()).ok()?;
    match spec.parse::<Framing>() {
        Ok(framing) => {
            assert_eq!(framing.to_string().parse().as_ref(), Ok(&framing), "it is printed as it is read");
            Some(framing)
        }
        Err(_) => None,
    }
}

/// The input in pieces of these sizes, again and again; without any byte by byte.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut all) = (bytes, Vec::new());
    for &cut in if cuts.is_empty() { &[1] } else { cuts }.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, left) = rest.split_at(cut.clamp(1, rest.len()));
        all.push(piece);
        rest = left;
    }
    all
}

/// All that comes of these pieces where records that are too long are passed over.
fn split(framing: &Framing, max_record: usize, pieces: &[&[u8]]) -> Vec<Item> {
    let mut chunker = Chunker::new(framing, max_record, 0).passing_over_long(true);
    let (mut all, mut ended) = (Vec::new(), None);
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut take = |chunker: &mut Chunker| {
        while let Some(piece) = chunker.flush_piece().expect("nothing is too long") {
            match piece {
                Piece::Records(batch) => all.extend(batch.iter().map(|record| Item::Record(record.to_vec()))),
                Piece::Long(long) => all.push(Item::Long(long)),
            }
            assert!(all.len() <= bytes + 1, "more records than bytes");
        }
    };
    for piece in pieces {
        chunker.space().extend_from_slice(piece);
        take(&mut chunker);
    }
    let mut calls = 0;
    while calls == 0 || !chunker.is_empty() {
        ended = chunker.end_record().expect("nothing is too long").left_out.or(ended);
        take(&mut chunker);
        calls += 1;
        assert!(calls <= bytes + 2, "the end is never reached");
    }
    all.extend(ended.map(Item::Left));
    all
}

/// Records put one behind another are the input, and an end that it lacked.
fn give_the_input_back(framing: &Framing, items: &[Item], bytes: &[u8]) {
    let mut rest = bytes;
    for (at, item) in items.iter().enumerate() {
        let is_last = items[at + 1..].iter().all(|item| matches!(item, Item::Left(_)));
        let length = match item {
            Item::Record(record) if rest.starts_with(record) => record.len(),
            Item::Record(record) => {
                let given = framing.terminator().into_iter().collect::<Vec<u8>>();
                assert!(
                    is_last && *record == [rest, &given].concat(),
                    "{framing}: {record:?} is not of the input"
                );
                rest.len()
            }
            Item::Long(long) => {
                assert_eq!(long.offset, (bytes.len() - rest.len()) as u64, "where it begins");
                let length = usize::try_from(long.bytes - u64::from(long.lacks_end)).expect("short");
                let kept = [&long.head[..], &long.rest].concat();
                assert!(rest[..length].starts_with(&kept[..kept.len().min(length)]), "{framing}: {long:?}");
                length
            }
            Item::Left(LeftOut::Blanks(count)) => usize::try_from(*count).expect("few"),
            Item::Left(LeftOut::Torn(torn)) => {
                assert_eq!(torn.offset, (bytes.len() - rest.len()) as u64, "where it begins");
                assert!(rest.starts_with(&torn.bytes), "{framing}: {torn:?}");
                is_fit_to_print(&torn.to_string());
                torn.bytes.len()
            }
        };
        rest = &rest[length..];
    }
    assert!(rest.is_empty(), "{framing}: {} bytes of {} are in no record", rest.len(), bytes.len());
}

/// A record is one wherever it comes from, and what a program would have to emit to give it.
fn each_is_one(framing: &Framing, items: &[Item]) {
    for item in items {
        let Item::Record(record) = item else { continue };
        assert_eq!(framing.check(record), Ok(()), "{framing}: {record:?}");
        let content = framing.envelope().content(record);
        let wrapped = framing.wrapped(content);
        // Numbers of seven bits a byte may be longer than they need to be, and a last record may lack its newline.
        if wrapped.len() == record.len() {
            assert_eq!(&wrapped, record, "{framing}");
        }
    }
}

/// What comes behind a record is the same for who begins there.
fn can_be_gone_on_from(framing: &Framing, max_record: usize, items: &[Item], (bytes, from): (&[u8], u8)) {
    let records = items.iter().take_while(|item| matches!(item, Item::Record(_))).count();
    let Some(at) = usize::from(from).checked_rem(records) else { return };
    let before: usize =
        items[..at].iter().map(|item| if let Item::Record(r) = item { r.len() } else { 0 }).sum();
    let again = split(framing, max_record, &[&bytes[before..]]);
    let shapes = |items: &[Item]| items.iter().map(shape).collect::<Vec<_>>();
    assert_eq!(shapes(&again), shapes(&items[at..]), "{framing} from byte {before}");
}

/// An item without its place.
fn shape(item: &Item) -> (&'static str, u64, Vec<u8>) {
    match item {
        Item::Record(record) => ("record", record.len() as u64, record.clone()),
        Item::Long(long) => ("long", long.bytes, [&long.head[..], &long.rest].concat()),
        Item::Left(LeftOut::Blanks(count)) => ("blanks", *count, Vec::new()),
        Item::Left(LeftOut::Torn(torn)) => ("torn", torn.bytes.len() as u64, torn.bytes.clone()),
    }
}

/// Where a record that is too long ends the run, the same record does, however the input comes.
fn refuses_at_the_same_place(
    framing: &Framing,
    max_record: usize,
    items: &[Item],
    (bytes, pieces): (&[u8], &[&[u8]]),
) {
    let (mut whole, why) = strictly(framing, max_record, &[bytes]);
    let (cut, cut_why) = strictly(framing, max_record, pieces);
    assert_eq!(cut_why, why, "{framing}");
    is_fit_to_print(&why.as_ref().map(FinishError::to_string).unwrap_or_default());
    // What came before it need not have been given yet.
    whole.truncate(cut.len());
    let cut_front = &cut[..whole.len()];
    assert_eq!(cut_front, whole, "{framing}");
    let first = items.iter().find_map(|item| match item {
        Item::Long(long) => Some((long.record, long.offset)),
        Item::Left(LeftOut::Torn(torn)) => Some((torn.record, torn.offset)),
        Item::Left(LeftOut::Blanks(_)) | Item::Record(_) => None,
    });
    let refused = why.map(|why| match why {
        FinishError::TooLong(long) => (long.record, long.offset),
        FinishError::Torn(torn) => (torn.record, torn.offset),
    });
    assert_eq!(refused, first, "{framing}: what is passed over is what is refused");
}

/// All records that come before what is refused, and that.
fn strictly(framing: &Framing, max_record: usize, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<FinishError>) {
    let mut chunker = Chunker::new(framing, max_record, 0);
    let mut records = Vec::new();
    for piece in pieces {
        chunker.space().extend_from_slice(piece);
        match chunker.next() {
            Ok(batch) => records.extend(batch.iter().flat_map(|batch| batch.iter()).map(<[u8]>::to_vec)),
            Err(why) => return (records, Some(why.into())),
        }
    }
    match chunker.finish() {
        Ok(batch) => records.extend(batch.iter().flat_map(|batch| batch.iter()).map(<[u8]>::to_vec)),
        Err(why) => return (records, Some(why)),
    }
    (records, None)
}
