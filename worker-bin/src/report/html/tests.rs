use super::super::gather::tests::report;
use super::html;
use crate::report::Report;

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
