use super::*;
use crate::io::chunker::{LeftOut, Piece};
use proptest::prelude::*;
use proptest::sample::select;

fn framing(spec: &str) -> Framing {
    spec.parse().unwrap()
}

/// What comes of an input in these pieces: records, too long ones by their length, and at the end what is left out.
fn split(framing: &Framing, max_record: usize, pieces: &[&[u8]]) -> Vec<String> {
    let mut chunker = Chunker::new(framing, max_record, 0).passing_over_long(true);
    let (mut all, mut ended) = (Vec::new(), None);
    let mut take = |chunker: &mut Chunker| {
        while let Some(piece) = chunker.flush_piece().unwrap() {
            match piece {
                Piece::Records(batch) => {
                    all.extend(batch.iter().map(|r| String::from_utf8_lossy(r).into_owned()))
                }
                Piece::Long(long) => {
                    all.push(format!("long, record {} at {}, {} bytes", long.record, long.offset, long.bytes))
                }
            }
        }
    };
    for piece in pieces {
        chunker.space().extend_from_slice(piece);
        take(&mut chunker);
    }
    while ended.is_none() || !chunker.is_empty() {
        ended = chunker.end_record().unwrap().left_out.or(ended).or(Some(LeftOut::Blanks(0)));
        take(&mut chunker);
    }
    match ended {
        Some(LeftOut::Blanks(0)) | None => {}
        Some(LeftOut::Blanks(bytes)) => all.push(format!("{bytes} blanks")),
        Some(LeftOut::Torn(torn)) => all.push(torn.to_string()),
    }
    all
}

fn records(spec: &str, input: &str) -> Vec<String> {
    split(&framing(spec), 1 << 20, &[input.as_bytes()])
}

#[test]
fn csv_records_end_at_newlines_outside_of_quotes() {
    let input = "a,b\r\n\"two\nlines\",\"say \"\"hi\"\"\n\"\r\n5\" disk,x\n\n\"\",\"\"\n\u{feff}x\n";
    let want = [
        "a,b\r\n",
        "\"two\nlines\",\"say \"\"hi\"\"\n\"\r\n",
        "5\" disk,x\n",
        "\n",
        "\"\",\"\"\n",
        "\u{feff}x\n",
    ];
    assert_eq!(records("csv", input), want);
    for delimiter in [";", "\t", "|"] {
        let input = format!("a{delimiter}\"x\ny\"{delimiter}b\nnext\n");
        assert_eq!(records("csv", &input).len(), 2, "{input:?}");
    }
    assert_eq!(
        records("csv", "\u{feff}\"a\nb\",c\nd"),
        ["\u{feff}\"a\nb\",c\n", "d\n"],
        "a mark before the first quote"
    );
    let torn = "record 2 (starting at byte 2) breaks off: a quote in it is opened and never closed";
    assert_eq!(records("csv", "a\n\"b\nc\n"), ["a\n", torn]);
}

#[test]
fn a_byte_order_mark_within_a_long_record_is_none_where_the_record_was_cut_before_it() {
    for input in ["xx\u{feff}\u{feff}\"\n\n", "\u{feff}\"a\nb\"\nc\n", "xxxx\u{feff}\"\n\n"] {
        let whole = split(&framing("csv"), 1, &[input.as_bytes()]);
        for cut_at in 0..input.len() {
            let (front, rest) = input.as_bytes().split_at(cut_at);
            assert_eq!(split(&framing("csv"), 1, &[front, rest]), whole, "{input:?} cut at {cut_at}");
        }
        assert_eq!(split(&framing("csv"), 1, &cut(input.as_bytes(), &[1])), whole, "{input:?} byte by byte");
    }
}

#[test]
fn records_begin_at_lines_that_match() {
    let input = "; before\n>a\nAC\n\nGT\n>b\r\n>c\nA";
    assert_eq!(records("start=^>", input), ["; before\n", ">a\nAC\n\nGT\n", ">b\r\n", ">c\nA\n"]);
    assert_eq!(records("start=^>", ">a\n>b"), [">a\n", ">b\n"], "the last line is one like the others");
    assert_eq!(
        records("start=x$", "1\nx\r\n2\n"),
        ["1\n", "x\r\n2\n"],
        "a carriage return is none of the line"
    );
    let trace = "E one\n  at a\n  at b\nI two\n";
    assert_eq!(records(r"start=^\S", trace), ["E one\n  at a\n  at b\n", "I two\n"]);
}

