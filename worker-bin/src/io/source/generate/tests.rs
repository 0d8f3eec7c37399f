use super::*;
use crate::io::source::{Lives, SourceOptions, SourceReader, Stop};
use crate::pipeline::{Detail, Pipeline, SourceText, parse, to_toml, warnings};
use bytes::Bytes;
use std::collections::BTreeSet;

fn what(records: Option<u64>, rate: Option<&str>) -> Generate {
    let rate = rate.map(|text| Rate::parse(text).unwrap());
    Generate { records, bytes: 40, keys: 7, rate, seed: 1, at: At::default() }
}

fn open(what: &Generate, limit: Option<u64>, position: Option<Bytes>) -> GeneratedSource {
    open_to_stop(what, limit, position, Stop::new().unwrap())
}

fn open_to_stop(what: &Generate, limit: Option<u64>, position: Option<Bytes>, stop: Stop) -> GeneratedSource {
    let options = SourceOptions { limit, ..SourceOptions::default() };
    let lives = Lives {
        position,
        given: 0,
        may_refer: false,
        list: "/nowhere/list".into(),
        state: Path::new("/nowhere"),
    };
    let opening = Opening { dir: Path::new("/"), options, task: (0, 1), stop, durable: Some(lives) };
    GeneratedSource::open(what, &opening).unwrap()
}

