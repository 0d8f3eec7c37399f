use super::super::gather::tests::report;
use super::html;
use crate::explain::words;
use crate::report::{Outcome, Report};

/// Every tag that is opened is closed, in the right order.
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.split_once("<!DOCTYPE html>").expect("a page").1;
    while let Some(at) = rest.find('<') {
        let (tag, behind) = rest[at + 1..].split_once('>').expect("a tag ends");
        rest = behind;
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().expect("a name");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "before {}", &rest[..rest.len().min(80)]),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn assert_good(page: &str) {
    assert_balanced(page);
    for outside in ["http://", "https://", "src=", "<script", "@import", "<link", "NaN", "inf"] {
        let at = page.find(outside);
        assert!(
            at.is_none(),
            "{outside}: {:?}",
            at.map(|at| &page[at.saturating_sub(60)..(at + 60).min(page.len())])
        );
    }
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "each id once");
    for label in page.split("aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(label.split(' ').all(|id| ids.contains(&id)), "{label}");
    }
}

#[test]
fn a_page_is_whole_and_asks_for_nothing() {
    let page = html(&report());
    assert_good(&page);
    for text in [
        "errors: records a second",
        "the same in numbers",
        "start node b again",
        "exit status 0",
        "2026-01-01 00:00:10 UTC",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn rates_of_large_batches_do_not_drop_between_them_and_copies_are_called_so() {
    let mut report: Report = report();
    for (at, point) in report.history.stages.get_mut("errors").expect("points").iter_mut().enumerate() {
        (point.in_per_s, point.busy, point.stalled) = (if at % 2 == 0 { 0.0 } else { 200.0 }, 1.0, false);
    }
    let page = html(&report);
    assert_good(&page);
    assert!(page.contains("records in at most 100 a second"), "a batch of 200 every two seconds");
    assert!(
        page.contains("work that ends in lumps") && page.contains("each stage that is to confirm has a copy")
    );
}

#[test]
fn no_name_or_reason_becomes_markup() {
    let evil = "<script>alert('x')</script>\"><img src=x onerror=y>";
    let mut report: Report = report();
    (report.pipeline, report.node, report.why) = (evil.to_owned(), evil.to_owned(), Some(evil.to_owned()));
    (report.delivery, report.version, report.dead_letters) =
        (evil.to_owned(), evil.to_owned(), Some(evil.to_owned()));
    for stage in &mut report.stages {
        stage.name = format!("{evil}{}", stage.name);
        stage.waited.iter_mut().for_each(|waited| waited.text = evil.to_owned());
    }
    for task in &mut report.tasks {
        (task.name, task.stage) = (evil.to_owned(), evil.to_owned());
    }
    for link in &mut report.links {
        (link.from, link.to, link.to_node) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
    }
    for stall in &mut report.stalls {
        (stall.root, stall.text, stall.advice) = (evil.to_owned(), evil.to_owned(), Some(evil.to_owned()));
        stall.stages = vec![format!("{evil}errors")];
    }
    for dead in &mut report.dead {
        (dead.stage, dead.reason, dead.example) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
    }
    let stages = std::mem::take(&mut report.history.stages);
    report.history.stages =
        stages.into_iter().map(|(name, points)| (format!("{evil}{name}"), points)).collect();
    let page = html(&report);
    assert_balanced(&page);
    assert!(!page.contains("<script") && !page.contains("<img"), "escaped everywhere");
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn runs_too_short_for_plots_are_told_so_and_those_of_one_point_are_drawn() {
    let mut short = report();
    short.lasted_s = 0.2;
    short.history.stages.clear();
    let page = html(&short);
    assert_good(&page);
    assert!(page.contains("too short for plots") && !page.contains("class=\"plot\""));
    let mut one = report();
    one.lasted_s = 1.3;
    one.history.stages.values_mut().for_each(|points| points.truncate(1));
    let page = html(&one);
    assert_good(&page);
    assert!(page.contains("class=\"plot\"") && page.contains("class=\"line line0\""));
}

#[test]
fn an_empty_report_is_a_page_too() {
    let mut empty = report();
    empty.lasted_s = 1e-6;
    empty.stages.clear();
    empty.tasks.clear();
    empty.links.clear();
    empty.stalls.clear();
    empty.history.stages.clear();
    (empty.dead_records, empty.stall_count, empty.limit) = (0, 0, None);
    assert_good(&html(&empty));
}

#[test]
fn stalls_at_one_time_are_one_band_with_both_numbers() {
    let mut report = report();
    let page = html(&report);
    assert!(page.contains(">1</text>") && page.contains(">2</text>"), "{page}");
    let stall = report.stalls[0].clone();
    report.stalls = vec![stall.clone(), stall];
    let page = html(&report);
    assert_good(&page);
    assert!(page.contains(">1, 2</text>"), "{page}");
}

#[test]
fn the_plots_of_a_long_run_have_few_steps_and_lose_no_peak() {
    let mut long = report();
    (long.lasted_s, long.history.step_s) = (4800.0, 16);
    let errors = long.history.stages.get_mut("errors").expect("it is there");
    let first = errors[0];
    *errors = (1..=300_u32)
        .map(|at| crate::explain::Point {
            at_s: f64::from(at) * 16.0,
            queued_records: if at == 151 { 777_777 } else { 3 },
            ..first
        })
        .collect();
    let page = html(&long);
    assert_good(&page);
    assert!(page.contains("A step of each plot covers 48 s") && page.contains("777 777"), "{page}");
    let longest = page.split("class=\"line line0\" d=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let steps = longest.map(|path| path.matches('H').count()).max().unwrap_or(0);
    assert!((90..=100).contains(&steps), "{steps}");
}

/// The texts between these marks, of the part of a page behind its first `from`.
fn between<'a>(page: &'a str, from: &str, open: &'a str, close: &'a str) -> Vec<&'a str> {
    let part = page.split_once(from).expect(from).1;
    let part = part.split_once("</table>").map_or(part, |(part, _)| part);
    part.split(open).skip(1).filter_map(|rest| rest.split_once(close).map(|(text, _)| text)).collect()
}

#[test]
fn shares_of_the_time_make_a_hundred() {
    let mut report = report();
    for (stage, (busy, blocked)) in
        report.stages.iter_mut().zip([(1.0 / 3.0, 1.0 / 3.0), (0.004, 0.9), (0.0, 0.0)])
    {
        (stage.busy, stage.blocked) = (busy, blocked);
    }
    let page = html(&report);
    assert_good(&page);
    let numbers = between(&page, "<h2>Where the time went", " class=\"n\" data-label=\"", "</td>");
    let shares: Vec<f64> = numbers
        .iter()
        .map(|cell| cell.split_once('>').expect("a cell").1.trim_end_matches(" %").parse().expect("a share"))
        .collect();
    assert_eq!(shares.len(), 9, "at work, blocked and without work of three stages: {numbers:?}");
    for stage in shares.chunks(3) {
        assert!((stage.iter().sum::<f64>() - 100.0).abs() < 1e-9, "{stage:?}");
    }
}

#[test]
fn what_was_dropped_on_the_way_stands_beside_what_was_not_and_links_have_a_sum() {
    let mut report = report();
    let page = html(&report);
    assert!(
        !page.contains("<th scope=\"col\" role=\"columnheader\" class=\"n\">dropped</th>"),
        "where links wait"
    );
    assert!(report.links.len() > 1);
    let all: u64 = report.links.iter().map(|link| link.records).sum();
    (report.links[0].dropped_records, report.links[1].dropped_records, report.dropped_records) = (40, 2, 42);
    let page = html(&report);
    assert_good(&page);
    let sum = page.split_once("all links</th>").expect("a sum").1.split_once("</tr>").expect("a row").0;
    assert!(sum.contains(">42</td>") && sum.contains(&format!(">{}</td>", words::number(all))), "{sum}");
}

#[test]
fn what_samples_leave_out_stands_between_records_in_and_out() {
    let mut report = report();
    assert!(!html(&report).contains("left out"));
    report.stages[0].left_out_records = 1234;
    let page = html(&report);
    assert_good(&page);
    let cells = between(&page, "<h2>Numbers", " data-label=\"", "</td>");
    let labels: Vec<_> = cells.iter().map(|cell| cell.split_once('"').expect("a label")).collect();
    let at = labels.iter().position(|(label, _)| *label == "left out by sample").expect("a column");
    assert_eq!((labels[at - 1].0, labels[at].1), ("records out", ">1 234"));
}

#[test]
fn dead_letters_by_reason_make_all_there_are() {
    let mut report = report();
    report.dead_records = report.dead.iter().map(|reason| reason.records).sum::<u64>();
    assert!(!html(&report).contains("in earlier runs"));
    report.dead_records += 17;
    let page = html(&report);
    assert_good(&page);
    assert!(page.contains(">17</td><td role=\"cell\" data-label=\"reason\">in earlier runs"), "{page}");
}

#[test]
fn an_end_with_losses_is_not_shown_as_a_good_one() {
    let mut report = report();
    (report.outcome, report.dead_records, report.dropped_records, report.lost_records) =
        (Outcome::Done, 0, 0, 0);
    assert!(html(&report).contains("<span class=\"outcome done\">done</span>"));
    (report.dead_records, report.dropped_records, report.lost_records) = (1, 1200, 3);
    let badge = "<span class=\"outcome stopped\">done, with 1 dead letter, 1 200 records dropped, at most 3 records lost</span>";
    assert!(html(&report).contains(badge), "{}", html(&report));
    report.outcome = Outcome::Failed;
    assert!(html(&report).contains("<span class=\"outcome failed\">failed</span>"));
}

#[test]
fn where_nothing_moved_or_waited_no_line_is_drawn() {
    let mut report = report();
    report.stalls.clear();
    for point in report.history.stages.values_mut().flatten() {
        (point.in_per_s, point.out_per_s, point.queued_records, point.held_records) = (5.0, 0.0, 0, 0);
    }
    let page = html(&report);
    assert_good(&page);
    let stages = report.stages.iter().filter(|stage| report.history.stages.contains_key(&stage.name)).count();
    let lines = page.matches("class=\"line line0\" d=\"M").count() - 1;
    assert_eq!(lines, stages, "rates, and the one of the legend");
    assert_eq!(page.matches("class=\"line line1\" d=\"M").count(), 1, "only that of the legend");
    assert_eq!(page.matches(">nothing queued or held</text>").count(), stages);
}

#[test]
fn cells_say_what_they_are_where_rows_stand_as_cards() {
    let page = html(&report());
    let cells = page.matches("<td role=\"cell\"").count();
    assert!(cells > 20 && page.matches("<td").count() == cells, "each is one, however it is shown");
    assert_eq!(page.split("<td ").skip(1).filter(|cell| !cell.contains("data-label=\"")).count(), 0);
}
