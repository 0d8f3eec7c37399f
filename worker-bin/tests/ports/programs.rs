//! Ports that run programs.

use super::*;
use worker_bin::child::records::{KeyedState, RecordsRules};
use worker_bin::runtime::parts::{BatchPort, RecordsPort, StreamPort, When};
use worker_core::event::{
    BatchAction, BatchEvent, RecordsAction, RecordsEvent, Run, StreamAction, StreamEvent, WorkId,
};
use worker_proto::Seq;

fn run(work: u64, input: &str) -> BatchAction {
    let input = vec![lines(input.to_owned())];
    BatchAction::Run(Run { work: WorkId(work), batch_id: work, attempt: 1, header: None, input })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_killed_says_nothing_and_the_next_one_runs() {
    let (heard, there) = (Arc::new(Heard::default()), marker("batch"));
    let script = format!(
        "read line; if [ $line = stay ]; then seq 100000; : > {}; exec sleep 1000; fi; echo got $line",
        there.display()
    );
    let port = BatchPort::new(heard.context(), sh(&script), collector(), None);
    for work in 1..=3 {
        port.act(run(work, "stay\n"), When::AtOnce);
        until_made(&there).await;
        port.act(BatchAction::Kill, When::AtOnce);
    }
    port.act(run(4, "go\n"), When::AtOnce);
    let events = heard.until(|events| !events.is_empty());
    let [TaskEvent::Batch(BatchEvent::Done { work: WorkId(4), result: Ok(output), .. })] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(text(output), "got go\n", "what the killed ones printed is void");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_an_older_window_reaches_no_newer_one() {
    let heard = Arc::new(Heard::default());
    let port = StreamPort::new(heard.context(), sh("cat; echo end"), collector(), None, 1 << 20);
    let feed = |window, record: &str| StreamAction::Feed { window, batch: lines(record.to_owned()) };
    port.act(StreamAction::Start { window: 1, replay: false, header: None });
    port.act(feed(1, "a\n"));
    heard.until(|events| printed(events, 1) == "a\n");
    port.act(StreamAction::Kill);
    port.act(StreamAction::Start { window: 2, replay: false, header: None });
    port.act(feed(1, "late\n"));
    port.act(feed(2, "b\n"));
    port.act(StreamAction::Close { window: 1 });
    port.act(feed(2, "c\n"));
    port.act(StreamAction::Close { window: 2 });
    let events = heard.until(|events| exit(events, 2).is_some());
    assert_eq!(printed(&events, 2) + &exit(&events, 2).unwrap(), "b\nc\nend\n");
    assert_eq!(printed(&events, 1), "a\n", "a killed window says nothing more");
}

fn printed(events: &[TaskEvent], of: u64) -> String {
    let said = |event: &TaskEvent| {
        let TaskEvent::Stream(StreamEvent::Output { window, output }) = event else { return None };
        (*window == of).then(|| text(output))
    };
    events.iter().filter_map(said).collect()
}

/// What a window's program printed behind the end of its input, once it has ended well.
fn exit(events: &[TaskEvent], of: u64) -> Option<String> {
    events.iter().find_map(|event| match event {
        TaskEvent::Stream(StreamEvent::Exited { window, result: Ok(output), early: false })
            if *window == of =>
        {
            Some(text(output))
        }
        TaskEvent::Stream(StreamEvent::Exited { window, result, .. }) if *window == of => {
            panic!("it did not end well: {result:?}")
        }
        TaskEvent::Source(_)
        | TaskEvent::Batch(_)
        | TaskEvent::Stream(_)
        | TaskEvent::Records(_)
        | TaskEvent::Sink(_)
        | TaskEvent::Persisted { .. }
        | TaskEvent::Failed { .. }
        | TaskEvent::Blocked { .. }
        | TaskEvent::Pause { .. } => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_that_is_killed_answers_nothing_and_the_next_one_is_asked() {
    let (heard, there) = (Arc::new(Heard::default()), marker("records"));
    let body = format!(
        "import json, sys\nfor line in sys.stdin:\n  m = json.loads(line)\n  if 'hello' in m: continue\n  \
         if m.get('record') == 'stay':\n    open('{}', 'w').close()\n    continue\n  \
         print(json.dumps(dict(id=m['id'], emit=[m.get('record', 'end')])), flush=True)\n",
        there.display()
    );
    let program = Arc::new(Program::new("stage", ["python3", "-c", &body]));
    let rules = RecordsRules {
        partition_by: None,
        envelope_in: b'\n'.into(),
        inline: false,
        in_flight: 10,
        in_flight_bytes: 1 << 20,
        keys_wanted: false,
        is_read: true,
    };
    let state = Arc::new(Mutex::new(KeyedState::new("stage/0", 1 << 20)));
    let port = RecordsPort::new(heard.context(), program, rules, collector(), state, None);
    let ask = |life, seq, record: &str| {
        let (link, first_seq, batch) = (LinkId(7), Seq(seq), lines(record.to_owned()));
        RecordsAction::Request { life, link, first_seq, batch }
    };
    port.act(RecordsAction::Start { life: 1 }, When::AtOnce);
    port.act(ask(1, 1, "stay\n"), When::AtOnce);
    until_made(&there).await;
    port.act(RecordsAction::Kill, When::AtOnce);
    port.act(RecordsAction::Start { life: 2 }, When::AtOnce);
    port.act(ask(1, 1, "late\n"), When::AtOnce);
    port.act(ask(2, 1, "go\n"), When::AtOnce);
    port.act(RecordsAction::End { life: 2 }, When::AtOnce);
    let is_end =
        |event: &TaskEvent| matches!(event, TaskEvent::Records(RecordsEvent::Answered { ended: true, .. }));
    let events = heard.until(|events| events.iter().any(is_end));
    let mut answered = (0, String::new());
    for event in &events {
        let TaskEvent::Records(RecordsEvent::Answered { life, records, output, .. }) = event else {
            assert!(matches!(event, TaskEvent::Records(RecordsEvent::Failed { life: 1, .. })), "{event:?}");
            continue;
        };
        assert_eq!(*life, 2);
        answered = (answered.0 + records, answered.1 + &text(output));
    }
    assert_eq!(answered, (1, "go\nend\n".to_owned()));
}
