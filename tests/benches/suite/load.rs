//! Records that a program is given at their times, and how long each takes through it.

use crate::meter::{Meter, finish};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
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
}

impl Delays {
    pub(crate) fn ms(&self, per_mille: usize) -> f64 {
        self.sorted[(self.sorted.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3
    }
}

/// Records a second, given as fast as they are taken; counted from the first that comes, when programs have started.
pub(crate) fn peak(command: Command, records: u64) -> f64 {
    let meter = Meter::begin();
    let (child, stdin, stdout) = start(command);
    let rate = peak_between(stdin, stdout, records);
    finish(child, &meter);
    rate
}

/// The same through processes that do not end by themselves.
pub(crate) fn peak_between(mut stdin: ChildStdin, stdout: ChildStdout, records: u64) -> f64 {
    let meter = Meter::begin();
    let sender = std::thread::spawn(move || {
        // Made one by one and read as those that come at their times are: a rate that this program cannot give is nobody's peak.
        let (mut sent, mut lines) = (0, Vec::new());
        while sent < records {
            lines.clear();
            while sent < records && lines.len() < 1 << 16 {
                lines.extend_from_slice(&record(Duration::from_nanos(sent)));
                sent += 1;
            }
            stdin.write_all(&lines).expect("write records");
        }
    });
    let (mut first, mut next) = (None, 0);
    let came = each_record(stdout, records, |line| {
        first.get_or_insert_with(|| meter.elapsed());
        assert_eq!(parse(&line[..DIGITS]), next, "records keep their order");
        next += 1;
    });
    let took = meter.elapsed() - first.unwrap_or_default();
    sender.join().expect("the sender is well");
    assert_eq!(came, records);
    records as f64 / took.as_secs_f64()
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
        each_record(stdout, wanted, |line| {
            skipped += 1.0;
            if skipped < every {
                return;
            }
            skipped = 0.0;
            let due = Duration::from_nanos(parse(&line[..DIGITS]));
            if due >= WARM_UP {
                sorted.push(begun.elapsed().saturating_sub(due));
            }
        });
        sender.join().expect("the sender is well");
        sorted.sort_unstable();
        assert!(!sorted.is_empty(), "no record came after the first second");
        Delays { sorted, processor: None }
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

/// Until so many have come, or no more do. Gives how many came.
fn each_record(stdout: ChildStdout, wanted: u64, mut f: impl FnMut(&[u8])) -> u64 {
    let mut reader = BufReader::with_capacity(1 << 16, stdout);
    let (mut line, mut count) = (Vec::new(), 0);
    while count < wanted && reader.read_until(b'\n', &mut line).expect("read a record") > 0 {
        assert_eq!(line.len(), RECORD_BYTES, "a record is as it was");
        f(&line);
        line.clear();
        count += 1;
    }
    count
}

fn start(mut command: Command) -> (Child, ChildStdin, ChildStdout) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("start the program");
    let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    (child, stdin, stdout)
}
