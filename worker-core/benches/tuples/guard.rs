//! Instructions a tuple, counted by callgrind and held against what is on record.

use crate::cases::{CASES, Case};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// What a count may be above the record's, with the compiler that it was made by.
const GROWTH_MAX: f64 = 0.05;

/// The same where another compiler made the code.
const OTHER_COMPILER_GROWTH_MAX: f64 = 0.25;

struct Record {
    compiler: String,
    /// Instructions a tuple, by case.
    counts: BTreeMap<String, f64>,
}

/// Fails if a case costs more than it did, or one that does not cost what the record says makes the record worth nothing.
pub(crate) fn hold() -> ExitCode {
    let record = Record::read();
    let compiler = compiler();
    let growth_max = if compiler == record.compiler { GROWTH_MAX } else { OTHER_COMPILER_GROWTH_MAX };
    if compiler != record.compiler {
        println!(
            "on record is {}, here is {compiler}: up to {:.0} % more is let pass; --record writes the record anew",
            record.compiler,
            growth_max * 100.0
        );
    }
    let mut failed = false;
    for case in &CASES {
        let count = match count(case) {
            Ok(count) => count,
            Err(why) => return cannot(&why),
        };
        let Some(&recorded) = record.counts.get(case.name) else {
            println!(
                "{:22} {count:8.1} instructions a tuple: FAILED, not on record; run with --record",
                case.name
            );
            failed = true;
            continue;
        };
        let growth = count / recorded - 1.0;
        let verdict = if growth > growth_max { "FAILED" } else { "ok" };
        failed |= growth > growth_max;
        println!(
            "{:22} {count:8.1} instructions a tuple, {recorded:.1} on record: {:+.1} % {verdict}",
            case.name,
            growth * 100.0
        );
    }
    if !failed {
        return ExitCode::SUCCESS;
    }
    println!(
        "More than {:.0} % above the record. Find out why; if it is worth that, say so in the commit that has the new record:\n  \
         cargo bench -p worker-core --bench tuples -- --record",
        growth_max * 100.0
    );
    ExitCode::FAILURE
}

pub(crate) fn record() -> ExitCode {
    let mut text = format!(
        "# Instructions a tuple. cargo bench -p worker-core --bench tuples -- --record\n{}\n",
        compiler()
    );
    for case in &CASES {
        match count(case) {
            Ok(count) => writeln!(text, "{} {count:.3}", case.name).expect("a string takes it"),
            Err(why) => return cannot(&why),
        }
    }
    print!("{text}");
    std::fs::write(path(), text).expect("write the record");
    ExitCode::SUCCESS
}

fn cannot(why: &str) -> ExitCode {
    println!("FAILED: {why}");
    ExitCode::FAILURE
}

impl Record {
    fn read() -> Self {
        let text = std::fs::read_to_string(path()).expect("the record is in the repository");
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let compiler = lines.next().unwrap_or_default().to_owned();
        let count = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        Self { compiler, counts: lines.filter_map(count).collect() }
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/tuples/instructions.txt")
}

fn compiler() -> String {
    let said = Command::new("rustc").arg("-V").output();
    said.map_or_else(|_| "unknown".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn count(case: &Case) -> Result<f64, String> {
    let (short, long) = (instructions(case, case.tuples)?, instructions(case, 2 * case.tuples)?);
    Ok((long - short) as f64 / case.tuples as f64)
}

/// Of this program, running so many tuples.
fn instructions(case: &Case, tuples: u64) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["run", case.name, &tuples.to_string()])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind cannot be run ({error}): install the package valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected =
        said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    match collected.and_then(|count| count.parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("valgrind ended with {} and counted nothing:\n{said}", output.status)),
    }
}
