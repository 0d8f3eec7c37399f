//! The failure the project began from: three nodes, one killed under load. All tell the same true story within seconds, and its
//! end.

use crate::ask::{PATIENCE, admin, chain, get, root_kind, why, why_text};
use serde_json::Value;
use worker_tests::process::{FLOW, Nodes, Scratch, eventually};

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
    let [mut a, b, c] = ["a", "b", "c"].map(|name| nodes.start(name));
    scratch.wait_until_flows(&["out/part-00000", "out/part-00001"]);
    let at = admin(&mut a);
    eventually("a healthy pipeline is ready", PATIENCE, || match get(&at, "/readyz") {
        (200, _) => Ok(()),
        (status, why) => Err(format!("{status}: {why}")),
    });

    c.kill();
    let told = chain(&scratch, &[], "why names the dead node", |c| {
        c["stalled"] == true && c["task"] == "lines/0" && root_kind(c) == "peer_down"
    });
    let wait = &told["steps"][0]["wait"];
    assert_eq!(
        (&wait["on"], &wait["on_node"], &wait["cause"]),
        (&"same/1".into(), &"c".into(), &"unreachable".into())
    );
    assert!(wait["error"].as_str().is_some_and(|e| e.contains("Connection refused")), "{wait}");
    assert!(wait["attempts"].as_u64() >= Some(1) && wait["held_records"].as_u64() > Some(0), "{wait}");
    assert!(told["advice"].as_str().is_some_and(|advice| advice.contains("start node c again")), "{told}");
    let said = why_text(&scratch, &[]);
    assert!(said.contains("lines/0 waits: same/1 on node c unreachable for"), "{said}");
    let (status, body) = get(&at, "/readyz");
    assert!(
        status == 503 && body.contains("lines/0 waits: same/1 on node c unreachable"),
        "{status}: {body}"
    );
    a.wait_for_message("stall: lines/0 waits: same/1 on node c unreachable", PATIENCE);
    let (_, code) = why(&scratch, &[]);
    assert_eq!(code, 3, "something is stalled");
    let status: Value = serde_json::from_str(&get(&at, "/api/v1/status").1).expect("JSON");
    let peer = status["peers"].as_array().and_then(|p| p.iter().find(|p| p["node"] == "c")).expect("peer c");
    assert_eq!((&peer["up"], &peer["cause"]), (&false.into(), &"unreachable".into()));

    let c = nodes.start("c");
    a.wait_for_message("stall over after", PATIENCE);
    eventually("nothing is stalled any more", PATIENCE, || match (get(&at, "/readyz"), why(&scratch, &[])) {
        ((200, _), (_, 0)) => Ok(()),
        ((status, body), (said, code)) => Err(format!("{status} {body}; {code} {said}")),
    });
    scratch.stop_flow();
    a.wait(PATIENCE);
    b.wait(PATIENCE);
    c.wait(PATIENCE);
}
