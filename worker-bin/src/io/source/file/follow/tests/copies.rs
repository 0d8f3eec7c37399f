//! Rotation by copies: copytruncate, and what packs a log afterwards.

use super::*;
use crate::io::source::file::follow::find::Seen;

#[test]
fn what_a_cut_file_is_given_again_is_read_also_where_it_is_longer_by_then() {
    for more in [1, 400] {
        let mut bench = Bench::new("a.log");
        bench.append("a.log", &lines(0, 100));
        assert_eq!(bench.read(), lines(0, 100));
        bench.cut("a.log");
        bench.append("a.log", &lines(100, 100 + more));
        assert_eq!(bench.read(), lines(100, 100 + more));
        bench.append("a.log", "z\n");
        assert_eq!(bench.read(), "z\n");
    }
}

#[test]
fn a_copy_gives_what_was_not_read_before_the_cut() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", &lines(0, 100));
    assert_eq!(bench.read(), lines(0, 100));
    bench.append("a.log", "rest\n");
    bench.copy("a.log", "a.log.1");
    bench.cut("a.log");
    bench.append("a.log", "new\n");
    let mut all: Vec<String> = bench.read().lines().map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["new", "rest"]);
    assert_eq!(bench.read_decided(), "");
}

#[test]
fn a_copy_that_is_seen_before_the_cut_is_not_read_twice() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", &lines(0, 100));
    assert_eq!(bench.read(), lines(0, 100));
    // A part of it, all of it, and then more is written and read.
    bench.append("a.log.1", &lines(0, 20));
    assert_eq!(bench.read(), "");
    bench.append("a.log.1", &lines(20, 100));
    assert_eq!(bench.read(), "");
    bench.append("a.log", "lost to the copy\n");
    assert_eq!(bench.read(), "lost to the copy\n");
    bench.cut("a.log");
    bench.append("a.log", "new\n");
    assert_eq!(bench.read(), "new\n");
    assert_eq!(bench.read_decided(), "");
    bench.kill();
    assert_eq!(bench.read_decided(), "", "nor by the next life");
    bench.append("a.log", "more\n");
    assert_eq!(bench.read(), "more\n");
}

#[test]
fn a_copy_of_a_log_that_stays_is_read_when_it_differs() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", &lines(0, 100));
    assert_eq!(bench.read(), lines(0, 100));
    bench.copy("a.log", "a.log.bak");
    assert_eq!(bench.read_decided(), "");
    bench.append("a.log", "more\n");
    assert_eq!(bench.read(), "more\n");
    bench.append("a.log.bak", "other\n");
    assert_eq!(bench.read(), format!("{}other\n", lines(0, 100)));
}

#[test]
fn a_log_that_begins_like_another_is_a_log_of_its_own() {
    let mut bench = Bench::new("*.log");
    bench.append("app.log", "start\n");
    assert_eq!(bench.read(), "start\n");
    // Another program, and the same one after a restart.
    bench.append("other.log", "start\n");
    assert_eq!(bench.read(), "start\n");
    bench.remove("app.log");
    bench.append("app.log", "start\n");
    assert_eq!(bench.read(), "start\n");
    bench.append("app-2.log", "start\n");
    assert_eq!(bench.read_decided(), "start\n", "called like a copy of it");
}

#[test]
fn what_was_read_is_not_read_again_packed() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", &lines(0, 100));
    assert_eq!(bench.read(), lines(0, 100));
    bench.append("a.log", "rest\n");
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", "new 1\n");
    bench.gzip("a.log.1");
    let mut all: Vec<String> = bench.read_decided().lines().map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["new 1", "rest"]);
    bench.rename("a.log.1.gz", "a.log.2.gz");
    assert_eq!(bench.read_decided(), "");
    bench.kill();
    assert_eq!(bench.read_decided(), "");
}

#[test]
fn a_rotated_file_is_packed_one_rotation_later() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", &lines(0, 50));
    bench.read();
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", &lines(50, 100));
    assert_eq!(bench.read(), lines(50, 100));
    bench.rename("a.log.1", "a.log.2");
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", &lines(100, 150));
    assert_eq!(bench.read(), lines(100, 150));
    // Both are there for a moment.
    bench.gzip_to("a.log.2", "a.log.2.gz");
    assert_eq!(bench.read_decided(), "");
    bench.remove("a.log.2");
    assert_eq!(bench.read_decided(), "");
    bench.kill();
    bench.append("a.log", "z\n");
    assert_eq!(bench.read_decided(), "z\n");
}

#[test]
fn a_packed_file_that_nobody_knows_is_read_once() {
    let mut bench = Bench::new("*");
    bench.append("plain", &lines(0, 3000));
    bench.gzip("plain");
    assert_eq!(bench.read(), lines(0, 3000));
    assert_eq!(bench.read_decided(), "");
    bench.kill();
    assert_eq!(bench.read_decided(), "");
}

