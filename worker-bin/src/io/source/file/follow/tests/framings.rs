//! Records that are no lines.

use super::*;
use crate::io::framing::Framing;
use crate::io::source::OnDamage;

fn bench(pattern: &'static str, framing: &str) -> Bench {
    let framing: Framing = framing.parse().unwrap();
    let options = SourceOptions { framing, ..SourceOptions::default() };
    Bench { options, ..Bench::new(pattern) }
}

/// Looks until something was given, or so many looks long nothing was.
fn until_given(bench: &mut Bench) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let text = bench.read();
        if !text.is_empty() || Instant::now() > until {
            return text;
        }
    }
}

#[test]
fn a_record_that_the_next_one_ends_comes_when_the_file_is_silent() {
    let mut bench = bench("a.log", "start=^[0-9]");
    bench.idle = Duration::from_millis(300);
    bench.append("a.log", "1 error\n  at x\n2 error\n");
    assert_eq!(bench.read(), "1 error\n  at x\n");
    bench.append("a.log", "  at y\n");
    assert_eq!(until_given(&mut bench), "2 error\n  at y\n");
    bench.kill();
    bench.append("a.log", "3 error\n4 error\n");
    assert_eq!(bench.read(), "3 error\n");
}

#[test]
fn a_record_of_several_lines_waits_for_all_of_them() {
    for (framing, half, rest) in
        [("lines=3", "a\nb\n", "c\n"), ("csv", "1,\"x\n", "y\"\n"), ("json", "{\"a\":\n", "1}\n")]
    {
        let mut bench = bench("a.log", framing);
        bench.idle = Duration::from_millis(50);
        bench.append("a.log", half);
        assert_eq!(bench.read(), "", "{framing}");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(bench.read(), "", "{framing}: it is there and may go on, however silent it is");
        bench.append("a.log", rest);
        assert_eq!(until_given(&mut bench), format!("{half}{rest}"));
    }
}

#[test]
fn a_rotated_file_that_breaks_off_is_damaged() {
    for on_damage in [OnDamage::Halt, OnDamage::Skip] {
        let mut bench = bench("a.log*", "lines=2");
        bench.options.on_damage = on_damage;
        bench.idle = Duration::from_millis(50);
        bench.append("a.log", "a\nb\nc\n");
        assert_eq!(bench.read(), "a\nb\n");
        bench.rename("a.log", "a.log.1");
        bench.append("a.log", "d\ne\n");
        assert_eq!(bench.read(), "d\ne\n");
        let until = Instant::now() + Duration::from_secs(20);
        let said = loop {
            let reader = bench.reader();
            reader.look().unwrap();
            match reader.advance() {
                Err(error) => break error.to_string(),
                Ok(_) if reader.letters.is_empty() => assert!(Instant::now() < until, "{on_damage:?}"),
                Ok(_) => break reader.take_letters()[0].reason.clone(),
            }
        };
        assert!(
            said.contains("record 2") && said.contains("a.log.1") && said.contains("breaks off"),
            "{said}"
        );
    }
}

#[test]
fn what_is_there_is_left_out_up_to_the_last_whole_record() {
    for (framing, old, new) in [
        ("lines=2", "a\nb\nc\n", "d\n"),
        ("csv", "1,\"x\ny\"\n2,\"z\n", "w\"\n"),
        ("length=4", "abcdef", "gh"),
        ("start=^[0-9]", "1 a\n  b\n", "2 c\n3 d\n"),
        ("nul", "a\0b", "c\0"),
    ] {
        let mut bench = bench("a.log", framing);
        bench.since = Since::End;
        bench.append("a.log", old);
        assert_eq!(bench.read(), "", "{framing}");
        bench.append("a.log", new);
        let expected = match framing {
            "lines=2" => "c\nd\n",
            "csv" => "2,\"z\nw\"\n",
            "length=4" => "efgh",
            "nul" => "bc\0",
            _ => "2 c\n",
        };
        assert_eq!(bench.read(), expected, "{framing}");
    }
}
