//! One suite of benchmarks: every kind of work against its limit, in turn in one run, after a warm-up.
//!
//! ```text
//! cargo bench -p worker-tests --bench suite                           # everything; results into docs/bench, table into docs/speed.md
//! cargo bench -p worker-tests --bench suite -- --only job,link --rounds 3
//! cargo bench -p worker-tests --bench suite -- --quick                # a tenth of the input, one round: whether all of it runs
//! cargo bench -p worker-tests --bench suite -- --list
//! cargo bench -p worker-tests --bench suite -- --draw                 # plots and pages again, of docs/bench/results.json
//! ```
//!
//! `WORKER_BIN=path` measures that binary instead of building one; `--beside path` measures another in the same rounds. Where the
//! input and the state directories lie, TMPDIR says. Processor time is user and system time of all processes that a run consists
//! of; it says more than the clock on a machine with other work. A row that fails is in the results with its reason, and the
//! suite ends with status 1.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod cluster;
mod figure;
mod input;
mod load;
mod machine;
mod meter;
mod options;
mod pipeline;
mod process;
mod rows;
mod suite;
mod written;

use options::{Options, USAGE};
use std::process::ExitCode;

/// The allocator of the worker's binary, for the rows that measure its parts in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(role) = args.first().and_then(|name| rows::role(name)) {
        role(&args[1..]);
        return ExitCode::SUCCESS;
    }
    match Options::parse(&args) {
        Ok(options) if options.list => {
            rows::ROWS.iter().for_each(list);
            ExitCode::SUCCESS
        }
        Ok(Options { draw: Some(how), out, .. }) => written::draw(&out.unwrap_or_else(written::book), how)
            .unwrap_or_else(|error| {
                println!("{error}");
                ExitCode::FAILURE
            }),
        Ok(options) => suite::run(options),
        Err(error) => {
            println!("{error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What its part of the page says, too.
fn list(row: &rows::Row) {
    let rows::About { input, runs, limit, .. } = (row.about)();
    println!(
        "{:10} {}\n{:10} input: {input}\n{:10} what runs: {runs}\n{:10} limit: {limit}\n",
        row.name, row.what, "", "", ""
    );
}
