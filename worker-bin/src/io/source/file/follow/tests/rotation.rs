//! Files that grow, are renamed, removed and replaced.

use super::*;
use crate::io::source::{Header, OnLong};

#[test]
fn lines_come_when_they_are_whole() {
    let mut bench = Bench::new("*.log");
    assert_eq!(bench.read(), "", "nothing is there yet");
    bench.append("a.log", "a1\na2\npa");
    assert_eq!(bench.read(), "a1\na2\n");
    assert_eq!(bench.read(), "");
    bench.append("a.log", "rt\n");
    bench.append("b.log", "b1\n");
    assert_eq!(bench.read(), "part\nb1\n");
}

#[test]
fn a_renamed_file_is_read_on_and_the_new_one_from_its_beginning() {
    for pattern in ["a.log", "a.log*"] {
        let mut bench = Bench::new(pattern);
        bench.append("a.log", "1\n2\n");
        assert_eq!(bench.read(), "1\n2\n");
        bench.append("a.log", "3\n");
        bench.rename("a.log", "a.log.1");
        bench.append("a.log.1", "4\n");
        assert_eq!(bench.read(), "3\n4\n", "{pattern}");
        // Whoever writes it may do so for a while.
        bench.append("a.log.1", "5\n");
        bench.append("a.log", "1\n");
        let both = bench.read();
        assert!(both == "5\n1\n" || both == "1\n5\n", "{pattern}: {both}");
        bench.rename("a.log.1", "a.log.2");
        bench.rename("a.log", "a.log.1");
        bench.append("a.log.2", "6\n");
        bench.append("a.log.1", "2\n");
        let mut both: Vec<String> = bench.read().lines().map(str::to_owned).collect();
        both.sort();
        assert_eq!(both, ["2", "6"], "{pattern}");
    }
}

#[test]
fn a_log_that_was_rotated_comes_before_what_follows_it() {
    let mut bench = Bench::new("a.log*");
    bench.append("a.log", "1\n");
    bench.read();
    for round in 2..6 {
        bench.append("a.log", &format!("{round} end\n"));
        bench.rename("a.log", &format!("a.log.{round}"));
        // Times of files are not finer than this on all file systems.
        std::thread::sleep(Duration::from_millis(10));
        bench.append("a.log", &format!("{round} new\n"));
        std::thread::sleep(Duration::from_millis(10));
    }
    let expected = "2 end\n2 new\n3 end\n3 new\n4 end\n4 new\n5 end\n5 new\n";
    assert_eq!(bench.read(), expected, "four times between two looks");
}

#[test]
fn a_removed_file_is_read_to_its_end() {
    let mut bench = Bench::new("*.log");
    bench.append("a.log", "1\n");
    assert_eq!(bench.read(), "1\n");
    let mut writer = std::fs::OpenOptions::new().append(true).open(bench.path("a.log")).unwrap();
    bench.remove("a.log");
    writer.write_all(b"2\n").unwrap();
    bench.append("a.log", "1\n");
    let mut both: Vec<String> = bench.read().lines().map(str::to_owned).collect();
    both.sort();
    assert_eq!(both, ["1", "2"], "what was removed, and what is in its place");
    writer.write_all(b"3\n").unwrap();
    assert_eq!(bench.read(), "3\n");
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let mut bench = Bench::new("*.log");
    bench.append("a.log", "1\n2\n");
    assert_eq!(bench.read(), "1\n2\n");
    bench.kill();
    // ext4 and tmpfs give the inode to the next file.
    bench.remove("a.log");
    bench.append("a.log", "1\n2\n3\n");
    assert_eq!(bench.read(), "1\n2\n3\n");
}

#[test]
fn a_link_that_is_switched_leads_to_another_log() {
    let mut bench = Bench::new("links/*.log");
    for directory in ["links", "pod"] {
        std::fs::create_dir(bench.path(directory)).unwrap();
    }
    bench.append("pod/0.log", "0 a\n");
    let link = |to: &str| std::os::unix::fs::symlink(to, bench.path("links/x.log")).unwrap();
    link("../pod/0.log");
    assert_eq!(bench.read(), "0 a\n");
    bench.append("pod/0.log", "0 b\n");
    bench.append("pod/1.log", "1 a\n");
    bench.remove("links/x.log");
    std::os::unix::fs::symlink("../pod/1.log", bench.path("links/x.log")).unwrap();
    let mut all: Vec<String> = bench.read().lines().map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["0 b", "1 a"]);
}

#[test]
fn directories_may_come_later() {
    let mut bench = Bench::new("deep/*/x.log");
    assert_eq!(bench.read(), "");
    std::fs::create_dir_all(bench.path("deep/a")).unwrap();
    bench.append("deep/a/x.log", "1\n");
    assert_eq!(bench.read(), "1\n");
    assert!(bench.reader().finder.has_many_directories());
}

