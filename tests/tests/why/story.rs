//! The failure the project began from: three nodes, one killed under load. All tell the same true story within seconds, and its
//! end: `worker why`, the page, `worker top`, the log, `/readyz` and the status.

use crate::ask::{PATIENCE, admin, chain, get, root_kind, why, why_text};
use serde_json::Value;
use std::num::NonZero;
use worker_tests::process::{Browser, FLOW, Nodes, Pty, Running, Scratch, eventually};

#[test]
fn a_killed_node_is_named_by_all_and_so_is_its_return() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'story'\ncredit = '256KiB'\nmax_record = '64KiB'\noutbox = '512KiB'\n\
         [source.lines]\n{FLOW}\nplace = 'a'\n\
         [stage.same]\nrun = ['cat']\npartition_by = {{ field = 1 }}\npartitions = 2\nplace = ['b', 'c']\n\
         [sink.out]\nfile = 'out/'\nexists = 'append'\nplace = ['b', 'c']\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], &pipeline);
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| nodes.start(name));
    let at = admin(&mut a);
    admin(&mut b);
    admin(&mut c);
    let browser = Browser::start(&scratch);
    browser.open(&format!("http://{at}/"));
    let (terminal, mut top) = seat(&scratch);
    scratch.wait_until_flows(&["out/part-00000", "out/part-00001"]);
    eventually("a healthy pipeline is ready", PATIENCE, || match get(&at, "/readyz") {
        (200, _) => Ok(()),
        (status, why) => Err(format!("{status}: {why}")),
    });
    browser.until_text("#word", "Running");
    sees(&terminal, &["3 nodes", "● lines", "● same"]);

    c.kill();
    assert_all_tell_of_it(&scratch, &at, &mut a);
    browser.until_text("#word", "Partly stalled");
    browser.until_text("#why", "lines/0 waits: same/1 on node c unreachable");
    browser.until_text("#headline", "start node c again");
    sees(&terminal, &["STALLED: 1 cause", "same/1 on node c", "c down for"]);

    let c = nodes.start("c");
    a.wait_for_message("stall over after", PATIENCE);
    eventually("nothing is stalled any more", PATIENCE, || match (get(&at, "/readyz"), why(&scratch, &[])) {
        ((200, _), (_, 0)) => Ok(()),
        ((status, body), (said, code)) => Err(format!("{status} {body}; {code} {said}")),
    });
    browser.until_text("#word", "Running");
    browser.until_text("#waits-log", "over at");
    sees(&terminal, &["NOTHING IS STALLED", "b, c up"]);
    top.signal(rustix::process::Signal::TERM);
    eventually("top ends", PATIENCE, || if top.has_ended() { Ok(()) } else { Err(top.stderr()) });
    scratch.stop_flow();
    for node in [a, b, c] {
        node.wait(PATIENCE);
    }
}

/// `worker why`, `/readyz`, the log and the status name the dead node, the tasks at both ends, and the reason.
fn assert_all_tell_of_it(scratch: &Scratch, at: &str, a: &mut Running<'_>) {
    let told = chain(scratch, &[], "why names the dead node", |c| {
        c["stalled"] == true && c["task"] == "lines/0" && root_kind(c) == "peer_down"
    });
    let wait = &told["steps"][0]["wait"];
    let (on, node, cause) = (&wait["on"], &wait["on_node"], &wait["cause"]);
    assert_eq!((on, node, cause), (&"same/1".into(), &"c".into(), &"unreachable".into()));
    assert!(wait["error"].as_str().is_some_and(|e| e.contains("Connection refused")), "{wait}");
    assert!(wait["attempts"].as_u64() >= Some(1) && wait["held_records"].as_u64() > Some(0), "{wait}");
    assert!(told["advice"].as_str().is_some_and(|advice| advice.contains("start node c again")), "{told}");
    let said = why_text(scratch, &[]);
    assert!(said.contains("lines/0 waits: same/1 on node c unreachable for"), "{said}");
    let (status, body) = get(at, "/readyz");
    assert!(
        status == 503 && body.contains("lines/0 waits: same/1 on node c unreachable"),
        "{status}: {body}"
    );
    a.wait_for_message("stall: lines/0 waits: same/1 on node c unreachable", PATIENCE);
    assert_eq!(why(scratch, &[]).1, 3, "something is stalled");
    let status: Value = serde_json::from_str(&get(at, "/api/v1/status").1).expect("JSON");
    let peer = status["peers"].as_array().and_then(|p| p.iter().find(|p| p["node"] == "c")).expect("peer c");
    assert_eq!((&peer["up"], &peer["cause"]), (&false.into(), &"unreachable".into()));
}

/// A terminal of 24 lines with `worker top` on it.
fn seat(scratch: &Scratch) -> (Pty, Running<'_>) {
    let pty = Pty::new(24, 80);
    let top = scratch.worker(&["top"]).env("TERM", "xterm-256color");
    let top = top.stdin(pty.end()).stdout(pty.end()).start();
    (pty, top)
}

fn sees(terminal: &Pty, texts: &[&str]) {
    terminal.wait_for(&format!("a screen with {texts:?}"), PATIENCE, screen, |s| {
        texts.iter().all(|t| s.contains(t))
    });
}

/// What a terminal shows that was sent these bytes.
fn screen(bytes: &[u8]) -> String {
    let (rows, columns) = (NonZero::new(24).expect("rows"), NonZero::new(80).expect("columns"));
    let mut parser = vt100::Parser::new(rows, columns, 0);
    parser.process(bytes);
    parser.screen().contents()
}
