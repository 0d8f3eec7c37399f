//! What is seen in terminals of every size: rows first, and no part of a sentence.

use super::*;
use crate::explain::WaitClass;

/// Six stages, five of which are held up by something of their own, and something that limits the throughput.
fn in_trouble() -> App {
    let mut snapshot = healthy();
    snapshot.nodes.truncate(1);
    (snapshot.peers, snapshot.links) = (Vec::new(), Vec::new());
    let names = ["in", "slow", "failing", "hanging", "waiting", "o"];
    snapshot.stages = names.iter().map(|name| stage(name, StageKind::Batch, "", 1, "a")).collect();
    let whys = Why::examples().into_iter().filter(|why| {
        let row = why.kind().row();
        row.class == WaitClass::Blocked && row.scope == crate::explain::Scope::Task
    });
    let mut tasks: Vec<_> = names.iter().map(|name| task(name, 0)).collect();
    for (task, why) in tasks.iter_mut().skip(1).zip(whys) {
        let (on, on_node) = (None, None);
        let mut wait = Wait { for_s: 12.0, stalled: true, text: String::new(), on, on_node, why };
        wait.text = format!("{}, and that is a sentence of some length with an end", words::wait(&wait));
        task.waits = vec![wait];
    }
    (tasks[0].busy, tasks[0].backlog) = (0.97, 1.0);
    snapshot.tasks = tasks;
    app_with(&[snapshot])
}

fn packed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What stands below the table, from behind its title on, without blanks; the last line is the footer.
fn below(screen: &str, height: u16) -> Option<String> {
    let lines: Vec<_> = screen.lines().collect();
    let title = lines.iter().position(|line| line.starts_with("STALLED: "))?;
    let end = if height > 5 { lines.len() - 1 } else { lines.len() };
    Some(packed(&lines[title + 1..end].join(" ")))
}

#[test]
fn rows_of_stages_are_seen_and_causes_are_whole_at_every_size() {
    let app = in_trouble();
    let explanation = &app.state().explanation;
    let causes: Vec<_> = explanation.groups().iter().map(|group| packed(&words::chain(group[0]))).collect();
    let limit = packed(&words::limit(explanation.limit.as_ref().expect("a limit")));
    assert!(causes.len() >= 4, "{causes:?}");
    let (mut none, mut some, mut all) = (0, 0, 0);
    for (width, height) in (20..=140).step_by(6).flat_map(|width| (5..=50).map(move |height| (width, height)))
    {
        let screen = screen(&app, width, height, 2.0);
        let at = format!("{width}x{height}:\n{screen}");
        let names =
            ["in", "slow", "failing", "hanging", "waiting", "o"].map(|name| &name[..name.len().min(3)]);
        let is_row = |line: &str| {
            names.iter().any(|name| line.split(' ').nth(1).is_some_and(|word| word.starts_with(name)))
        };
        let rows = screen.lines().filter(|line| line.starts_with(['●', '✗', '○']) && is_row(line)).count();
        assert!(rows >= usize::from(height.saturating_sub(3) / 2).clamp(1, 6), "{rows} rows in {at}");
        let below = below(&screen, height).unwrap_or_else(|| panic!("no title in {at}"));
        let shown = causes.iter().scan(String::new(), |text, cause| {
            text.push_str(cause);
            Some(text.clone())
        });
        let shown = shown.take_while(|text| below.starts_with(text)).collect::<Vec<_>>();
        let rest = &below[shown.last().map_or(0, String::len)..];
        let cut = causes.len() - shown.len();
        let more = [format!("…{cut}more:workerwhy"), format!("…{cut}more")];
        let rest = match cut {
            0 => rest,
            _ => more
                .iter()
                .find_map(|more| rest.strip_prefix(more.as_str()))
                .unwrap_or_else(|| panic!("{cut} are cut: {at}")),
        };
        let rest = rest.strip_prefix("elsewhere").unwrap_or(rest);
        assert!(rest.is_empty() || rest == limit, "{rest:?} in {at}");
        *(if cut == 0 {
            &mut all
        } else if shown.is_empty() {
            &mut none
        } else {
            &mut some
        }) += 1;
    }
    assert!(none > 0 && some > 0 && all > 0, "sizes of every kind: {none}, {some}, {all}");
}
