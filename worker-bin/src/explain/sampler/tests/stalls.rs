//! When a stall begins and when it is over.

use super::*;

#[test]
fn a_stall_is_told_when_it_begins_and_when_it_is_over_once_each() {
    let mut watch = Watch::new();
    watch.pass(5, 4);
    watch.hangs(watch.now);
    watch.pass(9, 0);
    assert_eq!(watch.told, [], "too young");
    watch.pass(30, 0);
    assert_eq!(watch.told, [("grep/0: child_hung".to_owned(), None)]);
    assert!(watch.task(1).waits[0].stalled);
    watch.waits(GREP, vec![]);
    watch.pass(30, 4);
    let root = || "grep/0: child_hung".to_owned();
    assert_eq!(watch.told, [(root(), None), (root(), Some(39.25))], "and how long it was");
}

#[test]
fn all_who_wait_for_one_root_are_one_stall() {
    let mut watch = Watch::new();
    watch.hangs(watch.now);
    let full = Reason::OutboxFull { link: LinkId(0), memory_bytes: 9, stored_bytes: 0, budget_bytes: 8 };
    watch.waits(TaskId(0), vec![full]);
    watch.pass(20, 0);
    assert_eq!(watch.told, [("grep/0: child_hung".to_owned(), None)]);
    assert_eq!(watch.observer.stall_counts().0, 1);
    // Another root takes its place: one is over, another begins.
    let no_room = Blocker::DiskFull { since: Time::ZERO, what: "no room".to_owned() };
    watch.waits(GREP, vec![Reason::Blocked(no_room)]);
    watch.look();
    let roots: Vec<_> = watch.told.iter().map(|(root, lasted)| (root.as_str(), lasted.is_some())).collect();
    let want = [("grep/0: child_hung", false), ("grep/0: child_hung", true), ("grep/0: disk_full", false)];
    assert_eq!(roots, want);
}

#[test]
fn a_wait_that_comes_and_goes_is_no_stall() {
    let mut watch = Watch::new();
    for _ in 0..20 {
        watch.hangs(watch.now);
        watch.pass(8, 0);
        watch.waits(GREP, vec![]);
        watch.pass(1, 4);
    }
    // So it is without a reason that says since when: records move in between.
    for _ in 0..20 {
        watch.waits(GREP, vec![Reason::StorageFull]);
        watch.pass(8, 0);
        watch.pass(1, 4);
    }
    assert_eq!(watch.told, []);
}

#[test]
fn a_batch_that_is_tried_again_and_again_stays_one_stall() {
    let mut watch = Watch::new();
    watch.pass(5, 4);
    for attempts in 1..20 {
        let (until, why) = (watch.now + Duration::from_secs(3), "exit 1".to_owned());
        watch.waits(GREP, vec![Reason::Backoff { attempts, until, why, records: 4 }]);
        watch.pass(3, 0);
        watch.waits(GREP, vec![Reason::NoSlot { since: watch.now, ahead: 0, slots: 1, holders: vec![] }]);
        watch.look();
        watch.waits(GREP, vec![Reason::ChildBusy { since: watch.now }]);
        watch.pass(1, 0);
        // Whoever asks while the attempt runs hears of the stall that stands.
        if let [(root, None)] = &watch.told[..] {
            let explained = chain::explain(std::slice::from_ref(watch.observer.latest().unwrap()));
            let first = &explained.chains[0];
            assert!(explained.is_stalled() && first.root == *root && watch.task(1).stalled, "{first:?}");
            assert!(first.text.contains("(exit 1), another attempt now"), "{}", first.text);
            assert!(first.for_s > 10.0, "{first:?}");
        }
    }
    assert_eq!(watch.told, [("grep/0: backoff".to_owned(), None)]);
    // The last attempt succeeds.
    watch.pass(1, 4);
    watch.waits(GREP, vec![]);
    watch.look();
    assert_eq!(watch.told.len(), 2);
    assert!(watch.told[1].1.is_some_and(|lasted| lasted > 60.0), "{:?}", watch.told);
}

#[test]
fn a_batch_that_fails_while_records_keep_arriving_stands_still_all_the_same() {
    let mut watch = Watch::new();
    watch.pass(5, 4);
    for attempts in 1..40 {
        let (until, why) = (watch.now + Duration::from_secs(20), "exit 3".to_owned());
        watch.waits(GREP, vec![Reason::Backoff { attempts, until, why, records: 10 }]);
        watch.gathered += 10;
        watch.records[1] += 10;
        watch.look();
    }
    let wait = &watch.task(1).waits[0];
    assert!(wait.for_s > 9.0 && watch.task(1).unmoved_s > 9.0, "{wait:?}");
    let explained = chain::explain(std::slice::from_ref(watch.observer.latest().unwrap()));
    assert_eq!(
        explained.chains.iter().map(|chain| chain.root.as_str()).collect::<Vec<_>>(),
        ["grep/0: backoff"]
    );
    // At last an attempt succeeds.
    watch.gathered = 0;
    watch.look();
    assert_eq!(watch.task(1).unmoved_s, 0.0);
}
