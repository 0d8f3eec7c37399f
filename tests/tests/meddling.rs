//! Two nodes whose connections go through proxies that meddle: what arrives is what was sent, each record once and in its order.
//!
//! What a proxy does is drawn from a seed, a new one each time, which the test prints.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use worker_tests::meddling::{Job, Meddler, Meddling, both_ways};
use worker_tests::process::{Nodes, Scratch};

const PATIENCE: Duration = Duration::from_secs(90);

/// Runs a job with such proxies before both nodes.
fn holds_through(job: Job, how: impl Fn(bool) -> Meddling + Sync, faults_min: u64) {
    both_ways(|is_tls| {
        let scratch = Scratch::new();
        let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &job.pipeline());
        let nodes = if is_tls { nodes.with_certificates() } else { nodes };
        let seed =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()));
        writeln!(std::io::stderr(), "seed {seed}").ok();
        let meddlers = ["a", "b"].map(|name| Meddler::before(nodes.address(name), how(is_tls), seed));
        let cluster = scratch.text("cluster.toml");
        let running = [("a", "b", &meddlers[1]), ("b", "a", &meddlers[0])].map(|(name, other, meddler)| {
            // It dials the other one through the proxy.
            let seen = cluster.replace(nodes.address(other), &meddler.address().to_string());
            let file = format!("{name}.toml");
            scratch.write(&file, seen);
            let args = ["node", "--name", name, "--cluster", &file, "pipeline.toml", "--state", "state"];
            scratch.worker(&args).start()
        });
        for node in running {
            node.wait(PATIENCE).expect(0);
        }
        let faults: u64 = meddlers.iter().map(Meddler::faults).sum();
        assert!(faults >= faults_min, "{faults} faults were made");
        job.assert_equal(&scratch);
    });
}

#[test]
fn every_byte_comes_alone() {
    holds_through(Job { records: 1_000, a_second: 1_000 }, |_| Meddling::SplitsBytes, 0);
}

#[test]
fn connections_end_at_any_byte() {
    holds_through(Job { records: 40_000, a_second: 8_000 }, |_| Meddling::Kills, 10);
}

/// Without certificates whole frames: what lies in a frame is the network's to keep, or TLS's to prove.
#[test]
fn what_was_said_is_said_again() {
    let how = |is_tls| if is_tls { Meddling::RepeatsBytes } else { Meddling::Repeats };
    holds_through(Job { records: 40_000, a_second: 8_000 }, how, 10);
}

#[test]
fn a_connection_goes_on_beside_the_one_that_replaces_it() {
    holds_through(Job { records: 40_000, a_second: 8_000 }, |_| Meddling::Reorders, 10);
}
