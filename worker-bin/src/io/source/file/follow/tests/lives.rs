//! Processes that die at any moment, while logs are rotated.

use super::*;
use proptest::prelude::*;

#[test]
fn a_later_life_finds_a_file_that_was_renamed_meanwhile() {
    for pattern in ["a.log", "a.log*"] {
        let mut bench = Bench::new(pattern);
        bench.append("a.log", "1\n2\n");
        assert_eq!(bench.read(), "1\n2\n");
        bench.kill();
        bench.append("a.log", "3\n");
        bench.rename("a.log", "a.log.1");
        bench.append("a.log", "1\n");
        let mut all: Vec<String> = bench.read().lines().map(str::to_owned).collect();
        all.sort();
        assert_eq!(all, ["1", "3"], "{pattern}");
    }
}

#[test]
fn the_first_life_may_begin_at_the_end() {
    let mut bench = Bench { since: Since::End, ..Bench::new("*.log") };
    bench.append("a.log", "old\nhalf of");
    bench.append("old", "packed\n");
    bench.gzip("old");
    bench.rename("old.gz", "packed.log");
    assert_eq!(bench.read(), "");
    bench.kill();
    // The position was durable before anything was read.
    bench.append("a.log", " a line\nnew\n");
    bench.append("b.log", "all of it\n");
    assert_eq!(bench.read(), "half of a line\nnew\nall of it\n");
}

#[test]
fn a_first_life_that_finds_nothing_is_the_first_all_the_same() {
    let mut bench = Bench { since: Since::End, ..Bench::new("*.log") };
    assert_eq!(bench.read(), "");
    bench.kill();
    bench.append("a.log", "new\n");
    assert_eq!(bench.read(), "new\n");
}

#[test]
fn a_position_of_something_else_is_refused() {
    let mut bench = Bench::new("*.log");
    bench.sum.apply(b"WSF1");
    assert!(matches!(bench.try_open(), Err(SourceError::Position { .. })));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Write(u32),
    Rename,
    CopyAndCut,
    Pack,
    Read(usize),
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..40_u32).prop_map(Op::Write),
        2 => Just(Op::Rename),
        1 => Just(Op::CopyAndCut),
        1 => Just(Op::Pack),
        3 => (0..3_usize).prop_map(Op::Read),
        2 => Just(Op::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// All that was written comes once, whatever was done between.
    #[test]
    fn each_line_comes_once(ops in proptest::collection::vec(op(), 1..25)) {
        let mut bench = Bench::new("a.log*");
        let (mut written, mut rotated, mut read) = (0, 0, String::new());
        for op in ops {
            match op {
                Op::Write(more) => {
                    bench.append("a.log", &lines(written, written + more));
                    written += more;
                }
                Op::Rename if bench.path("a.log").exists() => {
                    rotated += 1;
                    bench.rename("a.log", &format!("a.log.{rotated}"));
                }
                // Of what is cut before anybody has read any of it only the copy is known.
                Op::CopyAndCut if bench.path("a.log").exists() => {
                    rotated += 1;
                    bench.copy("a.log", &format!("a.log.{rotated}"));
                    bench.cut("a.log");
                }
                Op::Pack if bench.path(&format!("a.log.{rotated}")).exists() => {
                    bench.gzip(&format!("a.log.{rotated}"));
                }
                Op::Read(chunks) => read += &bench.read_chunks(chunks),
                Op::Kill => bench.kill(),
                Op::Rename | Op::CopyAndCut | Op::Pack => {}
            }
        }
        loop {
            let more = bench.read_decided();
            if more.is_empty() {
                break;
            }
            read += &more;
        }
        let mut came: Vec<&str> = read.lines().collect();
        came.sort_unstable();
        let all = lines(0, written);
        let mut expected: Vec<&str> = all.lines().collect();
        expected.sort_unstable();
        prop_assert_eq!(came, expected);
    }
}