#[test]
fn two_names_of_one_file_are_read_once() {
    let mut bench = Bench::new("*.log");
    bench.append("a.log", "1\n");
    std::fs::hard_link(bench.path("a.log"), bench.path("b.log")).unwrap();
    std::os::unix::fs::symlink("a.log", bench.path("c.log")).unwrap();
    assert_eq!(bench.read(), "1\n");
    bench.append("b.log", "2\n");
    assert_eq!(bench.read(), "2\n");
}

#[test]
fn a_silent_file_closes_with_its_last_line_and_opens_when_it_grows() {
    let mut bench = Bench { idle: Duration::from_millis(200), ..Bench::new("*.log") };
    bench.append("a.log", "1\ntorn");
    assert_eq!(bench.read(), "1\n");
    let until = Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while text.is_empty() && Instant::now() < until {
        text = bench.read();
    }
    assert_eq!(text, "torn\n");
    // The end of the line that was taken for ended, and another line.
    bench.append("a.log", "\n2\n");
    assert_eq!(bench.read(), "2\n");
    bench.kill();
    bench.append("a.log", "3\n");
    assert_eq!(bench.read(), "3\n");
}

#[test]
fn a_file_that_is_gone_closes_when_it_is_silent() {
    let mut bench = Bench { idle: Duration::from_millis(200), ..Bench::new("*.log") };
    bench.append("a.log", "1\ntorn");
    assert_eq!(bench.read(), "1\n");
    bench.remove("a.log");
    let until = Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while bench.reader().catalog.logs.values().any(|log| !log.is_gone()) {
        text += &bench.read();
        assert!(Instant::now() < until);
    }
    assert_eq!(text, "torn\n");
}

#[test]
fn nuls_that_a_file_begins_with_are_left_out() {
    let mut bench = Bench::new("*.log");
    bench.append("a.log", &lines(0, 500));
    bench.read();
    // A writer without O_APPEND goes on where it was.
    bench.cut("a.log");
    let file = std::fs::OpenOptions::new().write(true).open(bench.path("a.log")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"after\n", 33_000).unwrap();
    assert_eq!(bench.read(), "after\n");
}

#[test]
fn each_files_header_is_left_out_once() {
    let options = SourceOptions { header: Header::Skip, ..SourceOptions::default() };
    let mut bench = Bench { options, ..Bench::new("*.csv") };
    bench.append("a.csv", "name,age\n");
    assert_eq!(bench.read(), "");
    bench.append("a.csv", "x,1\n");
    assert_eq!(bench.read(), "x,1\n");
    bench.kill();
    bench.append("a.csv", "y,2\n");
    bench.append("b.csv", "name,age\nz,3\n");
    assert_eq!(bench.read(), "y,2\nz,3\n");
}

#[test]
fn a_line_that_is_too_long_is_told_of_when_it_grows() {
    let options = SourceOptions { max_record: 100, ..SourceOptions::default() };
    let mut bench = Bench { options: options.clone(), ..Bench::new("*.log") };
    bench.append("a.log", "1\n");
    bench.read();
    bench.append("a.log", &"x".repeat(150));
    bench.reader().look().unwrap();
    let error = loop {
        match bench.reader().advance() {
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("record 2") && error.contains("byte 2"), "{error}");
    let options = SourceOptions { on_long: OnLong::Cut, ..options };
    let mut bench = Bench { options, ..Bench::new("*.log") };
    bench.append("a.log", &format!("1\n{}", "x".repeat(150)));
    assert_eq!(bench.read(), "1\n");
    bench.append("a.log", &format!("{}\n2\n", "y".repeat(150)));
    assert_eq!(bench.read(), format!("{}\n2\n", "x".repeat(100)));
    let letters = bench.reader().take_letters();
    assert_eq!(letters.len(), 1);
    bench.kill();
    bench.append("a.log", "3\n");
    assert_eq!(bench.read(), "3\n");
}

#[test]
fn a_line_that_grows_in_pieces_is_not_read_again_for_each() {
    let mut bench = Bench::new("*.log");
    bench.append("a.log", "1\n");
    bench.read();
    for _ in 0..20 {
        bench.append("a.log", &"x".repeat(30_000));
        assert_eq!(bench.read(), "");
    }
    let reader = bench.reader();
    assert!(reader.catalog.waits_for_time() || reader.turn.is_some(), "it waits to be read again");
    bench.append("a.log", "\n");
    assert_eq!(bench.read_decided().len(), 600_001);
}

#[test]
fn many_files_are_not_all_open() {
    let mut bench = Bench::new("*.log");
    for n in 0..400 {
        bench.append(&format!("{n:04}.log"), &format!("{n}\n"));
    }
    assert_eq!(bench.read().lines().count(), 400);
    for n in 0..400 {
        bench.append(&format!("{n:04}.log"), &format!("{n} more\n"));
    }
    assert_eq!(bench.read().lines().count(), 400);
    assert!(bench.reader().catalog.open_count() <= 256);
}
