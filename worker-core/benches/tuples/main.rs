//! What one tuple costs in the core and in its frames, without threads, sockets or disks, and a guard that this does not grow.
//!
//! ```text
//! cargo bench -p worker-core --bench tuples               # the guard: instructions a tuple under valgrind, against instructions.txt
//! cargo bench -p worker-core --bench tuples -- --record   # writes instructions.txt anew
//! cargo bench -p worker-core --bench tuples -- run link 1000 1000000   # a case alone, for a profiler: 10⁶ tuples over 1,000 links
//! ```
//!
//! Instructions are counted of two runs of unequal length; the difference is what tuples cost, without the program's start. Counts
//! hardly depend on the machine and what else it does, so a change by 5 % is one of the code. They do depend on the compiler:
//! `instructions.txt` says which one, and with another the guard leaves room for that, and says so.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]

mod cases;
mod guard;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [] => guard::hold(),
        ["--record"] => guard::record(),
        ["run", case, ref numbers @ ..] => {
            let numbers: Option<Vec<u64>> = numbers.iter().map(|number| number.parse().ok()).collect();
            match numbers.map(|numbers| cases::run(case, &numbers)) {
                Some(true) => ExitCode::SUCCESS,
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: cargo bench -p worker-core --bench tuples -- [--record | run CASE TUPLES | run link LINKS TUPLES [UNACKNOWLEDGED]]"
    );
    eprintln!("cases: {}", cases::CASES.map(|case| case.name).join(", "));
    ExitCode::from(2)
}
