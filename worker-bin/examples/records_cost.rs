//! What asking a program about each record costs the worker, in processor time of its own process.
//!
//!     cargo run --release -p worker-bin --example records_cost [RECORDS]
//!
//! Two children: this program, which answers as fast as it can in blocks, and a Python one that answers line by line, which
//! is also run without the worker, between two `cat`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints what it measured, or fails"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufWriter, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use worker_bin::child::records::{Answers, KeyedState, RecordsEvents, RecordsRules};
use worker_bin::child::{LAUNCHER_ARG, Launcher, Program, TaskEnv, launcher_main, start_records};
use worker_core::event::Failure;
use worker_core::route::PartitionBy;
use worker_proto::{Batch, LinkId, Seq};

/// As the worker has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PYTHON: &str = "import json, sys
counts = {}
for line in sys.stdin:
    m = json.loads(line)
    a = {'id': m.get('id', 1)}
    if 'key' in m:
        k = m['key']
        counts[k] = counts.get(k, 0) + 1
        a['put'] = {k: counts[k]}
        a['emit'] = [m['record']]
    if 'hello' not in m: print(json.dumps(a), flush=True)
";

/// How much is fed ahead, in batches, as a core would.
const AHEAD: usize = 16;

const BATCH_RECORDS: usize = 1000;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some(LAUNCHER_ARG) => return launcher_main(),
        Some("answer") => answer(),
        records => {
            let records = records.and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
            measure(records);
        }
    }
    ExitCode::SUCCESS
}

/// The fast child: finds id, key and record by their places.
fn answer() {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut input = std::io::BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).unwrap() == 0 {
            return;
        }
        if let Some(rest) = line.strip_prefix(b"{\"id\":") {
            let id = &rest[..rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap()];
            out.write_all(b"{\"id\":").unwrap();
            out.write_all(id).unwrap();
            if let Some(at) = find(rest, b"\"record\":") {
                let key = &rest[id.len() + 7..at - 1];
                out.write_all(b",\"emit\":[").unwrap();
                out.write_all(&rest[at + 9..rest.len() - 2]).unwrap();
                out.write_all(b"],\"put\":{").unwrap();
                out.write_all(key).unwrap();
                out.write_all(b":12345}").unwrap();
            }
            out.write_all(b"}\n").unwrap();
        }
        if input.buffer().is_empty() {
            out.flush().unwrap();
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn measure(records: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let me = std::env::current_exe().unwrap();
    let fast = [me.to_string_lossy().into_owned(), "answer".to_owned()];
    let python = ["python3".to_owned(), "-c".to_owned(), PYTHON.to_owned()];
    for round in 1..=3 {
        for (name, argv) in [("fast", &fast[..]), ("python", &python[..])] {
            let (wall, processor) = runtime.block_on(run(argv, records));
            let per = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
            println!(
                "{round} {name:6} {:.2} µs a record, the worker's processor {:.2} µs",
                per(wall),
                per(processor)
            );
        }
        let alone = alone(&python, records);
        println!(
            "{round} python alone, between two cat: {:.2} µs a record",
            alone.as_secs_f64() * 1e6 / records as f64
        );
    }
}

fn text(from: usize, records: usize) -> String {
    (from..from + records).fold(String::new(), |mut text, n| {
        writeln!(
            text,
            "key{} {n:09} GET /some/path/of/this/length HTTP/1.1 200 \"Mozilla/5.0 (a browser)\" 10.0.0.1",
            n % 997
        )
        .unwrap();
        text
    })
}

struct Told(mpsc::UnboundedSender<Result<Answers, Option<Failure>>>);

impl RecordsEvents for Told {
    fn answered(&mut self, answers: Answers) {
        self.0.send(Ok(answers)).ok();
    }

    fn ended(&mut self, result: Result<Answers, Failure>) {
        self.0.send(Err(result.err())).ok();
    }
}

async fn run(argv: &[String], records: usize) -> (Duration, Duration) {
    let launcher = Launcher::start(&std::env::current_exe().unwrap()).unwrap();
    let batches: Vec<Batch> = (0..records)
        .step_by(BATCH_RECORDS)
        .map(|from| Batch::from_terminated(text(from, BATCH_RECORDS.min(records - from)).into(), b'\n'))
        .collect();
    let state = Arc::new(Mutex::new(KeyedState::new("cost/0", u64::MAX)));
    let rules = RecordsRules {
        partition_by: Some(PartitionBy::Field { index: std::num::NonZeroUsize::MIN, delimiter: None }),
        envelope_in: b'\n'.into(),
        inline: false,
        in_flight: 4096,
        in_flight_bytes: 4 << 20,
        keys_wanted: false,
        is_read: true,
    };
    let (sender, mut told) = mpsc::unbounded_channel();
    let program = Program::new("cost", argv);
    let (began, processor) = (Instant::now(), processor_time());
    let env = TaskEnv::default();
    let handle = start_records(&launcher, &program, env, &rules, Arc::clone(&state), async {}, Told(sender));
    let (mut fed, mut answered, mut emitted) = (0, 0, 0);
    let mut batches = batches.into_iter();
    loop {
        while fed < answered + AHEAD * BATCH_RECORDS {
            let Some(batch) = batches.next() else { break };
            let first_seq = Seq(fed as u64 + 1);
            fed += batch.len();
            handle.request(LinkId(0), first_seq, batch);
            if fed == records {
                handle.end();
            }
        }
        match told.recv().await.unwrap() {
            Ok(answers) => {
                answered += usize::try_from(answers.records).unwrap();
                emitted += answers.emitted.len();
                state.lock().unwrap().apply(&answers.changes);
            }
            Err(None) => break,
            Err(Some(failure)) => panic!("{failure:?}"),
        }
    }
    assert!(emitted + BATCH_RECORDS * AHEAD >= records, "{emitted} of {records}");
    (began.elapsed(), processor_time() - processor)
}

fn alone(argv: &[String], records: usize) -> Duration {
    let mut requests = String::new();
    for (n, line) in text(0, records).lines().enumerate() {
        let (key, record) = (line.split(' ').next().unwrap(), line.replace('"', "\\\""));
        writeln!(requests, "{{\"id\":{n},\"key\":\"{key}\",\"record\":\"{record}\"}}").unwrap();
    }
    let file = std::env::temp_dir().join(format!("records-cost-{}", std::process::id()));
    std::fs::write(&file, requests).unwrap();
    let began = Instant::now();
    let mut first = Command::new("cat").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let from = first.stdout.take().unwrap();
    let mut program =
        Command::new(&argv[0]).args(&argv[1..]).stdin(from).stdout(Stdio::piped()).spawn().unwrap();
    let to = program.stdout.take().unwrap();
    let last = Command::new("cat").stdin(to).stdout(Stdio::null()).status().unwrap();
    let taken = began.elapsed();
    assert!(last.success() && program.wait().unwrap().success() && first.wait().unwrap().success());
    std::fs::remove_file(&file).unwrap();
    taken
}

/// Of this process and all its threads, not of its children.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
