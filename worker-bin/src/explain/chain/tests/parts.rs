//! Tasks that wait with a part of what they do, and who is held up by that.

use super::*;

#[test]
fn who_goes_on_with_its_other_outputs_is_not_held_up_by_one_of_them() {
    let tasks = || vec![task("fail/0", vec![hangs(40.0)]), task("slow/0", vec![busy(0.5)])];
    let one = branches(tasks(), &["fail/0"]);
    assert_eq!(one.tasks.iter().map(|task| task.stalled).collect::<Vec<_>>(), [false, true, false]);
    let explanation = explain(std::slice::from_ref(&one));
    let named = |explanation: &Explanation| {
        let groups = explanation.groups();
        groups.iter().flatten().map(|chain| chain.task.clone()).collect::<Vec<_>>()
    };
    assert_eq!(named(&explanation), ["fail/0"]);
    assert_eq!(chain_of(&explanation, "src/0").held, Held::Part);
    let text = words::explanation(&explanation, 6);
    assert!(!text.contains("also held up") && !text.contains("src/0"), "{text}");
    // One that is at work and behind holds it up as little.
    let text = words::explanation(&explain(&[branches(tasks(), &["slow/0"])]), 6);
    assert!(text.contains("src/0 waits: ") && text.contains("; the rest of its output goes on"), "{text}");
    // All of them do, or all that are not done.
    let hung = || vec![task("fail/0", vec![hangs(40.0)]), task("slow/0", vec![hangs(50.0)])];
    let both = branches(hung(), &["fail/0", "slow/0"]);
    assert!(
        both.tasks[0].stalled
            && words::explanation(&explain(&[both]), 6).contains("also held up by that: src/0")
    );
    let done = Task { done: true, ..task("slow/0", vec![]) };
    assert!(branches(vec![task("fail/0", vec![hangs(40.0)]), done], &["fail/0"]).tasks[0].stalled);
}

#[test]
fn who_has_given_all_it_had_is_not_held_up() {
    let mut node = branches(vec![task("fail/0", vec![hangs(40.0)])], &["fail/0"]);
    assert!(node.tasks[0].stalled);
    node.tasks[0].ended = true;
    mark_stalls(&mut node);
    assert!(!node.tasks[0].stalled && node.tasks[1].stalled);
    let text = words::explanation(&explain(&[node]), 6);
    assert!(text.starts_with("fail/0 waits") && !text.contains("src/0"), "{text}");
}

#[test]
fn where_nobody_else_tells_of_a_root_who_only_waits_with_a_part_does() {
    let mut node = branches(vec![task("slow/0", vec![])], &[]);
    node.tasks[0].waits.push(down(30.0, "grep/1", "b"));
    mark_stalls(&mut node);
    assert!(!node.tasks[0].stalled);
    let explanation = explain(&[node]);
    assert!(explanation.is_stalled());
    let text = words::explanation(&explanation, 6);
    assert!(text.contains("src/0 waits: ") && text.contains("; the rest of its output goes on"), "{text}");
    assert!(text.contains("→ start node b again"), "{text}");
}

#[test]
fn a_pause_holds_others_up_and_is_no_stall() {
    let paused = Task { paused: true, ..task("grep/0", vec![wait(60.0, Why::Paused {})]) };
    let node = node("a", vec![task("src/0", vec![full(50.0, "grep/0", "a")]), paused]);
    assert!(node.tasks.iter().all(|task| !task.stalled));
    let explanation = explain(&[node]);
    assert!(!explanation.is_stalled());
    let text = words::explanation(&explanation, 6);
    assert!(
        text.starts_with("grep/0 waits: paused by the user for 60 s; source src/0 paused by it"),
        "{text}"
    );
    assert!(text.contains("also held up by that: src/0\n  → worker resume grep lets it go on"), "{text}");
}

#[test]
fn nobody_is_sent_to_ask_a_receiver_that_was_asked_and_is_at_work() {
    let behind = || on("o/0", "a", wait(2.0, Why::Unacknowledged { held_records: 100 }));
    let known = explain(&[node("a", vec![task("slow/0", vec![behind()]), task("o/0", vec![])])]);
    assert_eq!(chain_of(&known, "slow/0").advice, None);
    let unknown = explain(&[node("b", vec![task("slow/0", vec![behind()])])]);
    assert!(chain_of(&unknown, "slow/0").advice.as_ref().is_some_and(|advice| advice.contains("ask there")));
}
