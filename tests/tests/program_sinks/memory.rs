//! Memory stays within what `check --full` says, however slow the program is.

use crate::scratch;
use std::time::Duration;
use worker_tests::process::{Running, Scratch, eventually, holds_for};

/// The most memory that `check --full` says, in bytes.
fn promised(scratch: &Scratch, args: &[&str]) -> u64 {
    let delivery = if args.is_empty() { "memory" } else { "exactly-once" };
    let pipeline = scratch.text("pipeline.toml");
    scratch.write(
        "pipeline.toml",
        pipeline.replace("[pipeline]", &format!("[pipeline]\ndelivery = '{delivery}'")),
    );
    let check = scratch.worker(&["check", "pipeline.toml", "--full"]).run().expect(0);
    let text = String::from_utf8(check.stdout).expect("text");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("memory ")).expect("a sum");
    let mut words = line.split_whitespace();
    let size: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    assert_eq!(words.next(), Some("MiB"), "{text}");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let mib = size.ceil() as u64;
    mib << 20
}

fn until_begun(scratch: &Scratch, running: &mut Running<'_>) {
    eventually("its program has begun", Duration::from_secs(20), || {
        assert!(!running.has_ended(), "{}", running.stderr());
        if scratch.path("begun.txt").exists() { Ok(()) } else { Err(running.stderr()) }
    });
}

/// A source far larger than all budgets, and a program that takes a little and then nothing.
fn stays_within(sink: &str, args: &[&str]) {
    let scratch = scratch(sink);
    let limit = promised(&scratch, args);
    scratch.shell("seq -f '%015.0f is a line of about a hundred bytes, so that a few hundred thousand of them are much' 1500000 > in.txt");
    let mut running = crate::start(&scratch, args);
    until_begun(&scratch, &mut running);
    holds_for("memory within what was promised", Duration::from_secs(6), || {
        let now = running.peak_rss_bytes();
        if now <= limit { Ok(()) } else { Err(format!("{sink}: {} of {} MiB", now >> 20, limit >> 20)) }
    });
    running.kill();
}

/// The longest records there may be, each byte of which is six of a request, each in several tasks at once.
#[test]
fn records_as_long_as_may_be() {
    let scratch = Scratch::new();
    scratch.write(
        "answer.py",
        "import sys, json, base64\nfor line in sys.stdin:\n    m = json.loads(line)\n    if 'hello' in m: continue\n    text = m.get('record', '').encode()\n    \
         print(json.dumps({'id': m['id'], 'emit': [{'record_b64': base64.b64encode(text).decode()}] if text else []}), flush=True)\n",
    );
    scratch.write(
        "pipeline.toml",
        "[pipeline]\nmax_record = 8000000\noutbox = '1MiB'\n[source.in]\nfile = 'in.txt'\n[stage.a]\nrun = ['python3', 'answer.py']\nmode = 'records'\n\
         partitions = 4\nin_flight = 64\n[sink.out]\nfile = 'out.txt'\nexists = 'replace'\n",
    );
    let limit = promised(&scratch, &[]);
    scratch.write("in.txt", ("\u{1}".repeat(6_000_000) + "\n").repeat(8));
    let running = scratch.worker(&["run", "pipeline.toml", "--admin", "none"]).start();
    let mut peak = 0;
    eventually("all are answered", Duration::from_secs(120), || {
        peak = peak.max(running.peak_rss_bytes());
        if scratch.len("out.txt") >= 48_000_008 { Ok(()) } else { Err(running.stderr()) }
    });
    assert!(peak <= limit, "{} of {} MiB", peak >> 20, limit >> 20);
    running.wait(Duration::from_secs(60)).expect(0);
}

const SLOW: &str = "run = ['sh', '-c', 'head -c 100000 > begun.txt; sleep 60']";

#[test]
fn a_stream_that_takes_nothing() {
    stays_within(SLOW, &[]);
    stays_within(SLOW, crate::STATE);
}

#[test]
fn batches_that_take_long() {
    let sink = format!("{SLOW}\nmode = 'batch'");
    stays_within(&sink, &[]);
    stays_within(&sink, crate::STATE);
}
