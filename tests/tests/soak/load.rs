//! What is read: a log that grows faster and slower, and stands still.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_tests::sim::rng::Rng;

/// Lines a second, one after the other at random.
const RATES: [u64; 4] = [0, 100, 1_000, 4_000];

/// How many lines there are in all at most, so that an hour's result can be compared in memory.
const LINES_MAX: u64 = 3_000_000;

/// How often something is written, in milliseconds.
const EVERY_MS: u64 = 50;

/// Whoever writes the log.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
}

impl Load {
    pub(crate) fn start(path: PathBuf, length: Duration, seed: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let writer = std::thread::spawn(move || writes(path, length, seed, &told));
        Self { over, writer }
    }

    /// How many lines there are.
    pub(crate) fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.writer.join().expect("it only writes")
    }
}

fn writes(path: PathBuf, length: Duration, seed: u64, over: &AtomicBool) -> u64 {
    let mut log = File::options().append(true).open(path).expect("the log");
    let (mut rng, mut lines) = (Rng::new(seed), 0);
    let mean = RATES.iter().sum::<u64>() / RATES.len() as u64;
    let share = (LINES_MAX * 100 / (mean * length.as_secs().max(1))).min(100);
    while !over.load(Ordering::Relaxed) {
        let rate = rng.pick(&RATES) * share / 100;
        let until = Instant::now() + Duration::from_millis(rng.within(500, 6_000));
        while Instant::now() < until && !over.load(Ordering::Relaxed) {
            let mut text = String::new();
            for _ in 0..rate * EVERY_MS / 1_000 {
                lines += 1;
                text +=
                    &format!("k{} line {lines} of a log that grows now fast and now slowly\n", lines % 97);
            }
            log.write_all(text.as_bytes()).expect("room on the disk");
            std::thread::sleep(Duration::from_millis(EVERY_MS));
        }
    }
    lines
}