fn rest(source: &mut GeneratedSource) -> Vec<String> {
    let mut records = Vec::new();
    while let Some(batch) = source.next_chunk().unwrap() {
        records.extend(batch.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
    }
    records
}

#[test]
fn several_tasks_share_the_numbers_and_each_goes_on_with_its_own() {
    let all = rest(&mut open(&what(Some(1000), None), None, None));
    let mut shared = Vec::new();
    for task in 0..3 {
        let begin = |position| {
            let lives = Lives {
                position,
                given: 0,
                may_refer: false,
                list: "/nowhere/list".into(),
                state: Path::new("/nowhere"),
            };
            let (options, stop) = (SourceOptions::default(), Stop::new().unwrap());
            let dir = Path::new("/");
            let opening = Opening { dir, options, task: (task, 3), stop, durable: Some(lives) };
            GeneratedSource::open(&what(Some(1000), None), &opening).unwrap()
        };
        let mut source = begin(None);
        let first = source.next_chunk().unwrap().unwrap();
        shared.extend(first.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
        let mut again = begin(source.position());
        shared.extend(rest(&mut again));
        let (progress, share) = (again.progress(), if task == 0 { 334 } else { 333 });
        assert_eq!((progress.records, progress.total_bytes), (share, Some(share * 41)));
    }
    let number = |record: &String| record.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    shared.sort_by_key(number);
    assert_eq!(shared, all);
}

#[test]
fn records_are_what_the_documentation_says() {
    let made = Records { seed: 1, keys: 7, bytes: 24 };
    let mut text = Vec::new();
    for number in [1, 2, 1_000_000] {
        made.append(&mut text, number);
        text.push(b'\n');
    }
    // As another program makes them by the documented rule.
    let expected = "k00002 1 obmnjmnbinocngf\nk00002 2 mobimgpfabannll\nk00006 1000000 cibccgdpl\n";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn every_record_has_its_number_its_length_and_one_of_the_keys() {
    let records = rest(&mut open(&what(Some(5000), None), None, None));
    assert_eq!(records.len(), 5000);
    let mut keys = BTreeSet::new();
    for (record, number) in records.iter().zip(1_u64..) {
        let fields: Vec<&str> = record.trim_end().split(' ').collect();
        assert_eq!((record.len(), fields.len(), fields[1]), (41, 3, number.to_string().as_str()), "{record}");
        keys.insert(fields[0].to_owned());
    }
    let all = (0..7).map(|key| format!("k{key:05}")).collect();
    assert_eq!(keys, all);
}

#[test]
fn another_seed_makes_other_records() {
    let other = Generate { seed: 2, ..what(Some(100), None) };
    assert_ne!(rest(&mut open(&other, None, None)), rest(&mut open(&what(Some(100), None), None, None)));
}

#[test]
fn lives_that_go_on_from_their_positions_make_what_one_life_makes() {
    let what = what(Some(3000), None);
    let whole = rest(&mut open(&what, None, None));
    let (mut records, mut position) = (Vec::new(), None);
    while records.len() < whole.len() {
        let mut life = open(&what, None, position);
        let batch = life.next_chunk().unwrap().unwrap();
        records.extend(batch.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
        position = life.position();
    }
    assert!(records == whole, "not the same records");
    assert_eq!(open(&what, None, position).next_chunk().unwrap(), None);
}

#[test]
fn a_limit_counts_all_lives() {
    let what = what(None, None);
    let mut first = open(&what, Some(1000), None);
    let given = first.next_chunk().unwrap().unwrap().len();
    let mut second = open(&what, Some(1000), first.position());
    assert_eq!(rest(&mut second).len() + given, 1000);
    assert_eq!(second.progress().total_bytes, None, "it would go on for ever");
}

#[test]
fn progress_is_known_in_bytes() {
    let mut source = open(&what(Some(100), None), None, None);
    assert_eq!((source.progress().done_bytes, source.progress().total_bytes), (0, Some(4100)));
    rest(&mut source);
    assert_eq!((source.progress().done_bytes, source.progress().total_bytes), (4100, Some(4100)));
}

#[test]
fn a_position_of_something_else_is_refused() {
    let options = SourceOptions::default();
    for position in [&b"nonsense"[..], b"WSG1", b"WSF1\x01\0\0\0\0\0\0\0", b"WSG1\0\0\0\0\0\0\0\0"] {
        let position = Some(Bytes::copy_from_slice(position));
        let lives = Lives {
            position,
            given: 0,
            may_refer: false,
            list: "/nowhere/list".into(),
            state: Path::new("/nowhere"),
        };
        let (options, stop) = (options.clone(), Stop::new().unwrap());
        let opening = Opening { dir: Path::new("/"), options, task: (0, 1), stop, durable: Some(lives) };
        let refused = GeneratedSource::open(&what(None, None), &opening).unwrap_err();
        assert!(refused.to_string().contains("--fresh"), "{refused}");
    }
}

fn read(generate: &str, more: &str) -> Result<Pipeline, String> {
    let text = format!("[source.made]\ngenerate = {generate}\n{more}\n[sink.out]\nfile = \"out\"\n");
    parse(&SourceText::new("test.toml", &text), Path::new("/base"), &[]).map_err(|error| error.to_string())
}

#[test]
fn what_cannot_be_generated_is_said() {
    let mut messages = String::new();
    for (generate, more) in [
        ("{ keys = 0 }", ""),
        ("{ records = 0, seed = -1 }", ""),
        ("{ records = 100, bytes = 11, keys = 100_000 }", ""),
        ("{ bytes = 28 }", ""),
        ("{ bytes = 2_000_000 }", ""),
        ("{ rate = \"0/s\" }", ""),
        ("{ rate = 100 }", ""),
        ("{ recods = 100 }", ""),
        ("true", ""),
        ("{}", "header = \"repeat\""),
        ("{}", "cwd = \"x\""),
        ("{}", "stdin = true"),
    ] {
        messages += &format!("{}\n\n", read(generate, more).expect_err(generate));
    }
    insta::assert_snapshot!(messages);
    assert!(read("{ records = 100, bytes = 12 }", "").is_ok());
    assert!(read("{ records = 100, bytes = 13, keys = 1000_000 }", "").is_ok());
    assert!(read("{ bytes = 29 }", "").is_ok());
}

#[test]
fn it_is_printed_as_it_is_read() {
    for generate in ["{}", "{ records = 5, bytes = 100, keys = 1000, rate = \"9/m\", seed = 3 }"] {
        let pipeline = read(generate, "").unwrap();
        for detail in [Detail::Short, Detail::Full] {
            let text = to_toml(&pipeline, detail);
            let again = parse(&SourceText::new("test.toml", &text), Path::new("/base"), &[]).unwrap();
            assert_eq!(again.sources, pipeline.sources, "{text}");
        }
    }
}

#[test]
fn without_a_number_of_records_it_never_ends() {
    let stage = "[stage.all]\nrun = \"sort\"\nmode = \"stream\"";
    let told = |generate: &str| warnings(&read(generate, stage).unwrap()).len();
    assert_eq!((told("{}"), told("{ records = 5 }")), (1, 0));
}
