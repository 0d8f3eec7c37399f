//! Records that a program is given at their times, and how long each takes through it.

use crate::meter::{Meter, finish};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use std::time::{Duration, Instant};

/// The time when it is due, and filling: 100 bytes.
const DIGITS: usize = 20;
const RECORD_BYTES: usize = 100;

/// Delays of the first part of a run are not counted: programs start.
const WARM_UP: Duration = Duration::from_secs(1);

/// More delays than these would cost the reader too much.
const DELAYS_MAX: f64 = 300_000.0;

pub(crate) struct Load {
    /// Records a second.
    pub(crate) rate: f64,
    pub(crate) length: Duration,
}

/// In order of length.
pub(crate) struct Delays {
    sorted: Vec<Duration>,
    /// Seconds of processor time of the whole run, where one process was given the load.
    pub(crate) processor: Option<f64>,
    /// Records came later and later: delays say how long the run was, and nothing of who was given it.
    pub(crate) backlog: bool,
}

impl Delays {
    pub(crate) fn ms(&self, per_mille: usize) -> f64 {
        self.sorted[(self.sorted.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3
    }
}

/// How much later than due the last records of a run come at most where the rate can be held, as a part of the run's length: a backlog
/// that grows by a twentieth is found.
const LATE: f64 = 0.05;

/// A rate that was not held is tried again so much lower, so often at most.
const LOWER: f64 = 0.85;
const TRIES: usize = 12;

/// The highest rate of those tried that is held for so long: the delay of the last records says that no backlog grows. The first tried
/// is what comes out when as much as is taken is given for so long.
pub(crate) fn peak(length: Duration, full: impl Fn(Duration) -> f64, at: impl Fn(&Load) -> Delays) -> f64 {
    let mut rate = full(WARM_UP + length);
    for _ in 0..TRIES {
        let load = Load { rate, length };
        if !at(&load).backlog {
            return rate;
        }
        rate *= LOWER;
    }
    panic!("no rate down to {rate:.0} records/s is held")
}

/// Records a second of a process that is given as much as it takes.
pub(crate) fn full_rate(command: Command, time: Duration) -> f64 {
    let meter = Meter::begin();
    let (child, stdin, stdout) = start(command);
    let rate = full_rate_between(stdin, stdout, time);
    finish(child, &meter);
    rate
}

/// The same from pipe to pipe, through processes that need not end by themselves; counted where they come out, from the first
/// one, when programs have started.
pub(crate) fn full_rate_between(mut stdin: ChildStdin, stdout: ChildStdout, time: Duration) -> f64 {
    let begun = Instant::now();
    let all = Arc::new(AtomicU64::new(u64::MAX));
    let given = Arc::clone(&all);
    let sender = std::thread::spawn(move || {
        // Made one by one and read as those that come at their times are: a rate that this program cannot give is nobody's peak.
        let (mut sent, mut lines, mut is_last) = (0, Vec::new(), false);
        while !is_last {
            is_last = begun.elapsed() >= time;
            lines.clear();
            while lines.len() < 1 << 16 {
                lines.extend_from_slice(&record(Duration::from_nanos(sent)));
                sent += 1;
            }
            if is_last {
                // Said before the last of them comes: the reader must not wait for more.
                given.store(sent, Release);
            }
            stdin.write_all(&lines).expect("write records");
        }
    });
    let (mut first, mut next) = (None, 0_u64);
    let wanted = || all.load(Acquire);
    each_record(stdout, wanted, |line| {
        first.get_or_insert_with(|| begun.elapsed());
        assert_eq!(parse(&line[..DIGITS]), next, "records keep their order");
        next += 1;
    });
    let took = begun.elapsed() - first.unwrap_or_default();
    sender.join().expect("the sender is well");
    next as f64 / took.as_secs_f64()
}

impl Load {
    /// Of one process.
    pub(crate) fn delays(&self, command: Command) -> Delays {
        let meter = Meter::begin();
        let (child, stdin, stdout) = start(command);
        let delays = self.between(stdin, stdout, u64::MAX);
        let took = finish(child, &meter);
        Delays { processor: Some(took.all.as_secs_f64()), ..delays }
    }

    /// From one pipe to the other, through processes that do not end by themselves.
    pub(crate) fn endless(&self, stdin: ChildStdin, stdout: ChildStdout) -> Delays {
        self.between(stdin, stdout, count(self.rate, WARM_UP + self.length))
    }

    fn between(&self, stdin: ChildStdin, stdout: ChildStdout, wanted: u64) -> Delays {
        let begun = Instant::now();
        let (rate, until) = (self.rate, WARM_UP + self.length);
        let sender = std::thread::spawn(move || send(stdin, begun, rate, until));
        let every = (rate * until.as_secs_f64() / DELAYS_MAX).ceil();
        let (mut sorted, mut skipped) = (Vec::new(), 0.0);
        each_record(
            stdout,
            || wanted,
            |line| {
                skipped += 1.0;
                if skipped < every {
                    return;
                }
                skipped = 0.0;
                let due = Duration::from_nanos(parse(&line[..DIGITS]));
                if due >= WARM_UP {
                    sorted.push(begun.elapsed().saturating_sub(due));
                }
            },
        );
        sender.join().expect("the sender is well");
        assert!(!sorted.is_empty(), "no record came after the first second");
        let mut last = sorted[sorted.len() * 9 / 10..].to_vec();
        sorted.sort_unstable();
        last.sort_unstable();
        let backlog = last[last.len() / 2] > until.mul_f64(LATE);
        Delays { sorted, processor: None, backlog }
    }
}

/// Each record has the time when it is due, and goes out then or, if the sender was held up, with those due since.
fn send(mut stdin: ChildStdin, begun: Instant, rate: f64, until: Duration) {
    let (mut sent, wanted) = (0, count(rate, until));
    let mut lines = Vec::new();
    while sent < wanted {
        std::thread::sleep(due(sent, rate).saturating_sub(begun.elapsed()));
        let now = begun.elapsed();
        lines.clear();
        while sent < wanted && due(sent, rate) <= now && lines.len() < 1 << 16 {
            lines.extend_from_slice(&record(due(sent, rate)));
            sent += 1;
        }
        stdin.write_all(&lines).expect("write records");
    }
}

fn due(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of records")]
fn count(rate: f64, until: Duration) -> u64 {
    (rate * until.as_secs_f64()) as u64
}

fn record(due: Duration) -> [u8; RECORD_BYTES] {
    let mut record = [b' '; RECORD_BYTES];
    let mut left = due.as_nanos();
    for digit in record[..DIGITS].iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).expect("a digit");
        left /= 10;
    }
    record[RECORD_BYTES - 1] = b'\n';
    record
}

fn parse(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// Until so many have come, or no more do.
fn each_record(stdout: ChildStdout, wanted: impl Fn() -> u64, mut f: impl FnMut(&[u8])) {
    let mut reader = BufReader::with_capacity(1 << 16, stdout);
    let (mut line, mut count) = (Vec::new(), 0);
    while count < wanted() && reader.read_until(b'\n', &mut line).expect("read a record") > 0 {
        assert_eq!(line.len(), RECORD_BYTES, "a record is as it was");
        f(&line);
        line.clear();
        count += 1;
    }
}

fn start(mut command: Command) -> (Child, ChildStdin, ChildStdout) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("start the program");
    let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    (child, stdin, stdout)
}