#[test]
fn a_packed_file_is_read_when_it_is_whole() {
    let mut bench = Bench::new("*");
    bench.append("plain", &lines(0, 100));
    let packed = crate::io::source::unpack::samples::gzip(lines(0, 100).as_bytes());
    std::fs::write(bench.path("x.gz"), &packed[..packed.len() / 2]).unwrap();
    bench.remove("plain");
    assert_eq!(bench.read(), "");
    std::fs::write(bench.path("x.gz"), &packed).unwrap();
    assert_eq!(bench.read_decided(), lines(0, 100));
}

#[test]
fn a_packed_file_that_stays_broken_off_is_damaged() {
    let mut bench = Bench { idle: Duration::from_millis(100), ..Bench::new("*") };
    let packed = crate::io::source::unpack::samples::gzip(lines(0, 100).as_bytes());
    std::fs::write(bench.path("x.gz"), &packed[..packed.len() - 9]).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let error = loop {
        let reader = bench.reader();
        reader.look().unwrap();
        match reader.advance() {
            Ok(_) => assert!(Instant::now() < until),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("x.gz") && error.contains("on_damage"), "{error}");
}

#[test]
fn a_copy_of_what_nobody_has_read_yet_is_read_once() {
    // When the first look finds both, and when a later one does.
    for is_later in [false, true] {
        let mut bench = Bench::new("a.log*");
        if is_later {
            assert_eq!(bench.read(), "");
        }
        bench.append("a.log", &lines(0, 100));
        bench.copy("a.log", "a.log.1");
        assert_eq!(bench.read(), lines(0, 100), "{is_later}");
        bench.cut("a.log");
        bench.append("a.log", "new\n");
        assert_eq!(bench.read(), "new\n", "{is_later}");
        assert_eq!(bench.read_decided(), "", "{is_later}");
        bench.gzip_to("a.log.1", "a.log.1.gz");
        assert_eq!(bench.read_decided(), "", "{is_later}");
    }
}

#[test]
fn a_log_that_is_packed_before_anybody_has_read_it_is_read_once() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", "x\n");
    bench.read();
    bench.append("a.log.1", &lines(0, 100));
    bench.gzip_to("a.log.1", "a.log.1.gz");
    assert_eq!(bench.read(), lines(0, 100));
    assert_eq!(bench.read_decided(), "");
    bench.remove("a.log.1");
    assert_eq!(bench.read_decided(), "");
    bench.kill();
    assert_eq!(bench.read_decided(), "");
}

#[test]
fn files_that_are_alike_at_the_first_start_are_all_read() {
    let mut bench = Bench::new("*.log");
    bench.append("app.log", &lines(0, 100));
    bench.append("app-2.log", &lines(0, 100));
    let mut all = bench.read();
    all += &bench.read_decided();
    assert_eq!(all, lines(0, 100).repeat(2));
}

/// A look takes time: what it has seen first may have changed when it comes to what it has seen last.
#[test]
fn what_is_cut_or_grows_amid_a_look_is_not_read_twice() {
    for grows in [false, true] {
        let mut bench = Bench::new("a.log*");
        bench.append("a.log", &lines(0, 100));
        assert_eq!(bench.read(), lines(0, 100));
        let log = Seen::at(&bench.path("a.log")).unwrap();
        if grows {
            bench.append("a.log", "rest\n");
        }
        bench.copy("a.log", "a.log.1");
        let copy = Seen::at(&bench.path("a.log.1")).unwrap();
        if !grows {
            bench.cut("a.log");
        }
        bench.reader().catalog.look(vec![log, copy]).unwrap();
        let expected = if grows { "rest\n" } else { "" };
        assert_eq!(bench.read(), expected, "{grows}");
        assert_eq!(bench.read_decided(), "", "{grows}");
        bench.append("a.log", "new\n");
        assert_eq!(bench.read_decided(), "new\n", "{grows}");
        assert_eq!(bench.read_decided(), "", "{grows}");
    }
}

/// However little it is: the copy of what was cut, and what a packer has made of a log, say by their places whose they are.
#[test]
fn copies_of_little_are_known_by_where_they_are() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", "1\n");
    assert_eq!(bench.read(), "1\n");
    bench.append("a.log", "2\n");
    bench.copy("a.log", "a.log.1");
    bench.cut("a.log");
    assert_eq!(bench.read_decided(), "2\n");
    bench.append("a.log", "3\n");
    assert_eq!(bench.read_decided(), "3\n");
    bench.rename("a.log", "a.log.2");
    bench.gzip("a.log.2");
    bench.append("a.log", "4\n");
    assert_eq!(bench.read_decided(), "4\n");
    assert_eq!(bench.read_decided(), "");
}
