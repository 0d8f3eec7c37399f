use super::super::gather::tests::report;
use super::*;
use crate::report::Outcome;
use crate::text::width::width;

#[test]
fn a_short_run_ends_in_a_line_a_stage() {
    let mut report = report();
    (report.outcome, report.lasted_s, report.limit) = (Outcome::Done, 0.3, None);
    (report.stall_count, report.stalls) = (0, Vec::new());
    for stage in &mut report.stages {
        (stage.retried_records, stage.dead_records) = (0, 0);
    }
    insta::assert_snapshot!(text(&report, None), @r"
    done in 0.3 s (the part of node a), 40 MiB read, 40 MiB of memory at most
                 in    out  programs
      log     4 000  4 000
      errors  4 000    180        24
      out       180    180
      log: 3.0 MiB of its files were not read
    ");
}

#[test]
fn a_long_run_says_what_limited_it_and_what_stood_in_its_way() {
    insta::assert_snapshot!(text(&report(), None), @r"
    failed in 10 s (the part of node a), 40 MiB read (4.0 MiB/s), 40 MiB of memory at most
                 in    out  in/s  at work  programs  retried  dead  waited for
      log     4 000  4 000   400      0 %                  5        a free slot 5.0 %
      errors  4 000    180   400     80 %        24       10     1  a free slot 5.0 %
      out       180    180    18    5.0 %                  5        a free slot 5.0 %
      retried: given to a program again after a failure; a record counts each time
      log: 3.0 MiB of its files were not read
      over the whole run, throughput was limited by stage errors (its programs were busy 80 % of the time)
      2 stalls, the longest of 4.0 s, at the end too: errors/0 waits: waits because of dead_limit
    ");
}

#[test]
fn what_was_not_read_of_followed_files_is_said() {
    let mut report = report();
    report.stages[0].lag_bytes = Some(0);
    assert!(!text(&report, None).contains("not read"));
    report.stages[0].lag_bytes = Some(3 << 20);
    assert!(text(&report, None).contains("\n  log: 3.0 MiB of its files were not read\n"));
}

#[test]
fn the_end_of_a_node_is_of_its_part_and_that_of_a_run_of_one_node_of_all() {
    let mut report = report();
    assert!(in_one_line(&report).starts_with("ended: failed after 10 s (the part of node a), "));
    report.nodes.truncate(1);
    assert!(in_one_line(&report).starts_with("ended: failed after 10 s, "), "{}", in_one_line(&report));
    assert!(text(&report, None).starts_with("failed in 10 s, "));
}

#[test]
fn no_line_is_wider_than_the_terminal_and_a_pipe_gets_all_of_it() {
    let mut report = report();
    for (stage, name) in report.stages.iter_mut().zip([
        "a_very_long_name_of_a_stage_that_goes_on_and_on",
        "東京の\u{1b}[31m店",
        "e\u{301}té🦀",
    ]) {
        stage.name = name.to_owned();
        (stage.records_in, stage.records_out) = (123_456_789_012, 123_456_789_012);
        stage.in_per_s = 12_345_678.0;
        let one = stage.waited[0].clone();
        stage.waited = vec![crate::report::Waited { share: 0.3, ..one }; 3];
    }
    report.stalls.iter_mut().for_each(|stall| stall.text = "日本語 ".repeat(100));
    for room in [40, 60, 80, 120, 200] {
        let text = text(&report, Some(room));
        for line in text.lines() {
            assert!(width(line) <= room, "{room}: {line}");
        }
        assert!(text.contains("a_very") && text.contains("123 456 789 012"), "{room}: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let whole = text(&report, None);
    assert!(whole.contains("a_very_long_name_of_a_stage_that_goes_on_and_on"), "{whole}");
    assert!(whole.lines().any(|line| line.matches("日本語").count() == 100), "{whole}");
    assert!(whole.contains("東京の\\u{1b}[31m店"), "{whole}");
}

#[test]
fn shares_and_rates_have_as_many_digits_as_they_need() {
    assert_eq!(percent(-0.0), "0 %");
    let shares = [0.0, 0.0004, 0.004, 0.0994, 0.0996, 0.5, 1.0].map(percent);
    assert_eq!(shares, ["0 %", "0 %", "0.4 %", "9.9 %", "10 %", "50 %", "100 %"]);
    assert_eq!([0.0, 0.4, 9.9, 12.4, 325_203.2].map(rate), ["0", "0.4", "9.9", "12", "325 203"]);
}

#[test]
fn shares_of_a_whole_make_a_hundred() {
    assert_eq!(percents(&[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]), ["34 %", "33 %", "33 %"]);
    assert_eq!(percents(&[0.004, 0.9, 0.096]), ["0.4 %", "90.0 %", "9.6 %"]);
    assert_eq!(percents(&[0.0, 0.0, 1.0]), ["0 %", "0 %", "100 %"]);
    for at in 0..=1000 {
        for other in [0.0, 0.013, 0.25, 0.6] {
            let first = f64::from(at) / 1000.0;
            let second = other * (1.0 - first);
            let said = percents(&[first, second, 1.0 - first - second]);
            let tenths: u64 = said
                .iter()
                .map(|text| {
                    let (whole, tenth) = text
                        .trim_end_matches(" %")
                        .split_once('.')
                        .unwrap_or((text.trim_end_matches(" %"), "0"));
                    whole.parse::<u64>().expect("a number") * 10 + tenth.parse::<u64>().expect("a tenth")
                })
                .sum();
            assert_eq!(tenths, 1000, "{said:?}");
        }
    }
}

#[test]
fn long_chains_are_cut() {
    let mut report = report();
    report.stalls.iter_mut().for_each(|stall| stall.text = "word ".repeat(200).trim_end().to_owned());
    let text = text(&report, Some(80));
    let stall: Vec<_> = text.lines().skip_while(|line| !line.contains("stall")).collect();
    assert_eq!(stall.len(), 4, "{text}");
    assert!(stall[3].ends_with('…') && stall.iter().all(|line| width(line) <= 80), "{text}");
}

#[test]
fn of_a_stream_the_work_that_is_seen_is_the_least_it_can_be() {
    assert_eq!(at_work(StageKind::Stream, 0.0), "–");
    assert_eq!(at_work(StageKind::Stream, 0.2), "≥ 20 %");
    assert_eq!(at_work(StageKind::Batch, 0.0), "0 %");
}

#[test]
fn a_run_that_has_gone_on_says_what_is_of_it_and_what_of_all() {
    let mut report = report();
    assert!(!text(&report, None).contains("first start"));
    report.went_on = true;
    let said = text(&report, None);
    assert!(
        said.starts_with(
            "failed in 10 s (the part of node a), 40 MiB read since the first start (4.0 MiB/s in this run)"
        ),
        "{said}"
    );
    assert!(
        said.contains("\n  went on with an earlier run: what is counted is since the first start; "),
        "{said}"
    );
    assert!(in_one_line(&report).contains("40 MiB read since the first start (4.0 MiB/s in this run)"));
}

#[test]
fn the_state_of_a_run_that_is_all_done_may_be_removed_and_its_size_is_said() {
    let mut report = report();
    assert!(!text(&report, None).contains("may be removed"));
    report.state = Some(LeftState { dir: "traced".to_owned(), bytes: 5 << 20 });
    let said = text(&report, None);
    let all = "\n  all is done: the state in traced (5.0 MiB, with the dead letters in it) may be removed when the other nodes have ended, too\n";
    assert!(said.ends_with(all), "{said}");
    (report.dead_records, report.nodes) = (0, vec!["a".to_owned()]);
    assert!(text(&report, None).ends_with("\n  all is done: the state in traced (5.0 MiB) may be removed\n"));
}