#[test]
fn records_end_at_lines_that_match() {
    let input = "ID a\n//\nID b\r\n//\r\nrest";
    assert_eq!(records("end=^//$", input), ["ID a\n//\n", "ID b\r\n//\r\n", "rest\n"]);
    let paragraphs = "one\ntwo\n\n\nthree\n";
    assert_eq!(records("end=^$", paragraphs), ["one\ntwo\n\n", "\n", "three\n"]);
    assert_eq!(records("end=;$", "select\n1;\nselect 2;"), ["select\n1;\n", "select 2;\n"]);
}

#[test]
fn lines_are_counted() {
    let input = "@r1\nAC\n+\nII\n@r2\nGT\n+\nJJ";
    assert_eq!(records("lines=4", input), ["@r1\nAC\n+\nII\n", "@r2\nGT\n+\nJJ\n"]);
    let torn = "record 2 (starting at byte 8) breaks off: it has 3 of its 4 lines";
    for rest in ["a\nb\nc", "a\nb\nc\n"] {
        assert_eq!(records("lines=4", &format!("1\n2\n3\n4\n{rest}")), ["1\n2\n3\n4\n", torn]);
    }
}

#[test]
fn what_was_given_to_the_last_line_is_no_part_of_what_breaks_off() {
    let mut chunker = Chunker::new(&framing("lines=2"), 1 << 20, 0);
    chunker.space().extend_from_slice(b"1\n2\n3");
    assert_eq!(chunker.complete(), 1);
    // Whoever reads looks once more whether it is the end.
    assert_eq!(chunker.flush().unwrap().unwrap().bytes(), 4);
    chunker.space();
    let ended = chunker.end_record().unwrap();
    let Some(LeftOut::Torn(torn)) = ended.left_out else { panic!("{ended:?}") };
    assert_eq!((torn.bytes, torn.offset, ended.invented), (b"3".to_vec(), 4, 0));
}

#[test]
fn bytes_are_counted() {
    assert_eq!(records("length=3", "abcdef"), ["abc", "def"]);
    let torn = "record 3 (starting at byte 6) breaks off: it has 2 of its 3 bytes";
    assert_eq!(records("length=3", "abcdefgh"), ["abc", "def", torn]);
    for (spec, prefix) in [
        ("u16be", &b"\0\x02"[..]),
        ("u16le", b"\x02\0"),
        ("u32be", b"\0\0\0\x02"),
        ("u32le", b"\x02\0\0\0"),
        ("u64be", b"\0\0\0\0\0\0\0\x02"),
        ("u64le", b"\x02\0\0\0\0\0\0\0"),
        ("varint", b"\x02"),
    ] {
        let framing = framing(&format!("prefix={spec}"));
        let record = framing.record(b"\n\xc3").unwrap();
        assert_eq!(record, [prefix, b"\n\xc3"].concat());
        assert_eq!(framing.envelope().content(&record), b"\n\xc3");
        let twice = framing.batch_of(record.repeat(2)).unwrap();
        assert_eq!(twice.iter().collect::<Vec<_>>(), [&record[..], &record]);
    }
    let long = framing("prefix=varint").record(&[b'x'; 300]).unwrap();
    assert_eq!(long[..2], [0xac, 2]);
    assert_eq!(framing("prefix=varint").batch_of(long.repeat(2)).unwrap().len(), 2);
    assert_eq!(records("prefix=u16be", "\0\0\0\x01a"), ["\0\0", "\0\x01a"], "an empty one is one");
    let torn = "record 1 (starting at byte 0) breaks off: its prefix (u32be) says that it has 1 633 837 928 bytes with that, and there are 6";
    assert_eq!(records("prefix=u32be", "abcdef").len(), 1);
    assert!(records("prefix=u32be", "abcdef")[0].contains("breaks off: its prefix (u32be) says"), "{torn}");
    let nonsense = framing("prefix=varint").batch_of(vec![0xff; 12]).unwrap_err().to_string();
    assert!(nonsense.contains("breaks off"), "{nonsense}");
    assert!(framing("prefix=u16be").record(&[0; 70_000]).unwrap_err().contains("too long for its prefix"));
}

