//! `mode = "records"`: a program that is asked by the worker, against the program alone between two `cat`.
//!
//! The program counts by key, puts the count and emits the record; no answer is held back. The worker's own processor time
//! is that of its process, user and system, without program and launcher: with the reading of the source and the writing of the sink,
//! and with its start (9 ms in memory, 15 exactly once: 0.01 µs of each of a million records, 0.03 to 0.05 of each of 300,000).

use super::About;
use crate::figure::{Aim, Figure, Measure};
use crate::input::size;
use crate::meter::Took;
use crate::pipeline::{Delivery, run, shell};
use crate::suite::{Contender, Suite, Work};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

pub(super) const NAME: &str = "records";
pub(super) const ROLE: &str = "answer-records";

const PYTHON: &str = "import json, sys
counts = {}
for line in sys.stdin:
    m = json.loads(line)
    if 'hello' in m: continue
    a = {'id': m['id']}
    if 'record' in m:
        k = m['key']
        counts[k] = counts.get(k, 0) + 1
        a['put'] = {k: str(counts[k])}
        a['emit'] = [m['record']]
    print(json.dumps(a), flush=True)
";

/// The same in Rust; it flushes where its next read might wait.
pub(super) fn answer(_: &[String]) {
    let (mut input, mut output) =
        (BufReader::new(std::io::stdin()), BufWriter::new(std::io::stdout().lock()));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut line = String::new();
    while input.read_line(&mut line).expect("read a request") > 0 {
        let mut request: Value = serde_json::from_str(&line).expect("a request is JSON");
        line.clear();
        if request.get("hello").is_some() {
            continue;
        }
        let mut answer = json!({ "id": request["id"].take() });
        if let Value::String(key) = request["key"].take() {
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            answer["put"][key] = count.to_string().into();
            answer["emit"] = vec![request["record"].take()].into();
        }
        serde_json::to_writer(&mut output, &answer).expect("write an answer");
        output.write_all(b"\n").expect("write an answer");
        if input.buffer().is_empty() {
            output.flush().expect("write answers");
        }
    }
}

struct Program {
    name: &'static str,
    words: Vec<String>,
    records: u64,
}

pub(super) fn about() -> About {
    About::new(
        "records of some 95 bytes, `keyK number GET /some/path…`, of 997 keys: 300,000 for the Python program, 1,000,000 for the Rust program",
        "`worker run records.toml --quiet`: one task in `mode = \"records\"`, whose program counts by key, puts the count and emits the record; \
         the Python program flushes each answer, the Rust program where its next read might wait. Exactly once with `--state state`. \
         *The worker's own processor time* is that of its process, user and system, without programs and launcher, with its start",
        "the program between two cat, with requests that were written before: `cat requests.json | PROGRAM | cat > alone.txt`",
    )
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    std::fs::write(suite.dir().join("count.py"), PYTHON).expect("write the program");
    let this = std::env::current_exe().expect("this program's path").to_string_lossy().into_owned();
    let programs = [
        Program {
            name: "Python",
            words: vec!["python3".into(), "count.py".into()],
            records: suite.scaled(300_000),
        },
        Program { name: "Rust", words: vec![this, ROLE.into()], records: suite.scaled(1_000_000) },
    ];
    programs.iter().flat_map(|program| compare(suite, program)).collect()
}

fn compare(suite: &Suite, program: &Program) -> Vec<Figure> {
    write_input(suite.dir(), program.records);
    std::fs::write(suite.dir().join("records.toml"), pipeline(&program.words))
        .expect("write the pipeline file");
    let rate = |took: Took| Measure {
        value: program.records as f64 / took.wall.as_secs_f64(),
        processor: Some(took.all.as_secs_f64()),
    };
    let line = format!("cat requests.json | {} | cat > alone.txt", program.words.join(" "));
    let limit = Contender::new("it between two cat", || rate(shell(suite, &line)));
    let runs: Vec<_> =
        suite.workers.iter().flat_map(|worker| Delivery::BOTH.map(|delivery| (worker, delivery))).collect();
    let own: Vec<RefCell<Vec<f64>>> = runs.iter().map(|_| RefCell::default()).collect();
    let mut others = Vec::new();
    for (((who, binary), delivery), own) in runs.iter().zip(&own) {
        let run = move || {
            let took = run(binary, suite, &["records.toml"], *delivery);
            let (ours, given) = (suite.dir().join("worker.txt"), suite.dir().join("lines.txt.records"));
            assert_eq!(size(&ours), size(&given), "every record comes once");
            own.borrow_mut().push(took.own.as_secs_f64() * 1e6 / program.records as f64);
            rate(took)
        };
        let who = format!("{who}, {}", delivery.name());
        others.push(Contender::new(who, run).aim(Some(Aim::AtLeast(0.95))));
    }
    let work = Work { row: NAME, work: format!("a {} program", program.name), unit: "records/s" };
    let mut figures = work.in_turn(suite.rounds, limit, others);
    for ((worker, delivery), own) in runs.iter().zip(own) {
        let mut figure = Figure::new(
            NAME,
            format!("a {} program: the worker's own processor time a record", program.name),
            format!("{}, {}", worker.0, delivery.name()),
            "µs",
        )
        .aim(Some(Aim::AtMost(if *delivery == Delivery::Memory { 0.4 } else { 0.8 })));
        // The first was not counted.
        figure.measured = own.into_inner().into_iter().skip(1).map(Measure::from).collect();
        println!("{}", figure.line());
        figures.push(figure);
    }
    figures
}

fn pipeline(words: &[String]) -> String {
    format!(
        r#"
[source.lines]
file = "lines.txt.records"

[stage.count]
mode = "records"
partition_by = {{ field = 1 }}
partitions = 1
run = {words:?}

[sink.out]
file = "worker.txt"
exists = "replace"
"#
    )
}

/// The records, and the requests that they make.
fn write_input(dir: &Path, records: u64) {
    let (mut lines, mut requests) = (String::new(), String::new());
    for n in 0..records {
        let key = n % 997;
        let record = format!(
            "key{key} {n:09} GET /some/path/of/this/length HTTP/1.1 200 Mozilla/5.0 (a browser) 10.0.0.1"
        );
        writeln!(lines, "{record}").expect("a string takes it");
        writeln!(requests, "{{\"id\":{n},\"key\":\"key{key}\",\"record\":\"{record}\"}}")
            .expect("a string takes it");
    }
    for (name, text) in [("lines.txt.records", lines), ("requests.json", requests)] {
        std::fs::write(dir.join(name), text).expect("write a file");
    }
}
