//! Nodes with certificates: who is let in, for how long, and what is said of it.

use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use worker_tests::process::{FLOW, Nodes, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(40);

fn flow() -> String {
    format!(
        "[pipeline]\nname = 'peers'\n[source.lines]\n{FLOW}\nplace = 'a'\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n"
    )
}

/// Two nodes whose certificates two commands have made.
fn with_certificates<'a>(scratch: &'a Scratch, pipeline: &str) -> Nodes<'a> {
    Nodes::on_loopback(scratch, &["a", "b"], pipeline).with_certificates()
}

fn grows(scratch: &Scratch, running: &Running<'_>) {
    let before = scratch.len("out.txt");
    eventually("data goes on", PATIENCE, || {
        if scratch.len("out.txt") > before + 1000 { Ok(()) } else { Err(running.stderr()) }
    });
}

#[test]
fn two_commands_turn_it_on_and_no_stranger_is_let_in() {
    let scratch = Scratch::new();
    let nodes = with_certificates(&scratch, &flow());
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    scratch.wait_until_flows(&["out.txt"]);
    // Nothing of a frame is heard, nor said, without TLS.
    let mut stranger = TcpStream::connect(nodes.address("b")).expect("everybody is accepted");
    stranger.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stranger.write_all(&[0, 0, 0, 2, 0x91, 9]).expect("it reads");
    let mut said = Vec::new();
    stranger.read_to_end(&mut said).ok();
    assert!(said.len() < 64, "a TLS alert at most: {said:?}");
    eventually("it is counted", PATIENCE, || {
        if b.stderr().contains("class=\"certificate\"") { Ok(()) } else { Err(b.stderr()) }
    });
    scratch.stop_flow();
    a.wait(PATIENCE).expect(0);
    let b = b.wait(PATIENCE).expect(0);
    scratch.assert_all_arrived(&["out.txt"]);
    let key = scratch.text("certs/b.key");
    let secret = key.lines().nth(1).expect("a key");
    assert!(!b.stderr.contains(secret));
}

#[test]
fn a_revoked_node_is_out_within_thirty_seconds_and_a_renewed_one_is_let_in() {
    let scratch = Scratch::new();
    let nodes = with_certificates(&scratch, &flow());
    let cluster = scratch.text("cluster.toml").replace("ca = ", "crl = \"certs/crl.pem\"\nca = ");
    scratch.write("cluster.toml", cluster);
    scratch.shell("cp certs/a.pem certs/old.pem");
    // A list has to be there from the start; it may be of a certificate that nobody uses.
    scratch.worker(&["cert", "issue", "nobody"]).run().expect(0);
    scratch.worker(&["cert", "revoke", "certs/nobody.pem"]).run().expect(0);
    let (a, mut b) = (nodes.start("a"), nodes.start("b"));
    scratch.wait_until_flows(&["out.txt"]);
    let revoked = Instant::now();
    scratch.worker(&["cert", "revoke", "certs/old.pem"]).run().expect(0);
    b.wait_for_message("it was revoked", PATIENCE);
    assert!(revoked.elapsed() < Duration::from_secs(30), "{:?}", revoked.elapsed());
    // It is given a new one, and takes it while it runs.
    scratch.worker(&["cert", "issue", "a", "--force"]).run().expect(0);
    a.signal(Signal::USR1);
    grows(&scratch, &a);
    scratch.stop_flow();
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    scratch.assert_all_arrived(&["out.txt"]);
}

#[test]
fn off_the_loopback_it_is_tls_or_a_word_that_the_network_is_trusted() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", flow());
    let cluster = "[node.a]\naddress = '0.0.0.0:7400'\n[node.b]\naddress = '127.0.0.1:7401'\n";
    scratch.write("cluster.toml", cluster);
    let node = ["node", "--name", "a", "--cluster", "cluster.toml", "pipeline.toml"];
    scratch.worker(&node).run().expect(2).says(&["has no TLS", "worker cert init", "insecure = true"]);
    let pipeline =
        "[source.in]\nrun = ['seq', '3']\nplace = 'a'\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    scratch.write("cluster.toml", format!("[cluster]\ninsecure = true\n{}", scratch.text("cluster.toml")));
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    for node in [a, b] {
        let ended = node.wait(PATIENCE).expect(0);
        let warned = ended.stderr.lines().filter(|line| line.contains("insecure = true")).count();
        assert_eq!(warned, 1, "{}", ended.stderr);
    }
}

#[test]
fn sigusr1_ends_no_node_without_certificates() {
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &flow());
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    scratch.wait_until_flows(&["out.txt"]);
    b.signal(Signal::USR1);
    grows(&scratch, &b);
    scratch.stop_flow();
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
}

#[test]
fn certificates_that_are_wrong_are_refused_at_the_start() {
    let scratch = Scratch::new();
    let nodes = with_certificates(&scratch, &flow());
    scratch.shell("cp certs/b.pem certs/a.pem; cp certs/b.key certs/a.key");
    nodes.node("a").run().expect(2).says(&["certs/a.pem", "it is of node b, and this is node a"]);
    scratch.write("cluster.toml", scratch.text("cluster.toml").replacen("ca = ", "# ca = ", 1));
    nodes.node("a").run().expect(2).says(&["some of the files of TLS"]);
    // A node that is added has none yet, and gets one.
    let kept = scratch.text("cluster.toml").replacen("# ca = ", "ca = ", 1);
    scratch.write("cluster.toml", format!("{kept}\n[node.c]\naddress = '127.0.0.1:7'\n"));
    nodes.node("b").run().expect(2).says(&["node `a` has TLS, and node `c` has none"]);
    scratch.worker(&["cert", "issue", "--cluster", "cluster.toml"]).run().expect(0);
    assert!(
        scratch.text("cluster.toml").contains("cert = \"certs/c.pem\""),
        "{}",
        scratch.text("cluster.toml")
    );
    scratch.worker(&["cert", "init"]).run().expect(2).says(&["is there already"]);
    scratch.worker(&["cert", "issue", "b"]).run().expect(2).says(&["--force"]);
    scratch.worker(&["cert", "issue", "../b"]).run().expect(2).says(&["cannot be the name of a node"]);
    let shown = scratch.worker(&["cert", "show", "certs/b.pem"]).run().expect(0);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let year = ["valid for 364 days more", "valid for 365 days more"].iter().any(|text| shown.contains(text));
    assert!(shown.contains("worker://b") && year, "{shown}");
    let mode = scratch.shell("stat -c %a certs/ca.key certs/b.key");
    assert_eq!(String::from_utf8_lossy(&mode), "600\n600\n");
}