#[test]
fn json_values_follow_each_other_on_lines_or_not() {
    let input = "{\"a\":\n 1}\n{\"b\":\"}\\\"{\"}[1,\n[2]] 7\ntrue \"x y\"\nnull";
    let want = ["{\"a\":\n 1}\n", "{\"b\":\"}\\\"{\"}", "[1,\n[2]] ", "7\n", "true ", "\"x y\"\n", "null\n"];
    assert_eq!(records("json", input), want);
    assert_eq!(records("json", "\n {} \r\n\n\n{}\n \n\n"), ["\n {} \r\n", "\n\n{}\n", "3 blanks"]);
    assert_eq!(records("json", "\x1e{}\n\x1e[1]\n"), ["\x1e{}\n", "\x1e[1]\n"], "RFC 7464");
    assert_eq!(records("json", "\u{feff}{}"), ["\u{feff}{}\n"]);
    assert_eq!(records("json", "]}\n{}\n"), ["]}\n", "{}\n"], "what is none goes on to the program");
    let torn = "record 2 (starting at byte 3) breaks off: its JSON value is not at its end";
    assert_eq!(records("json", "{}\n{\"a\":[1"), ["{}\n", torn]);
}

#[test]
fn the_line_of_a_record_that_is_longer_than_what_is_looked_at_is_one_all_the_same() {
    let long = "y".repeat(100_000);
    let input = format!("a\nx{long}\nb\nx{long}x\nc\n");
    let want = [2, long.len() + 4, long.len() + 5];
    let lengths: Vec<usize> = records("start=^x", &input).iter().map(String::len).collect();
    assert_eq!(lengths, want);
    let lengths: Vec<usize> = records("end=x$", &input).iter().map(String::len).collect();
    assert_eq!(lengths, [2 + 100_002 + 2 + 100_003, 2]);
}

#[test]
fn what_is_emitted_is_held_against_the_framing() {
    for (spec, content) in [
        ("lines", &b"a"[..]),
        ("csv", b"\"a\nb\",c"),
        ("start=^>", b">a\nA"),
        ("end=^//$", b"a\n//"),
        ("lines=2", b"a\nb"),
        ("length=3", b"abc"),
        ("prefix=u32be", b""),
        ("json", b"{\n}"),
    ] {
        let framing = framing(spec);
        let record = framing.record(content).unwrap();
        assert_eq!(framing.check_among_others(&record), Ok(()), "{spec}");
        assert_eq!(framing.envelope().content(&record), content, "{spec}");
    }
    for (spec, content, why) in [
        ("csv", &b"a\nb"[..], SEVERAL),
        ("csv", b"\"a", "a quote in it is opened and never closed"),
        ("start=^>", b">a\n>b", SEVERAL),
        ("end=^//$", b"a\n//\nb\n//", SEVERAL),
        ("lines=2", b"a", "it has 1 of its 2 lines"),
        ("lines=2", b"a\nb\nc", SEVERAL),
        ("length=3", b"ab", "it has 2 of its 3 bytes"),
        ("json", b"{} {}", SEVERAL),
        ("json", b" ", "it is no JSON value"),
    ] {
        assert_eq!(framing(spec).record(content), Err(why.to_owned()), "{spec} {content:?}");
    }
    let first = framing("start=^>").check_among_others(b"a\n").unwrap_err();
    assert!(first.contains("part of the one before it"), "{first}");
}

#[test]
fn what_is_wrong_with_a_framing_is_said() {
    for (spec, why) in [
        ("line", "expected lines, nul, csv"),
        ("start=", "is empty"),
        ("start=a*", "matches every line"),
        ("end=^.*$", "matches every line"),
        ("end=//\\n", "has a newline in it"),
        ("start=\n>", "has a newline in it"),
        ("start=(", "unclosed group"),
        ("end=[a", "unclosed character class"),
        ("start=(a{1000}){1000}", "too large"),
        ("lines=0", "a whole number from 1"),
        ("lines=x", "a whole number from 1"),
        ("length=99999999999", "a whole number from 1"),
        ("prefix=u8", "expected u16be"),
        ("json=true", "expected lines, nul"),
    ] {
        let error = spec.parse::<Framing>().unwrap_err().to_string();
        assert!(error.contains(why), "{spec}: {error}");
    }
    for spec in [
        "lines",
        "nul",
        "csv",
        "json",
        "start=^a=b",
        "end=\\\\n$",
        "end=^$",
        "lines=4",
        "length=1",
        "prefix=varint",
    ] {
        assert_eq!(framing(spec).to_string(), spec);
    }
    assert_ne!(framing("start=a"), framing("start=b"));
}

