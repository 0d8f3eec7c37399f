use super::super::chain::Step;
use super::*;

#[test]
fn durations() {
    let said =
        [0.0, 0.04, 0.4, 9.94, 9.96, 12.4, 99.4, 100.0, 185.0, 3599.0, 5999.9, 6000.0, 7440.0, 360_000.0];
    let want = [
        "0.0 s",
        "0.0 s",
        "0.4 s",
        "9.9 s",
        "10 s",
        "12 s",
        "99 s",
        "1 min 40 s",
        "3 min 5 s",
        "59 min 59 s",
        "99 min 59 s",
        "1 h 40 min",
        "2 h 4 min",
        "100 h 0 min",
    ];
    assert_eq!(said.map(duration), want);
    assert_eq!(duration(f64::INFINITY), "inf s", "nobody waits for ever, but a peer may say so");
    assert_eq!(duration(99.7), "100 s");
}

#[test]
fn a_rate_that_limits_holds_back_and_does_not_stop() {
    let held = Limit {
        stage: "log".to_owned(),
        stage_kind: Some(StageKind::Source),
        task: None,
        kind: WaitKind::RateLimited,
        busy: 1.0,
        held_by: Vec::new(),
        beside: Vec::new(),
        elsewhere: false,
        rate: Some("200/s".to_owned()),
        text: String::new(),
    };
    let text = "throughput is limited by source log: held back by its rate of 200/s 100 % of the time";
    assert_eq!(limit(&held), text);
    let page = include_str!("../../../../docs/how-to/rates.md");
    assert!(page.contains("held back by its rate of 200/s 100 % of the time"), "the page says the same");
}

#[test]
fn sizes() {
    let said = [0, 812, 1023, 1024, 10_189, 10_240, 12 << 20, (12 << 20) / 10, 1 << 30, 3 << 40, u64::MAX];
    let want = [
        "0 B",
        "812 B",
        "1023 B",
        "1.0 KiB",
        "10 KiB",
        "10 KiB",
        "12 MiB",
        "1.2 MiB",
        "1.0 GiB",
        "3.0 TiB",
        "16777216.0 TiB",
    ];
    assert_eq!(said.map(bytes), want);
    assert_eq!(bytes(1_048_575), "1.0 MiB", "not 1024 KiB");
}

#[test]
fn numbers() {
    assert_eq!(
        [0, 7, 999, 4096, 123_456, 1_234_567].map(number),
        ["0", "7", "999", "4 096", "123 456", "1 234 567"]
    );
    assert_eq!((records(1), records(4096)), ("1 record".into(), "4 096 records".into()));
}

const EVIL: &str =
    "red \u{1b}[31m, bell \u{7}, line\nbreak, back\rspace\u{8}, C1 \u{9b}2J, turned \u{202e}txt";

/// Whether a terminal would show it, and nothing else.
fn is_tame(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn what_a_program_said_gets_through_without_what_a_terminal_obeys() {
    let tame = foreign(EVIL);
    assert!(is_tame(&tame), "{tame:?}");
    assert!(tame.starts_with("red \\u{1b}[31m, bell \\u{7}, line\\nbreak"), "{tame}");
    assert_eq!(foreign("it's \"grün\" 木"), "it's \"grün\" 木");
    let long = foreign(&"x".repeat(1000));
    assert_eq!((long.chars().count(), long.ends_with('…')), (401, true));
}

#[test]
fn each_text_of_a_program_is_tamed_wherever_it_stands() {
    let error = EVIL.to_owned();
    let down = Why::PeerDown {
        cause: "refused".into(),
        error: error.clone(),
        attempts: 1,
        next_in_s: None,
        held_records: 1,
        memory_bytes: 0,
        memory_limit_bytes: 0,
        spilled_bytes: 0,
    };
    let backoff = Why::Backoff { attempts: 1, next_in_s: 1.0, error: error.clone(), records: 1 };
    for why in [down, backoff, Why::DiskFull { error }] {
        let text =
            wait(&Wait { for_s: 1.0, stalled: true, text: String::new(), on: None, on_node: None, why });
        assert!(is_tame(&text), "{text:?}");
        assert!(text.contains("\\u{1b}[31m"), "{text:?}");
    }
}

#[test]
fn what_another_node_said_is_tamed_too_and_not_escaped_twice() {
    let tame = foreign("a\u{1b}b");
    let why = Why::ChildHung { unread_bytes: 0, closed: true };
    let text = format!("{EVIL} {tame}");
    let evil =
        Wait { for_s: 1.0, stalled: true, text, on: Some(EVIL.into()), on_node: Some(EVIL.into()), why };
    let step = Step { task: EVIL.into(), node: EVIL.into(), wait: evil };
    let evil_chain = |task: &str| Chain {
        task: task.into(),
        node: EVIL.into(),
        for_s: 1.0,
        stalled: true,
        held: Held::All,
        steps: vec![step.clone()],
        root: EVIL.into(),
        advice: Some(EVIL.into()),
        sources_paused: vec![EVIL.into()],
        text: EVIL.into(),
    };
    let one_line = chain(&evil_chain(EVIL));
    assert!(is_tame(&one_line), "{one_line:?}");
    assert!(one_line.contains("a\\u{1b}b"), "{one_line:?}");
    let chains = vec![evil_chain("x"), evil_chain(EVIL)];
    let all = explanation(&Explanation { chains, limit: None, notes: vec![EVIL.into()] }, 6);
    assert!(all.lines().all(is_tame), "{all:?}");
    assert_eq!(all.lines().count(), 4, "a chain, who else, advice, a note: {all}");
}

#[test]
fn every_wait_has_words() {
    let of = |why| {
        wait(&Wait {
            for_s: 12.0,
            stalled: true,
            text: String::new(),
            on: Some("x/0".into()),
            on_node: Some("b".into()),
            why,
        })
    };
    let said = [
        (of(Why::ChildHung { unread_bytes: 0, closed: false }), "it owes an answer"),
        (of(Why::ChildHung { unread_bytes: 2048, closed: true }), "2.0 KiB unread"),
        (of(Why::ChildHung { unread_bytes: 0, closed: true }), "its input has ended"),
        (of(Why::ChildBuffers { fed_bytes: 7 }), "has read 7 B and printed nothing for 12 s"),
        (
            of(Why::NoSlot { ahead: 2, slots: 4, held_by: Vec::new() }),
            "all 4 slots have been in use for 12 s, 2 tasks before it",
        ),
        (of(Why::NoCredit { held_records: 4096 }), "x/0 on node b has taken no more for 12 s"),
        (of(Why::Paused {}), "paused by the user for 12 s"),
    ];
    for (text, part) in said {
        assert!(text.contains(part), "{text:?} has no {part:?}");
    }
}

#[test]
fn one_is_one_and_thousands_stand_apart() {
    assert_eq!(still_on_their_way(1), "1 record was still on its way");
    assert_eq!(still_on_their_way(75_911), "75 911 records were still on their way");
    assert_eq!(
        (dead_letters(1), dead_letters(1500)),
        ("1 dead letter".to_owned(), "1 500 dead letters".to_owned())
    );
}
