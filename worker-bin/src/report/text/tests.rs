use super::super::gather::tests::report;
use super::*;
use crate::report::Outcome;

#[test]
fn a_short_run_ends_in_a_line_a_stage() {
    let mut report = report();
    (report.outcome, report.lasted_s, report.limit) = (Outcome::Done, 0.3, None);
    (report.stall_count, report.stalls) = (0, Vec::new());
    for stage in &mut report.stages {
        (stage.retried_records, stage.dead_records) = (0, 0);
    }
    insta::assert_snapshot!(text(&report), @r"
    done in 0.3 s, 40 MiB read, 40 MiB of memory at most
                 in    out  programs
      log     4 000  4 000
      errors  4 000    180        24
      out       180    180
    ");
}

#[test]
fn a_long_run_says_what_limited_it_and_what_stood_in_its_way() {
    insta::assert_snapshot!(text(&report()), @r"
    failed in 10 s, 40 MiB read (4.0 MiB/s), 40 MiB of memory at most
                 in    out  in/s  at work  programs  retried  dead  waited for
      log     4 000  4 000   400      0 %                  5        a free slot 5.0 %
      errors  4 000    180   400     80 %        24       10     1  a free slot 5.0 %
      out       180    180    18    5.0 %                  5        a free slot 5.0 %
      throughput is limited by stage errors (its programs are busy 80 % of the time)
      2 stalls, the longest of 4.0 s, at the end too: errors/0 waits: waits because of dead_limit
    ");
}

#[test]
fn no_line_of_a_table_is_wider_than_a_terminal() {
    let mut report = report();
    for stage in &mut report.stages {
        stage.name = "a_very_long_name_of_a_stage_that_goes_on_and_on".to_owned();
        (stage.records_in, stage.records_out) = (123_456_789_012, 123_456_789_012);
        stage.in_per_s = 12_345_678.0;
        let one = stage.waited[0].clone();
        stage.waited = vec![crate::report::Waited { share: 0.3, ..one }; 3];
    }
    for line in text(&report).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn shares_and_rates_have_as_many_digits_as_they_need() {
    let shares = [0.0, 0.0004, 0.004, 0.0994, 0.0996, 0.5, 1.0].map(percent);
    assert_eq!(shares, ["0 %", "0 %", "0.4 %", "9.9 %", "10 %", "50 %", "100 %"]);
    assert_eq!([0.0, 0.4, 9.9, 12.4, 325_203.2].map(rate), ["0", "0.4", "9.9", "12", "325 203"]);
}

#[test]
fn long_chains_are_cut() {
    let text = wrapped(&"word ".repeat(200), 4);
    assert_eq!(text.lines().count(), 4);
    assert!(
        text.trim_end().ends_with('…') && text.lines().all(|line| line.chars().count() <= WIDTH + 2),
        "{text}"
    );
}