const FRAMINGS: &[&str] = &[
    "lines",
    "nul",
    "csv",
    "start=^>",
    "start=^[^ ]",
    "end=^/$",
    "end=^$",
    "lines=1",
    "lines=3",
    "length=1",
    "length=7",
    "prefix=u16be",
    "prefix=u32le",
    "prefix=varint",
    "json",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let token = select(vec![
        &b"\n"[..],
        b"\n",
        b"\r\n",
        b"\"",
        b"\"",
        b",",
        b">",
        b"/",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\\",
        b"a",
        b"bc",
        b" ",
        b"7",
        b"\0",
        b"\0\x02",
        b"\x03\0\0\0",
        b"\x1e",
        b"\xff",
        b"\xef\xbb\xbf",
        b"xxxxxxxxxxxxxxxxxxxx",
    ]);
    proptest::collection::vec(token, 0..120).prop_map(|tokens| tokens.concat())
}

fn cut<'a>(input: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (input, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// RFC 4180 byte by byte: where records end.
fn plain_csv(input: &[u8]) -> usize {
    let (mut records, mut quoted, mut at_start, mut was_closed) = (0, false, true, false);
    for (at, &byte) in input.iter().enumerate() {
        let opens = at_start || was_closed;
        was_closed = false;
        match byte {
            b'"' if quoted => (quoted, was_closed) = (false, true),
            b'"' if opens => quoted = true,
            b'\n' if !quoted => records += 1,
            _ => {}
        }
        let mark = input[..=at].ends_with(b"\xef\xbb\xbf") && (at == 2 || input[at - 3] == b'\n');
        at_start = !quoted && (matches!(byte, b',' | b';' | b'|' | b'\t' | b'\n') || mark);
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 512 } else { 4096 }))]

    #[test]
    fn any_splitting_gives_the_same_records_whatever_the_framing(
        spec in select(FRAMINGS),
        input in input(),
        sizes in proptest::collection::vec(1usize..30, 1..12),
        max_record in prop_oneof![Just(1usize << 20), 1usize..40],
    ) {
        let framing = framing(spec);
        let whole = split(&framing, max_record, &[&input[..]]);
        let pieces = split(&framing, max_record, &cut(&input, &sizes));
        prop_assert_eq!(&pieces, &whole);
        prop_assert_eq!(split(&framing, max_record, &cut(&input, &[1])), whole, "byte by byte");
    }

    #[test]
    fn records_put_one_behind_another_give_the_input_back(spec in select(FRAMINGS), input in input()) {
        let framing = framing(spec);
        let mut chunker = Chunker::new(&framing, 1 << 20, 0);
        chunker.space().extend_from_slice(&input);
        let ended = chunker.end_record().unwrap();
        let all = chunker.flush().unwrap().unwrap_or_else(Batch::empty);
        let mut back = all.payload().to_vec();
        back.truncate(back.len() - usize::try_from(ended.invented).unwrap());
        match ended.left_out {
            None => {}
            Some(LeftOut::Blanks(bytes)) => back.extend_from_slice(&input[input.len() - usize::try_from(bytes).unwrap()..]),
            Some(LeftOut::Torn(torn)) => {
                prop_assert_eq!(torn.offset, back.len() as u64);
                back.extend_from_slice(&torn.bytes);
            }
        }
        prop_assert_eq!(&back, &input);
        // Each is one by itself: a later life that begins with any of them finds the same.
        for record in all.iter() {
            prop_assert_eq!(framing.check(record), Ok(()), "{:?}", record);
        }
    }

    #[test]
    fn csv_is_split_as_byte_by_byte(input in input()) {
        let mut chunker = Chunker::new(&Framing::Csv, 1 << 20, 0);
        chunker.space().extend_from_slice(&input);
        let records = chunker.flush().unwrap().map_or(0, |batch| batch.len());
        prop_assert_eq!(records, plain_csv(&input));
    }
}
